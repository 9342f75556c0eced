package sequential

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// The document and the picture that -update writes.
var update = flag.Bool("update", false, "simulate with all runs, and write the figures into docs/judge.md and its picture")

const (
	document = "../../../docs/judge.md"
	picture  = "../../../docs/judge-characteristics.svg"
)

// Every simulation's seed is this and the number of its run.
const simulationSeed = 20260304

func source(run int) *rand.Rand { return rand.New(rand.NewPCG(simulationSeed, uint64(run))) }

// outcome is what many runs came to: how many were decided, when, and after how many
// requests of the canary.
type outcome struct {
	runs    int
	when    []float64
	counted []float64
}

func (o *outcome) add(decided bool, when, counted float64) {
	if o.runs++; decided {
		o.when, o.counted = append(o.when, when), append(o.counted, counted)
	}
}

func (o outcome) share() float64 { return float64(len(o.when)) / float64(max(o.runs, 1)) }

func percentile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(values))
	return s[min(int(q*float64(len(s))), len(s)-1)]
}

// binomial draws by skipping failures.
func binomial(r *rand.Rand, n uint64, p float64) (k uint64) {
	if p <= 0 {
		return 0
	}
	if p >= 1 {
		return n
	}
	for at := uint64(0); ; k++ {
		at += 1 + uint64(math.Log(1-r.Float64())/math.Log1p(-p))
		if at > n {
			return k
		}
	}
}

// shares simulates Shares after every event: how often, and after how many events, a
// ratio of rates is rejected.
func shares(runs, events int, share, ratio float64) (o outcome) {
	theta, stop := odds(share, ratio), math.Log(1/0.01)
	for run := range runs {
		r, logE, k := source(run), 0.0, 0.0
		decided := false
		for n := range events {
			// LogBF, one event at a time.
			if r.Float64() < theta {
				logE += math.Log((DefaultK*share+k)/(DefaultK+float64(n))) - math.Log(share)
				k++
			} else {
				logE += math.Log((DefaultK*(1-share)+float64(n)-k)/(DefaultK+float64(n))) - math.Log1p(-share)
			}
			if logE >= stop {
				o.add(true, float64(n+1), k)
				decided = true
				break
			}
		}
		if !decided {
			o.add(false, 0, 0)
		}
	}
	return o
}

// The load of the simulations of a rollout: 100 requests a second that swing, 1 % of
// which fail, which swings too, and four weights for 300 s each.
func loadAt(t int) float64    { return 100 * (1 + 0.5*math.Sin(2*math.Pi*float64(t)/600)) }
func failingAt(t int) float64 { return 0.01 * (1 + 0.8*math.Sin(2*math.Pi*float64(t)/400)) }

var weights = []float64{.05, .10, .25, .50}

const rolloutSeconds = 1200

// rolloutTest simulates a Test during a rollout.
func rolloutTest(runs int, ratio, null float64, up bool, level float64) (o outcome) {
	stop := math.Log(1 / level)
	for run := range runs {
		r, test, requests, decided := source(run), Test{Null: null, Up: up}, 0.0, false
		for t := range rolloutSeconds {
			a, b := poisson(r, loadAt(t)*(1-weights[t/300])), poisson(r, loadAt(t)*weights[t/300])
			u, v := binomial(r, a, failingAt(t)), binomial(r, b, min(1, ratio*failingAt(t)))
			requests += float64(b)
			if a+b == 0 || u+v == 0 {
				continue
			}
			test.Add(float64(b)/float64(a+b), v, u)
			if test.LogE() >= stop {
				decided = true
				o.add(true, float64(t+1), requests)
				break
			}
		}
		if !decided {
			o.add(false, 0, 0)
		}
	}
	return o
}

// rolloutAnalysis is rolloutTest for a whole Analysis, with its guards.
func rolloutAnalysis(runs int, x func(t int) traffic, c Config, seconds int) (failed outcome, guards map[string]int) {
	guards = map[string]int{}
	for run := range runs {
		r := source(run)
		var a Analysis
		v := Verdict{}
		for t := range seconds {
			a.Add(c, x(t).counts(r, t))
			if v = a.Verdict(c, t == seconds-1); v.Decision != Continue && v.Decision != Pass {
				break
			}
		}
		failed.add(v.Decision == Fail, a.Until, float64(a.Total.Canary.Requests))
		if v.Decision != Fail && v.Guard != "" {
			guards[v.Guard]++
		}
	}
	return failed, guards
}

