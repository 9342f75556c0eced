package judge

import (
	"math"
	"slices"
)

// NaNStrategy says what is done with points that have no value.
type NaNStrategy string

// The strategies for points without a value.
const (
	RemoveNaN  NaNStrategy = "remove"  // the default
	ReplaceNaN NaNStrategy = "replace" // by 0
)

// Clean applies the strategy to a series. The series given is not changed.
func (s NaNStrategy) Clean(values []float64) []float64 {
	cleaned := make([]float64, 0, len(values))
	for _, v := range values {
		switch {
		case !math.IsNaN(v):
			cleaned = append(cleaned, v)
		case s == ReplaceNaN:
			cleaned = append(cleaned, 0)
		}
	}
	return cleaned
}

// Percentile is the p-th percentile (0 to 100) by linear interpolation between the
// order statistics (R's type 7). An empty series has NaN.
func Percentile(values []float64, p float64) float64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return percentileOfSorted(sorted, p)
}

func percentileOfSorted(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	position := float64(len(sorted)-1) * p / 100
	below := int(math.Floor(position))
	if below >= len(sorted)-1 {
		return sorted[len(sorted)-1]
	}
	return sorted[below] + (position-float64(below))*(sorted[below+1]-sorted[below])
}

// OutliersIQR tells for each value whether it is an outlier: strictly outside of
// the quartiles by more than factor interquartile ranges. Widened fences hold the
// first and the last percentile too.
func OutliersIQR(values []float64, factor float64, widened bool) []bool {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	q1, q3 := percentileOfSorted(sorted, 25), percentileOfSorted(sorted, 75)
	low, high := q1-factor*(q3-q1), q3+factor*(q3-q1)
	if widened {
		low, high = min(percentileOfSorted(sorted, 1), low), max(percentileOfSorted(sorted, 99), high)
	}
	return mark(values, func(v float64) bool { return v < low || v > high })
}

// OutliersKSigma tells for each value whether it is further from the mean than
// factor population standard deviations.
func OutliersKSigma(values []float64, factor float64) []bool {
	m := mean(values)
	squares := 0.0
	for _, v := range values {
		squares += (v - m) * (v - m)
	}
	sd := math.Sqrt(squares / float64(len(values)))
	return mark(values, func(v float64) bool { return math.Abs(v-m) > factor*sd })
}

func mark(values []float64, outlier func(float64) bool) []bool {
	marks := make([]bool, len(values))
	for i, v := range values {
		marks[i] = outlier(v)
	}
	return marks
}

func without(values []float64, marked []bool) []float64 {
	kept := make([]float64, 0, len(values))
	for i, v := range values {
		if !marked[i] {
			kept = append(kept, v)
		}
	}
	return kept
}

// Stats describe a series after it was cleaned; all are 0 for an empty one.
type Stats struct {
	Count int     `json:"count"`
	Min   float64 `json:"min"`
	Max   float64 `json:"max"`
	Mean  float64 `json:"mean"`
	Std   float64 `json:"std"` // of the sample (n-1)
}

// Describe returns the statistics of a series.
func Describe(values []float64) Stats {
	if len(values) == 0 {
		return Stats{}
	}
	s := Stats{Count: len(values), Min: slices.Min(values), Max: slices.Max(values), Mean: mean(values)}
	if s.Count > 1 {
		squares := 0.0
		for _, v := range values {
			squares += (v - s.Mean) * (v - s.Mean)
		}
		s.Std = math.Sqrt(squares / float64(s.Count-1))
	}
	return s
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// MeanRatio is the experiment's mean over the control's; NaN when either mean is 0.
func MeanRatio(control, experiment []float64) float64 {
	c, e := mean(control), mean(experiment)
	if c == 0 || e == 0 {
		return math.NaN()
	}
	return e / c
}

// CommonLanguage is the probability that a random experiment value is greater than
// a random control value, ties counted half.
func CommonLanguage(control, experiment []float64) float64 {
	m, n := float64(len(experiment)), float64(len(control))
	r, _ := rankSum(experiment, control)
	return (2*r - m*(m+1)) / (2 * m * n)
}

// CohenD is the difference of the means in pooled standard deviations.
func CohenD(control, experiment []float64) float64 {
	c, e := Describe(control), Describe(experiment)
	return (e.Mean - c.Mean) / math.Sqrt((float64(e.Count-1)*e.Std*e.Std+float64(c.Count-1)*c.Std*c.Std)/float64(e.Count+c.Count-2))
}
