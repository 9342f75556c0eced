package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/cloud"
	"showrunner/pipeline"
)

// step takes a region through its present step: capacity, health, validation,
// weights, pause, verdict.
func (d *decider) step(region string, o Region, rs *RegionState, g cloud.ServerGroup) {
	s := d.steps()[rs.Step]
	if !d.undisturbed(region, o, rs) {
		return
	}
	if rs.WeightsSetAt.IsZero() {
		d.matchPresentCapacity(o, rs, g)
	}
	want := d.capacityAt(rs, s)
	need := required(want.Desired)
	if !rs.WeightsSetAt.IsZero() {
		need = serveNeed(want, g)
	} else if g.Capacity.Desired < want.Desired || g.Capacity.Min > want.Desired || g.Capacity.Max < want.Max || s.Capacity >= 100 && otherBounds(g.Capacity, want) {
		to := want
		to.Desired = max(want.Desired, min(g.Capacity.Desired, want.Max))
		// The change sets numbers and adds none, so it may be repeated when
		// scaling changed the group before the shift.
		d.do(Change{Kind: Resize, Region: region, Key: fmt.Sprintf("resize/%s/%d/%d", region, rs.Step, d.now.UnixNano()), ServerGroup: g.Name, Capacity: to})
		d.note(region, "grows %s to %d", g.Name, to.Desired)
		return
	}
	if !d.growBaseline(region, o, rs, s) {
		return
	}
	serves := d.health(region, rs, g, need)
	if serves = d.st.Failure == nil && d.baselineServes(region, o, rs, s) && serves; !serves {
		rs.Uneven = !rs.Counted.IsZero()
		return
	}
	weights := d.weights(region, o, rs, s)
	if !haveWeights(o.Groups, weights, d.facts(region)) {
		d.shift(region, rs, s, weights, need)
		return
	}
	if rs.WeightsSetAt.IsZero() {
		rs.WeightsSetAt = d.now
	}
	last := rs.Step == len(d.steps())-1
	if !d.verdict(region, o, rs, s, last) {
		return
	}
	// A failure restarts the pause: a step ends after a pause without a failure.
	if end := d.ends(region, rs, s); d.now.Before(end) {
		d.note(region, "%s at %g%%, pauses", g.Name, s.Weight)
		d.waits(end)
		return
	}
	if last && !rs.Confirmed && d.callsHook(rs) {
		d.do(Change{Kind: Validate, Region: region, Key: "validate/" + region + "/after", ServerGroup: rs.New, URL: d.shape.validate, Percent: s.Weight, After: true})
		d.note(region, "asks the validation hook")
		return
	}
	if last && !d.removeBaseline(region, o, rs) {
		return
	}
	if last {
		rs.Phase, rs.Entered, rs.Refused = Shifted, d.now, ""
		d.note(region, "%s takes all traffic", g.Name)
		return
	}
	rs.Step++
	rs.Entered, rs.WeightsSetAt, rs.WeightsAccepted, rs.LastCounts, rs.LastCounted, rs.Counted, rs.Validated, rs.TooFewSince = d.now, time.Time{}, false, nil, time.Time{}, time.Time{}, false, time.Time{}
	// Saved before the traffic moves: if it were lost afterwards, the traffic
	// would move back for a moment.
	d.wait = 0
	d.note(region, "shifts to %g%%", d.steps()[rs.Step].Weight)
}

// settled is when the weights of the present step take effect everywhere in the
// cloud.
func (d *decider) settled(region string, rs *RegionState) time.Time {
	return rs.WeightsSetAt.Add(d.facts(region).Settle)
}

// ends is when a step may end. Its pause begins once the weights have settled
// and, with a judge, once counting has begun. Requests in the pause have to be
// counted before the step ends.
func (d *decider) ends(region string, rs *RegionState, s step) time.Time {
	begin, late := d.settled(region, rs), time.Duration(0)
	if !rs.Counted.IsZero() {
		late = d.delay(region)
		begin = latest(begin, rs.Counted.Add(-late))
	}
	return latest(begin, rs.LastCrash).Add(s.Pause + late)
}

// otherBounds says whether the bounds of two capacities differ. A group that is
// used again, and one that earlier steps have pinned, get the final bounds at the
// last step, also when the number of instances stays.
func otherBounds(a, b pipeline.Capacity) bool { return a.Min != b.Min || a.Max != b.Max }

