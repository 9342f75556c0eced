package rollout

import (
	"maps"
	"slices"
	"strings"

	"showrunner/cloud"
)

// Restorable chooses, in every region, the server group that a rollback returns
// to. to names a version or a group. When to is empty, Restorable chooses among
// the kept groups that are older than the newest group in traffic, and takes the
// group that had traffic last. (A version that was rolled back had traffic before
// the group that replaced it.) Only regions that serve the newest version are
// then touched: the others already serve an earlier one. fixed names the groups
// that were chosen before, by region. missing are the regions that keep no group
// to return to.
func Restorable(observed map[string][]cloud.ServerGroup, to string, fixed map[string]string) (chosen map[string]cloud.ServerGroup, missing []string) {
	chosen = map[string]cloud.ServerGroup{}
	versions := make(map[string][]cloud.ServerGroup, len(observed))
	for region, groups := range observed {
		versions[region] = versionsOf(groups)
	}
	observed = versions
	newest := newestVersion(observed)
	for _, region := range slices.Sorted(maps.Keys(observed)) {
		groups := observed[region]
		target, ok := find(groups, fixed[region])
		if now := lastEnabled(groups); !ok && to == "" && now >= 0 && groups[now].Spec.Version != newest {
			continue // the region does not serve the version that is rolled back
		}
		if !ok {
			target, ok = restorable(groups, to)
		}
		if !ok {
			missing = append(missing, region)
			continue
		}
		chosen[region] = target
	}
	return chosen, missing
}

// newestVersion is the version that was put into traffic last, over all regions.
func newestVersion(observed map[string][]cloud.ServerGroup) string {
	var newest cloud.ServerGroup
	for _, groups := range observed {
		if i := lastEnabled(groups); i >= 0 && groups[i].Created.After(newest.Created) {
			newest = groups[i]
		}
	}
	return newest.Spec.Version
}

func restorable(groups []cloud.ServerGroup, to string) (cloud.ServerGroup, bool) {
	if now := lastEnabled(groups); to == "" && now >= 0 {
		groups = groups[:now]
	}
	if to == "" {
		groups = lastServedFirst(groups)
	} else {
		groups = slices.Clone(groups)
		slices.Reverse(groups)
	}
	for _, g := range groups {
		if !g.Destroying && (to == "" || g.Name == to || g.Spec.Version == to || strings.HasSuffix(g.Name, "-"+to)) {
			return g, true
		}
	}
	return cloud.ServerGroup{}, false
}

// lastServedFirst sorts groups by preference for a rollback: groups in traffic
// first, then the group that had traffic last, then the newest.
func lastServedFirst(groups []cloud.ServerGroup) []cloud.ServerGroup {
	groups = slices.Clone(groups)
	slices.Reverse(groups)
	slices.SortStableFunc(groups, func(a, b cloud.ServerGroup) int {
		switch {
		case a.Enabled() != b.Enabled():
			if a.Enabled() {
				return -1
			}
			return 1
		case a.Enabled():
			return 0
		}
		return b.TrafficUntil.Compare(a.TrafficUntil)
	})
	return groups
}
