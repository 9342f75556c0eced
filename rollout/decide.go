package rollout

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/stage"
)

// stateVersion is the persisted form's version.
const stateVersion = 1

// The loop calls Decide when the cloud changes. Otherwise Decide asks to be
// called again
const (
	// after this time at the latest, in case a notice of a change was lost;
	maxWait = 30 * time.Second
	// after this time while a region cannot be reached;
	awayRetry = 2 * time.Second
	// after this time while a judge compares counts, which change without a
	// notice.
	countInterval = time.Second
)

// crashLimit is how many failures of instances that had served end a rollout;
// with more than thirty instances in a region, a tenth of them.
const crashLimit = 3

// Decide returns the next changes. It is pure: the same arguments give the same
// result, and st is not changed.
func Decide(spec Spec, st State, obs Observed, now time.Time) Decision {
	d := decider{spec: spec, shape: shapeOf(spec.Strategy), obs: obs, now: now, st: clone(st), wait: maxWait}
	d.st.Version = stateVersion
	if d.st.Regions == nil {
		d.st.Regions = map[string]*RegionState{}
	}
	for _, w := range spec.Waves {
		for _, r := range w.Regions {
			if d.st.Regions[r] == nil {
				d.st.Regions[r] = &RegionState{}
			}
		}
	}
	d.noteLook()
	if st.Looked.IsZero() && st.Failure == nil {
		d.st.Failure = Refusal(spec, obs, now) // before anything is created anywhere
	}
	if d.st.Failure != nil {
		d.undo()
	} else {
		d.advance()
	}
	if turned := st.Failure == nil && d.st.Failure != nil || st.Finished.IsZero() && !d.st.Finished.IsZero(); turned {
		// The failure is saved before the undoing begins. If it were lost after
		// the first changes, those changes would look like changes by others, or
		// a rollout would be undone after what it replaced was cleaned up.
		d.changes, d.wait, d.done = nil, 0, false
	}
	d.keepTime()
	return Decision{State: d.st, Changes: d.changes, Wait: max(d.wait, time.Millisecond), Progress: d.progress(), Until: d.over, Done: d.done, Failure: d.failure()}
}

type decider struct {
	spec    Spec
	shape   shape
	obs     Observed
	now     time.Time
	st      State
	changes []Change
	wait    time.Duration
	over    time.Time // end of the running pause or bake
	done    bool
	notes   []string // per region, for Progress
	baking  bool
}

func clone(st State) State {
	out := st
	out.Timeline = slices.Clone(st.Timeline)
	out.Regions = make(map[string]*RegionState, len(st.Regions))
	for name, r := range st.Regions {
		c := *r
		c.PreviousGroups = slices.Clone(r.PreviousGroups)
		c.LastCounts = slices.Clone(r.LastCounts)
		c.Unjudged = slices.Clone(r.Unjudged)
		out.Regions[name] = &c
	}
	if st.Regions == nil {
		out.Regions = nil
	}
	return out
}

// until makes Decide be called again at t at the latest.
func (d *decider) until(t time.Time) { d.wait = min(d.wait, t.Sub(d.now)) }

// waits is until for a pause or bake; its end is shown to people.
func (d *decider) waits(t time.Time) {
	d.until(t)
	d.over = latest(d.over, t)
}

func (d *decider) do(c Change) { d.changes = append(d.changes, c) }

func (d *decider) note(region, format string, args ...any) {
	d.notes = append(d.notes, region+" "+fmt.Sprintf(format, args...))
}

// fail decides that the rollout has failed, by what happened in a region.
func (d *decider) fail(region string, f stage.Failure) {
	if d.st.Failure == nil {
		d.st.Failure, d.st.FailedIn = &f, region
	}
}

