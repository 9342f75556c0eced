package execution

import (
	"context"

	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store/record"
)

// Engine carries executions out. Its methods may be used from any goroutine.
type Engine struct{}

var errNotRunning = problem.New(problem.Unavailable, "execution", "the engine does not run yet")

// Start begins an execution. It returns once the execution is durable; false
// says that this event had started it before. Errors: invalid, unavailable.
func (e *Engine) Start(ctx context.Context, r StartRequest) (Execution, bool, error) {
	return Execution{}, false, errNotRunning
}

// Cancel asks for an execution's end. It returns once the wish is durable; the
// end is confirmed by the execution's status. Errors: not_found, precondition
// when it has ended, unavailable.
func (e *Engine) Cancel(ctx context.Context, id, by, reason string) error { return errNotRunning }

// Signal sends a message to a stage; a second one with the same ID does
// nothing. Errors: not_found, precondition when the stage has ended, unavailable.
func (e *Engine) Signal(ctx context.Context, id, stageName string, s stage.Signal) error {
	return errNotRunning
}

// Restart lets an execution that has ended go on from a stage: that stage and
// everything downstream of it run again as a new attempt.
func (e *Engine) Restart(ctx context.Context, id, stageName, by string) error { return errNotRunning }

// Get returns an execution with its stages. Errors: not_found, unavailable.
func (e *Engine) Get(ctx context.Context, id string) (Execution, error) {
	return Execution{}, errNotRunning
}

// List returns a page of executions without their stages.
func (e *Engine) List(ctx context.Context, q Query) (Page, error) { return Page{}, errNotRunning }

// Events returns up to limit events after position from.
func (e *Engine) Events(ctx context.Context, from int64, f record.Filter, limit int) (record.Slice, error) {
	return record.Slice{}, errNotRunning
}

// Follow sends every selected event after position from, in order, none missed
// and none repeated, until ctx ends, when it closes the channel.
func (e *Engine) Follow(ctx context.Context, from int64, f record.Filter) <-chan record.Slice {
	return nil
}

// Wake has a waiting task called at once. It implements stage.Waker.
func (e *Engine) Wake(k stage.Key) {}

// Run adopts what is live and carries it out until ctx ends; running tasks are
// then detached, so that what they do outside goes on.
func (e *Engine) Run(ctx context.Context) error { return errNotRunning }