// matchPresentCapacity raises the new group's final capacity to the present
// capacity of the old groups and of a group that is used again: scaling or a
// person may have raised it, and a rollout takes no instances away. The final
// capacity is then the capacity that the group has, with which drift compares.
func (d *decider) matchPresentCapacity(o Region, rs *RegionState, g cloud.ServerGroup) {
	raise := func(now pipeline.Capacity) {
		rs.FinalCapacity.Desired = max(rs.FinalCapacity.Desired, min(now.Desired, rs.FinalCapacity.Max))
	}
	if rs.Reused {
		raise(g.Capacity)
	}
	if d.shape.coexist {
		return
	}
	for _, b := range rs.PreviousGroups {
		if old, ok := find(o.Groups, b.Name); ok {
			raise(old.Capacity)
		}
	}
}

// callsHook says whether a validation hook is called: it is not for the first version,
// which has nothing to be compared with.
func (d *decider) callsHook(rs *RegionState) bool {
	return d.shape.validate != "" && len(rs.PreviousGroups) > 0
}

// pin keeps scaling from shrinking the old groups while traffic shifts away from
// them. Undoing needs them as large as they were, or as they have become since.
// Pinning delays nothing. The pin is saved before it is made, so that an undoing
// process knows of it.
func (d *decider) pin(region string, o Region, rs *RegionState) {
	if d.shape.coexist {
		return
	}
	for i, b := range rs.PreviousGroups {
		g, ok := find(o.Groups, b.Name)
		switch {
		case !ok || len(g.Spec.Scaling) == 0 || g.Capacity.Min >= g.Capacity.Desired:
			continue
		case !b.Pinned:
			rs.PreviousGroups[i].Pinned = true
			d.wait = 0
			continue
		}
		to := g.Capacity
		to.Min = to.Desired
		d.do(Change{Kind: Resize, Region: region, Key: fmt.Sprintf("pin/%s/%s/%d", region, b.Name, d.now.UnixNano()), ServerGroup: b.Name, Capacity: to, Pin: true})
	}
}

// shift calls the hook, then moves the traffic.
func (d *decider) shift(region string, rs *RegionState, s step, weights map[string]float64, need int) {
	if !rs.Validated && d.callsHook(rs) {
		d.do(Change{Kind: Validate, Region: region, Key: fmt.Sprintf("validate/%s/%d", region, rs.Step), ServerGroup: rs.New, URL: d.shape.validate, Percent: s.Weight})
		d.note(region, "asks the validation hook")
		return
	}
	// The promise: as many instances serve as before, or as the new version is
	// meant to have, whichever is fewer.
	before := 0
	for _, b := range rs.PreviousGroups {
		before += b.Serving
	}
	guard := cloud.Guard{MinServing: need}
	if s.Weight < 100 && !d.shape.coexist {
		guard.MinServing = min(before, required(rs.FinalCapacity.Desired))
	}
	d.do(Change{Kind: Shift, Region: region, Key: fmt.Sprintf("shift/%s/%d/%d", region, rs.Step, d.now.UnixNano()), ServerGroup: rs.New, Weights: weights, Guard: guard})
	d.note(region, "shifts %g%% to %s", s.Weight, rs.New)
}

// weights are the weights of a region's groups at a step.
func (d *decider) weights(region string, o Region, rs *RegionState, s step) map[string]float64 {
	w, old := map[string]float64{rs.New: s.Weight}, 100-s.Weight
	for _, g := range o.Groups {
		if !g.IsBaseline() || d.shape.coexist {
			continue
		}
		w[g.Name] = 0 // also one that an earlier rollout could not remove
		if g.Name == rs.Baseline && s.Weight < 100 {
			w[g.Name] = baselineShare(s.Weight)
			old -= w[g.Name]
		}
	}
	total := 0.0
	for _, b := range rs.PreviousGroups {
		total += b.Weight
	}
	for _, b := range rs.PreviousGroups {
		if _, ok := find(o.Groups, b.Name); !ok {
			continue // the group was destroyed meanwhile
		}
		if d.shape.coexist {
			w[b.Name] = b.Weight
			w[rs.New] = max(b.Weight, 1)
			continue
		}
		w[b.Name] = old * b.Weight / total
	}
	if d.shape.coexist || len(w) == 1 {
		return w
	}
	return quantized(w, d.facts(region).Resolution)
}

func find(groups []cloud.ServerGroup, name string) (cloud.ServerGroup, bool) {
	for _, g := range groups {
		if g.Name == name {
			return g, true
		}
	}
	return cloud.ServerGroup{}, false
}

func weightsText(w map[string]float64) string {
	names := make([]string, 0, len(w))
	for n := range w {
		names = append(names, n)
	}
	slices.Sort(names)
	for i, n := range names {
		names[i] = fmt.Sprintf("%s %g%%", n, w[n])
	}
	return strings.Join(names, ", ")
}
