package sequential

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// buckets double, as a load balancer's.
var bounds = []float64{.001, .002, .004, .008, .016, .032, .064, .128, .256, .512, 1.024}

// standard judges failures against the baseline and everything else too.
func standard() Config {
	return Config{Alpha: 0.01, Beta: 0.05, Bounds: bounds, LeastRequests: 20, SplitAlpha: DefaultSplitAlpha, Metrics: []Metric{
		{Name: "errors", Kind: ErrorRatio, Gate: true, Limit: 1},
		{Name: "latency", Kind: Distribution},
		{Name: "p95", Kind: Quantile, Q: 0.95},
		{Name: "rate", Kind: ErrorRate, Limit: 0.5},
		{Name: "slow", Kind: SlowRate, Limit: 0.01, Bound: 8},
	}}
}

// traffic makes seconds of load: requests a second, the canary's share, each side's
// rate of failures, and how much slower the canary is.
type traffic struct {
	load, share, drawn     float64 // drawn is the share that the canary really gets, share when 0
	baseline, canary, slow float64
	burst                  int // mean size of the clusters in which failures come
}

func poisson(r *rand.Rand, mean float64) uint64 {
	if mean > 50 {
		return uint64(max(0, math.Round(mean+math.Sqrt(mean)*r.NormFloat64())))
	}
	n, p, limit := uint64(0), 1.0, math.Exp(-mean)
	for {
		if p *= r.Float64(); p < limit {
			return n
		}
		n++
	}
}

func (x traffic) side(r *rand.Rand, share, rate, slow float64) Side {
	s := Side{Requests: poisson(r, x.load*share), Buckets: make([]uint64, len(bounds)+1)}
	if x.burst > 1 {
		for range poisson(r, float64(s.Requests)*rate/float64(x.burst)) {
			size := uint64(1)
			for r.Float64() > 1/float64(x.burst) {
				size++
			}
			s.Failures += size
		}
		s.Failures = min(s.Failures, s.Requests)
	}
	for range s.Requests {
		if x.burst <= 1 && r.Float64() < rate {
			s.Failures++
		}
		took := 0.02 * math.Exp(0.6*r.NormFloat64()) * slow
		b, _ := slices.BinarySearch(bounds, took)
		s.Buckets[b]++
	}
	s.Started = int64(s.Requests)
	return s
}

func (x traffic) second(r *rand.Rand, at int) Interval {
	drawn := x.drawn
	if drawn == 0 {
		drawn = x.share
	}
	slow := x.slow
	if slow == 0 {
		slow = 1
	}
	return Interval{Start: float64(at), End: float64(at + 1), Share: x.share,
		Baseline: x.side(r, 1-drawn, x.baseline, 1), Canary: x.side(r, drawn, x.canary, slow)}
}

// judge runs traffic until a verdict, at most for some seconds.
func (x traffic) judge(c Config, seed uint64, seconds int) (v Verdict, took int) {
	r := rand.New(rand.NewPCG(seed, 7))
	var a Analysis
	for at := range seconds {
		a.Add(c, x.second(r, at))
		if v = a.Verdict(c, false); v.Decision == Fail || v.Decision == Inconclusive {
			return v, at + 1
		}
	}
	return a.Verdict(c, true), seconds
}

