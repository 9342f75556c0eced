package judge

import (
	"errors"
	"math"
	"slices"
)

// Interval is what the Mann-Whitney test says of the difference between experiment
// and control: the Hodges-Lehmann estimate and its confidence interval.
type Interval struct {
	Low, High, Estimate float64
}

// errNoVariance is for samples whose ranks all tie, so that the statistic has no variance.
var errNoVariance = errors.New("the ranks have no variance")

// rankSum ranks the values of both samples together, ties by their average and NaN
// last. It returns the sum of the ranks of x, and the sum of t³-t over the groups of
// t equal values.
func rankSum(x, y []float64) (sum, ties float64) {
	type value struct {
		v     float64
		fromX bool
	}
	all := make([]value, 0, len(x)+len(y))
	for _, v := range x {
		all = append(all, value{v, true})
	}
	for _, v := range y {
		all = append(all, value{v, false})
	}
	slices.SortFunc(all, func(a, b value) int {
		switch {
		case math.IsNaN(a.v) && math.IsNaN(b.v):
			return 0
		case math.IsNaN(a.v):
			return 1
		case math.IsNaN(b.v):
			return -1
		case a.v < b.v:
			return -1
		case a.v > b.v:
			return 1
		}
		return 0
	})
	for i := 0; i < len(all); {
		j, ofX := i, 0
		for ; j < len(all) && (all[j].v == all[i].v || math.IsNaN(all[j].v) && math.IsNaN(all[i].v)); j++ {
			if all[j].fromX {
				ofX++
			}
		}
		sum += float64(ofX) * float64(i+1+j) / 2
		t := float64(j - i)
		ties += t*t*t - t
		i = j
	}
	return sum, ties
}

// WilcoxonDifference is the standardised rank statistic of x shifted by -mu against
// y, with continuity correction, less a quantile of the normal distribution. Errors:
// the ranks have no variance.
func WilcoxonDifference(x, y []float64, mu, quantile float64) (float64, error) {
	shifted := make([]float64, len(x))
	for i, v := range x {
		shifted[i] = v - mu
	}
	sum, ties := rankSum(shifted, y)
	m, n := float64(len(x)), float64(len(y))
	d := sum - m*(m+1)/2 - m*n/2
	correction := 0.0
	switch {
	case d > 0:
		correction = 0.5
	case d < 0:
		correction = -0.5
	}
	sigma := math.Sqrt(m * n / 12 * ((m + n + 1) - ties/((m+n)*(m+n-1))))
	if sigma == 0 || math.IsNaN(sigma) {
		return 0, errNoVariance
	}
	return (d-correction)/sigma - quantile, nil
}

// MannWhitney tests experiment against control at a confidence such as 0.98. The
// tolerance is how exactly the ends of the interval are looked for, in units of the
// values; 0 is as exactly as they can be told apart. Errors: the ranks have no variance.
func MannWhitney(control, experiment []float64, confidence, tolerance float64) (Interval, error) {
	low := slices.Min(experiment) - slices.Max(control)
	high := slices.Max(experiment) - slices.Min(control)
	if tolerance == 0 {
		tolerance = 1e-12 * (high - low)
	}
	var failed error
	difference := func(quantile float64) func(float64) float64 {
		return func(mu float64) float64 {
			w, err := WilcoxonDifference(experiment, control, mu, quantile)
			if err != nil {
				failed = err
			}
			return w
		}
	}
	end := func(quantile float64) float64 {
		f := difference(quantile)
		fLow, fHigh := f(low), f(high)
		switch {
		case fLow <= 0:
			return low
		case fHigh >= 0:
			return high
		}
		return zeroIn(low, high, fLow, fHigh, f, tolerance)
	}
	z := math.Sqrt2 * math.Erfinv(confidence)
	i := Interval{Low: end(z), High: end(-z)}
	f := difference(0)
	i.Estimate = zeroIn(low, high, f(low), f(high), f, tolerance)
	return i, failed
}

const zeroInSteps = 1001

// zeroIn looks for a zero of f between a and b by Brent's method, with the stopping
// rule and the order of steps that R's uniroot has. With the same tolerance it
// returns the same number, also where f is a staircase.
func zeroIn(a, b, fa, fb float64, f func(float64) float64, tolerance float64) float64 {
	const epsilon = 2.220446049250313e-16
	if fa == 0 {
		return a
	}
	if fb == 0 {
		return b
	}
	c, fc := a, fa
	for range zeroInSteps {
		previous := b - a
		if math.Abs(fc) < math.Abs(fb) {
			a, b, c = b, c, b
			fa, fb, fc = fb, fc, fb
		}
		least := 2*epsilon*math.Abs(b) + tolerance/2
		step := (c - b) / 2
		if math.Abs(step) <= least || fb == 0 {
			return b
		}
		if math.Abs(previous) >= least && math.Abs(fa) > math.Abs(fb) {
			if s, ok := interpolate(a, b, c, fa, fb, fc, previous, least); ok {
				step = s
			}
		}
		if math.Abs(step) < least {
			if step > 0 {
				step = least
			} else {
				step = -least
			}
		}
		a, fa = b, fb
		b += step
		fb = f(b)
		if fb > 0 && fc > 0 || fb < 0 && fc < 0 {
			c, fc = a, fa
		}
	}
	return b
}

// interpolate is a step of the secant or of the inverse quadratic method; not ok when
// it would not shrink the bracket fast enough.
func interpolate(a, b, c, fa, fb, fc, previous, least float64) (step float64, ok bool) {
	var p, q float64
	cb := c - b
	if a == c {
		t1 := fb / fa
		p, q = cb*t1, 1-t1
	} else {
		r, t1, t2 := fa/fc, fb/fc, fb/fa
		p = t2 * (cb*r*(r-t1) - (b-a)*(t1-1))
		q = (r - 1) * (t1 - 1) * (t2 - 1)
	}
	if p > 0 {
		q = -q
	} else {
		p = -p
	}
	if p < 0.75*cb*q-math.Abs(least*q)/2 && p < math.Abs(previous*q/2) {
		return p / q, true
	}
	return 0, false
}
