package fleet

import (
	"fmt"
	"math"

	"showrunner/pipeline"
)

// situation is the input of one evaluation of a group's policies.
type situation struct {
	Capacity pipeline.Capacity // present capacity
	Warm     int               // instances in service and past the warm-up; the metric covers only these
	Warming  int               // instances launched, in service or not, that are still warming up
}

// verdict is the wish of one policy.
type verdict struct {
	Policy  string
	Desired int  // the capacity that it wants
	Vetoes  bool // the group must not shrink while this policy does not want to
	Why     string
}

// targetCapacity computes target tracking: capacity changes in proportion to
// metric and target. Increases round up and decreases round down, which for whole
// instances both mean ceil(current × metric / target). AWS publishes no formula;
// Kubernetes' horizontal autoscaler uses the same one.
func targetCapacity(current int, metric, target float64) int {
	want := float64(current) * metric / target
	// A rounding error must not add an instance: 3 × 0.7/0.3 is 7.
	if near := math.Round(want); math.Abs(want-near) < 1e-9*math.Max(1, near) {
		want = near
	}
	return int(math.Ceil(math.Min(want, math.MaxInt32)))
}

// trackTarget is one target tracking policy's verdict for a metric that has been
// above (high) or well below (low) its target for long enough. Instances that
// warm up count as capacity already: the group grows only if the warm instances
// alone would need more than warm and warming instances together, and nothing
// shrinks.
func trackTarget(name string, p pipeline.TargetTracking, metric float64, high, low bool, s situation) verdict {
	v := verdict{Policy: name, Desired: s.Capacity.Desired, Vetoes: !p.DisableScaleIn}
	if math.IsNaN(metric) || p.Value <= 0 || s.Warm == 0 {
		return v // missing data never scales
	}
	need := targetCapacity(s.Warm, metric, p.Value)
	switch {
	case high && metric > p.Value && need > s.Capacity.Desired:
		v.Desired = need
		v.Why = fmt.Sprintf("%s is %.4g on %d instances, above the target of %.4g", p.Metric, metric, s.Warm, p.Value)
	case low && metric < p.Value && need < s.Capacity.Desired && s.Warming == 0 && !p.DisableScaleIn:
		v.Desired, v.Vetoes = need, false
		v.Why = fmt.Sprintf("%s is %.4g on %d instances, below the target of %.4g", p.Metric, metric, s.Warm, p.Value)
	}
	return v
}

// stepFor finds the step that contains a metric. Bounds are relative to the
// threshold: above it the lower one is inclusive and the upper exclusive, below
// it the reverse.
func stepFor(steps []pipeline.Step, threshold, metric float64) (pipeline.Step, bool) {
	if math.IsNaN(metric) {
		return pipeline.Step{}, false
	}
	d := metric - threshold
	for _, s := range steps {
		lower, upper := math.Inf(-1), math.Inf(1)
		if s.Lower != nil {
			lower = *s.Lower
		}
		if s.Upper != nil {
			upper = *s.Upper
		}
		if d >= 0 && lower <= d && d < upper || d < 0 && lower < d && d <= upper {
			return s, true
		}
	}
	return pipeline.Step{}, false
}

// adjust applies one adjustment to a capacity. A percentage rounds toward zero
// beyond one instance and away from zero below one; minChange is the smallest
// change of a percentage.
func adjust(current int, kind string, change, minChange int) int {
	switch kind {
	case "exact":
		return change
	case "percent":
		return current + percentOf(current, change, minChange)
	default:
		return current + change
	}
}

func percentOf(current, percent, minChange int) int {
	// In whole numbers: current × percent / 100 has no rounding error.
	product := current * percent
	n := product / 100 // toward zero: 12.7 is 12, -6.67 is -6
	if n == 0 && product != 0 {
		n = sign(product)
	}
	if product != 0 && n*sign(n) < minChange {
		n = sign(product) * minChange
	}
	return n
}

func sign(n int) int {
	if n < 0 {
		return -1
	}
	return 1
}

// stepScale is one step policy's verdict. An adjustment is applied to the warm
// capacity. So a breach that lasts while instances warm up adds only what the
// warming instances do not bring; nothing shrinks meanwhile.
func stepScale(name string, p pipeline.StepScaling, metric float64, high, low bool, s situation) verdict {
	v := verdict{Policy: name, Desired: s.Capacity.Desired}
	step, ok := stepFor(p.Steps, p.Threshold, metric)
	if !ok {
		return v
	}
	above := metric >= p.Threshold
	if above && !high || !above && !low {
		return v
	}
	base := max(0, s.Capacity.Desired-s.Warming)
	to := adjust(base, p.Adjustment, step.Change, p.MinChange)
	if to > s.Capacity.Desired || to < s.Capacity.Desired && s.Warming == 0 {
		v.Desired = to
		v.Why = fmt.Sprintf("%s is %.4g, %+.4g from the threshold of %.4g", p.Metric, metric, metric-p.Threshold, p.Threshold)
	}
	return v
}

// settle combines the verdicts of several policies. The group grows if any policy
// wants that, to the largest wish. It shrinks only if every target tracking
// policy that may shrink it agrees, by the smallest reduction. The result is
// within the capacity's bounds.
func settle(c pipeline.Capacity, verdicts []verdict) (int, verdict) {
	chosen := verdict{Desired: c.Desired}
	for _, v := range verdicts {
		if v.Desired > chosen.Desired {
			chosen = v
		}
	}
	if chosen.Desired == c.Desired {
		found := false
		for _, v := range verdicts {
			if v.Desired >= c.Desired && v.Vetoes {
				return clamp(c.Desired, c), verdict{}
			}
			if v.Desired < c.Desired && (!found || v.Desired > chosen.Desired) {
				chosen, found = v, true
			}
		}
	}
	return clamp(chosen.Desired, c), chosen
}

func clamp(n int, c pipeline.Capacity) int { return min(max(n, c.Min), c.Max) }