func TestVerdictsOfTypicalTraffic(t *testing.T) {
	latency := standard()
	latency.Metrics[0].Gate, latency.Metrics[1].Gate = false, true
	slow := standard()
	slow.Metrics[0].Gate, slow.Metrics[4].Gate = false, true
	rate := standard()
	rate.Metrics[0].Gate, rate.Metrics[3].Gate, rate.Metrics[3].Limit = false, true, 0.05
	proof := standard()
	proof.Metrics[0].Accept = 2
	for what, test := range map[string]struct {
		config   Config
		traffic  traffic
		seconds  int
		decision Decision
		reason   string
		within   int
	}{
		"healthy":               {standard(), traffic{load: 100, share: .5, baseline: .01, canary: .01}, 120, Pass, "nothing speaks against", 120},
		"ten times the errors":  {standard(), traffic{load: 100, share: .1, baseline: .01, canary: .1}, 120, Fail, "times as often as the old one", 60},
		"everything fails":      {standard(), traffic{load: 100, share: .1, baseline: 0, canary: 1}, 60, Fail, "times as often", 12},
		"half as slow again":    {latency, traffic{load: 100, share: .5, baseline: .01, canary: .01, slow: 1.5}, 120, Fail, "take longer than", 60},
		"above a fixed limit":   {rate, traffic{load: 100, share: .2, baseline: .2, canary: .2}, 60, Fail, "limit 5 %", 40},
		"below a fixed limit":   {rate, traffic{load: 100, share: .2, baseline: .2, canary: .02}, 60, Pass, "limit 5 %", 60},
		"too slow":              {slow, traffic{load: 100, share: .2, baseline: 0, canary: 0, slow: 20}, 60, Fail, "more than 0.256s", 40},
		"proved to be no worse": {proof, traffic{load: 100, share: .5, baseline: .05, canary: .05}, 300, Pass, "limit 1", 300},
		"not proved":            {proof, traffic{load: 100, share: .5, baseline: .001, canary: .001}, 30, Inconclusive, "not decided yet", 30},
		"no traffic":            {standard(), traffic{share: .1}, 60, Inconclusive, "0 of 20 requests to the new version", 60},
		"none to compare with":  {standard(), traffic{load: 100, share: 1}, 60, Inconclusive, "0 of 20 requests to the old version", 60},
		"wrong division":        {standard(), traffic{load: 100, share: .1, drawn: .2, baseline: .01, canary: .01}, 120, Inconclusive, "at a weight of 10 %", 60},
		"clusters of failures":  {standard(), traffic{load: 100, share: .5, baseline: .01, canary: .05, burst: 10}, 120, Inconclusive, "in clusters", 120},
	} {
		t.Run(what, func(t *testing.T) {
			if err := test.config.Check(); err != nil {
				t.Fatal(err)
			}
			v, took := test.traffic.judge(test.config, 3, test.seconds)
			if v.Decision != test.decision || !strings.Contains(v.Reason, test.reason) || took > test.within {
				t.Errorf("after %d s: %s, %q, want %s with %q within %d s", took, v.Decision, v.Reason, test.decision, test.reason, test.within)
			}
		})
	}
}

// An analysis that is saved and loaded after every interval, and that gets intervals a
// second time, is the same as one that was left alone.
func TestARestartChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := traffic{load: rapid.Float64Range(0, 200).Draw(t, "load"), share: rapid.Float64Range(0, 1).Draw(t, "share"),
			baseline: rapid.Float64Range(0, .1).Draw(t, "baseline"), canary: rapid.Float64Range(0, 1).Draw(t, "canary"), slow: rapid.Float64Range(.5, 4).Draw(t, "slow")}
		c := standard()
		c.Metrics[0].Accept = 2
		c.WarmUpSeconds = rapid.Float64Range(0, 3).Draw(t, "warmUp")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		var whole, restarted Analysis
		var before []Interval
		for at := range rapid.IntRange(1, 40).Draw(t, "seconds") {
			i := x.second(r, at)
			whole.Add(c, i)
			restarted.Add(c, i)
			text, err := json.Marshal(restarted)
			if err != nil {
				t.Fatal(err)
			}
			restarted = Analysis{}
			if err := json.Unmarshal(text, &restarted); err != nil {
				t.Fatal(err)
			}
			if before = append(before, i); restarted.Add(c, before[rapid.IntRange(0, at).Draw(t, "again")]) {
				t.Fatal("an interval was counted twice")
			}
		}
		if a, b := whole.Verdict(c, true), restarted.Verdict(c, true); !reflect.DeepEqual(a, b) {
			t.Fatalf("%+v\n%+v", a, b)
		}
	})
}

