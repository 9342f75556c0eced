package fleet

import (
	"cmp"
	"slices"

	"showrunner/cloud/driver"
)

// places counts a group's instances by zone while changes are planned.
type places struct {
	up     []string // zones that may take instances, in order
	counts map[string]int
}

func newPlaces(zones []zone, c census) places {
	p := places{counts: map[string]int{}}
	for _, z := range zones {
		if !z.Down {
			p.up = append(p.up, z.Name)
		}
	}
	for _, list := range [][]member{c.healthy, c.pending, c.unhealthy, c.dead} {
		for _, m := range list {
			if m.Lifecycle != driver.InStandby {
				p.counts[m.Zone]++
			}
		}
	}
	return p
}

func (p places) leave(m member) {
	if m.Lifecycle != driver.InStandby {
		p.counts[m.Zone]--
	}
}

// fewest takes a place in the zone with the fewest instances, the first among
// equals.
func (p places) fewest() (string, bool) {
	if len(p.up) == 0 {
		return "", false
	}
	z := slices.MinFunc(p.up, func(a, b string) int { return p.counts[a] - p.counts[b] })
	p.counts[z]++
	return z, true
}

// scaleIn chooses up to n members to end, each from the zone with the most
// instances that has an unprotected one; this rule comes first. Inside a zone,
// Auto Scaling's default policy prefers outdated configuration, which a group of
// one version does not have, and is otherwise random. This function prefers
// instances that do not serve yet, then the oldest. It chooses at most spare of
// those in service, so that a group that shrinks while it starts keeps its
// serving instances. It chooses fewer than n when the rest is protected.
func (p places) scaleIn(from []member, n, spare int) []member {
	from = slices.DeleteFunc(slices.Clone(from), func(m member) bool { return m.Protected || m.Rebalancing && m.Lifecycle == driver.Pending })
	var chosen []member
	for range n {
		best := -1
		for i, m := range from {
			if m.Lifecycle == driver.InService && spare == 0 {
				continue
			}
			if best < 0 || cmp.Or(p.counts[from[best].Zone]-p.counts[m.Zone], order(m, from[best])) < 0 {
				best = i
			}
		}
		if best < 0 {
			break
		}
		if from[best].Lifecycle == driver.InService {
			spare--
		}
		chosen = append(chosen, from[best])
		p.leave(from[best])
		from = slices.Delete(from, best, best+1)
	}
	return chosen
}

// uneven names the zones in which to launch so that the group becomes balanced
// when as many instances end elsewhere, at most allowance of them.
func (p places) uneven(healthy []member, allowance int) []string {
	var zones []string
	unprotected := map[string]int{}
	for _, m := range healthy {
		if !m.Protected {
			unprotected[m.Zone]++
		}
	}
	if len(p.up) == 0 {
		return nil
	}
	for range allowance {
		least := slices.MinFunc(p.up, func(a, b string) int { return p.counts[a] - p.counts[b] })
		most := ""
		for z, n := range unprotected {
			if n > 0 && (most == "" || p.counts[z] > p.counts[most] || p.counts[z] == p.counts[most] && z < most) {
				most = z
			}
		}
		if most == "" || p.counts[most]-p.counts[least] < 2 {
			break
		}
		zones = append(zones, least)
		p.counts[least]++
		p.counts[most]--
		unprotected[most]--
	}
	return zones
}

// markedUnhealthyFirst sorts unhealthy members for replacement: those set to unhealthy
// first, then the oldest.
func markedUnhealthyFirst(list []member) []member {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b member) int {
		if a.MarkedUnhealthy != b.MarkedUnhealthy {
			if a.MarkedUnhealthy {
				return -1
			}
			return 1
		}
		return cmp.Or(a.Launched.Compare(b.Launched), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// order sorts by how little is lost when an instance ends.
func order(a, b member) int {
	serving := func(m member) int {
		if m.Lifecycle == driver.Pending {
			return 0
		}
		return 1
	}
	return cmp.Or(serving(a)-serving(b), a.Launched.Compare(b.Launched), cmp.Compare(a.ID, b.ID))
}