// counts is second without latencies.
func (x traffic) counts(r *rand.Rand, at int) Interval {
	drawn := x.drawn
	if drawn == 0 {
		drawn = x.share
	}
	side := func(share, rate float64) (s Side) {
		s.Requests = poisson(r, x.load*share)
		s.Started = int64(s.Requests)
		if x.burst <= 1 {
			s.Failures = binomial(r, s.Requests, rate)
			return s
		}
		for range poisson(r, float64(s.Requests)*rate/float64(x.burst)) {
			s.Failures++
			for r.Float64() > 1/float64(x.burst) {
				s.Failures++
			}
		}
		s.Failures = min(s.Failures, s.Requests)
		return s
	}
	return Interval{Start: float64(at), End: float64(at + 1), Share: x.share, Baseline: side(1-drawn, x.baseline), Canary: side(drawn, x.canary)}
}

// latencies simulates tests of latencies that are lognormal, with a look every hundred
// requests of each side. evidence is told the values so far, sorted, and says whether
// the canary is rejected.
func latencies(runs, most int, shift float64, rejects func(a, b []float64) bool) (o outcome) {
	for run := range runs {
		r, decided := source(run), false
		var a, b []float64
		for n := 100; n <= most && !decided; n += 100 {
			more := func(sorted []float64, factor float64) []float64 {
				fresh := make([]float64, 100)
				for i := range fresh {
					fresh[i] = factor * math.Exp(0.6*r.NormFloat64())
				}
				slices.Sort(fresh)
				return merged(sorted, fresh)
			}
			a, b = more(a, 1), more(b, 1+shift)
			if rejects(a, b) {
				decided = true
				o.add(true, float64(n), float64(n))
			}
		}
		if !decided {
			o.add(false, 0, 0)
		}
	}
	return o
}

func merged(a, b []float64) []float64 {
	list := make([]float64, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0] <= b[0] {
			list, a = append(list, a[0]), a[1:]
		} else {
			list, b = append(list, b[0]), b[1:]
		}
	}
	return append(append(list, a...), b...)
}

func quantileRejects(q float64) func(a, b []float64) bool {
	k, stop := Tune(2000, 0.05), math.Log(1/0.01)
	return func(a, b []float64) bool {
		logE, _ := QuantileTest(a, b, q, 0, k)
		return logE >= stop
	}
}

// bandRejects tests the whole distribution, from the values or from the counts of a
// histogram.
func bandRejects(edges []float64) func(a, b []float64) bool {
	band := NewBand(0.01/2, leastBand)
	return func(a, b []float64) bool {
		gap, _ := Gap(countedIn(edges, a), countedIn(edges, b), 0)
		return gap > band.Radius(uint64(len(a)))+band.Radius(uint64(len(b)))
	}
}

func countedIn(edges, sorted []float64) []uint64 {
	counts, before := make([]uint64, len(edges)+1), 0
	for i, e := range edges {
		n := before + sortSearch(sorted[before:], e)
		counts[i], before = uint64(n-before), n
	}
	counts[len(edges)] = uint64(len(sorted) - before)
	return counts
}

func sortSearch(sorted []float64, e float64) int {
	n, _ := slices.BinarySearch(sorted, e)
	return n
}

func geometric(from, ratio float64, n int) (edges []float64) {
	for range n {
		edges, from = append(edges, from), from*ratio
	}
	return edges
}

// figures are the results of all simulations, and how many runs each had.
type figures struct {
	shares                     map[float64]outcome // by ratio
	fail, lenient, pass, pass2 map[float64]outcome
	whole                      map[float64]outcome // with all guards
	latency                    map[string]map[float64]outcome
	guards                     []guardRow
	swings                     []swingRow
	runs                       runs
}

type guardRow struct {
	what    string
	failed  outcome
	without outcome // guards
	tripped map[string]int
}

// runs are how often each simulation is run.
type runs struct{ null, events, other, latency, most, guard int }

var (
	manyRuns  = runs{null: 4000, events: 10000, other: 400, latency: 60, most: 20000, guard: 100}
	shortRuns = runs{null: 300, events: 2000, other: 40, latency: 0, most: 2000, guard: 25}
)

var (
	shareRatios   = []float64{1, 1.1, 1.25, 1.5, 2, 3, 5, 10}
	rolloutRatios = []float64{.8, 1, 1.2, 1.5, 2, 3, 5, 10}
	shifts        = []float64{0, .05, .1, .2, .5, 1}
	latencyTests  = []string{"p50", "p95", "p99", "band", "band, doubling buckets"}
)

