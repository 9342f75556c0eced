package execution_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"showrunner/execution"
	"showrunner/execution/executiontest"
	"showrunner/pipeline"
	"showrunner/stage"
	"showrunner/store/record"
)

func oneStage(kind string) execution.StartRequest {
	return execution.StartRequest{Application: "app", Definition: pipeline.Pipeline{Name: "p", Concurrency: pipeline.Parallel, Stages: []pipeline.Stage{{Name: "a", Kind: kind}}}}
}

// TestWhatAStageWaitsForIsAnEventWhenItChanges: a task that is called often while
// it waits for the same thing writes one event, and what it waits for is shown.
func TestWhatAStageWaitsForIsAnEventWhenItChanges(t *testing.T) {
	st := openSQLite(t, filepath.Join(t.TempDir(), "db"))
	defer closeStore(t, st)
	end := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	said := []string{"step 1", "step 1", "step 1", "step 2", "step 2"}
	run := func(_ context.Context, in *stage.Input) (stage.Result, error) {
		n := 0
		if in.State != nil {
			_ = json.Unmarshal(in.State, &n)
		}
		if n == len(said) {
			return stage.Result{Outcome: stage.Again, State: in.State, After: time.Hour, Waits: "the end", WaitsUntil: end}, nil
		}
		state, _ := json.Marshal(n + 1)
		return stage.Result{Outcome: stage.Again, State: state, After: time.Millisecond, Waits: said[n]}, nil
	}
	e, stop := executiontest.Start(t, execution.Config{Store: st, Kinds: []stage.Kind{executiontest.Kind{KindName: "waits", List: []stage.Task{{Name: "t", Run: run, Resume: stage.Repeat}}}}})
	defer stop()
	x, _, err := e.Start(t.Context(), oneStage("waits"))
	if err != nil {
		t.Fatal(err)
	}
	x = executiontest.Until(t, e, x.ID, func(x execution.Execution) bool { return x.Stages[0].Reason == "the end" })
	if got := x.Stages[0].WaitsUntil; got == nil || !got.Equal(end) {
		t.Errorf("it waits until %v, want %v", got, end)
	}
	events, err := e.Events(t.Context(), 0, record.Filter{Execution: x.ID, Types: []string{"stage.waiting"}}, 100)
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, ev := range events.Events {
		var data struct{ Reason string }
		if err := json.Unmarshal(ev.Data, &data); err != nil {
			t.Fatal(err)
		}
		reasons = append(reasons, data.Reason)
	}
	if want := []string{"step 1", "step 2", "the end"}; !slices.Equal(reasons, want) {
		t.Errorf("events tell of %q, want %q", reasons, want)
	}
}

// TestACancelThatTakesItsTime: Cancel says that the work has not stopped yet, more
// often than attempts that fail are allowed. It is called again with its state, at
// once when the task is woken, and the stage ends when the work has stopped.
func TestACancelThatTakesItsTime(t *testing.T) {
	st := openSQLite(t, filepath.Join(t.TempDir(), "db"))
	defer closeStore(t, st)
	const often = 20
	var e *execution.Engine
	cancel := func(_ context.Context, in *stage.Input) error {
		n := 0
		if len(in.State) > 0 {
			_ = json.Unmarshal(in.State, &n)
		}
		if n == often {
			return nil
		}
		state, _ := json.Marshal(n + 1)
		still := &stage.Stopping{State: state, After: time.Millisecond, Waits: fmt.Sprint("part ", n)}
		if n%2 == 0 { // nobody but the wake-up ends this wait in time
			still.After = time.Hour
			e.Wake(in.Key)
		}
		return fmt.Errorf("wrapped: %w", still)
	}
	waits := func(context.Context, *stage.Input) (stage.Result, error) {
		return stage.Result{Outcome: stage.Again, After: time.Hour, Waits: "somebody"}, nil
	}
	e, stop := executiontest.Start(t, execution.Config{Store: st, Kinds: []stage.Kind{executiontest.Kind{KindName: "slow", List: []stage.Task{{Name: "t", Run: waits, Resume: stage.Repeat, Cancel: cancel}}}}})
	defer stop()
	x, _, err := e.Start(t.Context(), oneStage("slow"))
	if err != nil {
		t.Fatal(err)
	}
	executiontest.Until(t, e, x.ID, func(x execution.Execution) bool { return x.Stages[0].Phase == execution.PhaseWaiting })
	if err := e.Cancel(t.Context(), x.ID, "a person", "enough"); err != nil {
		t.Fatal(err)
	}
	if x = executiontest.End(t, e, x.ID); x.Status != execution.Canceled || x.Stages[0].Status != execution.Canceled {
		t.Errorf("%s", statuses(x))
	}
}

// TestATaskThatWatchesIsCalledAfterATakeover: whoever would have woken it has gone
// with the engine before. A task that waits for its time alone is left alone.
func TestATaskThatWatchesIsCalledAfterATakeover(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	calls := map[string]int{}
	var life atomic.Int64
	run := func(_ context.Context, in *stage.Input) (stage.Result, error) {
		mu.Lock()
		defer mu.Unlock()
		calls[fmt.Sprint(in.Key.Stage, " in life ", life.Load())]++
		return stage.Result{Outcome: stage.Again, After: time.Hour}, nil
	}
	kinds := []stage.Kind{
		executiontest.Kind{KindName: "watches", List: []stage.Task{{Name: "t", Run: run, Resume: stage.Repeat, Watches: true}}},
		executiontest.Kind{KindName: "waits", List: []stage.Task{{Name: "t", Run: run, Resume: stage.Repeat}}},
	}
	id := ""
	for range 2 {
		life.Add(1)
		st := openSQLite(t, filepath.Join(dir, "db"))
		e, stop := executiontest.Start(t, execution.Config{Store: st, Kinds: kinds})
		if id == "" {
			x, _, err := e.Start(t.Context(), execution.StartRequest{Application: "app", Definition: pipeline.Pipeline{Name: "p", Concurrency: pipeline.Parallel,
				Stages: []pipeline.Stage{{Name: "watches", Kind: "watches"}, {Name: "waits", Kind: "waits"}}}})
			if err != nil {
				t.Fatal(err)
			}
			id = x.ID
		}
		executiontest.Until(t, e, id, func(x execution.Execution) bool {
			mu.Lock()
			defer mu.Unlock()
			return calls[fmt.Sprint("watches in life ", life.Load())] == 1 && x.Stages[0].Phase == execution.PhaseWaiting && x.Stages[1].Phase == execution.PhaseWaiting
		})
		stop()
		closeStore(t, st)
	}
	if calls["waits in life 1"] != 1 || calls["waits in life 2"] != 0 {
		t.Errorf("calls: %v", calls)
	}
}
