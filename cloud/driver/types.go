package driver

import (
	"time"

	"showrunner/pipeline"
)

// Region is a place that fails on its own.
type Region struct {
	Name      string    `json:"name"`
	Zones     []string  `json:"zones"`
	Healthy   bool      `json:"healthy"`
	Since     time.Time `json:"since"`             // of Healthy's present value
	Address   string    `json:"address,omitempty"` // where its load balancer listens, host:port
	S3        string    `json:"s3,omitempty"`      // endpoint URL of its object storage
	Processes int       `json:"processes,omitempty"`
	DownZones []string  `json:"downZones,omitempty"` // zones in outage: nothing runs or starts there
}

// ServerGroupSpec is the immutable part of a server group.
type ServerGroupSpec struct {
	Application string                   `json:"application"` // that the cluster belongs to; cloud.Account fills in the first part of the cluster's name when it is empty
	Cluster     string                   `json:"cluster"`     // app[-stack[-detail]]
	Version     string                   `json:"version"`     // what people call this version: a commit, a tag
	Workload    Workload                 `json:"workload"`
	Env         map[string]EnvValue      `json:"env,omitempty"` // values are never logged or listed
	Health      pipeline.Health          `json:"health"`
	Liveness    *pipeline.Health         `json:"liveness,omitempty"`
	Capacity    pipeline.Capacity        `json:"capacity"` // to start with
	Drain       time.Duration            `json:"drain"`
	StopTimeout time.Duration            `json:"stopTimeout"`
	Limits      *pipeline.Limits         `json:"limits,omitempty"`
	Sticky      bool                     `json:"sticky,omitempty"`
	Traffic     *pipeline.Traffic        `json:"traffic,omitempty"`
	Hooks       *pipeline.LifecycleHooks `json:"hooks,omitempty"`
	Maintenance *pipeline.Maintenance    `json:"maintenance,omitempty"`
	Scaling     []pipeline.ScalingPolicy `json:"scaling,omitempty"`
	Execution   string                   `json:"execution,omitempty"` // the execution that asked for it
	// Weight is the share of traffic once healthy; 0 creates it disabled.
	Weight float64 `json:"weight"`
	// Fingerprint identifies the version: two specifications with the same one run the same thing
	// in the same way (Fingerprint). Callers leave it empty; cloud.Account computes it, a driver
	// stores it and returns it. Empty for groups that were created before there were fingerprints.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// ServerGroup is one version of a cluster in one region, as observed.
type ServerGroup struct {
	Name     string            `json:"name"` // app-stack-detail-vNNN
	Region   string            `json:"region"`
	Spec     ServerGroupSpec   `json:"spec"`
	Capacity pipeline.Capacity `json:"capacity"` // now
	Weight   float64           `json:"weight"`   // share of the cluster's traffic relative to the other groups; 0: disabled
	Created  time.Time         `json:"created"`
	// TrafficUntil is when its weight last became 0; zero while it has traffic, and when it never had.
	TrafficUntil time.Time  `json:"trafficUntil,omitzero"`
	Instances    []Instance `json:"instances"`
	// Suspended processes of the group, by Auto Scaling's names (Launch, Terminate, …).
	Suspended []string `json:"suspended,omitempty"`
	// LastFailure says why instances of this group do not become healthy; nil when they do.
	LastFailure *InstanceFailure `json:"lastFailure,omitempty"`
	// Failures counts instances that ended or were given up before they ever served.
	Failures int `json:"failures,omitempty"`
	// Crashes counts instances that ended on their own, or were found unhealthy, after they had served.
	Crashes int `json:"crashes,omitempty"`
	// Ended are the last instances that ended, newest first, each with its failure when it had one.
	Ended []Instance `json:"ended,omitempty"`
	// Destroying is set from Destroy until the last instance is gone and the group with it.
	Destroying bool `json:"destroying,omitempty"`
	// Unenforced names the limits of the spec that this system cannot hold the instances to, with the reason.
	Unenforced []string `json:"unenforced,omitempty"`
}

// Enabled says whether the group takes traffic.
func (g ServerGroup) Enabled() bool { return g.Weight > 0 }

// Serving counts the instances that are in service and healthy.
func (g ServerGroup) Serving() int {
	n := 0
	for _, i := range g.Instances {
		if i.Serving() {
			n++
		}
	}
	return n
}

// Lifecycle is an instance's state, by Auto Scaling's names.
type Lifecycle string

const (
	Pending         Lifecycle = "Pending"
	PendingWait     Lifecycle = "Pending:Wait" // in its launch hook
	InService       Lifecycle = "InService"
	Terminating     Lifecycle = "Terminating"
	TerminatingWait Lifecycle = "Terminating:Wait" // in its terminate hook
	Terminated      Lifecycle = "Terminated"
	InStandby       Lifecycle = "Standby"
)

// Instance is one running copy of a version.
type Instance struct {
	ID           string           `json:"id"`
	ServerGroup  string           `json:"serverGroup"`
	Version      string           `json:"version"`
	Region       string           `json:"region"`
	Zone         string           `json:"zone"`
	Address      string           `json:"address"` // host:port
	PID          int              `json:"pid,omitempty"`
	Lifecycle    Lifecycle        `json:"lifecycle"`
	Hook         *HookState       `json:"hook,omitempty"` // while it is in Pending:Wait or Terminating:Wait
	Healthy      bool             `json:"healthy"`
	Protected    bool             `json:"protected,omitempty"`
	Launched     time.Time        `json:"launched"`
	ServingSince time.Time        `json:"servingSince,omitzero"`
	Ended        time.Time        `json:"ended,omitzero"`
	Why          string           `json:"why,omitempty"`   // it is ended, or was, where that was decided and not its own doing
	CPU          float64          `json:"cpu"`             // cores used, over the last interval
	Memory       int64            `json:"memory"`          // resident bytes
	Probe        string           `json:"probe,omitempty"` // the last check's answer, while it does not pass its checks
	Failure      *InstanceFailure `json:"failure,omitempty"`
}

// Serving says whether the load balancer may send it requests.
func (i Instance) Serving() bool { return i.Lifecycle == InService && i.Healthy }

// HookState is a lifecycle hook under way.
type HookState struct {
	Name      string    `json:"name"`               // launch or terminate
	Wait      bool      `json:"wait,omitempty"`     // it waits for an answer from outside
	Since     time.Time `json:"since"`              // it began
	Until     time.Time `json:"until"`              // it has failed then; a heartbeat makes that later
	Heartbeat time.Time `json:"heartbeat,omitzero"` // the last
}

// HookAnswer is what can be said to an instance whose hook waits for it.
type HookAnswer string

const (
	HookContinue  HookAnswer = "continue"  // it serves, or ends
	HookAbandon   HookAnswer = "abandon"   // it ends, and has failed
	HookHeartbeat HookAnswer = "heartbeat" // it goes on waiting: its timeout begins anew
)

// InstanceFailure is the evidence of an instance's end or ill health.
type InstanceFailure struct {
	Code     string    `json:"code"` // EXITED, NEVER_HEALTHY, UNHEALTHY, START_FAILED, OVER_LIMIT, STOP_TIMEOUT
	Cause    string    `json:"cause"`
	ExitCode *int      `json:"exitCode,omitempty"`
	Signal   string    `json:"signal,omitempty"`
	Probe    string    `json:"probe,omitempty"` // the last probe's answer
	LastLog  []string  `json:"lastLog,omitempty"`
	At       time.Time `json:"at"`
}

// Guard is the traffic guard: a change that would leave the cluster with fewer
// serving instances (in service, healthy, in an enabled group) than MinServing in
// that region is refused with precondition, checked against fresh state inside
// the call that changes it. Zero guards nothing but the last serving instance
// when LastOne is set.
type Guard struct {
	MinServing int  `json:"minServing"`
	LastOne    bool `json:"lastOne,omitempty"` // never below one while any serves
	// Idle refuses the change when it would take any serving instance away. It is for
	// cleaning up: what was without traffic when that was planned may serve again.
	Idle bool `json:"idle,omitempty"`
}

// Changes says what has changed in a region.
type Changes struct {
	Revision uint64   `json:"revision"`           // now; what to wait from next
	Clusters []string `json:"clusters,omitempty"` // changed since the revision asked for
	// All says that any cluster may have changed: the region does not know that revision.
	All bool `json:"all,omitempty"`
}

// Counts are the load balancer's raw counts for one server group, or for one
// instance of it. There is an entry for every group of the cluster, also for one
// that has had no requests.
type Counts struct {
	ServerGroup string `json:"serverGroup"`
	Instance    string `json:"instance,omitempty"`
	// Epoch names the life of these counters: counts of another epoch began anew at 0 and cannot be
	// compared. Nobody guesses what is between the two.
	Epoch string `json:"epoch"`
	// Since is when the epoch began, and Until is up to when requests are counted.
	Since    time.Time    `json:"since,omitzero"`
	Until    time.Time    `json:"until,omitzero"`
	Requests uint64       `json:"requests"`
	Statuses StatusCounts `json:"statuses"`
	Errors   uint64       `json:"errors"`           // answered 5xx, or not at all though the client waited
	Hedged   uint64       `json:"hedged,omitempty"` // of the requests: sent here because another instance took longer than the hedging delay
	// Buckets count requests by latency: Buckets[i] took at most LatencyBounds[i], the last all longer
	// ones. Nil where the cloud measures no latencies.
	Buckets  []uint64 `json:"buckets"`
	InFlight int      `json:"inFlight"`
}

// StatusCounts count requests by the class of their answer's status.
type StatusCounts struct {
	Success  uint64 `json:"2xx"` // and 101
	Redirect uint64 `json:"3xx"`
	Client   uint64 `json:"4xx"`
	Server   uint64 `json:"5xx"`
	None     uint64 `json:"none"` // no answer, or not the whole of it
}

// LatencyBounds are the upper bounds of Counts.Buckets in seconds.
var LatencyBounds = []float64{.0005, .001, .002, .004, .008, .016, .032, .064, .128, .256, .512, 1.024, 2.048, 4.096, 8.192, 16.384}
