package execution_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"

	"showrunner/execution"
	"showrunner/execution/executiontest"
	"showrunner/pipeline"
	"showrunner/stage"
	"showrunner/store"
)

func openSQLite(t testing.TB, path string) store.Store {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeStore(t testing.TB, s store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// counting is a kind of two tasks that count their calls by key.
func counting(calls *sync.Map) stage.Kind {
	run := func(_ context.Context, in *stage.Input) (stage.Result, error) {
		if _, twice := calls.LoadOrStore(in.Key.String(), true); twice {
			return stage.Fail(stage.Failure{Code: "TWICE", Cause: in.Key.String()}), nil
		}
		return stage.Result{Outcome: stage.Done, Outputs: map[string]any{in.Key.Task: "ok"}}, nil
	}
	return executiontest.Kind{KindName: "count", List: []stage.Task{
		{Name: "a", Run: run, Resume: stage.Repeat}, {Name: "b", Run: run, Resume: stage.Repeat}}}
}

func chain(n int, c pipeline.Concurrency) pipeline.Pipeline {
	p := pipeline.Pipeline{Name: "chain", Concurrency: c}
	for i := range n {
		s := pipeline.Stage{Name: string(rune('a' + i)), Kind: "count"}
		if i > 0 {
			s.Needs = []string{p.Stages[i-1].Name}
		}
		p.Stages = append(p.Stages, s)
	}
	return p
}

func TestRunToEnd(t *testing.T) {
	st := openSQLite(t, filepath.Join(t.TempDir(), "db"))
	defer closeStore(t, st)
	var calls sync.Map
	e, stop := executiontest.Start(t, execution.Config{Store: st, Kinds: []stage.Kind{counting(&calls)}})
	defer stop()
	for _, c := range []pipeline.Concurrency{pipeline.Parallel, pipeline.Queue, pipeline.Supersede} {
		x, fresh, err := e.Start(t.Context(), execution.StartRequest{Application: "app", Pipeline: string(c), Definition: chain(3, c)})
		if err != nil || !fresh {
			t.Fatal(fresh, err)
		}
		x = executiontest.End(t, e, x.ID)
		if x.Status != execution.Succeeded || x.Stages[2].Outputs["b"] != "ok" || x.Number != 1 {
			t.Fatalf("%+v", x)
		}
	}
}
