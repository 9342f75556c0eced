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
	at      int // the write at which something goes wrong, for messages
	start   func(context.Context, execution.StartRequest) (execution.Execution, bool, error)
}

// Start says with which engine this life's stages start executions of their own.
func (w *World) Start(e *execution.Engine) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.start = e.Start
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
// "ask" waits for the signal "go"; "stuck" waits for ever; "blind" has an effect
// and cannot be asked about it; "poison" answers what is no outcome; "child"
// starts an execution and waits for its end.
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
	stuck := func(context.Context, *stage.Input) (stage.Result, error) {
		return stage.Result{Outcome: stage.Again}, nil
	}
	poison := func(context.Context, *stage.Input) (stage.Result, error) {
		return stage.Result{Outcome: "nonsense"}, nil
	}
	child := func(ctx context.Context, in *stage.Input) (stage.Result, error) {
		for _, s := range in.Signals {
			if s.Name == "ended" {
				return effect(ctx, in)
			}
		}
		w.mu.Lock()
		start := w.start
		w.mu.Unlock()
		_, _, err := start(ctx, execution.StartRequest{Application: in.Application, TriggerID: "child", EventID: in.Key.String(), Parent: &in.Key,
			Definition: pipeline.Pipeline{Name: "child", Stages: []pipeline.Stage{{Name: "only", Kind: "effect"}}}})
		if err != nil {
			return stage.Result{}, err
		}
		return stage.Result{Outcome: stage.Again}, nil
	}
	one := func(name string, run func(context.Context, *stage.Input) (stage.Result, error)) Kind {
		return Kind{KindName: name, List: []stage.Task{{Name: "act", Run: run, Resume: resume}}}
	}
	return []stage.Kind{
		Kind{KindName: "effect", List: []stage.Task{{Name: "first", Run: effect, Resume: resume}, {Name: "second", Run: effect, Resume: resume}}},
		one("flaky", flaky), one("poll", poll), one("ask", ask), one("stuck", stuck), one("poison", poison), one("child", child),
		Kind{KindName: "blind", List: []stage.Task{{Name: "act", Run: effect}}},
	}
}

// Scenario is a pipeline with everything in it that waits, fails, repeats,
// branches and joins, runs out of time, starts another, or needs a person; it
// takes part in an ordered pipeline. It is canceled while it asks, and restarted from there.
func Scenario() pipeline.Pipeline {
	return pipeline.Pipeline{Name: "scenario", Concurrency: pipeline.Queue, Stages: []pipeline.Stage{
		{Name: "source", Kind: "effect"},
		{Name: "left", Kind: "flaky", Needs: []string{"source"}, Retry: &pipeline.Retry{Attempts: 1, Backoff: pipeline.Duration(time.Millisecond)}},
		{Name: "right", Kind: "poll", Needs: []string{"source"}},
		{Name: "never", Kind: "effect", Needs: []string{"source"}, When: "false"},
		{Name: "gone", Kind: "flaky", Needs: []string{"source"}, OnFailure: pipeline.Continue},
		{Name: "late", Kind: "stuck", Needs: []string{"source"}, Timeout: pipeline.Duration(5 * time.Millisecond), OnFailure: pipeline.Continue},
		{Name: "blind", Kind: "blind", Needs: []string{"source"}},
		{Name: "poison", Kind: "poison", Needs: []string{"source"}},
		{Name: "child", Kind: "child", Needs: []string{"source"}},
		{Name: "ask", Kind: "ask", Needs: []string{"left", "right", "never", "gone", "late", "blind", "poison", "child"}},
		{Name: "last", Kind: "effect", Needs: []string{"ask"}},
	}}
}

// outcome is what has to be the same whatever died when.
func outcome(x execution.Execution) string {
	text := string(x.Status)
	for _, s := range x.Stages {
		text += fmt.Sprintf(" %s=%s/%d", s.Name, s.Status, s.Attempt)
		if s.Phase != "" {
			text += "(" + string(s.Phase) + ")"
		}
	}
	return text
}
