// Package coarsecloud is a cloud in memory with few and slow abilities: weights
// are whole percents from 0 to 100 or all-or-nothing, requests follow new weights
// after a while, counts come minutes late, and there is no waiting for changes.
// It is for tests of code that has to work on such clouds too. Requests are made
// by Serve; a request that reaches a version without instances is lost.
package coarsecloud

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"showrunner/cloud/cloudtest/memcloud"
	"showrunner/cloud/driver"
	"showrunner/pipeline"
	"showrunner/problem"
)

// Config describes the cloud.
type Config struct {
	Regions []string
	// Facts are the facts that the cloud states.
	Facts driver.Facts
	// Lag is how long requests really follow the earlier weights.
	Lag time.Duration
	// Errors is the share of requests that a version answers with 500; nil means
	// no errors.
	Errors func(version string) float64
	// Fails says why instances of a spec never become healthy; it returns nil
	// when they do.
	Fails func(driver.ServerGroupSpec) *driver.InstanceFailure
	Now   func() time.Time // default time.Now
}

// Facts are the facts of a cloud with weights of 0 to 100, a settle time of two
// seconds and counts that are three minutes late.
func Facts() driver.Facts {
	return driver.Facts{Workloads: []driver.WorkloadKind{driver.ProcessWorkload, driver.ImageWorkload}, Copies: true, Resolution: 1, MaxInTraffic: 3,
		Settle: 2 * time.Second, Counts: &driver.CountFacts{Delay: 3 * time.Minute}}
}

// Cloud is the driver.
type Cloud struct {
	config Config
	inner  *memcloud.Cloud

	mu      sync.Mutex
	changes map[place][]change
	served  map[place][]served
	lost    int
}

type place struct{ region, cluster string }

// change is the weights of a cluster from a time on.
type change struct {
	at      time.Time
	weights map[string]float64
}

// served counts the answers of a version at a time.
type served struct {
	at               time.Time
	group            string
	requests, errors uint64
}

var (
	_ driver.Cloud      = (*Cloud)(nil)
	_ driver.Capacity   = (*Cloud)(nil)
	_ driver.Terminator = (*Cloud)(nil)
	_ driver.Counter    = (*Cloud)(nil)
)

// New makes an empty cloud.
func New(config Config) *Cloud {
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Cloud{config: config, inner: memcloud.New(memcloud.Config{Regions: config.Regions, Fails: config.Fails, Now: config.Now, Facts: &config.Facts}),
		changes: map[place][]change{}, served: map[place][]served{}}
}

// Facts implements driver.Cloud.
func (c *Cloud) Facts(ctx context.Context, region string) (driver.Facts, error) {
	return c.inner.Facts(ctx, region)
}

// Regions implements driver.Cloud.
func (c *Cloud) Regions(ctx context.Context) ([]driver.Region, error) { return c.inner.Regions(ctx) }

// ServerGroups implements driver.Versions.
func (c *Cloud) ServerGroups(ctx context.Context, region, cluster string) ([]driver.ServerGroup, error) {
	return c.inner.ServerGroups(ctx, region, cluster)
}

// CreateServerGroup implements driver.Versions.
func (c *Cloud) CreateServerGroup(ctx context.Context, region string, spec driver.ServerGroupSpec, key string) (driver.ServerGroup, error) {
	g, err := c.inner.CreateServerGroup(ctx, region, spec, key)
	if err == nil && spec.Weight > 0 {
		err = c.note(ctx, region, spec.Cluster)
	}
	return g, err
}

// Destroy implements driver.Versions.
func (c *Cloud) Destroy(ctx context.Context, region, group string, guard driver.Guard, key string) error {
	return c.inner.Destroy(ctx, region, group, guard, key)
}

// Resize implements driver.Capacity.
func (c *Cloud) Resize(ctx context.Context, region, group string, to pipeline.Capacity, guard driver.Guard, key string) error {
	return c.inner.Resize(ctx, region, group, to, guard, key)
}

// Terminate implements driver.Terminator.
func (c *Cloud) Terminate(ctx context.Context, region, instance string, opts driver.TerminateOptions, key string) error {
	return c.inner.Terminate(ctx, region, instance, opts, key)
}

// SetWeights implements driver.Traffic.
func (c *Cloud) SetWeights(ctx context.Context, region, cluster string, weights map[string]float64, guard driver.Guard, key string) error {
	if err := c.inner.SetWeights(ctx, region, cluster, weights, guard, key); err != nil {
		return err
	}
	return c.note(ctx, region, cluster)
}

// note records the weights that hold from now on.
func (c *Cloud) note(ctx context.Context, region, cluster string) error {
	groups, err := c.inner.ServerGroups(ctx, region, cluster)
	if err != nil {
		return err
	}
	now := change{c.config.Now(), map[string]float64{}}
	for _, g := range groups {
		now.weights[g.Name] = g.Weight
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	at := place{region, cluster}
	c.changes[at] = append(c.changes[at], now)
	return nil
}

// Serve makes n requests to a cluster. They are distributed by the weights of a
// Lag ago. Before the cluster has had any weights, there are no requests.
func (c *Cloud) Serve(ctx context.Context, region, cluster string, n int) error {
	groups, err := c.inner.ServerGroups(ctx, region, cluster)
	if err != nil {
		return err
	}
	now := c.config.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	at := place{region, cluster}
	var weights map[string]float64
	for _, change := range c.changes[at] {
		if weights == nil || !now.Before(change.at.Add(c.config.Lag)) {
			weights = change.weights
		}
	}
	total := 0.0
	for _, w := range weights {
		total += w
	}
	if total == 0 {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		share := int(math.Round(float64(n) * weights[name] / total))
		found := slices.IndexFunc(groups, func(g driver.ServerGroup) bool { return g.Name == name })
		if found < 0 || groups[found].Serving() == 0 {
			c.lost += share
			continue
		}
		failed := 0.0
		if c.config.Errors != nil {
			failed = c.config.Errors(groups[found].Spec.Version)
		}
		c.served[at] = append(c.served[at], served{now, name, uint64(share), uint64(float64(share) * failed)})
	}
	return nil
}

// Lost counts the requests that reached a version without instances.
func (c *Cloud) Lost() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// Counts implements driver.Counter: the counts are late and have no latencies.
func (c *Cloud) Counts(ctx context.Context, region, cluster string) ([]driver.Counts, error) {
	groups, err := c.inner.ServerGroups(ctx, region, cluster)
	if err != nil {
		return nil, err
	}
	counts := c.config.Facts.Counts
	if counts == nil {
		return nil, problem.New(problem.Precondition, "coarsecloud.counts", "this cloud counts no requests")
	}
	until := c.config.Now().Add(-counts.Delay)
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []driver.Counts
	for _, g := range groups {
		n := driver.Counts{ServerGroup: g.Name, Epoch: "only", Since: g.Created, Until: until}
		for _, s := range c.served[place{region, cluster}] {
			if s.group == g.Name && !s.at.After(until) {
				n.Requests, n.Errors = n.Requests+s.requests, n.Errors+s.errors
			}
		}
		n.Statuses = driver.StatusCounts{Success: n.Requests - n.Errors, Server: n.Errors}
		list = append(list, n)
	}
	return list, nil
}
