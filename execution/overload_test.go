package execution_test

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"

	"showrunner/execution"
	"showrunner/execution/executiontest"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store/record"
)

// instant is a kind that is done at once.
func instant() stage.Kind {
	done := func(context.Context, *stage.Input) (stage.Result, error) {
		return stage.Result{Outcome: stage.Done}, nil
	}
	return executiontest.Kind{KindName: "instant", List: []stage.Task{{Name: "t", Run: done, Resume: stage.Repeat}}}
}

func TestLargePipelines(t *testing.T) {
	st := openSQLite(t, filepath.Join(t.TempDir(), "db"))
	defer closeStore(t, st)
	e, stop := executiontest.Start(t, execution.Config{Store: st, Kinds: []stage.Kind{instant()}})
	defer stop()
	fan := pipeline.Pipeline{Name: "fan", Concurrency: pipeline.Parallel, Stages: []pipeline.Stage{{Name: "begin", Kind: "instant"}}}
	end := pipeline.Stage{Name: "end", Kind: "instant"}
	for i := range 1000 {
		s := pipeline.Stage{Name: fmt.Sprintf("s%d", i), Kind: "instant", Needs: []string{"begin"}}
		fan.Stages, end.Needs = append(fan.Stages, s), append(end.Needs, s.Name)
	}
	fan.Stages = append(fan.Stages, end)
	// Ten thousand stages: a hundred chains of a hundred.
	long := pipeline.Pipeline{Name: "long", Concurrency: pipeline.Queue}
	for i := range 10_000 {
		s := pipeline.Stage{Name: fmt.Sprintf("s%d", i), Kind: "instant"}
		if i >= 100 {
			s.Needs = []string{fmt.Sprintf("s%d", i-100)}
		}
		long.Stages = append(long.Stages, s)
	}
	for _, p := range []pipeline.Pipeline{fan, long} {
		t.Run(p.Name, func(t *testing.T) {
			x, _, err := e.Start(t.Context(), execution.StartRequest{Application: "app", Definition: p})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 3*executiontest.WaitTime)
			defer cancel()
			for range e.Follow(ctx, 0, record.Filter{Application: "app", Pipeline: p.Name, Types: []string{"execution.succeeded", "execution.failed"}}) {
				break
			}
			if x, err = e.Get(t.Context(), x.ID); err != nil {
				t.Fatal(err)
			}
			if x.Status != execution.Succeeded || len(x.Stages) != len(p.Stages) {
				t.Fatalf("%d stages, %s", len(x.Stages), x.Status)
			}
			for _, s := range x.Stages {
				if s.Status != execution.Succeeded {
					t.Fatalf("%+v", s)
				}
			}
		})
	}
}

// What is more than a replica takes on is refused with when to ask again, and an
// application that takes all it may leaves room for others.
func TestAdmission(t *testing.T) {
	st := openSQLite(t, filepath.Join(t.TempDir(), "db"))
	defer closeStore(t, st)
	wait := executiontest.Kind{KindName: "wait", List: []stage.Task{{Name: "t", Run: func(context.Context, *stage.Input) (stage.Result, error) {
		return stage.Result{Outcome: stage.Again}, nil
	}, Resume: stage.Repeat}}}
	e, stop := executiontest.Start(t, execution.Config{Store: st, Kinds: []stage.Kind{wait}, Limits: execution.Limits{Live: 6, Share: 4, Queued: 2}})
	defer stop()
	start := func(app, name string, c pipeline.Concurrency) (string, error) {
		x, _, err := e.Start(t.Context(), execution.StartRequest{Application: app, Definition: pipeline.Pipeline{Name: name, Concurrency: c,
			Stages: []pipeline.Stage{{Name: "a", Kind: "wait"}}}})
		return x.ID, err
	}
	must := func(app, name string, c pipeline.Concurrency) string {
		t.Helper()
		id, err := start(app, name, c)
		if err != nil {
			t.Fatal(err)
		}
		executiontest.Until(t, e, id, func(x execution.Execution) bool { return x.Stages[0].Phase != "" })
		return id
	}
	refused := func(app, name string, c pipeline.Concurrency) {
		t.Helper()
		_, err := start(app, name, c)
		p, ok := problem.Of(err)
		if !ok || p.Code != problem.Unavailable || !p.Busy || p.RetryAfter <= 0 {
			t.Fatalf("it was answered %v", err)
		}
	}
	var first string
	for i := range 4 {
		if id := must("greedy", "p", pipeline.Parallel); i == 0 {
			first = id
		}
	}
	refused("greedy", "p", pipeline.Parallel)
	must("modest", "line", pipeline.Queue)
	must("modest", "line", pipeline.Queue)
	refused("modest", "line", pipeline.Queue)
	refused("third", "p", pipeline.Parallel) // full
	if err := e.Cancel(t.Context(), first, "ann", "room"); err != nil {
		t.Fatal(err)
	}
	executiontest.End(t, e, first)
	for { // its end is on disk before the replica counts it
		_, err := start("third", "p", pipeline.Parallel)
		if err == nil {
			break
		}
		if p, ok := problem.Of(err); !ok || !p.Busy || t.Context().Err() != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
}
