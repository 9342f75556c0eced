package canary_test

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"showrunner/canary"
	"showrunner/canary/judge"
	"showrunner/canary/judge/sequential"
	"showrunner/pipeline"
	"showrunner/problem"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// analysis has the language's defaults.
func analysis(metrics ...pipeline.AnalysisMetric) pipeline.Analysis {
	return pipeline.Analysis{Interval: pipeline.Duration(5 * time.Minute), Step: pipeline.Duration(5 * time.Second), Pass: 95, Marginal: 75, MinPoints: 10, Alpha: 0.01, Metrics: metrics}
}

func value(name string) pipeline.AnalysisMetric {
	return pipeline.AnalysisMetric{Name: name, Query: "x", Direction: "increase", Group: "metrics"}
}

// noisy are n points around a mean.
func noisy(n int, mean float64, seed uint64) canary.Values {
	rng := rand.New(rand.NewPCG(seed, 7))
	v := make(canary.Values, n)
	for i := range v {
		v[i] = mean * (1 + 0.1*rng.NormFloat64())
	}
	return v
}

// gaps removes the points for which keep is false.
func gaps(v canary.Values, keep func(i int) bool) canary.Values {
	v = slices.Clone(v)
	for i := range v {
		if !keep(i) {
			v[i] = math.NaN()
		}
	}
	return v
}

// counter adds up requests and failures of each step.
func counter(n int, perStep, failures float64) canary.Side {
	var s canary.Side
	for i := range n {
		s.Requests, s.Errors = append(s.Requests, perStep*float64(i)), append(s.Errors, math.Floor(failures*float64(i)))
	}
	return s
}

func measured(a pipeline.Analysis, base, fresh canary.Side) canary.Measured {
	m := canary.Measured{Window: canary.WindowOf(a, noon, 1), Baseline: map[string]canary.Side{}, Canary: map[string]canary.Side{}}
	for _, metric := range a.Metrics {
		m.Baseline[metric.Name], m.Canary[metric.Name] = base, fresh
	}
	return m
}

func TestWhatIsJudged(t *testing.T) {
	critical, decrease, ignored, counts := value("m"), value("m"), value("m"), pipeline.AnalysisMetric{Name: "m", Requests: "r", Errors: "e", Group: "metrics"}
	critical.Critical, decrease.Direction, ignored.WhenNoData = true, "decrease", "ignore"
	values := func(v canary.Values) canary.Side { return canary.Side{Values: v} }
	same, worse, none := values(noisy(61, 10, 1)), values(noisy(61, 15, 2)), values(gaps(noisy(61, 10, 1), func(int) bool { return false }))
	few := values(gaps(noisy(61, 10, 1), func(i int) bool { return i < 9 }))
	falls := counter(61, 100, 1)
	falls.Requests[30], falls.Errors[30] = 0, 0 // a counter began anew
	for what, test := range map[string]struct {
		metric      pipeline.AnalysisMetric
		base, fresh canary.Side
		decision    canary.Decision
		label       judge.Label
	}{
		"the same":                        {value("m"), same, values(noisy(61, 10, 3)), sequential.Pass, judge.Pass},
		"higher":                          {value("m"), same, worse, sequential.Fail, judge.High},
		"higher, and critical":            {critical, same, worse, sequential.Fail, judge.High},
		"lower, which is no harm":         {value("m"), worse, same, sequential.Pass, judge.Pass},
		"lower, which is":                 {decrease, worse, same, sequential.Fail, judge.Low},
		"no data of the canary":           {value("m"), same, none, sequential.Continue, judge.Nodata},
		"no data of the baseline":         {value("m"), none, same, sequential.Continue, judge.Nodata},
		"no data at all":                  {value("m"), none, none, sequential.Continue, judge.Nodata},
		"too few points":                  {value("m"), same, few, sequential.Continue, judge.Nodata},
		"too few points of a worse one":   {critical, same, values(gaps(worse.Values, func(i int) bool { return i < 9 })), sequential.Continue, judge.Nodata},
		"nothing but an ignored metric":   {ignored, none, none, sequential.Continue, judge.Nodata},
		"as many failures":                {counts, counter(61, 100, 1), counter(61, 100, 1), sequential.Pass, judge.Pass},
		"five times as many failures":     {counts, counter(61, 100, 1), counter(61, 100, 5), sequential.Fail, judge.High},
		"counters without requests":       {counts, counter(61, 100, 1), counter(61, 0, 0), sequential.Continue, judge.Inconclusive},
		"a counter that begins anew":      {counts, counter(61, 100, 1), falls, sequential.Pass, judge.Pass},
		"errors that are not there":       {counts, counter(61, 100, 1), canary.Side{Requests: counter(61, 100, 1).Requests, Errors: none.Values}, sequential.Continue, judge.Nodata},
		"many failures, one side unknown": {counts, canary.Side{Requests: none.Values, Errors: none.Values}, counter(61, 100, 50), sequential.Continue, judge.Nodata},
	} {
		r := canary.Judge(analysis(test.metric), measured(analysis(test.metric), test.base, test.fresh), 1)
		if r.Decision != test.decision || len(r.Metrics) != 1 || r.Metrics[0].Label != test.label || r.Reason == "" {
			t.Errorf("%s: %s (%v): %s, want %s and %s", what, r.Decision, r.Metrics[0].Label, r.Reason, test.decision, test.label)
		}
	}
}

