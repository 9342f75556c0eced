package driver

import (
	"time"

	"showrunner/pipeline"
)

// Region is an independent failure domain.
type Region struct {
	Name      string    `json:"name"`
	Zones     []string  `json:"zones"`
	Healthy   bool      `json:"healthy"`
	Since     time.Time `json:"since"`             // when Healthy took its present value
	Address   string    `json:"address,omitempty"` // address of its load balancer, host:port
	S3        string    `json:"s3,omitempty"`      // endpoint URL of its object storage
	Processes int       `json:"processes,omitempty"`
	DownZones []string  `json:"downZones,omitempty"` // zones in outage: nothing runs or starts there
}

// ServerGroupSpec is the immutable part of a server group.
type ServerGroupSpec struct {
	Application string                   `json:"application"` // application of the cluster; when it is empty, cloud.Account fills in the first part of the cluster's name
	Cluster     string                   `json:"cluster"`     // app[-stack[-detail]]
	Version     string                   `json:"version"`     // this version's name for people: a commit, a tag
	Workload    Workload                 `json:"workload"`
	Env         map[string]EnvValue      `json:"env,omitempty"` // values are never logged or listed
	Health      pipeline.Health          `json:"health"`
	Liveness    *pipeline.Health         `json:"liveness,omitempty"`
	Capacity    pipeline.Capacity        `json:"capacity"` // initial capacity
	Drain       time.Duration            `json:"drain"`
	StopTimeout time.Duration            `json:"stopTimeout"`
	Limits      *pipeline.Limits         `json:"limits,omitempty"`
	Sticky      bool                     `json:"sticky,omitempty"`
	Traffic     *pipeline.Traffic        `json:"traffic,omitempty"`
	Hooks       *pipeline.LifecycleHooks `json:"hooks,omitempty"`
	Maintenance *pipeline.Maintenance    `json:"maintenance,omitempty"`
	Scaling     []pipeline.ScalingPolicy `json:"scaling,omitempty"`
	// Metrics is where the control plane asks the instances for what they measure.
	Metrics *pipeline.MetricsEndpoint `json:"metrics,omitempty"`
	// Zones are the region's zones for launches; none named means all.
	Zones []string `json:"zones,omitempty"`
	// Instance is the identifier that the group's only instance has, as long as no other instance
	// has it; empty: the cloud chooses. The greatest capacity is then one.
	Instance string `json:"instance,omitempty"`
	// Once has each place of the group be launched a single time: an instance that has
	// ended, for whatever reason, is not replaced, and a greater capacity launches no
	// more than what is added.
	Once      bool   `json:"once,omitempty"`
	Execution string `json:"execution,omitempty"` // the execution that created it
	// Role says what the group is for; empty is a version that serves.
	Role Role `json:"role,omitempty"`
	// CopyOf names a group of the same cluster whose present specification the new group
	// gets, with the values of its environment (CopySpec); Facts.Copies says whether a
	// cloud can do that.
	CopyOf string `json:"copyOf,omitempty"`
	// Weight is the share of traffic once healthy; 0 creates the group disabled.
	Weight float64 `json:"weight"`
	// Fingerprint identifies the version: two specifications with the same
	// fingerprint run the same workload in the same way (Fingerprint). Callers
	// leave it empty; cloud.Account computes it, and a driver stores and returns
	// it. Empty for groups that were created before there were fingerprints.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// Role says what a server group is for.
type Role string

// RoleBaseline is the role of a group of the version in traffic that is launched beside
// a canary, to be compared with it. It is no version to return to.
const RoleBaseline Role = "baseline"

// ServerGroup is one version of a cluster in one region, as observed.
type ServerGroup struct {
	Name     string            `json:"name"` // app-stack-detail-vNNN
	Region   string            `json:"region"`
	Spec     ServerGroupSpec   `json:"spec"`
	Capacity pipeline.Capacity `json:"capacity"` // present capacity
	Weight   float64           `json:"weight"`   // share of the cluster's traffic relative to the other groups; 0: disabled
	Created  time.Time         `json:"created"`
	// TrafficUntil is when the group's weight last became 0; zero while it has
	// traffic, and when it never had any.
	TrafficUntil time.Time  `json:"trafficUntil,omitzero"`
	Instances    []Instance `json:"instances"`
	// Suspended processes of the group, by the names of Auto Scaling (Launch,
	// Terminate, …).
	Suspended []string `json:"suspended,omitempty"`
	// LastFailure says why instances of this group do not become healthy; nil
	// when they do.
	LastFailure *InstanceFailure `json:"lastFailure,omitempty"`
	// Failures counts instances that ended or were given up before they ever
	// served.
	Failures int `json:"failures,omitempty"`
	// Crashes counts instances that ended on their own, or became unhealthy,
	// after they had served.
	Crashes int `json:"crashes,omitempty"`
	// Ended are the instances that ended most recently, newest first, each with
	// its failure if it had one.
	Ended []Instance `json:"ended,omitempty"`
	// Scaled is the last change of the capacity that a scaling policy made; nil when none has
	// since the region began.
	Scaled *ScalingChange `json:"scaled,omitempty"`
	// Destroying is set from Destroy until the last instance is gone, and the
	// group with it.
	Destroying bool `json:"destroying,omitempty"`
	// Unenforced names the limits of the spec that this system cannot enforce,
	// with the reason.
	Unenforced []string `json:"unenforced,omitempty"`
}

// ScalingChange is a change of a group's capacity by a policy.
type ScalingChange struct {
	Policy string    `json:"policy"`
	Why    string    `json:"why"`
	From   int       `json:"from"`
	To     int       `json:"to"`
	At     time.Time `json:"at"`
}

// Enabled says whether the group takes traffic.
func (g ServerGroup) Enabled() bool { return g.Weight > 0 }

// IsBaseline says whether the group only exists to be compared with a canary.
func (g ServerGroup) IsBaseline() bool { return g.Spec.Role == RoleBaseline }

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

// Lifecycle is an instance's state, by the names of Auto Scaling.
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
	Hook         *HookState       `json:"hook,omitempty"` // set in Pending:Wait and Terminating:Wait
	Healthy      bool             `json:"healthy"`
	Protected    bool             `json:"protected,omitempty"`
	Launched     time.Time        `json:"launched"`
	ServingSince time.Time        `json:"servingSince,omitzero"`
	Ended        time.Time        `json:"ended,omitzero"`
	Why          string           `json:"why,omitempty"`   // why it was ended; empty when it ended on its own
	CPU          float64          `json:"cpu"`             // cores used during the last interval
	Memory       int64            `json:"memory"`          // resident bytes
	Probe        string           `json:"probe,omitempty"` // answer to the last health check, while the instance fails its checks
	Failure      *InstanceFailure `json:"failure,omitempty"`
}

