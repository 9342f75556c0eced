package sequential

import (
	"fmt"
	"math"
	"slices"
)

// Kind says what a metric compares.
type Kind string

// The kinds of metrics.
const (
	// ErrorRatio compares the rate of failures with the baseline's.
	ErrorRatio Kind = "errorRatio"
	// ErrorRate compares the rate of failures with a fixed limit.
	ErrorRate Kind = "errorRate"
	// SlowRate compares the share of requests above a bound of the histogram with a
	// fixed limit, so that a limit of 0.01 is one of the 99th percentile.
	SlowRate Kind = "slowRate"
	// Distribution compares all quantiles of the latency with the baseline's.
	Distribution Kind = "distribution"
	// Quantile compares one quantile of the latency with the baseline's.
	Quantile Kind = "quantile"
)

// Metric is one thing to judge.
type Metric struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// Gate says that the metric decides; others are only reported. Weight is its part
	// of alpha among those that decide, 1 when 0.
	Gate   bool    `json:"gate,omitempty"`
	Weight float64 `json:"weight,omitempty"`
	// Limit is what the canary must not be above: a ratio, or a rate.
	Limit float64 `json:"limit,omitempty"`
	// Accept is the ratio or rate that a gating metric has to be shown to be below
	// before the canary passes; 0 asks for no such proof.
	Accept float64 `json:"accept,omitempty"`
	// Bound is the index of a SlowRate's bound.
	Bound int `json:"bound,omitempty"`
	// Q is a Quantile's quantile. Margin is how much slower the canary may be, as a
	// number of buckets.
	Q      float64 `json:"q,omitempty"`
	Margin int     `json:"margin,omitempty"`
}

// Config is how a canary is judged. It does not change during an analysis.
type Config struct {
	// Alpha bounds the probability that a canary which is no worse ever fails; Beta the
	// probability that one which is worse by Accept ever passes.
	Alpha   float64  `json:"alpha"`
	Beta    float64  `json:"beta"`
	Metrics []Metric `json:"metrics"`
	// Bounds are the upper bounds of the histogram's buckets; the last bucket has none.
	Bounds []float64 `json:"bounds,omitempty"`
	// LeastRequests and LeastSeconds are needed since the last Mark for a Pass.
	LeastRequests uint64  `json:"leastRequests,omitempty"`
	LeastSeconds  float64 `json:"leastSeconds,omitempty"`
	// WarmUpSeconds and WarmUpRequests of the canary at the beginning do not count.
	WarmUpSeconds  float64 `json:"warmUpSeconds,omitempty"`
	WarmUpRequests uint64  `json:"warmUpRequests,omitempty"`
	// MostDispersion is the ratio of variance to mean above which failures count as
	// clustered; DefaultDispersion when 0.
	MostDispersion float64 `json:"mostDispersion,omitempty"`
	// SplitAlpha is the level of the guard of the division; 0 turns it off.
	// SplitTolerance is that of Split.Add.
	SplitAlpha     float64 `json:"splitAlpha,omitempty"`
	SplitTolerance float64 `json:"splitTolerance,omitempty"`
}

// Defaults of a configuration.
const (
	DefaultAlpha      = 0.01
	DefaultBeta       = 0.05
	DefaultDispersion = 1.5
	DefaultSplitAlpha = 0.001
)

// Check says what is wrong with a configuration.
func (c Config) Check() error {
	if !(c.Alpha > 0 && c.Alpha < 1) || !(c.Beta > 0 && c.Beta < 1) || c.SplitAlpha < 0 || c.SplitAlpha >= 1 {
		return fmt.Errorf("alpha and beta have to be above 0 and below 1: %g, %g, %g", c.Alpha, c.Beta, c.SplitAlpha)
	}
	if !slices.IsSorted(c.Bounds) {
		return fmt.Errorf("the bounds of the buckets have to rise: %v", c.Bounds)
	}
	names := map[string]bool{}
	for _, m := range c.Metrics {
		if m.Name == "" || names[m.Name] {
			return fmt.Errorf("each metric needs a name of its own: %q", m.Name)
		}
		names[m.Name] = true
		if err := m.check(len(c.Bounds)); err != nil {
			return fmt.Errorf("metric %s: %w", m.Name, err)
		}
	}
	if len(c.gating()) == 0 {
		return fmt.Errorf("no metric decides")
	}
	return nil
}

func (m Metric) check(bounds int) error {
	switch m.Kind {
	case ErrorRatio:
		if !(m.Limit > 0) || math.IsInf(m.Limit, 0) || m.Accept != 0 && m.Accept <= m.Limit {
			return fmt.Errorf("a limit above 0 is needed, and accept above it: %g, %g", m.Limit, m.Accept)
		}
	case ErrorRate, SlowRate:
		if !(m.Limit > 0 && m.Limit <= 1) || m.Accept != 0 && (m.Accept < m.Limit || m.Accept >= 1) {
			return fmt.Errorf("a limit above 0 and at most 1 is needed, and accept between it and 1: %g, %g", m.Limit, m.Accept)
		}
		if m.Kind == SlowRate && (m.Bound < 0 || m.Bound >= bounds) {
			return fmt.Errorf("there is no bound %d", m.Bound)
		}
	case Distribution, Quantile:
		if bounds == 0 || m.Margin < 0 || m.Margin >= bounds || m.Accept != 0 || m.Kind == Quantile && !(m.Q > 0 && m.Q < 1) {
			return fmt.Errorf("buckets, a margin among them and a quantile between 0 and 1 are needed; it accepts nothing")
		}
	default:
		return fmt.Errorf("there is no kind %q", m.Kind)
	}
	return nil
}

// gating are the metrics that decide.
func (c Config) gating() []Metric {
	return slices.DeleteFunc(slices.Clone(c.Metrics), func(m Metric) bool { return !m.Gate })
}

// compares says whether a metric that decides compares the failures of the two sides.
func (c Config) compares() bool {
	return slices.ContainsFunc(c.gating(), func(m Metric) bool { return m.Kind == ErrorRatio })
}

// alphaOf is the part of alpha that a metric may spend: the parts of the metrics that
// decide add up to alpha, so that the sum of their probabilities of a false alarm does
// not exceed it however they depend on each other. A metric that is only reported is
// tested at alpha.
func (c Config) alphaOf(m Metric) float64 {
	if !m.Gate {
		return c.Alpha
	}
	total := 0.0
	for _, g := range c.gating() {
		total += g.weight()
	}
	return c.Alpha * m.weight() / total
}

func (m Metric) weight() float64 {
	if m.Weight > 0 {
		return m.Weight
	}
	return 1
}

func (c Config) mostDispersion() float64 {
	if c.MostDispersion > 0 {
		return c.MostDispersion
	}
	return DefaultDispersion
}
