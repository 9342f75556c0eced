package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/cloud"
	"showrunner/stage"
)

// noteLook notes that the rollout is looked at. When nobody did for long, since the
// control plane was away, what was waited for has not been given its time: it
// begins anew. Undoing, above all, is not given up for an hour in which nobody tried.
func (d *decider) noteLook() {
	since := d.now.Sub(d.st.Looked)
	if !d.st.Looked.IsZero() && since > d.spec.Timeout/2 {
		for _, rs := range d.st.Regions {
			if rs.Phase == Undoing {
				rs.Entered = d.now
			}
			if rs.away() {
				rs.Away = d.now
			}
			if !rs.TooFewSince.IsZero() {
				rs.TooFewSince = d.now
			}
		}
	}
	if since > d.spec.Timeout/4 {
		d.st.Looked = d.now
	}
}

func (rs *RegionState) away() bool { return !rs.Away.IsZero() }

// reaches says whether a region could be asked, and notes when it goes and comes
// back: its instances went with it, and have as long again to serve.
func (d *decider) reaches(region string) bool {
	rs := d.st.Regions[region]
	if d.obs.Regions[region].Away != "" {
		if !rs.away() {
			rs.Away = d.now
		}
		d.until(d.now.Add(lookAgain))
		return false
	}
	if rs.away() {
		rs.Away, rs.Back, rs.TooFewSince = time.Time{}, d.now, time.Time{}
	}
	return true
}

// waitForRegion waits for a region of the present wave that cannot be asked. The wave
// does not go on without it: nobody knows what the version does there.
func (d *decider) waitForRegion(region string) {
	why, rs := d.obs.Regions[region].Away, d.st.Regions[region]
	d.note(region, "away: %s", why)
	deadline := rs.Away.Add(d.spec.Timeout)
	if !d.now.Before(deadline) {
		d.fail(region, stage.Failure{Code: "REGION_UNAVAILABLE", Cause: fmt.Sprintf("%s could not be reached for %s", region, d.spec.Timeout),
			Evidence: []string{why}, Help: "bring the region back, or take it out of the waves", Retryable: true})
	}
	d.until(deadline)
}

// health says whether enough of the new group serves to go on. It fails the
// rollout when the evidence says that waiting cannot help, or has lasted long enough.
func (d *decider) health(region string, rs *RegionState, g cloud.ServerGroup, need int) bool {
	d.countCrash(rs, g)
	serving := g.Serving()
	if rs.Crashes >= max(crashLimit, rs.FinalCapacity.Desired/10) {
		d.fail(region, crashLoop(region, rs, g))
		return false
	}
	if serving >= need {
		rs.TooFewSince = time.Time{}
		return true
	}
	if rs.TooFewSince.IsZero() {
		rs.TooFewSince = d.now
	}
	probe := d.failingProbe(g)
	waiting, heard := launchHooks(g)
	// Whoever answers a hook says that it takes longer: patience begins anew.
	if !heard.After(d.now) {
		rs.TooFewSince = latest(rs.TooFewSince, heard)
	}
	if waiting > 0 {
		d.note(region, "%s %d/%d healthy, %d waiting for an answer to the launch hook", g.Name, serving, need, waiting)
	} else if probe != "" {
		d.note(region, "%s %d/%d healthy (%s)", g.Name, serving, need, probe)
	} else {
		d.note(region, "%s %d/%d healthy", g.Name, serving, need)
	}
	if failures := g.Failures - rs.FailuresBefore; failures >= crashLimit && serving == 0 && g.LastFailure != nil {
		d.fail(region, failureOf(g.LastFailure.Code, fmt.Sprintf("%s: %d instances of %s ended or were given up before one ever served", region, failures, g.Name), g))
		return false
	}
	deadline := rs.TooFewSince.Add(d.spec.Timeout)
	if !d.now.Before(deadline) {
		d.fail(region, failureOf("HEALTH_TIMEOUT", fmt.Sprintf("%s: %d of %d instances of %s are healthy after %s", region, serving, need, g.Name, d.spec.Timeout), g))
		return false
	}
	d.until(deadline)
	return false
}

