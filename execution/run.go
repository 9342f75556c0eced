package execution

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"showrunner/problem"
	"showrunner/stage"
)

// run is an execution that this engine owns and has in memory. One that only
// waits is dropped from memory; its rows and its due time are in the store.
type run struct {
	id     string
	member *member
	place  *place // in its lane; nil when its pipeline is parallel

	mu      sync.Mutex
	st      *state
	gone    bool // dropped, ended, or no longer ours
	calls   map[int]*call
	slots   map[int]bool       // stages that hold a slot, or wait for one (false)
	queued  map[int]actionKind // calls that wait for a slot
	stops   map[int]bool       // stages whose Cancel is under way
	pending int                // commits under way
	leads   bool               // whoever holds the lock is going to lead a commit
	gathers bool               // and whoever holds it is going to begin what is in jobs
	jobs    []job
	revived bool // restarted before its end was acted on here: it is loaded anew then
	mailSeq int64
	inbox   []Mail // to the execution itself, from loading, not acted on yet
}

func newRun(id string, m *member, st *state) *run {
	return &run{id: id, member: m, st: st, calls: map[int]*call{}, slots: map[int]bool{},
		queued: map[int]actionKind{}, stops: map[int]bool{}}
}

// apply decides on an event for a loaded run and has the changes committed.
func (e *Engine) apply(r *run, ev event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return
	}
	e.applyLocked(r, ev)
}

func (e *Engine) applyLocked(r *run, ev event) {
	now := e.now()
	c := decide(r.st, ev, now)
	e.passGates(r, c, now)
	e.record(r, c, nil)
}

// record commits what was decided; the actions follow once it is durable.
// create is the change of a new execution, which these changes join.
func (e *Engine) record(r *run, c *changes, create *Creation) {
	if create == nil && len(c.order) == 0 && !c.head && len(c.events) == 0 {
		e.act(r, c.do)
		return
	}
	p := &pendingChange{member: r.member, Change: Change{ID: r.id, Epoch: r.st.head.Epoch, Create: create, Events: c.events}}
	if err := e.fill(&p.Change, r, c); err != nil {
		e.log.Error("an execution cannot be recorded; it stays as it is", "execution", r.id, "error", err)
		e.drop(r, err)
		return
	}
	e.freeSlots(r, c)
	r.pending++
	p.after = func(ch *Change) job { return func() job { return e.recorded(r, c, ch) } }
	e.enqueue(p, r.leads)
}

// fill writes the changed rows into the change.
func (e *Engine) fill(ch *Change, r *run, c *changes) error {
	now := e.now()
	ch.Stages = make([]StageRow, 0, len(c.order))
	for _, i := range c.order {
		data, err := encodeStage(r.st.rows[i])
		if err != nil {
			return problem.Wrap(err, problem.Internal, "execution.record", "stage %s of %s put out what cannot be kept", r.st.name(i), r.id)
		}
		row := StageRow{Index: i, Data: data}
		at := r.st.wakeAt(i)
		if r.st.rows[i].Phase != PhaseRunning {
			row.Wake = at
		}
		if !at.IsZero() && at.Before(now.Add(horizon)) {
			e.timers.add(timer{at: at, id: r.id, stage: i})
		}
		ch.Stages = append(ch.Stages, row)
	}
	if c.head && ch.Create == nil {
		h := &r.st.head
		ch.Head = &HeadPatch{Status: h.Status, Started: h.Started, Ended: h.Ended, State: h.State}
	}
	if c.ended {
		if k := r.st.head.Request.Parent; k != nil {
			ch.Mail = append(ch.Mail, Mail{Execution: k.Execution, Stage: k.Stage, Signal: stage.Signal{
				ID: "ended/" + r.id + "/" + itoa(len(r.st.head.State.Restarts)), Name: "ended", By: "execution " + r.id, At: now}})
		}
	}
	return nil
}

// recorded goes on once a change is durable, or refused.
func (e *Engine) recorded(r *run, c *changes, ch *Change) job {
	r.mu.Lock()
	r.pending--
	if ch.Err != nil {
		e.drop(r, ch.Err)
		r.mu.Unlock()
		return nil
	}
	r.gathers = true
	e.updateLane(r, c)
	e.act(r, c.do)
	if c.ended && !r.gone {
		e.forget(r)
		e.disown(r.id)
		if r.revived {
			e.spawn(func() { e.handed(r.id) })
		}
	}
	e.rest(r)
	return e.unlock(r)
}

