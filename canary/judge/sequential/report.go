package sequential

import (
	"fmt"
	"math"
	"strconv"
)

// guards are the conditions of the tests' guarantee, as they are now.
func (a *Analysis) guards(c Config) []Guard {
	split := Guard{Name: GuardSplit, Value: a.Split.Most, Reason: "the division of the requests is not checked"}
	if c.SplitAlpha > 0 {
		split.Known, split.Limit = a.Split.All > 0, math.Log(1/c.SplitAlpha)
		split.Tripped = a.Split.Most >= split.Limit
		split.Reason = "no requests with a known weight were counted"
		if split.Known {
			seen := 100 * float64(a.Split.Canary) / float64(a.Split.All)
			split.Reason = fmt.Sprintf("the new version received %.4g %% of %d requests at a weight of %.4g %%", seen, a.Split.All, 100*a.Split.Share)
		}
		if split.Tripped {
			split.Reason += ": more than chance explains, so the two versions do not serve the same requests"
		}
	}
	clusters := a.clusterGuard(c, c.compares())
	drift := Guard{Name: GuardDrift, Reason: "too few windows to say whether the ratio is steady"}
	if drift.Value, drift.Limit, drift.Known = a.Drift.Ratio(c.mostDispersion()); drift.Known {
		drift.Tripped = drift.Value > drift.Limit
		drift.Reason = fmt.Sprintf("the ratio between the versions varies %.3g times as much as chance explains, at most %.3g times is allowed", drift.Value, drift.Limit)
	}
	data := Guard{Name: GuardData, Known: true, Value: float64(a.Total.Canary.Requests), Limit: float64(max(c.LeastRequests, 1)), Reason: "there are enough data"}
	if lacking := a.lacking(c); lacking != "" {
		data.Tripped, data.Reason = true, lacking
	}
	return []Guard{split, data, clusters, drift}
}

// clusterGuard says whether failures come one by one, at the length of the intervals and
// at that of coarse windows. compares says that the sides are compared: clusters that both
// have in common do not count then, where it is known that they are common.
func (a *Analysis) clusterGuard(c Config, compares bool) Guard {
	g := Guard{Name: GuardDispersion, Limit: c.mostDispersion()}
	common := false
	for _, scale := range []struct{ alone, together Dispersion }{{a.Events, a.Together}, {a.Coarse, a.TogetherCoarse}} {
		value, known := scale.alone.Ratio()
		if !known {
			continue
		}
		if compares && value > g.Limit {
			if together, enough := scale.together.whole(); enough && together <= g.Limit {
				value, common = together, true
			}
		}
		g.Value, g.Known = max(g.Value, value), true
	}
	if !g.Known {
		g.Reason = fmt.Sprintf("failures were seen in %d pairs of intervals, and whether they come one by one shows in %d", a.Events.Pairs, leastPairs)
		return g
	}
	g.Tripped = g.Value > g.Limit
	g.Reason = fmt.Sprintf("the variance of failures over their mean is %.3g, at most %.3g is allowed", g.Value, g.Limit)
	switch {
	case g.Tripped:
		g.Reason += ": failures come in clusters, each of which would count as many"
	case common:
		g.Reason += "; failures swing, and on both sides alike"
	}
	return g
}

// slowGuard is the guard against clusters of slow requests, for a metric of latencies.
func (a *Analysis) slowGuard(c Config, r MetricResult) Guard {
	g := Guard{Name: GuardDispersion, Limit: c.mostDispersion()}
	bound := 0
	for _, m := range c.Metrics {
		switch {
		case m.Name != r.Name:
		case m.Kind == SlowRate:
			bound = m.Bound
		case m.Kind == Quantile:
			bound = min(max(bucketOf(a.Baseline, m.Q), 0), len(c.Bounds)-1)
		default:
			_, bound = Gap(a.Baseline, a.Canary, m.Margin)
		}
	}
	if bound < len(a.Slow) {
		g.Value, g.Known = a.Slow[bound].Ratio()
	}
	g.Tripped = g.Known && g.Value > g.Limit
	g.Reason = "too few intervals with slow requests to say whether they come one by one"
	if g.Known {
		g.Reason = fmt.Sprintf("the variance of requests above %gs over their mean is %.3g, at most %.3g is allowed", c.Bounds[bound], g.Value, g.Limit)
	}
	return g
}

// result is what is known about one metric.
func (a *Analysis) result(c Config, m Metric) MetricResult {
	s, alpha := a.metricOf(m), c.alphaOf(m)
	r := MetricResult{Name: m.Name, Kind: m.Kind, Gate: m.Gate, Label: Continue, Limit: m.Limit, Accept: m.Accept, Alpha: alpha,
		Stop: math.Log(1 / alpha), P: math.Exp(-s.Most)}
	r.Effect, r.Low, r.High, r.LogE = a.effect(c, m)
	r.Canary, r.Baseline = Counted{s.Failed.Requests, s.Failed.Events}, Counted{s.Base.Requests, s.Base.Events}
	if m.Kind == Distribution || m.Kind == Quantile {
		r.Canary, r.Baseline = Counted{Requests: sum(a.Canary)}, Counted{Requests: sum(a.Baseline)}
	}
	if m.Accept > 0 {
		r.LogPass, r.StopPass = s.passing(m), math.Log(1/c.Beta)
	}
	switch {
	case r.LogE >= r.Stop:
		r.Label = Fail
	case m.Accept > 0 && r.LogPass >= r.StopPass:
		r.Label = Pass
	}
	r.Reason = a.sentence(c, m, r)
	return r
}

