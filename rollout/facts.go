package rollout

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/stage"
)

// unrestricted are the facts of a cloud that states none: it can do everything, without
// delay.
var unrestricted = cloud.Facts{Copies: true, Counts: &cloud.CountFacts{Latencies: true}}

// facts are the facts that the cloud states for a region.
func (d *decider) facts(region string) cloud.Facts {
	if f := d.obs.Regions[region].Facts; f != nil {
		return *f
	}
	return unrestricted
}

// delay is how late requests are counted.
func (d *decider) delay(region string) time.Duration {
	if c := d.facts(region).Counts; c != nil {
		return c.Delay
	}
	return 0
}

// Unsupported says why a cloud with these facts cannot run a kind of workload, or
// why a strategy cannot keep its promises on that cloud, whatever the state of
// the cluster; nil when both are possible.
func Unsupported(s pipeline.Strategy, kind cloud.WorkloadKind, region string, f cloud.Facts) *stage.Failure {
	if failure := unsupportedWorkload(kind, region, f); failure != nil {
		return failure
	}
	sh := shapeOf(s)
	refuse := func(format string, args ...any) *stage.Failure {
		return &stage.Failure{Code: "CLOUD_CANNOT", Cause: fmt.Sprintf("%s: the strategy %s ", region, sh.name) + fmt.Sprintf(format, args...),
			Help: "choose another strategy, such as red-black, or another account"}
	}
	before := 0.0
	for _, st := range sh.steps {
		share := rounded(st.Weight, f.Resolution)
		switch {
		case st.Weight >= 100:
		case f.AllOrNothing:
			return refuse("gives a version %g %% of the traffic, and this cloud gives one version all of it", st.Weight)
		case f.MaxInTraffic == 1:
			return refuse("gives a version %g %% of the traffic, and this cloud has one version in traffic at a time", st.Weight)
		case f.Resolution > 0 && (share <= before || share >= 100):
			return refuse("has a step of %g %%, and this cloud sets shares in steps of %g %%: it would be %g %%", st.Weight, f.Resolution, share)
		}
		before = share
	}
	if j := sh.judge; j != nil {
		switch {
		case f.Counts == nil:
			return refuse("has a judge, and this cloud counts no requests: no data never passes")
		case j.MaxP99 > 0 && !f.Counts.Latencies:
			return refuse("judges latencies (judge.maxP99), and this cloud measures none")
		}
	}
	if sh.baseline && len(sh.steps) > 1 {
		if why := noBaseline(sh, f); why != "" {
			failure := refuse("%s", why)
			failure.Help = "choose canary.baseline: production, which compares with the version in traffic, or another account"
			return failure
		}
	}
	if sh.coexist && (f.AllOrNothing || f.MaxInTraffic == 1) {
		return refuse("leaves the old version in traffic beside the new one, and this cloud has one version in traffic at a time")
	}
	return nil
}

// noBaseline says why a cloud cannot have a baseline beside a canary and the version in
// traffic; empty when it can.
func noBaseline(sh shape, f cloud.Facts) string {
	if !f.Copies {
		return "launches a baseline beside the canary, and this cloud makes no copies of server groups"
	}
	if f.MaxInTraffic > 0 && f.MaxInTraffic < 3 {
		return fmt.Sprintf("has three versions in traffic, with the baseline beside the canary, and this cloud has at most %d at a time", f.MaxInTraffic)
	}
	for _, st := range sh.steps {
		if share := baselineShare(st.Weight); st.Weight < 100 && f.Resolution > 0 && min(share, 100-st.Weight-share) < f.Resolution {
			return fmt.Sprintf("divides the traffic beside a canary of %g %% between the baseline and the version in traffic, and this cloud sets shares in steps of %g %%", st.Weight, f.Resolution)
		}
	}
	return ""
}

// unsupportedWorkload says why a cloud cannot run a kind of workload. A cloud
// that states no kinds has to refuse by itself.
func unsupportedWorkload(kind cloud.WorkloadKind, region string, f cloud.Facts) *stage.Failure {
	if kind == "" || len(f.Workloads) == 0 || slices.Contains(f.Workloads, kind) {
		return nil
	}
	return &stage.Failure{Code: "CLOUD_CANNOT", Cause: fmt.Sprintf("%s: this cloud runs no workloads of the kind %s", region, kind),
		Help: "choose another account"}
}

