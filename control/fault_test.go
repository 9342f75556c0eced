package control

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/cloud/cloudtest/memcloud"
	"showrunner/cloud/driver"
	"showrunner/pipeline"
	"showrunner/problem"
)

// active are the names of the faults that the region has.
func (st *monkeyStage) active() (names []string) {
	st.t.Helper()
	list, err := st.cloud.ActiveFaults(st.t.Context(), "a")
	if err != nil {
		st.t.Fatal(err)
	}
	for _, f := range list {
		names = append(names, f.ID)
	}
	return names
}

// hang asks for a fault that hits one of the instances.
var hang = FaultRequest{Kind: "hang", Region: "a", Cluster: "shop-web", DurationSeconds: 60}

// TestFaultIsUndone: by hand, by the lever, because its time is over, because the
// control plane that began it is gone, and because its region has dropped it.
func TestFaultIsUndone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		end    func(*monkeyStage, *Service, ChaosFault) error
		reason string
	}{
		"by hand": {func(st *monkeyStage, s *Service, f ChaosFault) error {
			_, err := s.UndoFault(st.t.Context(), ada, f.ID)
			return err
		}, "undone by ada"},
		"by the lever": {func(st *monkeyStage, s *Service, f ChaosFault) error {
			_, err := s.StopChaos(st.t.Context(), ada, "incident 7")
			return err
		}, "all chaos is stopped: incident 7"},
		"its time is over": {func(st *monkeyStage, s *Service, f ChaosFault) error {
			st.set(f.Until)
			_, err := s.monkeyTurn(st.t.Context())
			return err
		}, "its time was over"},
		"its control plane is gone": {func(st *monkeyStage, _ *Service, f ChaosFault) error {
			_, err := st.plane("two", "one").monkeyTurn(st.t.Context())
			return err
		}, "the control plane that began it is gone"},
		"its region restarted": {func(st *monkeyStage, s *Service, f ChaosFault) error {
			if err := st.cloud.Undo(st.t.Context(), "a", f.ID, "restart"); err != nil {
				return err
			}
			_, err := s.monkeyTurn(st.t.Context())
			return err
		}, "it restarted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := newMonkeyStage(t, 3, "")
			s := st.plane("one")
			f, err := s.StartFault(t.Context(), ada, hang, "k1")
			if err != nil || f.State != FaultActive || len(f.Instances) != 1 || !slices.Equal(st.active(), []string{f.ID}) {
				t.Fatalf("%+v, %v, active %v", f, err, st.active())
			}
			if again, err := s.StartFault(t.Context(), ada, hang, "k1"); err != nil || again.ID != f.ID || len(st.active()) != 1 {
				t.Errorf("the same request: %+v, %v", again, err)
			}
			if _, err := st.plane("other").monkeyTurn(t.Context()); err != nil || len(st.active()) != 1 {
				t.Errorf("another control plane undid it: %v", err)
			}
			if err := tt.end(st, s, f); err != nil {
				t.Fatal(err)
			}
			list, err := s.Faults(t.Context(), ada)
			if err != nil || len(list) != 1 || list[0].State != FaultUndone || !strings.Contains(list[0].Reason, tt.reason) || len(st.active()) != 0 {
				t.Errorf("%+v, %v, active %v", list, err, st.active())
			}
			if got := st.events("chaos.fault"); !slices.Equal(got, []string{"chaos.fault-begun", "chaos.fault-active", "chaos.fault-undone"}) {
				t.Errorf("events %v", got)
			}
		})
	}
}

// TestCrashAtEveryWriteOfAFault ends the control plane at each write: another one
// leaves no fault in the region, and no open record.
func TestCrashAtEveryWriteOfAFault(t *testing.T) {
	t.Parallel()
	crash := errors.New("crashed")
	for n := 1; ; n++ {
		st := newMonkeyStage(t, 3, "")
		writes, died := 0, false
		st.records.Fail = func(op, _, _ string) error {
			if op == "put" || op == "append" {
				writes++
			}
			if died = died || writes == n; died {
				return crash
			}
			return nil
		}
		_, _ = st.plane("one").StartFault(t.Context(), ada, hang, "k") // it dies in the middle
		st.records.Fail = nil
		two := st.plane("two", "one")
		if _, err := two.monkeyTurn(t.Context()); err != nil {
			t.Fatalf("crash at write %d: %v", n, err)
		}
		list, err := two.Faults(t.Context(), ada)
		if err != nil || len(st.active()) != 0 || slices.ContainsFunc(list, ChaosFault.Open) {
			t.Errorf("crash at write %d: active %v, %+v, %v", n, st.active(), list, err)
		}
		if !died {
			if n < 4 {
				t.Fatalf("only %d writes", n-1)
			}
			return
		}
	}
}

