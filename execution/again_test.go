package execution_test

import (
	"context"
	"testing"

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
