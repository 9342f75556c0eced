package control

import (
	"context"
	"io"

	"showrunner/cloud"
	"showrunner/pipeline"
)

// Groups changes the server groups of the local cloud one by one, for a face that
// has words of its own for them. Each change is permitted, written to the audit log
// and made once for its key.
type Groups struct {
	service   *Service
	principal Principal
}

// Groups makes them for a principal.
func (s *Service) Groups(p Principal) *Groups { return &Groups{s, p} }

func (g *Groups) account() (*cloud.Account, error) { return g.service.Accounts.Account(DefaultAccount) }

// read lets f look at the account.
func (g *Groups) read(f func(*cloud.Account) error) error {
	if err := g.service.permit(g.principal, opRead, Subject{Kind: KindCluster, Account: DefaultAccount}); err != nil {
		return err
	}
	a, err := g.account()
	if err != nil {
		return err
	}
	return f(a)
}

// act carries a change out, with its intent and outcome.
func (g *Groups) act(ctx context.Context, op string, subject Subject, details map[string]any, f func(*cloud.Account) error) error {
	subject.Account = DefaultAccount
	return g.service.perform(ctx, g.principal, op, subject, details, func() (map[string]any, error) {
		a, err := g.account()
		if err != nil {
			return nil, err
		}
		return nil, f(a)
	})
}

func groupSubject(name string) Subject {
	return Subject{Kind: KindCluster, Name: name, Application: cloud.ApplicationOfGroup(name)}
}

// Regions lists the regions of the local cloud. Errors: denied.
func (g *Groups) Regions(ctx context.Context) (list []cloud.Region, err error) {
	err = g.read(func(a *cloud.Account) error { list, err = a.Regions(ctx); return err })
	return list, err
}

// List observes a cluster's server groups in a region, or every cluster's, without
// the values of their environments.
func (g *Groups) List(ctx context.Context, region, cluster string) (list []cloud.ServerGroup, err error) {
	err = g.read(func(a *cloud.Account) error { list, err = a.ServerGroups(ctx, region, cluster); return err })
	for i := range list {
		list[i].Spec.Env = nil
	}
	return list, err
}

// Ended lists the instances that ended in server groups that are gone.
func (g *Groups) Ended(ctx context.Context, region string) (list []cloud.Instance, err error) {
	err = g.read(func(a *cloud.Account) error { list, err = a.EndedInstances(ctx, region); return err })
	return list, err
}

// Counts reads what the load balancer of a region has counted for a cluster.
func (g *Groups) Counts(ctx context.Context, region, cluster string) (counts []cloud.Counts, err error) {
	err = g.read(func(a *cloud.Account) error { counts, err = a.Counts(ctx, region, cluster); return err })
	return counts, err
}

// Log copies what an instance wrote.
func (g *Groups) Log(ctx context.Context, region, instance string, to io.Writer) error {
	return g.read(func(a *cloud.Account) error { return a.InstanceLog(ctx, region, instance, false, to) })
}

// Follow copies what an instance writes, until it has ended or ctx ends.
func (g *Groups) Follow(ctx context.Context, region, instance string, to io.Writer) error {
	return g.read(func(a *cloud.Account) error { return a.InstanceLog(ctx, region, instance, true, to) })
}

// WaitChanges returns when anything of the region has changed since revision.
func (g *Groups) WaitChanges(ctx context.Context, region string, revision uint64) (changes cloud.Changes, err error) {
	err = g.read(func(a *cloud.Account) error { changes, err = a.WaitChanges(ctx, region, revision); return err })
	return changes, err
}

// Create makes a server group.
func (g *Groups) Create(ctx context.Context, region string, spec cloud.ServerGroupSpec, key string) (made cloud.ServerGroup, err error) {
	subject := Subject{Kind: KindCluster, Name: spec.Cluster, Application: cloud.ApplicationOf(spec)}
	details := map[string]any{"region": region, "version": spec.Version, "capacity": spec.Capacity}
	err = g.act(ctx, opCreateGroup, subject, details, func(a *cloud.Account) error {
		made, err = a.CreateServerGroup(ctx, region, spec, key)
		return err
	})
	return made, err
}

// Amend changes what a server group launches from then on, its policies, hooks and zones.
func (g *Groups) Amend(ctx context.Context, region, group string, spec cloud.ServerGroupSpec, key string) error {
	return g.act(ctx, opAmend, groupSubject(group), map[string]any{"region": region, "version": spec.Version}, func(a *cloud.Account) error {
		return a.Amend(ctx, region, group, spec, key)
	})
}

// Resize sets a server group's capacity, to none too.
func (g *Groups) Resize(ctx context.Context, region, group string, to pipeline.Capacity, key string) error {
	return g.act(ctx, opResize, groupSubject(group), map[string]any{"region": region, "capacity": to}, func(a *cloud.Account) error {
		return a.Resize(ctx, region, group, to, cloud.Guard{}, key)
	})
}

// Destroy removes a server group with its instances.
func (g *Groups) Destroy(ctx context.Context, region, group, key string) error {
	return g.act(ctx, opDestroy, groupSubject(group), map[string]any{"region": region}, func(a *cloud.Account) error {
		return a.Destroy(ctx, region, group, cloud.Guard{}, key)
	})
}

// SetProcesses suspends or resumes processes of a server group; none named means all.
func (g *Groups) SetProcesses(ctx context.Context, region, group string, processes []string, suspend bool, key string) error {
	return g.act(ctx, opSuspend, groupSubject(group), map[string]any{"region": region, "processes": processes, "suspend": suspend}, func(a *cloud.Account) error {
		if suspend {
			return a.Suspend(ctx, region, group, processes, key)
		}
		return a.Resume(ctx, region, group, processes, key)
	})
}

// SetLoadBalancer makes a load balancer of a region, or replaces it.
func (g *Groups) SetLoadBalancer(ctx context.Context, region string, lb cloud.LoadBalancer, key string) error {
	details := map[string]any{"region": region, "hosts": lb.Hosts, "rules": len(lb.Rules), "pools": len(lb.Pools)}
	return g.act(ctx, opBalance, Subject{Kind: KindBalancer, Name: lb.Name}, details, func(a *cloud.Account) error {
		return a.SetLoadBalancer(ctx, region, lb, key)
	})
}

// RemoveLoadBalancer removes a load balancer of a region.
func (g *Groups) RemoveLoadBalancer(ctx context.Context, region, name, key string) error {
	return g.act(ctx, opUnbalance, Subject{Kind: KindBalancer, Name: name}, map[string]any{"region": region}, func(a *cloud.Account) error {
		return a.RemoveLoadBalancer(ctx, region, name, key)
	})
}

// Change makes one change of an instance of a region.
func (g *Groups) Change(ctx context.Context, region string, i cloud.Instance, ch InstanceChange) error {
	subject := Subject{Kind: KindInstance, Name: i.ID, Application: cloud.ApplicationOfGroup(i.ServerGroup)}
	op, err := ch.op()
	if err != nil {
		return err
	}
	i.Region = region
	return g.act(ctx, op, subject, ch.details(), func(a *cloud.Account) error { return changeInstance(ctx, a, i, op, ch) })
}
