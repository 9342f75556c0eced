package rollout

import (
	"fmt"
	"strings"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/stage"
)

// undo restores what the failed rollout changed, in every region that its policy
// names.
func (d *decider) undo() {
	pending := 0
	for i, w := range d.spec.Waves {
		for _, r := range w.Regions {
			rs := d.st.Regions[r]
			if d.spec.Undo == "none" || (d.spec.Undo == "wave" && i < d.st.Wave) {
				if !d.dismissBaseline(r, rs) {
					pending++
				}
				continue
			}
			switch rs.Phase {
			case Waiting, Undone:
				continue
			case Undoing:
			default:
				rs.Phase, rs.Entered, rs.Refused = Undoing, d.now, ""
			}
			d.undoRegion(r, rs)
			if rs.Phase == Undoing {
				pending++
			}
		}
	}
	d.done = pending == 0
}

func (d *decider) undoRegion(region string, rs *RegionState) {
	o := d.obs.Regions[region]
	there := d.reaches(region)
	deadline := latest(rs.Entered, rs.Back).Add(d.spec.Timeout + d.facts(region).Settle)
	if !d.now.Before(deadline) {
		if rs.Refused == "" {
			rs.Refused = o.Unreachable
		}
		d.st.Failure.Undone = append(d.st.Failure.Undone, fmt.Sprintf("NOT undone in %s after %s: %s", region, d.spec.Timeout, orElse(rs.Refused, "the old version does not serve")))
		rs.Phase = Undone
		return
	}
	d.until(deadline)
	if !there {
		d.note(region, "unreachable: %s", o.Unreachable)
		return
	}
	if rs.New == "" {
		// The group's creation may have been under way when the failure was
		// decided: repeat it, to learn the group's name.
		spec := d.spec.Group
		spec.Capacity = d.capacityAt(rs, d.steps()[rs.Step])
		spec.Weight = 0
		d.do(Change{Kind: Create, Region: region, Key: "create/" + region, Spec: &spec})
		return
	}
	reduction := len(unknownInTraffic(o, rs)) > 0
	back, serving, wanted, old, sized := map[string]float64{}, 0, 0, 0, true
	g, exists := find(o.Groups, rs.New)
	if exists {
		back[rs.New] = rs.WeightBefore
	}
	for _, g := range o.Groups {
		if g.IsBaseline() && !d.shape.coexist {
			back[g.Name] = 0
		}
	}
	for _, b := range rs.PreviousGroups {
		g, ok := find(o.Groups, b.Name)
		if !ok {
			continue
		}
		old++
		if to := capacityAfterUndo(b, g.Capacity); to != g.Capacity {
			// The change sets numbers and adds none, so it may be repeated when
			// another writer changed them meanwhile.
			d.do(Change{Kind: Resize, Region: region, Key: fmt.Sprintf("undo-resize/%s/%s/%d", region, b.Name, d.now.UnixNano()), ServerGroup: b.Name, Capacity: to})
			sized = false
		}
		if !reduction {
			back[b.Name] = b.Weight
		}
		serving += g.Serving()
		wanted += b.Capacity.Desired
	}
	if old > 0 && !haveWeights(o.Groups, back, d.facts(region)) {
		// The present number of serving instances is not reduced, whatever the
		// new version answers.
		need := min(required(wanted), g.Serving())
		if serving < need {
			d.note(region, "waits for the old version to serve, %d/%d", serving, need)
			return
		}
		d.do(Change{Kind: Shift, Region: region, Key: fmt.Sprintf("undo-shift/%s/%d", region, d.now.UnixNano()), ServerGroup: rs.New, Weights: back,
			Guard: cloud.Guard{MinServing: max(1, need)}})
		d.note(region, "shifts traffic back")
		return
	}
	// Requests may still arrive by the earlier weights: the new version serves
	// them until the traffic has settled.
	if end := g.TrafficUntil.Add(d.facts(region).Settle); exists && !g.Enabled() && !g.TrafficUntil.IsZero() && d.now.Before(end) {
		d.note(region, "lets the traffic settle until %s", end.UTC().Format("15:04:05"))
		d.until(end)
		return
	}
	if !d.removeBaseline(region, o, rs) {
		return
	}
	if exists && rs.WeightBefore > 0 && !g.Destroying && otherBounds(g.Capacity, rs.CapacityBefore) {
		to := pipeline.Capacity{Min: rs.CapacityBefore.Min, Desired: min(max(g.Capacity.Desired, rs.CapacityBefore.Min), rs.CapacityBefore.Max), Max: rs.CapacityBefore.Max}
		d.do(Change{Kind: Resize, Region: region, Key: fmt.Sprintf("undo-bounds/%s/%d", region, d.now.UnixNano()), ServerGroup: g.Name, Capacity: to, Guard: cloud.Guard{LastOne: true}})
		d.note(region, "gives %s its bounds back", g.Name)
		return
	}
	if exists && rs.Reused && rs.WeightBefore == 0 && !g.Destroying && (g.Capacity.Desired > rs.CapacityBefore.Desired || otherBounds(g.Capacity, rs.CapacityBefore)) && d.spec.Restore[region] == "" {
		// Back to the capacity it was kept with. A refusal is ignored, since the
		// group serves nothing.
		d.do(Change{Kind: Resize, Region: region, Key: "undo-shrink/" + region, ServerGroup: g.Name, Capacity: rs.CapacityBefore, Guard: cloud.Guard{LastOne: true}})
		d.note(region, "shrinks %s", g.Name)
		return
	}
	if exists && !rs.Reused && g.Destroying {
		d.note(region, "drains %s", g.Name)
		return
	}
	if exists && !rs.Reused {
		// An earlier version has to serve before the new group may be removed.
		d.do(Change{Kind: Destroy, Region: region, Key: "undo-destroy/" + region, ServerGroup: g.Name, Guard: cloud.Guard{MinServing: required(wanted), LastOne: len(rs.PreviousGroups) > 0}})
		d.note(region, "destroys %s", g.Name)
		return
	}
	if b, ok := find(o.Groups, rs.Baseline); ok {
		d.note(region, "drains the baseline %s", b.Name)
		return
	}
	if !sized {
		d.note(region, "gives the old version its capacity back")
		return // only once the capacity is observed: this change may be refused or lost
	}
	rs.Phase = Undone
	d.st.Failure.Undone = append(d.st.Failure.Undone, undoneText(region, rs, old))
}

