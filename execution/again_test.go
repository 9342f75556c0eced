package execution_test

import (
	"context"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"showrunner/execution"
	"showrunner/execution/executiontest"
	"showrunner/pipeline"
	"showrunner/stage"
)

// A task that waits for nothing but a wake-up is called once by the process that
// takes its execution over: whoever promised the wake-up may have gone. It is not
// called when its execution is only loaded again.
func TestWhatWaitsForAWakeUpIsCalledAfterATakeOver(t *testing.T) {
	b := newBench(t)
	calls := make(chan string, 100)
	wait := func(ctx context.Context, in *stage.Input) (stage.Result, error) {
		calls <- in.Key.Stage
		return stage.Result{Outcome: stage.Again, State: []byte(`{}`)}, nil
	}
	b.behave("one", wait)
	b.behave("two", wait)
	x := b.run(pipeline.Pipeline{Name: "p", Concurrency: pipeline.Parallel, Stages: []pipeline.Stage{act("one"), act("two")}})
	waiting := func() {
		t.Helper()
		executiontest.Until(t, b.e, x.ID, func(x execution.Execution) bool {
			one, _ := x.Stage("one")
			two, _ := x.Stage("two")
			return one.Phase == execution.PhaseWaiting && two.Phase == execution.PhaseWaiting
		})
	}
	next := func(n int) map[string]int {
		got := map[string]int{}
		for range n {
			got[<-calls]++
		}
		return got
	}
	if got := next(2); got["one"] != 1 || got["two"] != 1 {
		t.Fatal(got)
	}
	waiting()
	b.end()
	b.start()
	if got := next(2); got["one"] != 1 || got["two"] != 1 {
		t.Fatalf("after the take-over: %v", got)
	}
	waiting()
	key := stage.Key{Execution: x.ID, Stage: "two", Attempt: 1, Task: "act"}
	for range 3 { // each loads the execution, which has left the memory
		b.e.Wake(key)
		if got := next(1); got["two"] != 1 {
			t.Fatalf("woken: %v", got)
		}
		waiting()
	}
	if len(calls) > 0 {
		t.Errorf("%s was called too", <-calls)
	}
}

// Waiting holds no goroutine and no permit: more executions wait than calls may be
// under way at once, others still run beside them, and a wake-up calls its task
// within milliseconds.
func TestWaitingCostsNothing(t *testing.T) {
	st := openSQLite(t, filepath.Join(t.TempDir(), "db"))
	defer closeStore(t, st)
	const many, calls = 2_000, 4
	woken := make(chan time.Time, 1)
	wait := func(_ context.Context, in *stage.Input) (stage.Result, error) {
		if in.State != nil {
			woken <- time.Now()
		}
		return stage.Result{Outcome: stage.Again, State: []byte(`{}`)}, nil
	}
	kinds := []stage.Kind{
		executiontest.Kind{KindName: "wait", List: []stage.Task{{Name: "t", Run: wait, Resume: stage.Repeat}}},
		executiontest.Kind{KindName: "act", List: []stage.Task{{Name: "t", Resume: stage.Repeat, Run: func(context.Context, *stage.Input) (stage.Result, error) {
			return stage.Result{Outcome: stage.Done}, nil
		}}}},
	}
	e, stop := executiontest.Start(t, execution.Config{Store: st, Kinds: kinds, Limits: execution.Limits{Tasks: calls}})
	defer stop()
	act := func() {
		t.Helper()
		x, _, err := e.Start(t.Context(), oneStage("act"))
		if err != nil {
			t.Fatal(err)
		}
		if x = executiontest.End(t, e, x.ID); x.Status != execution.Succeeded {
			t.Fatalf("%+v", x)
		}
	}
	act()
	before := runtime.NumGoroutine()
	ids := make([]string, many)
	for i := range ids {
		x, _, err := e.Start(t.Context(), oneStage("wait"))
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = x.ID
	}
	for _, id := range ids {
		executiontest.Until(t, e, id, func(x execution.Execution) bool { return x.Stages[0].Phase == execution.PhaseWaiting })
	}
	act()
	if n := runtime.NumGoroutine() - before; n > 70 { // those that the worker pool keeps, and a few of the database's
		t.Errorf("%d executions that wait hold %d goroutines", many, n)
	}
	var took []time.Duration
	for _, id := range ids[:100] {
		began := time.Now()
		e.Wake(stage.Key{Execution: id, Stage: "a", Attempt: 1, Task: "t"})
		took = append(took, (<-woken).Sub(began))
	}
	slices.Sort(took)
	t.Logf("from a wake-up to the call: p50 %s, p99 %s", took[50], took[98])
	if took[50] > 100*time.Millisecond {
		t.Errorf("a wake-up took %s", took[50])
	}
}
