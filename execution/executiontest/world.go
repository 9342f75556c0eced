package executiontest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"

	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// World is what lies outside the engine: effects happen in it, are counted,
// and stay when an engine dies. A life is one engine's time in it; nothing that
// a dead engine still tries has an effect.
type World struct {
	mu      sync.Mutex
	life    int
	effects map[string]int
	calls   int
}

// Live begins a new life, ending the one before.
func (w *World) Live() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.life++
	return w.life
}

// Kill ends the present life.
func (w *World) Kill() { w.Live() }

// act has the effect named by key, unless its life is over.
func (w *World) act(life int, key string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if life != w.life {
		return problem.New(problem.Unavailable, "world.act", "this process is dead")
	}
	if w.effects == nil {
		w.effects = map[string]int{}
	}
	w.effects[key]++
	w.calls++
	return nil
}

func (w *World) did(key string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.effects[key] > 0
}

// Effects returns how often each effect has happened.
func (w *World) Effects() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.effects)
}

// Kinds are the kinds of one life in this world: "effect" has two tasks with an
// effect each; "flaky" fails its first attempt; "poll" waits twice for a moment;
// "ask" waits for the signal "go".
func (w *World) Kinds(life int) []stage.Kind {
	effect := func(_ context.Context, in *stage.Input) (stage.Result, error) {
		if err := w.act(life, in.Key.String()); err != nil {
			return stage.Result{}, err
		}
		return stage.Result{Outcome: stage.Done, Outputs: map[string]any{in.Key.Task: "done"}}, nil
	}
	resume := func(_ context.Context, in *stage.Input) (stage.Result, error) {
		if w.did(in.Key.String()) {
			return stage.Result{Outcome: stage.Done, Outputs: map[string]any{in.Key.Task: "done"}}, nil
		}
		return stage.Result{Outcome: stage.NotStarted}, nil
	}
	flaky := func(ctx context.Context, in *stage.Input) (stage.Result, error) {
		if in.Key.Attempt == 1 {
			return stage.Fail(stage.Failure{Code: "FLAKY", Cause: "the first attempt fails", Retryable: true}), nil
		}
		return effect(ctx, in)
	}
	poll := func(ctx context.Context, in *stage.Input) (stage.Result, error) {
		n := 0
		if in.State != nil {
			if err := json.Unmarshal(in.State, &n); err != nil {
				return stage.Result{}, err
			}
		}
		if n == 2 {
			return effect(ctx, in)
		}
		return stage.Result{Outcome: stage.Again, After: time.Millisecond, State: json.RawMessage(fmt.Sprint(n + 1))}, nil
	}
	ask := func(ctx context.Context, in *stage.Input) (stage.Result, error) {
		for _, s := range in.Signals {
			if s.Name == "go" {
				return effect(ctx, in)
			}
		}
		return stage.Result{Outcome: stage.Again}, nil
	}
	one := func(name string, run func(context.Context, *stage.Input) (stage.Result, error)) Kind {
		return Kind{KindName: name, List: []stage.Task{{Name: "act", Run: run, Resume: resume}}}
	}
	return []stage.Kind{
		Kind{KindName: "effect", List: []stage.Task{{Name: "first", Run: effect, Resume: resume}, {Name: "second", Run: effect, Resume: resume}}},
		one("flaky", flaky), one("poll", poll), one("ask", ask),
	}
}

// Scenario is a pipeline with everything in it that waits, fails, repeats and
// joins; it takes part in a lane.
func Scenario() pipeline.Pipeline {
	return pipeline.Pipeline{Name: "scenario", Concurrency: pipeline.Queue, Stages: []pipeline.Stage{
		{Name: "source", Kind: "effect"},
		{Name: "left", Kind: "flaky", Needs: []string{"source"}, Retry: &pipeline.Retry{Attempts: 1, Backoff: pipeline.Duration(time.Millisecond)}},
		{Name: "right", Kind: "poll", Needs: []string{"source"}},
		{Name: "never", Kind: "effect", Needs: []string{"source"}, When: "false"},
		{Name: "gone", Kind: "flaky", Needs: []string{"source"}, OnFailure: pipeline.Continue},
		{Name: "ask", Kind: "ask", Needs: []string{"left", "right", "never", "gone"}},
		{Name: "last", Kind: "effect", Needs: []string{"ask"}},
	}}
}

// outcome is what has to be the same whatever died when.
func outcome(x execution.Execution) string {
	text := string(x.Status)
	for _, s := range x.Stages {
		text += fmt.Sprintf(" %s=%s/%d", s.Name, s.Status, s.Attempt)
	}
	return text
}