// capacityAfterUndo is the capacity of an old group after undoing: never below its earlier
// desired capacity or what scaling has added since, and free to shrink again.
func capacityAfterUndo(b Snapshot, now pipeline.Capacity) pipeline.Capacity {
	to := now
	if now.Desired < b.Capacity.Desired {
		to = b.Capacity
	}
	if b.Pinned {
		to.Min = min(b.Capacity.Min, to.Desired)
	}
	return to
}

func undoneText(region string, rs *RegionState, old int) string {
	what := rs.New + " destroyed"
	if rs.Reused {
		what = rs.New + " disabled"
	}
	if rs.Baseline != "" {
		what += ", the baseline " + rs.Baseline + " too"
	}
	if old == 0 {
		return fmt.Sprintf("%s: %s; there was no earlier version", region, what)
	}
	names := make([]string, 0, len(rs.PreviousGroups))
	for _, b := range rs.PreviousGroups {
		names = append(names, b.Name)
	}
	return fmt.Sprintf("%s: traffic is on %s, %s", region, strings.Join(names, " and "), what)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// failure is the result of the whole rollout once it is done.
func (d *decider) failure() *stage.Failure {
	if !d.done {
		return nil
	}
	return d.st.Failure
}

// Abort makes a running rollout undo itself, with the given reason.
func Abort(st State, f stage.Failure) State {
	st = clone(st)
	if st.Failure == nil {
		st.Failure = &f
	}
	return st
}
