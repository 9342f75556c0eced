package fleet

import (
	"context"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/balancer"
	"showrunner/cloud/localcloud/injection"
	"showrunner/cloud/localcloud/internal/caller"
	"showrunner/problem"
)

// Inject implements driver.FaultInjector. The fault is recorded before it begins.
// When its time is over the loop undoes it; a region process that starts undoes
// every fault that it finds recorded: hung instances died with the earlier process.
func (f *Fleet) Inject(_ context.Context, region string, fault driver.Fault, key string) error {
	const op = "fleet.inject"
	if err := driver.CheckFault(fault); err != nil {
		return err
	}
	_, err := f.mutate(op, region, key, fault, func(next *document) (func(), *madeOnce, error) {
		if _, taken := next.Faults[fault.ID]; taken {
			return nil, nil, problem.New(problem.Conflict, op, "a fault %s is under way already", fault.ID).WithHelp("undo it first, or choose another name")
		}
		if err := f.checkFault(op, next, fault); err != nil {
			return nil, nil, err
		}
		now := f.config.Now()
		next.Faults = maps.Clone(next.Faults)
		if next.Faults == nil {
			next.Faults = map[string]driver.ActiveFault{}
		}
		next.Faults[fault.ID] = driver.ActiveFault{Fault: fault, Began: now, Until: now.Add(time.Duration(fault.Duration))}
		if fault.Kind == driver.FaultZone {
			next.DownZones[fault.Zone] = now
		}
		return func() { f.beginFault(fault) }, nil, nil
	})
	return err
}

// checkFault refuses a fault whose target is not there.
func (f *Fleet) checkFault(op string, next *document, fault driver.Fault) error {
	if fault.Kind == driver.FaultZone {
		if !slices.Contains(f.config.Zones, fault.Zone) {
			return problem.New(problem.NotFound, op, "there is no zone %s in %s", fault.Zone, f.config.Region).WithHelp("the zones are %s", strings.Join(f.config.Zones, ", "))
		}
		if _, down := next.DownZones[fault.Zone]; down {
			return problem.New(problem.Precondition, op, "zone %s is down already", fault.Zone)
		}
		return nil
	}
	if fault.Kind == driver.FaultRegion {
		return problem.New(problem.Precondition, op, "region %s cannot take itself down: nothing would start it again", f.config.Region).WithHelp("regions that showrunner up supervises are taken down by it")
	}
	if fault.Cluster != "" && !f.clusters()[fault.Cluster] {
		return problem.New(problem.NotFound, op, "there is no cluster %s in %s", fault.Cluster, f.config.Region)
	}
	if fault.From != "" && !caller.Supported {
		return problem.New(problem.Precondition, op, "this system does not tell which instance opened a connection, so calls of %s cannot be told apart", fault.From).
			WithHelp("choose the requests by a header that the service sends, without its name")
	}
	for _, id := range fault.Instances {
		i := f.instances[id]
		switch {
		case i == nil || !i.running || i.group.cluster != fault.Cluster:
			return problem.New(problem.NotFound, op, "cluster %s has no running instance %s in %s", fault.Cluster, id, f.config.Region)
		case fault.Kind.OfInstances() && i.process == nil:
			return problem.New(problem.Precondition, op, "instance %s has no process now, so a fault of the kind %s cannot hit it", id, fault.Kind)
		case fault.Kind == driver.FaultRestart && i.restart != nil:
			return problem.New(problem.Precondition, op, "instance %s restarts already, by fault %s", id, i.restart.fault)
		}
	}
	return f.checkStress(op, fault)
}

// beginFault has a recorded fault take effect. The fleet is locked.
func (f *Fleet) beginFault(fault driver.Fault) {
	switch fault.Kind {
	case driver.FaultHang:
		f.signal(fault.Instances, syscall.SIGSTOP)
	case driver.FaultRestart:
		f.beginRestart(fault)
	case driver.FaultZone:
		f.killZone(fault.Zone)
	}
	f.beginStress(fault)
	f.pushFaults()
}

// endFault takes the effect of a fault back that is not recorded any more. The
// fleet is locked.
func (f *Fleet) endFault(fault driver.Fault) {
	f.endStress(fault.ID)
	f.endRestart(fault.ID)
	if fault.Kind == driver.FaultHang {
		var still []string // hung by another fault
		for _, other := range f.doc.Faults {
			if other.Kind == driver.FaultHang {
				still = append(still, other.Instances...)
			}
		}
		f.signal(slices.DeleteFunc(slices.Clone(fault.Instances), func(id string) bool { return slices.Contains(still, id) }), syscall.SIGCONT)
	}
	f.pushFaults()
}

func (f *Fleet) signal(instances []string, s syscall.Signal) {
	for _, id := range instances {
		if i := f.instances[id]; i != nil && i.process != nil {
			i.process.Signal(s)
		}
	}
}

