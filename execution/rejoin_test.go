package execution_test

import (
	"context"
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

// A session is lost and joined again while a task's call, which does not look
// at its context, is still under way: the task is asked what became of it only
// when that call has returned, so its effect happens once.
func TestACallOutlivesItsSession(t *testing.T) {
	st := openSQLite(t, filepath.Join(t.TempDir(), "db"))
	defer closeStore(t, st)
	var effects, inside atomic.Int32
	began, release := make(chan struct{}), make(chan struct{})
	first := sync.OnceFunc(func() { close(began) })
	act := stage.Task{Name: "act",
		Run: func(_ context.Context, in *stage.Input) (stage.Result, error) {
			if inside.Add(1) > 1 {
				t.Error("two calls of one task at the same time")
			}
			defer inside.Add(-1)
			first()
			<-release
			effects.Add(1)
			return stage.Result{Outcome: stage.Done}, nil
		},
		Resume: func(context.Context, *stage.Input) (stage.Result, error) {
			if inside.Load() > 0 {
				t.Error("a task is asked what became of it while it is under way")
			}
			if effects.Load() > 0 {
				return stage.Result{Outcome: stage.Done}, nil
			}
			return stage.Result{Outcome: stage.NotStarted}, nil
		}}
	quick := func(context.Context, *stage.Input) (stage.Result, error) {
		return stage.Result{Outcome: stage.Done}, nil
	}
	e, stop := executiontest.Start(t, execution.Config{Store: st, Kinds: []stage.Kind{executiontest.Kind{KindName: "act", List: []stage.Task{act}},
		executiontest.Kind{KindName: "quick", List: []stage.Task{{Name: "t", Run: quick, Resume: stage.Repeat}}}}})
	defer stop()
	start := func(kind string) string {
		t.Helper()
		for {
			x, _, err := e.Start(t.Context(), execution.StartRequest{Application: "app", Pipeline: kind,
				Definition: pipeline.Pipeline{Name: kind, Concurrency: pipeline.Parallel, Stages: []pipeline.Stage{{Name: "s", Kind: kind}}}})
			if err == nil {
				return x.ID
			}
			if t.Context().Err() != nil {
				t.Fatal(err)
			}
		}
	}
	id := start("act")
	<-began
	if _, err := st.Join(t.Context(), time.Now); err != nil { // the engine's session is lost by that
		t.Fatal(err)
	}
	executiontest.End(t, e, start("quick")) // it has joined again
	close(release)
	if x := executiontest.End(t, e, id); x.Status != execution.Succeeded || effects.Load() != 1 {
		t.Errorf("%s after %d effects", x.Status, effects.Load())
	}
}
