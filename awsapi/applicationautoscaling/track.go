package applicationautoscaling

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"showrunner/awsapi/ecs"
	"showrunner/awsapi/wire"
	"showrunner/cloud"
)

// The predefined metrics of a service of ECS.
const (
	cpuMetric      = "ECSServiceAverageCPUUtilization"
	memoryMetric   = "ECSServiceAverageMemoryUtilization"
	requestsMetric = "ALBRequestCountPerTarget"
)

// How many looks in a row have to find a metric beyond its bounds before a policy acts:
// as many as the alarms of AWS have minutes.
const (
	highLooks = 3
	lowLooks  = 15
)

// lowShare is which share of its target a metric has to be below before tasks are taken away.
const lowShare = .9

// rateSpan is over how long requests are counted for their rate.
const rateSpan = 10 * time.Second

// evidence is what was seen of a target's metrics, since its capacity was changed last, by
// this service or by somebody else.
type evidence struct {
	began     int // activities that there were
	desired   int // tasks that were wanted
	high, low map[string]int
	counts    map[string]cloud.Counts // by instance, when they were read last
	requests  float64                 // that were counted since the first look
	totals    []total
}

// total is how many requests were counted up to a time.
type total struct {
	at       time.Time
	requests float64
}

// count adds what was counted since the last look. Counters that began anew count from 0.
func (e *evidence) count(now time.Time, counts []cloud.Counts) {
	next := map[string]cloud.Counts{}
	for _, c := range counts {
		if c.Instance == "" {
			continue
		}
		next[c.Instance] = c
		before, known := e.counts[c.Instance]
		switch {
		case e.counts == nil: // the first look
		case known && before.Epoch == c.Epoch && c.Requests >= before.Requests:
			e.requests += float64(c.Requests - before.Requests)
		default:
			e.requests += float64(c.Requests)
		}
	}
	e.counts = next
	e.totals = append(e.totals, total{now, e.requests})
	for len(e.totals) > 2 && now.Sub(e.totals[1].at) >= rateSpan {
		e.totals = e.totals[1:]
	}
}

// rate is requests a minute; NaN as long as too little was seen.
func (e *evidence) rate() float64 {
	if len(e.totals) < 2 {
		return math.NaN()
	}
	first, last := e.totals[0], e.totals[len(e.totals)-1]
	if span := last.at.Sub(first.at); span > 0 {
		return (last.requests - first.requests) / span.Minutes()
	}
	return math.NaN()
}

// reading is what a policy's metric says now.
type reading struct {
	metric    string
	value     float64 // NaN: nothing is known
	high, low bool    // it has been beyond its bounds for long enough
}

// look continues a run of looks that found a metric beyond its bounds.
func (e *evidence) look(p policy, metric string, value float64) reading {
	if e.high == nil {
		e.high, e.low = map[string]int{}, map[string]int{}
	}
	goal, _ := p.Data["TargetValue"].(float64)
	inARow(e.high, p.Name, value > goal)
	inARow(e.low, p.Name, value < goal*lowShare)
	return reading{metric, value, e.high[p.Name] >= highLooks, e.low[p.Name] >= lowLooks}
}

func inARow(runs map[string]int, name string, holds bool) {
	if !holds {
		delete(runs, name)
		return
	}
	runs[name]++
}

// wish is the capacity that a policy asks for.
type wish struct {
	policy string
	to     int
	vetoes bool // the service must not shrink while the policy does not want to
	why    string
}

