package execution_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"showrunner/execution"
	"showrunner/execution/executiontest"
	"showrunner/pipeline"
	"showrunner/stage"
)

// A session that is lost and joined again in one process hands a task over to
// itself: the task is asked what became of it only once the call that was given
// up has returned, so that an effect which is just happening is not repeated.
func TestACallThatWasGivenUpIsWaitedFor(t *testing.T) {
	st := openSQLite(t, filepath.Join(t.TempDir(), "db"))
	defer closeStore(t, st)
	var effects, asked atomic.Int64
	entered, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	slow := executiontest.Kind{KindName: "slow", List: []stage.Task{{Name: "t",
		Run: func(context.Context, *stage.Input) (stage.Result, error) {
			once.Do(func() { close(entered) })
			<-goOn // whatever its context says
			effects.Add(1)
			return stage.Result{Outcome: stage.Done}, nil
		},
		Resume: func(context.Context, *stage.Input) (stage.Result, error) {
			asked.Add(1)
			if effects.Load() > 0 {
				return stage.Result{Outcome: stage.Done}, nil
			}
			return stage.Result{Outcome: stage.NotStarted}, nil
		}}}}
	e, stop := executiontest.Start(t, execution.Config{Store: st, Kinds: []stage.Kind{slow}})
	defer stop()
	x, _, err := e.Start(t.Context(), execution.StartRequest{Application: "app",
		Definition: pipeline.Pipeline{Name: "p", Concurrency: pipeline.Parallel, Stages: []pipeline.Stage{{Name: "a", Kind: "slow"}}}})
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	before, err := st.Load(t.Context(), x.ID)
	if err != nil {
		t.Fatal(err)
	}
	thief, err := st.Join(t.Context(), time.Now) // takes the store from the engine, which joins again
	if err != nil {
		t.Fatal(err)
	}
	executiontest.Until(t, e, x.ID, func(execution.Execution) bool {
		snap, err := st.Load(t.Context(), x.ID)
		return err == nil && snap.Head.Epoch > before.Head.Epoch && snap.Head.Owner != thief.Owner()
	})
	close(goOn)
	if x = executiontest.End(t, e, x.ID); x.Status != execution.Succeeded {
		t.Fatalf("%+v", x)
	}
	if effects.Load() != 1 || asked.Load() != 1 {
		t.Errorf("%d effects, asked %d times", effects.Load(), asked.Load())
	}
}

// TestEveryTimeIsKeptOverATakeover: an execution that waits for several times
// when its owner goes has all of them kept by the next one, not the first alone.
func TestEveryTimeIsKeptOverATakeover(t *testing.T) {
	st := openSQLite(t, filepath.Join(t.TempDir(), "db"))
	defer closeStore(t, st)
	var kinds []stage.Kind
	var stages []pipeline.Stage
	for _, after := range []time.Duration{200, 500} {
		name := "after" + after.String()
		kinds = append(kinds, executiontest.Kind{KindName: name, List: []stage.Task{{Name: "t", Resume: stage.Repeat, Run: func(_ context.Context, in *stage.Input) (stage.Result, error) {
			if in.State != nil {
				return stage.Result{Outcome: stage.Done}, nil
			}
			return stage.Result{Outcome: stage.Again, After: after * time.Millisecond, State: json.RawMessage("1")}, nil
		}}}})
		stages = append(stages, pipeline.Stage{Name: name, Kind: name})
	}
	e, stop := executiontest.Start(t, execution.Config{Store: st, Kinds: kinds})
	x, _, err := e.Start(t.Context(), execution.StartRequest{Application: "app", Definition: pipeline.Pipeline{Name: "p", Concurrency: pipeline.Parallel, Stages: stages}})
	if err != nil {
		t.Fatal(err)
	}
	executiontest.Until(t, e, x.ID, func(x execution.Execution) bool {
		return x.Stages[0].Phase == execution.PhaseWaiting && x.Stages[1].Phase == execution.PhaseWaiting
	})
	stop()
	next, _ := executiontest.Start(t, execution.Config{Store: st, Kinds: kinds})
	executiontest.End(t, next, x.ID)
}

// slowCreation is a store whose answer to a creation comes late: what it has
// recorded is adopted before the engine knows that it is recorded.
type slowCreation struct {
	execution.Store
	durable, loaded chan struct{}
	once            sync.Once
}

func (s *slowCreation) Join(ctx context.Context, now func() time.Time) (execution.Session, error) {
	inner, err := s.Store.Join(ctx, now)
	return &slowSession{inner, s}, err
}

func (s *slowCreation) Load(ctx context.Context, id string) (execution.Snapshot, error) {
	s.once.Do(func() { close(s.loaded) })
	return s.Store.Load(ctx, id)
}

type slowSession struct {
	execution.Session
	s *slowCreation
}

func (s *slowSession) Adopt(ctx context.Context, own bool) ([]execution.Claim, bool, error) {
	<-s.s.durable
	return s.Session.Adopt(ctx, own)
}

func (s *slowSession) Commit(ctx context.Context, batch []*execution.Change) error {
	err := s.Session.Commit(ctx, batch)
	if batch[0].Create == nil || err != nil {
		return err
	}
	close(s.s.durable)
	t := time.NewTimer(200 * time.Millisecond)
	defer t.Stop()
	select {
	case <-s.s.loaded: // as if it were not known here
	case <-t.C:
	}
	return nil
}

// TestWhatIsBeingCreatedIsNotAdoptedToo: an execution that is recorded while the
// engine looks for work of its own is not carried out twice.
func TestWhatIsBeingCreatedIsNotAdoptedToo(t *testing.T) {
	inner := openSQLite(t, filepath.Join(t.TempDir(), "db"))
	defer closeStore(t, inner)
	st := &slowCreation{Store: inner, durable: make(chan struct{}), loaded: make(chan struct{})}
	var effects atomic.Int64
	kind := executiontest.Kind{KindName: "act", List: []stage.Task{{Name: "t", Resume: stage.Repeat, Run: func(context.Context, *stage.Input) (stage.Result, error) {
		effects.Add(1)
		return stage.Result{Outcome: stage.Done}, nil
	}}}}
	e, stop := executiontest.Start(t, execution.Config{Store: st, Kinds: []stage.Kind{kind}})
	x, _, err := e.Start(t.Context(), execution.StartRequest{Application: "app", Definition: pipeline.Pipeline{Name: "p", Concurrency: pipeline.Parallel,
		Stages: []pipeline.Stage{{Name: "a", Kind: "act"}}}})
	if err != nil {
		t.Fatal(err)
	}
	executiontest.End(t, e, x.ID)
	stop()
	if n := effects.Load(); n != 1 {
		t.Errorf("the effect happened %d times", n)
	}
}
