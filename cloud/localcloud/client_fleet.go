package localcloud

import (
	"context"
	"io"

	"showrunner/cloud/driver"
	"showrunner/pipeline"
)

// regionFleet has all methods of one region's fleet.
type regionFleet interface {
	driver.Cloud
	driver.Capacity
	driver.Amender
	driver.LoadBalancing
	driver.Terminator
	driver.Counter
	driver.Watcher
	driver.Logs
	driver.History
	driver.Standby
	driver.Protection
	driver.HealthSetter
	driver.Suspender
	driver.HookAnswerer
	driver.ZoneSetter
	driver.FaultInjector
}

// fleet finds the fleet of a region.
func (c *Client) fleet(region string) (regionFleet, error) {
	r, err := c.region(region)
	if err != nil {
		return nil, err
	}
	return r.fleet, nil
}

// Facts implements driver.Cloud.
func (c *Client) Facts(ctx context.Context, region string) (driver.Facts, error) {
	f, err := c.fleet(region)
	if err != nil {
		return driver.Facts{}, err
	}
	return f.Facts(ctx, region)
}

// CreateServerGroup implements driver.Versions.
func (c *Client) CreateServerGroup(ctx context.Context, region string, spec driver.ServerGroupSpec, key string) (driver.ServerGroup, error) {
	f, err := c.fleet(region)
	if err != nil {
		return driver.ServerGroup{}, err
	}
	return f.CreateServerGroup(ctx, region, spec, key)
}

// ServerGroups implements driver.Versions.
func (c *Client) ServerGroups(ctx context.Context, region, cluster string) ([]driver.ServerGroup, error) {
	f, err := c.fleet(region)
	if err != nil {
		return nil, err
	}
	return f.ServerGroups(ctx, region, cluster)
}

// Resize implements driver.Capacity.
func (c *Client) Resize(ctx context.Context, region, serverGroup string, to pipeline.Capacity, guard driver.Guard, key string) error {
	f, err := c.fleet(region)
	if err != nil {
		return err
	}
	return f.Resize(ctx, region, serverGroup, to, guard, key)
}

// Amend implements driver.Amender.
func (c *Client) Amend(ctx context.Context, region, serverGroup string, spec driver.ServerGroupSpec, key string) error {
	f, err := c.fleet(region)
	if err != nil {
		return err
	}
	return f.Amend(ctx, region, serverGroup, spec, key)
}

// SetLoadBalancer implements driver.LoadBalancing.
func (c *Client) SetLoadBalancer(ctx context.Context, region string, lb driver.LoadBalancer, key string) error {
	f, err := c.fleet(region)
	if err != nil {
		return err
	}
	return f.SetLoadBalancer(ctx, region, lb, key)
}

// RemoveLoadBalancer implements driver.LoadBalancing.
func (c *Client) RemoveLoadBalancer(ctx context.Context, region, name, key string) error {
	f, err := c.fleet(region)
	if err != nil {
		return err
	}
	return f.RemoveLoadBalancer(ctx, region, name, key)
}

// SetWeights implements driver.Traffic.
func (c *Client) SetWeights(ctx context.Context, region, cluster string, weights map[string]float64, guard driver.Guard, key string) error {
	f, err := c.fleet(region)
	if err != nil {
		return err
	}
	return f.SetWeights(ctx, region, cluster, weights, guard, key)
}

// Destroy implements driver.Versions.
func (c *Client) Destroy(ctx context.Context, region, serverGroup string, guard driver.Guard, key string) error {
	f, err := c.fleet(region)
	if err != nil {
		return err
	}
	return f.Destroy(ctx, region, serverGroup, guard, key)
}

// Terminate implements driver.Terminator.
func (c *Client) Terminate(ctx context.Context, region, instance string, opts driver.TerminateOptions, key string) error {
	f, err := c.fleet(region)
	if err != nil {
		return err
	}
	return f.Terminate(ctx, region, instance, opts, key)
}

// Counts implements driver.Counter.
func (c *Client) Counts(ctx context.Context, region, cluster string) ([]driver.Counts, error) {
	f, err := c.fleet(region)
	if err != nil {
		return nil, err
	}
	return f.Counts(ctx, region, cluster)
}

// WaitChanges implements driver.Watcher.
func (c *Client) WaitChanges(ctx context.Context, region string, revision uint64) (driver.Changes, error) {
	f, err := c.fleet(region)
	if err != nil {
		return driver.Changes{}, err
	}
	return f.WaitChanges(ctx, region, revision)
}

// InstanceLog implements driver.Logs.
func (c *Client) InstanceLog(ctx context.Context, region, instance string, follow bool, to io.Writer) error {
	f, err := c.fleet(region)
	if err != nil {
		return err
	}
	return f.InstanceLog(ctx, region, instance, follow, to)
}

// EndedInstances implements driver.History.
func (c *Client) EndedInstances(ctx context.Context, region string) ([]driver.Instance, error) {
	f, err := c.fleet(region)
	if err != nil {
		return nil, err
	}
	return f.EndedInstances(ctx, region)
}

// SetStandby implements driver.Standby.
func (c *Client) SetStandby(ctx context.Context, region, instance string, standby bool, key string) error {
	f, err := c.fleet(region)
	if err != nil {
		return err
	}
	return f.SetStandby(ctx, region, instance, standby, key)
}

// SetProtection implements driver.Protection.
func (c *Client) SetProtection(ctx context.Context, region, instance string, protected bool, key string) error {
	f, err := c.fleet(region)
	if err != nil {
		return err
	}
	return f.SetProtection(ctx, region, instance, protected, key)
}

// SetHealth implements driver.HealthSetter.
func (c *Client) SetHealth(ctx context.Context, region, instance string, healthy bool, key string) error {
	f, err := c.fleet(region)
	if err != nil {
		return err
	}
	return f.SetHealth(ctx, region, instance, healthy, key)
}

// AnswerHook implements driver.HookAnswerer.
func (c *Client) AnswerHook(ctx context.Context, region, instance string, answer driver.HookAnswer, key string) error {
	f, err := c.fleet(region)
	if err != nil {
		return err
	}
	return f.AnswerHook(ctx, region, instance, answer, key)
}

// Suspend implements driver.Suspender.
func (c *Client) Suspend(ctx context.Context, region, serverGroup string, processes []string, key string) error {
	f, err := c.fleet(region)
	if err != nil {
		return err
	}
	return f.Suspend(ctx, region, serverGroup, processes, key)
}

// Resume implements driver.Suspender.
func (c *Client) Resume(ctx context.Context, region, serverGroup string, processes []string, key string) error {
	f, err := c.fleet(region)
	if err != nil {
		return err
	}
	return f.Resume(ctx, region, serverGroup, processes, key)
}

// SetZone implements driver.ZoneSetter.
func (c *Client) SetZone(ctx context.Context, region, zone string, down bool, key string) error {
	f, err := c.fleet(region)
	if err != nil {
		return err
	}
	return f.SetZone(ctx, region, zone, down, key)
}
