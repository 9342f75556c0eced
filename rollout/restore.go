package rollout

import (
	"maps"
	"slices"
	"strings"

	"showrunner/cloud"
)

// Restorable chooses, in every region, the server group that a rollback returns
// to. to names a version or a group; empty is, of the kept groups older than the
// newest one in traffic, the one that had traffic last (a version that was rolled
// back had it before the one that was returned to), and then only regions that
// serve the newest version are touched: the others are before it already. fixed names what was chosen
// before, by region. missing are the regions that keep nothing to return to.
func Restorable(observed map[string][]cloud.ServerGroup, to string, fixed map[string]string) (chosen map[string]cloud.ServerGroup, missing []string) {
	chosen = map[string]cloud.ServerGroup{}
	newest := newestVersion(observed)
	for _, region := range slices.Sorted(maps.Keys(observed)) {
		groups := observed[region]
		target, ok := find(groups, fixed[region])
		if now := lastEnabled(groups); !ok && to == "" && now >= 0 && groups[now].Spec.Version != newest {
			continue // it does not serve what is rolled back
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

// lastServedFirst sorts groups, oldest first, by how good they are to return to:
// those in traffic, then those that had it last, then the newest.
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