func (s *tested) passing(m Metric) float64 {
	switch {
	case m.Kind != ErrorRatio:
		return s.rateEvidence(m.Accept, false)
	case s.Pass != nil:
		return s.Pass.LogE()
	}
	return 0
}

// effect is a metric's estimate with its interval, and the evidence against the canary.
func (a *Analysis) effect(c Config, m Metric) (effect, low, high *float64, logE float64) {
	s := a.metricOf(m)
	known := func(v float64) *float64 { return &v }
	switch m.Kind {
	case ErrorRatio:
		if s.Fail == nil {
			return nil, nil, nil, 0
		}
		if e, ok := s.Ratio.Estimate(); ok {
			effect = known(e)
		}
		if s.Ratio.Bounded && s.Ratio.Low > -likelihoodReach {
			low = known(math.Exp(s.Ratio.Low))
		}
		if s.Ratio.Bounded && s.Ratio.High < likelihoodReach {
			high = known(math.Exp(s.Ratio.High))
		}
		return effect, low, high, s.Fail.LogE()
	case ErrorRate, SlowRate:
		if s.Failed.Requests > 0 {
			effect, low, high = known(float64(s.Failed.Events)/float64(s.Failed.Requests)), known(s.Low), known(s.High)
		}
		return effect, low, high, s.rateEvidence(m.Limit, true)
	case Quantile:
		if at := bucketOf(a.Canary, m.Q); at >= 0 && at < len(c.Bounds) {
			effect = known(c.Bounds[at])
		}
		return effect, nil, nil, a.latencyEvidence(c, m)
	default:
		if a.Baseline == nil {
			return nil, nil, nil, 0
		}
		gap, _ := Gap(a.Baseline, a.Canary, m.Margin)
		half := NewBand(c.alphaOf(m)/2, leastBand)
		radius := half.Radius(sum(a.Baseline)) + half.Radius(sum(a.Canary))
		return known(gap), known(max(gap-radius, -1)), known(min(gap+radius, 1)), a.latencyEvidence(c, m)
	}
}

// moment is a metric's part of a point of the chart.
func (a *Analysis) moment(c Config, m Metric) MetricPoint {
	effect, low, high, logE := a.effect(c, m)
	return MetricPoint{Effect: short(effect), Low: short(low), High: short(high), LogE: *short(&logE)}
}

// short keeps four digits of a number.
func short(v *float64) *float64 {
	if v == nil {
		return nil
	}
	kept, err := strconv.ParseFloat(strconv.FormatFloat(*v, 'g', 4, 64), 64)
	if err != nil {
		return v
	}
	return &kept
}

// sentence says what is known about a metric, for people.
func (a *Analysis) sentence(c Config, m Metric, r MetricResult) string {
	level := 100 * (1 - r.Alpha)
	counts := fmt.Sprintf("%d of %d requests to the new version and %d of %d to the old one", r.Canary.Events, r.Canary.Requests, r.Baseline.Events, r.Baseline.Requests)
	switch m.Kind {
	case ErrorRatio:
		times := number(r.Effect, "more than "+number(r.Low, "0")) + " times as often as the old one"
		if r.Effect == nil && r.Low == nil {
			times = "as often as the old one or not: too few failures to say"
		}
		return fmt.Sprintf("the new version fails %s (%.4g %% interval %s, limit %.4g; failed: %s)", times, level, interval(r.Low, r.High), m.Limit, counts)
	case ErrorRate:
		return fmt.Sprintf("the new version answers %s of requests with errors (%.4g %% interval %s, limit %.4g %%; failed: %d of %d)",
			percent(r.Effect), level, percents(r.Low, r.High), 100*m.Limit, r.Canary.Events, r.Canary.Requests)
	case SlowRate:
		return fmt.Sprintf("%s of requests to the new version take more than %gs (%.4g %% interval %s, limit %.4g %%; slow: %d of %d)",
			percent(r.Effect), c.Bounds[m.Bound], level, percents(r.Low, r.High), 100*m.Limit, r.Canary.Events, r.Canary.Requests)
	case Quantile:
		return fmt.Sprintf("the %g quantile of the new version's latencies is at most %ss (evidence that it is higher than the old one's %.3g of %.3g; %d and %d requests)",
			m.Q, number(r.Effect, "unknown "), r.LogE, r.Stop, r.Canary.Requests, r.Baseline.Requests)
	}
	if a.Baseline == nil {
		return "no latencies were compared"
	}
	_, bucket := Gap(a.Baseline, a.Canary, m.Margin)
	return fmt.Sprintf("%s more of the new version's requests than of the old one's take longer than %gs (%.4g %% interval %s; %d and %d requests)",
		percent(r.Effect), c.Bounds[bucket], level, percents(r.Low, r.High), r.Canary.Requests, r.Baseline.Requests)
}

func number(v *float64, unknown string) string {
	if v == nil {
		return unknown
	}
	return fmt.Sprintf("%.3g", *v)
}

func interval(low, high *float64) string {
	return number(low, "0") + " to " + number(high, "∞")
}

func percent(v *float64) string {
	if v == nil {
		return "an unknown share"
	}
	return fmt.Sprintf("%.3g %%", 100**v)
}

func percents(low, high *float64) string {
	if low == nil || high == nil {
		return "unknown"
	}
	return fmt.Sprintf("%.3g %% to %.3g %%", 100**low, 100**high)
}
