package fleet

import (
	"time"

	"showrunner/cloud/driver"
	"showrunner/pipeline"
)

// The processes of a group that may be suspended, by the names of Auto Scaling.
const (
	processLaunch            = "Launch"
	processTerminate         = "Terminate"
	processAddToLoadBalancer = "AddToLoadBalancer"
	processAlarmNotification = "AlarmNotification"
	processAZRebalance       = "AZRebalance"
	processHealthCheck       = "HealthCheck"
	processReplaceUnhealthy  = "ReplaceUnhealthy"
	processScheduledActions  = "ScheduledActions"
)

// desired is the goal for a group.
type desired struct {
	Capacity    pipeline.Capacity
	Zones       []zone
	Suspended   map[string]bool
	Maintenance pipeline.Maintenance
	Destroying  bool
	// NotBefore delays launches, since instances of the group keep failing.
	NotBefore time.Time
	// Failing launches a tenth of the group at a time until an instance stays.
	Failing bool
}

type zone struct {
	Name string
	Down bool
}

// member is the data of an instance that plan needs.
type member struct {
	ID              string
	Zone            string
	Lifecycle       driver.Lifecycle
	Running         bool // its process has not ended
	Live            bool // its checks do not fail
	MarkedUnhealthy bool // a person or program set it to unhealthy
	Protected       bool // from scale-in
	Rebalancing     bool // launched to rebalance the zones
	Launched        time.Time
}

// changes are the next changes of a group. They are independent of each other.
type changes struct {
	Launch []launch
	End    []ending
	Wake   time.Time // when to plan again, if a change waits for a time; zero otherwise
}

type launch struct {
	Zone      string
	Rebalance bool
}

type ending struct {
	ID  string
	Why string
}

// census sorts a group's members by what they count as in its capacity.
type census struct {
	healthy, pending, unhealthy, dead []member
	rebalancing                       int // of pending
}

func count(want desired, members []member) census {
	var c census
	checked := !want.Suspended[processHealthCheck]
	for _, m := range members {
		active := m.Lifecycle == driver.Pending || m.Lifecycle == driver.InService
		switch {
		case m.Lifecycle == driver.InStandby && !m.Running && checked:
			c.dead = append(c.dead, m)
		case !active:
		case !m.Running && checked:
			c.dead = append(c.dead, m)
		case m.Lifecycle == driver.Pending:
			c.pending = append(c.pending, m)
			if m.Rebalancing {
				c.rebalancing++
			}
		case !m.Live && checked || m.MarkedUnhealthy:
			c.unhealthy = append(c.unhealthy, m)
		default:
			c.healthy = append(c.healthy, m)
		}
	}
	return c
}

// plan decides the next changes of a group, by Auto Scaling's rules. Instances
// that do not run are replaced at once. Other unhealthy instances are replaced a
// tenth of the group at a time (at least one; half as many when none is healthy),
// and not while earlier launches leave the group a tenth short. Instances set to
// unhealthy wait for neither. With a maintenance policy of 100% healthy, the
// replacement is in service before the unhealthy instance ends; otherwise at most
// as many instances are missing as the policy allows, at least one. plan is
// stateless: equal input gives equal changes, and no changes once they are under
// way.
func plan(want desired, members []member, now time.Time) changes {
	var out changes
	if want.Destroying {
		for _, m := range members {
			if m.Lifecycle != driver.Terminating && m.Lifecycle != driver.Terminated {
				out.End = append(out.End, ending{m.ID, "its server group is destroyed"})
			}
		}
		return out
	}
	c := count(want, members)
	mayEnd := !want.Suspended[processTerminate]
	mayReplace := mayEnd && !want.Suspended[processReplaceUnhealthy]
	size := min(max(want.Capacity.Desired, want.Capacity.Min), want.Capacity.Max)
	places := newPlaces(want.Zones, c)

	if mayReplace {
		for _, m := range c.dead {
			out.End = append(out.End, ending{m.ID, "it does not run"})
			places.leave(m)
		}
	} else {
		for _, m := range c.dead {
			if m.Lifecycle != driver.InStandby {
				c.unhealthy = append(c.unhealthy, m)
			}
		}
	}
	batch, allowance := max(1, size/10), max(1, size*(want.Maintenance.MaxHealthy-100)/100)
	if len(c.healthy) == 0 {
		batch = max(1, batch/2)
	}
	markedUnhealthy := 0
	for _, m := range c.unhealthy {
		if m.MarkedUnhealthy {
			markedUnhealthy++
		}
	}

	// Unhealthy members that a healthy one replaces already, or that exceed the
	// desired number.
	leaving := min(len(c.unhealthy), max(0, len(c.healthy)+len(c.unhealthy)-size))
	replacing := 0
	if mayReplace {
		short := size - len(c.healthy) - len(c.unhealthy) // missing, or not in service yet
		batchSize := max(batch, markedUnhealthy)
		switch waiting := len(c.pending) > c.rebalancing && short >= max(1, size/10) && markedUnhealthy == 0; {
		case waiting:
		case want.Suspended[processLaunch]: // ended without a replacement until Launch is resumed; but never the last ones
			if len(c.healthy) > 0 {
				leaving += min(len(c.unhealthy)-leaving, batchSize)
			}
		case want.Maintenance.MinHealthy == 100:
			replacing = max(0, min(len(c.unhealthy)-leaving, batchSize, allowance-c.rebalancing))
		default: // ended and launched at the same time
			missing := max(1, size*(100-want.Maintenance.MinHealthy)/100)
			gone := max(0, short)
			leaving += max(0, min(len(c.unhealthy)-leaving, max(batch-gone, markedUnhealthy), missing-gone))
		}
	}
	if mayEnd {
		for _, m := range markedUnhealthyFirst(c.unhealthy)[:leaving] {
			out.End = append(out.End, ending{m.ID, "it is unhealthy"})
			places.leave(m)
		}
	} else {
		leaving = 0
	}

	active := len(c.healthy) + len(c.pending) + len(c.unhealthy) - leaving
	target := size + replacing + c.rebalancing
	switch {
	case active < target:
		planLaunches(&out, want, places, target-active, len(c.pending), batch, now)
	case active > target && mayEnd:
		for _, m := range places.scaleIn(append(c.pending, c.healthy...), active-target, max(0, len(c.healthy)-size)) {
			out.End = append(out.End, ending{m.ID, "scaled down: the group had more instances than desired"})
		}
	case len(c.pending) == 0 && len(c.unhealthy) == 0 && len(out.End) == 0 && !want.Failing && !want.Suspended[processAZRebalance] &&
		mayEnd && !want.Suspended[processLaunch] && !now.Before(want.NotBefore):
		for _, z := range places.uneven(c.healthy, allowance) {
			out.Launch = append(out.Launch, launch{Zone: z, Rebalance: true})
		}
	}
	return out
}

func planLaunches(out *changes, want desired, places places, n, pending, batch int, now time.Time) {
	if want.Suspended[processLaunch] {
		return
	}
	if now.Before(want.NotBefore) {
		out.Wake = want.NotBefore
		return
	}
	if want.Failing {
		n = min(n, max(0, batch-pending))
	}
	for range n {
		z, ok := places.fewest()
		if !ok {
			return // every zone is down
		}
		out.Launch = append(out.Launch, launch{Zone: z})
	}
}
