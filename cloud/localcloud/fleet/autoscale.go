package fleet

import (
	"cmp"
	"math"
	"time"

	"github.com/robfig/cron/v3"

	"showrunner/cloud/driver"
	"showrunner/pipeline"
)

// scaler is the state of a group's policies between evaluations. It is lost with
// the process: a new scaler needs new evidence.
type scaler struct {
	policies []policy
	counts   map[string]driver.Counts // by instance, at the last evaluation
	at       time.Time
}

// policy is one policy, and how long its metric has been out of bounds.
type policy struct {
	pipeline.ScalingPolicy
	high, low int
	next      time.Time // next time of a scheduled action; times missed while the region was down are skipped
	schedule  cron.Schedule
	zone      *time.Location
}

func newScaler(policies []pipeline.ScalingPolicy, now time.Time) scaler {
	s := scaler{counts: map[string]driver.Counts{}}
	for _, p := range policies {
		made := policy{ScalingPolicy: p}
		if p.Schedule != nil {
			schedule, zone, err := parseSchedule(*p.Schedule)
			if err != nil {
				continue // invalid schedules were refused when the group was made
			}
			made.schedule, made.zone = schedule, zone
			made.next = schedule.Next(now.In(zone))
		}
		s.policies = append(s.policies, made)
	}
	return s
}

func parseSchedule(s pipeline.ScheduledScaling) (cron.Schedule, *time.Location, error) {
	zone, err := time.LoadLocation(cmp.Or(s.Zone, "UTC"))
	if err != nil {
		return nil, nil, err
	}
	schedule, err := cron.ParseStandard(s.Cron)
	return schedule, zone, err
}

// metrics are one group's measurements over one period; NaN is missing data.
type metrics map[string]float64

const (
	metricRequests = "requests-per-target"
	metricLatency  = "latency-p99"
	metricInFlight = "in-flight"
	metricCPU      = "cpu"
	metricMemory   = "memory"
)

func knownMetric(name string) bool {
	switch name {
	case metricRequests, metricLatency, metricInFlight, metricCPU, metricMemory:
		return true
	}
	return false
}

// autoscale evaluates every group's policies once.
func (f *Fleet) autoscale() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing {
		return
	}
	now := f.config.Now()
	for _, g := range f.groups {
		if len(g.scaler.policies) == 0 || f.doc.Groups[g.name].Destroying {
			continue
		}
		before := f.doc.Groups[g.name].Capacity
		after := f.scheduled(g, before, now)
		after = f.measured(g, after, now)
		if after != before {
			f.rescale(g, after)
		}
	}
}

// keep records a change that the group makes on its own. A change that cannot be
// recorded is not made.
func (f *Fleet) keep(g *group, r record) bool {
	next := f.doc.clone()
	next.Groups[g.name] = r
	if err := f.folder.save(next); err != nil {
		f.config.Log.Error("cannot record a change of a group", "group", g.name, "err", err)
		return false
	}
	f.doc = next
	f.bump(g.cluster)
	return true
}

func (f *Fleet) rescale(g *group, to pipeline.Capacity) {
	r := f.doc.Groups[g.name]
	r.Capacity = to
	if f.keep(g, r) {
		f.requestPass()
	}
}

// scheduled applies the scheduled actions that are due. It skips disabled groups:
// a group that is kept for a rollback keeps its capacity, and a group that is
// being rolled out takes over with the capacity of the old version.
func (f *Fleet) scheduled(g *group, c pipeline.Capacity, now time.Time) pipeline.Capacity {
	held := f.suspended(g, processScheduledActions) || f.weightOf(g.name) == 0
	for n := range g.scaler.policies {
		p := &g.scaler.policies[n]
		if p.Schedule == nil || now.Before(p.next) {
			continue
		}
		p.next = p.schedule.Next(now.In(p.zone))
		if held {
			continue
		}
		c = onSchedule(c, *p.Schedule)
		f.config.Log.Info("a scheduled action", "group", g.name, "policy", p.Name, "desired", c.Desired)
	}
	return c
}

// onSchedule is the capacity after one scheduled action: the action's numbers are
// set, and desired stays within the bounds.
func onSchedule(c pipeline.Capacity, s pipeline.ScheduledScaling) pipeline.Capacity {
	if s.Min != nil {
		c.Min = *s.Min
	}
	if s.Max != nil {
		c.Max = *s.Max
	}
	if s.Desired != nil {
		c.Desired = *s.Desired
	}
	c.Max = max(c.Max, c.Min)
	c.Desired = clamp(c.Desired, c)
	return c
}