// A source that has no answer never passes, also for a metric whose data may be missing,
// and says why. A critical metric that is worse fails whatever else is missing.
func TestASourceWithoutAnAnswer(t *testing.T) {
	ignored, critical := value("away"), value("worse")
	ignored.WhenNoData, critical.Critical = "ignore", true
	a := analysis(ignored, critical)
	for _, test := range []struct {
		fresh canary.Values
		want  canary.Decision
	}{{noisy(61, 10, 4), sequential.Continue}, {noisy(61, 20, 4), sequential.Fail}} {
		m := measured(a, canary.Side{Values: noisy(61, 10, 1)}, canary.Side{Values: test.fresh})
		m.Failed = map[string]string{"away": "connection refused"}
		r := canary.Judge(a, m, 1)
		if r.Decision != test.want || len(r.Lacking) != 1 || !strings.Contains(r.Lacking[0], "connection refused") {
			t.Errorf("%s: %s, lacking %v", r.Decision, r.Reason, r.Lacking)
		}
	}
}

// One of five metrics that is worse is no failure of the whole, and no pass either.
func TestScoresBetweenTheThresholds(t *testing.T) {
	var metrics []pipeline.AnalysisMetric
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		metrics = append(metrics, value(name))
	}
	a := analysis(metrics...)
	m := measured(a, canary.Side{Values: noisy(61, 10, 1)}, canary.Side{Values: noisy(61, 10, 3)})
	m.Canary["c"] = canary.Side{Values: noisy(61, 20, 3)}
	r := canary.Judge(a, m, 1)
	if r.Decision != sequential.Continue || r.Score == nil || *r.Score != 80 || !strings.Contains(r.Reason, "c: ") {
		t.Errorf("%s, %v: %s", r.Decision, r.Score, r.Reason)
	}
}

// Whatever a source leaves out, nothing passes while a side of a metric has fewer points
// than are needed; a judgement is the same each time, and survives JSON.
func TestWithoutDataNothingPasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c"}[:rapid.IntRange(1, 3).Draw(t, "metrics")]
		var metrics []pipeline.AnalysisMetric
		for _, n := range names {
			metric := value(n)
			if rapid.Bool().Draw(t, "counts") {
				metric = pipeline.AnalysisMetric{Name: n, Requests: "r", Errors: "e", Group: "metrics"}
			}
			metric.NaN, metric.Critical = rapid.SampledFrom([]string{"remove", "replace"}).Draw(t, "nan"), rapid.Bool().Draw(t, "critical")
			metrics = append(metrics, metric)
		}
		a := analysis(metrics...)
		m := measured(a, canary.Side{}, canary.Side{})
		side := func(points int) canary.Side {
			keep := func(i int) bool { return i < points }
			c := counter(61, 50, 1)
			return canary.Side{Values: gaps(noisy(61, 10, 1), keep), Requests: gaps(c.Requests, keep), Errors: gaps(c.Errors, keep)}
		}
		least := 61
		for _, n := range names {
			b, c := rapid.IntRange(0, 61).Draw(t, "baseline"), rapid.IntRange(0, 61).Draw(t, "canary")
			m.Baseline[n], m.Canary[n] = side(b), side(c)
			least = min(least, b, c)
		}
		r := canary.Judge(a, m, 1)
		if least < a.MinPoints && r.Decision == sequential.Pass {
			t.Fatalf("%d points passed: %s", least, r.Reason)
		}
		if again := canary.Judge(a, m, 1); !reflect.DeepEqual(again.Score, r.Score) || again.Decision != r.Decision || again.Reason != r.Reason {
			t.Fatalf("%v and %v", r, again)
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var read canary.Report
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		if more, err := json.Marshal(read); err != nil || string(more) != string(text) {
			t.Fatalf("%s became %s, %v", text, more, err)
		}
	})
}

