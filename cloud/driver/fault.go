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
	// FaultLatency delays each answer by Latency plus a time that is uniform in
	// [-Jitter, Jitter), as the toxic latency of Toxiproxy does.
	FaultLatency FaultKind = "latency"
	// FaultErrors answers requests with Status in place of the instance.
	FaultErrors FaultKind = "errors"
	// FaultAbort breaks requests off, as an instance that closes the connection.
	FaultAbort FaultKind = "abort"
	// FaultZone is the outage of a zone: its instances are killed, and nothing starts
	// there.
	FaultZone FaultKind = "zone-outage"
	// FaultPartition cuts the region's control interface off: nothing can be asked of
	// the region and nothing changed, while it goes on to serve.
	FaultPartition FaultKind = "partition"
)

// FaultKinds are all kinds.
func FaultKinds() []FaultKind {
	return []FaultKind{FaultHang, FaultLatency, FaultErrors, FaultAbort, FaultZone, FaultPartition}
}

// MaxFault is how long a fault may last.
const MaxFault = 24 * time.Hour

// Fault is a fault in one region. The fields that its kind does not use are empty.
type Fault struct {
	ID   string    `json:"id"` // names the fault for its undo
	Kind FaultKind `json:"kind"`
	// Duration is after what time the cloud undoes the fault by itself.
	Duration pipeline.Duration `json:"duration"`
	Cluster  string            `json:"cluster,omitempty"` // of hang, latency, errors and abort
	// Instances of the cluster that are hit; of latency, errors and abort, none is
	// every one, those included that start meanwhile.
	Instances []string          `json:"instances,omitempty"`
	Zone      string            `json:"zone,omitempty"`
	Latency   pipeline.Duration `json:"latency,omitempty"`
	Jitter    pipeline.Duration `json:"jitter,omitempty"`
	Status    int               `json:"status,omitempty"`
	// Percent of the requests that are hit; 0 is all of them.
	Percent float64 `json:"percent,omitempty"`
	// Path is what the path of a request begins with, Header a field that it has, as
	// "Name" or "Name: value"; empty matches every request.
	Path   string `json:"path,omitempty"`
	Header string `json:"header,omitempty"`
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

// CheckFault refuses a fault that no driver can inject. Errors: invalid.
func CheckFault(f Fault) error {
	const op = "cloud.fault"
	bad := func(help, format string, args ...any) error {
		return problem.New(problem.Invalid, op, "a fault "+format, args...).WithHelp("%s", help)
	}
	traffic := slices.Contains([]FaultKind{FaultLatency, FaultErrors, FaultAbort}, f.Kind)
	switch {
	case !slices.Contains(FaultKinds(), f.Kind):
		var names []string
		for _, k := range FaultKinds() {
			names = append(names, string(k))
		}
		return bad("one of "+strings.Join(names, ", "), "of the kind %q is not known", f.Kind)
	case !faultID.MatchString(f.ID):
		return bad("letters, digits, dots, hyphens and underscores", "cannot have the name %q", f.ID)
	case f.Duration <= 0 || f.Duration > pipeline.Duration(MaxFault):
		return bad("give more than 0 and at most 24h", "cannot last %s", f.Duration)
	case (traffic || f.Kind == FaultHang) && f.Cluster == "":
		return bad("name the cluster that is hit", "of the kind %s has no cluster", f.Kind)
	case f.Kind == FaultHang && len(f.Instances) == 0:
		return bad("name the instances that are hit", "of the kind hang has no instance")
	case f.Kind == FaultZone && f.Zone == "":
		return bad("name the zone", "of the kind zone-outage has no zone")
	case f.Kind == FaultLatency && (f.Latency < 0 || f.Jitter < 0 || f.Latency+f.Jitter <= 0 || f.Jitter > f.Latency):
		return bad("give a latency above 0, and a jitter of at most the latency", "cannot delay by %s ± %s", f.Latency, f.Jitter)
	case f.Kind == FaultErrors && (f.Status < 400 || f.Status > 599):
		return bad("give a status from 400 to 599", "cannot answer with the status %d", f.Status)
	case traffic && (f.Percent < 0 || f.Percent > 100):
		return bad("give a percentage from 0 to 100; 0 is every request", "cannot hit %v percent of the requests", f.Percent)
	case traffic && f.Path != "" && !strings.HasPrefix(f.Path, "/"):
		return bad("a path begins with /", "cannot hit the path %q", f.Path)
	case !traffic && (f.Latency != 0 || f.Jitter != 0 || f.Status != 0 || f.Percent != 0 || f.Path != "" || f.Header != ""):
		return bad("leave them out", "of the kind %s does not choose requests", f.Kind)
	}
	return nil
}
