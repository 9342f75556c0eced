package cloud

import (
	"context"
	"errors"
	"io"
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
)

// Fleet is what an account needs of a driver's fleet. Package cloud/driver
// states the contract of each method.
type Fleet interface {
	Regions(ctx context.Context) ([]Region, error)
	CreateServerGroup(ctx context.Context, region string, spec ServerGroupSpec, key string) (ServerGroup, error)
	ServerGroups(ctx context.Context, region, cluster string) ([]ServerGroup, error)
	Resize(ctx context.Context, region, serverGroup string, to pipeline.Capacity, guard Guard, key string) error
	SetWeights(ctx context.Context, region, cluster string, weights map[string]float64, guard Guard, key string) error
	Destroy(ctx context.Context, region, serverGroup string, guard Guard, key string) error
	Terminate(ctx context.Context, region, instance string, opts TerminateOptions, key string) error
	Counts(ctx context.Context, region, cluster string) ([]Counts, error)
}

// Watcher is the optional power to wait for a change.
type Watcher interface {
	WaitChange(ctx context.Context, region, cluster string, revision uint64) (uint64, error)
}

// Logs is the optional power to read what an instance wrote.
type Logs interface {
	InstanceLog(ctx context.Context, region, instance string, follow bool, to io.Writer) error
}

// Operator is the optional power of Auto Scaling's side operations.
type Operator interface {
	SetStandby(ctx context.Context, region, instance string, standby bool, key string) error
	SetProtection(ctx context.Context, region, instance string, protected bool, key string) error
	SetHealth(ctx context.Context, region, instance string, healthy bool, key string) error
	Suspend(ctx context.Context, region, serverGroup string, processes []string, key string) error
	Resume(ctx context.Context, region, serverGroup string, processes []string, key string) error
}

// HookAnswerer is the optional power to answer lifecycle hooks that wait.
type HookAnswerer interface {
	AnswerHook(ctx context.Context, region, instance string, answer HookAnswer, key string) error
}

// Observe is told of every call that an account makes of its driver.
type Observe func(op, region string, took time.Duration, err error)

// Account is a cloud as callers hold it: it checks names before the driver
// sees them, wraps each error once with what was attempted, and measures every
// call. It is safe for use by several goroutines.
type Account struct {
	name    string
	driver  Fleet
	now     func() time.Time
	observe Observe
}

// NewAccount makes an account over a driver. Optional powers are found on the
// driver itself. observe may be nil.
func NewAccount(name string, driver Fleet, now func() time.Time, observe Observe) *Account {
	return &Account{name: name, driver: driver, now: now, observe: observe}
}

// Name is what pipeline files call the account.
func (a *Account) Name() string { return a.name }

// Watcher returns the driver's power to wait, and whether it has it.
func (a *Account) Watcher() (Watcher, bool) { w, ok := a.driver.(Watcher); return w, ok }

// Logs returns the driver's power to read instances' output, and whether it has it.
func (a *Account) Logs() (Logs, bool) { l, ok := a.driver.(Logs); return l, ok }

// Operator returns the driver's power of side operations, and whether it has it.
func (a *Account) Operator() (Operator, bool) { o, ok := a.driver.(Operator); return o, ok }

// HookAnswerer returns the driver's power to answer hooks, and whether it has it.
func (a *Account) HookAnswerer() (HookAnswerer, bool) { h, ok := a.driver.(HookAnswerer); return h, ok }

// Regions lists the account's regions, unhealthy ones included.
func (a *Account) Regions(ctx context.Context) (regions []Region, err error) {
	err = a.do("cloud.regions", "", "listing the regions", func() error {
		regions, err = a.driver.Regions(ctx)
		return err
	})
	return regions, err
}