// wish is what a policy that tracks a target asks for. While the cooldown of a growth goes
// on, what it added counts: only a larger growth is made. Within the cooldown of a
// reduction nothing is taken away.
func (p policy) wish(r reading, desired, running int, now time.Time) wish {
	goal, _ := p.Data["TargetValue"].(float64)
	w := wish{policy: p.Name, to: desired, vetoes: !p.Data.Is("DisableScaleIn")}
	if math.IsNaN(r.value) || running == 0 {
		return w
	}
	base := running
	if p.Out.To <= desired && now.Sub(p.Out.At) < p.cooldown("ScaleOutCooldown") {
		base = min(base, p.Out.From)
	}
	switch {
	case r.high && r.value > goal:
		if need := needed(base, r.value, goal); need > desired {
			w.to = need
		}
		w.why = fmt.Sprintf("%s is %.4g, above the target of %g", r.metric, r.value, goal)
	case r.low && w.vetoes && running == desired && now.Sub(p.In.At) >= p.cooldown("ScaleInCooldown"):
		if need := needed(running, r.value, goal); need < desired {
			w.to, w.vetoes = need, false
		}
		w.why = fmt.Sprintf("%s is %.4g, below the target of %g", r.metric, r.value, goal)
	}
	return w
}

// needed is how many tasks bring a metric to its goal, rounded up.
func needed(tasks int, value, goal float64) int {
	want := float64(tasks) * value / goal
	if near := math.Round(want); math.Abs(want-near) < 1e-9*math.Max(1, near) {
		want = near // a rounding error adds no task
	}
	return int(math.Ceil(math.Min(want, math.MaxInt32)))
}

// settle combines the wishes of several policies: the service grows to the largest; it
// shrinks only if all that may shrink it agree, by the smallest reduction. A capacity
// out of the target's bounds is brought within them.
func (t target) settle(desired int, wishes []wish) wish {
	chosen, vetoed := wish{to: desired}, false
	for _, w := range wishes {
		if w.to > chosen.to {
			chosen = w
		}
		vetoed = vetoed || w.to >= desired && w.vetoes
	}
	if chosen.to == desired && !vetoed {
		found := false
		for _, w := range wishes {
			if w.to < desired && (!found || w.to > chosen.to) {
				chosen, found = w, true
			}
		}
	}
	switch {
	case desired < t.Min && chosen.to < t.Min:
		return wish{to: t.Min, why: fmt.Sprintf("minimum capacity was set to %d", t.Min)}
	case desired > t.Max:
		return wish{to: t.Max, why: fmt.Sprintf("maximum capacity was set to %d", t.Max)}
	}
	chosen.to = max(t.Min, min(chosen.to, t.Max))
	if chosen.to > desired && t.is("DynamicScalingOutSuspended") || chosen.to < desired && t.is("DynamicScalingInSuspended") {
		chosen.to = desired
	}
	return chosen
}

// Carry does once what Run does: it asks ECS for what is recorded and not done, and
// evaluates schedules and policies.
func (s *Service) Carry(ctx context.Context, region string) error {
	list, err := s.targets.List(ctx, region+"/")
	if err != nil || len(list) == 0 {
		return err
	}
	loads, err := s.Loads(ctx, region)
	if err != nil {
		return err
	}
	var failures []error
	for _, e := range list {
		failures = append(failures, s.tend(ctx, region, e.Doc, loads))
	}
	return errors.Join(failures...)
}

// tend does for one target what is due.
func (s *Service) tend(ctx context.Context, region string, t target, loads []ecs.Load) error {
	if err := s.carryActivity(ctx, region, t); err != nil {
		return err
	}
	cluster, name := t.names()
	for _, load := range loads {
		if load.Cluster != cluster || load.Service != name {
			continue
		}
		if err := s.carrySchedule(ctx, region, t, load); err != nil {
			return err
		}
		return s.track(ctx, region, t, load)
	}
	return nil // the service is gone: there is nothing to scale
}

