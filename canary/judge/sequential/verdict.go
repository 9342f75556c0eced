package sequential

import (
	"fmt"
	"math"
	"strings"
)

// Decision is what an analysis says.
type Decision string

// The decisions. Inconclusive is that of a deadline, or of a guard that more data
// cannot satisfy.
const (
	Continue     Decision = "Continue"
	Pass         Decision = "Pass"
	Fail         Decision = "Fail"
	Inconclusive Decision = "Inconclusive"
)

// Verdict is a decision with everything it rests on.
type Verdict struct {
	Decision Decision `json:"decision"`
	// Metric is the metric that failed, and Guard the guard that prevents a verdict.
	Metric string `json:"metric,omitempty"`
	Guard  string `json:"guard,omitempty"`
	// Reason is a sentence for people. Lacking says which data are missing.
	Reason  string `json:"reason"`
	Lacking string `json:"lacking,omitempty"`
	// Suspect says that a metric has failed already, but a guard does not allow the
	// verdict, or cannot say yet whether it does.
	Suspect bool           `json:"suspect,omitempty"`
	Score   float64        `json:"score"` // percent of the deciding metrics that do not speak against the canary
	Alpha   float64        `json:"alpha"`
	Beta    float64        `json:"beta"`
	Metrics []MetricResult `json:"metrics"`
	Guards  []Guard        `json:"guards"`
	Total   Totals         `json:"total"`
	Skipped Totals         `json:"skipped,omitzero"`
	Began   float64        `json:"began,omitempty"`
	Until   float64        `json:"until,omitempty"`
}

// MetricResult is what the intervals say about one metric.
type MetricResult struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	Gate bool   `json:"gate"`
	// Label is Fail, Pass or Continue.
	Label Decision `json:"label"`
	// Effect is a ratio or a rate, with its interval of the level Alpha; nil is unknown.
	Effect *float64 `json:"effect,omitempty"`
	Low    *float64 `json:"low,omitempty"`
	High   *float64 `json:"high,omitempty"`
	Limit  float64  `json:"limit,omitempty"`
	Accept float64  `json:"accept,omitempty"`
	// Canary and Baseline are the numbers that were compared.
	Canary   Counted `json:"canary"`
	Baseline Counted `json:"baseline"`
	Alpha    float64 `json:"alpha"`
	// LogE is the evidence against the canary, which fails it at Stop; P its p-value,
	// valid at every look. LogPass is the evidence for it, which accepts it at StopPass.
	LogE     float64 `json:"logE"`
	Stop     float64 `json:"stop"`
	P        float64 `json:"p"`
	LogPass  float64 `json:"logPass,omitempty"`
	StopPass float64 `json:"stopPass,omitempty"`
	Reason   string  `json:"reason"`
}

// Counted is a number of requests, and of those that count against a side.
type Counted struct {
	Requests uint64 `json:"requests,omitempty"`
	Events   uint64 `json:"events,omitempty"`
}

// Guard is one condition of the tests' guarantee.
type Guard struct {
	Name    string  `json:"name"`
	Known   bool    `json:"known"`
	Tripped bool    `json:"tripped"`
	Value   float64 `json:"value,omitempty"`
	Limit   float64 `json:"limit,omitempty"`
	Reason  string  `json:"reason"`
}

// The guards' names.
const (
	GuardSplit      = "split"
	GuardDispersion = "dispersion"
	GuardDrift      = "drift"
	GuardData       = "data"
)

// Verdict decides from everything so far. deadline says that there is no more time:
// what is undecided then is Inconclusive.
func (a *Analysis) Verdict(c Config, deadline bool) Verdict {
	v := Verdict{Decision: Continue, Alpha: c.Alpha, Beta: c.Beta, Total: a.Total, Skipped: a.Skipped, Began: a.Began, Until: a.Until}
	v.Guards = a.guards(c)
	gating, against := 0, 0
	accepted := true
	for _, m := range c.Metrics {
		r := a.result(c, m)
		v.Metrics = append(v.Metrics, r)
		if !m.Gate {
			continue
		}
		gating++
		if r.Label == Fail {
			against++
		}
		accepted = accepted && (r.Label == Pass || r.Label != Fail && m.Accept == 0)
	}
	v.Score = 100 * float64(gating-against) / float64(max(gating, 1))
	v.decide(a, c, accepted)
	if deadline && v.Decision == Continue {
		v.Decision = Inconclusive
	}
	return v
}

