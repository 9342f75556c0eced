package execution

import (
	"context"
	"encoding/json"
	"time"

	"showrunner/internal/tracecontext"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store/record"
)

// signalCancel is the message to an execution that asks for its end.
const signalCancel = "cancel"

type cancelData struct {
	Reason string `json:"reason,omitempty"`
}

// Start begins an execution. It returns once the execution is durable; false
// says that this event had started it before. Errors: invalid, unavailable.
func (e *Engine) Start(ctx context.Context, q StartRequest) (Execution, bool, error) {
	const op = "execution.start"
	m, err := e.await(ctx, op)
	if err != nil {
		return Execution{}, false, err
	}
	if q.Traceparent != "" {
		if _, err := tracecontext.Parse(q.Traceparent); err != nil {
			return Execution{}, false, err
		}
	}
	digest, data, err := encodePlan(q.Definition, e.kinds)
	if err != nil {
		return Execution{}, false, err
	}
	p := e.plans.get(digest)
	if p == nil {
		if p, err = decodePlan(digest, data, e.kinds); err != nil {
			return Execution{}, false, err
		}
		e.plans.put(p)
	}
	parameters, err := e.cfg.Resolver.Parameters(p.def, q.Parameters)
	if err != nil {
		return Execution{}, false, err
	}
	now := e.now()
	h := Head{ID: e.ids.next(now), Application: q.Application, Pipeline: q.Pipeline, Status: NotStarted, Plan: digest,
		Ordered: p.def.Concurrency != pipeline.Parallel, Created: now, Epoch: 1, Owner: m.Owner(),
		State: HeadState{V: headVersion},
		Request: HeadRequest{V: headVersion, Parameters: parameters, Trigger: q.Trigger, TriggerID: q.TriggerID,
			EventID: q.EventID, By: q.By, Parent: q.Parent, RollbackOf: q.RollbackOf, Traceparent: q.Traceparent}}
	if h.Pipeline == "" {
		h.Pipeline = p.def.Name
	}
	if err := e.admit(&h); err != nil {
		return Execution{}, false, err
	}
	head, existed, err := e.create(ctx, m, p, h, data)
	if err != nil {
		return Execution{}, false, err
	}
	if existed {
		x, err := e.Get(ctx, head.ID)
		return x, false, err
	}
	x := picture(&head)
	x.Definition = p.def
	return x, true, nil
}

// startsRefusedFrom is how many transitions may wait for the database before starts
// are refused. The rest is for what is live already.
func startsRefusedFrom(l Limits) int { return l.Pending * 3 / 4 }

// admit refuses what this replica should not take on now.
func (e *Engine) admit(h *Head) error {
	const op = "execution.start"
	if int(e.pending.Load()) > startsRefusedFrom(e.limits) {
		return busy(op, "too many transitions wait to be recorded; try again soon")
	}
	e.mu.Lock()
	live, share := len(e.owned), e.shares[h.Application]
	e.mu.Unlock()
	switch {
	case live >= e.limits.Live:
		return busy(op, "this replica has "+itoa(live)+" live executions, which is its limit")
	case share >= e.limits.Share: // so that others still get in
		return busy(op, "application "+h.Application+" has "+itoa(share)+" live executions on this replica, which is the most that one may have").
			WithHelp("Wait for some to end, or cancel some.")
	}
	if !h.Ordered {
		return nil
	}
	if n := e.orderedPipeline(h).len(); n >= e.limits.Queued {
		p := busy(op, itoa(n)+" executions of "+h.Application+"/"+h.Pipeline+" wait or run, which is the limit")
		p.RetryAfter = 10 * time.Second
		return p.WithHelp("Wait for some to end, cancel some, or make the pipeline's concurrency supersede.")
	}
	return nil
}

