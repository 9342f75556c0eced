package store_test

import (
	"context"
	"testing"
	"time"

	"showrunner/execution"
	"showrunner/execution/executiontest"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store/pgtest"
)

// slow is a kind whose task waits for a turn each time it is looked at.
func slow(turns int) stage.Kind {
	run := func(_ context.Context, in *stage.Input) (stage.Result, error) {
		if len(in.State) >= turns {
			return stage.Result{Outcome: stage.Done}, nil
		}
		return stage.Result{Outcome: stage.Again, After: 20 * time.Millisecond, State: append(in.State, '1')}, nil
	}
	return executiontest.Kind{KindName: "slow", List: []stage.Task{{Name: "t", Run: run, Resume: stage.Repeat}}}
}

func slowPipeline() pipeline.Pipeline {
	return pipeline.Pipeline{Name: "slow", Concurrency: pipeline.Parallel, Stages: []pipeline.Stage{{Name: "a", Kind: "slow"}, {Name: "b", Kind: "slow", Needs: []string{"a"}}}}
}

// The database goes away in the middle of work and comes back: starts are
// refused meanwhile, with when to ask again, and what ran goes on.
func TestPostgresGoesAwayAndComesBack(t *testing.T) {
	if server == nil {
		t.Skip(pgtest.ErrNone)
	}
	own, err := pgtest.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.Stop(); err != nil {
			t.Error(err)
		}
	})
	at, err := own.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e, stop := executiontest.Start(t, execution.Config{Store: open(t, at), Kinds: []stage.Kind{slow(30)}})
	defer stop()
	x, _, err := e.Start(t.Context(), execution.StartRequest{Application: "app", Definition: slowPipeline()})
	if err != nil {
		t.Fatal(err)
	}
	executiontest.Until(t, e, x.ID, func(x execution.Execution) bool { return len(x.Stages[0].State) > 2 })
	if err := own.Down(); err != nil {
		t.Fatal(err)
	}
	deadline, cancel := context.WithTimeout(t.Context(), executiontest.WaitTime)
	defer cancel()
	for { // the engine learns it at its next write
		try, done := context.WithTimeout(deadline, 200*time.Millisecond)
		_, _, err := e.Start(try, execution.StartRequest{Application: "app", Definition: slowPipeline(), TriggerID: "t", EventID: "1"})
		done()
		if p, ok := problem.Of(err); ok && p.Code == problem.Unavailable && p.RetryAfter > 0 {
			break
		}
		if deadline.Err() != nil {
			t.Fatalf("with the database unreachable a start was answered %v", err)
		}
	}
	if err := own.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if x = executiontest.End(t, e, x.ID); x.Status != execution.Succeeded {
		t.Fatalf("%+v", x)
	}
	for {
		if _, _, err = e.Start(deadline, execution.StartRequest{Application: "app", Definition: slowPipeline(), TriggerID: "t", EventID: "1"}); err == nil {
			break
		}
		if deadline.Err() != nil {
			t.Fatal(err)
		}
	}
}

// Work moves at once when a replica leaves, and an ordered pipeline has one owner throughout.
func TestReplicasShareAndHandOver(t *testing.T) {
	at := address(t, "postgres")
	var engines []*execution.Engine
	var stops []func()
	for range 2 {
		e, stop := executiontest.Start(t, execution.Config{Store: open(t, at), Kinds: []stage.Kind{slow(10)}})
		engines, stops = append(engines, e), append(stops, stop)
	}
	ordered := slowPipeline()
	ordered.Name, ordered.Concurrency = "ordered", pipeline.Queue
	var ids []string
	for i := range 6 {
		p := slowPipeline()
		if i%2 == 0 {
			p = ordered
		}
		x, _, err := engines[i%2].Start(t.Context(), execution.StartRequest{Application: "app", Definition: p})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, x.ID)
	}
	x, _, err := engines[1].Start(t.Context(), execution.StartRequest{Application: "app", Definition: ordered})
	if err != nil {
		t.Fatal(err)
	}
	ids = append(ids, x.ID)
	stops[0]()
	ends := map[int]time.Time{}
	for _, id := range ids {
		x := executiontest.End(t, engines[1], id)
		if x.Status != execution.Succeeded {
			t.Errorf("%+v", x)
		}
		if x.Pipeline == "ordered" {
			ends[x.Number] = *x.Ended
		}
	}
	for n := 2; n <= len(ends); n++ {
		if ends[n].Before(ends[n-1]) {
			t.Errorf("in the ordered pipeline, #%d ended before #%d", n, n-1)
		}
	}
	if err := engines[1].Cancel(t.Context(), ids[0], "ann", ""); problem.CodeOf(err) != problem.Precondition {
		t.Errorf("canceling what has ended: %v", err)
	}
}
