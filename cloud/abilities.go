package cloud

import (
	"context"
	"io"

	"showrunner/cloud/driver"
	"showrunner/pipeline"
	"showrunner/problem"
)

// ability finds an ability of the account's driver. Errors: precondition when
// the driver does not have it.
func ability[T any](a *Account, op, doing string) (T, error) {
	d, ok := a.driver.(T)
	if !ok {
		return d, problem.New(problem.Precondition, op, "account %s does not support %s", a.name, doing)
	}
	return d, nil
}

// Resize sets a group's capacity.
func (a *Account) Resize(ctx context.Context, region, serverGroup string, to pipeline.Capacity, guard Guard, key string) error {
	const op = "cloud.resize"
	d, lacks := ability[driver.Capacity](a, op, "resizing server groups")
	refused := first(checkCapacity(op, to), lacks)
	return a.change(ctx, change{op, region, "server group", serverGroup, key, "resizing " + serverGroup, to, refused}, func(ctx context.Context) error {
		return d.Resize(ctx, region, serverGroup, to, guard, key)
	})
}

// Amend changes what a group launches from then on, and its policies, hooks and zones.
func (a *Account) Amend(ctx context.Context, region, serverGroup string, spec ServerGroupSpec, key string) error {
	const op = "cloud.amend"
	d, lacks := ability[driver.Amender](a, op, "amending server groups")
	if lacks == nil {
		spec.Application = driver.ApplicationOf(spec)
		spec.Fingerprint, lacks = a.Fingerprint(ctx, spec)
	}
	return a.change(ctx, change{op, region, "server group", serverGroup, key, "amending " + serverGroup, driver.Identity(spec), lacks}, func(ctx context.Context) error {
		return d.Amend(ctx, region, serverGroup, spec, key)
	})
}

// Terminate ends one instance.
func (a *Account) Terminate(ctx context.Context, region, instance string, opts TerminateOptions, key string) error {
	const op = "cloud.terminate"
	d, lacks := ability[driver.Terminator](a, op, "terminating instances")
	return a.change(ctx, change{op, region, "instance", instance, key, "terminating " + instance, []any{opts.Kill, opts.Decrement}, lacks}, func(ctx context.Context) error {
		return d.Terminate(ctx, region, instance, opts, key)
	})
}

// SetLoadBalancer makes a load balancer, or replaces one of the same name.
func (a *Account) SetLoadBalancer(ctx context.Context, region string, lb LoadBalancer, key string) error {
	const op = "cloud.set-load-balancer"
	d, lacks := ability[driver.LoadBalancing](a, op, "load balancers with rules")
	refused := first(lacks, driver.CheckLoadBalancer(lb))
	return a.change(ctx, change{op, region, "load balancer", lb.Name, key, "setting the load balancer " + lb.Name, lb, refused}, func(ctx context.Context) error {
		return d.SetLoadBalancer(ctx, region, lb, key)
	})
}

// RemoveLoadBalancer removes a load balancer.
func (a *Account) RemoveLoadBalancer(ctx context.Context, region, name, key string) error {
	const op = "cloud.remove-load-balancer"
	d, lacks := ability[driver.LoadBalancing](a, op, "removing load balancers with rules")
	return a.change(ctx, change{op, region, "load balancer", name, key, "removing the load balancer " + name, nil, lacks}, func(ctx context.Context) error {
		return d.RemoveLoadBalancer(ctx, region, name, key)
	})
}

// Counts reads the load balancer's raw counts for a cluster.
func (a *Account) Counts(ctx context.Context, region, cluster string) (counts []Counts, err error) {
	const op = "cloud.counts"
	d, err := ability[driver.Counter](a, op, "counting requests")
	if err != nil {
		return nil, err
	}
	err = a.do(op, region, "reading the counts of "+cluster, func() error {
		counts, err = d.Counts(ctx, region, cluster)
		return err
	})
	return counts, err
}

// CanWatch says whether WaitChanges is supported.
func (a *Account) CanWatch() bool { _, ok := a.driver.(driver.Watcher); return ok }

// WaitChanges returns when anything in the region has changed since revision,
// with the changes, or when ctx ends. Its duration is not measured, since it
// waits.
func (a *Account) WaitChanges(ctx context.Context, region string, revision uint64) (Changes, error) {
	d, err := ability[driver.Watcher](a, "cloud.wait-changes", "watching for changes")
	if err != nil {
		return Changes{}, err
	}
	return d.WaitChanges(ctx, region, revision)
}

