package execution

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"showrunner/problem"
)

// membership is a session of the store and whether it is still valid.
type membership struct {
	Session
	once  sync.Once
	gone  chan struct{} // closed when the session is lost
	retry chan struct{} // capacity 1: all adoption is to be tried again
	left  chan struct{} // capacity 1: there is more to adopt
}

func (m *membership) lose() { m.once.Do(func() { close(m.gone) }) }

func (m *membership) lost() bool {
	select {
	case <-m.gone:
		return true
	default:
		return false
	}
}

// continueAdoption has adoption go on with the rest.
func (m *membership) continueAdoption() {
	select {
	case m.left <- struct{}{}:
	default:
	}
}

// retryAdoption has all adoption tried again, soon.
func (m *membership) retryAdoption() {
	select {
	case m.retry <- struct{}{}:
	default:
	}
}

func (e *Engine) join(ctx context.Context) (*membership, error) {
	s, err := e.store.Join(ctx, e.now)
	if err != nil {
		return nil, err
	}
	m := &membership{Session: s, gone: make(chan struct{}), retry: make(chan struct{}, 1), left: make(chan struct{}, 1)}
	e.session.Store(m)
	return m, nil
}

const (
	// adoptAtOnce is how many executions are loaded at the same time.
	adoptAtOnce = 8
	// adoptTogether is how many are loaded before they go on.
	adoptTogether = 256
)

// adoption says which executions are adopted.
type adoption int

const (
	adoptOrphans adoption = iota // those without a living owner
	adoptUnknown                 // those, and ours that this process does not know of
	adoptAll                     // those, and all of ours
)

// adopt takes over live executions that have no living owner.
func (e *Engine) adopt(ctx context.Context, m *membership, what adoption) error {
	claims, more, err := m.Adopt(ctx, what != adoptOrphans)
	if err != nil {
		return err
	}
	if more {
		m.continueAdoption()
	}
	if what == adoptUnknown {
		claims = slices.DeleteFunc(claims, func(c Claim) bool { return e.Owns(c.ID) })
	}
	// All of those of ordered pipelines are loaded before any goes on: they depend on each other.
	ordered, others := []Claim{}, claims[:0:0]
	for _, c := range claims {
		if c.Ordered {
			ordered = append(ordered, c)
		} else {
			others = append(others, c)
		}
	}
	err = e.takeOver(ctx, ordered)
	for part := range slices.Chunk(others, adoptTogether) {
		err = errors.Join(err, e.takeOver(ctx, part))
	}
	if !more {
		if ferr := e.fillTimers(ctx, m, e.now().Add(timerHorizon), true); err == nil {
			err = ferr
		}
	}
	if len(claims) > 0 {
		e.log.Info("executions were taken over", "count", len(claims))
	}
	return err
}

// takeOver loads executions that have become ours and has them go on.
func (e *Engine) takeOver(ctx context.Context, claims []Claim) error {
	runs := make([]*activeExecution, len(claims))
	var g errgroup.Group
	g.SetLimit(adoptAtOnce)
	for i, c := range claims {
		g.Go(func() error {
			r, err := e.load(ctx, c.ID, true)
			if err != nil && ctx.Err() == nil {
				e.log.Error("an execution cannot be loaded", "execution", c.ID, "error", err)
			}
			runs[i] = r
			return err
		})
	}
	err := g.Wait()
	for _, r := range runs {
		if r == nil {
			continue
		}
		e.own(r.id, r.st.head.Application)
		r.mu.Lock()
		if !r.gone {
			e.goOn(r, started{taken: true})
			e.watchAgain(r)
			e.unloadIfWaiting(r)
		}
		r.mu.Unlock()
		e.readInbox(r)
	}
	return err
}

// watchAgain calls the waiting tasks that the owner before watched something for. The
// execution is locked.
func (e *Engine) watchAgain(r *activeExecution) {
	for i, row := range r.st.rows {
		if row == nil || row.Phase != PhaseWaiting {
			continue
		}
		if t, known := e.kinds.task(r.st.plan.stages[i].def.Kind, row.Cursor); known && t.Watches {
			e.applyLocked(r, woken{stage: i, attempt: row.Attempt, task: row.Task})
		}
	}
}

// memberLoop acts on what other sessions say, and joins again when the session is lost.
func (e *Engine) memberLoop(ctx context.Context) {
	for ctx.Err() == nil {
		m := e.session.Load()
		e.listen(ctx, m)
		if ctx.Err() != nil {
			return
		}
		e.loseAll(m)
		e.rejoin(ctx)
	}
}

// adoptAgain is how long to wait before adoption that failed is tried again.
const adoptAgain = time.Second