// A clone shares nothing with its original: what is added to one does not change the
// other.
func TestClonesAreIndependent(t *testing.T) {
	c, r := standard(), rand.New(rand.NewPCG(1, 1))
	c.Metrics[0].Accept = 2
	x := traffic{load: 100, share: .5, baseline: .1, canary: .1}
	var a Analysis
	for at := range 3 * mostPoints {
		a.Add(c, x.second(r, at))
		before, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		b := a.Clone()
		for more := range 3 {
			b.Add(c, x.second(r, at+1+more))
		}
		b.Mark(9)
		if after, err := json.Marshal(a); err != nil || string(after) != string(before) {
			t.Fatalf("after %d intervals: %v\n%s\n%s", at, err, before, after)
		}
	}
}

// Whatever the counts: a version without enough data of its own, and of the baseline
// where it is compared with it, never passes.
func TestWithoutDataNothingPasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := standard()
		c.LeastRequests = rapid.Uint64Range(0, 50).Draw(t, "least")
		c.LeastSeconds = rapid.Float64Range(0, 20).Draw(t, "leastSeconds")
		var a Analysis
		for at := range rapid.IntRange(0, 20).Draw(t, "seconds") {
			if rapid.IntRange(0, 6).Draw(t, "mark") == 0 {
				a.Mark(float64(at))
			}
			i := Interval{Start: float64(at), End: float64(at + 1), Share: rapid.Float64Range(0, 1).Draw(t, "share")}
			for _, s := range []*Side{&i.Baseline, &i.Canary} {
				s.Requests = rapid.Uint64Range(0, 30).Draw(t, "requests")
				s.Failures = rapid.Uint64Range(0, s.Requests).Draw(t, "failures")
				s.Started = rapid.Int64Range(-5, 40).Draw(t, "started")
			}
			a.Add(c, i)
			v := a.Verdict(c, false)
			canary, baseline := a.Total.Canary.Requests-a.Marked.Canary.Requests, a.Total.Baseline.Requests-a.Marked.Baseline.Requests
			if least := max(c.LeastRequests, 1); v.Decision == Pass && (canary < least || baseline < least || a.Until-a.MarkedAt < c.LeastSeconds) {
				t.Fatalf("it passed with %d and %d requests in %g s", canary, baseline, a.Until-a.MarkedAt)
			}
			if _, err := json.Marshal(v); err != nil {
				t.Fatalf("the verdict is no JSON: %v", err)
			}
			if v.Reason == "" || v.Decision == Fail && v.Metric == "" {
				t.Fatalf("no reason: %+v", v)
			}
		}
		if v := a.Verdict(c, true); v.Decision == Continue {
			t.Fatal("a deadline left it undecided")
		}
	})
}

// The unit of a latency changes no evidence, at all.
func TestAnotherUnitChangesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var a, b []float64
	for range 800 {
		a, b = append(a, math.Round(1e4*math.Exp(.6*r.NormFloat64()))), append(b, math.Round(1.2e4*math.Exp(.6*r.NormFloat64())))
	}
	slices.Sort(a)
	slices.Sort(b)
	for _, q := range []float64{.5, .95, .99} {
		want, higher := QuantileTest(a, b, q, 0, DefaultK)
		for _, unit := range []float64{1e-6, 1e6, 1 << 20} {
			scaled := func(values []float64) []float64 {
				list := make([]float64, len(values))
				for i, v := range values {
					list[i] = v * unit
				}
				return list
			}
			if got, h := QuantileTest(scaled(a), scaled(b), q, 0, DefaultK); got != want || h != higher {
				t.Errorf("q %g, unit %g: %v, %v, want %v, %v", q, unit, got, h, want, higher)
			}
		}
	}
}

