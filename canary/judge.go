package canary

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"showrunner/canary/judge"
	"showrunner/canary/judge/sequential"
	"showrunner/pipeline"
)

// Decision is what a judgement says, in the sequential judge's words.
type Decision = sequential.Decision

// The names of the judges in a report.
const (
	JudgeValues = judge.OurJudge
	JudgeCounts = "sequential"
)

// leastRequests are needed of each side for a verdict on counters.
const leastRequests = 20

// mostKept bounds the points of a series in a report.
const mostKept = 60

// Report is one judgement.
type Report struct {
	Window   Window         `json:"window"`
	Decision Decision       `json:"decision"`
	Reason   string         `json:"reason"` // the verdict, as a sentence
	Score    *float64       `json:"score"`  // nil without a metric that counts
	Pass     float64        `json:"pass"`
	Marginal float64        `json:"marginal"`
	Lacking  []string       `json:"lacking,omitempty"` // metrics without enough data, or without an answer
	Metrics  []MetricReport `json:"metrics"`
	Baseline Scope          `json:"baseline"`
	Canary   Scope          `json:"canary"`
	Source   string         `json:"source"`
	// Earlier are the judgements before this one.
	Earlier []Moment `json:"earlier,omitempty"`
	// Config is what was judged by, so that it can be edited and judged again.
	Config pipeline.Analysis `json:"config"`
}

// Moment is an earlier judgement.
type Moment struct {
	Index    int      `json:"index"`
	Decision Decision `json:"decision"`
	Score    *float64 `json:"score"`
}

// MetricReport is one metric's part of a judgement.
type MetricReport struct {
	Name     string      `json:"name"`
	Judge    string      `json:"judge"`
	Label    judge.Label `json:"label"`
	Reason   string      `json:"reason"`
	Critical bool        `json:"critical,omitempty"`
	Ignored  bool        `json:"ignored,omitempty"` // no data, and that is allowed
	// Effect is the ratio of the means or of the rates of failures, or the probability of
	// a greater value. Low, High and Margin are of the difference for values, and of
	// the ratio for counters.
	Effect *float64 `json:"effect,omitempty"`
	Low    *float64 `json:"low,omitempty"`
	High   *float64 `json:"high,omitempty"`
	Margin *float64 `json:"margin,omitempty"`
	// BaselinePoints and CanaryPoints are how many points have a value.
	BaselinePoints int `json:"baselinePoints"`
	CanaryPoints   int `json:"canaryPoints"`
	// BaselineValues and CanaryValues are the points, thinned out for a chart.
	BaselineValues Values `json:"baselineValues,omitempty"`
	CanaryValues   Values `json:"canaryValues,omitempty"`
	// Counts is the sequential judge's whole verdict.
	Counts *sequential.Verdict `json:"counts,omitempty"`
}

// Judge judges what was measured. It is pure, so that the same window has the same
// verdict however often it is judged. regions is how many regions share alpha.
func Judge(a pipeline.Analysis, m Measured, regions int) Report {
	r := Report{Window: m.Window, Pass: a.Pass, Marginal: a.Marginal, Decision: sequential.Continue, Metrics: []MetricReport{}, Config: a}
	if a.Source != nil {
		r.Config.Source = &pipeline.MetricsSource{URL: a.Source.URL} // without the token
	}
	var failed []string
	var scored []judge.Judged
	for _, metric := range a.Metrics {
		one := judgeMetric(a, metric, m, regions)
		r.Metrics = append(r.Metrics, one)
		switch {
		case one.Ignored:
			continue
		case one.Label == judge.Nodata || one.Label == judge.Inconclusive || one.Label == judge.Error:
			r.Lacking = append(r.Lacking, one.Name+": "+one.Reason)
			continue
		case one.Label != judge.Pass && (one.Critical || one.Judge == JudgeCounts):
			failed = append(failed, one.Name+": "+one.Reason)
		}
		scored = append(scored, judge.Judged{Name: one.Name, Groups: []string{metric.Group}, Label: one.Label})
	}
	if len(scored) > 0 {
		score := judge.Sum(scored, nil, false).Total
		r.Score = &score
	}
	r.Decision, r.Reason = r.decide(failed)
	return r
}

