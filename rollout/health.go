package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/cloud"
	"showrunner/stage"
)

// noteLook records that the rollout is being looked at. After a long time without
// a look, because the control plane was down, running time limits begin anew:
// they have not really been used. Above all, undoing is not given up because of
// an hour in which nothing was tried.
func (d *decider) noteLook() {
	since := d.now.Sub(d.st.Looked)
	if !d.st.Looked.IsZero() && since > d.spec.Timeout/2 {
		for _, rs := range d.st.Regions {
			if rs.Phase == Undoing {
				rs.Entered = d.now
			}
			if rs.unreachable() {
				rs.Unreachable = d.now
			}
			if !rs.TooFewSince.IsZero() {
				rs.TooFewSince = d.now
			}
			if !rs.BaselineTooFewSince.IsZero() {
				rs.BaselineTooFewSince = d.now
			}
			if !rs.DismissedSince.IsZero() {
				rs.DismissedSince = d.now
			}
		}
	}
	if since > d.spec.Timeout/4 {
		d.st.Looked = d.now
	}
}

func (rs *RegionState) unreachable() bool { return !rs.Unreachable.IsZero() }

// reaches says whether a region could be asked, and records when it goes away and
// comes back. Its instances went away with it, so they get the full time again to
// become healthy.
func (d *decider) reaches(region string) bool {
	rs := d.st.Regions[region]
	if d.obs.Regions[region].Unreachable != "" {
		if !rs.unreachable() {
			rs.Unreachable = d.now
		}
		d.until(d.now.Add(awayRetry))
		return false
	}
	if rs.unreachable() {
		rs.Unreachable, rs.Back, rs.TooFewSince = time.Time{}, d.now, time.Time{}
		rs.BaselineTooFewSince = time.Time{}
	}
	return true
}

// waitForRegion waits for an unreachable region of the present wave. The wave
// does not go on without it, since the state of the version in that region is
// unknown.
func (d *decider) waitForRegion(region string) {
	why, rs := d.obs.Regions[region].Unreachable, d.st.Regions[region]
	d.note(region, "unreachable: %s", why)
	deadline := rs.Unreachable.Add(d.spec.Timeout)
	if !d.now.Before(deadline) {
		d.fail(region, stage.Failure{Code: "REGION_UNAVAILABLE", Cause: fmt.Sprintf("%s could not be reached for %s", region, d.spec.Timeout),
			Evidence: []string{why}, Help: "bring the region back, or take it out of the waves", Retryable: true})
	}
	d.until(deadline)
}

// health says whether enough instances of the new group serve to go on. It fails
// the rollout when the evidence shows that waiting cannot help, or when the time
// limit is over.
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
	// A heartbeat of a launch hook says that the instance needs longer, so the
	// time limit begins anew.
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
		d.fail(region, failureOf(g.LastFailure.Code, fmt.Sprintf("%s: %d instances of %s ended or were given up before any of them served", region, failures, g.Name), g))
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

// failingProbe is the answer to the last health check of an instance that does
// not serve. A program that does not listen yet is reported only after
// usualStart.
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

// usualStart is how long a program may take to listen before this is reported.
const usualStart = 5 * time.Second

// launchHooks counts the instances whose launch hook waits for an answer, and
// returns the time of the newest heartbeat among them.
func launchHooks(g cloud.ServerGroup) (waiting int, heard time.Time) {
	for _, i := range g.Instances {
		if h := i.Hook; i.Lifecycle == cloud.PendingWait && h != nil && h.Wait {
			waiting++
			heard = latest(heard, h.Heartbeat)
		}
	}
	return waiting, heard
}

// countCrash counts instances that had served and then failed: they ended,
// stopped passing their checks, or exceeded a limit.
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

// crashed says whether an instance that had served failed through its version. A
// kill from outside does not count: chaos experiments and people do that, and the
// fleet replaces the instance.
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

// crashLoop is the failure of a version whose instances do not stay healthy, with
// the newest failed instance as evidence.
func crashLoop(region string, rs *RegionState, g cloud.ServerGroup) stage.Failure {
	f := failureOf("CRASH_LOOP", fmt.Sprintf("%s: instances of %s become healthy and then fail, %d times", region, g.Name, rs.Crashes), g)
	if at := slices.IndexFunc(g.Ended, crashed); at >= 0 {
		f.Evidence = evidence(g.Ended[at].ID, g.Ended[at].Failure)
	}
	return f
}

// failureOf turns the cloud's data about a group's instances into evidence.
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
