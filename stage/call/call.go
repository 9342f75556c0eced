package call

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// Starter starts pipelines by name, checked and audited as for anybody who asks.
// Errors: not_found, invalid, denied, unavailable.
type Starter interface {
	Start(ctx context.Context, r execution.StartRequest) (execution.Execution, error)
}

// Executions reads executions; *execution.Engine does.
type Executions interface {
	Get(ctx context.Context, id string) (execution.Execution, error)
}

const (
	// triggerID is under which the engine knows the starts of this kind; the
	// event is the task's key, so that a repeated task finds what it started.
	triggerID = "stage.pipeline"
	// maxDepth bounds pipelines that start each other, which may go in a circle.
	maxDepth = 10
	// lookAgain is the backstop of being woken.
	lookAgain = time.Minute
)

// Pipeline is the stage kind pipeline.
type Pipeline struct {
	Starter    Starter
	Executions Executions
}

// Name implements stage.Kind.
func (Pipeline) Name() string { return "pipeline" }

// Version implements stage.Kind.
func (Pipeline) Version() int { return 1 }

// Tasks implements stage.Kind.
func (p Pipeline) Tasks() []stage.Task {
	return []stage.Task{
		{Name: "start", Run: p.start, Resume: stage.Repeat},
		{Name: "wait", Run: p.wait, Resume: stage.Repeat},
	}
}

func config(in *stage.Input) (pipeline.Call, error) {
	c, ok := in.Config.(pipeline.Call)
	if !ok {
		return c, problem.New(problem.Internal, "pipeline", "the configuration is a %T", in.Config)
	}
	c.Application = cmp.Or(c.Application, in.Application)
	return c, nil
}

func (p Pipeline) start(ctx context.Context, in *stage.Input) (stage.Result, error) {
	c, err := config(in)
	if err != nil {
		return stage.Result{}, err
	}
	depth, err := p.depth(ctx, in.Key.Execution)
	if err != nil {
		return stage.Result{}, err
	}
	if depth >= maxDepth {
		return stage.Fail(stage.Failure{Code: "NESTED_TOO_DEEP", Cause: fmt.Sprintf("pipelines start each other more than %d deep", maxDepth),
			Help: "look for a circle: a pipeline that starts itself, by way of others"}), nil
	}
	key := in.Key
	child, err := p.Starter.Start(ctx, execution.StartRequest{
		Application: c.Application, Pipeline: c.Pipeline, Parameters: c.Parameters,
		Trigger: map[string]any{"kind": "pipeline", "id": key.String(), "application": in.Application, "pipeline": in.Pipeline,
			"execution": key.Execution, "actor": in.StartedBy},
		TriggerID: triggerID, EventID: key.String(), By: in.StartedBy, Parent: &key, Traceparent: in.Traceparent,
	})
	if err != nil {
		return refused(err)
	}
	fmt.Fprintf(in.Log, "started %s/%s #%d (%s)\n", c.Application, c.Pipeline, child.Number, child.ID)
	return stage.Result{Outcome: stage.Done, Outputs: map[string]any{"execution": child.ID}}, nil
}

// depth counts the executions above this one.
func (p Pipeline) depth(ctx context.Context, id string) (int, error) {
	for depth := 0; depth < maxDepth; depth++ {
		e, err := p.Executions.Get(ctx, id)
		if problem.CodeOf(err) == problem.NotFound {
			return depth, nil // retention took an ancestor away
		}
		if err != nil {
			return 0, err
		}
		if e.Parent == nil {
			return depth, nil
		}
		id = e.Parent.Execution
	}
	return maxDepth, nil
}

// refused turns the refusal of a start into the stage's failure; what could not
// be found out stays an error.
func refused(err error) (stage.Result, error) {
	code := problem.CodeOf(err)
	if code == problem.Unavailable || code == problem.Internal {
		return stage.Result{}, err
	}
	return stage.Fail(stage.Failure{Code: "NOT_STARTED", Cause: err.Error(), Help: problem.HelpOf(err)}), nil
}

func (p Pipeline) wait(ctx context.Context, in *stage.Input) (stage.Result, error) {
	c, err := config(in)
	if err != nil {
		return stage.Result{}, err
	}
	id, _ := in.Outputs["execution"].(string)
	child, err := p.Executions.Get(ctx, id)
	if problem.CodeOf(err) == problem.NotFound {
		return stage.Fail(stage.Failure{Code: "CHILD_GONE", Cause: fmt.Sprintf("execution %s is not kept any more", id),
			Help: "its history was removed before it could be read; see the retention settings"}), nil
	}
	if err != nil {
		return stage.Result{}, err
	}
	if c.Wait != nil && !*c.Wait {
		return stage.Result{Outcome: stage.Done, Outputs: map[string]any{"status": string(child.Status)}}, nil
	}
	if !child.Status.Complete() {
		in.Progress("%s/%s #%d is %s", child.Application, child.Pipeline, child.Number, strings.ToLower(child.Status.Look().Word))
		return stage.Result{Outcome: stage.Again, After: lookAgain}, nil
	}
	outputs := map[string]any{"status": string(child.Status), "outputs": outputsOf(child)}
	if child.Status == execution.Succeeded {
		return stage.Result{Outcome: stage.Done, Outputs: outputs}, nil
	}
	f := failureOf(child)
	return stage.Result{Outcome: stage.Failed, Outputs: outputs, Failure: &f}, nil
}

func outputsOf(e execution.Execution) map[string]any {
	all := map[string]any{}
	for _, s := range e.Stages {
		if len(s.Outputs) > 0 {
			all[s.Name] = s.Outputs
		}
	}
	return all
}

// failureOf hands on why the other execution failed: the failure of the stage
// that ended it. Where that stage started a pipeline too, its failure is already
// the one at the bottom.
func failureOf(e execution.Execution) stage.Failure {
	name := fmt.Sprintf("%s/%s #%d", e.Application, e.Pipeline, e.Number)
	for _, status := range []execution.Status{execution.Terminal, execution.Stopped} {
		for _, s := range e.Stages {
			if s.Status != status || s.Failure == nil {
				continue
			}
			f := *s.Failure
			f.Cause = fmt.Sprintf("%s, stage %s: %s", name, s.Name, f.Cause)
			f.Retryable = false
			return f
		}
	}
	if e.Status == execution.Canceled {
		f := stage.Failure{Code: "CHILD_CANCELED", Cause: name + " was canceled", Help: "start it again when it is wanted"}
		if e.Canceling != nil && e.Canceling.By != "" {
			f.Cause += " by " + e.Canceling.By
			if e.Canceling.Reason != "" {
				f.Cause += ": " + e.Canceling.Reason
			}
		}
		return f
	}
	f := stage.Failure{Code: "CHILD_FAILED", Cause: name + " failed", Help: "showrunner executions show " + e.ID}
	if e.Cause != "" {
		f.Cause += ": " + e.Cause
	}
	return f
}
