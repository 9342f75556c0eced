package execution

import (
	"context"
	"time"
)

const (
	// balanceEvery is how often a replica compares its load with the others'.
	balanceEvery = time.Second
	// balanceFrom is how many executions more than the average are no reason to give
	// any away; beyond, and beyond a quarter of the average, some are.
	balanceFrom = 32
	// balanceAtOnce bounds how many are handed over together. Each is loaded and called
	// once by its new owner, which must not slow down what runs.
	balanceAtOnce = 100
)

// balanceLoop hands executions that only wait over to replicas that have fewer, as
// when one that was started anew has none, or when all were started on this one.
func (e *Engine) balanceLoop(ctx context.Context) {
	t := time.NewTicker(balanceEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if err := e.balance(ctx); err != nil && ctx.Err() == nil {
				e.log.Warn("handing executions over failed; it is tried again", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (e *Engine) balance(ctx context.Context) error {
	m := e.session.Load()
	if m == nil || m.lost() {
		return nil
	}
	b, shared := m.Session.(Balancer)
	e.mu.Lock()
	own := len(e.owned)
	e.mu.Unlock()
	if !shared || own <= balanceFrom || e.outage.is() {
		return nil
	}
	loads, err := b.Loads(ctx)
	if err != nil {
		return err
	}
	to, n := surplus(loads, m.Owner())
	if n == 0 {
		return nil
	}
	return e.handOver(ctx, b, to, n)
}

// surplus says to which session one should hand executions over, and how many. Half
// of what the other lacks: a third may give it some at the same moment.
func surplus(loads map[string]int, me string) (to string, n int) {
	if len(loads) < 2 {
		return "", 0
	}
	total := 0
	for id, n := range loads {
		total += n
		if id != me && (to == "" || n < loads[to] || n == loads[to] && id < to) {
			to = id
		}
	}
	average := total / len(loads)
	if loads[me] <= average+max(average/4, balanceFrom) {
		return "", 0
	}
	return to, max(0, min(loads[me]-average, (average-loads[to]+1)/2, balanceAtOnce))
}

// handOver gives up to n executions to another session. Only those are given that
// are not in memory: nothing of them is under way. Whoever wants to load one of them
// meanwhile waits, and then finds that it is another's.
func (e *Engine) handOver(ctx context.Context, b Balancer, to string, n int) error {
	var ids []string
	done := make(chan struct{})
	e.mu.Lock()
	for id := range e.owned {
		if len(ids) == n {
			break
		}
		if e.active[id] == nil && e.loading[id] == nil {
			ids = append(ids, id)
			e.loading[id] = done
		}
	}
	e.mu.Unlock()
	defer close(done)
	given, err := b.HandOver(ctx, ids, to)
	for _, id := range given {
		e.disown(id)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		delete(e.loading, id)
	}
	return err
}
