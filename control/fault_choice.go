package control

import (
	"math/rand/v2"
	"slices"

	"showrunner/chaos/monkey"
	"showrunner/cloud"
	"showrunner/problem"
)

// choose selects the instances that a fault hits, and refuses a fault that would
// leave a cluster without a serving instance. Errors: precondition, not_found.
func (r FaultRequest) choose(instances []monkey.Instance, f *ChaosFault) error {
	refuse := func(format string, args ...any) error {
		return problem.New(problem.Precondition, opFaultStart, "nothing was begun: "+format, args...)
	}
	var candidates []monkey.Instance
	for _, i := range instances {
		if own := r.execution != "" && i.Rollout == r.execution && i.ServerGroup == r.Version; r.execution != "" && !own {
			continue
		}
		switch {
		case r.execution != "":
		case i.Comparison || (monkey.Settings{}).Protected(i.Cluster) != "":
			if r.Cluster != "" {
				return refuse("a version of cluster %s is compared with another one in %s", i.Name, i.Region)
			}
		case i.Rollout != "" && !r.DuringRollouts:
			return refuse("execution %s changes cluster %s", i.Rollout, i.Name)
		}
		if r.Kind == "zone-outage" && i.Zone != r.Zone || r.Kind != "zone-outage" && r.Zone != "" && i.Zone != r.Zone || r.Version != "" && i.ServerGroup != r.Version {
			continue
		}
		if len(r.Instance) == 0 || slices.Contains(r.Instance, i.ID) {
			candidates = append(candidates, i)
		}
	}
	if f.At == cloud.FaultAtBalancer || f.At == cloud.FaultAtEdge {
		if r.Zone != "" || r.Version != "" || r.Count > 0 || r.Share > 0 {
			return refuse("requests at the %s are hit before an instance is chosen, so none can be selected", f.At)
		}
		if f.From == "" {
			f.Hurt = hurt(candidates)
		}
		return nil
	}
	chosen, narrowed := r.narrow(candidates)
	if r.Kind != "partition" {
		f.Hurt = hurt(chosen)
	}
	if r.Kind.TakesAway() || r.Kind == "blackhole" && r.Percent == 0 && r.Path == "" && r.Header == "" {
		if err := r.spares(chosen, refuse); err != nil {
			return err
		}
	}
	switch {
	case r.Kind == "partition" || r.Kind == "zone-outage" || r.Kind == "region-outage":
		return nil
	case len(chosen) == 0:
		return refuse("no instance of cluster %s in %s is selected", r.Cluster, r.Region)
	case narrowed:
		f.Instances = nil
		for _, i := range chosen {
			f.Instances = append(f.Instances, i.ID)
		}
		slices.Sort(f.Instances)
	}
	return nil
}

// hurt counts instances by application.
func hurt(list []monkey.Instance) map[string]int {
	count := map[string]int{}
	for _, i := range list {
		count[i.Application]++
	}
	return count
}

// narrow applies the selection; narrowed is false for every instance, those included
// that start meanwhile.
func (r FaultRequest) narrow(list []monkey.Instance) (chosen []monkey.Instance, narrowed bool) {
	count := len(list)
	switch {
	case r.Kind == "zone-outage" || r.Kind == "region-outage":
		return list, true
	case r.Count > 0:
		count = min(r.Count, len(list))
	case r.Share > 0:
		count = min(max(1, int(float64(len(list))*r.Share/100)), len(list))
	case r.Kind.OfInstances() && !r.All && len(r.Instance) == 0:
		count = min(1, len(list))
	case !r.Kind.OfInstances() && len(r.Instance) == 0 && r.Zone == "" && r.Version == "":
		return list, false
	}
	list = slices.Clone(list)
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:count], true
}

// spares refuses a fault that takes the last serving instance of a cluster, or goes
// below its least capacity.
func (r FaultRequest) spares(chosen []monkey.Instance, refuse func(string, ...any) error) error {
	left := map[monkey.Cluster]int{}
	for _, i := range chosen {
		if _, ok := left[i.Cluster]; !ok {
			left[i.Cluster] = i.ServingInCluster
		}
		if i.Serving {
			left[i.Cluster]--
		}
	}
	for _, i := range chosen {
		switch n := left[i.Cluster]; {
		case n < 1:
			return refuse("cluster %s in %s would have no serving instance left", i.Name, i.Region)
		case n < i.Minimum && !r.Forced:
			return refuse("cluster %s in %s would have %d of %d serving instances left, and its least capacity is %d (--force allows it)", i.Name, i.Region, n, i.ServingInCluster, i.Minimum)
		}
	}
	return nil
}
