package judge

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Label is what a metric's comparison came to.
type Label string

// The labels. Inconclusive is not in Kayenta.
const (
	Pass             Label = "Pass"
	High             Label = "High"
	Low              Label = "Low"
	Nodata           Label = "Nodata"
	NodataFailMetric Label = "NodataFailMetric"
	Error            Label = "Error"
	Inconclusive     Label = "Inconclusive"
)

// The measures of an effect's size.
const (
	MeasureMeanRatio = "meanRatio" // the default
	MeasureCLES      = "cles"
)

// Effect says from which size on an effect counts, and from which on it is critical.
// Zero is the measure's default: 1 for a ratio, 0.5 for a probability.
type Effect struct {
	Measure          string   `json:"measure,omitempty"`
	AllowedIncrease  *float64 `json:"allowedIncrease,omitempty"`
	AllowedDecrease  *float64 `json:"allowedDecrease,omitempty"`
	CriticalIncrease *float64 `json:"criticalIncrease,omitempty"`
	CriticalDecrease *float64 `json:"criticalDecrease,omitempty"`
}

// Rule is how a metric is compared.
type Rule struct {
	Direction    string // increase, decrease or either; another text is either
	NaN          NaNStrategy
	Critical     bool
	MustHaveData bool
	Effect       Effect
	Confidence   float64 // of the interval, such as 0.98
	Band         float64 // share of the estimate that the interval has to clear
	Compatible   bool    // as Kayenta, defects included
}

// Finding is the comparison of one pair of series.
type Finding struct {
	Label    Label
	Critical bool    // it fails the whole canary unless the label is Pass
	Ratio    float64 // of the means, experiment over control
	Reason   string
	// Tested says that there was enough for a test; what follows is its result.
	Tested   bool
	Interval Interval
	Margin   float64 // the interval has to clear this
	Effect   float64 // in the rule's measure
}

// leastPoints is how many values a side needs for a verdict: with fewer the interval
// ends at the most extreme differences and calls noise significant.
const leastPoints = 8

// Classify compares two series that are cleaned already.
func Classify(control, experiment []float64, r Rule) Finding {
	if len(control) == 0 || len(experiment) == 0 {
		return noData(control, experiment, r)
	}
	c, e := slices.Sorted(slices.Values(control)), slices.Sorted(slices.Values(experiment))
	if slices.Equal(c, e) {
		return Finding{Label: Pass, Ratio: 1, Reason: "the values of baseline and canary are the same"}
	}
	if c[0] == c[len(c)-1] && e[0] == e[len(e)-1] && c[0] == e[0] {
		return Finding{Label: Pass, Ratio: 1, Reason: "baseline and canary have one value, and it is the same"}
	}
	ratio := MeanRatio(control, experiment)
	if !r.Compatible && min(len(c), len(e)) < leastPoints {
		return Finding{Label: Inconclusive, Critical: r.Critical, Ratio: ratio,
			Reason: fmt.Sprintf("%d and %d values are too few for a verdict: each side needs %d", len(control), len(experiment), leastPoints)}
	}
	tolerance := 0.0
	if r.Compatible {
		tolerance = 1e-4
	}
	if c[0] == c[len(c)-1] && e[0] == e[len(e)-1] {
		control, experiment = shaken(control, 1), shaken(experiment, 2)
	}
	interval, err := MannWhitney(control, experiment, r.Confidence, tolerance)
	if err != nil {
		return Finding{Label: Error, Critical: r.Critical && !r.Compatible, Ratio: ratio, Reason: "the test cannot be made: " + err.Error()}
	}
	return r.decide(control, experiment, interval, ratio)
}

func noData(control, experiment []float64, r Rule) Finding {
	reason := "the canary has no data"
	switch {
	case len(control) == 0 && len(experiment) == 0:
		reason = "baseline and canary have no data"
	case len(control) == 0:
		reason = "the baseline has no data"
	}
	f := Finding{Label: Nodata, Critical: r.Critical, Ratio: 1, Reason: reason}
	switch {
	case r.NaN == ReplaceNaN:
		f.Label, f.Critical = Pass, false
	case r.MustHaveData && !r.Critical:
		f.Label, f.Critical = NodataFailMetric, false
	}
	return f
}

// shaken adds noise of a hundred-thousandth of each value, the same each time, so
// that two constants can be ranked.
func shaken(values []float64, stream uint64) []float64 {
	source := rand.New(rand.NewPCG(0x5eed, stream))
	noisy := make([]float64, len(values))
	for i, v := range values {
		noisy[i] = v + source.NormFloat64()*v*1e-5
	}
	return noisy
}

// decide holds the interval and the effect against the rule.
func (r Rule) decide(control, experiment []float64, interval Interval, ratio float64) Finding {
	f := Finding{Label: Pass, Ratio: ratio, Tested: true, Interval: interval, Margin: r.Band * math.Abs(interval.Estimate), Effect: ratio}
	neutral := 1.0
	if r.Effect.Measure == MeasureCLES {
		f.Effect, neutral = CommonLanguage(control, experiment), 0.5
	}
	limit := func(v *float64) float64 {
		if v == nil {
			return neutral
		}
		return *v
	}
	unknown := math.IsNaN(f.Effect)
	switch {
	case r.Direction != "decrease" && interval.Low > f.Margin && (unknown || f.Effect >= limit(r.Effect.AllowedIncrease)):
		f.Label = High
		f.Critical = r.Critical && (unknown || f.Effect >= limit(r.Effect.CriticalIncrease))
	case r.Direction != "increase" && interval.High < -f.Margin && (unknown || f.Effect <= limit(r.Effect.AllowedDecrease)):
		f.Label = Low
		f.Critical = r.Critical && (unknown || f.Effect <= limit(r.Effect.CriticalDecrease))
	}
	f.Reason = f.explain(r, len(control), len(experiment))
	return f
}

func (f Finding) explain(r Rule, controls, experiments int) string {
	shift := fmt.Sprintf("canary minus baseline is %.4g, with %.4g to %.4g at %g %%", f.Interval.Estimate, f.Interval.Low, f.Interval.High, 100*r.Confidence)
	numbers := fmt.Sprintf("%d and %d values", experiments, controls)
	switch f.Label {
	case High:
		return fmt.Sprintf("the canary is higher: %s (%s), all of it above %.4g", shift, numbers, f.Margin)
	case Low:
		return fmt.Sprintf("the canary is lower: %s (%s), all of it below %.4g", shift, numbers, -f.Margin)
	}
	return fmt.Sprintf("no difference that counts: %s (%s)", shift, numbers)
}
