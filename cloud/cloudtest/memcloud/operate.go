package memcloud

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"showrunner/cloud/driver"
	"showrunner/problem"
)

// ended says whether an id belonged to an instance that has ended: ids are
// numbered in order.
func (c *Cloud) ended(id string) bool {
	var n int
	_, err := fmt.Sscanf(strings.TrimPrefix(id, "i-"), "%x", &n)
	return err == nil && n >= 1 && n <= c.launched
}

// Amend implements driver.Amender.
func (c *Cloud) Amend(_ context.Context, name, group string, spec driver.ServerGroupSpec, key string) error {
	const op = "memcloud.amend"
	spec, err := checkSpec(spec, *c.config.Facts)
	if err != nil {
		return err
	}
	_, err = c.mutate(op, name, key, []any{group, driver.Identity(spec)}, func(r *region) (string, any, error) {
		g, err := r.group(op, group)
		if err == nil {
			err = driver.CheckAmend(g.Spec, spec)
		}
		if err != nil {
			return "", nil, err
		}
		spec.Env, spec.Capacity, spec.Weight = nil, g.Spec.Capacity, g.Spec.Weight
		g.Spec = spec
		return spec.Cluster, nil, nil
	})
	return err
}

// Terminate implements driver.Terminator.
func (c *Cloud) Terminate(_ context.Context, name, id string, opts driver.TerminateOptions, key string) error {
	const op = "memcloud.terminate"
	_, err := c.mutate(op, name, key, []any{id, opts.Kill, opts.Decrement}, func(r *region) (string, any, error) {
		g, i, err := r.instance(op, id)
		if err != nil {
			if c.ended(id) {
				return "", nil, nil
			}
			return "", nil, err
		}
		if err := r.canSpare(name, g, i, opts.Guard); err != nil {
			return "", nil, err
		}
		if opts.Decrement && i.Lifecycle != driver.InStandby {
			if err := lower(op, g); err != nil {
				return "", nil, err
			}
		}
		g.Instances = slices.DeleteFunc(g.Instances, func(i driver.Instance) bool { return i.ID == id })
		return g.Spec.Cluster, nil, nil
	})
	return err
}

// canSpare checks a guard against the removal of an instance from traffic.
func (r *region) canSpare(name string, g *driver.ServerGroup, i *driver.Instance, guard driver.Guard) error {
	before := r.serving(g.Spec.Cluster, nil)
	after := before
	if g.Enabled() && i.Serving() {
		after--
	}
	return driver.CheckGuard(guard, g.Spec.Cluster, name, before, after)
}

func lower(op string, g *driver.ServerGroup) error {
	if g.Capacity.Desired <= g.Capacity.Min {
		return problem.New(problem.Precondition, op, "server group %s cannot have fewer than its minimum of %d instances", g.Name, g.Capacity.Min)
	}
	g.Capacity.Desired--
	return nil
}

// SetStandby implements driver.Standby.
func (c *Cloud) SetStandby(_ context.Context, name, id string, standby bool, key string) error {
	const op = "memcloud.standby"
	_, err := c.mutate(op, name, key, []any{id, standby}, func(r *region) (string, any, error) {
		g, i, err := r.instance(op, id)
		switch {
		case err != nil:
			return "", nil, err
		case standby == (i.Lifecycle == driver.InStandby):
		case standby:
			if err := r.canSpare(name, g, i, driver.Guard{LastOne: true}); err != nil {
				return "", nil, err
			}
			if err := lower(op, g); err != nil {
				return "", nil, err
			}
			i.Lifecycle, i.Healthy = driver.InStandby, false
		case g.Capacity.Desired >= g.Capacity.Max:
			return "", nil, problem.New(problem.Precondition, op, "server group %s has its maximum of %d instances", g.Name, g.Capacity.Max)
		default:
			g.Capacity.Desired++
			i.Lifecycle, i.Healthy, i.ServingSince = driver.InService, true, c.config.Now()
		}
		return g.Spec.Cluster, nil, nil
	})
	return err
}

