package fleet

import (
	"context"
	"slices"

	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/balancer"
)

// A load balancer's pool is a cluster of the region's balancer, whose groups are the
// server groups that its instances are of.

// SetLoadBalancer implements driver.LoadBalancing.
func (f *Fleet) SetLoadBalancer(_ context.Context, region string, lb driver.LoadBalancer, key string) error {
	const op = "fleet.set-load-balancer"
	if err := driver.CheckLoadBalancer(lb); err != nil {
		return err
	}
	_, err := f.mutate(op, region, key, lb, func(next *document) (func(), *madeOnce, error) {
		was := next.LoadBalancers[lb.Name]
		if next.LoadBalancers == nil {
			next.LoadBalancers = map[string]driver.LoadBalancer{}
		}
		next.LoadBalancers[lb.Name] = lb
		return func() { f.pushLoadBalancer(lb, was) }, nil, nil
	})
	return err
}

// RemoveLoadBalancer implements driver.LoadBalancing.
func (f *Fleet) RemoveLoadBalancer(_ context.Context, region, name, key string) error {
	const op = "fleet.remove-load-balancer"
	_, err := f.mutate(op, region, key, name, func(next *document) (func(), *madeOnce, error) {
		was, there := next.LoadBalancers[name]
		if !there {
			return nil, nil, nil
		}
		delete(next.LoadBalancers, name)
		return func() {
			f.config.Balancer.RemoveRules(name)
			for _, p := range was.Pools {
				f.config.Balancer.RemoveCluster(poolName(was, p))
			}
		}, nil, nil
	})
	return err
}

// poolName is the balancer's cluster of a pool. No host is called so.
func poolName(lb driver.LoadBalancer, p driver.Pool) string { return "pool:" + lb.Name + "/" + p.Name }

// pushLoadBalancer tells the balancer what a load balancer is now: its pools first,
// and those that are gone last. The fleet is locked.
func (f *Fleet) pushLoadBalancer(lb, was driver.LoadBalancer) {
	for _, p := range lb.Pools {
		f.pushPool(lb, p)
	}
	rules := balancer.Rules{Name: lb.Name, Hosts: lb.Hosts, Pools: map[string]string{}, Rules: lb.Rules}
	for _, p := range lb.Pools {
		rules.Pools[p.Name] = poolName(lb, p)
	}
	f.config.Balancer.SetRules(rules)
	for _, p := range was.Pools {
		if !slices.ContainsFunc(lb.Pools, func(now driver.Pool) bool { return now.Name == p.Name }) {
			f.config.Balancer.RemoveCluster(poolName(lb, p))
		}
	}
}

// pushPools tells the balancer of the pools that have instances of a cluster.
func (f *Fleet) pushPools(cluster string) {
	for _, lb := range f.doc.LoadBalancers {
		for _, p := range lb.Pools {
			if slices.Contains(p.Clusters, cluster) || slices.ContainsFunc(p.Instances, func(id string) bool {
				i := f.instances[id]
				return i == nil || i.group.cluster == cluster
			}) {
				f.pushPool(lb, p)
			}
		}
	}
}

func (f *Fleet) pushPool(lb driver.LoadBalancer, p driver.Pool) {
	c := balancer.Cluster{Name: poolName(lb, p), Sticky: p.Sticky, Shared: true}
	for _, g := range f.groupsOf("") {
		whole := slices.Contains(p.Clusters, g.cluster)
		r := f.doc.Groups[g.name]
		if r.Destroying {
			continue
		}
		target := balancer.Group{Name: g.name, Version: r.Spec.Version, Weight: 1}
		for _, t := range f.targets(g) {
			if whole || slices.Contains(p.Instances, t.ID) {
				target.Targets = append(target.Targets, t)
			}
		}
		// Each instance has the same share, whatever group it is of.
		if target.Weight = float64(serving(target.Targets)); target.Weight > 0 || whole {
			c.Groups = append(c.Groups, target)
		}
	}
	f.config.Balancer.SetCluster(c)
}

func serving(targets []balancer.Target) (n int) {
	for _, t := range targets {
		if !t.Draining {
			n++
		}
	}
	return n
}

// targets are a group's instances as the balancer sees them.
func (f *Fleet) targets(g *group) (list []balancer.Target) {
	for _, i := range g.sorted() {
		switch {
		case !i.running || !i.registered:
		case i.lifecycle == driver.InService:
			list = append(list, balancer.Target{ID: i.id, Address: i.address, Draining: !i.ready || !i.live})
		case i.draining:
			list = append(list, balancer.Target{ID: i.id, Address: i.address, Draining: true})
		}
	}
	return list
}
