package rollout

import (
	"maps"
	"slices"
	"strings"

	"showrunner/cloud"
)

// Restorable chooses, in every region, the server group that a rollback returns
// to. to names a version or a group; empty is the newest kept group older than
// the newest one in traffic, and then only regions that serve the newest version
// are touched: the others are before it already. fixed names what was chosen
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
	now := lastEnabled(groups)
	for i, g := range slices.Backward(groups) {
		switch {
		case g.Destroying:
		case to != "":
			if g.Name == to || g.Spec.Version == to || strings.HasSuffix(g.Name, "-"+to) {
				return g, true
			}
		case i < now || now < 0:
			return g, true
		}
	}
	return cloud.ServerGroup{}, false
}
