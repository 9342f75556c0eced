package balancer

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"showrunner/cloud/localcloud/proxy"
)

// queue is the requests that wait for a place at a target of their cluster, the
// oldest first. A place that becomes free is handed over without being free in
// between, so that no later request takes it. Locks are taken in this order: the
// balancer's, a target's, a queue's.
type queue struct {
	length atomic.Int64 // read without the lock

	mu      sync.Mutex
	waiters []*waiter
}

// waiter is one request in a queue.
type waiter struct {
	groups []string     // those that it may go to
	tried  []*target    // except these
	ready  chan *target // nil: choose again
}

func (w *waiter) accepts(t *target) bool {
	return slices.Contains(w.groups, t.group) && !slices.Contains(w.tried, t)
}

func (q *queue) join(w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiters = append(q.waiters, w)
	q.length.Add(1)
}

// leave returns the target that was handed over to w meanwhile, nil for none.
func (q *queue) leave(w *waiter) *target {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.waiters, w); i >= 0 {
		q.remove(i)
		return nil
	}
	select {
	case t := <-w.ready:
		return t
	default:
		return nil
	}
}

func (q *queue) remove(i int) {
	q.waiters = slices.Delete(q.waiters, i, i+1)
	q.length.Add(-1)
}

// give hands a place at t over to the first request that may go there, and says
// whether there was one. The target is locked.
func (q *queue) give(t *target) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.IndexFunc(q.waiters, func(w *waiter) bool { return w.accepts(t) })
	if i < 0 {
		return false
	}
	q.waiters[i].ready <- t
	q.remove(i)
	return true
}

// tell makes every request that may go to t choose again.
func (q *queue) tell(t *target) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := 0; i < len(q.waiters); {
		if w := q.waiters[i]; w.accepts(t) {
			w.ready <- nil
			q.remove(i)
			continue
		}
		i++
	}
}

// wait chooses a target; when there is none it waits for the table to change or
// for a place, so that neither a moment without instances nor a short crowd fails
// a request. Targets that were tried are tried again only after such a change.
func (b *Balancer) wait(ctx context.Context, name string, call *proxy.Call, tried []*target) (*target, *sums, error) {
	var patience <-chan time.Time
	for {
		b.mu.RLock()
		changed := b.changed
		b.mu.RUnlock()
		t, s, err := b.choose(name, call, tried, time.Now())
		if err == nil {
			return t, s, nil
		}
		if patience == nil {
			clock := time.NewTimer(b.config.Patience)
			defer clock.Stop()
			patience = clock.C
		}
		t, s, again, err := b.queued(ctx, name, call, tried, changed, patience)
		switch {
		case t != nil || err != nil:
			return t, s, err
		case again:
			tried = nil
		}
	}
}

// queued waits for a place, a change of the table, or the end of patience, and
// returns a target, an error, or neither: then the choice is made again, anew
// says whether among those that were tried as well.
func (b *Balancer) queued(ctx context.Context, name string, call *proxy.Call, tried []*target, changed <-chan struct{}, patience <-chan time.Time) (t *target, s *sums, anew bool, err error) {
	b.mu.RLock()
	c := b.clusters[name]
	b.mu.RUnlock()
	w := &waiter{tried: tried, ready: make(chan *target, 1)}
	if c != nil && c.config.MaxInFlight > 0 {
		for _, g := range c.eligible(c.version(call), nil) {
			w.groups = append(w.groups, g.config.Name)
		}
		c.queue.join(w)
		defer func() {
			if given := c.queue.leave(w); given != nil {
				if t == nil && ctx.Err() == nil { // it came with the end of the wait
					t, s, err = given, c.sums[given.group], nil
					return
				}
				given.release()
			}
		}()
	}
	t, s, err = b.choose(name, call, tried, time.Now()) // a place may have become free before this one was in the queue
	if err == nil {
		return t, s, false, nil
	}
	look := time.NewTicker(mostBehind / 4)
	defer look.Stop()
	for {
		select {
		case t = <-w.ready:
			if t != nil {
				s = c.sums[t.group]
			}
			return t, s, false, nil
		case <-changed:
			return nil, nil, true, nil
		case now := <-look.C:
			c.giveUpSlow(now)
		case <-patience:
			return nil, nil, false, err
		case <-ctx.Done():
			return nil, nil, false, ctx.Err()
		}
	}
}

// giveUpSlow has clients that are too slow lose the places that others wait for.
func (c *cluster) giveUpSlow(now time.Time) {
	if c == nil || c.config.MaxInFlight == 0 {
		return
	}
	for _, g := range c.groups {
		for _, t := range g.targets {
			t.giveUpSlow(now)
		}
	}
}
