package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"showrunner/execution"
	"showrunner/execution/executiontest"
	"showrunner/pipeline"
	"showrunner/stage"
)

// Replicas share what waits: executions that are all started on one of three are
// handed to the others, those of a replica that ends are spread over the rest, and
// one that joins gets its part. Each waiting task is called by whoever has it, and
// can be woken from anywhere. Replicas that differ by little are left as they are, so
// each has half of its even part at least.
func TestReplicasShareWhatWaits(t *testing.T) {
	const many, queues = 450, 12
	at := address(t, "postgres")
	woken := make(chan struct{}, 10)
	wait := func(_ context.Context, in *stage.Input) (stage.Result, error) {
		if in.State != nil && in.Pipeline == "p" && in.Number == 1 {
			select {
			case woken <- struct{}{}:
			default:
			}
		}
		return stage.Result{Outcome: stage.Again, State: []byte(`{}`)}, nil
	}
	kind := executiontest.Kind{KindName: "act", List: []stage.Task{{Name: "act", Run: wait, Resume: stage.Repeat}}}
	replica := func() (*execution.Engine, func()) {
		return executiontest.Start(t, execution.Config{Store: open(t, at), Kinds: []stage.Kind{kind}})
	}
	one, endOne := replica()
	two, _ := replica()
	three, _ := replica()
	var all []string
	begin := func(name string, c pipeline.Concurrency) {
		x, _, err := one.Start(t.Context(), execution.StartRequest{Application: "app", Definition: pipeline.Pipeline{Name: name, Concurrency: c,
			Stages: []pipeline.Stage{{Name: "s", Kind: "act"}}}})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, x.ID)
	}
	for range many {
		begin("p", pipeline.Parallel)
	}
	for n := range queues {
		begin(fmt.Sprint("queue", n), pipeline.Queue)
	}
	shared := func(what string, least int, engines ...*execution.Engine) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*executiontest.WaitTime)
		defer cancel()
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			counts := make([]int, len(engines))
			lost, fewest := 0, len(all)
			for _, id := range all {
				owners := 0
				for i, e := range engines {
					if e.Owns(id) {
						counts[i]++
						owners++
					}
				}
				if owners != 1 {
					lost++
				}
			}
			for _, n := range counts {
				fewest = min(fewest, n)
			}
			if lost == 0 && fewest >= least {
				tick.Stop()
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("%s: they have %v, %d have not one owner", what, counts, lost)
			}
		}
	}
	shared("all started on one", len(all)/3/2, one, two, three)
	endOne()
	shared("one has ended", len(all)/2/2, two, three)
	four, _ := replica()
	shared("a new one has joined", len(all)/3/2, two, three, four)

	for len(woken) > 0 {
		<-woken
	}
	for _, e := range []*execution.Engine{two, three, four} {
		e.Wake(stage.Key{Execution: all[0], Stage: "s", Attempt: 1, Task: "act"})
		select {
		case <-woken:
		case <-time.After(executiontest.WaitTime):
			t.Fatal("a wake-up was lost")
		}
	}
}

// A replica learns that another has gone also when a third was the first to find it
// dead, and has taken its work over already.
func TestTheExitOfAReplicaIsSeenByAll(t *testing.T) {
	at := address(t, "postgres")
	kind := executiontest.Kind{KindName: "act", List: []stage.Task{{Name: "act", Resume: stage.Repeat}}}
	replica := func() *execution.Engine {
		e, _ := executiontest.Start(t, execution.Config{Store: open(t, at), Kinds: []stage.Kind{kind}})
		return e
	}
	watcher, other := replica(), replica()
	exit := watcher.ReplicaExit()
	limit := time.After(executiontest.WaitTime)
	for tick := time.NewTicker(500 * time.Millisecond); ; { // the first time the watcher may not have seen the other alive
		if _, err := server.Query(t.Context(), at, fmt.Sprintf(`DELETE FROM replica WHERE id = '%s'`, other.Owner())); err != nil {
			t.Fatal(err)
		}
		select {
		case <-exit:
			tick.Stop()
			return
		case <-tick.C:
		case <-limit:
			t.Fatal("the exit was not seen")
		}
	}
}
