package execution

import (
	"context"
	"time"

	"showrunner/internal/tracecontext"
	"showrunner/problem"
	"showrunner/store/record"
)

// picture is what callers see of a head.
func picture(h *Head) Execution {
	return Execution{ID: h.ID, Application: h.Application, Pipeline: h.Pipeline, Number: h.Number, Status: h.Status,
		Cause: h.State.Cause, Parameters: h.Request.Parameters, Trigger: h.Request.Trigger, TriggerID: h.Request.TriggerID,
		EventID: h.Request.EventID, By: h.Request.By, Parent: h.Request.Parent, RollbackOf: h.Request.RollbackOf,
		Traceparent: h.Request.Traceparent, TraceID: tracecontext.Run(h.ID, h.Request.Traceparent).TraceID(),
		Restarts: h.State.Restarts, Canceling: h.State.Canceling, Revision: revisionOf(h), Created: h.Created, Started: h.Started, Ended: h.Ended}
}

// Get returns an execution with its stages, as it is durable. Errors:
// not_found, unavailable.
func (e *Engine) Get(ctx context.Context, id string) (Execution, error) {
	snap, err := e.store.Load(ctx, id)
	if err != nil {
		return Execution{}, err
	}
	p, err := e.plan(ctx, snap.Head.Plan)
	if err != nil {
		return Execution{}, err
	}
	x := picture(&snap.Head)
	x.Definition = p.def
	x.Stages = make([]StageState, len(p.stages))
	for i := range p.stages {
		x.Stages[i].Status = NotStarted
	}
	for _, row := range snap.Stages {
		s, err := decodeStage(row.Data)
		if err != nil {
			return Execution{}, err
		}
		if row.Index < len(x.Stages) {
			x.Stages[row.Index] = *s
		}
	}
	for i := range p.stages {
		x.Stages[i].Name, x.Stages[i].Kind = p.stages[i].def.Name, p.stages[i].def.Kind
		x.Stages[i].Progress = e.progress.get(id, i)
		e.hideOldReason(&x.Stages[i])
	}
	return x, nil
}

// hideOldReason leaves out what a task waited for before the call that is under
// way. A task that watches is called for a moment only, and goes on waiting.
func (e *Engine) hideOldReason(s *StageState) {
	if s.Phase != PhaseRunning {
		return
	}
	if t, known := e.kinds.task(s.Kind, s.Cursor); !known || !t.Watches {
		s.Reason, s.WaitsUntil = "", nil
	}
}

// Limits of a page.
const (
	defaultPage = 50
	maxPage     = 500
)

// List returns a page of executions without their stages. Errors: invalid, unavailable.
func (e *Engine) List(ctx context.Context, q Query) (Page, error) {
	if q.Limit == 0 {
		q.Limit = defaultPage
	}
	if q.Limit < 1 || q.Limit > maxPage {
		return Page{}, problem.New(problem.Invalid, "execution.list", "limit %d is not within 1 and %d", q.Limit, maxPage)
	}
	for _, s := range q.Statuses {
		if !s.Valid() {
			return Page{}, problem.New(problem.Invalid, "execution.list", "%q is no status", s)
		}
	}
	heads, next, err := e.store.List(ctx, q)
	if err != nil {
		return Page{}, err
	}
	page := Page{Executions: make([]Execution, len(heads)), Next: next}
	for i := range heads {
		page.Executions[i] = picture(&heads[i])
	}
	return page, nil
}

// maxEvents bounds one reading of the log.
const maxEvents = 1000

// Events returns up to limit events after position from, in commit order.
// Slice.Next is where to go on.
func (e *Engine) Events(ctx context.Context, from int64, f record.Filter, limit int) (record.Slice, error) {
	if limit <= 0 || limit > maxEvents {
		limit = maxEvents
	}
	if s, ok, err := e.archived(from, f, limit, from == 0); ok || err != nil {
		return s, err
	}
	s, err := e.store.ReadEvents(ctx, from, f, limit)
	if err == nil && s.Reset { // another replica has archived what was asked for
		if old, ok, err := e.archived(from, f, limit, true); ok || err != nil {
			return old, err
		}
	}
	return s, err
}

// archived reads events that have left the store; false: they have not, or are
// kept nowhere any more.
func (e *Engine) archived(from int64, f record.Filter, limit int, refresh bool) (record.Slice, bool, error) {
	a := e.cfg.Archive
	if a == nil || from < 0 || a.Last(refresh) <= from {
		return record.Slice{}, false, nil
	}
	return a.Read(from, f, limit)
}

// End returns the position of the last event: what is read from there on is new.
func (e *Engine) End(ctx context.Context) (int64, error) {
	s, err := e.store.ReadEvents(ctx, -1, record.Filter{}, 1)
	return s.Next, err
}

// followAgain is how often a follower reads the log although it was not told that the
// log has grown.
const followAgain = 2 * time.Second

// Follow sends every selected event after position from, in order, none missed
// and none repeated, until ctx ends, when it closes the channel. A slice with
// Reset says that what came before has been archived. While the database is
// away it waits.
func (e *Engine) Follow(ctx context.Context, from int64, f record.Filter) <-chan record.Slice {
	out := make(chan record.Slice)
	go func() {
		defer close(out)
		clock := time.NewTimer(followAgain)
		defer clock.Stop()
		me := e.followers.join(from, f)
		defer e.followers.leave(me)
		for look := false; ; {
			s, again := e.follow(ctx, me, look)
			if look = false; len(s.Events) > 0 || s.Reset {
				select {
				case out <- s:
				case <-ctx.Done():
					return
				}
			}
			if again {
				continue
			}
			clock.Reset(followAgain)
			select {
			case <-me.grown:
			case <-clock.C:
				look = true
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// follow returns the next events of a follower, and whether there may be more.
func (e *Engine) follow(ctx context.Context, me *follower, look bool) (record.Slice, bool) {
	events, at, read := e.followers.take(me, look)
	if !read {
		return record.Slice{Events: events, Next: at}, len(events) > 0
	}
	s, err := e.Events(ctx, at, me.filter, maxEvents)
	if err != nil {
		e.followers.advance(me, at, true) // it looks again by the clock, if not before
		return record.Slice{}, false
	}
	more := s.Next > at && len(s.Events) > 0
	e.followers.advance(me, s.Next, more)
	return s, more
}
