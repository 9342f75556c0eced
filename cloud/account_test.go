package cloud_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/cloud/cloudtest/memcloud"
	"showrunner/cloud/driver"
	"showrunner/cloud/journal"
	"showrunner/pipeline"
	"showrunner/problem"
)

// entries are a journal's store in memory.
type entries struct {
	mu   sync.Mutex
	all  map[journal.ID]journal.Entry
	lose bool // the process dies before an answer is recorded
}

func (e *entries) BeginOperation(_ context.Context, id journal.ID, r journal.Request) (journal.Entry, bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if have, ok := e.all[id]; ok {
		return have, false, nil
	}
	e.all[id] = journal.Entry{Request: r}
	return e.all[id], true, nil
}

func (e *entries) FinishOperation(_ context.Context, id journal.ID, r journal.Request, answer []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lose {
		return errors.New("the process died")
	}
	e.all[id] = journal.Entry{Request: r, Done: true, Answer: answer}
	return nil
}

func (e *entries) DropOperation(_ context.Context, id journal.ID) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.all, id)
	return nil
}

func (e *entries) ForgetOperations(context.Context, time.Time) (int, error) { return 0, nil }

// counted counts the calls that reach the driver.
type counted struct {
	*memcloud.Cloud
	calls map[string]int
}

func (c counted) CreateServerGroup(ctx context.Context, region string, spec driver.ServerGroupSpec, key string) (driver.ServerGroup, error) {
	c.calls["create"]++
	return c.Cloud.CreateServerGroup(ctx, region, spec, key)
}

func (c counted) Resize(ctx context.Context, region, group string, to pipeline.Capacity, guard driver.Guard, key string) error {
	c.calls["resize"]++
	return c.Cloud.Resize(ctx, region, group, to, guard, key)
}

func spec() cloud.ServerGroupSpec {
	return cloud.ServerGroupSpec{Cluster: "app", Version: "1", Workload: cloud.Workload{Process: &cloud.Process{Artifact: "sha256:1", Command: []string{"x"}}},
		Env: cloud.Values(map[string]string{"TOKEN": "hush"}), Health: pipeline.Health{TCP: true}, Capacity: pipeline.Capacity{Desired: 1, Max: 2}}
}

// A finished change is not sent to the driver again, even when the driver has
// forgotten its key. A change whose answer was lost is sent again with its key.
func TestChangesAreMadeOnce(t *testing.T) {
	store := &entries{all: map[journal.ID]journal.Entry{}}
	c := counted{memcloud.New(memcloud.Config{Regions: []string{"r"}}), map[string]int{}}
	account := func() *cloud.Account { return cloud.NewAccount("local", c, cloud.Options{Journal: journal.New(store)}) }
	ctx := t.Context()

	store.lose = true
	if _, err := account().CreateServerGroup(ctx, "r", spec(), "k1"); problem.CodeOf(err) != problem.Unavailable {
		t.Fatalf("an answer that could not be recorded: %v", err)
	}
	store.lose = false
	for range 3 {
		rotated := spec()
		rotated.Env["TOKEN"] = cloud.EnvValue{Value: "rotated meanwhile"}
		if g, err := account().CreateServerGroup(ctx, "r", rotated, "k1"); err != nil || g.Name != "app-v000" {
			t.Fatalf("again: %+v, %v", g.Name, err)
		}
	}
	if want := map[string]int{"create": 2}; !maps.Equal(c.calls, want) {
		t.Errorf("the driver was called %v, want %v", c.calls, want)
	}
	for range 2 {
		if err := account().Resize(ctx, "r", "app-v000", pipeline.Capacity{Desired: 2, Max: 2}, cloud.Guard{}, "k2"); err != nil {
			t.Fatal(err)
		}
	}
	if c.calls["resize"] != 1 {
		t.Errorf("the driver was asked %d times to resize", c.calls["resize"])
	}
	for what, call := range map[string]func() error{
		"another size": func() error {
			return account().Resize(ctx, "r", "app-v000", pipeline.Capacity{Max: 2}, cloud.Guard{}, "k2")
		},
		"another change": func() error { return account().Destroy(ctx, "r", "app-v000", cloud.Guard{}, "k2") },
	} {
		if err := call(); problem.CodeOf(err) != problem.Conflict {
			t.Errorf("%s with a used key: %v", what, err)
		}
	}
	if err := account().Resize(ctx, "r", "app-v009", pipeline.Capacity{Max: 2}, cloud.Guard{}, "k3"); problem.CodeOf(err) != problem.NotFound {
		t.Errorf("a refusal: %v", err)
	}
	if err := account().Resize(ctx, "r", "app-v000", pipeline.Capacity{Max: 2}, cloud.Guard{}, "k3"); err != nil {
		t.Errorf("a refusal was remembered: %v", err)
	}
}

