package notification

import (
	"context"
	"sync"
	"time"

	"showrunner/problem"
)

const (
	// The pause before a receiver is called again doubles from firstPause to lastPause.
	firstPause = time.Second
	lastPause  = 5 * time.Minute
	// gonePause is the pause after a receiver has said that it is gone for good. It is
	// asked again all the same: a new secret may have been set meanwhile.
	gonePause = 15 * time.Minute
	// mostReceivers bounds how many receivers are called at the same time.
	mostReceivers = 32
)

// queue has the runs of each receiver told one after the other. A receiver that fails
// delays its own runs alone: while it is left alone nothing is sent to it, then one run
// is tried. Runs that wait hold a key each.
type queue struct {
	ctx   context.Context
	group *sync.WaitGroup
	now   func() time.Time
	tell  func(ctx context.Context, key string) error
	slots chan struct{}

	mu        sync.Mutex
	receivers map[string]*receiver
}

type receiver struct {
	keys     []string
	waiting  map[string]bool // keys in the list
	running  bool
	failures int
}

func newQueue(ctx context.Context, group *sync.WaitGroup, now func() time.Time, tell func(ctx context.Context, key string) error) *queue {
	return &queue{ctx: ctx, group: group, now: now, tell: tell, slots: make(chan struct{}, mostReceivers), receivers: map[string]*receiver{}}
}

// add has a run told. It never blocks.
func (q *queue) add(name, key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.receivers[name]
	if r == nil {
		r = &receiver{waiting: map[string]bool{}}
		q.receivers[name] = r
	}
	if !r.waiting[key] {
		r.waiting[key] = true
		r.keys = append(r.keys, key)
	}
	if !r.running {
		r.running = true
		q.group.Go(func() { q.serve(name, r) })
	}
}

// serve tells what waits for one receiver, and ends when nothing does.
func (q *queue) serve(name string, r *receiver) {
	for {
		key, ok := q.next(name, r)
		if !ok {
			return
		}
		select {
		case q.slots <- struct{}{}:
		case <-q.ctx.Done():
			return
		}
		err := q.tell(q.ctx, key)
		<-q.slots
		if q.ctx.Err() != nil {
			return
		}
		if err == nil {
			r.failures = 0
			continue
		}
		q.mu.Lock()
		if !r.waiting[key] { // first again: the runs of a receiver keep their order
			r.waiting[key] = true
			r.keys = append([]string{key}, r.keys...)
		}
		q.mu.Unlock()
		pause := pauseOf(err, r.failures)
		r.failures++
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-q.ctx.Done():
			t.Stop()
			return
		}
	}
}

// next takes the first key; false when there is none.
func (q *queue) next(name string, r *receiver) (string, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(r.keys) == 0 {
		r.running = false
		delete(q.receivers, name)
		return "", false
	}
	key := r.keys[0]
	r.keys = r.keys[1:]
	delete(r.waiting, key)
	return key, true
}

// pauseOf is how long a receiver is left alone after an error.
func pauseOf(err error, failures int) time.Duration {
	if problem.CodeOf(err) == problem.Conflict {
		return firstPause // the record was written meanwhile: look again
	}
	if problem.CodeOf(err) == problem.NotFound {
		return gonePause
	}
	pause := min(lastPause, firstPause<<min(failures, 10))
	if p, ok := problem.Of(err); ok {
		pause = max(pause, p.RetryAfter)
	}
	return pause
}