func (e *Engine) listen(ctx context.Context, m *membership) {
	clock := time.NewTimer(time.Hour)
	defer clock.Stop()
	next := time.NewTimer(time.Hour)
	defer next.Stop()
	var took time.Duration
	for {
		select {
		case n, ok := <-m.Notices():
			if !ok {
				return
			}
			e.notice(ctx, m, n)
		case <-m.gone:
			return
		case <-m.retry:
			clock.Reset(adoptAgain)
		case <-m.left: // half of the time is left to what runs
			next.Reset(took)
		case <-next.C:
			began := time.Now()
			e.adoptOrTryAgain(ctx, m, adoptOrphans)
			took = time.Since(began)
		case <-clock.C:
			if err := e.adopt(ctx, m, adoptAll); err != nil {
				clock.Reset(adoptAgain)
			} else {
				clock.Reset(time.Hour)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (e *Engine) notice(ctx context.Context, m *membership, n Notice) {
	switch n.Kind {
	case NoticeEvents:
		e.followers.grewTo(n.Position)
	case NoticeAdopt:
		e.exits.tell()
		e.adoptOrTryAgain(ctx, m, adoptOrphans)
	case NoticeHanded:
		e.adoptOrTryAgain(ctx, m, adoptUnknown)
	case NoticeMail:
		e.spawn(func() { e.readMail(n.Execution) })
	case NoticeOwned:
		e.spawn(func() { e.takeIn(n.Execution) })
	case NoticeWake:
		e.spawn(func() { e.wakeOwned(n) })
	}
}

func (e *Engine) adoptOrTryAgain(ctx context.Context, m *membership, what adoption) {
	if err := e.adopt(ctx, m, what); err != nil && ctx.Err() == nil {
		e.log.Warn("taking over work failed; it is tried again", "error", err)
		m.retryAdoption()
	}
}

// takeIn loads an execution that another session started in an ordered pipeline
// that this one owns.
func (e *Engine) takeIn(id string) {
	for {
		r, err := e.load(e.base, id, true)
		if err != nil || r == nil {
			e.logFailure("taking in an execution", id, err)
			return
		}
		r.mu.Lock()
		switch {
		case r.gone && r.member == e.session.Load(): // it was being unloaded
			r.mu.Unlock()
			continue
		case r.gone:
		case r.st.head.Status.Complete(): // it ended and was restarted before this engine acted on the end
			r.revived = true
		default:
			e.own(r.id, r.st.head.Application)
			e.goOn(r, started{taken: true})
		}
		r.mu.Unlock()
		e.readInbox(r)
		return
	}
}

// readMail decides on the messages to an execution that have come since.
func (e *Engine) readMail(id string) {
	r, err := e.load(e.base, id, false)
	if err != nil || r == nil {
		e.logFailure("reading an execution's messages", id, err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		if r.member == e.session.Load() && !r.st.head.Status.Complete() {
			e.spawn(func() { e.readMail(id) })
		}
		return
	}
	mail, err := r.member.Mail(e.base, id, r.mailSeq)
	if err != nil {
		if !errors.Is(err, ErrLost) && e.base.Err() == nil {
			e.log.Warn("reading an execution's messages failed; it is tried again", "execution", id, "error", err)
			time.AfterFunc(time.Second, func() { e.readMail(id) })
		}
		return
	}
	for _, m := range mail {
		if !r.gone {
			e.applyMail(r, m)
		}
	}
}

// wakeOwned has a waiting task called, when its execution is ours.
func (e *Engine) wakeOwned(n Notice) {
	if !e.Owns(n.Execution) {
		return
	}
	r, err := e.load(e.base, n.Execution, false)
	if err != nil && !errors.Is(err, ErrLost) && problem.CodeOf(err) != problem.NotFound && e.base.Err() == nil {
		e.logFailure("waking a task", n.Execution, err)
		time.AfterFunc(time.Second, func() { e.spawn(func() { e.wakeOwned(n) }) }) // nobody else will
	}
	if err != nil || r == nil {
		return
	}
	if i, ok := r.st.plan.index[n.Stage]; ok {
		e.logFailure("waking a task", n.Execution, e.deliver(e.base, n.Execution, woken{stage: i, attempt: n.Attempt, task: n.Task}))
	}
}

// loseAll gives up everything owned under a session that was lost. The next owner asks
// each task what became of it.
func (e *Engine) loseAll(m *membership) {
	m.lose()
	e.log.Error("this replica's session was lost; its running work is handed over")
	e.mu.Lock()
	runs := make([]*activeExecution, 0, len(e.active))
	for _, r := range e.active {
		runs = append(runs, r)
	}
	e.ordered = map[pipelineKey]*orderedPipeline{}
	clear(e.owned)
	clear(e.shares)
	e.mu.Unlock()
	for _, r := range runs {
		r.mu.Lock()
		if r.member == m {
			e.giveUp(r, ErrLost)
		}
		r.mu.Unlock()
	}
}

// rejoin joins the store again and adopts the executions without an owner.
func (e *Engine) rejoin(ctx context.Context) {
	for try := 1; ctx.Err() == nil; try++ {
		m, err := e.join(ctx)
		if err == nil {
			if err = e.adopt(ctx, m, adoptAll); err != nil {
				m.retryAdoption()
			}
			e.outage.set(false)
			e.log.Info("this replica has joined again")
			return
		}
		e.log.Warn("joining the store failed; it is tried again", "error", err)
		t := time.NewTimer(backoff(try, 50*time.Millisecond, time.Second))
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}
