package execution

import (
	"context"
	"errors"
	"time"

	"showrunner/problem"
)

// maxBatch is how many transitions share one commit at most.
const maxBatch = 512

// pendingChange is a change on its way to disk. after is called exactly once,
// in commit order, by the committer: it must not block.
type pendingChange struct {
	Change
	member *member
	after  func(*Change)
}

// enqueue hands a change to the committer. The order of calls for one
// execution is the order in which its changes are applied.
func (e *Engine) enqueue(p *pendingChange) {
	e.pending.Add(1)
	select {
	case e.commits <- p:
	case <-e.stopped:
		e.pending.Add(-1)
		p.Err = ErrLost
		p.after(&p.Change)
	}
}

// commitLoop is the one goroutine that commits: a batch is whatever has queued
// up while the last one was being made durable.
func (e *Engine) commitLoop(stop <-chan struct{}) {
	batch := make([]*pendingChange, 0, maxBatch)
	for {
		batch = batch[:0]
		select {
		case p := <-e.commits:
			batch = append(batch, p)
		case <-stop:
			select {
			case p := <-e.commits:
				batch = append(batch, p)
			default:
				return
			}
		}
	fill:
		for len(batch) < maxBatch {
			select {
			case p := <-e.commits:
				batch = append(batch, p)
			default:
				break fill
			}
		}
		e.commit(batch, stop)
	}
}

// commit makes a batch durable, trying until it is or until the session is lost.
func (e *Engine) commit(batch []*pendingChange, stop <-chan struct{}) {
	defer e.pending.Add(-int64(len(batch)))
	m := e.session.Load()
	mine := make([]*Change, 0, len(batch))
	for _, p := range batch {
		if p.member == m && m != nil && !m.lost() {
			mine = append(mine, &p.Change)
		} else {
			p.Err = ErrLost
		}
	}
	if err := e.persist(m, mine, stop); err != nil {
		for _, c := range mine {
			c.Err = err
		}
	}
	var last int64
	for _, c := range mine {
		last = max(last, c.Last)
	}
	for _, p := range batch {
		p.after(&p.Change)
	}
	if last > 0 {
		e.logEnd.raise(last)
	}
}

func (e *Engine) persist(m *member, changes []*Change, stop <-chan struct{}) error {
	if len(changes) == 0 {
		return nil
	}
	for try := 1; ; try++ {
		err := m.Commit(context.WithoutCancel(e.base), changes)
		if err == nil {
			if e.outage.set(false) {
				e.log.Info("the database is back")
			}
			return nil
		}
		if errors.Is(err, ErrLost) {
			m.lose()
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
			return problem.Wrap(err, problem.Unavailable, "execution.commit", "the engine stops while the database is away")
		}
	}
}

// submit enqueues a change that belongs to no loaded execution and waits.
func (e *Engine) submit(ctx context.Context, m *member, op string, c Change) (*Change, error) {
	done := make(chan *Change, 1)
	outage := e.outage.next()
	p := &pendingChange{Change: c, member: m, after: func(c *Change) { done <- c }}
	e.enqueue(p)
	select {
	case c := <-done:
		return c, notKnown(op, c.Err)
	case <-outage:
		return nil, notKnown(op, ErrLost)
	case <-ctx.Done():
		return nil, problem.Wrap(context.Cause(ctx), problem.Unavailable, op, "it is not known whether this has been recorded")
	}
}

// notKnown is what callers are told when the session was lost, or the database
// went away, with their wish under way.
func notKnown(op string, err error) error {
	if !errors.Is(err, ErrLost) {
		return err
	}
	return unavailable(op, "the database went away, and it is not known whether this has been recorded").
		WithHelp("Ask again with the same key: what has been recorded is not done twice.")
}
