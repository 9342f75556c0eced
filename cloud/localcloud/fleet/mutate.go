package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"showrunner/cloud/driver"
	"showrunner/pipeline"
	"showrunner/problem"
)

// plainEnv is an environment of values alone: checkSpec has refused references.
func plainEnv(env map[string]driver.EnvValue) map[string]string {
	out := make(map[string]string, len(env))
	for name, v := range env {
		out[name] = v.Value
	}
	return out
}

// checkRegion refuses a request for another region.
func (f *Fleet) checkRegion(op, region string) error {
	if region != f.config.Region {
		return problem.New(problem.NotFound, op, "this is region %s, not %s", f.config.Region, region)
	}
	return nil
}

// mutate makes one change under the lock, once per key. act edits a copy of the
// record. The copy is made durable, and then the running part is updated by the
// function that act returned. The same key with the same request returns the
// first answer. Refusals are not remembered, because their reason may be gone at
// a retry.
func (f *Fleet) mutate(op, region, key string, request any, act func(next *document) (follow func(), made *madeOnce, err error)) (*madeOnce, error) {
	if err := f.checkRegion(op, region); err != nil {
		return nil, err
	}
	if key == "" {
		return nil, problem.New(problem.Invalid, op, "the change has no idempotency key")
	}
	text, err := json.Marshal(request)
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, op, "the request cannot be encoded")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing {
		return nil, problem.New(problem.Unavailable, op, "region %s shuts down", f.config.Region)
	}
	sum := sha256.Sum256(slices.Concat([]byte(f.mark), []byte(op), text))
	digest := hex.EncodeToString(sum[:16])
	if k, ok := f.doc.Keys[key]; ok {
		if !strings.HasPrefix(k.Request, digest) { // earlier versions stored the whole digest
			return nil, problem.New(problem.Conflict, op, "the key %q was used for another change", key)
		}
		return k.Result, nil
	}
	now := f.config.Now()
	next := f.doc.clone()
	next.forget()
	follow, made, err := act(&next)
	if err != nil {
		return nil, err
	}
	next.Keys[key] = keyRecord{Request: digest, Result: made, At: now}
	if err := f.folder.save(next); err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, op, "region %s cannot record the change", region).
			WithHelp("check the disk of %s", f.folder.path)
	}
	f.doc = next
	if follow != nil {
		follow()
	}
	f.requestPass()
	return made, nil
}

