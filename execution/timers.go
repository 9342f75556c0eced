package execution

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"
)

// timerHorizon is how far ahead times are kept in memory; what is due later is found
// in the store by the sweep, which runs twice within it.
const timerHorizon = 2 * time.Minute

// timer is when a stage has to be decided on. A timer that is out of date changes
// nothing.
type timer struct {
	at    time.Time
	id    string
	stage int
}

// timers is the one heap of times to come.
type timers struct {
	mu    sync.Mutex
	heap  timerHeap
	first chan struct{} // a new earliest time was added
	now   func() time.Time
}

func newTimers(now func() time.Time) *timers {
	return &timers{first: make(chan struct{}, 1), now: now}
}

func (t *timers) add(x timer) {
	t.mu.Lock()
	heap.Push(&t.heap, x)
	isFirst := t.heap[0] == x
	t.mu.Unlock()
	if isFirst {
		select {
		case t.first <- struct{}{}:
		default:
		}
	}
}

// pop takes the timers that are due, and says when the next one will be.
func (t *timers) pop() (due []timer, wait time.Duration) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.heap) > 0 && !t.heap[0].at.After(now) {
		due = append(due, heap.Pop(&t.heap).(timer))
	}
	if len(t.heap) == 0 {
		return due, time.Hour
	}
	return due, t.heap[0].at.Sub(now)
}

type timerHeap []timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timerHeap) Push(x any)        { *h = append(*h, x.(timer)) }
func (h *timerHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// wholeExecution is the stage of a timer that is for all of an execution's stages.
const wholeExecution = -1

// timerLoop decides on stages when their timers are due.
func (e *Engine) timerLoop(ctx context.Context) {
	clock := time.NewTimer(0)
	defer clock.Stop()
	for {
		due, wait := e.timers.pop()
		for _, x := range due {
			e.spawn(func() { e.fire(x) })
		}
		clock.Reset(max(wait, time.Millisecond))
		select {
		case <-clock.C:
		case <-e.timers.first:
		case <-ctx.Done():
			return
		}
	}
}

// fire acts on one timer.
func (e *Engine) fire(x timer) {
	r, err := e.load(e.base, x.id, false)
	if err != nil && !errors.Is(err, ErrLost) && e.base.Err() == nil { // the store is unreachable: try again
		e.timers.add(timer{at: e.now().Add(time.Second), id: x.id, stage: x.stage})
	}
	if err != nil || r == nil {
		e.logFailure("looking at an execution whose time has come", x.id, err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.resting {
		return // goOn sets the timer again
	}
	first, last := x.stage, x.stage+1
	if x.stage == wholeExecution {
		first, last = 0, len(r.st.rows)
	}
	for i := first; i < last && !r.gone; i++ {
		if at := r.st.wakeAt(i); !at.IsZero() && !at.After(e.now()) {
			e.applyLocked(r, due{stage: i})
		}
	}
	if !r.gone {
		e.unloadIfWaiting(r)
	}
}

// sweepLoop brings the times that come within the timerHorizon into memory.
func (e *Engine) sweepLoop(ctx context.Context) {
	t := time.NewTicker(timerHorizon / 2)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if err := e.sweep(ctx); err != nil && ctx.Err() == nil {
				e.log.Warn("looking for what is due failed; it is tried again", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (e *Engine) sweep(ctx context.Context) error {
	before := e.now().Add(timerHorizon)
	e.mu.Lock()
	loaded := make([]*activeExecution, 0, len(e.active))
	for _, r := range e.active {
		loaded = append(loaded, r)
	}
	e.mu.Unlock()
	for _, r := range loaded {
		r.mu.Lock()
		e.setTimers(r, before)
		r.mu.Unlock()
	}
	m := e.session.Load()
	if m == nil || m.lost() {
		return nil
	}
	return e.fillTimers(ctx, m, before, false)
}

// setTimers sets a timer for every stage of an execution that has a time to come. The
// execution is locked, or no other goroutine knows it yet.
func (e *Engine) setTimers(r *activeExecution, before time.Time) {
	for i, row := range r.st.rows {
		if row == nil || row.Phase == "" {
			continue
		}
		if at := r.st.wakeAt(i); !at.IsZero() && at.Before(before) {
			e.timers.add(timer{at: at, id: r.id, stage: i})
		}
	}
}

// fillTimers sets timers from the store, for executions that are not in memory. With
// all it does so for the others too: after an adoption no timer is set for stages
// that waited before.
func (e *Engine) fillTimers(ctx context.Context, m *membership, before time.Time, all bool) error {
	dues, err := m.Due(ctx, before)
	if err != nil {
		return err
	}
	for _, d := range dues {
		e.mu.Lock()
		loaded := e.active[d.ID] != nil
		e.mu.Unlock()
		if all || !loaded {
			e.timers.add(timer{at: d.At, id: d.ID, stage: wholeExecution})
		}
	}
	return nil
}

// logFailure logs what could not be done, unless the engine stops.
func (e *Engine) logFailure(what, id string, err error) {
	if err != nil && !errors.Is(err, ErrLost) && e.base.Err() == nil {
		e.log.Warn(what+" failed", "execution", id, "error", err)
	}
}
