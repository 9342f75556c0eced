package rollout

import (
	"fmt"
	"slices"
	"time"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/stage"
)

// A canary that is judged has a baseline beside it: a fresh group of the version in
// traffic, as large as the canary, as old, and with as many requests. A group that has
// served for days differs from a canary by its caches, its memory and its load, whatever
// its version is. The baseline is removed when the comparison is over, however it ends.

// baselineProduction is the value of pipeline.Canary.Baseline that compares with the
// groups in traffic instead.
const baselineProduction = "production"

// chooseBaseline plans a baseline: a copy of the group with most of the traffic.
func (d *decider) chooseBaseline(rs *RegionState) {
	if !d.shape.baseline || rs.Reused || len(rs.PreviousGroups) == 0 || len(d.steps()) < 2 {
		return
	}
	most := rs.PreviousGroups[0]
	for _, b := range rs.PreviousGroups[1:] {
		if b.Weight >= most.Weight { // of equal ones the newest
			most = b
		}
	}
	rs.BaselineOf = most.Name
}

// baselineShare is the baseline's share of the traffic beside a canary's: the same, as
// long as some is left for the groups in traffic, and otherwise half of the rest.
func baselineShare(canary float64) float64 {
	if canary < 50 {
		return canary
	}
	return (100 - canary) / 2
}

// baselineCapacity is the baseline's capacity at a step: for its share of the traffic what
// the canary has for its own, and never less than at an earlier step.
func (d *decider) baselineCapacity(rs *RegionState, s step) pipeline.Capacity {
	share := 0.0
	for _, earlier := range d.steps()[:rs.Step] {
		share = max(share, baselineShare(earlier.Weight))
	}
	return d.capacityAt(rs, step{Capacity: max(share, baselineShare(s.Weight))})
}

// createBaseline makes the baseline. Like the creation of the new version it may be
// repeated, to learn the name of a group whose creation was not recorded.
func (d *decider) createBaseline(region string, rs *RegionState) {
	g := d.spec.Group
	d.do(Change{Kind: Create, Baseline: true, Region: region, Key: "create-baseline/" + region, Spec: &cloud.ServerGroupSpec{Application: g.Application, Cluster: g.Cluster,
		Role: cloud.RoleBaseline, CopyOf: rs.BaselineOf, Execution: g.Execution, Capacity: d.baselineCapacity(rs, d.steps()[rs.Step])}})
	d.note(region, "creates a baseline like %s", rs.BaselineOf)
}

// hasBaseline says whether a baseline of the rollout exists or may exist.
func (rs *RegionState) hasBaseline() bool { return rs.BaselineOf != "" && !rs.BaselineRemoved }

// growBaseline says whether the baseline has the capacity of the step.
func (d *decider) growBaseline(region string, o Region, rs *RegionState, s step) bool {
	if !rs.hasBaseline() || s.Weight >= 100 || !rs.WeightsSetAt.IsZero() {
		return true
	}
	g, ok := find(o.Groups, rs.Baseline)
	want := d.baselineCapacity(rs, s)
	if !ok || g.Capacity.Desired >= want.Desired && g.Capacity.Max >= want.Max {
		return true
	}
	want.Desired = max(want.Desired, min(g.Capacity.Desired, want.Max))
	d.do(Change{Kind: Resize, Region: region, Key: fmt.Sprintf("resize-baseline/%s/%d/%d", region, rs.Step, d.now.UnixNano()), ServerGroup: g.Name, Capacity: want})
	d.note(region, "grows the baseline %s to %d", g.Name, want.Desired)
	return false
}

// baselineThere says whether the baseline exists as long as it is needed, and fails the
// rollout otherwise: what was not compared does not pass.
func (d *decider) baselineThere(region string, o Region, rs *RegionState) bool {
	g, ok := find(o.Groups, rs.Baseline)
	if !rs.hasBaseline() || rs.Step == len(d.steps())-1 || ok && !g.Destroying {
		return true
	}
	d.fail(region, stage.Failure{Code: "SERVER_GROUP_GONE", Cause: fmt.Sprintf("%s: the baseline %s disappeared during the rollout", region, rs.Baseline),
		Help: "it was destroyed outside this rollout; run the pipeline again"})
	return false
}

// baselineServes says whether enough instances of the baseline serve. It fails the rollout
// when the baseline does not become healthy in time.
func (d *decider) baselineServes(region string, o Region, rs *RegionState, s step) bool {
	if !rs.hasBaseline() || s.Weight >= 100 {
		return true
	}
	g, _ := find(o.Groups, rs.Baseline)
	want := d.baselineCapacity(rs, s)
	need := required(want.Desired)
	if !rs.WeightsSetAt.IsZero() {
		need = serveNeed(want, g)
	}
	serving := g.Serving()
	if serving >= need {
		rs.BaselineTooFewSince = time.Time{}
		return true
	}
	if rs.BaselineTooFewSince.IsZero() {
		rs.BaselineTooFewSince = d.now
	}
	if waiting, heard := launchHooks(g); waiting > 0 && !heard.After(d.now) {
		rs.BaselineTooFewSince = latest(rs.BaselineTooFewSince, heard)
	}
	d.note(region, "the baseline %s %d/%d healthy", g.Name, serving, need)
	deadline := rs.BaselineTooFewSince.Add(d.spec.Timeout)
	if !d.now.Before(deadline) {
		f := stage.Failure{Code: "BASELINE_UNHEALTHY", Retryable: true, Cause: fmt.Sprintf("%s: %d of %d instances of the baseline %s are healthy after %s: the version in traffic, %s, does not start any more", region, serving, need, g.Name, d.spec.Timeout, g.Spec.Version),
			Help: "find out what the version in traffic needs and no longer has (showrunner logs INSTANCE); canary.baseline: production compares with its running instances instead"}
		if g.LastFailure != nil { // without its output: nobody knows any more which of its variables were secrets
			f.Evidence = []string{g.Name + ": " + g.LastFailure.Cause}
		}
		d.fail(region, f)
		return false
	}
	d.until(deadline)
	return false
}