// pushFaults hands the faults of requests to the load balancer.
func (f *Fleet) pushFaults() {
	list := []balancer.Fault{}
	for _, id := range slices.Sorted(maps.Keys(f.doc.Faults)) {
		if a := f.doc.Faults[id]; a.Kind.OfRequests() && a.At != driver.FaultAtEdge {
			list = append(list, balancer.Fault{Fault: injected(a.Fault), Ahead: a.At == driver.FaultAtBalancer})
		}
	}
	f.config.Balancer.SetFaults(list)
}

// injected is what a fault does to the requests that it hits.
func injected(f driver.Fault) injection.Fault {
	b := injection.Fault{ID: f.ID, Cluster: f.Cluster, Instances: f.Instances, From: f.From, Percent: f.Percent, Path: f.Path, Header: f.Header}
	switch f.Kind {
	case driver.FaultLatency:
		b.Latency, b.Jitter = time.Duration(f.Latency), time.Duration(f.Jitter)
	case driver.FaultErrors:
		b.Status = f.Status
	case driver.FaultAbort:
		b.Abort = true
	case driver.FaultBlackhole:
		b.Blackhole = true
	case driver.FaultBandwidth:
		b.Bandwidth = f.Bandwidth
	case driver.FaultSlowClose:
		b.SlowClose = time.Duration(f.Latency)
	}
	return b
}

// EdgeFaults are the faults between the edge and the region; callers says whether the
// load balancer has to know from where the requests come that the edge sends.
func (f *Fleet) EdgeFaults() (list []injection.Fault, callers bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(f.doc.Faults)) {
		a := f.doc.Faults[id]
		if a.At == driver.FaultAtEdge {
			list = append(list, injected(a.Fault))
		}
		callers = callers || a.From != ""
	}
	return list, callers
}

// blackholed says whether nothing reaches an instance. The fleet is locked.
func (f *Fleet) blackholed(cluster, id string) bool {
	for _, a := range f.doc.Faults {
		everything := a.Percent == 0 && a.Path == "" && a.Header == ""
		if a.Kind == driver.FaultBlackhole && (a.At == "" || a.At == driver.FaultAtInstance) && a.Cluster == cluster && everything && (len(a.Instances) == 0 || slices.Contains(a.Instances, id)) {
			return true
		}
	}
	return false
}

// withoutFault removes a fault from a document that is a copy.
func (d *document) withoutFault(fault driver.Fault) {
	d.Faults = maps.Clone(d.Faults)
	delete(d.Faults, fault.ID)
	if fault.Kind == driver.FaultZone {
		delete(d.DownZones, fault.Zone)
	}
}

// Undo implements driver.FaultInjector.
func (f *Fleet) Undo(_ context.Context, region, fault, key string) error {
	_, err := f.mutate("fleet.undo", region, key, fault, func(next *document) (func(), *madeOnce, error) {
		had, ok := next.Faults[fault]
		if !ok {
			return nil, nil, nil
		}
		next.withoutFault(had.Fault)
		return func() { f.endFault(had.Fault) }, nil, nil
	})
	return err
}

// ActiveFaults implements driver.FaultInjector.
func (f *Fleet) ActiveFaults(_ context.Context, region string) ([]driver.ActiveFault, error) {
	if err := f.checkRegion("fleet.faults", region); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	list := []driver.ActiveFault{}
	for _, id := range slices.Sorted(maps.Keys(f.doc.Faults)) {
		list = append(list, f.doc.Faults[id])
	}
	return list, nil
}

// Partitioned tells whether a fault cuts the control interface off.
func (f *Fleet) Partitioned() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.doc.Faults {
		if a.Kind == driver.FaultPartition {
			return true
		}
	}
	return false
}

// expireFaults undoes the faults whose time is over, and returns when the next one
// is. The fleet is locked.
func (f *Fleet) expireFaults(now time.Time) (next time.Time) {
	var over []driver.Fault
	for _, a := range f.doc.Faults {
		switch {
		case !a.Until.After(now):
			over = append(over, a.Fault)
		case next.IsZero() || a.Until.Before(next):
			next = a.Until
		}
	}
	if len(over) == 0 {
		return next
	}
	doc := f.doc.clone()
	for _, fault := range over {
		doc.withoutFault(fault)
	}
	if err := f.folder.save(doc); err != nil {
		f.config.Log.Error("cannot record the end of a fault; its effect is taken back all the same", "err", err)
	}
	f.doc = doc // also unsaved: a region that starts undoes what it finds
	for _, fault := range over {
		f.endFault(fault)
		f.config.Log.Info("a fault is over", "fault", fault.ID, "kind", fault.Kind)
	}
	return next
}
