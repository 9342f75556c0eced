package fleet

import (
	"context"
	"slices"
	"strings"
	"time"

	"showrunner/cloud/driver"
	"showrunner/problem"
)

// locate finds an instance and its group's record in next.
func (f *Fleet) locate(next *document, op, id string) (*instance, record, error) {
	i := f.instances[id]
	if i == nil {
		return nil, record{}, problem.New(problem.NotFound, op, "there is no instance %s in %s", id, f.config.Region)
	}
	return i, next.Groups[i.group.name], nil
}

// endedInstance finds an instance that ended recently.
func (f *Fleet) endedInstance(id string) (driver.Instance, bool) {
	for _, g := range f.groups {
		for _, i := range g.ended {
			if i.ID == id {
				return i, true
			}
		}
	}
	return driver.Instance{}, false
}

// Terminate implements driver.Terminator. It succeeds for an instance that is
// ending or has ended.
func (f *Fleet) Terminate(_ context.Context, region, id string, opts driver.TerminateOptions, key string) error {
	const op = "fleet.terminate"
	_, err := f.mutate(op, region, key, []any{id, opts.Kill, opts.Decrement}, func(next *document) (func(), *madeOnce, error) {
		i, r, err := f.locate(next, op, id)
		if err != nil {
			if _, ended := f.endedInstance(id); ended {
				return nil, nil, nil
			}
			return nil, nil, err
		}
		if i.lifecycle != driver.Terminating {
			if err := f.canSpare(i, r, opts.Guard); err != nil {
				return nil, nil, err
			}
			// An instance in standby has already lowered the desired capacity.
			if opts.Decrement && i.lifecycle != driver.InStandby {
				if err := decrementDesired(op, &r, i.group.name); err != nil {
					return nil, nil, err
				}
			}
			r.Standby = without(r.Standby, id)
			next.Groups[i.group.name] = r
		}
		return func() { f.end(i, "ended on request", opts.Kill) }, nil, nil
	})
	return err
}

// canSpare checks a guard against the removal of an instance from traffic.
func (f *Fleet) canSpare(i *instance, r record, guard driver.Guard) error {
	before := f.servingOf(i.group.cluster, f.weightOf)
	after := before
	if r.Weight > 0 && i.inService() {
		after--
	}
	return driver.CheckGuard(guard, i.group.cluster, f.config.Region, before, after)
}

// decrementDesired reduces a group's desired capacity by one.
func decrementDesired(op string, r *record, name string) error {
	if r.Capacity.Desired-1 < r.Capacity.Min {
		return problem.New(problem.Precondition, op, "server group %s cannot have fewer than its minimum of %d instances", name, r.Capacity.Min).
			WithHelp("lower the minimum first, or let the instance be replaced")
	}
	r.Capacity.Desired--
	return nil
}

func without(list []string, s string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(have string) bool { return have == s })
}

// SetStandby implements driver.Standby. An instance in standby is not checked and
// gets no requests. The desired capacity falls by one on entry and rises by one
// on return; the instance then has to become healthy again. The last instance
// that serves a cluster in a region is refused, since standby is never urgent.
func (f *Fleet) SetStandby(_ context.Context, region, id string, standby bool, key string) error {
	const op = "fleet.standby"
	_, err := f.mutate(op, region, key, []any{id, standby}, func(next *document) (func(), *madeOnce, error) {
		i, r, err := f.locate(next, op, id)
		if err != nil {
			return nil, nil, err
		}
		from := driver.InService
		if !standby {
			from = driver.InStandby
		}
		switch {
		case standby == (i.lifecycle == driver.InStandby):
			return nil, nil, nil
		case i.lifecycle != from || !i.running:
			return nil, nil, problem.New(problem.Precondition, op, "instance %s is %s, not %s", id, i.lifecycle, from)
		case standby:
			if err := f.canSpare(i, r, driver.Guard{LastOne: true}); err != nil {
				return nil, nil, err
			}
			if err := decrementDesired(op, &r, i.group.name); err != nil {
				return nil, nil, err
			}
			r.Standby = append(slices.Clone(r.Standby), id)
		default:
			if r.Capacity.Desired >= r.Capacity.Max {
				return nil, nil, problem.New(problem.Precondition, op, "server group %s has its maximum of %d instances", i.group.name, r.Capacity.Max).
					WithHelp("raise the maximum first")
			}
			r.Capacity.Desired++
			r.Standby = without(r.Standby, id)
		}
		next.Groups[i.group.name] = r
		return func() { f.switchStandby(i, standby) }, nil, nil
	})
	return err
}

func (f *Fleet) switchStandby(i *instance, standby bool) {
	i.ready, i.live, i.registered, i.markedUnhealthy, i.failure = false, true, false, false, nil
	i.lifecycle = driver.Pending
	if standby {
		i.lifecycle = driver.InStandby
	} else {
		i.returned <- struct{}{} // room for one: a return follows only after the previous one was received
	}
	f.push(i.group.cluster)
	f.bump(i.group.cluster)
}

// dropStandby removes an ended instance from its group's standby list.
func (f *Fleet) dropStandby(i *instance) {
	r := f.doc.Groups[i.group.name]
	if !slices.Contains(r.Standby, i.id) || f.closing {
		return
	}
	next := f.doc.clone()
	r.Standby = without(r.Standby, i.id)
	next.Groups[i.group.name] = r
	if err := f.folder.save(next); err != nil {
		f.config.Log.Error("cannot record that an instance in standby ended", "instance", i.id, "err", err)
	}
	f.doc = next
}

