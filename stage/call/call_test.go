package call

import (
	"context"
	"io"
	"strings"
	"testing"

	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// engine holds executions and starts one for each event.
type engine struct {
	all    map[string]execution.Execution
	starts []execution.StartRequest
	fail   error
}

func (e *engine) Start(_ context.Context, r execution.StartRequest) (execution.Execution, error) {
	if e.fail != nil {
		return execution.Execution{}, e.fail
	}
	if name := r.Application + "/" + r.Pipeline; name != "shop/smoke" && name != "bank/smoke" {
		return execution.Execution{}, problem.New(problem.NotFound, "pipeline", "application %s has no pipeline %q", r.Application, r.Pipeline)
	}
	for i, s := range e.starts {
		if s.TriggerID == r.TriggerID && s.EventID == r.EventID {
			return e.all[id(i)], nil
		}
	}
	e.starts = append(e.starts, r)
	child := execution.Execution{ID: id(len(e.starts) - 1), Number: len(e.starts), Application: r.Application, Pipeline: r.Pipeline, Parent: r.Parent, Status: execution.Running}
	e.all[child.ID] = child
	return child, nil
}

func id(i int) string { return "child" + string(rune('0'+i)) }

func (e *engine) Get(_ context.Context, id string) (execution.Execution, error) {
	if got, ok := e.all[id]; ok {
		return got, nil
	}
	return execution.Execution{}, problem.New(problem.NotFound, "execution.get", "there is no execution %q", id)
}

func bench() (Pipeline, *engine, *stage.Input) {
	e := &engine{all: map[string]execution.Execution{"parent": {ID: "parent"}}}
	p := Pipeline{Starter: e, Executions: e}
	in := &stage.Input{Key: stage.Key{Execution: "parent", Stage: "test", Attempt: 1, Task: "start"}, Application: "shop", Pipeline: "release", StartedBy: "ada",
		Config: pipeline.Call{Pipeline: "smoke", Parameters: map[string]string{"target": "prod"}}, Outputs: map[string]any{"execution": "child0"},
		Log: io.Discard, Progress: func(string, ...any) {}}
	return p, e, in
}

func TestStartsOnce(t *testing.T) {
	p, e, in := bench()
	for range 2 { // the second as after a crash
		got, err := p.start(t.Context(), in)
		if err != nil || got.Outcome != stage.Done || got.Outputs["execution"] != "child0" {
			t.Fatalf("start: %+v, %v", got, err)
		}
	}
	if len(e.starts) != 1 {
		t.Fatalf("%d starts", len(e.starts))
	}
	r := e.starts[0]
	if r.Application != "shop" || r.Pipeline != "smoke" || r.Parameters["target"] != "prod" || r.Parent == nil || *r.Parent != in.Key || r.EventID != "parent/test/1/start" || r.By != "ada" {
		t.Errorf("request: %+v", r)
	}
	in.Config = pipeline.Call{Application: "bank", Pipeline: "smoke"}
	in.Key.Attempt = 2
	if _, err := p.start(t.Context(), in); err != nil || e.starts[1].Application != "bank" {
		t.Errorf("another application: %+v, %v", e.starts, err)
	}
}

func TestStartRefused(t *testing.T) {
	p, e, in := bench()
	in.Config = pipeline.Call{Pipeline: "nope"}
	if got, err := p.start(t.Context(), in); err != nil || got.Failure == nil || got.Failure.Code != "NOT_STARTED" {
		t.Errorf("unknown: %+v, %v", got, err)
	}
	in.Config = pipeline.Call{Pipeline: "smoke"}
	e.fail = problem.New(problem.Invalid, "execution.start", "%q is required", "x")
	if got, err := p.start(t.Context(), in); err != nil || got.Failure == nil || !strings.Contains(got.Failure.Cause, "is required") {
		t.Errorf("invalid: %+v, %v", got, err)
	}
	e.fail = problem.New(problem.Unavailable, "execution.start", "unreachable")
	if got, err := p.start(t.Context(), in); err == nil {
		t.Errorf("unavailable is no failure of the stage: %+v", got)
	}
}

func TestCircleEnds(t *testing.T) {
	p, e, in := bench()
	for depth := 0; ; depth++ {
		got, err := p.start(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if got.Outcome == stage.Failed {
			if got.Failure.Code != "NESTED_TOO_DEEP" || depth != maxDepth {
				t.Errorf("at depth %d: %+v", depth, got.Failure)
			}
			return
		}
		if len(e.starts) > maxDepth {
			t.Fatal("no end")
		}
		in.Key.Execution = got.Outputs["execution"].(string)
	}
}

func TestWaits(t *testing.T) {
	no := false
	deep := &stage.Failure{Code: "BUILD_FAILED", Cause: "bank/unit #3, stage compile: exit code 2", Evidence: []string{"main.go:1"}, Help: "mend it", Retryable: true}
	for name, tt := range map[string]struct {
		child   execution.Execution
		config  pipeline.Call
		outcome stage.Outcome
		code    string
		cause   string
	}{
		"runs":              {execution.Execution{Status: execution.Running}, pipeline.Call{Pipeline: "smoke"}, stage.Again, "", ""},
		"is paused":         {execution.Execution{Status: execution.Paused}, pipeline.Call{Pipeline: "smoke"}, stage.Again, "", ""},
		"is not waited for": {execution.Execution{Status: execution.Running}, pipeline.Call{Pipeline: "smoke", Wait: &no}, stage.Done, "", ""},
		"succeeded": {execution.Execution{Status: execution.Succeeded, Stages: []execution.StageState{{Name: "s", Outputs: map[string]any{"n": 1}}, {Name: "none"}}},
			pipeline.Call{Pipeline: "smoke"}, stage.Done, "", ""},
		"failed deep down": {execution.Execution{Application: "shop", Pipeline: "smoke", Number: 7, Status: execution.Terminal, Stages: []execution.StageState{
			{Name: "ok", Status: execution.Succeeded}, {Name: "unit", Status: execution.Terminal, Failure: deep}}},
			pipeline.Call{Pipeline: "smoke"}, stage.Failed, "BUILD_FAILED", "shop/smoke #7, stage unit: bank/unit #3, stage compile: exit code 2"},
		"canceled": {execution.Execution{Application: "shop", Pipeline: "smoke", Number: 7, Status: execution.Canceled, Canceling: &execution.Cancellation{By: "bob", Reason: "wrong one"}},
			pipeline.Call{Pipeline: "smoke"}, stage.Failed, "CHILD_CANCELED", "shop/smoke #7 was canceled by bob: wrong one"},
		"failed without a stage": {execution.Execution{Application: "shop", Pipeline: "smoke", Number: 7, Status: execution.Terminal, Cause: "expired"},
			pipeline.Call{Pipeline: "smoke"}, stage.Failed, "CHILD_FAILED", "shop/smoke #7 failed: expired"},
	} {
		p, e, in := bench()
		tt.child.ID = "child0"
		e.all["child0"] = tt.child
		in.Config = tt.config
		got, err := p.wait(t.Context(), in)
		if err != nil || got.Outcome != tt.outcome {
			t.Errorf("%s: %+v, %v", name, got, err)
			continue
		}
		if tt.outcome == stage.Failed && (got.Failure.Code != tt.code || got.Failure.Cause != tt.cause || got.Failure.Retryable) {
			t.Errorf("%s: %+v", name, got.Failure)
		}
		if name == "succeeded" {
			outputs := got.Outputs["outputs"].(map[string]any)
			if got.Outputs["status"] != "Succeeded" || len(outputs) != 1 || outputs["s"] == nil {
				t.Errorf("%s: %+v", name, got.Outputs)
			}
		}
	}
	if deep.Cause != "bank/unit #3, stage compile: exit code 2" {
		t.Error("the other execution's failure was changed")
	}
	p, _, in := bench()
	if got, err := p.wait(t.Context(), in); err != nil || got.Failure == nil || got.Failure.Code != "CHILD_GONE" {
		t.Errorf("gone: %+v, %v", got, err)
	}
}
