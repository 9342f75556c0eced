package judge_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"showrunner/canary/judge"
	"showrunner/canary/judge/sequential"
)

var printTable = flag.Bool("print", false, "print the table of docs/judge.md")

// besideRow is what the two judges say of the same streams.
type besideRow struct {
	runs         int
	ours, theirs []float64 // seconds until each fails the canary
	takenBack    int       // runs in which Kayenta's judge failed it, and did not at the last look
}

// beside records streams of an hour (100 requests a second, half to each side, 1 % of
// which fail), and has both judges look at each: the sequential one every second, Kayenta's
// every ten minutes at the rates of failures of all minutes so far, as its users configure it.
func beside(runs int, ratio float64) besideRow {
	const seconds, look = 3600, 600
	row := besideRow{runs: runs}
	config := sequential.Config{Alpha: 0.01, Beta: 0.05, LeastRequests: 20, SplitAlpha: sequential.DefaultSplitAlpha,
		Metrics: []sequential.Metric{{Name: "errors", Kind: sequential.ErrorRatio, Gate: true, Limit: 1}}}
	rule := judge.Rule{Direction: "increase", Confidence: 0.98, Band: 0.25, Compatible: true}
	for run := range runs {
		r := rand.New(rand.NewPCG(20260304, uint64(run)))
		var a sequential.Analysis
		var control, experiment []float64
		var minute [2]sequential.Counted
		ours, theirs, last := 0.0, 0.0, judge.Pass
		for t := range seconds {
			i := sequential.Interval{Start: float64(t), End: float64(t + 1), Share: .5, Baseline: second(r, .01), Canary: second(r, .01*ratio)}
			for side, s := range []sequential.Side{i.Baseline, i.Canary} {
				minute[side].Requests, minute[side].Events = minute[side].Requests+s.Requests, minute[side].Events+s.Failures
			}
			if ours == 0 {
				a.Add(config, i)
				if a.Verdict(config, false).Decision == sequential.Fail {
					ours = float64(t + 1)
				}
			}
			if t%60 == 59 {
				control = append(control, 100*float64(minute[0].Events)/float64(minute[0].Requests))
				experiment = append(experiment, 100*float64(minute[1].Events)/float64(minute[1].Requests))
				minute = [2]sequential.Counted{}
			}
			if t%look != look-1 {
				continue
			}
			if last = judge.Classify(control, experiment, rule).Label; last == judge.High && theirs == 0 {
				theirs = float64(t + 1)
			}
		}
		if ours > 0 {
			row.ours = append(row.ours, ours)
		}
		if theirs > 0 {
			row.theirs = append(row.theirs, theirs)
			if last != judge.High {
				row.takenBack++
			}
		}
	}
	return row
}

// second is one side's second, about 50 requests.
func second(r *rand.Rand, rate float64) (s sequential.Side) {
	s.Requests = uint64(max(1, math.Round(50+math.Sqrt(50)*r.NormFloat64())))
	s.Started = int64(s.Requests)
	for range s.Requests {
		if r.Float64() < rate {
			s.Failures++
		}
	}
	return s
}

func middle(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

// The same recorded streams before both judges: the sequential one finds what is worse
// sooner, and keeps its bound where nothing is wrong.
func TestBothJudgesOnTheSameStreams(t *testing.T) {
	runs := 6
	if *printTable {
		runs = 200
	}
	for _, ratio := range []float64{1, 1.5, 2, 5, 10} {
		row := beside(runs, ratio)
		n := float64(row.runs)
		if *printTable {
			fmt.Printf("| %g | %.3g %% | %.0f s | %.3g %% | %.0f s | %d |\n", ratio, 100*float64(len(row.ours))/n, middle(row.ours), 100*float64(len(row.theirs))/n, middle(row.theirs), row.takenBack)
		}
		switch {
		case ratio == 1 && float64(len(row.ours))/n > 0.01+3*math.Sqrt(0.01*0.99/n):
			t.Errorf("healthy, and the sequential judge failed %d of %d", len(row.ours), row.runs)
		case ratio >= 2 && (len(row.ours) < row.runs || middle(row.ours) >= 600):
			t.Errorf("%g times the errors: found in %d of %d, after %.0f s", ratio, len(row.ours), row.runs, middle(row.ours))
		}
	}
}
