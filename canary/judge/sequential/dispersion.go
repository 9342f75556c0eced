package sequential

import "math"

// Dispersion measures whether events come one by one or in clusters, which every test
// here would take for evidence: the variance of their number over its mean, 1 for
// events that are independent. It compares the two windows of a pair with each other,
// so that load and failures that change slowly do not count as clusters. The largest
// pair is left out: it may be the moment when something broke.
type Dispersion struct {
	First    [2]Counted `json:"first,omitzero"` // of the present pair, by side
	Half     bool       `json:"half,omitempty"` // First is a whole window
	Variance float64    `json:"variance,omitempty"`
	Expected float64    `json:"expected,omitempty"`
	Pairs    int        `json:"pairs,omitempty"` // with events
	Largest  [2]float64 `json:"largest,omitzero"`
}

// leastPairs is how many pairs with events a dispersion needs.
const leastPairs = 4

// Add counts a window of both sides.
func (d *Dispersion) Add(sides [2]Counted) {
	if !d.Half {
		d.First, d.Half = sides, true
		return
	}
	for side, second := range sides {
		d.pair(d.First[side], second)
	}
	d.First, d.Half = [2]Counted{}, false
}

// pair compares two windows. Given the events of both, those of the first are drawn
// without return from the requests of both.
func (d *Dispersion) pair(a, b Counted) {
	events, all := float64(a.Events+b.Events), float64(a.Requests+b.Requests)
	if events == 0 || a.Requests == 0 || b.Requests == 0 {
		return
	}
	share := float64(a.Requests) / all
	off := float64(a.Events) - events*share
	d.note(off*off, events*share*(1-share)*(all-events)/(all-1))
}

// note adds what a pair showed.
func (d *Dispersion) note(variance, expected float64) {
	d.Pairs++
	d.Variance, d.Expected = d.Variance+variance, d.Expected+expected
	if variance-expected > d.Largest[0]-d.Largest[1] {
		d.Largest = [2]float64{variance, expected}
	}
}

// AddTogether counts a window of both sides, each by what the other one does: of the
// failures of a pair of windows, those of the canary are drawn without return, by the
// exposure of each window. So whatever makes failures frequent on both sides at once, a
// swing or an outage behind them, is no cluster here, however fast it is; a cluster on one
// side is. It is what a test that compares the sides takes for granted.
func (d *Dispersion) AddTogether(sides [2]Counted) {
	if !d.Half {
		d.First, d.Half = sides, true
		return
	}
	d.together(d.First, sides)
	d.First, d.Half = [2]Counted{}, false
}

// together compares the canary's part of the failures of two windows.
func (d *Dispersion) together(a, b [2]Counted) {
	n := [2]float64{float64(a[0].Events + a[1].Events), float64(b[0].Events + b[1].Events)}
	canary, all := float64(a[1].Events+b[1].Events), n[0]+n[1]
	if n[0] == 0 || n[1] == 0 || canary == 0 || canary == all {
		return // the division over the windows is known: nothing can be seen
	}
	for _, c := range [...]Counted{a[0], a[1], b[0], b[1]} {
		if c.Requests == 0 {
			return
		}
	}
	share := [2]float64{float64(a[1].Requests) / float64(a[0].Requests+a[1].Requests), float64(b[1].Requests) / float64(b[0].Requests+b[1].Requests)}
	theta := commonRatio(n, share, canary)
	spread := [2]float64{n[0] * theta[0] * (1 - theta[0]), n[1] * theta[1] * (1 - theta[1])}
	off := float64(a[1].Events) - n[0]*theta[0]
	d.note(off*off, spread[0]*spread[1]/(spread[0]+spread[1])*all/(all-1))
}

// commonRatio is, for two windows with n failures each, the canary's expected part of them
// with the one ratio of the rates that explains all of the canary's failures.
func commonRatio(n, share [2]float64, canary float64) (theta [2]float64) {
	low, high := -40.0, 40.0 // of the logarithm of the ratio
	for range 60 {
		middle := (low + high) / 2
		for i := range theta {
			theta[i] = odds(share[i], math.Exp(middle))
		}
		if n[0]*theta[0]+n[1]*theta[1] < canary {
			low = middle
		} else {
			high = middle
		}
	}
	return theta
}

// Ratio is the variance over the mean; known says that there were enough pairs.
func (d *Dispersion) Ratio() (ratio float64, known bool) {
	if d.Pairs < leastPairs {
		return 0, false
	}
	expected := d.Expected - d.Largest[1]
	if expected <= 0 {
		return 1, true // every request failed, or none did: nothing can be clustered
	}
	return (d.Variance - d.Largest[0]) / expected, true
}

// leastTogether is how many pairs it takes to say that what looks like clusters is common
// to both sides.
const leastTogether = 8

// whole is Ratio with the largest pair: what allows a verdict leaves nothing out.
func (d *Dispersion) whole() (ratio float64, enough bool) {
	if d.Pairs < leastTogether || d.Expected <= 0 {
		return 0, false
	}
	return d.Variance / d.Expected, true
}

// Drift measures whether the ratio between the two sides is the same all the time, as
// every test here assumes: the variance of the canary's part of the failures around
// what the earlier windows predict, over the expected one. It is 1 when the ratio is
// constant, whatever load and failures do on both sides alike.
type Drift struct {
	Before  [2]Counted `json:"before,omitzero"` // all earlier windows
	Sum     float64    `json:"sum,omitempty"`
	Windows int        `json:"windows,omitempty"` // with events
}

// leastWindows is how many windows a drift needs, and leastPast how many failures on
// each side the windows before one, so that they predict something.
const (
	leastWindows = 8
	leastPast    = 5
)

// Add counts a window of both sides.
func (d *Drift) Add(sides [2]Counted) {
	past, events := d.Before, float64(sides[0].Events+sides[1].Events)
	if events > 0 && sides[0].Requests > 0 && sides[1].Requests > 0 && past[0].Events >= leastPast && past[1].Events >= leastPast {
		ratio := float64(past[1].Events) / float64(past[1].Requests) / (float64(past[0].Events) / float64(past[0].Requests))
		theta := odds(float64(sides[1].Requests)/float64(sides[0].Requests+sides[1].Requests), ratio)
		off := float64(sides[1].Events) - events*theta
		known := 1/float64(past[0].Events) + 1/float64(past[1].Events) // variance of the logarithm of the ratio
		spread := theta * (1 - theta)
		d.Sum += off * off / (events*spread + events*events*spread*spread*known)
		d.Windows++
	}
	d.Before[0].add(sides[0])
	d.Before[1].add(sides[1])
}

// Ratio is the variance over the expected one, and the limit for it: most, or more as
// long as chance alone exceeds that in one of a hundred cases.
func (d *Drift) Ratio(most float64) (ratio, limit float64, known bool) {
	if d.Windows < leastWindows {
		return 0, most, false
	}
	n := float64(d.Windows)
	return d.Sum / n, max(most, 1+2.33*math.Sqrt(2/n)), true
}