// functions is a cloud with only the methods that every driver has.
type functions struct{ driver.Cloud }

// An ability that a driver lacks is refused by name, without any other call to
// the driver.
func TestAbilitiesThatADriverLacks(t *testing.T) {
	a := cloud.NewAccount("lambda", functions{memcloud.New(memcloud.Config{Regions: []string{"r"}})}, cloud.Options{})
	ctx := t.Context()
	for says, call := range map[string]func() error{
		"resizing": func() error { return a.Resize(ctx, "r", "app-v000", pipeline.Capacity{}, cloud.Guard{}, "k") },
		"amending": func() error { return a.Amend(ctx, "r", "app-v000", spec(), "k") },
		"balancers with": func() error {
			return a.SetLoadBalancer(ctx, "r", cloud.LoadBalancer{Name: "lb"}, "k")
		},
		"removing load": func() error { return a.RemoveLoadBalancer(ctx, "r", "lb", "k") },
		"terminating":   func() error { return a.Terminate(ctx, "r", "i-1", cloud.TerminateOptions{}, "k") },
		"counting":      func() error { _, err := a.Counts(ctx, "r", "app"); return err },
		"injecting faults": func() error {
			return a.Inject(ctx, "r", cloud.Fault{ID: "f", Kind: "partition", Duration: 1}, "k")
		},
		"undoing faults": func() error { return a.Undo(ctx, "r", "f", "k") },
		"listing faults": func() error { _, err := a.ActiveFaults(ctx, "r"); return err },
		"standby":        func() error { return a.SetStandby(ctx, "r", "i-1", true, "k") },
		"protecting":     func() error { return a.SetProtection(ctx, "r", "i-1", true, "k") },
		"health":         func() error { return a.SetHealth(ctx, "r", "i-1", true, "k") },
		"suspending":     func() error { return a.Suspend(ctx, "r", "app-v000", nil, "k") },
		"resuming":       func() error { return a.Resume(ctx, "r", "app-v000", nil, "k") },
		"hooks":          func() error { return a.AnswerHook(ctx, "r", "i-1", cloud.HookContinue, "k") },
		"running functions": func() error {
			_, err := a.Invoke(ctx, "r", cloud.Invocation{}, nil)
			return err
		},
		"ending functions": func() error { return a.EndFunction(ctx, "r", "f") },
		"output":           func() error { return a.InstanceLog(ctx, "r", "i-1", false, nil) },
		"watching":         func() error { _, err := a.WaitChanges(ctx, "r", 0); return err },
		"hosts no webs":    func() error { _, err := a.Sites(); return err },
	} {
		if err := call(); problem.CodeOf(err) != problem.Precondition || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	function := cloud.ServerGroupSpec{Cluster: "app", Workload: cloud.Workload{Function: &cloud.Function{Artifact: "sha256:1", Handler: "h", Runtime: "r"}}}
	g, err := a.CreateServerGroup(ctx, "r", function, "k")
	if err == nil {
		err = a.SetWeights(ctx, "r", "app", map[string]float64{g.Name: 1}, cloud.Guard{}, "k2")
	}
	if err != nil {
		t.Errorf("a function needs versions and traffic alone: %v", err)
	}
}
