package driver

import (
	"math"
	"time"

	"showrunner/problem"
)

// Facts are the abilities and limits that a driver states for its cloud. Plans
// and rollouts keep to them: a request beyond them is refused with the reason
// before anything is made. They do not change while a rollout runs.
type Facts struct {
	Workloads  []WorkloadKind `json:"workloads"`            // the kinds that the cloud runs
	References bool           `json:"references,omitempty"` // the cloud resolves references to secrets in the environment
	Placement  bool           `json:"placement,omitempty"`  // the cloud places instances in the zones that a specification names, and gives one the identifier that it names

	// Copies says that CreateServerGroup makes copies of groups (ServerGroupSpec.CopyOf).
	Copies bool `json:"copies,omitempty"`

	// AllOrNothing says that one version at a time has all of a cluster's traffic.
	AllOrNothing bool `json:"allOrNothing,omitempty"`
	// Resolution is the smallest difference between shares of traffic that the
	// cloud can set, in percent; 0 is any.
	Resolution float64 `json:"resolution,omitempty"`
	// SharesOnly says that ServerGroups returns weights as shares of the
	// cluster's traffic, rounded to the resolution. Otherwise weights are
	// returned exactly as they were set.
	SharesOnly bool `json:"sharesOnly,omitempty"`
	// MaxInTraffic is how many versions may have a weight above 0 at once; 0 is any number.
	MaxInTraffic int `json:"mostInTraffic,omitempty"`
	// Settle is how long requests may still follow the earlier weights after
	// SetWeights has returned. A version that lost its traffic has to serve that
	// long.
	Settle time.Duration `json:"settle,omitempty"`
	// Counts describes the request counts; nil when the cloud does not count.
	Counts *CountFacts `json:"counts,omitempty"`
}

// CountFacts describe a cloud's request counts.
type CountFacts struct {
	Delay     time.Duration `json:"delay,omitempty"`     // the longest time between a request and its appearance in the counts
	Latencies bool          `json:"latencies,omitempty"` // Buckets are filled in
	Instances bool          `json:"instances,omitempty"` // there is an entry for each instance too
}

// CheckWeights refuses weights of a whole cluster that a cloud with these facts
// cannot have. A driver calls it with all weights as they would be after the
// change. Errors: invalid, precondition.
func CheckWeights(weights map[string]float64, f Facts) error {
	const op = "cloud.weights"
	most := f.MaxInTraffic
	if f.AllOrNothing {
		most = 1
	}
	inTraffic := 0
	for name, w := range weights {
		if !ValidWeight(w) {
			return problem.New(problem.Invalid, op, "%s cannot have the weight %v", name, w)
		}
		if parts := w / f.Resolution; f.Resolution > 0 && math.Abs(parts-math.Round(parts)) > 1e-9 {
			return problem.New(problem.Invalid, op, "%s cannot have the weight %v: this cloud sets shares in steps of %v %%", name, w, f.Resolution)
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