// unsupported says why the rollout cannot be carried out in a region in its
// present state.
func (d *decider) unsupported(region string, rs *RegionState) *stage.Failure {
	f, kind := d.facts(region), d.spec.Group.Workload.Kind()
	if failure := unsupportedWorkload(kind, region, f); failure != nil {
		return failure
	}
	if len(rs.PreviousGroups) == 0 || rs.Reused && !d.shape.coexist {
		return nil // all traffic goes to one version, in one step
	}
	if refused := Unsupported(d.spec.Strategy, kind, region, f); refused != nil {
		return refused
	}
	together := len(rs.PreviousGroups) + 1
	if rs.BaselineOf != "" {
		together++
	}
	if len(d.steps()) == 1 && !d.shape.coexist {
		together = 1 // one step takes the traffic from all other versions
	}
	if f.MaxInTraffic > 0 && together > f.MaxInTraffic {
		return &stage.Failure{Code: "CLOUD_CANNOT",
			Cause: fmt.Sprintf("%s: the strategy %s would have %d versions of %s in traffic at once, and this cloud has at most %d", region, d.shape.name, together, d.spec.Group.Cluster, f.MaxInTraffic),
			Help:  "take a version out of traffic first (showrunner clusters shows them), or choose the strategy red-black"}
	}
	return nil
}

// Refusal says why a rollout cannot be carried out in the present state of the
// clouds; nil when it can. Regions that are unreachable now are checked when
// their wave comes.
func Refusal(spec Spec, obs Observed, now time.Time) *stage.Failure {
	for _, w := range spec.Waves {
		for _, region := range w.Regions {
			o := obs.Regions[region]
			if o.Unreachable != "" {
				continue
			}
			d := decider{spec: spec, shape: shapeOf(spec.Strategy), obs: obs, now: now, st: State{Regions: map[string]*RegionState{region: {}}}, wait: maxWait}
			rs := d.st.Regions[region]
			d.enter(region, o, rs)
			if f := d.unsupported(region, rs); f != nil {
				return f
			}
		}
	}
	return nil
}

// rounded is a share rounded to the cloud's resolution.
func rounded(share, resolution float64) float64 {
	if resolution <= 0 {
		return share
	}
	return math.Round(share/resolution) * resolution
}

// quantized rounds weights to the cloud's resolution. They still sum to 100:
// rounding remainders go to the versions that lost most by rounding.
func quantized(weights map[string]float64, resolution float64) map[string]float64 {
	if resolution <= 0 {
		return weights
	}
	type part struct {
		name  string
		units int
		rest  float64
	}
	var parts []part
	left := int(math.Round(100 / resolution))
	for name, w := range weights {
		units := int(math.Floor(w/resolution + 1e-9))
		parts = append(parts, part{name, units, w/resolution - float64(units)})
		left -= units
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Or(cmp.Compare(b.rest, a.rest), cmp.Compare(a.name, b.name)) })
	out := make(map[string]float64, len(weights))
	for _, p := range parts {
		if left > 0 && p.rest > 0 {
			p.units++
			left--
		}
		out[p.name] = float64(p.units) * resolution
	}
	return out
}

// haveWeights says whether the groups already have these weights; a group that is
// gone has weight 0.
func haveWeights(groups []cloud.ServerGroup, weights map[string]float64, f cloud.Facts) bool {
	unit, near := 1.0, 1e-9
	if f.SharesOnly {
		wanted, total := 0.0, 0.0
		for _, w := range weights {
			wanted += w
		}
		for _, g := range groups {
			if _, named := weights[g.Name]; named {
				total += g.Weight
			}
		}
		if (wanted == 0) != (total == 0) {
			return false
		}
		if wanted > 0 {
			unit = wanted / total
		}
		near = max(near, wanted*f.Resolution/100*0.75)
	}
	for name, w := range weights {
		g, ok := find(groups, name)
		if !ok && w == 0 {
			continue
		}
		if !ok || math.Abs(g.Weight*unit-w) > near || (g.Weight > 0) != (w > 0) {
			return false
		}
	}
	return true
}
