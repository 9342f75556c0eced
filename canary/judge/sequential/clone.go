package sequential

import (
	"maps"
	"slices"
)

// Clone is an independent copy.
func (a *Analysis) Clone() *Analysis {
	if a == nil {
		return nil
	}
	c := *a
	c.Baseline, c.Canary, c.Slow, c.Points = slices.Clone(a.Baseline), slices.Clone(a.Canary), slices.Clone(a.Slow), slices.Clone(a.Points)
	c.Metrics = maps.Clone(a.Metrics)
	for name, m := range c.Metrics {
		copied := *m
		copied.Fail, copied.Pass = m.Fail.clone(), m.Pass.clone()
		if m.Ratio != nil {
			ratio := *m.Ratio
			ratio.Norm = slices.Clone(ratio.Norm)
			copied.Ratio = &ratio
		}
		c.Metrics[name] = &copied
	}
	return &c
}

func (t *Test) clone() *Test {
	if t == nil {
		return nil
	}
	c := *t
	c.Logs = slices.Clone(t.Logs)
	return &c
}