// unlock lets go of a run and begins the jobs that were gathered, but for the
// one that it returns.
func (e *Engine) unlock(r *run) job {
	jobs := r.jobs
	r.gathers, r.jobs = false, nil
	r.mu.Unlock()
	return e.beginOthers(jobs)
}

// beginRun begins a job of a run, or has who holds its lock do so.
func (e *Engine) beginRun(r *run, j job) {
	if r.gathers {
		r.jobs = append(r.jobs, j)
		return
	}
	e.begin(j)
}

// spawn runs f in a goroutine that Run waits for.
func (e *Engine) spawn(f func()) {
	e.work.Go(f)
}

// act carries actions out. The run is locked, and what they rest on is durable.
func (e *Engine) act(r *run, actions []action) {
	if r.gone {
		return
	}
	for _, a := range actions {
		switch a.kind {
		case doRun, doResume, doRepeat:
			e.startCall(r, a)
		case doInterrupt:
			if c := r.calls[a.stage]; c != nil {
				c.cancel(stopCause(r.st.rows[a.stage]))
			} else {
				e.startStop(r, a.stage)
			}
		case doStop:
			e.startStop(r, a.stage)
		}
	}
}

func stopCause(s *StageState) error {
	if s.Stop == stopTimeout {
		return stage.ErrTimedOut
	}
	return stage.ErrCanceled
}

// rest drops a run from memory when it only waits for something far away.
func (e *Engine) rest(r *run) {
	if r.gone || r.pending > 0 || len(r.calls) > 0 || len(r.stops) > 0 || len(r.slots) > 0 {
		return
	}
	near := e.now().Add(restAfter)
	if r.st.active == 0 || len(r.st.rows) > 64 {
		return // large ones are dear to load, and rare
	}
	for i, row := range r.st.rows {
		if r.st.ready[i] {
			return
		}
		if row == nil || row.Phase == "" {
			continue
		}
		if at := r.st.wakeAt(i); row.Phase == PhaseRunning || !at.IsZero() && at.Before(near) {
			return
		}
	}
	e.forget(r)
}

// restAfter is how long an execution has to wait for it to be worth loading again.
const restAfter = 5 * time.Second

// forget takes a run out of memory.
func (e *Engine) forget(r *run) {
	r.gone = true
	e.mu.Lock()
	if e.runs[r.id] == r {
		delete(e.runs, r.id)
	}
	e.mu.Unlock()
}

func (e *Engine) own(id, application string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, there := e.owned[id]; !there {
		e.owned[id] = application
		e.shares[application]++
	}
}

func (e *Engine) disown(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	application, there := e.owned[id]
	if !there {
		return
	}
	delete(e.owned, id)
	if e.shares[application]--; e.shares[application] == 0 {
		delete(e.shares, application)
	}
}

// drop gives a run up: its session was lost, or it could not be recorded. What
// it does outside goes on; whoever owns it now asks what became of it.
func (e *Engine) drop(r *run, err error) {
	if r.gone {
		return
	}
	if !errors.Is(err, ErrLost) {
		e.log.Error("an execution is given up by this replica", "execution", r.id, "error", err)
	}
	for _, c := range r.calls {
		c.cancel(stage.ErrDetached)
	}
	for i, held := range r.slots {
		if held {
			e.slots.release(r.st.head.Application)
		}
		delete(r.slots, i)
	}
	e.forget(r)
	e.disown(r.id)
	if !errors.Is(err, ErrLost) && r.member == e.session.Load() {
		r.member.again()
	}
}