// SetProtection implements driver.Protection: a protected instance is not chosen
// when its group shrinks. It is still replaced when unhealthy, and may be
// terminated.
func (f *Fleet) SetProtection(_ context.Context, region, id string, protected bool, key string) error {
	const op = "fleet.protect"
	_, err := f.mutate(op, region, key, []any{id, protected}, func(next *document) (func(), *madeOnce, error) {
		i, _, err := f.locate(next, op, id)
		if err != nil {
			return nil, nil, err
		}
		return func() { i.protected = protected; f.bump(i.group.cluster) }, nil, nil
	})
	return err
}

// SetHealth implements driver.HealthSetter. An instance that is set to unhealthy
// is replaced whatever its checks say; it serves until its replacement does, if
// the maintenance policy requires that. It is left alone until its grace period
// has ended.
func (f *Fleet) SetHealth(_ context.Context, region, id string, healthy bool, key string) error {
	const op = "fleet.set-health"
	_, err := f.mutate(op, region, key, []any{id, healthy}, func(next *document) (func(), *madeOnce, error) {
		i, _, err := f.locate(next, op, id)
		if err != nil {
			return nil, nil, err
		}
		if i.lifecycle != driver.InService || !i.running {
			return nil, nil, problem.New(problem.Precondition, op, "instance %s is %s, not %s", id, i.lifecycle, driver.InService).
				WithHelp("the health of an instance can be set while it is in service")
		}
		return func() {
			if i.markedUnhealthy == !healthy {
				return
			}
			i.markedUnhealthy = !healthy
			switch {
			case !healthy:
				i.failure = &driver.InstanceFailure{Code: "CONDEMNED", At: f.config.Now(), Cause: "it was set to unhealthy", Probe: i.probeDetail}
			case i.live:
				i.failure = nil
			}
			f.bump(i.group.cluster)
		}, nil, nil
	})
	return err
}

// suspendable are the processes of a group, in the order they are shown.
var suspendable = []string{processLaunch, processTerminate, processAddToLoadBalancer, processAlarmNotification,
	processAZRebalance, processHealthCheck, processReplaceUnhealthy, processScheduledActions}

// Suspend implements driver.Suspender. No process named means all.
func (f *Fleet) Suspend(_ context.Context, region, name string, processes []string, key string) error {
	return f.setSuspended("fleet.suspend", region, name, processes, key, true)
}

// Resume implements driver.Suspender. No process named means all.
func (f *Fleet) Resume(_ context.Context, region, name string, processes []string, key string) error {
	return f.setSuspended("fleet.resume", region, name, processes, key, false)
}

func (f *Fleet) setSuspended(op, region, name string, processes []string, key string, suspend bool) error {
	if len(processes) == 0 {
		processes = suspendable
	}
	for _, p := range processes {
		if !slices.Contains(suspendable, p) {
			return problem.New(problem.Invalid, op, "there is no process %q to suspend", p).WithHelp("there are: %s", strings.Join(suspendable, ", "))
		}
	}
	_, err := f.mutate(op, region, key, []any{name, processes}, func(next *document) (func(), *madeOnce, error) {
		g, r, err := f.find(next, op, name)
		if err != nil {
			return nil, nil, err
		}
		var now []string
		for _, p := range suspendable {
			if slices.Contains(processes, p) && suspend || slices.Contains(r.Suspended, p) && !slices.Contains(processes, p) {
				now = append(now, p)
			}
		}
		r.Suspended = now
		if !suspend && slices.Contains(processes, processLaunch) {
			r.FailingSince = time.Time{} // another day begins
		}
		next.Groups[name] = r
		return func() { f.resumed(g) }, nil, nil
	})
	return err
}

// resumed registers instances that became healthy while AddToLoadBalancer was
// suspended, once it is resumed.
func (f *Fleet) resumed(g *group) {
	for _, i := range g.instances {
		if i.lifecycle == driver.InService && i.running && !i.registered && !f.suspended(g, processAddToLoadBalancer) {
			i.registered, i.serving = true, f.config.Now()
		}
	}
	f.push(g.cluster)
	f.bump(g.cluster)
}

// SetZone implements driver.ZoneSetter. The instances of a zone that is down are
// killed as in an outage, nothing launches there, and the other zones take over.
// When the zone is back, groups are rebalanced a few instances at a time. The
// setting survives restarts of the region.
func (f *Fleet) SetZone(_ context.Context, region, name string, down bool, key string) error {
	const op = "fleet.zone"
	_, err := f.mutate(op, region, key, []any{name, down}, func(next *document) (func(), *madeOnce, error) {
		if !slices.Contains(f.config.Zones, name) {
			return nil, nil, problem.New(problem.NotFound, op, "there is no zone %s in %s", name, region).WithHelp("the zones are %v", f.config.Zones)
		}
		if !down {
			delete(next.DownZones, name)
			return nil, nil, nil
		}
		next.DownZones[name] = f.config.Now()
		return func() { f.killZone(name) }, nil, nil
	})
	return err
}

// killZone kills every process of a zone at once and without notice.
func (f *Fleet) killZone(zone string) {
	clusters := map[string]bool{}
	for _, i := range f.instances {
		if i.zone != zone || !i.running {
			continue
		}
		i.outage = true
		i.failure = &driver.InstanceFailure{Code: "EXITED", Cause: "its zone " + zone + " is in outage", At: f.config.Now()}
		if i.process != nil {
			i.process.Signal(killSignal)
		} else {
			i.cancel()
		}
		clusters[i.group.cluster] = true
	}
	for c := range clusters {
		f.bump(c)
	}
}