// CreateServerGroup creates the next version of spec's cluster.
func (a *Account) CreateServerGroup(ctx context.Context, region string, spec ServerGroupSpec, key string) (group ServerGroup, err error) {
	const op = "cloud.create-server-group"
	if err := first(checkName(op, "cluster", spec.Cluster), checkKey(op, key), checkCapacity(op, spec.Capacity)); err != nil {
		return ServerGroup{}, err
	}
	err = a.do(op, region, "creating a server group of "+spec.Cluster, func() error {
		group, err = a.driver.CreateServerGroup(ctx, region, spec, key)
		return err
	})
	return group, err
}

// ServerGroups observes one cluster's server groups, oldest first, or every cluster's.
func (a *Account) ServerGroups(ctx context.Context, region, cluster string) (groups []ServerGroup, err error) {
	err = a.do("cloud.server-groups", region, "reading server groups", func() error {
		groups, err = a.driver.ServerGroups(ctx, region, cluster)
		return err
	})
	return groups, err
}

// Resize sets a group's capacity.
func (a *Account) Resize(ctx context.Context, region, serverGroup string, to pipeline.Capacity, guard Guard, key string) error {
	const op = "cloud.resize"
	if err := first(checkName(op, "server group", serverGroup), checkKey(op, key), checkCapacity(op, to)); err != nil {
		return err
	}
	return a.do(op, region, "resizing "+serverGroup, func() error {
		return a.driver.Resize(ctx, region, serverGroup, to, guard, key)
	})
}

// SetWeights sets the shares of traffic of a cluster's groups in one change.
func (a *Account) SetWeights(ctx context.Context, region, cluster string, weights map[string]float64, guard Guard, key string) error {
	const op = "cloud.set-weights"
	if err := first(checkName(op, "cluster", cluster), checkKey(op, key)); err != nil {
		return err
	}
	for group, w := range weights {
		if !(w >= 0) {
			return problem.New(problem.Invalid, op, "the weight of %s is %v; a weight is 0 or more", group, w)
		}
	}
	return a.do(op, region, "shifting the traffic of "+cluster, func() error {
		return a.driver.SetWeights(ctx, region, cluster, weights, guard, key)
	})
}

// Destroy terminates a group's instances after draining them, and removes it.
func (a *Account) Destroy(ctx context.Context, region, serverGroup string, guard Guard, key string) error {
	const op = "cloud.destroy"
	if err := first(checkName(op, "server group", serverGroup), checkKey(op, key)); err != nil {
		return err
	}
	return a.do(op, region, "destroying "+serverGroup, func() error {
		return a.driver.Destroy(ctx, region, serverGroup, guard, key)
	})
}

// Terminate ends one instance.
func (a *Account) Terminate(ctx context.Context, region, instance string, opts TerminateOptions, key string) error {
	const op = "cloud.terminate"
	if err := first(checkName(op, "instance", instance), checkKey(op, key)); err != nil {
		return err
	}
	return a.do(op, region, "terminating "+instance, func() error {
		return a.driver.Terminate(ctx, region, instance, opts, key)
	})
}

// Counts reads the load balancer's raw counts for a cluster.
func (a *Account) Counts(ctx context.Context, region, cluster string) (counts []Counts, err error) {
	err = a.do("cloud.counts", region, "reading the counts of "+cluster, func() error {
		counts, err = a.driver.Counts(ctx, region, cluster)
		return err
	})
	return counts, err
}

// do calls the driver, measures it, and wraps its error once.
func (a *Account) do(op, region, doing string, call func() error) error {
	began := a.now()
	err := call()
	if a.observe != nil {
		a.observe(op, region, a.now().Sub(began), err)
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		if _, known := problem.Of(err); !known {
			return problem.Wrap(err, problem.Unavailable, op, "%s in %s", doing, a.place(region))
		}
	}
	wrapped := problem.Wrap(err, "", op, "%s in %s", doing, a.place(region))
	if cause, ok := problem.Of(err); ok {
		wrapped.RetryAfter = cause.RetryAfter
	}
	return wrapped
}

func (a *Account) place(region string) string {
	if region == "" {
		return "account " + a.name
	}
	return region + " (account " + a.name + ")"
}
