package cloudwatch

import (
	"context"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"showrunner/problem"
)

// Datum is one value at one time.
type Datum struct {
	Name       string
	Unit       string
	Dimensions map[string]string
	Value      float64
	At         time.Time
}

// Metric is what is sent: the series of a PromQL query, a value each a minute. Their
// labels are the dimensions.
type Metric struct {
	Name, Query, Unit string
}

// Metrics are what control sends of every service. Counts are of the minute before.
func Metrics() []Metric {
	const by = "sum by (application, cluster, region, version) "
	return []Metric{
		{"Requests", by + "(increase(showrunner_server_group_requests_total[1m]))", "Count"},
		{"Errors", by + "(increase(showrunner_server_group_request_errors_total[1m]))", "Count"},
		{"LatencyP50", "histogram_quantile(0.5, sum by (application, cluster, region, version, le) (rate(showrunner_server_group_request_duration_seconds_bucket[1m])))", "Seconds"},
		{"LatencyP99", "histogram_quantile(0.99, sum by (application, cluster, region, version, le) (rate(showrunner_server_group_request_duration_seconds_bucket[1m])))", "Seconds"},
		{"ServingInstances", by + "(showrunner_server_group_serving_instances)", "Count"},
		{"TrafficWeight", by + "(showrunner_server_group_weight)", "None"},
	}
}

// Target takes data in batches. Errors: unavailable when the same data may be sent again;
// others refuse the batch.
type Target interface {
	// Fits is how many of the data, which are some, one batch may have.
	Fits(data []Datum) int
	Put(ctx context.Context, data []Datum) error
}

// Series is one series of a query's answer at one time.
type Series struct {
	Labels map[string]string
	Value  float64
}

const (
	// every is the period of what is sent.
	every = time.Minute
	// settle is how long after the end of a minute its values are read.
	settle = 10 * time.Second
	// mostWaiting bounds the data that wait; the oldest are dropped beyond it.
	mostWaiting = 50_000
	// mostAge is how old data may be: CloudWatch refuses older ones.
	mostAge = 13 * 24 * time.Hour
	// The pause after a failure doubles from firstPause to lastPause.
	firstPause = time.Second
	lastPause  = time.Minute
)

// Sink sends metrics once a minute.
type Sink struct {
	Target  Target
	Metrics []Metric
	Query   func(ctx context.Context, query string, at time.Time) ([]Series, error)
	// Claim tells whether this control plane is the one that sends a minute's values.
	Claim func(ctx context.Context, minute time.Time) (bool, error)
	Now   func() time.Time
	Log   *slog.Logger

	mu      sync.Mutex
	waiting []Datum
	counts  Counts
	grown   chan struct{}
}

// Counts are what a sink did since it began.
type Counts struct {
	Sent, Dropped, Refused, Waiting int
	Error                           string // of the last call; empty when it worked
}

// Counts tells what the sink did.
func (s *Sink) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts
	c.Waiting = len(s.waiting)
	return c
}

// Run sends until ctx ends.
func (s *Sink) Run(ctx context.Context) {
	s.grown = make(chan struct{}, 1)
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() { s.send(ctx) })
	last := minuteOf(s.Now())
	for {
		next := last.Add(every + settle)
		t := time.NewTimer(max(0, next.Sub(s.Now())))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		if last = minuteOf(s.Now()); ctx.Err() == nil {
			s.collect(ctx, last)
		}
	}
}

// minuteOf is the newest minute whose values have settled.
func minuteOf(now time.Time) time.Time { return now.Add(-settle).Truncate(every) }

// collect reads one minute's values and has them sent.
func (s *Sink) collect(ctx context.Context, minute time.Time) {
	mine, err := s.Claim(ctx, minute)
	if err != nil || !mine {
		if err != nil {
			s.fail(err)
		}
		return
	}
	var data []Datum
	for _, m := range s.Metrics {
		found, err := s.Query(ctx, m.Query, minute)
		if err != nil {
			s.fail(err)
			continue
		}
		for _, one := range found {
			if !acceptable(one.Value) {
				continue // no value: a quantile without requests, for one
			}
			// CloudWatch stamps a period with its start.
			data = append(data, Datum{Name: m.Name, Unit: m.Unit, Dimensions: dimensionsOf(one.Labels), Value: one.Value, At: minute.Add(-every)})
		}
	}
	s.add(data)
}

// acceptable says whether CloudWatch takes a value.
func acceptable(v float64) bool {
	return !math.IsNaN(v) && math.Abs(v) <= math.Ldexp(1, 360)
}

// mostDimensions is how many a metric may have.
const mostDimensions = 30

// dimensionsOf are labels that CloudWatch takes as dimensions: not empty, and not too long.
func dimensionsOf(labels map[string]string) map[string]string {
	out := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		v := []rune(labels[name])
		if len(v) == 0 || len(out) == mostDimensions {
			continue
		}
		out[name] = string(v[:min(len(v), 1024)])
	}
	return out
}

// add queues data, and drops the oldest beyond the bound.
func (s *Sink) add(data []Datum) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, data...)
	if over := len(s.waiting) - mostWaiting; over > 0 {
		s.waiting = slices.Clone(s.waiting[over:])
		s.counts.Dropped += over
	}
	select {
	case s.grown <- struct{}{}:
	default:
	}
}

func (s *Sink) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Error = problem.Text(err)
}

// batch is what is to be sent next, without what is too old by now.
func (s *Sink) batch() []Datum {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := s.Now().Add(-mostAge)
	for len(s.waiting) > 0 && s.waiting[0].At.Before(oldest) {
		s.waiting = s.waiting[1:]
		s.counts.Dropped++
	}
	if len(s.waiting) == 0 {
		return nil
	}
	return slices.Clone(s.waiting[:s.Target.Fits(s.waiting)])
}

// send sends what waits, in order. What fails and may pass is sent again; data that were
// dropped meanwhile stay dropped.
func (s *Sink) send(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		batch := s.batch()
		if len(batch) == 0 {
			select {
			case <-s.grown:
			case <-ctx.Done():
			}
			continue
		}
		err := s.Target.Put(ctx, batch)
		if ctx.Err() != nil {
			return
		}
		if problem.CodeOf(err) == problem.Unavailable {
			if failures == 0 {
				s.Log.Warn("metrics are not taken; they are sent again", "error", err)
			}
			s.fail(err)
			pause := min(lastPause, firstPause<<min(failures, 10))
			failures++
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			continue
		}
		failures = 0
		s.took(batch, err)
	}
}

// took removes a batch that was taken, or refused for good.
func (s *Sink) took(batch []Datum, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(batch)
	if len(s.waiting) > 0 { // the oldest of the batch may have been dropped while it was sent
		for n > 0 && !s.waiting[0].At.Equal(batch[len(batch)-n].At) {
			n--
		}
	}
	s.waiting = s.waiting[min(n, len(s.waiting)):]
	if s.counts.Error = ""; err != nil {
		s.counts.Refused += len(batch)
		s.counts.Error = problem.Text(err)
		s.Log.Warn("metrics are refused", "count", len(batch), "error", err)
		return
	}
	s.counts.Sent += len(batch)
}