// decide goes through the conditions in their order: the division first, since without
// it nothing else can be compared.
func (v *Verdict) decide(a *Analysis, c Config, accepted bool) {
	v.Lacking = a.lacking(c)
	if split := v.guard(GuardSplit); split.Tripped {
		v.Decision, v.Guard, v.Reason = Inconclusive, GuardSplit, split.Reason
		return
	}
	for _, r := range v.Metrics {
		if !r.Gate || r.Label != Fail {
			continue
		}
		guard := a.guardOf(c, r, v)
		if guard == nil {
			v.Decision, v.Metric, v.Reason = Fail, r.Name, r.Reason
			return
		}
		v.Suspect, v.Metric, v.Guard = true, r.Name, guard.Name
		v.Reason = r.Reason + "; no verdict on it: " + guard.Reason
	}
	if v.Suspect {
		return
	}
	if v.Lacking != "" {
		v.Guard, v.Reason = GuardData, "too few data for a verdict: "+v.Lacking
		return
	}
	var open []string
	for _, r := range v.Metrics {
		if r.Gate && r.Label != Pass && r.Accept > 0 {
			open = append(open, r.Reason)
		}
	}
	if accepted {
		v.Decision, v.Reason = Pass, a.passing(v)
		return
	}
	v.Reason = "not decided yet: " + strings.Join(open, "; ")
}

func (a *Analysis) passing(v *Verdict) string {
	var parts []string
	for _, r := range v.Metrics {
		if r.Gate {
			parts = append(parts, r.Reason)
		}
	}
	return "nothing speaks against the canary: " + strings.Join(parts, "; ")
}

func (v *Verdict) guard(name string) Guard {
	for _, g := range v.Guards {
		if g.Name == name {
			return g
		}
	}
	return Guard{Name: name}
}

// guardOf is the guard that does not allow a metric's verdict; nil when all do.
func (a *Analysis) guardOf(c Config, r MetricResult, v *Verdict) *Guard {
	names := []string{GuardDispersion, GuardDrift}
	if r.Kind == ErrorRate { // nothing is compared: what both sides have in common counts too
		if g := a.clusterGuard(c, false); g.Tripped || !g.Known {
			return &g
		}
		return nil
	}
	if r.Kind == SlowRate || r.Kind == Distribution || r.Kind == Quantile {
		g := a.slowGuard(c, r)
		if g.Tripped || !g.Known {
			return &g
		}
		return nil
	}
	for _, name := range names {
		if g := v.guard(name); g.Tripped || name == GuardDispersion && !g.Known {
			return &g
		}
	}
	return nil
}

// lacking says which data the present stretch lacks; empty when there is enough.
func (a *Analysis) lacking(c Config) string {
	canary, baseline := a.Total.Canary.Requests-a.Marked.Canary.Requests, a.Total.Baseline.Requests-a.Marked.Baseline.Requests
	least := max(c.LeastRequests, 1)
	if a.Skipped.Intervals > 0 && a.Total.Intervals == 0 {
		return fmt.Sprintf("%d requests came in the warm-up, which do not count", a.Skipped.Canary.Requests)
	}
	if canary < least {
		return fmt.Sprintf("%d of %d requests to the new version counted", canary, least)
	}
	for _, m := range c.gating() {
		if m.Kind == ErrorRate || m.Kind == SlowRate {
			continue
		}
		if baseline < least {
			return fmt.Sprintf("%d of %d requests to the old version counted, which the new one is compared with", baseline, least)
		}
	}
	for _, m := range c.gating() {
		if m.Kind != ErrorRatio && m.Kind != ErrorRate && sum(a.Canary) == 0 && a.metricOf(m).Failed.Requests == 0 {
			return "no latencies were counted, which " + m.Name + " needs"
		}
		if m.Kind == SlowRate && a.metricOf(m).Failed.Requests < leastSlow(m) {
			return fmt.Sprintf("%d of %d requests to the new version counted, which %s needs", a.metricOf(m).Failed.Requests, leastSlow(m), m.Name)
		}
	}
	if lasted := a.Until - a.MarkedAt; lasted < c.LeastSeconds {
		return fmt.Sprintf("%.3g of %.3g seconds counted", lasted, c.LeastSeconds)
	}
	return ""
}

// leastSlow is how many requests it takes to expect one above a limit.
func leastSlow(m Metric) uint64 { return uint64(math.Ceil(1/m.Limit - 1e-9)) }

func (a *Analysis) metricOf(m Metric) *tested {
	if s := a.Metrics[m.Name]; s != nil {
		return s
	}
	return &tested{High: 1}
}
