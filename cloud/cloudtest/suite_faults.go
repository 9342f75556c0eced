package cloudtest

import (
	"time"

	"showrunner/cloud/driver"
	"showrunner/pipeline"
	"showrunner/problem"
)

// testFaults: a fault is there until it is undone, once for its key.
func testFaults(s *Suite) {
	d, ok := s.Cloud.(driver.FaultInjector)
	if !ok {
		s.t.Log("this driver injects no faults; callers are told so")
		return
	}
	ctx := s.t.Context()
	g := s.WaitServing(s.Create(s.Spec("app", Serve, 2)).Name, 2)
	fault := driver.Fault{ID: "late", Kind: driver.FaultLatency, Duration: pipeline.Duration(time.Hour), Cluster: "app", Instances: []string{g.Instances[0].ID}, Latency: pipeline.Duration(time.Millisecond), Percent: 50}
	active := func() []driver.ActiveFault {
		s.t.Helper()
		list, err := d.ActiveFaults(ctx, s.Region)
		s.want("listing faults", err, "")
		return list
	}
	key := s.Key()
	s.want("injecting", d.Inject(ctx, s.Region, fault, key), "")
	s.want("the same again", d.Inject(ctx, s.Region, fault, key), "")
	if list := active(); len(list) != 1 || list[0].ID != "late" || list[0].Cluster != "app" || list[0].Until.Sub(list[0].Began) != time.Hour {
		s.t.Errorf("active: %+v", list)
	}
	other := fault
	other.ID = "other"
	s.want("another request with the key", d.Inject(ctx, s.Region, other, key), problem.Conflict)
	s.want("without a key", d.Inject(ctx, s.Region, other, ""), problem.Invalid)
	s.want("the same name", d.Inject(ctx, s.Region, fault, s.Key()), problem.Conflict)
	other.Kind = "earthquake"
	s.want("an unknown kind", d.Inject(ctx, s.Region, other, s.Key()), problem.Invalid)
	other = fault
	other.ID, other.Instances = "nobody", []string{"i-00000000000000000"}
	s.want("an unknown instance", d.Inject(ctx, s.Region, other, s.Key()), problem.NotFound)
	undo := s.Key()
	s.want("undoing", d.Undo(ctx, s.Region, "late", undo), "")
	s.want("undoing again", d.Undo(ctx, s.Region, "late", undo), "")
	s.want("undoing what is not there", d.Undo(ctx, s.Region, "late", s.Key()), "")
	if list := active(); len(list) != 0 {
		s.t.Errorf("still active: %+v", list)
	}
	fault.ID, fault.Duration = "short", pipeline.Duration(50*time.Millisecond)
	s.want("injecting a short one", d.Inject(ctx, s.Region, fault, s.Key()), "")
	for len(active()) > 0 {
		select {
		case <-ctx.Done():
			s.t.Fatal("a fault outlives its duration")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