// TestFaultsAreRefused: a check that does not allow a fault names itself, and nothing
// begins.
func TestFaultsAreRefused(t *testing.T) {
	t.Parallel()
	with := func(change func(*FaultRequest)) FaultRequest {
		r := hang
		change(&r)
		return r
	}
	for name, tt := range map[string]struct {
		desired int
		r       FaultRequest
		before  func(*Service) error
		code    problem.Code
		says    string
	}{
		"the last one":       {1, with(func(r *FaultRequest) { r.Forced = true }), nil, problem.Precondition, "no serving instance left"},
		"all of them":        {3, with(func(r *FaultRequest) { r.All, r.Forced = true, true }), nil, problem.Precondition, "no serving instance left"},
		"unknown kind":       {3, with(func(r *FaultRequest) { r.Kind = "earthquake" }), nil, problem.Invalid, "earthquake"},
		"unknown cluster":    {3, with(func(r *FaultRequest) { r.Cluster = "shop-wb" }), nil, problem.NotFound, "shop-wb"},
		"unknown region":     {3, with(func(r *FaultRequest) { r.Region = "mars" }), nil, problem.NotFound, "mars"},
		"unknown instance":   {3, with(func(r *FaultRequest) { r.Instance = []string{"i-none"} }), nil, problem.Precondition, "no instance of cluster shop-web"},
		"no duration":        {3, with(func(r *FaultRequest) { r.DurationSeconds = 0 }), nil, problem.Invalid, "cannot last 0s"},
		"latency of nothing": {3, FaultRequest{Kind: "latency", Region: "a", Cluster: "shop-web", DurationSeconds: 1}, nil, problem.Invalid, "cannot delay"},
		"stopped": {3, hang, func(s *Service) error {
			_, err := s.StopChaos(context.Background(), ada, "incident 7")
			return err
		}, problem.Precondition, "incident 7"},
		"frozen": {3, hang, func(s *Service) error {
			_, err := s.PutFreeze(context.Background(), ada, Freeze{Name: "peak", Reason: "peak week"}, false)
			return err
		}, problem.Precondition, "peak week"},
		"alarm": {3, hang, func(s *Service) error { s.Alarms = openAlarms{names: []string{"errors"}}; return nil }, problem.Precondition, "an alarm is open"},
	} {
		st := newMonkeyStage(t, tt.desired, "")
		s := st.plane("one")
		if tt.before != nil {
			if err := tt.before(s); err != nil {
				t.Fatal(err)
			}
		}
		_, err := s.StartFault(t.Context(), ada, tt.r, "k")
		if problem.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.says) || len(st.active()) != 0 {
			t.Errorf("%s: %v, active %v", name, err, st.active())
		}
		if list, err := s.Faults(t.Context(), ada); err != nil || slices.ContainsFunc(list, ChaosFault.Open) {
			t.Errorf("%s left %+v, %v", name, list, err)
		}
	}
	st := newMonkeyStage(t, 3, "")
	if _, err := st.plane("one").StartFault(t.Context(), Principal{Name: "eve"}, hang, "k"); problem.CodeOf(err) != problem.Denied || len(st.active()) != 0 {
		t.Errorf("a stranger: %v", err)
	}
}

// TestFaultSelection: how many of ten instances a request hits.
func TestFaultSelection(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*FaultRequest)
		want   int // 0: every one, those included that start meanwhile
	}{
		"hang hits one":             {func(r *FaultRequest) {}, 1},
		"count":                     {func(r *FaultRequest) { r.Count = 3 }, 3},
		"share is rounded down":     {func(r *FaultRequest) { r.Share = 39 }, 3},
		"share is at least one":     {func(r *FaultRequest) { r.Share = 1 }, 1},
		"latency hits all":          {func(r *FaultRequest) { r.Kind, r.LatencyMillis = "latency", 5 }, 0},
		"latency of some":           {func(r *FaultRequest) { r.Kind, r.LatencyMillis, r.Count = "latency", 5, 4 }, 4},
		"a zone":                    {func(r *FaultRequest) { r.Kind, r.LatencyMillis, r.Zone = "latency", 5, "aa" }, 4},
		"partition hits the region": {func(r *FaultRequest) { r.Kind, r.Cluster = "partition", "" }, 0},
	} {
		st := newMonkeyStage(t, 10, "")
		r := hang
		tt.change(&r)
		f, err := st.plane("one").StartFault(t.Context(), ada, r, "k")
		if err != nil || len(f.Instances) != tt.want {
			t.Errorf("%s: %d instances, want %d, %v", name, len(f.Instances), tt.want, err)
		}
	}
}