// The minimum is exact: no candidate for the common quantile has less evidence, and the
// one from counts alone never has more than the one from values.
func TestTheSmallestEvidenceOfAQuantile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.IntRange(1, 40), 1, 60)
		draw := func(what string) (list []float64) {
			for _, v := range values.Draw(t, what) {
				list = append(list, float64(v))
			}
			slices.Sort(list)
			return list
		}
		a, b := draw("baseline"), draw("canary")
		q := rapid.SampledFrom([]float64{.5, .9, .95, .99}).Draw(t, "q")
		got, _ := QuantileTest(a, b, q, 0, 20)
		for x := 0.5; x < 41; x += 0.5 {
			aLow, aHigh := below(a, x)
			bLow, bHigh := below(b, x)
			for ka := aLow; ka <= aHigh; ka++ {
				for kb := bLow; kb <= bHigh; kb++ {
					if e := LogBF(float64(ka), float64(len(a)), q, 20) + LogBF(float64(kb), float64(len(b)), q, 20); max(e, 0) < got-1e-9 {
						t.Fatalf("at %g with %d and %d below it is %v, not %v", x, ka, kb, e, got)
					}
				}
			}
		}
		edges := []float64{5, 10, 20}
		counted := func(values []float64) []uint64 {
			counts := make([]uint64, len(edges)+1)
			for _, v := range values {
				i, _ := slices.BinarySearch(edges, v)
				counts[i]++
			}
			return counts
		}
		if h, _ := HistogramQuantileTest(counted(a), counted(b), q, 0, 20); h > got+1e-9 {
			t.Fatalf("buckets have the evidence %v, values %v", h, got)
		}
	})
}

func TestMarginsAreWholeBuckets(t *testing.T) {
	for margin, want := range map[float64]int{0: 0, 1: 1, 3: 2, .5: -1} {
		got, err := MarginInBuckets(bounds, margin)
		if want < 0 != (err != nil) || want >= 0 && got != want {
			t.Errorf("%g: %d, %v", margin, got, err)
		}
	}
}

func TestConfigurationsThatCannotBeJudgedAreRefused(t *testing.T) {
	if err := standard().Check(); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*Config){
		"no level":       func(c *Config) { c.Alpha = 0 },
		"no metric":      func(c *Config) { c.Metrics = nil },
		"none decides":   func(c *Config) { c.Metrics[0].Gate = false },
		"same name":      func(c *Config) { c.Metrics[1].Name = "errors" },
		"no limit":       func(c *Config) { c.Metrics[0].Limit = 0 },
		"accepts worse":  func(c *Config) { c.Metrics[0].Accept = 0.9 },
		"no such bound":  func(c *Config) { c.Metrics[4].Bound = 99 },
		"no such kind":   func(c *Config) { c.Metrics[0].Kind = "mood" },
		"falling bounds": func(c *Config) { c.Bounds = []float64{2, 1} },
	} {
		c := standard()
		change(&c)
		if c.Check() == nil {
			t.Errorf("%s: not refused", what)
		}
	}
}

// The chart's points are bounded, and the newest is always there.
func TestPointsAreBounded(t *testing.T) {
	c, r := standard(), rand.New(rand.NewPCG(1, 1))
	var a Analysis
	x := traffic{load: 10, share: .5, baseline: .1, canary: .1}
	for at := range 2000 {
		a.Add(c, x.second(r, at))
		if n := len(a.Points); n > mostPoints || a.Points[n-1].At != float64(at+1) {
			t.Fatalf("%d points, the newest at %v, now %d", n, a.Points[n-1].At, at+1)
		}
	}
	if len(a.Points) < mostPoints/3 {
		t.Errorf("only %d points", len(a.Points))
	}
	text, err := json.Marshal(a)
	if err != nil || len(text) > 64<<10 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	t.Logf("%d bytes with %d points", len(text), len(a.Points))
}