// removeBaseline says whether the cloud has accepted to destroy the baseline, which has no
// traffic any more. A group that is not observed is destroyed too: the observation may be
// older than the group.
func (d *decider) removeBaseline(region string, o Region, rs *RegionState) bool {
	if !rs.hasBaseline() {
		return true
	}
	if rs.Baseline == "" {
		d.createBaseline(region, rs)
		return false
	}
	g, _ := find(o.Groups, rs.Baseline)
	if end := g.TrafficUntil.Add(d.facts(region).Settle); !g.TrafficUntil.IsZero() && d.now.Before(end) {
		d.until(end)
		d.note(region, "lets the traffic of the baseline settle")
		return false
	}
	d.do(Change{Kind: Destroy, Region: region, Key: fmt.Sprintf("destroy-baseline/%s", region), ServerGroup: rs.Baseline, Guard: cloud.Guard{LastOne: true, Idle: true}})
	d.note(region, "destroys the baseline %s", rs.Baseline)
	return false
}

// dismissBaseline removes the baseline of a region that the failed rollout leaves as it is
// (Undo), and says whether that is done or given up. Its traffic returns to the group that
// it is a copy of.
func (d *decider) dismissBaseline(region string, rs *RegionState) bool {
	if rs.Phase == Waiting || rs.Phase == Undone || !rs.hasBaseline() {
		return true
	}
	there, o := d.reaches(region), d.obs.Regions[region]
	if rs.DismissedSince.IsZero() {
		rs.DismissedSince = d.now
	}
	deadline := latest(rs.DismissedSince, rs.Back).Add(d.spec.Timeout + d.facts(region).Settle)
	if !d.now.Before(deadline) {
		d.st.Failure.Undone = append(d.st.Failure.Undone, fmt.Sprintf("%s: the baseline %s is removed later: %s", region, rs.Baseline, orElse(orElse(rs.Refused, o.Unreachable), "it still serves")))
		return true
	}
	d.until(deadline)
	if !there {
		d.note(region, "unreachable: %s", o.Unreachable)
		return false
	}
	g, ok := find(o.Groups, rs.Baseline)
	if !ok || !g.Enabled() {
		return d.removeBaseline(region, o, rs)
	}
	weights := map[string]float64{g.Name: 0}
	if len(unknownInTraffic(o, rs)) == 0 {
		if to := d.heirOf(o, rs); to.Name != "" {
			weights[to.Name] = to.Weight + g.Weight
		}
	}
	d.do(Change{Kind: Shift, Region: region, Key: fmt.Sprintf("dismiss-shift/%s/%d", region, d.now.UnixNano()), ServerGroup: g.Name, Weights: weights, Guard: cloud.Guard{LastOne: true}})
	d.note(region, "returns the traffic of the baseline")
	return false
}

// heirOf is the group in traffic that gets the baseline's share back.
func (d *decider) heirOf(o Region, rs *RegionState) cloud.ServerGroup {
	names := []string{rs.BaselineOf}
	for _, b := range rs.PreviousGroups {
		names = append(names, b.Name)
	}
	for _, name := range names {
		if g, ok := find(o.Groups, name); ok && g.Enabled() {
			return g
		}
	}
	return cloud.ServerGroup{}
}

// compared are the groups that the new version is compared with.
func (rs *RegionState) compared() []string {
	if rs.BaselineOf != "" {
		return []string{rs.Baseline}
	}
	names := make([]string, len(rs.PreviousGroups))
	for i, b := range rs.PreviousGroups {
		names[i] = b.Name
	}
	return names
}

// comparesWith says whether the new version is compared with a group.
func (rs *RegionState) comparesWith(group string) bool { return slices.Contains(rs.compared(), group) }

// BaselinesLeft are the regions in which a rollout that has ended may have left a baseline:
// they could not be reached.
func BaselinesLeft(st State) []string {
	var regions []string
	for region, rs := range st.Regions {
		if rs.hasBaseline() && rs.Phase != Waiting {
			regions = append(regions, region)
		}
	}
	slices.Sort(regions)
	return regions
}

// versionsOf are the groups that are versions: without baselines.
func versionsOf(groups []cloud.ServerGroup) []cloud.ServerGroup {
	return slices.DeleteFunc(slices.Clone(groups), cloud.ServerGroup.IsBaseline)
}
