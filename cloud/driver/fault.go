package driver

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
)

// FaultKind names what a fault does.
type FaultKind string

// The kinds of faults.
const (
	// FaultHang stops instances without ending them: they take connections and answer
	// nothing. Undo: they go on where they were.
	FaultHang FaultKind = "hang"
	// FaultRestart kills the processes of instances, which start again as the same
	// instances when the fault is over: with their identifiers, zones and addresses.
	// Health checks go on meanwhile, and replace an instance that is away for longer
	// than they allow.
	FaultRestart FaultKind = "restart"
	// FaultLatency delays each answer by Latency plus a time that is uniform in
	// [-Jitter, Jitter), as the toxic latency of Toxiproxy does.
	FaultLatency FaultKind = "latency"
	// FaultErrors answers requests with Status in place of the instance.
	FaultErrors FaultKind = "errors"
	// FaultAbort breaks requests off, as an instance that closes the connection.
	FaultAbort FaultKind = "abort"
	// FaultBlackhole has requests not be answered until the fault is over, and then
	// broken off, as the toxic timeout of Toxiproxy with the time 0 does. Health checks
	// of the instances that it hits fail meanwhile.
	FaultBlackhole FaultKind = "blackhole"
	// FaultBandwidth has the bodies of answers come at Bandwidth bytes a second.
	FaultBandwidth FaultKind = "bandwidth"
	// FaultSlowClose has the end of each answer come Latency after the rest of it.
	FaultSlowClose FaultKind = "slow-close"
	// FaultCPU has a program beside each instance use Cores cores.
	FaultCPU FaultKind = "cpu"
	// FaultMemory has a program beside each instance hold Bytes of memory.
	FaultMemory FaultKind = "memory"
	// FaultDisk takes Bytes of the disk in the folder of each instance.
	FaultDisk FaultKind = "disk"
	// FaultZone is the outage of a zone: its instances are killed, and nothing starts
	// there.
	FaultZone FaultKind = "zone-outage"
	// FaultRegion is the outage of a region: its process is killed with everything in
	// it, and nothing starts there. Undo: the process starts again, and restores what it
	// ran.
	FaultRegion FaultKind = "region-outage"
	// FaultPartition cuts the region's control interface off: nothing can be asked of
	// the region and nothing changed, while it goes on to serve.
	FaultPartition FaultKind = "partition"
)

// FaultKinds are all kinds.
func FaultKinds() []FaultKind {
	return []FaultKind{FaultHang, FaultRestart, FaultLatency, FaultErrors, FaultAbort, FaultBlackhole, FaultBandwidth, FaultSlowClose, FaultCPU, FaultMemory, FaultDisk, FaultZone, FaultRegion, FaultPartition}
}

// OfRequests says whether a fault of the kind hits requests.
func (k FaultKind) OfRequests() bool {
	return slices.Contains([]FaultKind{FaultLatency, FaultErrors, FaultAbort, FaultBlackhole, FaultBandwidth, FaultSlowClose}, k)
}

// TakesAway says whether a fault of the kind takes the instances that it hits out of
// service, whatever requests they get.
func (k FaultKind) TakesAway() bool {
	return slices.Contains([]FaultKind{FaultHang, FaultRestart, FaultZone}, k)
}

// OfInstances says whether a fault of the kind needs instances that it hits.
func (k FaultKind) OfInstances() bool {
	return slices.Contains([]FaultKind{FaultHang, FaultRestart, FaultCPU, FaultMemory, FaultDisk}, k)
}

// FaultPlace is where on its way a request is hit.
type FaultPlace string

// The places. The empty one is FaultAtInstance.
const (
	// FaultAtInstance is between the load balancer and an instance: the load balancer
	// reacts as it does to instances that behave so.
	FaultAtInstance FaultPlace = "instance"
	// FaultAtBalancer is ahead of the region's load balancer: the caller sees it.
	FaultAtBalancer FaultPlace = "balancer"
	// FaultAtEdge is between the edge and the region: the edge reacts as it does to a
	// region that behaves so.
	FaultAtEdge FaultPlace = "edge"
)

// MaxFault is how long a fault may last.
const MaxFault = 24 * time.Hour

// Fault is a fault in one region. The fields that its kind does not use are empty.
type Fault struct {
	ID   string    `json:"id"` // names the fault for its undo
	Kind FaultKind `json:"kind"`
	// Duration is after what time the cloud undoes the fault by itself.
	Duration pipeline.Duration `json:"duration"`
	Cluster  string            `json:"cluster,omitempty"` // of all kinds but those of a zone or a region
	// At is where requests are hit.
	At FaultPlace `json:"at,omitempty"`
	// From is the service whose requests to the cluster are hit, as a cluster or a server
	// group: at the load balancer.
	From string `json:"from,omitempty"`
	// Instances of the cluster that are hit; of kinds that hit requests, none is every
	// one, those included that start meanwhile.
	Instances []string          `json:"instances,omitempty"`
	Zone      string            `json:"zone,omitempty"`
	Latency   pipeline.Duration `json:"latency,omitempty"`
	Jitter    pipeline.Duration `json:"jitter,omitempty"`
	Status    int               `json:"status,omitempty"`
	// Percent of the requests that are hit; 0 is all of them.
	Percent float64 `json:"percent,omitempty"`
	// Path is what the path of a request begins with, Header a field that it has, as
	// "Name" or "Name: value"; empty matches every request.
	Path      string  `json:"path,omitempty"`
	Header    string  `json:"header,omitempty"`
	Bandwidth int64   `json:"bandwidth,omitempty"` // bytes a second
	Cores     float64 `json:"cores,omitempty"`
	Bytes     int64   `json:"bytes,omitempty"` // of memory or disk, for each instance
}

