package control

import (
	"context"
	"time"

	"showrunner/cloud"
	"showrunner/cloud/driver"
	"showrunner/pipeline"
	"showrunner/problem"
)

// The kinds of faults that hit the control plane itself, not a region.
const (
	// FaultDatabase refuses every call of this control plane to its database.
	FaultDatabase cloud.FaultKind = "database-away"
	// FaultSlowDisk has each change in this control plane's database take Latency plus a
	// time that is uniform in [-Jitter, Jitter) longer.
	FaultSlowDisk cloud.FaultKind = "slow-disk"
)

// KnownFaults are the kinds of faults that can be asked for.
func KnownFaults() []cloud.FaultKind {
	return append(driver.FaultKinds(), FaultDatabase, FaultSlowDisk)
}

func ofControlPlane(k cloud.FaultKind) bool { return k == FaultDatabase || k == FaultSlowDisk }

// StoreFaults hit the calls of this control plane to its database. They are in memory,
// end by themselves, and end with the process.
type StoreFaults interface {
	// Begin begins a fault, which ends at f.Until whatever becomes of the database.
	Begin(f StoreFault)
	// End ends one; one that is over is success.
	End(id string)
	Has(id string) bool
	// Direct returns a context whose calls no fault hits.
	Direct(ctx context.Context) context.Context
}

// StoreFault is a fault of the database of one control plane.
type StoreFault struct {
	ID              string
	Away            bool
	Latency, Jitter time.Duration
	Until           time.Time
}

// direct returns a context whose reads and changes no fault of the database hits: of
// what ends faults, and says which there are.
func (s *Service) direct(ctx context.Context) context.Context {
	if s.StoreFaults == nil {
		return ctx
	}
	return s.StoreFaults.Direct(ctx)
}

// allowStoreFault makes the checks of a fault of the control plane.
func (s *Service) allowStoreFault(ctx context.Context, r FaultRequest, f *ChaosFault) error {
	bad := func(help, format string, args ...any) error {
		return problem.New(problem.Invalid, opFaultStart, "a fault of the kind "+string(r.Kind)+" "+format, args...).WithHelp("%s", help)
	}
	switch {
	case s.StoreFaults == nil:
		return problem.New(problem.Precondition, opFaultStart, "this control plane cannot have a fault of the kind %s", r.Kind)
	case r.Region != "" || r.Cluster != "" || r.Zone != "" || r.Version != "" || len(r.Instance) > 0 || r.Count > 0 || r.Share > 0 || r.All || r.At != "" || r.From != "":
		return bad("leave region, cluster and selection out", "hits the control plane, and no region")
	case r.Percent != 0 || r.Path != "" || r.Header != "" || r.Status != 0 || r.Bandwidth != 0 || r.Cores != 0 || r.Bytes != 0:
		return bad("leave out what other kinds have", "chooses no requests, and uses nothing up")
	case r.DurationSeconds <= 0 || f.Duration > pipeline.Duration(driver.MaxFault):
		return bad("give more than 0 and at most 24h", "cannot last %s", f.Duration)
	case r.Kind == FaultDatabase && (r.LatencyMillis != 0 || r.JitterMillis != 0):
		return bad("slow-disk has a latency", "refuses every call, and delays none")
	case r.Kind == FaultSlowDisk && (f.Latency <= 0 || f.Jitter < 0 || f.Jitter > f.Latency || f.Latency > pipeline.Duration(time.Minute)):
		return bad("give a latency above 0 and at most 1m, and a jitter of at most the latency", "cannot delay by %s ± %s", f.Latency, f.Jitter)
	}
	return s.mayBegin(ctx, "")
}

// beginInStore has a fault of the control plane take effect.
func (s *Service) beginInStore(f ChaosFault) {
	s.StoreFaults.Begin(StoreFault{ID: f.ID, Away: f.Kind == FaultDatabase, Latency: time.Duration(f.Latency), Jitter: time.Duration(f.Jitter), Until: f.Until})
}

// undoInStore ends a fault of a control plane. Another one's is ended by that one, when
// it next looks; one that is gone took its fault along. Errors: unavailable.
func (s *Service) undoInStore(ctx context.Context, f ChaosFault) error {
	if s.StoreFaults != nil && s.StoreFaults.Has(f.ID) {
		s.StoreFaults.End(f.ID)
		return nil
	}
	if s.Replicas == nil || f.Owner == "" || f.Owner == s.Replicas.Owner() || !f.Until.After(s.Now()) {
		return nil
	}
	lives, err := s.Replicas.Lives(ctx, f.Owner)
	if err != nil || !lives {
		return err
	}
	if err := s.changeFault(ctx, f.ID, func(kept *ChaosFault) bool {
		changed := kept.Open() && !kept.Asked
		kept.Asked = true
		return changed
	}); err != nil {
		return err
	}
	return problem.New(problem.Unavailable, opFaultUndo, "fault %s hits another control plane, which ends it within seconds", f.ID)
}

// storeFaultLook is how often a control plane whose database is hit looks whether it is
// to end that.
const storeFaultLook = time.Second

func texts(kinds []cloud.FaultKind) []string {
	list := make([]string, len(kinds))
	for i, k := range kinds {
		list[i] = string(k)
	}
	return list
}
