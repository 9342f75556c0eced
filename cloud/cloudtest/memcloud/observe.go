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
	list := slices.Clone(r.counts[cluster])
	for _, g := range r.groups {
		if g.Spec.Cluster == cluster && !slices.ContainsFunc(list, func(n driver.Counts) bool { return n.ServerGroup == g.Name }) {
			list = append(list, driver.Counts{ServerGroup: g.Name, Epoch: "memory", Since: g.Created, Buckets: make([]uint64, len(driver.LatencyBounds)+1)})
		}
	}
	for i := range list {
		list[i].Until = c.config.Now()
	}
	return list, nil
}

// WaitChanges implements driver.Watcher. This cloud never restarts, so it knows
// every revision but 0.
func (c *Cloud) WaitChanges(ctx context.Context, name string, revision uint64) (driver.Changes, error) {
	for {
		c.mu.Lock()
		r, err := c.region("memcloud.wait", name)
		if err != nil {
			c.mu.Unlock()
			return driver.Changes{}, err
		}
		now, changed := driver.Changes{Revision: max(1, r.revision), All: revision == 0 || revision > max(1, c.revision)}, c.changed
		for cluster, at := range r.revisions {
			if at > revision && !now.All {
				now.Clusters = append(now.Clusters, cluster)
			}
		}
		c.mu.Unlock()
		if now.All || now.Revision != revision {
			slices.Sort(now.Clusters)
			return now, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return now, ctx.Err()
		}
	}
}

// InstanceLog implements driver.Logs: there is no output, since no process runs.
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
