package sequential

import "math"

// BandFactor is the leading constant of a band's radius.
const BandFactor = 0.85

// BandConstant is the constant C of a band of the level alpha: the smallest for which
// theorem 2 of Howard and Ramdas 2022 promises it.
func BandConstant(alpha, factor float64) float64 {
	// The logarithm of the error falls nearly on a line.
	off := func(c float64) float64 { return math.Log(bandError(c, factor)) - math.Log(alpha) }
	low, high := 1.0, 2.0
	for off(high) > 0 {
		low, high = high, 2*high
	}
	for range 100 {
		atLow, atHigh := off(low), off(high)
		middle := (low + high) / 2
		if guess := low + (high-low)*atLow/(atLow-atHigh); !math.IsInf(atLow, 0) && guess > low && guess < high {
			middle = guess
		}
		at := off(middle)
		if at > 0 {
			low = middle
		} else {
			high = middle
		}
		if high-low < 1e-9 || math.Abs(at) < 1e-9 {
			return middle
		}
	}
	return high
}

// bandError bounds the probability that a band with the constant c ever fails: the
// smallest over the spacing eta of the proof's epochs.
func bandError(c, factor float64) float64 {
	at := func(logSpacing float64) float64 {
		eta := 1 + math.Exp(logSpacing)
		g := math.Sqrt(2/eta) * (factor - math.Sqrt(2*(eta-1)/c))
		if g <= 1 {
			return math.Inf(1)
		}
		return 4 * math.Exp(-g*g*c) * (1 + 1/((g*g-1)*math.Log(eta)))
	}
	low, high := math.Log(1e-6), math.Log(2*factor*factor-1)
	for high-low > 1e-6 { // it falls, then rises, and is infinite from somewhere on
		third := (high - low) / 3
		if a, b := at(low+third), at(high-third); a <= b {
			high -= third
		} else {
			low += third
		}
	}
	return at((low + high) / 2)
}

// Band is a band around the distribution of one side, valid for all values and, from
// Least values on, at all times together.
type Band struct {
	Constant float64
	Least    float64
}

// NewBand makes a band of the level alpha.
func NewBand(alpha float64, least uint64) Band {
	return Band{Constant: BandConstant(alpha, BandFactor), Least: float64(least)}
}

// Radius is how far the share of values below any point may be from the true one, after
// n values; 1, which says nothing, below Least.
func (b Band) Radius(n uint64) float64 {
	if float64(n) < b.Least || n == 0 {
		return 1
	}
	return min(1, BandFactor*math.Sqrt((math.Log1p(math.Log(float64(n)/b.Least))+b.Constant)/float64(n)))
}

// Gap compares two histograms: the greatest amount by which the baseline's share of
// values up to a bound exceeds the canary's, and the bucket that ends there. Values of
// the canary are moved down by shift buckets.
func Gap(baseline, canary []uint64, shift int) (gap float64, bucket int) {
	a, b := cumulative(baseline), cumulative(canary)
	last := len(a) - 1
	if a[last] == 0 || b[last] == 0 {
		return 0, 0
	}
	gap = math.Inf(-1)
	for i := 0; i < last; i++ {
		_, high := span(b, i, shift)
		if g := float64(a[i])/float64(a[last]) - float64(high)/float64(b[last]); g > gap {
			gap, bucket = g, i
		}
	}
	return gap, bucket
}