// Serving says whether the load balancer may send it requests.
func (i Instance) Serving() bool { return i.Lifecycle == InService && i.Healthy }

// HookState is a running lifecycle hook.
type HookState struct {
	Name      string    `json:"name"`               // launch or terminate
	Wait      bool      `json:"wait,omitempty"`     // whether it waits for an answer from outside
	Since     time.Time `json:"since"`              // when it began
	Until     time.Time `json:"until"`              // when it fails; a heartbeat makes that later
	Heartbeat time.Time `json:"heartbeat,omitzero"` // time of the last heartbeat
}

// HookAnswer is an answer to a hook that waits.
type HookAnswer string

const (
	HookContinue  HookAnswer = "continue"  // the instance serves, or ends
	HookAbandon   HookAnswer = "abandon"   // the instance ends, and has failed
	HookHeartbeat HookAnswer = "heartbeat" // the hook keeps waiting: its timeout begins anew
)

// InstanceFailure is the evidence of an instance's failure.
type InstanceFailure struct {
	Code     string    `json:"code"` // EXITED, NEVER_HEALTHY, UNHEALTHY, START_FAILED, OVER_LIMIT, STOP_TIMEOUT
	Cause    string    `json:"cause"`
	ExitCode *int      `json:"exitCode,omitempty"`
	Signal   string    `json:"signal,omitempty"`
	Probe    string    `json:"probe,omitempty"` // answer to the last health check
	LastLog  []string  `json:"lastLog,omitempty"`
	At       time.Time `json:"at"`
}

// Guard is the traffic guard. It refuses, with precondition, a change that would
// leave the cluster fewer serving instances (in service, healthy, in an enabled
// group) in the region than MinServing. It is checked against fresh state inside
// the call that makes the change. The zero Guard refuses nothing.
type Guard struct {
	MinServing int  `json:"minServing"`
	LastOne    bool `json:"lastOne,omitempty"` // never to zero while any instance serves
	// Idle refuses the change when it would remove any serving instance. It is
	// for clean-ups: a group that had no traffic when the clean-up was planned
	// may serve again.
	Idle bool `json:"idle,omitempty"`
}

// Changes lists the changes in a region.
type Changes struct {
	Revision uint64   `json:"revision"`           // present revision, to wait from next
	Clusters []string `json:"clusters,omitempty"` // clusters that changed since the given revision
	// All says that any cluster may have changed: the region does not know the
	// given revision.
	All bool `json:"all,omitempty"`
}

// Counts are the load balancer's raw counts for one server group, or for one
// instance of it. Every group of the cluster has an entry, even without requests.
type Counts struct {
	ServerGroup string `json:"serverGroup"`
	Instance    string `json:"instance,omitempty"`
	// Epoch identifies the counters since their last reset. Counts of different
	// epochs cannot be compared: the later ones began again at 0, and the
	// requests in between are unknown.
	Epoch string `json:"epoch"`
	// Since is when the epoch began; Until is the time up to which requests are
	// counted.
	Since    time.Time    `json:"since,omitzero"`
	Until    time.Time    `json:"until,omitzero"`
	Requests uint64       `json:"requests"`
	Statuses StatusCounts `json:"statuses"`
	Errors   uint64       `json:"errors"`            // answered 5xx, or not answered although the client waited
	Hedged   uint64       `json:"hedged,omitempty"`  // part of Requests: sent here because another instance took longer than the hedging delay
	Retried  uint64       `json:"retried,omitempty"` // part of Requests: sent here because another instance had failed
	// Buckets count requests by latency: Buckets[i] took at most
	// LatencyBounds[i], and the last one counts all longer ones. Nil where the
	// cloud measures no latencies.
	Buckets  []uint64 `json:"buckets"`
	InFlight int      `json:"inFlight"`
}

// StatusCounts count requests by the class of their answer's status.
type StatusCounts struct {
	Success  uint64 `json:"2xx"` // also 101
	Redirect uint64 `json:"3xx"`
	Client   uint64 `json:"4xx"`
	Server   uint64 `json:"5xx"`
	None     uint64 `json:"none"` // no answer, or an incomplete one
}

// LatencyBounds are the upper bounds of Counts.Buckets in seconds.
var LatencyBounds = []float64{.0005, .001, .002, .004, .008, .016, .032, .064, .128, .256, .512, 1.024, 2.048, 4.096, 8.192, 16.384}
