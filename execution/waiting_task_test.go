package execution_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"showrunner/execution"
	"showrunner/execution/executiontest"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// TestTheInputOfATaskThatWaits is given to whoever asks, as its next call would see it,
// for as long as it waits.
func TestTheInputOfATaskThatWaits(t *testing.T) {
	st := openSQLite(t, filepath.Join(t.TempDir(), "db"))
	defer closeStore(t, st)
	made := func(context.Context, *stage.Input) (stage.Result, error) {
		return stage.Result{Outcome: stage.Done, Outputs: map[string]any{"made": "yes"}}, nil
	}
	waits := func(_ context.Context, in *stage.Input) (stage.Result, error) {
		if len(in.Signals) > 0 {
			return stage.Result{Outcome: stage.Done}, nil
		}
		return stage.Result{Outcome: stage.Again, State: json.RawMessage(`{"n":1}`), Waits: "a signal"}, nil
	}
	e, stop := executiontest.Start(t, execution.Config{Store: st, Kinds: []stage.Kind{
		executiontest.Kind{KindName: "makes", List: []stage.Task{{Name: "t", Run: made, Resume: stage.Repeat}}},
		executiontest.Kind{KindName: "waits", List: []stage.Task{{Name: "t", Run: waits, Resume: stage.Repeat}}}}})
	defer stop()
	x, _, err := e.Start(t.Context(), execution.StartRequest{Application: "app", Definition: pipeline.Pipeline{Name: "p", Concurrency: pipeline.Parallel,
		Stages: []pipeline.Stage{{Name: "a", Kind: "makes"}, {Name: "b", Kind: "waits", Needs: []string{"a"}}, {Name: "c", Kind: "waits", Needs: []string{"a"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	executiontest.Until(t, e, x.ID, func(x execution.Execution) bool {
		return x.Stages[1].Reason == "a signal" && x.Stages[2].Reason == "a signal"
	})
	input := func(k stage.Key) *stage.Input {
		t.Helper()
		of, err := e.WaitingTasks(t.Context(), x.ID)
		if err != nil {
			t.Fatal(err)
		}
		in, ok := of(k)
		if ok != (in != nil) {
			t.Fatalf("%v, %v", in, ok)
		}
		return in
	}
	b := stage.Key{Execution: x.ID, Stage: "b", Attempt: 1, Task: "t"}
	if in := input(b); in == nil || in.Key != b || string(in.State) != `{"n":1}` || in.Upstream["a"]["made"] != "yes" || in.Stage.Kind != "waits" || in.StageStarted.IsZero() {
		t.Fatalf("%+v", in)
	}
	for _, other := range []stage.Key{
		{Execution: x.ID, Stage: "a", Attempt: 1, Task: "t"},
		{Execution: x.ID, Stage: "b", Attempt: 2, Task: "t"},
		{Execution: x.ID, Stage: "b", Attempt: 1, Task: "u"},
		{Execution: x.ID, Stage: "d", Attempt: 1, Task: "t"},
	} {
		if in := input(other); in != nil {
			t.Errorf("%s does not wait, and has the input %+v", other, in)
		}
	}
	if err := e.Signal(t.Context(), x.ID, "b", stage.Signal{Name: "go"}); err != nil {
		t.Fatal(err)
	}
	executiontest.Until(t, e, x.ID, func(x execution.Execution) bool { return x.Stages[1].Status == execution.Succeeded })
	c := stage.Key{Execution: x.ID, Stage: "c", Attempt: 1, Task: "t"}
	if input(b) != nil || input(c) == nil {
		t.Error("b has ended and c waits")
	}
	if err := e.Cancel(t.Context(), x.ID, "somebody", ""); err != nil {
		t.Fatal(err)
	}
	executiontest.Until(t, e, x.ID, func(x execution.Execution) bool { return x.Status == execution.Canceled })
	if input(c) != nil {
		t.Error("it was canceled")
	}
	if _, err := e.WaitingTasks(t.Context(), "nothing"); problem.CodeOf(err) != problem.NotFound {
		t.Errorf("%v", err)
	}
}

// A timer leaves an execution alone that was loaded and not told to go on yet: unloaded
// by it, an adopted execution would never be told, and what was under way would wait.
func TestATimerLeavesAnAdoptedExecutionAlone(t *testing.T) {
	db := openSQLite(t, filepath.Join(t.TempDir(), "db"))
	defer closeStore(t, db)
	kind := executiontest.Kind{KindName: "act", List: []stage.Task{{Name: "act", Resume: stage.Repeat, Run: func(_ context.Context, in *stage.Input) (stage.Result, error) {
		if in.State == nil {
			return stage.Result{Outcome: stage.Again, State: []byte(`{}`)}, nil
		}
		return stage.Result{Outcome: stage.Done}, nil
	}}}}
	e, stop := executiontest.Start(t, execution.Config{Store: db, Kinds: []stage.Kind{kind}})
	defer stop()
	x, _, err := e.Start(t.Context(), execution.StartRequest{Application: "app", TriggerID: "test", EventID: "one",
		Definition: pipeline.Pipeline{Name: "p", Concurrency: pipeline.Parallel, Stages: []pipeline.Stage{{Name: "one", Kind: "act"}}}})
	if err != nil {
		t.Fatal(err)
	}
	executiontest.Until(t, e, x.ID, func(execution.Execution) bool { return !e.InMemory(x.ID) })
	if err := e.LoadQuietly(t.Context(), x.ID); err != nil {
		t.Fatal(err)
	}
	if e.Fire(x.ID); !e.InMemory(x.ID) {
		t.Error("it was unloaded before it was told to go on")
	}
	if err := e.TakeOver(t.Context(), x.ID); err != nil {
		t.Fatal(err)
	}
	if x = executiontest.End(t, e, x.ID); x.Status != execution.Succeeded {
		t.Errorf("%+v", x)
	}
}
