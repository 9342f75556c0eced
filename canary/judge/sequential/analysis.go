package sequential

import (
	"math"
	"slices"
)

// Side is what one side did in an interval. Requests are those that ended; Started are
// those that began, for the guard of the division, since one side's may take longer.
// Started may be negative when requests were called off; the guard then skips the
// interval. Buckets count the requests by latency, and may be missing.
type Side struct {
	Requests uint64
	Failures uint64
	Started  int64
	Buckets  []uint64
}

// Interval is a sealed stretch of time: what happened in it and is counted, and nothing
// comes to it later. Times are seconds. Share is the canary's configured share of the
// requests of both sides, 0 where nobody knows it.
type Interval struct {
	Start, End       float64
	Share            float64
	Baseline, Canary Side
}

// Analysis is what all intervals so far say. It is its own saved form in JSON.
type Analysis struct {
	// Until is the end of the newest interval; one that begins earlier is refused, so
	// that nothing is counted twice.
	Until   float64 `json:"until,omitempty"`
	Began   float64 `json:"began,omitempty"`
	Begun   bool    `json:"begun,omitempty"`
	Skipped Totals  `json:"skipped,omitzero"` // in the warm-up
	Total   Totals  `json:"total,omitzero"`
	// Marked are the totals at the last Mark, and when it was.
	Marked   Totals  `json:"marked,omitzero"`
	MarkedAt float64 `json:"markedAt,omitempty"`

	Split   Split              `json:"split,omitzero"`
	Metrics map[string]*tested `json:"metrics,omitempty"`
	// Baseline and Canary are the histograms.
	Baseline []uint64 `json:"baseline,omitempty"`
	Canary   []uint64 `json:"canary,omitempty"`
	// Events are the dispersions of the failures, at the length of the intervals and at
	// that of coarse windows; Slow those of the requests above each bound.
	Events Dispersion `json:"events,omitzero"`
	Coarse Dispersion `json:"coarse,omitzero"`
	// Together and TogetherCoarse are the same of the failures of both sides together, for
	// metrics that compare them.
	Together       Dispersion   `json:"together,omitzero"`
	TogetherCoarse Dispersion   `json:"togetherCoarse,omitzero"`
	Window         [2]Counted   `json:"window,omitzero"` // the coarse window that is being filled
	Filled         float64      `json:"filled,omitempty"`
	Drift          Drift        `json:"drift,omitzero"`
	Slow           []Dispersion `json:"slow,omitempty"`
	Points         []Point      `json:"points,omitempty"`
	Stride         int          `json:"stride,omitempty"` // intervals between two points
	Pending        int          `json:"pending,omitempty"`
}

// Totals are what was counted.
type Totals struct {
	Intervals int     `json:"intervals,omitempty"`
	Baseline  Counted `json:"baseline,omitzero"`
	Canary    Counted `json:"canary,omitzero"`
}

// tested is one metric's part of an Analysis.
type tested struct {
	Fail   *Test       `json:"fail,omitempty"`
	Pass   *Test       `json:"pass,omitempty"`
	Ratio  *Likelihood `json:"ratio,omitempty"`
	Failed Counted     `json:"count,omitzero"` // of the canary, for a rate
	Base   Counted     `json:"base,omitzero"`
	Low    float64     `json:"low,omitempty"` // of a rate's interval, once counted
	High   float64     `json:"high,omitempty"`
	Most   float64     `json:"most,omitempty"` // the greatest evidence so far
}

// Point is a moment of the report's chart.
type Point struct {
	At      float64       `json:"t"`
	Canary  uint64        `json:"n"`
	Metrics []MetricPoint `json:"m"`
}

// MetricPoint is a metric at a moment, in the order of the configuration. A bound that
// is not known yet is nil.
type MetricPoint struct {
	Effect *float64 `json:"e,omitempty"`
	Low    *float64 `json:"l,omitempty"`
	High   *float64 `json:"h,omitempty"`
	LogE   float64  `json:"v"`
}

// coarseSeconds is the length of coarse windows, and mostPoints how many points are
// kept for the chart.
const (
	coarseSeconds = 10
	mostPoints    = 60
)

