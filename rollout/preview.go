package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/cloud"
)

// Preview lists what a rollout would create, shift and remove, region by region,
// from the same decisions that carry it out. It leaves out what cannot be known
// before the rollout runs, and says so of the version: its artifact and secrets
// identify it, and a region may have it already.
func Preview(spec Spec, obs Observed, now time.Time) []string {
	var lines []string
	deployed := false
	for i, w := range spec.Waves {
		for _, region := range w.Regions {
			head := fmt.Sprintf("wave %d, %s: ", i+1, region)
			o := obs.Regions[region]
			if o.Unreachable != "" {
				lines = append(lines, head+"cannot be asked now ("+o.Unreachable+"); the rollout waits for it, at most "+spec.Timeout.String())
				continue
			}
			deployed = deployed || len(o.Groups) > 0
			for _, line := range previewRegion(spec, region, o, now) {
				lines = append(lines, head+line)
			}
		}
		if w.Bake > 0 {
			lines = append(lines, fmt.Sprintf("wave %d: has to stay healthy for %s before the next begins", i+1, time.Duration(w.Bake)))
		}
	}
	if deployed {
		lines = append(lines, "a region that has this version already, with the same artifact and options, uses it: nothing is created there")
	}
	return lines
}

func previewRegion(spec Spec, region string, o Region, now time.Time) []string {
	d := decider{spec: spec, shape: shapeOf(spec.Strategy), obs: Observed{Regions: map[string]Region{region: o}}, now: now,
		st: State{Regions: map[string]*RegionState{region: {}}, Finished: now}, wait: maxWait}
	rs := d.st.Regions[region]
	d.enter(region, o, rs)
	begin := d.capacityAt(rs, d.steps()[rs.Step])
	lines := []string{fmt.Sprintf("create the next version of %s with %s (%d to %d in the end)", spec.Group.Cluster, instances(begin.Desired), rs.FinalCapacity.Min, rs.FinalCapacity.Max)}
	if len(rs.PreviousGroups) == 0 {
		return append(lines, "give it all traffic once it is healthy: there is no earlier version")
	}
	before := make([]string, len(rs.PreviousGroups))
	for i, b := range rs.PreviousGroups {
		before[i] = fmt.Sprintf("%s (%s, %s)", b.Name, b.Version, instances(b.Capacity.Desired))
	}
	old := strings.Join(before, " and ")
	if d.shape.coexist {
		return append(lines, "give it a share of the traffic beside "+old+", which goes on serving")
	}
	if rs.BaselineOf != "" {
		lines = append(lines, fmt.Sprintf("create a baseline like %s beside it with %s, compare the two, and destroy it at the end", rs.BaselineOf, instances(d.baselineCapacity(rs, d.steps()[rs.Step]).Desired)))
	}
	lines = append(lines, fmt.Sprintf("shift traffic from %s: %s", old, d.stepsText(region, rs)))
	// The state at the end, as the clean-up will find it: the new group has all
	// traffic.
	groups := slices.Clone(o.Groups)
	for i, g := range groups {
		if g.Enabled() {
			groups[i].TrafficUntil, groups[i].Weight = now, 0
		}
	}
	rs.New = spec.Group.Cluster + "-new"
	changes, _ := spec.Leftovers(d.st)[region].CleanUp(region, append(groups, cloud.ServerGroup{Name: rs.New, Weight: 100}), now)
	for _, c := range changes {
		after := ""
		if d.shape.delay > 0 {
			after = ", " + d.shape.delay.String() + " after the last wave"
		}
		if c.Kind == Destroy {
			lines = append(lines, "destroy "+c.ServerGroup+after)
		} else {
			lines = append(lines, fmt.Sprintf("keep %s with %s%s, to return to", c.ServerGroup, instances(c.Capacity.Desired), after))
		}
	}
	for _, b := range rs.PreviousGroups {
		if !slices.ContainsFunc(changes, func(c Change) bool { return c.ServerGroup == b.Name }) {
			lines = append(lines, fmt.Sprintf("keep %s as it is, without traffic, to return to", b.Name))
		}
	}
	return lines
}

// instances is a count of instances in words.
func instances(n int) string {
	if n == 1 {
		return "1 instance"
	}
	return fmt.Sprintf("%d instances", n)
}

// stepsText lists the steps of traffic and the condition of each.
func (d *decider) stepsText(region string, rs *RegionState) string {
	var parts []string
	for _, s := range d.steps()[rs.Step:] {
		part := fmt.Sprintf("%g %%", rounded(s.Weight, d.facts(region).Resolution))
		if s.Pause > 0 {
			part += " for " + s.Pause.String()
		}
		parts = append(parts, part)
	}
	text := d.shape.name + ", " + strings.Join(parts, ", then ")
	f := d.facts(region)
	if d.shape.judge != nil {
		need := max(d.shape.judge.MinRequests, 1)
		if d.shape.judge.WhenNoData == "pass" {
			text += fmt.Sprintf(", each judged where at least %d requests come and going on without a verdict where fewer do (judge.whenNoData: pass)", need)
		} else {
			text += fmt.Sprintf(", each judged by at least %d requests", need)
		}
		if f.Counts != nil && f.Counts.Delay > 0 {
			text += fmt.Sprintf(", counted up to %s late", f.Counts.Delay)
		}
	}
	if f.Settle > 0 {
		text += fmt.Sprintf(", %s for the traffic to settle after each shift", f.Settle)
	}
	if d.shape.validate != "" {
		text += ", asking " + d.shape.validate + " before each and at the end"
	}
	return text
}