// failingProbe is what the last check of an instance that does not serve was answered.
// That a program does not listen yet is told only once it should.
func (d *decider) failingProbe(g cloud.ServerGroup) string {
	for _, i := range g.Instances {
		if i.Serving() || i.Probe == "" {
			continue
		}
		if due := i.Launched.Add(usualStart); strings.Contains(i.Probe, "refused") && d.now.Before(due) {
			d.until(due)
			continue
		}
		return i.Probe
	}
	return ""
}

// usualStart is how long a program may take to listen before people are told that it does not.
const usualStart = 5 * time.Second

// launchHooks counts the instances whose launch hook waits for an answer, and
// says when the last heartbeat came to one of them.
func launchHooks(g cloud.ServerGroup) (waiting int, heard time.Time) {
	for _, i := range g.Instances {
		if h := i.Hook; i.Lifecycle == cloud.PendingWait && h != nil && h.Wait {
			waiting++
			heard = latest(heard, h.Heartbeat)
		}
	}
	return waiting, heard
}

// countCrash notices instances that had served and then failed: they ended,
// stopped passing their checks, or used more than they may.
func (d *decider) countCrash(rs *RegionState, g cloud.ServerGroup) {
	newest := rs.LastCrash
	if newest.IsZero() {
		newest = rs.Entered
	}
	since := newest
	for _, i := range g.Ended {
		if crashed(i) && i.Failure.At.After(since) {
			rs.Crashes++
			if i.Failure.At.After(newest) {
				newest = i.Failure.At
			}
		}
	}
	if newest.After(since) {
		rs.LastCrash = newest
	}
}

// crashed says whether an instance that had served failed by its version's
// doing. A kill from outside is not: chaos and people do that, and the fleet
// replaces it.
func crashed(i cloud.Instance) bool {
	f := i.Failure
	if f == nil || i.ServingSince.IsZero() {
		return false
	}
	switch f.Code {
	case "EXITED":
		return f.Signal != "killed" && f.Signal != "terminated"
	case "UNHEALTHY", "OVER_LIMIT":
		return true
	}
	return false
}

// crashLoop is the failure of a version whose instances do not stay healthy,
// with the newest of them as evidence.
func crashLoop(region string, rs *RegionState, g cloud.ServerGroup) stage.Failure {
	f := failureOf("CRASH_LOOP", fmt.Sprintf("%s: instances of %s become healthy and then fail, %d times", region, g.Name, rs.Crashes), g)
	if at := slices.IndexFunc(g.Ended, crashed); at >= 0 {
		f.Evidence = evidence(g.Ended[at].ID, g.Ended[at].Failure)
	}
	return f
}

// failureOf turns what the cloud knows of a group's instances into evidence.
func failureOf(code, cause string, g cloud.ServerGroup) stage.Failure {
	f := stage.Failure{Code: code, Cause: cause, Retryable: true,
		Help: fmt.Sprintf("showrunner explain %s", code)}
	for _, i := range g.Instances {
		if i.Failure != nil {
			f.Evidence = append(f.Evidence, evidence(i.ID, i.Failure)...)
			return f
		}
	}
	if g.LastFailure != nil {
		f.Evidence = evidence(g.Name, g.LastFailure)
	}
	return f
}

func evidence(who string, f *cloud.InstanceFailure) []string {
	lines := []string{who + ": " + f.Cause}
	if f.ExitCode != nil {
		lines = append(lines, fmt.Sprintf("exit code %d", *f.ExitCode))
	}
	if f.Signal != "" {
		lines = append(lines, "signal "+f.Signal)
	}
	if f.Probe != "" {
		lines = append(lines, "probe: "+f.Probe)
	}
	for _, l := range f.LastLog {
		lines = append(lines, "log: "+l)
	}
	return lines
}
