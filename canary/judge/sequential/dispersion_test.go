package sequential

import (
	"math"
	"testing"
)

// What both sides have in common is no cluster when they are looked at together, however
// different their exposures; a cluster on one side is.
func TestSidesTogether(t *testing.T) {
	ratio := func(rate func(t int) float64, burst int, shares ...float64) (together, alone float64) {
		var a, b Dispersion
		r := source(1)
		for at := range 400 {
			share := shares[at%len(shares)]
			w := traffic{load: 400, share: share, baseline: rate(at), canary: 2 * rate(at), burst: burst}.counts(r, at)
			both := [2]Counted{{w.Baseline.Requests, w.Baseline.Failures}, {w.Canary.Requests, w.Canary.Failures}}
			a.AddTogether(both)
			b.Add(both)
		}
		together, enough := a.whole()
		alone, known := b.Ratio()
		if !enough || !known {
			t.Fatal("it is not known whether there are clusters")
		}
		return together, alone
	}
	swing := func(t int) float64 { return .03 * (1 + .8*math.Sin(2*math.Pi*(float64(t)/4+3.0/8))) }
	if together, alone := ratio(swing, 0, .5); together > 1.3 || alone < DefaultDispersion {
		t.Errorf("a common swing: %.3g together, %.3g alone", together, alone)
	}
	if together, _ := ratio(swing, 0, .1, .5); together > 1.3 {
		t.Errorf("a common swing with two exposures: %.3g together", together)
	}
	if together, _ := ratio(func(int) float64 { return .03 }, 2, .5); together < DefaultDispersion {
		t.Errorf("clusters of 2: %.3g together", together)
	}
}

func TestTheCommonRatio(t *testing.T) {
	if theta := commonRatio([2]float64{10, 30}, [2]float64{.5, .5}, 20); math.Abs(theta[0]-.5) > 1e-9 || math.Abs(theta[1]-.5) > 1e-9 {
		t.Errorf("with equal exposures: %v", theta)
	}
	theta := commonRatio([2]float64{10, 30}, [2]float64{.1, .6}, 25)
	if math.Abs(10*theta[0]+30*theta[1]-25) > 1e-6 {
		t.Errorf("it does not explain all failures: %v", theta)
	}
}