// decide says what the metrics come to: a critical one fails at once; the others are
// summed only once all have data.
func (r Report) decide(failed []string) (Decision, string) {
	switch {
	case len(failed) > 0:
		return sequential.Fail, strings.Join(failed, "; ")
	case len(r.Lacking) > 0:
		return sequential.Continue, "no verdict yet: " + strings.Join(r.Lacking, "; ")
	case r.Score == nil:
		return sequential.Continue, "no verdict: no metric has data"
	case *r.Score >= r.Pass:
		return sequential.Pass, fmt.Sprintf("the score is %g, and %g passes", *r.Score, r.Pass)
	}
	var worse []string
	for _, m := range r.Metrics {
		if !m.Ignored && m.Label != judge.Pass {
			worse = append(worse, m.Name+": "+m.Reason)
		}
	}
	text := fmt.Sprintf("the score is %g, and %g would pass: %s", *r.Score, r.Pass, strings.Join(worse, "; "))
	if *r.Score <= r.Marginal {
		return sequential.Fail, text
	}
	return sequential.Continue, text
}

func judgeMetric(a pipeline.Analysis, metric pipeline.AnalysisMetric, m Measured, regions int) MetricReport {
	r := MetricReport{Name: metric.Name, Critical: metric.Critical, Judge: JudgeValues}
	base, canary := m.Baseline[metric.Name], m.Canary[metric.Name]
	counts := metric.Query == ""
	if counts {
		r.Judge = JudgeCounts
		base.Values, canary.Values = both(base.Requests, base.Errors), both(canary.Requests, canary.Errors)
	}
	r.BaselinePoints, r.CanaryPoints = known(base.Values), known(canary.Values)
	r.BaselineValues, r.CanaryValues = thinned(base.Values), thinned(canary.Values)
	least := max(a.MinPoints, 8)
	switch why := m.Failed[metric.Name]; {
	case why != "":
		r.Label, r.Reason = judge.Error, "the source has no answer: "+why
		return r // a source that does not answer is never ignored
	case min(r.BaselinePoints, r.CanaryPoints) < least:
		r.Label, r.Reason = judge.Nodata, fmt.Sprintf("%d points of the canary and %d of the baseline, and each needs %d", r.CanaryPoints, r.BaselinePoints, least)
	case counts:
		r.judgeCounts(a, metric, base, canary, m.Window, regions)
	default:
		r.judgeValues(metric, base.Values, canary.Values)
	}
	r.Ignored = metric.WhenNoData == "ignore" && (r.Label == judge.Nodata || r.Label == judge.Inconclusive)
	return r
}

// judgeValues compares values by Kayenta's rules.
func (r *MetricReport) judgeValues(metric pipeline.AnalysisMetric, base, canary Values) {
	configured := judge.ConfiguredMetric{Name: metric.Name}
	rule := &configured.Analysis.Canary
	rule.Direction, rule.NaNStrategy, rule.Critical, rule.Outliers.Strategy = metric.Direction, judge.NaNStrategy(metric.NaN), metric.Critical, metric.Outliers
	rule.EffectSize = judge.Effect{Measure: metric.Measure, AllowedIncrease: metric.AllowedIncrease, AllowedDecrease: metric.AllowedDecrease}
	pair := judge.Pair{Name: metric.Name}
	pair.Values.Control, pair.Values.Experiment = judge.Values(base), judge.Values(canary)
	request := judge.Request{Config: &judge.CanaryConfig{Judge: judge.ConfiguredJudge{Name: judge.OurJudge}, Metrics: []judge.ConfiguredMetric{configured}},
		Thresholds: &judge.Thresholds{}, Pairs: []judge.Pair{pair}}
	result, err := judge.Judge(request)
	if err != nil || len(result.Results) != 1 {
		r.Label, r.Reason = judge.Error, fmt.Sprintf("the judge refused the metric: %v", err)
		return
	}
	one := result.Results[0]
	r.Label, r.Reason, r.Low, r.High, r.Margin = one.Label, one.Reason, one.Outcome.Low, one.Outcome.High, one.Outcome.Margin
	effect := float64(one.Outcome.Ratio)
	if one.Outcome.Effect != nil {
		effect = float64(*one.Outcome.Effect)
	}
	if !math.IsNaN(effect) && !math.IsInf(effect, 0) {
		r.Effect = &effect
	}
}

