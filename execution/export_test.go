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

// LoadQuietly loads an execution and has it rest, as adoption does before all are loaded.
func (e *Engine) LoadQuietly(ctx context.Context, id string) error {
	_, err := e.load(ctx, id, true)
	return err
}

// Fire does what a timer of the whole execution does.
func (e *Engine) Fire(id string) { e.fire(timer{id: id, stage: wholeExecution}) }

// InMemory says whether an execution is loaded.
func (e *Engine) InMemory(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.active[id] != nil
}