// measured evaluates the policies that follow metrics. A disabled group has no
// traffic to measure. It keeps its capacity, so that it can return with it.
func (f *Fleet) measured(g *group, c pipeline.Capacity, now time.Time) pipeline.Capacity {
	last := g.scaler.at
	counts := f.countsByInstance(g)
	before := g.scaler.counts
	g.scaler.counts, g.scaler.at = counts, now
	if last.IsZero() || f.weightOf(g.name) == 0 || f.suspended(g, processAlarmNotification) {
		for n := range g.scaler.policies {
			g.scaler.policies[n].high, g.scaler.policies[n].low = 0, 0
		}
		return c
	}
	var verdicts []verdict
	for n := range g.scaler.policies {
		p := &g.scaler.policies[n]
		if p.Schedule != nil {
			continue
		}
		warmup := f.config.Scaling.Warmup
		if p.Target != nil && p.Target.Warmup > 0 {
			warmup = time.Duration(p.Target.Warmup)
		} else if p.Step != nil && p.Step.Warmup > 0 {
			warmup = time.Duration(p.Step.Warmup)
		}
		warm, warming := g.warm(now, warmup)
		m := measure(warm, before, counts, now.Sub(last))
		s := situation{Capacity: c, Warm: len(warm), Warming: warming}
		verdicts = append(verdicts, p.evaluate(m, s, f.config.Scaling))
	}
	to, by := settle(c, verdicts)
	if to != c.Desired {
		g.scaled = &driver.ScalingChange{Policy: by.Policy, Why: by.Why, From: c.Desired, To: to, At: now}
		f.config.Log.Info("scaling", "group", g.name, "from", c.Desired, "to", to, "policy", by.Policy, "why", by.Why)
		// The next change needs evidence about the new capacity. Otherwise a
		// policy that lost to another would act on the same evidence a second
		// later.
		for n := range g.scaler.policies {
			g.scaler.policies[n].high, g.scaler.policies[n].low = 0, 0
		}
		c.Desired = to
	}
	return c
}

// evaluate counts how long the metric has been out of bounds and asks for a
// verdict. A target's bounds are the target and nine tenths of it, as in Auto
// Scaling's own alarms; a step policy's bound is its threshold.
func (p *policy) evaluate(m metrics, s situation, scaling Scaling) verdict {
	var metric, over, under float64
	if p.Target != nil {
		metric, over, under = m[p.Target.Metric], p.Target.Value, p.Target.Value*.9
		inARow(&p.high, metric > over)
	} else {
		metric, over, under = m[p.Step.Metric], p.Step.Threshold, p.Step.Threshold
		inARow(&p.high, metric >= over)
	}
	inARow(&p.low, metric < under)
	high, low := p.high >= scaling.HighPeriods, p.low >= scaling.LowPeriods
	if p.Target != nil {
		return trackTarget(p.Name, *p.Target, metric, high, low, s)
	}
	return stepScale(p.Name, *p.Step, metric, high, low, s)
}

// inARow continues a run of periods, or ends it; missing data ends it.
func inARow(n *int, holds bool) {
	if holds {
		*n++
	} else {
		*n = 0
	}
}

// warm returns the instances whose measurements count, and the number of
// instances that are warming up.
func (g *group) warm(now time.Time, warmup time.Duration) (warm []*instance, warming int) {
	for _, i := range g.instances {
		switch {
		case i.inService() && now.Sub(i.serving) >= warmup:
			warm = append(warm, i)
		case i.lifecycle == driver.Pending || i.inService():
			warming++
		}
	}
	return warm, warming
}

func (f *Fleet) countsByInstance(g *group) map[string]driver.Counts {
	byInstance := map[string]driver.Counts{}
	for _, c := range f.config.Balancer.Counts(g.cluster) {
		if c.Instance != "" && c.ServerGroup == g.name {
			byInstance[c.Instance] = c
		}
	}
	return byInstance
}

// measure turns two readings of raw counts into metrics over warm instances.
func measure(warm []*instance, before, after map[string]driver.Counts, period time.Duration) metrics {
	missing := math.NaN()
	m := metrics{metricRequests: missing, metricLatency: missing, metricInFlight: missing, metricCPU: missing, metricMemory: missing}
	if len(warm) == 0 || period <= 0 {
		return m
	}
	var requests, inFlight, cpu, memory, sampled float64
	buckets := make([]uint64, len(driver.LatencyBounds)+1)
	for _, i := range warm {
		was, is := before[i.id], after[i.id]
		if is.Requests >= was.Requests {
			requests += float64(is.Requests - was.Requests)
		}
		inFlight += float64(is.InFlight)
		if !i.sampled.IsZero() {
			sampled++
			cpu += i.cpu
			memory += float64(i.memory)
		}
		for b := range min(len(is.Buckets), len(buckets)) {
			n := is.Buckets[b]
			if b < len(was.Buckets) && was.Buckets[b] <= n {
				n -= was.Buckets[b]
			}
			buckets[b] += n
		}
	}
	n := float64(len(warm))
	m[metricRequests] = requests / period.Seconds() / n
	m[metricInFlight] = inFlight / n
	m[metricCPU] = cpu / sampled // NaN where the system reports nothing
	m[metricMemory] = memory / sampled
	m[metricLatency] = quantile(buckets, .99)
	return m
}

// quantile reads a latency, in seconds, from a histogram: it interpolates the
// q-th request within its bucket, NaN without requests. Beyond the last bound it
// returns that bound, which is the least possible value.
func quantile(buckets []uint64, q float64) float64 {
	var total uint64
	for _, n := range buckets {
		total += n
	}
	if total == 0 {
		return math.NaN()
	}
	rank, seen := q*float64(total), 0.0
	for b, n := range buckets {
		if n > 0 && seen+float64(n) >= rank {
			if b >= len(driver.LatencyBounds) {
				break
			}
			low := 0.0
			if b > 0 {
				low = driver.LatencyBounds[b-1]
			}
			return low + (driver.LatencyBounds[b]-low)*(rank-seen)/float64(n)
		}
		seen += float64(n)
	}
	return driver.LatencyBounds[len(driver.LatencyBounds)-1]
}