// judgeCounts compares the failures between the points of two counters by the sequential
// judge. A stretch in which a counter went down, or is not known at both ends, is left
// out: nothing is guessed, and nothing is counted twice.
func (r *MetricReport) judgeCounts(a pipeline.Analysis, metric pipeline.AnalysisMetric, base, canary Side, w Window, regions int) {
	counting := 0
	for _, other := range a.Metrics {
		if other.Query == "" {
			counting++
		}
	}
	limit := metric.MaxRatio
	if limit == 0 {
		limit = 1
	}
	config := sequential.Config{Alpha: a.Alpha / float64(max(counting, 1)*max(regions, 1)), Beta: sequential.DefaultBeta, LeastRequests: leastRequests,
		Metrics: []sequential.Metric{{Name: metric.Name, Kind: sequential.ErrorRatio, Gate: true, Limit: limit}}}
	if err := config.Check(); err != nil {
		r.Label, r.Reason = judge.Error, err.Error()
		return
	}
	analysis := &sequential.Analysis{}
	for i := 1; i < len(base.Requests) && i < len(canary.Requests); i++ {
		b, okB := between(base, i)
		c, okC := between(canary, i)
		if !okB || !okC || b.Requests+c.Requests == 0 {
			continue
		}
		start := float64(w.Start.Add(time.Duration(i-1)*w.step()).UnixMilli()) / 1000
		analysis.Add(config, sequential.Interval{Start: start, End: start + w.step().Seconds(), Baseline: b, Canary: c})
	}
	v := analysis.Verdict(config, false)
	r.Counts, r.Reason = &v, v.Reason
	if len(v.Metrics) == 1 {
		r.Effect, r.Low, r.High = v.Metrics[0].Effect, v.Metrics[0].Low, v.Metrics[0].High
	}
	switch {
	case v.Decision == sequential.Fail:
		r.Label = judge.High
	case v.Decision == sequential.Pass:
		r.Label = judge.Pass
	default:
		r.Label = judge.Inconclusive
	}
}

// between is what two counters counted from one point to the next.
func between(s Side, i int) (sequential.Side, bool) {
	if i >= len(s.Errors) {
		return sequential.Side{}, false
	}
	requests, errors := s.Requests[i]-s.Requests[i-1], s.Errors[i]-s.Errors[i-1]
	if !(requests >= 0 && errors >= 0) { // NaN too
		return sequential.Side{}, false
	}
	return sequential.Side{Requests: uint64(math.Round(requests)), Failures: uint64(math.Round(min(errors, requests)))}, true
}

// both are the failures so far where both counters are known, for a chart.
func both(requests, errors Values) Values {
	list := make(Values, min(len(requests), len(errors)))
	for i := range list {
		list[i] = errors[i]
		if math.IsNaN(requests[i]) {
			list[i] = math.NaN()
		}
	}
	return list
}

func known(v Values) int {
	n := 0
	for _, x := range v {
		if !math.IsNaN(x) {
			n++
		}
	}
	return n
}

// thinned keeps at most mostKept points, evenly.
func thinned(v Values) Values {
	if len(v) <= mostKept {
		return slices.Clone(v)
	}
	kept := make(Values, mostKept)
	for i := range kept {
		kept[i] = v[i*(len(v)-1)/(mostKept-1)]
	}
	return kept
}