// CreateServerGroup implements driver.Versions.
func (f *Fleet) CreateServerGroup(_ context.Context, region string, spec driver.ServerGroupSpec, key string) (driver.ServerGroup, error) {
	const op = "fleet.create"
	identity, env, err := driver.Identity(spec), plainEnv(spec.Env), error(nil)
	if spec.CopyOf != "" {
		err = driver.CheckCopy(spec, facts)
	} else if spec, err = f.checkNew(op, spec); err == nil {
		identity = driver.Identity(spec)
	}
	if err != nil {
		return driver.ServerGroup{}, err
	}
	made, err := f.mutate(op, region, key, identity, func(next *document) (func(), *madeOnce, error) {
		if spec.CopyOf != "" {
			if spec, env, err = f.copied(next, op, spec); err != nil {
				return nil, nil, err
			}
		}
		var last *int
		if n, ok := next.Sequences[spec.Cluster]; ok {
			last = &n
		}
		seq, err := driver.NextSequence(spec.Cluster, last, func(n int) bool {
			_, taken := next.Groups[driver.ServerGroupName(spec.Cluster, n)]
			return taken
		})
		if err != nil {
			return nil, nil, err
		}
		name := driver.ServerGroupName(spec.Cluster, seq)
		sealed, err := f.folder.seal(env)
		if err != nil {
			return nil, nil, problem.Wrap(err, problem.Internal, op, "the environment of %s cannot be sealed", name)
		}
		r := record{Spec: spec, Env: sealed, Capacity: spec.Capacity, Weight: spec.Weight, Created: f.config.Now(), Order: f.revision}
		r.Spec.Env = nil
		next.Sequences[spec.Cluster], next.Groups[name] = seq, r
		return func() {
			f.groups[name] = f.newGroup(name, r, env)
			f.push(spec.Cluster)
			f.bump(spec.Cluster)
		}, &madeOnce{name, r.Created}, nil
	})
	if err != nil {
		return driver.ServerGroup{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if g := f.groups[made.Name]; g != nil && f.doc.Groups[made.Name].Created.Equal(made.Created) {
		return f.observe(g), nil
	}
	spec.Env = nil
	return driver.ServerGroup{Name: made.Name, Region: region, Spec: spec, Capacity: spec.Capacity, Weight: spec.Weight, Created: made.Created}, nil // the instance is gone
}

// checkNew completes the specification of a new group.
func (f *Fleet) checkNew(op string, spec driver.ServerGroupSpec) (driver.ServerGroupSpec, error) {
	spec, err := checkSpec(spec)
	if err == nil {
		err = f.checkZones(op, spec)
	}
	return spec, err
}

// copied is the specification of a copy, with the values of the copied group's
// environment, which no caller gets to see.
func (f *Fleet) copied(next *document, op string, request driver.ServerGroupSpec) (driver.ServerGroupSpec, map[string]string, error) {
	g, r, err := f.find(next, op, request.CopyOf)
	if err != nil {
		return request, nil, err
	}
	spec, err := driver.CopySpec(r.Spec, request)
	if err == nil {
		spec, err = f.checkNew(op, spec)
	}
	return spec, g.env, err
}

// facts are the facts of every region: it runs processes on its machine, and its
// own load balancer applies weights at once and counts each request when it ends.
var facts = driver.Facts{Workloads: []driver.WorkloadKind{driver.ProcessWorkload}, Placement: true, Copies: true, Counts: &driver.CountFacts{Latencies: true, Instances: true}}

// Facts implements driver.Cloud.
func (f *Fleet) Facts(_ context.Context, region string) (driver.Facts, error) {
	return facts, f.checkRegion("fleet.facts", region)
}

// checkSpec completes a spec and refuses options that this region can never run.
func checkSpec(s driver.ServerGroupSpec) (driver.ServerGroupSpec, error) {
	s, err := driver.CheckSpec(s, facts)
	if err != nil {
		return s, err
	}
	bad := func(format string, args ...any) (driver.ServerGroupSpec, error) {
		return s, problem.New(problem.Invalid, "fleet.create", "server group of %s: %s", s.Cluster, fmt.Sprintf(format, args...))
	}
	if err := checkHealth("the health check", s.Health); err != nil {
		return bad("%s", err)
	}
	if s.Liveness != nil {
		if err := checkHealth("the liveness check", *s.Liveness); err != nil {
			return bad("%s", err)
		}
	}
	if err := limitsOf(s.Limits); err != nil {
		return bad("%s", err)
	}
	for _, p := range s.Scaling {
		if err := checkPolicy(p); err != nil {
			return bad("scaling policy %q: %s", p.Name, err)
		}
	}
	return s, nil
}

func checkPolicy(p pipeline.ScalingPolicy) error {
	switch {
	case p.Target != nil && p.Step == nil && p.Schedule == nil:
		if !knownMetric(p.Target.Metric) {
			return fmt.Errorf("there is no metric %q", p.Target.Metric)
		}
		if !(p.Target.Value > 0) || math.IsInf(p.Target.Value, 0) {
			return fmt.Errorf("the target is not a number above 0")
		}
	case p.Step != nil && p.Target == nil && p.Schedule == nil:
		if !knownMetric(p.Step.Metric) {
			return fmt.Errorf("there is no metric %q", p.Step.Metric)
		}
		if !slices.Contains([]string{"change", "exact", "percent"}, p.Step.Adjustment) {
			return fmt.Errorf("the adjustment is change, exact or percent")
		}
		return checkSteps(p.Step.Steps)
	case p.Schedule != nil && p.Target == nil && p.Step == nil:
		_, _, err := parseSchedule(*p.Schedule)
		return err
	default:
		return fmt.Errorf("it needs exactly one of target, step and schedule")
	}
	return nil
}

// checkSteps refuses steps that overlap or leave a gap.
func checkSteps(steps []pipeline.Step) error {
	if len(steps) == 0 {
		return fmt.Errorf("it has no steps")
	}
	low := func(s pipeline.Step) float64 {
		if s.Lower == nil {
			return math.Inf(-1)
		}
		return *s.Lower
	}
	high := func(s pipeline.Step) float64 {
		if s.Upper == nil {
			return math.Inf(1)
		}
		return *s.Upper
	}
	sorted := slices.SortedFunc(slices.Values(steps), func(a, b pipeline.Step) int {
		if low(a) < low(b) {
			return -1
		}
		return 1
	})
	for n, s := range sorted {
		if low(s) >= high(s) {
			return fmt.Errorf("a step from %v to %v is empty", low(s), high(s))
		}
		if n > 0 && low(s) < high(sorted[n-1]) {
			return fmt.Errorf("two steps overlap at %v", low(s))
		}
		// At the threshold no step is needed; elsewhere a gap is a mistake.
		if n > 0 && low(s) > high(sorted[n-1]) && (low(s) < 0 || high(sorted[n-1]) > 0) {
			return fmt.Errorf("no step covers %v to %v", high(sorted[n-1]), low(s))
		}
	}
	return nil
}

// find returns a group and its record in next.
func (f *Fleet) find(next *document, op, name string) (*group, record, error) {
	g, r := f.groups[name], next.Groups[name]
	if g == nil {
		return nil, r, problem.New(problem.NotFound, op, "there is no server group %s in %s", name, f.config.Region)
	}
	return g, r, nil
}

// Resize implements driver.Capacity.
func (f *Fleet) Resize(_ context.Context, region, name string, to pipeline.Capacity, guard driver.Guard, key string) error {
	const op = "fleet.resize"
	to, err := driver.CheckCapacity(to)
	if err != nil {
		return err
	}
	_, err = f.mutate(op, region, key, []any{name, to}, func(next *document) (func(), *madeOnce, error) {
		g, r, err := f.find(next, op, name)
		if err != nil {
			return nil, nil, err
		}
		if r.Destroying {
			return nil, nil, problem.New(problem.Conflict, op, "server group %s is being destroyed", name)
		}
		before := f.servingOf(g.cluster, f.weightOf)
		after := before
		if r.Weight > 0 {
			after -= max(0, g.serving()-to.Desired)
		}
		if err := driver.CheckGuard(guard, g.cluster, region, before, after); err != nil {
			return nil, nil, err
		}
		r.Capacity = to
		next.Groups[name] = r
		return func() { f.bump(g.cluster) }, nil, nil
	})
	return err
}

// SetWeights implements driver.Traffic.
func (f *Fleet) SetWeights(_ context.Context, region, cluster string, weights map[string]float64, guard driver.Guard, key string) error {
	const op = "fleet.weights"
	_, err := f.mutate(op, region, key, []any{cluster, weights}, func(next *document) (func(), *madeOnce, error) {
		for _, name := range slices.Sorted(maps.Keys(weights)) {
			g, r, err := f.find(next, op, name)
			if err != nil {
				return nil, nil, err
			}
			if g.cluster != cluster || !driver.ValidWeight(weights[name]) {
				return nil, nil, problem.New(problem.Invalid, op, "%s in cluster %s cannot have weight %v", name, cluster, weights[name])
			}
			if r.Destroying && weights[name] > 0 {
				return nil, nil, problem.New(problem.Conflict, op, "server group %s is being destroyed", name)
			}
			r.TrafficUntil = driver.TrafficUntil(r.TrafficUntil, r.Weight, weights[name], f.config.Now())
			r.Weight = weights[name]
			next.Groups[name] = r
		}
		before := f.servingOf(cluster, f.weightOf)
		after := f.servingOf(cluster, func(name string) float64 { return next.Groups[name].Weight })
		if err := driver.CheckGuard(guard, cluster, region, before, after); err != nil {
			return nil, nil, err
		}
		return func() { f.push(cluster); f.bump(cluster) }, nil, nil
	})
	return err
}

// Destroy implements driver.Versions. The group stays visible, as destroying,
// until its last instance is gone.
func (f *Fleet) Destroy(_ context.Context, region, name string, guard driver.Guard, key string) error {
	const op = "fleet.destroy"
	_, err := f.mutate(op, region, key, name, func(next *document) (func(), *madeOnce, error) {
		g := f.groups[name]
		if g == nil || next.Groups[name].Destroying {
			return nil, nil, nil
		}
		r := next.Groups[name]
		before := f.servingOf(g.cluster, f.weightOf)
		after := before
		if r.Weight > 0 {
			after -= g.serving()
		}
		if err := driver.CheckGuard(guard, g.cluster, region, before, after); err != nil {
			return nil, nil, err
		}
		r.Destroying, r.Weight = true, 0
		next.Groups[name] = r
		return func() { f.push(g.cluster); f.bump(g.cluster) }, nil, nil
	})
	return err
}
