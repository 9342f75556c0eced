package rollout

import (
	"fmt"
	"maps"
	"time"

	"showrunner/cloud"
)

// Leftovers says how a region has to be cleaned up after a finished rollout. The
// caller that stores it carries it out later; nothing waits for it.
type Leftovers struct {
	// Current is the group that the rollout put into traffic.
	Current string `json:"current"`
	// Keep is how many groups without traffic are kept for a rollback; less than
	// zero keeps all of them.
	Keep int `json:"keep"`
	// Shrink says that kept groups are resized to no instances.
	Shrink bool `json:"shrink,omitempty"`
	// Unpin holds, by group, the minimum of instances to restore: the group's
	// minimum before the rollout pinned it, or its future minimum.
	Unpin map[string]int `json:"unpin,omitempty"`
	// Due is when cleaning up may begin.
	Due time.Time `json:"due"`
}

// Leftovers returns what a finished rollout leaves in each region; a region
// without anything to clean up is left out.
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

// After adds the unfinished work of an earlier rollout: groups that it pinned and
// this rollout did not touch get their minimum back.
func (l Leftovers) After(earlier Leftovers) Leftovers {
	for group, minimum := range earlier.Unpin {
		if _, ok := l.Unpin[group]; !ok {
			l = l.pinned(group, minimum)
		}
	}
	return l
}

// shrinks says whether groups without traffic keep no instances. A rollback
// treats the groups it leaves as the group it returns to was treated.
func shrinks(s Spec, shape shape, rs *RegionState) bool {
	return shape.shrink || len(s.Restore) > 0 && rs.Reused && rs.CapacityBefore.Desired == 0
}

// CleanUpAction is the action of a clean-up on a group.
type CleanUpAction string

const (
	Kept      CleanUpAction = "kept"      // unchanged, for a rollback
	Unpinned  CleanUpAction = "unpinned"  // kept, and scaling may shrink it again
	Shrunk    CleanUpAction = "shrunk"    // kept without instances
	Destroyed CleanUpAction = "destroyed" // removed
)

// GroupAction is the action on one group without traffic.
type GroupAction struct {
	Group  string
	Action CleanUpAction
	// Started says that the action has been started: only its end has to be
	// awaited.
	Started bool
}

// GroupActions decides the action on every group that the rollout has replaced in a
// region, and on every baseline: no rollout is under way that compares with it. It is
// pure. Except for baselines, it never includes a group with traffic, or a group that a
// later rollout has made. It includes nothing when the group that the rollout put
// into traffic is gone: then it is unknown which group replaces which.
func (l Leftovers) GroupActions(groups []cloud.ServerGroup) []GroupAction {
	var list []GroupAction
	for _, g := range groups {
		if g.IsBaseline() {
			list = append(list, GroupAction{Group: g.Name, Action: Destroyed, Started: g.Destroying})
		}
	}
	groups = versionsOf(groups)
	if _, ok := find(groups, l.Current); !ok {
		return list
	}
	kept := 0
	for _, g := range lastServedFirst(groups) {
		if g.Name == l.Current || g.Enabled() || newer(groups, g, l.Current) && g.TrafficUntil.IsZero() {
			continue
		}
		d := GroupAction{Group: g.Name, Action: Kept}
		switch minimum, pinned := l.Unpin[g.Name]; {
		case g.Destroying:
			d = GroupAction{Group: g.Name, Action: Destroyed, Started: true}
		case l.Keep >= 0 && kept >= l.Keep:
			d.Action = Destroyed
		case l.Shrink && (g.Capacity.Desired > 0 || len(g.Instances) > 0):
			d.Action, d.Started = Shrunk, g.Capacity.Desired == 0
		case !l.Shrink && pinned && g.Capacity.Min != min(minimum, g.Capacity.Desired):
			d.Action = Unpinned
		}
		if !g.Destroying {
			kept++
		}
		list = append(list, d)
	}
	return list
}

// CleanUp decides the next changes that clean up a region after the rollout, and
// says whether a started action has yet to end. With no changes and nothing under
// way, the clean-up is done. The caller has to check Due.
func (l Leftovers) CleanUp(region string, groups []cloud.ServerGroup, now time.Time) (changes []Change, underWay bool) {
	// A group that serves must not be touched, whatever has changed since groups
	// were read.
	guard := cloud.Guard{LastOne: true, Idle: true}
	if g, ok := find(groups, l.Current); ok {
		if minimum, pinned := l.Unpin[g.Name]; pinned && g.Capacity.Min > minimum {
			changes = append(changes, l.unpin(region, g, now))
		}
	}
	for _, d := range l.GroupActions(groups) {
		g, _ := find(groups, d.Group)
		c := Change{Region: region, ServerGroup: d.Group, Guard: guard, Kind: Resize}
		to := g.Capacity
		switch {
		case d.Started:
			underWay = true
			continue
		case d.Action == Kept:
			continue
		case g.Enabled(): // a baseline: its version serves in the other groups
			c.Kind, c.Key, c.Weights = Shift, fmt.Sprintf("clean-up/shift/%s/%d", g.Name, now.UnixNano()), map[string]float64{g.Name: 0}
			c.Guard = cloud.Guard{LastOne: true}
		case d.Action == Destroyed:
			c.Kind, c.Key = Destroy, "clean-up/destroy/"+g.Name
		case d.Action == Shrunk:
			// The change sets numbers and adds none, so it may be repeated when
			// another writer changed them.
			c.Key = fmt.Sprintf("clean-up/shrink/%s/%d", g.Name, now.UnixNano())
			to.Min, to.Desired = 0, 0
		case d.Action == Unpinned:
			changes = append(changes, l.unpin(region, g, now))
			continue
		}
		if c.Kind == Resize {
			c.Capacity = to
		}
		changes = append(changes, c)
	}
	return changes, underWay
}

// unpin lets scaling shrink a group again. It removes no instance.
func (l Leftovers) unpin(region string, g cloud.ServerGroup, now time.Time) Change {
	to := g.Capacity
	to.Min = min(l.Unpin[g.Name], to.Desired)
	return Change{Kind: Resize, Region: region, Key: fmt.Sprintf("clean-up/unpin/%s/%d", g.Name, now.UnixNano()), ServerGroup: g.Name, Capacity: to}
}