// errorsOnly judges failures alone, with every guard.
func errorsOnly() Config {
	return Config{Alpha: 0.01, Beta: 0.05, LeastRequests: 20, SplitAlpha: DefaultSplitAlpha,
		Metrics: []Metric{{Name: "errors", Kind: ErrorRatio, Gate: true, Limit: 1}}}
}

func simulate(n runs) figures {
	f := figures{shares: map[float64]outcome{}, fail: map[float64]outcome{}, lenient: map[float64]outcome{}, pass: map[float64]outcome{}, pass2: map[float64]outcome{},
		whole: map[float64]outcome{}, latency: map[string]map[float64]outcome{}, runs: n}
	for _, ratio := range shareRatios {
		count, events := n.other, 20000
		if ratio == 1 {
			count, events = n.null, n.events
		}
		f.shares[ratio] = shares(count, events, 0.5, ratio)
	}
	for _, ratio := range rolloutRatios {
		f.fail[ratio] = rolloutTest(n.other, ratio, 1, true, 0.01)
		f.lenient[ratio] = rolloutTest(n.other, ratio, 1.2, true, 0.01)
		f.pass[ratio] = rolloutTest(n.other, ratio, 1.5, false, 0.01)
		f.pass2[ratio] = rolloutTest(n.other, ratio, 2, false, 0.01)
		f.whole[ratio], _ = rolloutAnalysis(n.guard, func(t int) traffic {
			return traffic{load: loadAt(t), share: weights[t/300], baseline: failingAt(t), canary: min(1, ratio*failingAt(t))}
		}, errorsOnly(), rolloutSeconds)
	}
	tests := map[string]func(a, b []float64) bool{"p50": quantileRejects(.5), "p95": quantileRejects(.95), "p99": quantileRejects(.99),
		"band": bandRejects(geometric(.05, 1.01, 600)), "band, doubling buckets": bandRejects(geometric(.08, 2, 8))}
	for name, rejects := range tests {
		f.latency[name] = map[float64]outcome{}
		for _, shift := range shifts {
			f.latency[name][shift] = latencies(n.latency, n.most, shift, rejects)
		}
	}
	f.guards, f.swings = simulateGuards(n.guard), simulateSwings(n.guard)
	return f
}

// swingRow is what comes of failures that swing on both sides alike.
type swingRow struct {
	period, ratio float64
	failed        outcome
	held          int // by the guard for dispersion, at the end
}

// simulateSwings has the rate of failures swing by 80 % within a time, on both sides.
func simulateSwings(n int) (rows []swingRow) {
	for _, ratio := range []float64{1, 2} {
		for _, period := range []float64{20, 40, 120, 600} {
			failed, guards := rolloutAnalysis(n, func(t int) traffic {
				rate := .02 * (1 + .8*math.Sin(2*math.Pi*(float64(t)/period+1.0/8))) // neighbouring windows differ most
				return traffic{load: 40, share: .5, baseline: rate, canary: ratio * rate}
			}, errorsOnly(), 600)
			rows = append(rows, swingRow{period, ratio, failed, guards[GuardDispersion]})
		}
	}
	return rows
}

// simulateGuards breaks the assumptions of the tests, for versions that are no worse.
func simulateGuards(n int) (rows []guardRow) {
	add := func(what string, x func(run *rand.Rand) func(t int) traffic, c Config) {
		row := guardRow{what: what, tripped: map[string]int{}}
		for run := range n {
			at := x(rand.New(rand.NewPCG(simulationSeed+1, uint64(run))))
			r := source(run)
			var a Analysis
			v, unguarded := Verdict{}, 0.0
			for t := range 600 {
				a.Add(c, at(t).counts(r, t))
				if a.Metrics["errors"].Fail.LogE() >= math.Log(1/c.Alpha) && unguarded == 0 {
					unguarded = float64(t + 1)
				}
				if v = a.Verdict(c, t == 599); v.Decision == Fail || v.Decision == Inconclusive {
					break
				}
			}
			row.without.add(unguarded > 0, unguarded, 0)
			row.failed.add(v.Decision == Fail, a.Until, 0)
			if v.Decision != Fail && v.Guard != "" {
				row.tripped[v.Guard]++
			}
		}
		rows = append(rows, row)
	}
	still := func(x traffic) func(*rand.Rand) func(int) traffic {
		return func(*rand.Rand) func(int) traffic { return func(int) traffic { return x } }
	}
	add("nothing wrong", still(traffic{load: 100, share: .5, baseline: .02, canary: .02}), errorsOnly())
	for _, burst := range []int{2, 5, 10} {
		add(fmt.Sprintf("failures in clusters of %d", burst), still(traffic{load: 100, share: .5, baseline: .02, canary: .02, burst: burst}), errorsOnly())
	}
	add("share 0.52 at the weight 0.5", still(traffic{load: 100, share: .5, drawn: .52, baseline: .02, canary: .02}), errorsOnly())
	for _, phi := range []float64{.5, .8} {
		add(fmt.Sprintf("each side's rate of failures drifts by itself, AR(1) of minutes with %g", phi), drifting(phi), errorsOnly())
	}
	return rows
}

