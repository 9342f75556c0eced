package execution

import (
	"context"

	"showrunner/stage"
)

// WaitingTasks reads a live execution, whichever replica owns it, and returns what
// gives the input of those of its tasks that wait. It is for work that a task has
// offered to other replicas: the answer is as old as the reading, so to act on it
// needs a fence of its own. The input is not to be used by several goroutines at once.
// Errors: not_found, unavailable.
func (e *Engine) WaitingTasks(ctx context.Context, id string) (func(stage.Key) (*stage.Input, bool), error) {
	snap, err := e.store.Load(ctx, id)
	if err != nil {
		return nil, err
	}
	if snap.Head.Status.Complete() {
		return func(stage.Key) (*stage.Input, bool) { return nil, false }, nil
	}
	p, err := e.plan(ctx, snap.Head.Plan)
	if err != nil {
		return nil, err
	}
	st, err := loadState(p, snap)
	if err != nil {
		return nil, err
	}
	r := newActive(id, nil, st)
	return func(k stage.Key) (*stage.Input, bool) {
		i, known := p.index[k.Stage]
		if !known || st.stopping() {
			return nil, false
		}
		row := st.rows[i]
		if row == nil || row.Phase != PhaseWaiting || row.Attempt != k.Attempt || row.Task != k.Task {
			return nil, false
		}
		in, err := e.input(r, i)
		if err != nil {
			return nil, false // its owner says why
		}
		in.Progress = func(string, ...any) {} // the owner's line
		return in, true
	}, nil
}