// create records a new execution. One whose pipeline is parallel begins in the
// same commit; otherwise its number and order have to be known first.
func (e *Engine) create(ctx context.Context, m *membership, p *plan, h Head, plan []byte) (Head, bool, error) {
	type outcome struct {
		head    Head
		existed bool
		err     error
	}
	r := newActive(h.ID, m, newState(p, h))
	c := &changes{}
	now := h.Created
	r.mu.Lock()
	r.st.emit(c, now, "execution.started", -1, h.Request.By, startedData(h.Request, p.def))
	if !h.Ordered {
		decideInto(r.st, started{}, now, c)
		e.checkEntry(r, c, now)
	}
	head := r.st.head
	change := &pendingChange{member: m, Change: Change{ID: h.ID, Epoch: h.Epoch, Events: c.events,
		Create: &Creation{Head: head, PlanData: plan}}}
	if err := e.fill(&change.Change, r, c); err != nil {
		for i := range r.permits {
			e.releasePermit(r, i)
		}
		r.mu.Unlock()
		return Head{}, false, err
	}
	e.releasePermits(r, c)
	r.pending++
	e.own(h.ID, h.Application) // so that what is on its way counts too
	e.announce(r)
	done := make(chan outcome, 1)
	outage := e.outage.next()
	change.after = func(ch *Change) job {
		done <- outcome{ch.Head2, ch.Existed, ch.Err}
		return func() job { return e.created(r, c, ch) }
	}
	r.mu.Unlock()
	e.enqueue(change, false)
	select {
	case o := <-done:
		return o.head, o.existed, notKnown("execution.start", o.err)
	case <-outage:
		return Head{}, false, notKnown("execution.start", ErrLost)
	case <-ctx.Done():
		return Head{}, false, problem.Wrap(context.Cause(ctx), problem.Unavailable, "execution.start", "it is not known whether the execution has been recorded")
	}
}

// announce makes every load of a new execution wait until the outcome of its creation
// is known here. Loaded before that, it would be in memory twice.
func (e *Engine) announce(r *activeExecution) {
	wait := make(chan struct{})
	e.mu.Lock()
	e.loading[r.id] = wait
	e.mu.Unlock()
}

// announced ends that wait; nil: the execution is not kept in memory here.
func (e *Engine) announced(id string, r *activeExecution) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r != nil {
		e.active[id] = r
	}
	if wait := e.loading[id]; wait != nil {
		delete(e.loading, id)
		close(wait)
	}
}

// created goes on with an execution that has just been recorded.
func (e *Engine) created(r *activeExecution, c *changes, ch *Change) job {
	r.mu.Lock()
	r.pending--
	if ch.Err != nil || ch.Existed || ch.Head2.Owner != r.member.Owner() {
		for i := range r.permits {
			e.releasePermit(r, i)
		}
		r.gone = true
		r.mu.Unlock()
		e.disown(r.id)
		e.announced(r.id, nil)
		return nil
	}
	h := ch.Head2
	r.st.head.Seq, r.st.head.Number, r.st.head.Order, r.st.head.Epoch, r.st.head.Owner = h.Seq, h.Number, h.Order, h.Epoch, h.Owner
	e.announced(r.id, r)
	if r.member.lost() { // loseAll did not see this one
		e.giveUp(r, ErrLost)
		return e.unlock(r)
	}
	r.gathers = true
	if h.Ordered {
		r.entry = e.orderedPipeline(&h).join(&r.st.head, r.st)
		e.applyLocked(r, started{})
	} else {
		e.act(r, c.do)
		if c.ended {
			e.unload(r)
			e.disown(r.id)
		}
	}
	e.actLater(r)
	e.unloadIfWaiting(r)
	return e.unlock(r)
}

// Cancel asks for an execution's end. It returns once the wish is durable; the
// end is confirmed by the execution's status. Errors: not_found, precondition
// when it has ended, unavailable.
func (e *Engine) Cancel(ctx context.Context, id, by, reason string) error {
	const op = "execution.cancel"
	m, err := e.await(ctx, op)
	if err != nil {
		return err
	}
	now := e.now()
	data, err := json.Marshal(cancelData{Reason: reason})
	if err != nil {
		return problem.Wrap(err, problem.Invalid, op, "the reason")
	}
	_, err = e.submit(ctx, m, op, Change{ID: id, Strict: true, Mail: []Mail{{Execution: id,
		Signal: stage.Signal{ID: "cancel/" + e.ids.next(now), Name: signalCancel, By: by, At: now, Data: data}}}})
	return err
}

