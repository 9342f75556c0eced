package execution_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"showrunner/execution"
	"showrunner/execution/executiontest"
	"showrunner/pipeline"
	"showrunner/stage"
)

// gated is a store whose commits can be held up.
type gated struct {
	execution.Store
	mu      sync.Mutex
	gate    chan struct{} // nil: open
	reached chan struct{}
}

func (g *gated) Join(ctx context.Context, now func() time.Time) (execution.Session, error) {
	s, err := g.Store.Join(ctx, now)
	return gatedSession{s, g}, err
}

type gatedSession struct {
	execution.Session
	g *gated
}

func (s gatedSession) Commit(ctx context.Context, batch []*execution.Change) error {
	s.g.mu.Lock()
	gate := s.g.gate
	s.g.mu.Unlock()
	if gate != nil {
		s.g.reached <- struct{}{}
		<-gate
	}
	return s.Session.Commit(ctx, batch)
}

// shut holds up what is committed from now on, until open is called.
func (g *gated) shut() (open func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := make(chan struct{})
	g.gate = gate
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.gate = nil
		close(gate)
	})
}

// Nothing is called before its intent is durable, also not when an execution that is
// in memory is adopted meanwhile: a crash would have it called a second time.
func TestNothingIsCalledBeforeItsIntentIsDurable(t *testing.T) {
	db := openSQLite(t, filepath.Join(t.TempDir(), "db"))
	defer closeStore(t, db)
	g := &gated{Store: db, reached: make(chan struct{}, 10)}
	calls := make(chan struct{}, 10)
	kind := executiontest.Kind{KindName: "act", List: []stage.Task{{Name: "act", Resume: stage.Repeat, Run: func(_ context.Context, in *stage.Input) (stage.Result, error) {
		calls <- struct{}{}
		if in.State == nil {
			return stage.Result{Outcome: stage.Again, State: []byte(`{}`)}, nil
		}
		return stage.Result{Outcome: stage.Done}, nil
	}}}}
	e, stop := executiontest.Start(t, execution.Config{Store: g, Kinds: []stage.Kind{kind}})
	defer stop()
	x, _, err := e.Start(t.Context(), execution.StartRequest{Application: "app", TriggerID: "test", EventID: "one",
		Definition: pipeline.Pipeline{Name: "p", Concurrency: pipeline.Parallel, Stages: []pipeline.Stage{{Name: "one", Kind: "act"}}}})
	if err != nil {
		t.Fatal(err)
	}
	<-calls
	executiontest.Until(t, e, x.ID, func(x execution.Execution) bool { return x.Stages[0].Phase == execution.PhaseWaiting })

	open := g.shut()
	defer open()
	e.Wake(stage.Key{Execution: x.ID, Stage: "one", Attempt: 1, Task: "act"})
	<-g.reached // the intent to call it again, which is not durable
	if err := e.TakeOver(t.Context(), x.ID); err != nil {
		t.Fatal(err)
	}
	if n := e.Calls(x.ID); n > 0 || len(calls) > 0 {
		t.Errorf("%d calls are under way before their intent is durable", n)
	}
	open()
	if x = executiontest.End(t, e, x.ID); x.Status != execution.Succeeded {
		t.Errorf("%+v", x)
	}
	if n := len(calls); n != 1 {
		t.Errorf("it was called %d times after the wake-up, not once", n)
	}
}
