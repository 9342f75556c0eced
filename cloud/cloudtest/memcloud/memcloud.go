// Package memcloud is a cloud in memory: the smallest driver that keeps every
// promise of package cloud/driver, for tests of code that uses a driver. No
// process runs: an instance is healthy as soon as it is launched, or never, as
// Config.Fails decides for each spec.
package memcloud

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"showrunner/cloud/driver"
	"showrunner/pipeline"
	"showrunner/problem"
)

// Config is what a Cloud needs. Regions is required.
type Config struct {
	Regions []string
	// Fails says why instances of a spec never become healthy; it returns nil
	// when they do.
	Fails func(driver.ServerGroupSpec) *driver.InstanceFailure
	Now   func() time.Time // default time.Now
	// Facts are the facts that the cloud states and keeps to; nil is AllFacts.
	Facts *driver.Facts
}

// Cloud implements driver.Cloud and the abilities of a cloud of instances.
type Cloud struct {
	config Config

	mu       sync.Mutex
	regions  map[string]*region
	changed  chan struct{}
	revision uint64
	launched int
}

type region struct {
	since     time.Time
	groups    []*driver.ServerGroup              // oldest first
	fails     map[string]*driver.InstanceFailure // by group
	last      map[string]int                     // sequence by cluster
	launched  map[string]int                     // by group whose instances are not replaced
	keys      map[string]remembered
	counts    map[string][]driver.Counts
	balancers map[string]driver.LoadBalancer
	faults    map[string]driver.ActiveFault
	revision  uint64            // of the last change of any cluster
	revisions map[string]uint64 // by cluster
}

type remembered struct {
	digest string
	result any
}

var (
	_ driver.Cloud         = (*Cloud)(nil)
	_ driver.Capacity      = (*Cloud)(nil)
	_ driver.Amender       = (*Cloud)(nil)
	_ driver.LoadBalancing = (*Cloud)(nil)
	_ driver.Terminator    = (*Cloud)(nil)
	_ driver.Counter       = (*Cloud)(nil)
	_ driver.Watcher       = (*Cloud)(nil)
	_ driver.Logs          = (*Cloud)(nil)
	_ driver.Standby       = (*Cloud)(nil)
	_ driver.Protection    = (*Cloud)(nil)
	_ driver.HealthSetter  = (*Cloud)(nil)
	_ driver.Suspender     = (*Cloud)(nil)
	_ driver.FaultInjector = (*Cloud)(nil)
)

// New makes an empty cloud.
func New(config Config) *Cloud {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Facts == nil {
		facts := AllFacts()
		config.Facts = &facts
	}
	if config.Fails == nil {
		config.Fails = func(driver.ServerGroupSpec) *driver.InstanceFailure { return nil }
	}
	c := &Cloud{config: config, regions: map[string]*region{}, changed: make(chan struct{}), revision: 1}
	for _, name := range config.Regions {
		c.regions[name] = &region{since: config.Now(), fails: map[string]*driver.InstanceFailure{}, last: map[string]int{}, launched: map[string]int{}, keys: map[string]remembered{},
			counts: map[string][]driver.Counts{}, balancers: map[string]driver.LoadBalancer{}, faults: map[string]driver.ActiveFault{}, revisions: map[string]uint64{}}
	}
	return c
}

// mutate makes one change once for each key; act changes nothing when it returns
// an error.
func (c *Cloud) mutate(op, name, key string, request any, act func(*region) (cluster string, result any, err error)) (any, error) {
	text, err := json.Marshal([]any{op, request})
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, op, "the request")
	}
	sum := sha256.Sum256(text)
	digest := hex.EncodeToString(sum[:])
	c.mu.Lock()
	defer c.mu.Unlock()
	r, err := c.region(op, name)
	if err != nil {
		return nil, err
	}
	if key == "" {
		return nil, problem.New(problem.Invalid, op, "the change has no idempotency key")
	}
	if k, ok := r.keys[key]; ok {
		if k.digest != digest {
			return nil, problem.New(problem.Conflict, op, "the key %q was used for another change", key)
		}
		return k.result, nil
	}
	cluster, result, err := act(r)
	if err != nil {
		return nil, err
	}
	r.keys[key] = remembered{digest, result}
	for _, g := range slices.Clone(r.groups) {
		c.settle(name, r, g)
	}
	c.bump(r, cluster)
	return result, nil
}

func (c *Cloud) region(op, name string) (*region, error) {
	if r, ok := c.regions[name]; ok {
		return r, nil
	}
	return nil, problem.New(problem.NotFound, op, "there is no region %q", name)
}