// Signal sends a message to a stage; a second one with the same ID does
// nothing. Errors: not_found, precondition when the stage has ended, unavailable.
func (e *Engine) Signal(ctx context.Context, id, stageName string, s stage.Signal) error {
	const op = "execution.signal"
	m, err := e.await(ctx, op)
	if err != nil {
		return err
	}
	x, err := e.Get(ctx, id)
	if err != nil {
		return err
	}
	st, ok := x.Stage(stageName)
	if !ok {
		return problem.New(problem.NotFound, op, "execution %s has no stage %q", id, stageName)
	}
	if st.Status.Complete() && !x.Status.Complete() {
		return problem.New(problem.Precondition, op, "stage %s of execution %s has ended: %s", stageName, id, st.Status.Look().Word)
	}
	now := e.now()
	if s.ID == "" {
		s.ID = "signal/" + e.ids.next(now)
	}
	if s.At.IsZero() {
		s.At = now
	}
	ev := record.Event{Time: now, Type: "stage.signaled", Application: x.Application, Pipeline: x.Pipeline, Execution: id,
		Stage: stageName, By: s.By, Data: signalEvent(s)}
	_, err = e.submit(ctx, m, op, Change{ID: id, Strict: true, Mail: []Mail{{Execution: id, Stage: stageName, Signal: s}}, Events: []record.Event{ev}})
	return err
}

func signalEvent(s stage.Signal) json.RawMessage {
	data, _ := json.Marshal(struct { // two strings always marshal
		ID   string `json:"id"`
		Name string `json:"name"`
	}{s.ID, s.Name})
	return data
}

// Restart lets an execution that has ended go on from a stage: that stage and
// everything downstream of it run again as a new attempt, and so do stages that
// failed or were canceled, without which it could not succeed. Errors:
// not_found, precondition while it is live, conflict, unavailable.
func (e *Engine) Restart(ctx context.Context, id, stageName, by string) error {
	const op = "execution.restart"
	m, err := e.await(ctx, op)
	if err != nil {
		return err
	}
	snap, err := e.store.Load(ctx, id)
	if err != nil {
		return err
	}
	if !snap.Head.Status.Complete() {
		return problem.New(problem.Precondition, op, "execution %s has not ended", id).WithHelp("Cancel it first, or wait for its end.")
	}
	p, err := e.plan(ctx, snap.Head.Plan)
	if err != nil {
		return err
	}
	i, ok := p.index[stageName]
	if !ok {
		return problem.New(problem.NotFound, op, "execution %s has no stage %q", id, stageName)
	}
	st, err := loadState(p, snap)
	if err != nil {
		return err
	}
	now := e.now()
	c := decide(st, restarted{stage: i, by: by}, now)
	change := Change{ID: id, Epoch: snap.Head.Epoch, Revive: true, Events: c.events,
		Head: &HeadPatch{Status: st.head.Status, Started: st.head.Started, State: st.head.State}}
	for _, k := range c.order {
		data, err := encodeStage(st.rows[k])
		if err != nil {
			return problem.Wrap(err, problem.Internal, op, "stage %s", st.name(k))
		}
		change.Stages = append(change.Stages, StageRow{Index: k, Data: data})
	}
	_, err = e.submit(ctx, m, op, change) // the owner, this session or another, is told by notice
	return err
}

// Owns says whether a live execution is this replica's, as far as it knows.
func (e *Engine) Owns(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, owned := e.owned[id]
	return owned
}

// Wake has a waiting task called at once, on whichever replica it waits. It
// implements stage.Waker.
func (e *Engine) Wake(k stage.Key) {
	m := e.session.Load()
	if m == nil || m.lost() {
		return
	}
	n := Notice{Kind: NoticeWake, Execution: k.Execution, Stage: k.Stage, Attempt: k.Attempt, Task: k.Task}
	e.spawn(func() {
		if e.Owns(k.Execution) {
			e.wakeOwned(n)
			return
		}
		if err := m.Announce(e.base, n); err != nil {
			e.logFailure("waking a task", k.Execution, err)
		}
	})
}

// startedData is the data of the event that an execution has started. Notifies says that
// people are to be told of it.
func startedData(r HeadRequest, def *pipeline.Pipeline) map[string]any {
	data := map[string]any{"triggerId": r.TriggerID, "eventId": r.EventID}
	if len(def.Notify) > 0 {
		data["notifies"] = true
	}
	return data
}
