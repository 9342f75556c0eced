package execution

import "context"

// TakeOver does what adoption does with an execution that is this engine's.
func (e *Engine) TakeOver(ctx context.Context, id string) error {
	return e.takeOver(ctx, []Claim{{ID: id}})
}

// Calls is how many tasks of an execution are being called.
func (e *Engine) Calls(id string) int {
	e.mu.Lock()
	r := e.active[id]
	e.mu.Unlock()
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.calls)
}