// Add counts an interval and says whether it was taken: one that begins before the end
// of an earlier one was counted already.
func (a *Analysis) Add(c Config, i Interval) bool {
	if a.Begun && i.Start < a.Until || i.End < i.Start {
		return false
	}
	if !a.Begun {
		a.Began, a.Begun, a.Stride = i.Start, true, 1
		a.MarkedAt = i.Start
	}
	a.Until = i.End
	both := [2]Counted{{i.Baseline.Requests, min(i.Baseline.Failures, i.Baseline.Requests)}, {i.Canary.Requests, min(i.Canary.Failures, i.Canary.Requests)}}
	if i.Start < a.Began+c.WarmUpSeconds || a.Skipped.Canary.Requests < c.WarmUpRequests {
		a.Skipped.add(both)
		a.MarkedAt = i.End
		return true
	}
	a.Total.add(both)
	if c.SplitAlpha > 0 && i.Baseline.Started >= 0 && i.Canary.Started >= 0 {
		a.Split.Add(i.Share, uint64(i.Canary.Started), uint64(i.Baseline.Started+i.Canary.Started), c.SplitTolerance)
	}
	a.disperse(i, both)
	a.histograms(c, i)
	for _, m := range c.Metrics {
		a.metric(c, m, i, both)
	}
	a.point(c)
	return true
}

func (t *Totals) add(both [2]Counted) {
	t.Intervals++
	t.Baseline.add(both[0])
	t.Canary.add(both[1])
}

func (w *Counted) add(o Counted) { w.Requests, w.Events = w.Requests+o.Requests, w.Events+o.Events }

// Mark begins a new stretch for LeastRequests and LeastSeconds, such as a step with
// another weight.
func (a *Analysis) Mark(now float64) { a.Marked, a.MarkedAt = a.Total, now }

// disperse counts an interval for the guards against clusters and drift.
func (a *Analysis) disperse(i Interval, both [2]Counted) {
	a.Events.Add(both)
	a.Together.AddTogether(both)
	a.Window[0].add(both[0])
	a.Window[1].add(both[1])
	if a.Filled += i.End - i.Start; a.Filled >= coarseSeconds {
		a.Coarse.Add(a.Window)
		a.TogetherCoarse.AddTogether(a.Window)
		a.Drift.Add(a.Window)
		a.Window, a.Filled = [2]Counted{}, 0
	}
}

// histograms adds an interval's latencies. Where a side has none the distributions stay
// unknown.
func (a *Analysis) histograms(c Config, i Interval) {
	size := len(c.Bounds) + 1
	if len(c.Bounds) == 0 || len(i.Baseline.Buckets) != size || len(i.Canary.Buckets) != size {
		return
	}
	if a.Baseline == nil {
		a.Baseline, a.Canary, a.Slow = make([]uint64, size), make([]uint64, size), make([]Dispersion, len(c.Bounds))
	}
	for b := range size {
		a.Baseline[b] += i.Baseline.Buckets[b]
		a.Canary[b] += i.Canary.Buckets[b]
	}
	for b := range c.Bounds {
		a.Slow[b].Add([2]Counted{above(i.Baseline.Buckets, b), above(i.Canary.Buckets, b)})
	}
}

// above counts the requests that took longer than bound b.
func above(buckets []uint64, b int) (w Counted) {
	for i, n := range buckets {
		w.Requests += n
		if i > b {
			w.Events += n
		}
	}
	return w
}

func (a *Analysis) metric(c Config, m Metric, i Interval, both [2]Counted) {
	if a.Metrics == nil {
		a.Metrics = map[string]*tested{}
	}
	s := a.Metrics[m.Name]
	if s == nil {
		s = &tested{High: 1}
		a.Metrics[m.Name] = s
	}
	switch m.Kind {
	case ErrorRatio:
		s.ratio(c, m, both)
	case ErrorRate:
		s.rate(c, m, both[1], both[0])
	case SlowRate:
		if len(i.Canary.Buckets) == len(c.Bounds)+1 {
			s.rate(c, m, above(i.Canary.Buckets, m.Bound), above(i.Baseline.Buckets, m.Bound))
		}
	case Distribution, Quantile:
		s.Most = max(s.Most, a.latencyEvidence(c, m))
	}
}