// source answers queries by their text.
type source map[string]func(ctx context.Context) ([][]canary.Point, error)

func (s source) Range(ctx context.Context, query string, _, _ time.Time, _ time.Duration) ([][]canary.Point, error) {
	if f, ok := s[query]; ok {
		return f(ctx)
	}
	return nil, problem.New(problem.Invalid, "test", "no query %s", query)
}

// A slow source takes no longer than the bound, and holds back nothing but its own metric.
func TestMeasureIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		points := func(context.Context) ([][]canary.Point, error) {
			return [][]canary.Point{{{noon, 1}, {noon.Add(10 * time.Second), math.Inf(1)}, {noon.Add(15 * time.Second), math.NaN()}, {noon.Add(300 * time.Second), 4}, {noon.Add(time.Hour), 5}}}, nil
		}
		s := source{
			"good":  points,
			"slow":  func(ctx context.Context) ([][]canary.Point, error) { <-ctx.Done(); return nil, ctx.Err() },
			"two":   func(context.Context) ([][]canary.Point, error) { return make([][]canary.Point, 2), nil },
			"empty": func(context.Context) ([][]canary.Point, error) { return nil, nil },
		}
		var metrics []pipeline.AnalysisMetric
		for _, q := range []string{"good", "slow", "two", "empty", "unknown"} {
			metrics = append(metrics, pipeline.AnalysisMetric{Name: q, Query: q})
		}
		a := analysis(metrics...)
		began := time.Now()
		m := canary.Measure(t.Context(), s, a, canary.Scope{}, canary.Scope{}, canary.WindowOf(a, noon, 1))
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
		if len(m.Failed) != 3 || !strings.Contains(m.Failed["two"], "2 series") || m.Failed["slow"] == "" || m.Failed["unknown"] == "" {
			t.Errorf("failed: %v", m.Failed)
		}
		good := m.Canary["good"].Values
		if len(good) != 61 || good[0] != 1 || !math.IsNaN(good[1]) || !math.IsNaN(good[2]) || !math.IsNaN(good[3]) || good[60] != 4 {
			t.Errorf("%v", good)
		}
		if empty := m.Canary["empty"].Values; len(empty) != 61 || !math.IsNaN(empty[60]) {
			t.Errorf("%v", empty)
		}
	})
}

// Names never end the quotes that they stand in.
func TestExpand(t *testing.T) {
	s := canary.Scope{Cluster: `a"b`, Region: "us-west-2", Version: "1.0", Groups: []string{"api-v001", "api-v.02"}}
	w := canary.Window{Step: pipeline.Duration(5 * time.Second)}
	for query, want := range map[string]string{
		`sum(rate(x{${scope}}[${step}]))`:                `sum(rate(x{cluster="a\"b",region="us-west-2",server_group=~"api-v001|api-v\\.02"}[5s]))`,
		`x{v="${version}",r="${region}",g=~"${groups}"}`: `x{v="1.0",r="us-west-2",g=~"api-v001|api-v\\.02"}`,
		`x{c="${cluster}"} + ${unknown}`:                 `x{c="a\"b"} + ${unknown}`,
	} {
		if got := canary.Expand(query, s, w); got != want {
			t.Errorf("%s\nbecame %s\nwant   %s", query, got, want)
		}
	}
}