// track evaluates the policies that track a target.
func (s *Service) track(ctx context.Context, region string, t target, load ecs.Load) error {
	if len(t.Policies) == 0 {
		return nil
	}
	e := s.seen(region, t, load.Desired)
	if t.measuresRequests() {
		counts, err := s.Groups.Counts(ctx, region, load.Fleet)
		if err != nil {
			return err
		}
		e.count(s.Now(), counts)
	}
	now := s.Now()
	var wishes []wish
	for _, p := range t.Policies {
		if p.Type != tracking {
			continue
		}
		r, err := s.read(ctx, region, p, e, load)
		if err != nil {
			return err
		}
		wishes = append(wishes, p.wish(r, load.Desired, load.Running, now))
	}
	w := t.settle(load.Desired, wishes)
	if w.to == load.Desired {
		return nil
	}
	made, err := s.change(ctx, region, t.Resource, func(have *target) error {
		if have.Began != t.Began || !have.Created.Equal(t.Created) {
			return errOutdated
		}
		cause := w.why
		if w.policy != "" {
			cause = "monitor of the metric (" + w.why + ") triggered policy " + w.policy
		}
		for n := range have.Policies {
			if p := &have.Policies[n]; p.Name == w.policy {
				p.scaled(now, load.Desired, w.to)
			}
		}
		have.begin(now, load.Desired, w.to, w.policy, cause)
		return nil
	})
	if errors.Is(err, errOutdated) || wire.CodeOf(err) == "ObjectNotFoundException" {
		return nil
	}
	if err != nil {
		return err
	}
	return s.carryActivity(ctx, region, made)
}

// errOutdated ends a change that was decided on what is no longer so.
var errOutdated = errors.New("the target was scaled meanwhile")

// seen is the evidence about a target, anew after each change of its capacity.
func (s *Service) seen(region string, t target, desired int) *evidence {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := targetKey(region, t.Resource)
	e := s.evidence[key]
	if e == nil {
		e = &evidence{began: t.Began, desired: desired}
		s.evidence[key] = e
	}
	if e.began != t.Began || e.desired != desired {
		e.began, e.desired, e.high, e.low = t.Began, desired, nil, nil
	}
	return e
}

func (t target) measuresRequests() bool {
	for _, p := range t.Policies {
		if p.Data.Inner("PredefinedMetricSpecification").Text("PredefinedMetricType") == requestsMetric {
			return true
		}
	}
	return false
}

// read reads a policy's metric.
func (s *Service) read(ctx context.Context, region string, p policy, e *evidence, load ecs.Load) (reading, error) {
	if custom := p.Data.Inner("CustomizedMetricSpecification"); custom != nil {
		return s.readCustom(ctx, region, p, custom)
	}
	metric := p.Data.Inner("PredefinedMetricSpecification").Text("PredefinedMetricType")
	value := map[string]float64{cpuMetric: load.CPU, memoryMetric: load.Memory, requestsMetric: e.rate() / float64(max(load.Running, 1))}[metric]
	return e.look(p, metric, value), nil
}

// readCustom reads a metric of CloudWatch, whose points of a minute are what AWS's alarms
// look at.
func (s *Service) readCustom(ctx context.Context, region string, p policy, custom object) (reading, error) {
	statistic := custom.Text("Statistic")
	now := s.Now().UTC().Truncate(time.Minute)
	in := custom.Only("MetricName", "Namespace", "Dimensions", "Unit").With(object{"StartTime": now.Add(-(lowLooks + 1) * time.Minute), "EndTime": now, "Period": 60, "Statistics": []any{statistic}})
	out, err := s.Services.Call(ctx, s.scaler(region), "monitoring", "GetMetricStatistics", in)
	if err != nil {
		return reading{}, err
	}
	goal, _ := p.Data["TargetValue"].(float64)
	points := object(out).Objects("Datapoints")
	slices.SortFunc(points, func(a, b object) int { return timeOf(b).Compare(timeOf(a)) })
	r := reading{metric: custom.Text("MetricName"), value: math.NaN()}
	high, low := true, true // of all points so far, the newest first
	for n, point := range points {
		value, _ := point[statistic].(float64)
		if n == 0 {
			r.value = value
		}
		if high, low = high && value > goal, low && value < goal*lowShare; n+1 == highLooks {
			r.high = high
		}
		r.low = r.low || low && n+1 == lowLooks
	}
	return r, nil
}

func timeOf(point object) time.Time {
	at, _ := point["Timestamp"].(time.Time)
	return at
}