func (c *Cloud) bump(r *region, cluster string) {
	c.revision++
	if r.revision = c.revision; cluster != "" {
		r.revisions[cluster] = c.revision
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// settle launches and ends instances until a group has its capacity, at once.
func (c *Cloud) settle(name string, r *region, g *driver.ServerGroup) {
	if g.Destroying {
		r.groups = slices.DeleteFunc(r.groups, func(have *driver.ServerGroup) bool { return have == g })
		return
	}
	active := func() int {
		n := 0
		for _, i := range g.Instances {
			if i.Lifecycle == driver.InService {
				n++
			}
		}
		return n
	}
	for active() > g.Capacity.Desired {
		at := slices.IndexFunc(g.Instances, func(i driver.Instance) bool { return i.Lifecycle == driver.InService && !i.Protected })
		if at < 0 {
			break
		}
		g.Instances = slices.Delete(g.Instances, at, at+1)
	}
	if slices.Contains(g.Suspended, "Launch") {
		return
	}
	if failure := r.fails[g.Name]; failure != nil {
		if missing := g.Capacity.Desired - active(); missing > 0 {
			described := *failure
			described.At = c.config.Now()
			g.LastFailure, g.Failures = &described, g.Failures+missing
		}
		return
	}
	for active() < g.Capacity.Desired && (!g.Spec.Once || r.launched[g.Name] < g.Capacity.Desired) {
		r.launched[g.Name]++
		g.Instances = append(g.Instances, c.launch(name, g))
	}
}

func (c *Cloud) launch(name string, g *driver.ServerGroup) driver.Instance {
	c.launched++
	counts := map[string]int{}
	for _, i := range g.Instances {
		counts[i.Zone]++
	}
	zones := zonesOf(name)
	if len(g.Spec.Zones) > 0 {
		zones = g.Spec.Zones
	}
	zone := slices.MinFunc(zones, func(a, b string) int { return counts[a] - counts[b] })
	now := c.config.Now()
	return driver.Instance{
		ID: cmp.Or(g.Spec.Instance, fmt.Sprintf("i-%017x", c.launched)), ServerGroup: g.Name, Version: g.Spec.Version, Region: name, Zone: zone,
		Address:   fmt.Sprintf("198.18.%d.%d:80", c.launched>>8&255, c.launched&255), // the benchmark network: no host answers there
		Lifecycle: driver.InService, Healthy: true, Launched: now, ServingSince: now,
	}
}

func zonesOf(region string) []string { return []string{region + "a", region + "b", region + "c"} }

// SetCounts sets the answer of Counts for a cluster.
func (c *Cloud) SetCounts(name, cluster string, counts []driver.Counts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.regions[name]; ok {
		r.counts[cluster] = counts
	}
}

// CreateServerGroup implements driver.Versions.
func (c *Cloud) CreateServerGroup(_ context.Context, name string, spec driver.ServerGroupSpec, key string) (driver.ServerGroup, error) {
	const op = "memcloud.create"
	var err error
	if spec.CopyOf != "" {
		err = driver.CheckCopy(spec, *c.config.Facts)
	} else {
		spec, err = checkSpec(spec, *c.config.Facts)
	}
	if err != nil {
		return driver.ServerGroup{}, err
	}
	made, err := c.mutate(op, name, key, driver.Identity(spec), func(r *region) (string, any, error) {
		if spec.CopyOf != "" {
			of, err := r.group(op, spec.CopyOf)
			if err != nil {
				return "", nil, err
			}
			if spec, err = driver.CopySpec(of.Spec, spec); err == nil {
				spec, err = checkSpec(spec, *c.config.Facts)
			}
			if err != nil {
				return "", nil, err
			}
		}
		var last *int
		if n, ok := r.last[spec.Cluster]; ok {
			last = &n
		}
		seq, err := driver.NextSequence(spec.Cluster, last, func(n int) bool { return r.find(driver.ServerGroupName(spec.Cluster, n)) != nil })
		if err != nil {
			return "", nil, err
		}
		if err := driver.CheckWeights(r.weights(spec.Cluster, map[string]float64{driver.ServerGroupName(spec.Cluster, seq): spec.Weight}), *c.config.Facts); err != nil {
			return "", nil, err
		}
		r.last[spec.Cluster] = seq
		g := &driver.ServerGroup{Name: driver.ServerGroupName(spec.Cluster, seq), Region: name, Spec: spec,
			Capacity: spec.Capacity, Weight: spec.Weight, Created: c.config.Now()}
		g.Spec.Env = nil
		r.fails[g.Name] = c.config.Fails(spec)
		r.groups = append(r.groups, g)
		return spec.Cluster, g, nil
	})
	if err != nil {
		return driver.ServerGroup{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return copyOf(made.(*driver.ServerGroup)), nil
}

// AllFacts are the facts of a cloud that can do everything, without delay.
func AllFacts() driver.Facts {
	return driver.Facts{Workloads: []driver.WorkloadKind{driver.ProcessWorkload, driver.ImageWorkload, driver.FunctionWorkload}, References: true, Placement: true, Copies: true,
		Counts: &driver.CountFacts{Latencies: true}}
}

// Facts implements driver.Cloud.
func (c *Cloud) Facts(_ context.Context, name string) (driver.Facts, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.region("memcloud.facts", name)
	return *c.config.Facts, err
}

func checkSpec(s driver.ServerGroupSpec, facts driver.Facts) (driver.ServerGroupSpec, error) {
	s, err := driver.CheckSpec(s, facts)
	if err == nil && s.Workload.Function == nil && s.Health.Path == "" && !s.Health.TCP && len(s.Health.Command) == 0 {
		err = problem.New(problem.Invalid, "memcloud.create", "server group of %s has no health check", s.Cluster)
	}
	return s, err
}

func (r *region) find(name string) *driver.ServerGroup {
	for _, g := range r.groups {
		if g.Name == name {
			return g
		}
	}
	return nil
}

func (r *region) group(op, name string) (*driver.ServerGroup, error) {
	if g := r.find(name); g != nil {
		return g, nil
	}
	return nil, problem.New(problem.NotFound, op, "there is no server group %s", name)
}

func (r *region) instance(op, id string) (*driver.ServerGroup, *driver.Instance, error) {
	for _, g := range r.groups {
		for n := range g.Instances {
			if g.Instances[n].ID == id {
				return g, &g.Instances[n], nil
			}
		}
	}
	return nil, nil, problem.New(problem.NotFound, op, "there is no instance %s", id)
}

// weights are the weights of a whole cluster after a change.
func (r *region) weights(cluster string, changed map[string]float64) map[string]float64 {
	all := map[string]float64{}
	for _, g := range r.groups {
		if g.Spec.Cluster == cluster {
			all[g.Name] = g.Weight
		}
	}
	maps.Copy(all, changed)
	return all
}

// serving counts a cluster's serving instances under other weights.
func (r *region) serving(cluster string, weights map[string]float64) int {
	var groups []driver.ServerGroup
	for _, g := range r.groups {
		if g.Spec.Cluster == cluster {
			seen := *g
			if w, ok := weights[g.Name]; ok {
				seen.Weight = w
			}
			groups = append(groups, seen)
		}
	}
	return driver.Serving(groups)
}

// Resize implements driver.Capacity.
func (c *Cloud) Resize(_ context.Context, name, group string, to pipeline.Capacity, guard driver.Guard, key string) error {
	const op = "memcloud.resize"
	to, err := driver.CheckCapacity(to)
	if err != nil {
		return err
	}
	_, err = c.mutate(op, name, key, []any{group, to}, func(r *region) (string, any, error) {
		g, err := r.group(op, group)
		if err != nil {
			return "", nil, err
		}
		before := r.serving(g.Spec.Cluster, nil)
		after := before
		if g.Enabled() {
			after -= max(0, g.Serving()-to.Desired)
		}
		if err := driver.CheckGuard(guard, g.Spec.Cluster, name, before, after); err != nil {
			return "", nil, err
		}
		g.Capacity = to
		return g.Spec.Cluster, nil, nil
	})
	return err
}

// SetWeights implements driver.Traffic.
func (c *Cloud) SetWeights(_ context.Context, name, cluster string, weights map[string]float64, guard driver.Guard, key string) error {
	const op = "memcloud.weights"
	_, err := c.mutate(op, name, key, []any{cluster, weights}, func(r *region) (string, any, error) {
		for _, group := range slices.Sorted(maps.Keys(weights)) {
			g, err := r.group(op, group)
			if err != nil {
				return "", nil, err
			}
			if g.Spec.Cluster != cluster {
				return "", nil, problem.New(problem.Invalid, op, "%s is not in cluster %s", group, cluster)
			}
		}
		if err := driver.CheckWeights(r.weights(cluster, weights), *c.config.Facts); err != nil {
			return "", nil, err
		}
		if err := driver.CheckGuard(guard, cluster, name, r.serving(cluster, nil), r.serving(cluster, weights)); err != nil {
			return "", nil, err
		}
		for group, w := range weights {
			g := r.find(group)
			g.TrafficUntil, g.Weight = driver.TrafficUntil(g.TrafficUntil, g.Weight, w, c.config.Now()), w
		}
		return cluster, nil, nil
	})
	return err
}

// Destroy implements driver.Versions.
func (c *Cloud) Destroy(_ context.Context, name, group string, guard driver.Guard, key string) error {
	_, err := c.mutate("memcloud.destroy", name, key, group, func(r *region) (string, any, error) {
		g := r.find(group)
		if g == nil {
			return "", nil, nil
		}
		cluster := g.Spec.Cluster
		if err := driver.CheckGuard(guard, cluster, name, r.serving(cluster, nil), r.serving(cluster, map[string]float64{group: 0})); err != nil {
			return "", nil, err
		}
		g.Destroying = true
		return cluster, nil, nil
	})
	return err
}