// InstanceLog copies the output of an instance; with follow it continues until
// ctx ends. Its duration is not measured, since it may follow.
func (a *Account) InstanceLog(ctx context.Context, region, instance string, follow bool, to io.Writer) error {
	const op = "cloud.instance-log"
	d, lacks := ability[driver.Logs](a, op, "reading the output of instances")
	if err := first(checkName(op, "instance", instance), lacks); err != nil {
		return err
	}
	return d.InstanceLog(ctx, region, instance, follow, to)
}

// EndedInstances lists the ended instances of destroyed versions, newest first.
// The list is empty where the driver does not keep them.
func (a *Account) EndedInstances(ctx context.Context, region string) (list []Instance, err error) {
	d, ok := a.driver.(driver.History)
	if !ok {
		return nil, nil
	}
	err = a.do("cloud.ended-instances", region, "listing instances that ended", func() error {
		list, err = d.EndedInstances(ctx, region)
		return err
	})
	return list, err
}

// SetStandby takes an instance out of service without ending it, or back.
func (a *Account) SetStandby(ctx context.Context, region, instance string, standby bool, key string) error {
	const op = "cloud.set-standby"
	d, lacks := ability[driver.Standby](a, op, "putting instances into standby")
	return a.change(ctx, change{op, region, "instance", instance, key, "changing the standby of " + instance, standby, lacks}, func(ctx context.Context) error {
		return d.SetStandby(ctx, region, instance, standby, key)
	})
}

// SetProtection keeps an instance from being chosen when its group shrinks.
func (a *Account) SetProtection(ctx context.Context, region, instance string, protected bool, key string) error {
	const op = "cloud.set-protection"
	d, lacks := ability[driver.Protection](a, op, "protecting instances")
	return a.change(ctx, change{op, region, "instance", instance, key, "changing the protection of " + instance, protected, lacks}, func(ctx context.Context) error {
		return d.SetProtection(ctx, region, instance, protected, key)
	})
}

// SetHealth overrides an instance's health checks.
func (a *Account) SetHealth(ctx context.Context, region, instance string, healthy bool, key string) error {
	const op = "cloud.set-health"
	d, lacks := ability[driver.HealthSetter](a, op, "setting the health of instances")
	return a.change(ctx, change{op, region, "instance", instance, key, "setting the health of " + instance, healthy, lacks}, func(ctx context.Context) error {
		return d.SetHealth(ctx, region, instance, healthy, key)
	})
}

// AnswerHook answers the lifecycle hook that an instance waits for.
func (a *Account) AnswerHook(ctx context.Context, region, instance string, answer HookAnswer, key string) error {
	const op = "cloud.answer-hook"
	d, lacks := ability[driver.HookAnswerer](a, op, "answering lifecycle hooks")
	return a.change(ctx, change{op, region, "instance", instance, key, "answering the hook of " + instance, answer, lacks}, func(ctx context.Context) error {
		return d.AnswerHook(ctx, region, instance, answer, key)
	})
}

// Suspend stops the named processes of a group; none named means all.
func (a *Account) Suspend(ctx context.Context, region, serverGroup string, processes []string, key string) error {
	const op = "cloud.suspend"
	d, lacks := ability[driver.Suspender](a, op, "suspending processes")
	return a.change(ctx, change{op, region, "server group", serverGroup, key, "suspending processes of " + serverGroup, processes, lacks}, func(ctx context.Context) error {
		return d.Suspend(ctx, region, serverGroup, processes, key)
	})
}

// Resume restarts the named processes of a group; none named means all.
func (a *Account) Resume(ctx context.Context, region, serverGroup string, processes []string, key string) error {
	const op = "cloud.resume"
	d, lacks := ability[driver.Suspender](a, op, "resuming processes")
	return a.change(ctx, change{op, region, "server group", serverGroup, key, "resuming processes of " + serverGroup, processes, lacks}, func(ctx context.Context) error {
		return d.Resume(ctx, region, serverGroup, processes, key)
	})
}

// ServiceURL is the address of a cluster for users; empty when the account's
// driver has no address for it.
func (a *Account) ServiceURL(cluster string) string {
	if d, ok := a.driver.(driver.Addresses); ok {
		return d.SiteURL(cluster)
	}
	return ""
}
