package rollout_test

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	metrics "showrunner/canary"
	"showrunner/canary/judge/sequential"
	"showrunner/pipeline"
	"showrunner/rollout"
)

// analyzed is a canary with an analysis of one metric, whose points the test gives.
func analyzed(whenInconclusive string) *canary {
	c := newCanary(pipeline.Judge{})
	c.spec.Strategy.Canary.Judge = nil
	c.spec.Strategy.Canary.Analysis = &pipeline.Analysis{Interval: pipeline.Duration(20 * time.Second), Step: pipeline.Duration(time.Second), Delay: pipeline.Duration(2 * time.Second),
		Pass: 95, Marginal: 75, MinPoints: 10, Alpha: 0.01, WhenInconclusive: whenInconclusive, Metrics: []pipeline.AnalysisMetric{{Name: "memory", Query: "x", Direction: "increase", Group: "metrics"}}}
	return c
}

// source is what a store has of both sides at a time, as often as it is asked.
type source func(at time.Time) (base, fresh float64)

func steady(by float64) source {
	return func(at time.Time) (float64, float64) {
		wave := float64(at.Unix() * 7919 % 13)
		return 100 + wave, by * (100 + wave)
	}
}

func (s source) measure(w metrics.Window) *metrics.Measured {
	m := metrics.Measured{Window: w, Baseline: map[string]metrics.Side{}, Canary: map[string]metrics.Side{}}
	var base, fresh metrics.Values
	for at := w.Start; !at.After(w.End); at = at.Add(time.Duration(w.Step)) {
		b, f := s(at)
		base, fresh = append(base, b), append(fresh, f)
	}
	m.Baseline["memory"], m.Canary["memory"] = metrics.Side{Values: base}, metrics.Side{Values: fresh}
	return &m
}

// analyze lets time pass second by second; save says whether the state of a decision is
// saved, or the process is killed before.
func (c *canary) analyze(seconds int, s source, failed string, save func(second int) bool) {
	for second := range seconds {
		if c.st.Failure != nil || c.st.Regions["r"].Step == 1 {
			return
		}
		o := rollout.Region{Groups: c.groups}
		for region, w := range rollout.Due(c.spec, c.st, c.now) {
			if region != "r" {
				panic(region)
			}
			if o.Measured = s.measure(w); failed != "" {
				o.Measured.Failed = map[string]string{"memory": failed}
			}
		}
		d := rollout.Decide(c.spec, c.st, rollout.Observed{Regions: map[string]rollout.Region{"r": o}}, c.now)
		if save(second) {
			text, err := json.Marshal(d.State)
			if err != nil {
				panic(err)
			}
			c.st = rollout.State{}
			if err := json.Unmarshal(text, &c.st); err != nil {
				panic(err)
			}
		}
		c.now = c.now.Add(time.Second)
	}
}

func always(int) bool { return true }

func TestMetricsDecideAStep(t *testing.T) {
	nan := func(time.Time) (float64, float64) { return math.NaN(), math.NaN() }
	one := func(time.Time) (float64, float64) { return 5, math.NaN() }
	for what, test := range map[string]struct {
		source     source
		failed     string
		wait       string
		code, says string // no code: the step passes, or goes on for ever
		within     int    // seconds
	}{
		"no difference":                   {source: steady(1), within: 30},
		"half as much again":              {source: steady(1.5), code: "CANARY_METRICS", says: "memory: the canary is higher", within: 30},
		"no data":                         {source: nan, code: "CANARY_NO_DATA", says: "memory: 0 points of the canary and 0 of the baseline", within: 120},
		"no data of the canary":           {source: one, code: "CANARY_NO_DATA", says: "0 points of the canary and 101", within: 120},
		"a source that is away":           {source: steady(1), failed: "connection refused", code: "CANARY_NO_DATA", says: "the metrics' source has no answer at 10%: memory: connection refused", within: 120},
		"no data, and the file says wait": {source: nan, wait: "wait", within: 300},
	} {
		t.Run(strings.ReplaceAll(what, " ", "-"), func(t *testing.T) {
			c := analyzed(test.wait)
			began := c.now
			c.analyze(300, test.source, test.failed, always)
			if took := int(c.now.Sub(began).Seconds()); took > test.within {
				t.Errorf("it took %d s, at most %d are right", took, test.within)
			}
			if c.code() != test.code || test.code != "" && !strings.Contains(c.st.Failure.Cause, test.says) {
				t.Errorf("%s: %+v", c.code(), c.st.Failure)
			}
			if passed := c.st.Regions["r"].Step == 1; passed != (test.code == "" && test.wait == "") {
				t.Errorf("the step has passed: %v", passed)
			}
		})
	}
}

// A source that answers again in time has done no harm.
func TestASourceThatComesBack(t *testing.T) {
	c := analyzed("")
	c.analyze(60, steady(1), "away", always)
	if c.st.Regions["r"].SourceFailed == "" || c.st.Failure != nil {
		t.Fatalf("%q, %v", c.st.Regions["r"].SourceFailed, c.st.Failure)
	}
	c.analyze(60, steady(1), "", always)
	if c.st.Regions["r"].Step != 1 {
		t.Errorf("the step has not passed: %v", c.st.Failure)
	}
}

// However often the process is killed before it has saved what it decided, the same
// windows are judged, each once, and the verdict is the same.
func TestAKilledAnalysisHasTheSameVerdict(t *testing.T) {
	for _, by := range []float64{1, 1.5} {
		var want *metrics.Report
		for name, save := range map[string]func(int) bool{"": always, "every second": func(s int) bool { return s%2 == 0 }, "most of the time": func(s int) bool { return s%5 == 0 }} {
			c := analyzed("")
			c.spec.Strategy.Canary.Pause = pipeline.Duration(50 * time.Second) // three windows
			c.analyze(300, steady(by), "", always)
			if want == nil {
				if want = c.st.Regions["r"].Analyzed; want == nil {
					t.Fatal("no judgement")
				}
			}
			killed := analyzed("")
			killed.spec.Strategy.Canary.Pause = c.spec.Strategy.Canary.Pause
			killed.analyze(3, steady(by), "", always) // the beginning is saved
			killed.analyze(300, steady(by), "", save)
			got := killed.st.Regions["r"].Analyzed
			if got == nil || got.Decision != want.Decision || !got.Window.End.Equal(want.Window.End) || !reflect.DeepEqual(got.Score, want.Score) || got.Reason != want.Reason {
				t.Errorf("%g times, killed %s: %+v, want %+v", by, name, got, want)
				continue
			}
			for i, m := range got.Earlier {
				if m.Index != i+1 || m.Decision != sequential.Pass {
					t.Errorf("%g times, killed %s: the judgement %d is %+v", by, name, i, m)
				}
			}
		}
	}
}
