package rollout

import (
	"fmt"
	"slices"
	"time"

	"showrunner/cloud"
	"showrunner/stage"
)

// settling is how long the traffic may differ from the rollout's last change
// before another writer is assumed: a cloud may answer with old data.
const settling = time.Second // in addition to the cloud's own settle time

// undisturbed says whether the traffic of a region is as the rollout set it. If
// another writer changed it, the rollout does not fight with that person or
// rollback, and does not continue into other regions either.
func (d *decider) undisturbed(region string, o Region, rs *RegionState) bool {
	if d.weightsAsLeft(region, o, rs) {
		rs.TrafficDriftSince = time.Time{}
		return true
	}
	if rs.TrafficDriftSince.IsZero() {
		rs.TrafficDriftSince = d.now
	}
	if end := rs.TrafficDriftSince.Add(settling + d.facts(region).Settle); d.now.Before(end) {
		d.note(region, "the traffic differs from the last shift")
		d.until(end)
		return false
	}
	f := stage.Failure{Code: "TRAFFIC_CHANGED", Cause: fmt.Sprintf("%s: the traffic of %s was changed outside this rollout while it was shifted to %s", region, d.spec.Group.Cluster, rs.New),
		Help: "`showrunner audit` shows who changed it; deliver again when the other change has ended"}
	for _, g := range o.Groups {
		if g.Enabled() {
			f.Evidence = append(f.Evidence, fmt.Sprintf("%s (%s) has weight %g", g.Name, g.Spec.Version, g.Weight))
		}
	}
	d.fail(region, f)
	return false
}

// weightsAsLeft says whether the groups have the weights that the rollout last
// set. The weights of the present step are accepted too, since the rollout may
// have set them without learning the answer. Before the first shift, the expected
// weights are those that the rollout found.
func (d *decider) weightsAsLeft(region string, o Region, rs *RegionState) bool {
	if !d.shape.coexist && len(unknownInTraffic(o, rs)) > 0 {
		return false
	}
	found := map[string]float64{}
	for _, b := range rs.PreviousGroups {
		if _, ok := find(o.Groups, b.Name); ok {
			found[b.Name] = b.Weight
		}
	}
	facts := d.facts(region)
	switch now := d.weights(region, o, rs, d.steps()[rs.Step]); {
	case haveWeights(o.Groups, now, facts):
		return true
	case rs.WeightsAccepted || !rs.WeightsSetAt.IsZero():
		return false
	case rs.Step > 0 && !rs.Reused && len(rs.PreviousGroups) > 0:
		return haveWeights(o.Groups, d.weights(region, o, rs, d.steps()[rs.Step-1]), facts)
	}
	return haveWeights(o.Groups, found, facts)
}

// unknownInTraffic are groups in traffic that the rollout neither found nor made:
// they were put into traffic after it began.
func unknownInTraffic(o Region, rs *RegionState) []cloud.ServerGroup {
	var list []cloud.ServerGroup
	for _, g := range o.Groups {
		known := g.Name == rs.New || g.IsBaseline() || slices.ContainsFunc(rs.PreviousGroups, func(b Snapshot) bool { return b.Name == g.Name })
		if g.Enabled() && !known {
			list = append(list, g)
		}
	}
	return list
}

// newer says whether a group was made after the named group.
func newer(groups []cloud.ServerGroup, g cloud.ServerGroup, than string) bool {
	at := func(name string) int {
		return slices.IndexFunc(groups, func(g cloud.ServerGroup) bool { return g.Name == name })
	}
	return at(than) >= 0 && at(g.Name) > at(than)
}
