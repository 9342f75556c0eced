package gate

import (
	"context"
	"fmt"
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// Wait is the stage kind wait. The signal "skip" ends it early.
type Wait struct{}

// Name implements stage.Kind.
func (Wait) Name() string { return "wait" }

// Version implements stage.Kind.
func (Wait) Version() int { return 1 }

// Tasks implements stage.Kind.
func (Wait) Tasks() []stage.Task {
	return []stage.Task{{Name: "wait", Run: wait, Resume: stage.Repeat}}
}

func wait(_ context.Context, in *stage.Input) (stage.Result, error) {
	c, ok := in.Config.(pipeline.Wait)
	if !ok {
		return stage.Result{}, problem.New(problem.Internal, "wait", "the configuration is a %T", in.Config)
	}
	due := in.StageStarted.Add(time.Duration(c.For))
	if c.Until != "" {
		until, err := time.Parse(time.RFC3339, c.Until)
		if err != nil {
			return stage.Fail(stage.Failure{Code: "INVALID_TIME", Cause: fmt.Sprintf("until is %q, which is no time", c.Until),
				Help: "write it as RFC 3339, such as 2026-01-31T09:00:00Z"}), nil
		}
		due = until
	}
	for _, s := range current(in) {
		if s.Name == "skip" {
			fmt.Fprintf(in.Log, "%s ended the wait\n", s.By)
			return stage.Result{Outcome: stage.Done}, nil
		}
	}
	if left := due.Sub(in.Now); left > 0 {
		in.Progress("until %s", due.UTC().Format(time.RFC3339))
		return stage.Result{Outcome: stage.Again, After: left}, nil
	}
	return stage.Result{Outcome: stage.Done}, nil
}

// current returns the signals that were sent to this attempt of the stage.
// Those of an earlier one are still there: a restarted approval must not be
// approved by the decision that its first run was given.
func current(in *stage.Input) []stage.Signal {
	var list []stage.Signal
	for _, s := range in.Signals {
		if !s.At.Before(in.StageStarted) {
			list = append(list, s)
		}
	}
	return list
}