// advance continues the present wave, and watches the waves before it.
func (d *decider) advance() {
	if !d.st.Finished.IsZero() {
		d.done = true
		return
	}
	steady := true
	for i := 0; i < d.st.Wave; i++ {
		for _, r := range d.spec.Waves[i].Regions {
			if d.reaches(r) { // an outage of a region is not the version's fault; the edge serves from other regions
				steady = d.watch(r) && steady
			}
			if !d.st.Regions[r].TrafficDriftSince.IsZero() {
				return // nothing more is shifted until it is clear whether another writer changed the traffic
			}
		}
	}
	wave := d.spec.Waves[d.st.Wave]
	shifted := 0
	for _, r := range wave.Regions {
		switch {
		case !d.reaches(r):
			d.waitForRegion(r)
			steady = false
		case d.st.Regions[r].Phase == Shifted:
			steady = d.watch(r) && steady
		default:
			d.advanceRegion(r)
		}
		if d.st.Regions[r].Phase == Shifted {
			shifted++
		}
	}
	if d.st.Failure != nil || shifted < len(wave.Regions) {
		return
	}
	if d.st.BakeSince.IsZero() {
		d.st.BakeSince = d.now
	}
	since := d.st.BakeSince
	for _, r := range wave.Regions {
		since = latest(since, latest(d.st.Regions[r].LastCrash, d.st.Regions[r].Back)) // each region begins its bake anew
	}
	if end := since.Add(time.Duration(wave.Bake)); d.now.Before(end) {
		d.baking = true
		d.waits(end)
		return
	}
	if !steady {
		return // no bake ends while a region is unreachable or too few instances serve in it
	}
	d.st.BakeSince = time.Time{}
	if d.st.Wave+1 < len(d.spec.Waves) {
		d.st.Wave++
		d.advance()
		return
	}
	d.st.Finished = d.now
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// watch checks a region that has been shifted already: a later failure still
// fails the rollout. It says whether enough instances of the new version serve.
func (d *decider) watch(region string) bool {
	o, rs := d.obs.Regions[region], d.st.Regions[region]
	g, ok := find(o.Groups, rs.New)
	if !ok {
		d.fail(region, stage.Failure{Code: "SERVER_GROUP_GONE", Cause: fmt.Sprintf("%s: %s disappeared after traffic was shifted to it", region, rs.New),
			Help: "it was destroyed outside this rollout; run the pipeline again"})
		return false
	}
	return d.undisturbed(region, o, rs) && d.health(region, rs, g, serveNeed(rs.FinalCapacity, g))
}

// serveNeed is how many instances of a group in traffic have to serve. Scaling or
// a person may have lowered the capacity that the group began with.
func serveNeed(want pipeline.Capacity, g cloud.ServerGroup) int {
	return required(min(want.Desired, g.Capacity.Desired))
}

// advanceRegion carries one region through its steps.
func (d *decider) advanceRegion(region string) {
	o, rs := d.obs.Regions[region], d.st.Regions[region]
	if rs.Phase == Waiting {
		// Saved before anything is created, so that a group of this rollout is
		// never taken for an existing one.
		d.enter(region, o, rs)
		if f := d.unsupported(region, rs); f != nil {
			rs.Phase, rs.New = Waiting, "" // no group was created
			d.fail(region, *f)
		}
		d.wait = 0
		return
	}
	d.pin(region, o, rs)
	if rs.New == "" {
		spec := d.spec.Group
		spec.Capacity = d.capacityAt(rs, d.steps()[rs.Step])
		spec.Weight = 0
		d.do(Change{Kind: Create, Region: region, Key: "create/" + region, Spec: &spec})
		d.note(region, "creates the new version")
		return
	}
	g, ok := find(o.Groups, rs.New)
	if !ok {
		d.fail(region, stage.Failure{Code: "SERVER_GROUP_GONE", Cause: fmt.Sprintf("%s: %s disappeared during the rollout", region, rs.New),
			Help: "it was destroyed outside this rollout; run the pipeline again"})
		return
	}
	if rs.hasBaseline() && rs.Baseline == "" {
		d.createBaseline(region, rs)
		return
	}
	if !d.baselineThere(region, o, rs) {
		return
	}
	d.step(region, o, rs, g)
}

// enter takes the snapshot for undoing, and chooses the first step.
func (d *decider) enter(region string, o Region, rs *RegionState) {
	rs.Phase, rs.Entered = Stepping, d.now
	rs.New = d.spec.Restore[region]
	if rs.New == "" {
		rs.New = findExisting(d.spec.Group, o.Groups)
	}
	for _, g := range o.Groups {
		if g.Enabled() && g.Name != rs.New && !g.IsBaseline() {
			rs.PreviousGroups = append(rs.PreviousGroups, d.snapshot(region, g))
		}
	}
	rs.Reused = rs.New != ""
	if g, ok := find(o.Groups, rs.New); ok {
		rs.FailuresBefore, rs.CapacityBefore, rs.WeightBefore = g.Failures, d.snapshot(region, g).Capacity, g.Weight
	}
	rs.FinalCapacity = d.spec.Group.Capacity
	if d.spec.Restore[region] != "" {
		rs.FinalCapacity = restoredCapacity(rs)
	}
	for _, b := range rs.PreviousGroups {
		rs.FinalCapacity.Desired = max(rs.FinalCapacity.Desired, b.Capacity.Desired) // the capacity that scaling has set
	}
	rs.FinalCapacity.Desired = min(max(rs.FinalCapacity.Desired, rs.FinalCapacity.Min), max(rs.FinalCapacity.Max, d.spec.Group.Capacity.Desired))
	if d.spec.Restore[region] != "" && rs.FinalCapacity.Desired == 0 {
		rs.FinalCapacity = d.spec.Group.Capacity // no group serves, and the kept group had no instances
	}
	if rs.Reused || len(rs.PreviousGroups) == 0 {
		rs.Step = len(d.steps()) - 1 // no group to compare with, or the version has proved itself already
	}
	d.chooseBaseline(rs)
}

// snapshot records a group as it is, but without a minimum that an earlier
// rollout has raised.
func (d *decider) snapshot(region string, g cloud.ServerGroup) Snapshot {
	b := Snapshot{Name: g.Name, Version: g.Spec.Version, Weight: g.Weight, Capacity: g.Capacity, Serving: g.Serving()}
	if minimum, pinned := d.spec.Pinned[region][g.Name]; pinned {
		b.Capacity.Min, b.Pinned = min(minimum, g.Capacity.Desired), true
	}
	return b
}

// restoredCapacity is the capacity for a group that a rollback returns to. Its original
// capacity says little (a canary begins small), and its kept capacity may be
// zero. So restored takes the larger of its own capacity and the capacity that
// serves now.
func restoredCapacity(rs *RegionState) pipeline.Capacity {
	c := rs.CapacityBefore
	for _, b := range rs.PreviousGroups {
		c = pipeline.Capacity{Min: max(c.Min, b.Capacity.Min), Desired: max(c.Desired, b.Capacity.Desired), Max: max(c.Max, b.Capacity.Max)}
	}
	return c
}

// steps are the strategy's levels.
func (d *decider) steps() []step { return d.shape.steps }

// findExisting finds a group with the requested version, to be used instead of a new
// one: a group in traffic, or a kept group without traffic that has not failed. A
// kept group counts only when it is older than the group in traffic. A newer kept
// group was probably bad, and its version has to prove itself again. The
// fingerprint identifies a version: any changed option makes another version.
func findExisting(want cloud.ServerGroupSpec, groups []cloud.ServerGroup) string {
	if want.Fingerprint == "" {
		return ""
	}
	groups = versionsOf(groups)
	for _, g := range slices.Backward(groups) {
		if g.Enabled() && !g.Destroying && g.Spec.Fingerprint == want.Fingerprint {
			return g.Name
		}
	}
	older := groups[:1+lastEnabled(groups)]
	for _, g := range slices.Backward(older) {
		if !g.Enabled() && !g.Destroying && g.Spec.Fingerprint == want.Fingerprint && g.Failures == 0 {
			return g.Name
		}
	}
	return ""
}

// lastEnabled is the index of the newest group in traffic, -1 without one.
func lastEnabled(groups []cloud.ServerGroup) int {
	for i, g := range slices.Backward(groups) {
		if g.Enabled() {
			return i
		}
	}
	return -1
}

// capacityAt is the new group's capacity at a step.
func (d *decider) capacityAt(rs *RegionState, s step) pipeline.Capacity {
	if s.Capacity >= 100 {
		return rs.FinalCapacity
	}
	n := max(1, int(math.Ceil(float64(rs.FinalCapacity.Desired)*s.Capacity/100)))
	return pipeline.Capacity{Min: n, Desired: n, Max: max(rs.FinalCapacity.Max, n)} // pinned while traffic shifts
}

// required is how many of the desired instances have to serve before traffic is
// shifted: all below 10, 90 % below 20, 95 % from there; always at least one.
func required(desired int) int {
	share := 0.95
	switch {
	case desired <= 0:
		return 0
	case desired < 10:
		share = 1
	case desired < 20:
		share = 0.9
	}
	return max(1, int(math.Ceil(float64(desired)*share-1e-9)))
}

// progress describes for people where the rollout is: the wave with its step or
// bake, which changes seldom, then after a colon what each region waits for.
func (d *decider) progress() string {
	head := fmt.Sprintf("wave %d/%d", d.st.Wave+1, len(d.spec.Waves))
	switch {
	case d.st.Failure != nil:
		head = "undoing"
	case !d.st.Finished.IsZero():
		// it ends at the next call
	case d.baking:
		head += ", baking"
	default:
		head += d.stepText()
	}
	if len(d.notes) == 0 {
		return head
	}
	return head + ": " + strings.Join(d.notes, "; ")
}

// stepText describes the least advanced region of the present wave; it is empty
// for a strategy with a single step.
func (d *decider) stepText() string {
	steps := d.steps()
	if len(steps) < 2 {
		return ""
	}
	least := len(steps) - 1
	for _, r := range d.spec.Waves[d.st.Wave].Regions {
		switch rs := d.st.Regions[r]; rs.Phase {
		case Stepping:
			least = min(least, rs.Step)
		case Waiting:
			least = 0
		}
	}
	return fmt.Sprintf(", %s step %d/%d, %g%% of traffic", d.shape.name, least+1, len(steps), steps[least].Weight)
}
