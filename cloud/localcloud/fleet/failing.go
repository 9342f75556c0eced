package fleet

import (
	"slices"
	"time"
)

// launchFailureLimit is how long launches of a group may fail without a success until
// Launch is suspended, as in Auto Scaling.
const launchFailureLimit = 24 * time.Hour

// launchFailed records a failed launch. After a day of failures alone the group
// launches no more until a person resumes it. Called with the lock held.
func (f *Fleet) launchFailed(g *group) {
	now, r := f.config.Now(), f.doc.Groups[g.name]
	switch {
	case r.Destroying:
		return
	case r.FailingSince.IsZero():
		r.FailingSince = now
	case now.Sub(r.FailingSince) < launchFailureLimit || slices.Contains(r.Suspended, processLaunch):
		return
	default:
		r.Suspended = slices.Insert(slices.Clone(r.Suspended), 0, processLaunch)
		f.config.Log.Error("launches have failed for a day: Launch is suspended until it is resumed", "group", g.name)
	}
	f.keep(g, r)
}

// launched records a successful launch.
func (f *Fleet) launched(g *group) {
	if r := f.doc.Groups[g.name]; !r.FailingSince.IsZero() {
		r.FailingSince = time.Time{}
		f.keep(g, r)
	}
}