// ratio counts an interval for the comparison with the baseline.
func (s *tested) ratio(c Config, m Metric, both [2]Counted) {
	if s.Fail == nil {
		s.Fail, s.Ratio = &Test{Null: m.Limit, Up: true}, &Likelihood{}
		if m.Accept > 0 {
			s.Pass = &Test{Null: m.Accept}
		}
	}
	rho := float64(both[1].Requests) / float64(both[0].Requests+both[1].Requests) // NaN without requests: Add then skips it
	s.Fail.Add(rho, both[1].Events, both[0].Events)
	if s.Pass != nil {
		s.Pass.Add(rho, both[1].Events, both[0].Events)
	}
	s.Ratio.Add(rho, both[1].Events, both[0].Events, c.alphaOf(m))
	s.Base.add(both[0])
	s.Failed.add(both[1])
	s.Most = s.Fail.Most
}

// rate counts an interval for the comparison with a fixed limit: a Test of the odds of
// failure, whose null share is the limit.
func (s *tested) rate(c Config, m Metric, canary, baseline Counted) {
	s.Failed.add(canary)
	s.Base.add(baseline)
	s.Most = max(s.Most, s.rateEvidence(m.Limit, true))
	alpha := c.alphaOf(m)
	low, high := ShareInterval(s.Failed.Events, s.Failed.Requests, alpha, DefaultK)
	if low, high = max(low, s.Low), min(high, s.High); low < high {
		s.Low, s.High = low, high
	}
}

// rateEvidence is the evidence that the rate is above the limit, or below it.
func (s *tested) rateEvidence(limit float64, up bool) float64 {
	if s.Failed.Requests == 0 {
		return 0
	}
	t := Test{Null: 1, Up: up}
	t.Add(limit, s.Failed.Events, s.Failed.Requests-s.Failed.Events)
	return t.LogE()
}

// latencyEvidence is the evidence that the canary is slower. That of a Distribution is
// no likelihood: it is the level, as a logarithm, at which its band would just reject.
func (a *Analysis) latencyEvidence(c Config, m Metric) float64 {
	if a.Baseline == nil {
		return 0
	}
	if m.Kind == Quantile {
		logE, higher := HistogramQuantileTest(a.Baseline, a.Canary, m.Q, m.Margin, DefaultK)
		if !higher {
			return 0
		}
		return logE
	}
	return a.gapEvidence(m)
}

// leastBand is from how many values on a band says something.
const leastBand = 100

// gapEvidence inverts the bands of both sides for the level at which their radii add up
// to the gap: each band has half of it.
func (a *Analysis) gapEvidence(m Metric) float64 {
	gap, _ := Gap(a.Baseline, a.Canary, m.Margin)
	na, nb := sum(a.Baseline), sum(a.Canary)
	if gap <= 0 || na < leastBand || nb < leastBand {
		return 0
	}
	radii := func(constant float64) float64 {
		b := Band{Constant: constant, Least: leastBand}
		return b.Radius(na) + b.Radius(nb)
	}
	low, high := 0.0, 1e3
	if radii(low) >= gap {
		return 0
	}
	for range 60 {
		if middle := (low + high) / 2; radii(middle) < gap {
			low = middle
		} else {
			high = middle
		}
	}
	level := 2 * bandError(low, BandFactor)
	return max(0, -math.Log(level))
}

func sum(counts []uint64) (total uint64) {
	for _, n := range counts {
		total += n
	}
	return total
}

// point keeps a moment for the chart. When there are too many, every second one goes
// and they come half as often.
func (a *Analysis) point(c Config) {
	if a.Pending++; a.Pending < a.Stride && len(a.Points) > 0 {
		a.Points = a.Points[:len(a.Points)-1] // the newest moment replaces the one before
	} else {
		a.Pending = 0
	}
	p := Point{At: a.Until, Canary: a.Total.Canary.Requests}
	for _, m := range c.Metrics {
		p.Metrics = append(p.Metrics, a.moment(c, m))
	}
	a.Points = append(a.Points, p)
	if len(a.Points) >= mostPoints {
		kept := a.Points[:0]
		for i, p := range a.Points {
			if i%2 == 1 || i == len(a.Points)-1 {
				kept = append(kept, p)
			}
		}
		a.Points, a.Stride = slices.Clip(kept), 2*a.Stride
	}
}
