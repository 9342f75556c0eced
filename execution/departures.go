package execution

import "sync"

// departures tells whoever waits for it that other replicas have gone.
type departures struct {
	mu   sync.Mutex
	next chan struct{}
}

func (d *departures) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.next == nil {
		d.next = make(chan struct{})
	}
	return d.next
}

func (d *departures) tell() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.next != nil {
		close(d.next)
		d.next = nil
	}
}

// Departures returns a channel that is closed at the next time after the call
// that another replica is found to have gone, so that what it did outside of
// executions can be gone on with at once.
func (e *Engine) Departures() <-chan struct{} { return e.gone.wait() }

// Owner names this replica's session to the others, "" while there is none.
func (e *Engine) Owner() string {
	if m := e.session.Load(); m != nil {
		return m.Owner()
	}
	return ""
}
