package memcloud

import (
	"context"
	"maps"
	"slices"
	"time"

	"showrunner/cloud/driver"

	"showrunner/problem"
)

// Inject implements driver.FaultInjector. Faults are listed and have no effect.
func (c *Cloud) Inject(_ context.Context, name string, f driver.Fault, key string) error {
	const op = "memcloud.inject"
	if err := driver.CheckFault(f); err != nil {
		return err
	}
	_, err := c.mutate(op, name, key, f, func(r *region) (string, any, error) {
		if _, taken := r.faults[f.ID]; taken {
			return "", nil, problem.New(problem.Conflict, op, "a fault %s is under way already", f.ID)
		}
		for _, id := range f.Instances {
			if _, _, err := r.instance(op, id); err != nil {
				return "", nil, err
			}
		}
		now := c.config.Now()
		r.faults[f.ID] = driver.ActiveFault{Fault: f, Began: now, Until: now.Add(time.Duration(f.Duration))}
		return f.Cluster, nil, nil
	})
	return err
}

// Undo implements driver.FaultInjector.
func (c *Cloud) Undo(_ context.Context, name, fault, key string) error {
	_, err := c.mutate("memcloud.undo", name, key, fault, func(r *region) (string, any, error) {
		delete(r.faults, fault)
		return "", nil, nil
	})
	return err
}

// ActiveFaults implements driver.FaultInjector. Those whose time is over are none.
func (c *Cloud) ActiveFaults(_ context.Context, name string) ([]driver.ActiveFault, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, err := c.region("memcloud.faults", name)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(r.faults, func(_ string, a driver.ActiveFault) bool { return !a.Until.After(c.config.Now()) })
	list := []driver.ActiveFault{}
	for _, id := range slices.Sorted(maps.Keys(r.faults)) {
		list = append(list, r.faults[id])
	}
	return list, nil
}
