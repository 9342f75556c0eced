package rollout

import (
	"fmt"
	"maps"
	"time"

	"showrunner/cloud"
)

// Leftovers says how a rollout that has finished wants a region to be left. It is
// carried out after the rollout, by whoever keeps it: nothing waits for it.
type Leftovers struct {
	// Current is the group that the rollout put into traffic.
	Current string `json:"current"`
	// Keep is how many groups without traffic are kept to return to; less than zero
	// keeps all of them.
	Keep int `json:"keep"`
	// Shrink says that kept groups have no instances.
	Shrink bool `json:"shrink,omitempty"`
	// Unpin holds, by group, the minimum of instances that it had before scaling was
	// kept from shrinking it, or is to have from now on.
	Unpin map[string]int `json:"unpin,omitempty"`
	// Due is when cleaning up may begin.
	Due time.Time `json:"due"`
}

// Leftovers are what a finished rollout leaves in each region; none for a region
// in which there is nothing to clean up.
func (s Spec) Leftovers(st State) map[string]Leftovers {
	shape, all := shapeOf(s.Strategy), map[string]Leftovers{}
	if st.Finished.IsZero() || shape.coexist {
		return all
	}
	for _, w := range s.Waves {
		for _, region := range w.Regions {
			rs := st.Regions[region]
			if rs == nil || rs.Phase == Cleaned { // an earlier version of this program has cleaned up
				continue
			}
			l := Leftovers{Current: rs.New, Keep: shape.keep, Shrink: shrinks(s, shape, rs), Due: st.Finished.Add(shape.delay)}
			for _, b := range rs.PreviousGroups {
				if b.Pinned {
					l = l.pinned(b.Name, b.Capacity.Min)
				}
			}
			if _, pinned := s.Pinned[region][rs.New]; pinned {
				l = l.pinned(rs.New, rs.FinalCapacity.Min)
			}
			all[region] = l
		}
	}
	return all
}

func (l Leftovers) pinned(group string, minimum int) Leftovers {
	l.Unpin = maps.Clone(l.Unpin)
	if l.Unpin == nil {
		l.Unpin = map[string]int{}
	}
	l.Unpin[group] = minimum
	return l
}

// After joins what an earlier rollout has left to be done: groups that it pinned
// and this one did not touch are given back their minimum.
func (l Leftovers) After(earlier Leftovers) Leftovers {
	for group, minimum := range earlier.Unpin {
		if _, ok := l.Unpin[group]; !ok {
			l = l.pinned(group, minimum)
		}
	}
	return l
}

// shrinks says whether groups without traffic keep no instances. A rollback does
// to what it leaves what had been done to the group it returns to.
func shrinks(s Spec, shape shape, rs *RegionState) bool {
	return shape.shrink || len(s.Restore) > 0 && rs.Reused && rs.CapacityBefore.Desired == 0
}

// Fate is what cleaning up does to a group.
type Fate string

const (
	Kept      Fate = "kept"      // as it is, to return to
	Unpinned  Fate = "unpinned"  // kept, and scaling may shrink it again
	Shrunk    Fate = "shrunk"    // kept without instances
	Destroyed Fate = "destroyed" // removed
)

// Disposal is what becomes of one group without traffic.
type Disposal struct {
	Group string
	Fate  Fate
	// Under says that it is on its way: what is left to do is to wait.
	Under bool
}

// Dispose decides what becomes of every group of a region that the rollout has
// replaced. It is pure. A group that takes traffic is never among them, nor is one
// that a later rollout has made, nor anything when the group that the rollout put
// into traffic is gone: then nobody knows what replaces what.
func (l Leftovers) Dispose(groups []cloud.ServerGroup) []Disposal {
	if _, ok := find(groups, l.Current); !ok {
		return nil
	}
	var list []Disposal
	kept := 0
	for _, g := range lastServedFirst(groups) {
		if g.Name == l.Current || g.Enabled() || newer(groups, g, l.Current) && g.TrafficUntil.IsZero() {
			continue
		}
		d := Disposal{Group: g.Name, Fate: Kept}
		switch minimum, pinned := l.Unpin[g.Name]; {
		case g.Destroying:
			d = Disposal{Group: g.Name, Fate: Destroyed, Under: true}
		case l.Keep >= 0 && kept >= l.Keep:
			d.Fate = Destroyed
		case l.Shrink && (g.Capacity.Desired > 0 || len(g.Instances) > 0):
			d.Fate, d.Under = Shrunk, g.Capacity.Desired == 0
		case !l.Shrink && pinned && g.Capacity.Min != min(minimum, g.Capacity.Desired):
			d.Fate = Unpinned
		}
		if !g.Destroying {
			kept++
		}
		list = append(list, d)
	}
	return list
}

// CleanUp decides what to do next about what the rollout has left in a region, and
// whether something is still on its way out. With neither, it is done. Due is the
// caller's to keep.
func (l Leftovers) CleanUp(region string, groups []cloud.ServerGroup, now time.Time) (changes []Change, under bool) {
	// Nothing that serves may be touched, whatever has changed since groups were read.
	guard := cloud.Guard{LastOne: true, Idle: true}
	if g, ok := find(groups, l.Current); ok {
		if minimum, pinned := l.Unpin[g.Name]; pinned && g.Capacity.Min > minimum {
			changes = append(changes, l.unpin(region, g, now))
		}
	}
	for _, d := range l.Dispose(groups) {
		g, _ := find(groups, d.Group)
		c := Change{Region: region, ServerGroup: d.Group, Guard: guard, Kind: Resize}
		to := g.Capacity
		switch {
		case d.Under:
			under = true
			continue
		case d.Fate == Kept:
			continue
		case d.Fate == Destroyed:
			c.Kind, c.Key = Destroy, "clean-up/destroy/"+g.Name
		case d.Fate == Shrunk:
			// It sets numbers and adds none, so it may be made again when somebody else changed them.
			c.Key = fmt.Sprintf("clean-up/shrink/%s/%d", g.Name, now.UnixNano())
			to.Min, to.Desired = 0, 0
		case d.Fate == Unpinned:
			changes = append(changes, l.unpin(region, g, now))
			continue
		}
		if c.Kind == Resize {
			c.Capacity = to
		}
		changes = append(changes, c)
	}
	return changes, under
}

// unpin lets scaling shrink a group again. It takes no instance away.
func (l Leftovers) unpin(region string, g cloud.ServerGroup, now time.Time) Change {
	to := g.Capacity
	to.Min = min(l.Unpin[g.Name], to.Desired)
	return Change{Kind: Resize, Region: region, Key: fmt.Sprintf("clean-up/unpin/%s/%d", g.Name, now.UnixNano()), ServerGroup: g.Name, Capacity: to}
}
