package engine

import (
	"context"
	"sync"

	"showrunner/execution"
	"showrunner/store/record"
)

// endings notifies goroutines that wait for the end of an execution, from the
// event log as any watcher sees it.
type endings struct {
	mu      sync.Mutex
	ended   map[string]bool
	waiting map[string]chan struct{}
	stop    context.CancelFunc
}

func newEndings(ctx context.Context, e *execution.Engine) (*endings, error) {
	from, err := e.End(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	n := &endings{ended: map[string]bool{}, waiting: map[string]chan struct{}{}, stop: cancel}
	events := e.Follow(ctx, from, record.Filter{Types: []string{"execution.succeeded", "execution.failed", "execution.canceled"}})
	go func() {
		for s := range events {
			n.mu.Lock()
			for _, ev := range s.Events {
				n.ended[ev.Execution] = true
				if ch := n.waiting[ev.Execution]; ch != nil {
					close(ch)
					delete(n.waiting, ev.Execution)
				}
			}
			n.mu.Unlock()
		}
	}()
	return n, nil
}

func (n *endings) wait(id string) {
	n.mu.Lock()
	if n.ended[id] {
		n.mu.Unlock()
		return
	}
	ch := make(chan struct{})
	n.waiting[id] = ch
	n.mu.Unlock()
	<-ch
}
