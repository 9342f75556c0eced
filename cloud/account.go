package cloud

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"showrunner/cloud/driver"
	"showrunner/cloud/journal"
	"showrunner/problem"
)

// Observe is called for every call of the account to its driver.
type Observe func(op, region string, took time.Duration, err error)

// Account is a cloud for callers. It checks names before they reach the driver,
// wraps each error once with the attempted operation, and measures every call. It
// is safe for use by several goroutines.
type Account struct {
	name    string
	driver  driver.Cloud
	options Options
}

// Options configure an account. All may be left out.
type Options struct {
	Now     func() time.Time // default time.Now
	Observe Observe
	// Key returns the secret key for fingerprints. It has to stay the same: with
	// another key the next deployment of every cluster makes a new version.
	// Default: a random key that lasts as long as the account.
	Key func(ctx context.Context) ([]byte, error)
	// Journal makes changes idempotent by their keys, also across crashes.
	// Default: only the driver's own memory, as for tests of a driver.
	Journal *journal.Journal
}

// NewAccount makes an account over a driver. Abilities are found by the
// interfaces that the driver implements.
func NewAccount(name string, d driver.Cloud, options Options) *Account {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Observe == nil {
		options.Observe = func(string, string, time.Duration, error) {}
	}
	if options.Key == nil {
		key := []byte(rand.Text())
		options.Key = func(context.Context) ([]byte, error) { return key, nil }
	}
	return &Account{name: name, driver: d, options: options}
}

// Fingerprint identifies the version that a specification describes: equal
// specifications have equal fingerprints, and any difference makes another one
// (driver.Fingerprint).
func (a *Account) Fingerprint(ctx context.Context, spec ServerGroupSpec) (string, error) {
	key, err := a.options.Key(ctx)
	if err != nil {
		return "", problem.Wrap(err, "", "cloud.fingerprint", "the key that versions of account %s are identified with", a.name)
	}
	spec.Application = driver.ApplicationOf(spec)
	return driver.Fingerprint(spec, key), nil
}

// Name is the account's name in pipeline files.
func (a *Account) Name() string { return a.name }

// Regions lists the account's regions, unhealthy ones included.
func (a *Account) Regions(ctx context.Context) (regions []Region, err error) {
	err = a.do("cloud.regions", "", "listing the regions", func() error {
		regions, err = a.driver.Regions(ctx)
		return err
	})
	return regions, err
}

// Facts states the abilities and limits of the account's cloud in a region.
func (a *Account) Facts(ctx context.Context, region string) (facts Facts, err error) {
	err = a.do("cloud.facts", region, "asking what the cloud can do", func() error {
		facts, err = a.driver.Facts(ctx, region)
		return err
	})
	return facts, err
}

// CreateServerGroup creates the next version of spec's cluster.
func (a *Account) CreateServerGroup(ctx context.Context, region string, spec ServerGroupSpec, key string) (group ServerGroup, err error) {
	const op = "cloud.create-server-group"
	if err := first(checkName(op, "cluster", spec.Cluster), checkKey(op, key), checkCapacity(op, spec.Capacity)); err != nil {
		return ServerGroup{}, err
	}
	spec.Application = driver.ApplicationOf(spec)
	if spec.Fingerprint, err = a.Fingerprint(ctx, spec); err != nil {
		return ServerGroup{}, err
	}
	err = a.do(op, region, "creating a server group of "+spec.Cluster, func() error {
		group, err = once(ctx, a, op, region, key, driver.Identity(spec), func(ctx context.Context) (ServerGroup, error) {
			return a.driver.CreateServerGroup(ctx, region, spec, key)
		})
		return err
	})
	return group, err
}

// ServerGroups returns the present server groups of one cluster, oldest first, or
// of every cluster.
func (a *Account) ServerGroups(ctx context.Context, region, cluster string) (groups []ServerGroup, err error) {
	err = a.do("cloud.server-groups", region, "reading server groups", func() error {
		groups, err = a.driver.ServerGroups(ctx, region, cluster)
		return err
	})
	return groups, err
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
		return a.act(ctx, op, region, key, []any{cluster, weights}, func(ctx context.Context) error {
			return a.driver.SetWeights(ctx, region, cluster, weights, guard, key)
		})
	})
}

// Destroy terminates a group's instances after draining them, and removes it.
func (a *Account) Destroy(ctx context.Context, region, serverGroup string, guard Guard, key string) error {
	const op = "cloud.destroy"
	return a.change(ctx, change{op, region, "server group", serverGroup, key, "destroying " + serverGroup, nil, nil}, func(ctx context.Context) error {
		return a.driver.Destroy(ctx, region, serverGroup, guard, key)
	})
}

// once makes a change at most once for its key, and returns its first answer when
// it is repeated. request is the rest of the request that the key stands for.
func once[T any](ctx context.Context, a *Account, op, region, key string, request any, act func(context.Context) (T, error)) (T, error) {
	if a.options.Journal == nil {
		return act(ctx)
	}
	fingerprint, err := journal.Fingerprint(request)
	if err != nil {
		var none T
		return none, err
	}
	id := journal.ID{Account: a.name, Region: region, Key: key}
	return journal.Do(ctx, a.options.Journal, id, journal.Request{Operation: strings.TrimPrefix(op, "cloud."), Fingerprint: fingerprint},
		func(ctx context.Context, _ bool) (T, error) { return act(ctx) })
}

// act is once for a change without an answer.
func (a *Account) act(ctx context.Context, op, region, key string, request any, act func(context.Context) error) error {
	_, err := once(ctx, a, op, region, key, request, func(ctx context.Context) (struct{}, error) { return struct{}{}, act(ctx) })
	return err
}

// change describes a change of one named object.
type change struct {
	op, region, kind, name, key string
	doing                       string
	request                     any   // the rest of the request that the key stands for
	refused                     error // checked after name and key
}

// change checks a change and makes it once for its key.
func (a *Account) change(ctx context.Context, c change, act func(context.Context) error) error {
	if err := first(checkName(c.op, c.kind, c.name), checkKey(c.op, c.key), c.refused); err != nil {
		return err
	}
	return a.do(c.op, c.region, c.doing, func() error {
		return a.act(ctx, c.op, c.region, c.key, []any{c.name, c.request}, act)
	})
}

// do calls the driver, measures the call, and wraps its error once.
func (a *Account) do(op, region, doing string, call func() error) error {
	began := a.options.Now()
	err := call()
	a.options.Observe(op, region, a.options.Now().Sub(began), err)
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
