package memcloud

import (
	"context"
	"io"
	"slices"

	"showrunner/cloud/driver"
)

// Regions implements driver.Cloud.
func (c *Cloud) Regions(context.Context) ([]driver.Region, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []driver.Region
	for _, name := range c.config.Regions {
		list = append(list, driver.Region{Name: name, Zones: zonesOf(name), Healthy: true, Since: c.regions[name].since})
	}
	return list, nil
}

// ServerGroups implements driver.Versions.
func (c *Cloud) ServerGroups(_ context.Context, name, cluster string) ([]driver.ServerGroup, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, err := c.region("memcloud.list", name)
	if err != nil {
		return nil, err
	}
	list := []driver.ServerGroup{}
	for _, g := range r.groups {
		if cluster == "" || g.Spec.Cluster == cluster {
			list = append(list, copyOf(g))
		}
	}
	return list, nil
}

func copyOf(g *driver.ServerGroup) driver.ServerGroup {
	out := *g
	out.Instances, out.Suspended = slices.Clone(g.Instances), slices.Clone(g.Suspended)
	return out
}

// Counts implements driver.Counter.
func (c *Cloud) Counts(_ context.Context, name, cluster string) ([]driver.Counts, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, err := c.region("memcloud.counts", name)
	if err != nil {
		return nil, err
	}
	return slices.Clone(r.counts[cluster]), nil
}

// WaitChange implements driver.Watcher.
func (c *Cloud) WaitChange(ctx context.Context, name, cluster string, revision uint64) (uint64, error) {
	for {
		c.mu.Lock()
		r, err := c.region("memcloud.wait", name)
		if err != nil {
			c.mu.Unlock()
			return 0, err
		}
		now, changed := max(1, r.revisions[cluster]), c.changed
		c.mu.Unlock()
		if revision == 0 || now != revision {
			return now, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return now, ctx.Err()
		}
	}
}

// InstanceLog implements driver.Logs: what does not run says nothing.
func (c *Cloud) InstanceLog(_ context.Context, name, instance string, _ bool, _ io.Writer) error {
	const op = "memcloud.log"
	c.mu.Lock()
	defer c.mu.Unlock()
	r, err := c.region(op, name)
	if err != nil {
		return err
	}
	_, _, err = r.instance(op, instance)
	return err
}