// ActiveFault is a fault that has been injected and not been undone.
type ActiveFault struct {
	Fault
	Began time.Time `json:"began"`
	Until time.Time `json:"until"`
}

// FaultInjector is the ability to inject faults and to undo them.
type FaultInjector interface {
	// Inject begins a fault, and undoes it after its duration whatever becomes of the
	// caller. When the region restarts it undoes every fault. Errors: invalid,
	// not_found, precondition (this cloud cannot do the fault, which it names).
	Inject(ctx context.Context, region string, f Fault, key string) error
	// Undo ends a fault at once; one that is not there is success.
	Undo(ctx context.Context, region, fault, key string) error
	// ActiveFaults lists the faults that are not undone.
	ActiveFaults(ctx context.Context, region string) ([]ActiveFault, error)
}

var faultID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// Bounds of what a fault may use of the machine, for each instance.
const (
	mostCores = 64
	mostBytes = 1 << 40
)

// CheckFault refuses a fault that no driver can inject. Errors: invalid.
func CheckFault(f Fault) error {
	switch {
	case !slices.Contains(FaultKinds(), f.Kind):
		var names []string
		for _, k := range FaultKinds() {
			names = append(names, string(k))
		}
		return badFault("one of "+strings.Join(names, ", "), "of the kind %q is not known", f.Kind)
	case !faultID.MatchString(f.ID):
		return badFault("letters, digits, dots, hyphens and underscores", "cannot have the name %q", f.ID)
	case f.Duration <= 0 || f.Duration > pipeline.Duration(MaxFault):
		return badFault("give more than 0 and at most 24h", "cannot last %s", f.Duration)
	case (f.Kind.OfRequests() || f.Kind.OfInstances()) && f.Cluster == "":
		return badFault("name the cluster that is hit", "of the kind %s has no cluster", f.Kind)
	case f.Kind.OfInstances() && len(f.Instances) == 0:
		return badFault("name the instances that are hit", "of the kind %s has no instance", f.Kind)
	case f.Kind == FaultZone && f.Zone == "":
		return badFault("name the zone", "of the kind zone-outage has no zone")
	case (f.Kind == FaultZone || f.Kind == FaultRegion || f.Kind == FaultPartition) && (f.Cluster != "" || len(f.Instances) > 0):
		return badFault("leave the cluster and the instances out", "of the kind %s hits everything that is there", f.Kind)
	case f.Kind == FaultCPU && !(f.Cores > 0 && f.Cores <= mostCores):
		return badFault("give more than 0 and at most 64", "cannot use %v cores", f.Cores)
	case (f.Kind == FaultMemory || f.Kind == FaultDisk) && (f.Bytes <= 0 || f.Bytes > mostBytes):
		return badFault("give more than 0 and at most 1TiB", "cannot take %d bytes", f.Bytes)
	}
	if f.Kind.OfRequests() {
		return checkRequestFault(f)
	}
	if f.Latency != 0 || f.Jitter != 0 || f.Status != 0 || f.Percent != 0 || f.Path != "" || f.Header != "" || f.At != "" || f.From != "" || f.Bandwidth != 0 {
		return badFault("leave them out", "of the kind %s does not choose requests", f.Kind)
	}
	return nil
}

// checkRequestFault refuses a fault of requests that no driver can inject.
func checkRequestFault(f Fault) error {
	switch {
	case f.Kind == FaultLatency && (f.Latency < 0 || f.Jitter < 0 || f.Latency+f.Jitter <= 0 || f.Jitter > f.Latency):
		return badFault("give a latency above 0, and a jitter of at most the latency", "cannot delay by %s ± %s", f.Latency, f.Jitter)
	case f.Kind == FaultSlowClose && f.Latency <= 0:
		return badFault("give a latency above 0", "cannot delay the end of answers by %s", f.Latency)
	case f.Kind == FaultErrors && (f.Status < 400 || f.Status > 599):
		return badFault("give a status from 400 to 599", "cannot answer with the status %d", f.Status)
	case f.Kind == FaultBandwidth && f.Bandwidth <= 0:
		return badFault("give more than 0; a blackhole answers nothing", "cannot have answers come at %d bytes a second", f.Bandwidth)
	case !(f.Percent >= 0 && f.Percent <= 100):
		return badFault("give a percentage from 0 to 100; 0 is every request", "cannot hit %v percent of the requests", f.Percent)
	case f.Path != "" && !strings.HasPrefix(f.Path, "/"):
		return badFault("a path begins with /", "cannot hit the path %q", f.Path)
	case f.At != "" && f.At != FaultAtInstance && f.At != FaultAtBalancer && f.At != FaultAtEdge:
		return badFault("one of instance, balancer, edge", "cannot hit requests at %q", f.At)
	case f.From != "" && f.At != FaultAtBalancer:
		return badFault("it is the load balancer that finds out who calls: hit them there", "cannot hit the requests of %s at %q", f.From, f.At)
	case len(f.Instances) > 0 && (f.At == FaultAtBalancer || f.At == FaultAtEdge):
		return badFault("leave the instances out, or hit requests at the instances", "at the %s comes before an instance is chosen", f.At)
	}
	return nil
}

func badFault(help, format string, args ...any) error {
	return problem.New(problem.Invalid, "cloud.fault", "a fault "+format, args...).WithHelp("%s", help)
}