// SetProtection implements driver.Protection.
func (c *Cloud) SetProtection(_ context.Context, name, id string, protected bool, key string) error {
	const op = "memcloud.protect"
	_, err := c.mutate(op, name, key, []any{id, protected}, func(r *region) (string, any, error) {
		g, i, err := r.instance(op, id)
		if err != nil {
			return "", nil, err
		}
		i.Protected = protected
		return g.Spec.Cluster, nil, nil
	})
	return err
}

// SetHealth implements driver.HealthSetter: an instance that is set to unhealthy
// is replaced at once.
func (c *Cloud) SetHealth(_ context.Context, name, id string, healthy bool, key string) error {
	const op = "memcloud.set-health"
	_, err := c.mutate(op, name, key, []any{id, healthy}, func(r *region) (string, any, error) {
		g, i, err := r.instance(op, id)
		switch {
		case err != nil:
			return "", nil, err
		case i.Lifecycle != driver.InService:
			return "", nil, problem.New(problem.Precondition, op, "instance %s is %s, not %s", id, i.Lifecycle, driver.InService)
		case !healthy:
			g.Instances = slices.DeleteFunc(g.Instances, func(i driver.Instance) bool { return i.ID == id })
		}
		return g.Spec.Cluster, nil, nil
	})
	return err
}

// processes are the automatic activities of a group; every driver has the same.
var processes = []string{"Launch", "Terminate", "AddToLoadBalancer", "AlarmNotification", "AZRebalance", "HealthCheck", "ReplaceUnhealthy", "ScheduledActions"}

// Suspend implements driver.Suspender. Only Launch has an effect in this cloud.
func (c *Cloud) Suspend(_ context.Context, name, group string, named []string, key string) error {
	return c.setSuspended("memcloud.suspend", name, group, named, key, true)
}

// Resume implements driver.Suspender.
func (c *Cloud) Resume(_ context.Context, name, group string, named []string, key string) error {
	return c.setSuspended("memcloud.resume", name, group, named, key, false)
}

func (c *Cloud) setSuspended(op, name, group string, named []string, key string, suspend bool) error {
	if len(named) == 0 {
		named = processes
	}
	for _, p := range named {
		if !slices.Contains(processes, p) {
			return problem.New(problem.Invalid, op, "there is no process %q", p)
		}
	}
	_, err := c.mutate(op, name, key, []any{group, named}, func(r *region) (string, any, error) {
		g, err := r.group(op, group)
		if err != nil {
			return "", nil, err
		}
		var now []string
		for _, p := range processes {
			if suspend && slices.Contains(named, p) || slices.Contains(g.Suspended, p) && !slices.Contains(named, p) {
				now = append(now, p)
			}
		}
		g.Suspended = now
		return g.Spec.Cluster, nil, nil
	})
	return err
}

// SetLoadBalancer implements driver.LoadBalancing.
func (c *Cloud) SetLoadBalancer(_ context.Context, name string, lb driver.LoadBalancer, key string) error {
	if err := driver.CheckLoadBalancer(lb); err != nil {
		return err
	}
	_, err := c.mutate("memcloud.set-load-balancer", name, key, lb, func(r *region) (string, any, error) {
		r.balancers[lb.Name] = lb
		return "", nil, nil
	})
	return err
}

// RemoveLoadBalancer implements driver.LoadBalancing.
func (c *Cloud) RemoveLoadBalancer(_ context.Context, name, balancer, key string) error {
	_, err := c.mutate("memcloud.remove-load-balancer", name, key, balancer, func(r *region) (string, any, error) {
		delete(r.balancers, balancer)
		return "", nil, nil
	})
	return err
}

// LoadBalancers are the load balancers of a region by name, for tests.
func (c *Cloud) LoadBalancers(name string) map[string]driver.LoadBalancer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.regions[name]; r != nil {
		return maps.Clone(r.balancers)
	}
	return nil
}
