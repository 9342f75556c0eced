package sequential

import (
	"fmt"
	"math"
	"slices"
	"sort"
)

// arm is one side of a quantile test: n values, of which least are expected at or
// below the quantile when the evidence is smallest.
type arm struct{ n, least, q, k float64 }

func newArm(n int, q, K float64) arm {
	a := arm{n: float64(n), q: q, k: K}
	low, high := 0.0, a.n
	for high-low > 1e-4 { // LogBF is convex in the number of successes, and flat around its minimum
		third := (high - low) / 3
		if LogBF(low+third, a.n, q, K) <= LogBF(high-third, a.n, q, K) {
			high -= third
		} else {
			low += third
		}
	}
	a.least = (low + high) / 2
	return a
}

// evidence is the smallest against the quantile lying where between low and high of the
// values are below it.
func (a arm) evidence(low, high int) float64 {
	return LogBF(min(max(a.least, float64(low)), float64(high)), a.n, a.q, a.k)
}

// QuantileTest is the evidence, as LogBF, against two sides having the same
// q-quantile. It is exact: the smallest over every value that the common quantile may
// have, and inside a tie over every number of values below it. canary values are
// divided by 1+margin first, so that a margin of 0.2 tests for more than 20 % above.
// Both slices are sorted. higher says that the canary's observed quantile is the
// higher one, after the margin.
func QuantileTest(baseline, canary []float64, q, margin, K float64) (logE float64, higher bool) {
	if len(baseline) == 0 || len(canary) == 0 {
		return 0, false
	}
	if margin != 0 {
		shifted := make([]float64, len(canary))
		for i, v := range canary {
			shifted[i] = v / (1 + margin)
		}
		canary = shifted
	}
	a, b := newArm(len(baseline), q, K), newArm(len(canary), q, K)
	// Below both of these, and above both, the evidence only grows.
	atA, atB := valueAt(baseline, a.least), valueAt(canary, b.least)
	from, to := min(atA, atB), max(atA, atB)
	logE = math.Inf(1)
	look := func(x float64) {
		aLow, aHigh := below(baseline, x)
		bLow, bHigh := below(canary, x)
		logE = min(logE, a.evidence(aLow, aHigh)+b.evidence(bLow, bHigh))
	}
	for _, values := range [][]float64{baseline, canary} {
		i, _ := slices.BinarySearch(values, from)
		for ; i < len(values) && values[i] <= to; i++ {
			if i == 0 || values[i] != values[i-1] {
				look(values[i])
			}
		}
	}
	return max(logE, 0), atB > atA
}

// valueAt is the value of rank position.
func valueAt(sorted []float64, position float64) float64 {
	return sorted[min(max(int(math.Ceil(position))-1, 0), len(sorted)-1)]
}

// below is how many values are below x, and how many are at or below it.
func below(sorted []float64, x float64) (under, atOrUnder int) {
	under = sort.SearchFloat64s(sorted, x)
	return under, under + sort.Search(len(sorted)-under, func(i int) bool { return sorted[under+i] > x })
}

// HistogramQuantileTest is QuantileTest for values that were only counted in buckets.
// Inside a bucket nothing is known, so the evidence is the smallest over all numbers
// of values between the bucket's two cumulative ones: valid, and weaker. shift is the
// margin in buckets: the canary's bucket i is compared with the baseline's i-shift.
func HistogramQuantileTest(baseline, canary []uint64, q float64, shift int, K float64) (logE float64, higher bool) {
	below, above := cumulative(baseline), cumulative(canary)
	a, b := newArm(below[len(below)-1], q, K), newArm(above[len(above)-1], q, K)
	if a.n == 0 || b.n == 0 {
		return 0, false
	}
	logE = math.Inf(1)
	for i := range baseline {
		aLow, aHigh := span(below, i, 0)
		bLow, bHigh := span(above, i, shift)
		logE = min(logE, a.evidence(aLow, aHigh)+b.evidence(bLow, bHigh))
	}
	return max(logE, 0), bucketOf(canary, q)-shift > bucketOf(baseline, q)
}

// span is how many values are below the lower and the upper edge of bucket i, of a side
// whose values are moved down by shift buckets.
func span(cumulative []int, i, shift int) (low, high int) {
	last := len(cumulative) - 1
	if i > 0 {
		low = cumulative[min(i-1+shift, last)]
	}
	return low, cumulative[min(i+shift, last)]
}

// cumulative counts the values up to the end of each bucket.
func cumulative(buckets []uint64) []int {
	list, sum := make([]int, len(buckets)), 0
	for i, n := range buckets {
		sum += int(n)
		list[i] = sum
	}
	return list
}

// bucketOf is the bucket of a quantile; -1 without values.
func bucketOf(buckets []uint64, q float64) int {
	if len(buckets) == 0 {
		return -1
	}
	all := cumulative(buckets)
	rank := int(math.Ceil(q * float64(all[len(all)-1])))
	if rank == 0 {
		return -1
	}
	return sort.SearchInts(all, rank)
}

// MarginInBuckets is a margin as a number of buckets. Errors say which margins the
// buckets can express: those that are the ratio of two bounds everywhere.
func MarginInBuckets(bounds []float64, margin float64) (int, error) {
	for shift := 0; shift < len(bounds); shift++ {
		whole := true
		for i := 0; i+shift < len(bounds); i++ {
			whole = whole && math.Abs(bounds[i+shift]/bounds[i]/(1+margin)-1) < 0.03
		}
		if whole {
			return shift, nil
		}
	}
	return 0, fmt.Errorf("a margin of %g cannot be told with these buckets: 1+margin has to be a ratio that all bounds have, such as %.4g", margin, bounds[min(1, len(bounds)-1)]/bounds[0])
}
