package control

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"showrunner/problem"
)

// TestBudget: faults and kills together hit no more instances than the budget of the
// application, and that of all, allow; what cannot be counted is refused.
func TestBudget(t *testing.T) {
	t.Parallel()
	for name, block := range map[string]string{"of the application": ", budget: 40", "of all": ""} {
		st := newMonkeyStage(t, 5, block)
		s := st.plane("one")
		if block == "" {
			if _, err := s.SetChaosBudget(t.Context(), ada, 40); err != nil {
				t.Fatal(err)
			}
		}
		one := hang
		two := hang
		two.Count = 2
		if _, err := s.StartFault(t.Context(), ada, two, "k0"); err != nil {
			t.Fatalf("%s: two of five: %v", name, err)
		}
		if _, err := s.StartFault(t.Context(), ada, one, "k1"); problem.CodeOf(err) != problem.Precondition || !strings.Contains(err.Error(), "40 %") || !strings.Contains(err.Error(), "faults hit 2") {
			t.Errorf("%s: three of five: %v", name, err)
		}
		if _, err := s.KillNow(t.Context(), ada, ChaosRequest{Application: "shop"}, "k2"); problem.CodeOf(err) != problem.Precondition || !strings.Contains(err.Error(), "40 %") || st.cloud.count() != 0 {
			t.Errorf("%s: a kill: %v", name, err)
		}
		if n := len(st.active()); n != 1 {
			t.Errorf("%s: %d faults", name, n)
		}
		list, err := s.Faults(t.Context(), ada)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			if f.Open() {
				if _, err := s.UndoFault(t.Context(), ada, f.ID); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := s.StartFault(t.Context(), ada, one, "k3"); err != nil {
			t.Errorf("%s: after the undo: %v", name, err)
		}
		st.records.Fail = func(op, collection, key string) error {
			if op == "get" && collection == chaosRecords && key == budgetKey {
				return errors.New("the disk is away")
			}
			return nil
		}
		if _, err := s.StartFault(t.Context(), ada, one, "k4"); problem.CodeOf(err) != problem.Precondition || !strings.Contains(err.Error(), "could not be found out") {
			t.Errorf("%s: it cannot be read: %v", name, err)
		}
	}
	st := newMonkeyStage(t, 1, "")
	for _, wrong := range []int{0, -1, 101} {
		if _, err := st.plane("one").SetChaosBudget(t.Context(), ada, wrong); problem.CodeOf(err) != problem.Invalid {
			t.Errorf("%d: %v", wrong, err)
		}
	}
}

// TestBudgetOfMany: faults that begin at once do not go over the budget together.
func TestBudgetOfMany(t *testing.T) {
	t.Parallel()
	st := newMonkeyStage(t, 9, ", budget: 40")
	var wg sync.WaitGroup
	for i := range 8 {
		s := st.plane(fmt.Sprint("plane ", i))
		wg.Go(func() { _, _ = s.StartFault(t.Context(), ada, hang, fmt.Sprint("k", i)) })
	}
	wg.Wait()
	if n := len(st.active()); n > 3 { // 40 % of nine
		t.Errorf("%d instances hang", n)
	}
}

// TestLeverEndsFiveAtOnce: all that runs ends when the lever is pulled, of whatever
// kind, and nothing begins until it is released.
func TestLeverEndsFiveAtOnce(t *testing.T) {
	t.Parallel()
	st := newMonkeyStage(t, 9, "")
	s := st.plane("one")
	latency := FaultRequest{Kind: "latency", Region: "a", Cluster: "shop-web", LatencyMillis: 10, DurationSeconds: 60}
	calls := latency
	calls.From = "shop-web"
	atEdge := FaultRequest{Kind: "errors", Region: "a", Cluster: "shop-web", Status: 503, Percent: 10, At: "edge", DurationSeconds: 60}
	for i, r := range []FaultRequest{hang, latency, calls, atEdge, {Kind: "partition", Region: "a", DurationSeconds: 60}} {
		if _, err := st.plane(fmt.Sprint("plane ", i)).StartFault(t.Context(), ada, r, fmt.Sprint("k", i)); err != nil {
			t.Fatalf("%s: %v", r.Kind, err)
		}
	}
	if n := len(st.active()); n != 5 {
		t.Fatalf("%d are active", n)
	}
	if _, err := s.StopChaos(t.Context(), ada, "incident 9"); err != nil {
		t.Fatal(err)
	}
	if left := st.active(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	list, err := s.Faults(t.Context(), ada)
	if err != nil || len(list) != 5 {
		t.Fatal(len(list), err)
	}
	for _, f := range list {
		if f.State != FaultUndone || !strings.Contains(f.Reason, "incident 9") {
			t.Errorf("%s is %s: %s", f.ID, f.State, f.Reason)
		}
	}
	if _, err := s.StartFault(t.Context(), ada, latency, "later"); problem.CodeOf(err) != problem.Precondition || !strings.Contains(err.Error(), "incident 9") {
		t.Errorf("begun while stopped: %v", err)
	}
	if why := s.ChaosHeld(t.Context(), "shop"); !strings.Contains(why, "incident 9") {
		t.Errorf("a chaos stage may begin: %q", why)
	}
	if _, err := s.ReleaseChaos(t.Context(), ada); err != nil {
		t.Fatal(err)
	}
	if _, err := s.StartFault(t.Context(), ada, latency, "released"); err != nil {
		t.Errorf("released: %v", err)
	}
}
