package control

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

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