// drifting gives each side a rate of failures of its own that wanders: an
// autoregressive series of minutes, whose deviation is half the rate.
func drifting(phi float64) func(*rand.Rand) func(int) traffic {
	return func(r *rand.Rand) func(int) traffic {
		const spread = 0.5
		now := [2]float64{spread * r.NormFloat64(), spread * r.NormFloat64()}
		return func(t int) traffic {
			if t%60 == 0 {
				for i := range now {
					now[i] = phi*now[i] + spread*math.Sqrt(1-phi*phi)*r.NormFloat64()
				}
			}
			return traffic{load: 100, share: .5, baseline: .05 * math.Exp(now[0]), canary: .05 * math.Exp(now[1])}
		}
	}
}

// The operating characteristics. Without -update fewer runs are made, and the document
// is compared with nothing; the bounds hold in both cases.
func TestOperatingCharacteristics(t *testing.T) {
	n := shortRuns
	if *update {
		n = manyRuns
	}
	f := simulate(n)
	within := func(what string, got, least, most float64) {
		t.Helper()
		if !(got >= least && got <= most) {
			t.Errorf("%s: %.4g, want %.4g to %.4g", what, got, least, most)
		}
	}
	never := func(what string, o outcome, level float64) {
		t.Helper()
		within(what, o.share(), 0, level+3*math.Sqrt(level*(1-level)/float64(o.runs)))
	}
	never("a ratio of 1 ever rejected", f.shares[1], 0.01)
	never("a canary that is no worse fails", f.fail[1], 0.01)
	never("a canary that is better fails", f.fail[.8], 0.01)
	never("a canary within the margin fails", f.lenient[1.2], 0.01)
	never("a canary that is 1.5 times worse passes early at 1.5", f.pass[1.5], 0.01)
	never("a canary that is twice as bad passes early at 2", f.pass2[2], 0.01)
	never("with all guards, a canary that is no worse fails", f.whole[1], 0.01)
	slack := 0.15
	if !*update {
		slack = 0.4 // the medians of few runs
	}
	for ratio, events := range map[float64]float64{1.5: 310, 2: 142, 3: 82, 5: 57, 10: 45} {
		within(fmt.Sprintf("events until a ratio of %g is found", ratio), percentile(f.shares[ratio].when, .5), events*(1-slack), events*(1+slack))
	}
	for ratio, seconds := range map[float64]float64{2: 188, 3: 52, 5: 25, 10: 11} {
		within(fmt.Sprintf("%g times the errors found", ratio), f.fail[ratio].share(), 0.97, 1)
		within(fmt.Sprintf("seconds until %g times the errors are found", ratio), percentile(f.fail[ratio].when, .5), 0, seconds*(1+slack))
		within(fmt.Sprintf("with all guards, %g times the errors found", ratio), f.whole[ratio].share(), 0.9, 1)
	}
	for _, row := range f.guards {
		if strings.Contains(row.what, "AR(1)") {
			// For its first minute a drift is a difference like any other.
			within(row.what+": it fails", row.failed.share(), 0, row.without.share())
			continue
		}
		never("healthy, but "+row.what+": it fails", row.failed, 0.01)
		if strings.Contains(row.what, "0.52") {
			within(row.what+": the guard", float64(row.tripped[GuardSplit])/float64(row.failed.runs), 0.5, 1)
		}
	}
	for _, row := range f.swings {
		if row.ratio == 1 {
			never(fmt.Sprintf("healthy, and failures swing within %g s: it fails", row.period), row.failed, 0.01)
			continue
		}
		within(fmt.Sprintf("twice the errors, which swing within %g s, found", row.period), row.failed.share(), 0.95, 1)
	}
	if *update {
		f.write(t)
	}
}
