package execution

import "sync"

// replicaExits tells goroutines that wait for it that another replica has gone.
type replicaExits struct {
	mu   sync.Mutex
	next chan struct{}
}

func (x *replicaExits) wait() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.next == nil {
		x.next = make(chan struct{})
	}
	return x.next
}

func (x *replicaExits) tell() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.next != nil {
		close(x.next)
		x.next = nil
	}
}

// ReplicaExit returns a channel that is closed when this replica next learns that
// another one has gone. What that one did outside of executions can then be taken
// over at once.
func (e *Engine) ReplicaExit() <-chan struct{} { return e.exits.wait() }

// Owner names this replica's session to the others, "" while there is none.
func (e *Engine) Owner() string {
	if m := e.session.Load(); m != nil {
		return m.Owner()
	}
	return ""
}
