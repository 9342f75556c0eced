package execution

import (
	"context"
	"errors"
	"sync"
	"time"

	"showrunner/problem"
)

// maxBatch is how many transitions share one commit at most.
const maxBatch = 512

// pendingChange is a change that is queued to be committed. after is called exactly
// once, in commit order, by the goroutine that committed it, and must not block. It
// returns a job for everything that may take time.
type pendingChange struct {
	Change
	member *membership
	after  func(*Change) job
}

// commits is the queue of changes for group commit. One goroutine at a time leads: it
// takes everything that is queued as one batch and makes it durable. Changes that
// come meanwhile are the next batch. A goroutine that has just made a change leads
// when no other does, and goes on with what follows from it, so that on an idle
// engine no other goroutine has to be woken. The committer leads in all other cases.
type commits struct {
	mu      sync.Mutex
	waiting []*pendingChange
	again   []*pendingChange // a batch that failed, for the committer to try again
	led     bool
	ending  bool          // the committer is to end when the queue is empty
	over    bool          // the committer has ended: nothing is committed any more
	wakeup  chan struct{} // capacity 1: the committer has something to do
}

// wake wakes the committer.
func (q *commits) wake() {
	select {
	case q.wakeup <- struct{}{}:
	default:
	}
}

// add queues a change; false: nothing is committed any more. Led says that the
// caller calls lead afterwards.
func (q *commits) add(p *pendingChange, led bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.over {
		return false
	}
	q.waiting = append(q.waiting, p)
	if !led && !q.led {
		q.wake()
	}
	return true
}

// take returns the next batch and makes the caller the leader; nil: nothing is queued,
// or another goroutine leads. Only the committer gets a batch that failed.
func (q *commits) take(committer bool) []*pendingChange {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.led || q.again != nil && !committer {
		return nil
	}
	if batch := q.again; batch != nil {
		q.again, q.led = nil, true
		return batch
	}
	n := min(len(q.waiting), maxBatch)
	if n == 0 {
		return nil
	}
	q.led = true
	batch := q.waiting[:n:n]
	if q.waiting = q.waiting[n:]; len(q.waiting) == 0 {
		q.waiting = nil
	}
	return batch
}

// done ends the lead. The committer tries a batch that failed again.
func (q *commits) done(failed []*pendingChange) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.led, q.again = false, failed
	if failed != nil || len(q.waiting) > 0 || q.ending {
		q.wake()
	}
}

// end closes the queue when it is empty and no goroutine leads.
func (q *commits) end() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ending = true
	q.over = !q.led && q.again == nil && len(q.waiting) == 0
	return q.over
}

// enqueue queues a change. The order of calls for one execution is the order in which
// its changes are applied. Led says that the caller calls lead afterwards.
func (e *Engine) enqueue(p *pendingChange, led bool) {
	e.pending.Add(1)
	if !e.commits.add(p, led) {
		e.pending.Add(-1)
		p.Err = ErrLost
		e.begin(p.after(&p.Change))
	}
}

// commitLoop is the committer. It ends when stop is closed and it is woken.
func (e *Engine) commitLoop(stop <-chan struct{}) {
	for range e.commits.wakeup {
		for batch := e.commits.take(true); batch != nil; batch = e.commits.take(true) {
			m, mine := e.valid(batch)
			next := e.committed(batch, mine, e.persist(m, mine, stop))
			e.commits.done(nil)
			e.begin(next)
		}
		select {
		case <-stop:
			if e.commits.end() {
				return
			}
		default:
		}
	}
}

// lead commits everything that is queued, unless another goroutine leads; that one
// commits it then. It returns a job that follows from the commit.
func (e *Engine) lead() job {
	batch := e.commits.take(false)
	if batch == nil {
		return nil
	}
	m, mine := e.valid(batch)
	err := e.persistOnce(m, mine)
	if err != nil && !errors.Is(err, ErrLost) {
		e.commits.done(batch)
		return nil
	}
	next := e.committed(batch, mine, err)
	e.commits.done(nil)
	return next
}

// valid returns the session, and those changes of a batch that were made under
// it; the others are refused.
func (e *Engine) valid(batch []*pendingChange) (*membership, []*Change) {
	m := e.session.Load()
	mine := make([]*Change, 0, len(batch))
	for _, p := range batch {
		if p.member == m && m != nil && !m.lost() {
			mine = append(mine, &p.Change)
		} else {
			p.Err = ErrLost
		}
	}
	return m, mine
}

// committed reports the outcome of a batch to its changes and to the followers. It
// begins the jobs that follow, except for one that it returns.
func (e *Engine) committed(batch []*pendingChange, mine []*Change, err error) job {
	if err != nil {
		for _, c := range mine {
			c.Err = err
		}
	}
	jobs := make([]job, 0, 1)
	for _, p := range batch {
		if j := p.after(&p.Change); j != nil {
			jobs = append(jobs, j)
		}
	}
	e.followers.committed(mine)
	e.pending.Add(-int64(len(batch)))
	return e.beginOthers(jobs)
}

// persistOnce tries to make a batch durable. Errors: ErrLost when the session is
// lost; after any other the batch may be tried again.
func (e *Engine) persistOnce(m *membership, changes []*Change) error {
	if len(changes) == 0 {
		return nil
	}
	err := m.Commit(context.WithoutCancel(e.base), changes)
	if err == nil && e.outage.set(false) {
		e.log.Info("the database is back")
	}
	if errors.Is(err, ErrLost) {
		m.lose()
	}
	return err
}

// persist makes a batch durable, trying until it is or until the session is lost.
func (e *Engine) persist(m *membership, changes []*Change, stop <-chan struct{}) error {
	for try := 1; ; try++ {
		err := e.persistOnce(m, changes)
		if err == nil || errors.Is(err, ErrLost) {
			return err
		}
		if e.outage.set(true) {
			e.log.Error("the database cannot be written; trying until it can", "error", err)
		}
		t := time.NewTimer(backoff(try, 20*time.Millisecond, time.Second))
		select {
		case <-t.C:
		case <-m.gone:
			t.Stop()
			return ErrLost
		case <-stop:
			t.Stop()
			return problem.Wrap(err, problem.Unavailable, "execution.commit", "the engine stops while the database is unreachable")
		}
	}
}

// submit enqueues a change that belongs to no loaded execution and waits.
func (e *Engine) submit(ctx context.Context, m *membership, op string, c Change) (*Change, error) {
	done := make(chan *Change, 1)
	outage := e.outage.next()
	e.enqueue(&pendingChange{Change: c, member: m, after: func(c *Change) job { done <- c; return nil }}, false)
	select {
	case c := <-done:
		return c, notKnown(op, c.Err)
	case <-outage:
		return nil, notKnown(op, ErrLost)
	case <-ctx.Done():
		return nil, problem.Wrap(context.Cause(ctx), problem.Unavailable, op, "it is not known whether this has been recorded")
	}
}

// notKnown is the error of a request that was under way when the session was lost or
// the database went away.
func notKnown(op string, err error) error {
	if !errors.Is(err, ErrLost) {
		return err
	}
	return unavailable(op, "the database went away, and it is not known whether this has been recorded").
		WithHelp("Ask again with the same key: what has been recorded is not done twice.")
}