// TestExperimentFault: a run's experiment may hit its own server group, or the calls of
// that to another cluster, although a version is compared there; it is not undone when
// the control plane that began it is gone, since the run goes on.
func TestExperimentFault(t *testing.T) {
	t.Parallel()
	st := newMonkeyStage(t, 3, "")
	s := st.plane("one")
	s.Claims = heldBy("run-1")
	g, err := st.cloud.CreateServerGroup(t.Context(), "a", cloud.ServerGroupSpec{Application: "shop", Cluster: "shop-web", Version: "2", Weight: 5, Workload: cloud.Workload{Process: &cloud.Process{Artifact: "sha256:2", Command: []string{"./shop"}}},
		Health: pipeline.Health{Path: "/"}, Capacity: pipeline.Capacity{Min: 1, Desired: 1, Max: 1}}, "second")
	if err != nil {
		t.Fatal(err)
	}
	asked := Principal{Name: "bob", Via: ViaStage}
	f := ExperimentFault{Fault: cloud.Fault{ID: "latency-1", Kind: "latency", Cluster: "shop-web", Latency: pipeline.Duration(time.Second), Duration: pipeline.Duration(time.Minute)}, Region: "a", ServerGroup: g.Name, Execution: "run-1"}
	first, err := s.StartExperimentFault(t.Context(), asked, f)
	if err != nil || len(first.Instances) != 1 || first.ID != "latency-1" {
		t.Fatalf("%+v, %v", first, err)
	}
	if again, err := s.StartExperimentFault(t.Context(), asked, f); err != nil || again.ID != first.ID || len(st.active()) != 1 {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	calls := f
	calls.ID, calls.At = "latency-2", cloud.FaultAtBalancer
	second, err := s.StartExperimentFault(t.Context(), asked, calls)
	if err != nil || len(second.Instances) != 0 || second.From != g.Name {
		t.Errorf("%+v, %v", second, err)
	}
	other := f
	other.ID, other.Execution = "latency-3", "run-2"
	if _, err := s.StartExperimentFault(t.Context(), asked, other); problem.CodeOf(err) != problem.Precondition {
		t.Errorf("a run that does not have the cluster: %v", err)
	}
	if _, err := st.plane("two", "one").monkeyTurn(t.Context()); err != nil || len(st.active()) != 2 {
		t.Errorf("they ended with the control plane: %v, %v", st.active(), err)
	}
	if err := s.EndExperimentFault(t.Context(), asked, "latency-1"); err != nil {
		t.Error(err)
	}
	if err := s.EndExperimentFault(t.Context(), asked, "never-begun"); err != nil {
		t.Error(err)
	}
	if why, err := s.FaultOver(t.Context(), "latency-1"); err != nil || why != "undone by bob" {
		t.Errorf("%q, %v", why, err)
	}
	if why, err := s.FaultOver(t.Context(), "latency-2"); err != nil || why != "" {
		t.Errorf("%q, %v", why, err)
	}
}

// heldBy are claims of one execution on every cluster.
type heldBy string

func (h heldBy) Holder(context.Context, string, string, []string) (string, string, error) {
	return string(h), "a", nil
}

// storeFaultsFake are the faults of one control plane's database.
type storeFaultsFake struct{ has map[string]StoreFault }

func (f storeFaultsFake) Begin(x StoreFault)                         { f.has[x.ID] = x }
func (f storeFaultsFake) End(id string)                              { delete(f.has, id) }
func (f storeFaultsFake) Has(id string) bool                         { _, ok := f.has[id]; return ok }
func (f storeFaultsFake) Direct(ctx context.Context) context.Context { return ctx }

// TestFaultsOfTheControlPlane: they end by hand, by the lever, with their process, and
// where another control plane is asked.
func TestFaultsOfTheControlPlane(t *testing.T) {
	t.Parallel()
	away := FaultRequest{Kind: FaultDatabase, DurationSeconds: 60}
	stage := func() (*monkeyStage, *Service, storeFaultsFake, ChaosFault) {
		st := newMonkeyStage(t, 3, "")
		s, fake := st.plane("one"), storeFaultsFake{map[string]StoreFault{}}
		s.StoreFaults = fake
		f, err := s.StartFault(t.Context(), ada, away, "k")
		if err != nil || f.State != FaultActive || !fake.has[f.ID].Away || !fake.has[f.ID].Until.Equal(f.Until) || f.Account != "" {
			t.Fatalf("%+v, %v, %+v", f, err, fake.has)
		}
		return st, s, fake, f
	}
	ended := func(s *Service, fake storeFaultsFake, reason string) {
		t.Helper()
		list, err := s.Faults(t.Context(), ada)
		if err != nil || len(list) != 1 || list[0].State != FaultUndone || !strings.Contains(list[0].Reason, reason) || len(fake.has) != 0 {
			t.Errorf("%s: %+v, %v, %v", reason, list, err, fake.has)
		}
	}
	_, s, fake, f := stage()
	if _, err := s.UndoFault(t.Context(), ada, f.ID); err != nil {
		t.Fatal(err)
	}
	ended(s, fake, "undone by ada")

	_, s, fake, _ = stage()
	if _, err := s.StopChaos(t.Context(), ada, "incident"); err != nil {
		t.Fatal(err)
	}
	ended(s, fake, "incident")

	st, s, fake, f := stage()
	two := st.plane("two")
	two.StoreFaults = storeFaultsFake{map[string]StoreFault{}}
	if _, err := two.UndoFault(t.Context(), ada, f.ID); problem.CodeOf(err) != problem.Unavailable || len(fake.has) != 1 {
		t.Errorf("undone at another control plane: %v, %v", err, fake.has)
	}
	if next, err := s.tendFaults(t.Context()); err != nil || next.After(st.clock().Add(2*time.Second)) {
		t.Errorf("the owner looks again at %s, %v", next, err)
	}
	ended(s, fake, "asked for at another control plane")

	st, _, _, _ = stage()
	two = st.plane("two", "one")
	if _, err := two.tendFaults(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended(two, storeFaultsFake{}, "is gone")

	for name, r := range map[string]FaultRequest{
		"a region":       {Kind: FaultDatabase, Region: "a", DurationSeconds: 1},
		"no duration":    {Kind: FaultDatabase},
		"no latency":     {Kind: FaultSlowDisk, DurationSeconds: 1},
		"jitter alone":   {Kind: FaultSlowDisk, DurationSeconds: 1, LatencyMillis: 1, JitterMillis: 2},
		"away and late":  {Kind: FaultDatabase, DurationSeconds: 1, LatencyMillis: 1},
		"of requests":    {Kind: FaultSlowDisk, DurationSeconds: 1, LatencyMillis: 1, Percent: 5},
		"without region": {Kind: "partition", DurationSeconds: 1},
	} {
		s := newMonkeyStage(t, 3, "").plane("one")
		s.StoreFaults = storeFaultsFake{map[string]StoreFault{}}
		if _, err := s.StartFault(t.Context(), ada, r, "k"); problem.CodeOf(err) != problem.Invalid || problem.HelpOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	s = newMonkeyStage(t, 3, "").plane("one")
	if _, err := s.StartFault(t.Context(), ada, away, "k"); problem.CodeOf(err) != problem.Precondition {
		t.Errorf("a control plane that cannot have it: %v", err)
	}
}

// TestRegionOutageSparesWhatServesNowhereElse: it needs another region that serves each
// cluster, and hits everything that is in the region.
func TestRegionOutageSparesWhatServesNowhereElse(t *testing.T) {
	t.Parallel()
	st := newMonkeyStage(t, 3, "")
	st.cloud.Cloud = memcloud.New(memcloud.Config{Regions: []string{"a", "b"}})
	create := func(region, cluster string) {
		t.Helper()
		_, err := st.cloud.CreateServerGroup(t.Context(), region, cloud.ServerGroupSpec{Application: "shop", Cluster: cluster, Version: "1", Weight: 100,
			Workload: cloud.Workload{Process: &cloud.Process{Artifact: "sha256:1", Command: []string{"./shop"}}}, Health: pipeline.Health{Path: "/"}, Capacity: pipeline.Capacity{Min: 1, Desired: 2, Max: 3}}, region+cluster)
		if err != nil {
			t.Fatal(err)
		}
	}
	create("a", "shop-web")
	s := st.plane("one")
	outage := FaultRequest{Kind: driver.FaultRegion, Region: "a", DurationSeconds: 60, Forced: true}
	if _, err := s.StartFault(t.Context(), ada, outage, "k1"); problem.CodeOf(err) != problem.Precondition || !strings.Contains(err.Error(), "shop-web serves in a alone") {
		t.Errorf("the only region of a cluster: %v", err)
	}
	create("b", "shop-web")
	f, err := s.StartFault(t.Context(), ada, outage, "k2")
	if err != nil || f.Hurt["shop"] != 2 || len(f.Instances) != 0 || !slices.Equal(st.active(), []string{f.ID}) {
		t.Errorf("%+v, %v, active %v", f, err, st.active())
	}
	for name, change := range map[string]func(*FaultRequest){"cluster": func(r *FaultRequest) { r.Cluster = "shop-web" }, "zone": func(r *FaultRequest) { r.Zone = "aa" }, "count": func(r *FaultRequest) { r.Count = 1 }} {
		r := outage
		change(&r)
		if _, err := s.StartFault(t.Context(), ada, r, name); problem.CodeOf(err) != problem.Invalid {
			t.Errorf("with a %s: %v", name, err)
		}
	}
}