// load returns an owned, live run, from memory or the store; nil when it is
// not ours or has ended. One that comes from the store goes on at once, unless
// quiet asks for it to be left as it is.
func (e *Engine) load(ctx context.Context, id string, quiet bool) (*run, error) {
	for {
		e.mu.Lock()
		if r := e.runs[id]; r != nil {
			e.mu.Unlock()
			return r, nil
		}
		wait := e.loading[id]
		if wait == nil {
			wait = make(chan struct{})
			e.loading[id] = wait
			e.mu.Unlock()
			r, err := e.loadStored(ctx, id)
			e.mu.Lock()
			if r != nil {
				e.runs[id] = r
			}
			delete(e.loading, id)
			e.mu.Unlock()
			close(wait)
			if r != nil && r.member.lost() { // and what was in memory has been given up without this one
				r.mu.Lock()
				e.drop(r, ErrLost)
				r.mu.Unlock()
				return nil, ErrLost
			}
			if r != nil && !quiet {
				e.apply(r, started{})
				e.readInbox(r)
			}
			return r, err
		}
		e.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (e *Engine) loadStored(ctx context.Context, id string) (*run, error) {
	m := e.session.Load()
	if m == nil || m.lost() {
		return nil, ErrLost
	}
	snap, err := e.store.Load(ctx, id)
	if err != nil {
		return nil, err
	}
	if snap.Head.Owner != m.Owner() || snap.Head.Status.Complete() {
		return nil, nil
	}
	p, err := e.plan(ctx, snap.Head.Plan)
	if err != nil {
		return nil, err
	}
	st, err := loadState(p, snap)
	if err != nil {
		return nil, err
	}
	r := newRun(id, m, st)
	for _, mail := range snap.Mail {
		r.mailSeq = max(r.mailSeq, mail.Seq)
		if mail.Stage == "" {
			r.inbox = append(r.inbox, mail)
		}
	}
	if snap.Head.Lane {
		r.place = e.lane(&snap.Head).join(&snap.Head, st)
	}
	e.setTimers(r, e.now().Add(horizon)) // the store's sweep knows the first of them
	return r, nil
}

// readInbox acts on the messages to the execution itself that it was loaded with.
func (e *Engine) readInbox(r *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	inbox := r.inbox
	r.inbox = nil
	for _, m := range inbox {
		if !r.gone {
			e.applyMail(r, m)
		}
	}
}

// applyMail decides on one message.
func (e *Engine) applyMail(r *run, m Mail) {
	r.mailSeq = max(r.mailSeq, m.Seq)
	if m.Stage != "" {
		e.applyLocked(r, signaled{mail: m})
		return
	}
	if m.Signal.Name == signalCancel && m.Signal.At.After(r.lastRestart()) {
		var d cancelData
		_ = json.Unmarshal(m.Signal.Data, &d) // written by Cancel
		e.applyLocked(r, canceled{by: m.Signal.By, reason: d.Reason})
	}
}

// lastRestart is the time before which wishes for the end are void.
func (r *run) lastRestart() time.Time {
	if n := len(r.st.head.State.Restarts); n > 0 {
		return r.st.head.State.Restarts[n-1].At
	}
	return time.Time{}
}

// deliver decides on an event for an owned execution, loading it if need be.
func (e *Engine) deliver(ctx context.Context, id string, ev event) error {
	for {
		r, err := e.load(ctx, id, false)
		if err != nil || r == nil {
			return err
		}
		r.mu.Lock()
		if r.gone {
			r.mu.Unlock()
			if r.member != e.session.Load() {
				return ErrLost
			}
			continue
		}
		e.applyLocked(r, ev)
		r.mu.Unlock()
		return nil
	}
}

// plan returns a compiled definition.
func (e *Engine) plan(ctx context.Context, digest string) (*plan, error) {
	if p := e.plans.get(digest); p != nil {
		return p, nil
	}
	data, err := e.store.Plan(ctx, digest)
	if err != nil {
		return nil, err
	}
	p, err := decodePlan(digest, data, e.kinds)
	if err != nil {
		return nil, err
	}
	e.plans.put(p)
	return p, nil
}

// scope is what a stage's expressions see; it is good while the run is locked.
func (r *run) scope(stage int) Scope {
	return Scope{Names: r.st.plan.stages[stage].mentions, Execution: &r.st.head, Parameters: r.st.head.Request.Parameters, Trigger: r.st.head.Request.Trigger,
		Stage: func(name string) (StageState, bool) {
			i, ok := r.st.plan.index[name]
			if !ok || r.st.rows[i] == nil || !r.st.rows[i].Status.Complete() {
				return StageState{}, false
			}
			st := *r.st.rows[i]
			st.Name, st.Kind = name, r.st.plan.stages[i].def.Kind
			return st, true
		}}
}
