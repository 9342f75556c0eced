package driver

import (
	"math"
	"time"

	"showrunner/problem"
)

// Facts are what a driver states of its cloud. Plans and rollouts keep to them:
// what a cloud cannot do is refused with the reason before anything is made.
// They do not change while a rollout runs.
type Facts struct {
	Workloads  []WorkloadKind `json:"workloads"`            // that it runs
	References bool           `json:"references,omitempty"` // it resolves references to secrets in the environment

	// AllOrNothing says that one version at a time has all of a cluster's traffic.
	AllOrNothing bool `json:"allOrNothing,omitempty"`
	// Resolution is the smallest share of the traffic that can be told apart, in percent; 0 is any.
	Resolution float64 `json:"resolution,omitempty"`
	// SharesOnly says that ServerGroups returns weights as shares of the cluster's traffic, rounded to
	// the resolution. Otherwise weights are returned exactly as they were set.
	SharesOnly bool `json:"sharesOnly,omitempty"`
	// MostInTraffic is how many versions may have a weight above 0 at once; 0 is any number.
	MostInTraffic int `json:"mostInTraffic,omitempty"`
	// Settle is how long requests may go on arriving by the weights from before, once SetWeights has
	// answered. A version that lost its traffic has to serve that long.
	Settle time.Duration `json:"settle,omitempty"`
	// Counts says what is counted; nil is nothing.
	Counts *CountFacts `json:"counts,omitempty"`
}

// CountFacts are what a driver states of its Counts.
type CountFacts struct {
	Delay     time.Duration `json:"delay,omitempty"`     // how long after a request it is counted at the latest
	Latencies bool          `json:"latencies,omitempty"` // Buckets are filled in
	Instances bool          `json:"instances,omitempty"` // there is an entry for each instance too
}

// CheckWeights refuses weights of a whole cluster that a cloud with these facts
// cannot have. A driver calls it with all weights as they would be after the
// change. Errors: invalid, precondition.
func CheckWeights(weights map[string]float64, f Facts) error {
	const op = "cloud.weights"
	most := f.MostInTraffic
	if f.AllOrNothing {
		most = 1
	}
	inTraffic := 0
	for name, w := range weights {
		if !ValidWeight(w) {
			return problem.New(problem.Invalid, op, "%s cannot have the weight %v", name, w)
		}
		if parts := w / f.Resolution; f.Resolution > 0 && math.Abs(parts-math.Round(parts)) > 1e-9 {
			return problem.New(problem.Invalid, op, "%s cannot have the weight %v: this cloud tells shares apart by %v %%", name, w, f.Resolution)
		}
		if w > 0 {
			inTraffic++
		}
	}
	if most > 0 && inTraffic > most {
		return problem.New(problem.Precondition, op, "%d versions would be in traffic; this cloud has at most %d at a time", inTraffic, most).
			WithHelp("take a version out of traffic in the same change")
	}
	return nil
}
