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

// activeExecution is an execution that this engine owns and has in memory. One that
// only waits is unloaded; its rows and its due time are in the store.
type activeExecution struct {
	id     string
	member *membership
	entry  *orderEntry // nil when its pipeline is parallel

	mu      sync.Mutex
	st      *state
	gone    bool // unloaded, ended, or no longer ours
	resting bool // loaded from the store and not told to go on yet (goOn)
	calls   map[int]*call
	permits map[int]bool   // stages that hold a permit for a call, or wait for one (false)
	queued  map[int]action // calls that wait for a permit
	stops   map[int]bool   // stages whose Cancel is under way
	pending int            // commits under way
	later   []action       // what follows once all of them are durable
	leads   bool           // the holder of the lock leads a commit afterwards
	gathers bool           // the holder of the lock begins the jobs afterwards
	jobs    []job
	revived bool   // restarted before its end was acted on here; it is then loaded again
	mailSeq int64  // of the last message that was decided on
	inbox   []Mail // messages to the execution itself, from loading, not decided on yet
}

func newActive(id string, m *membership, st *state) *activeExecution {
	return &activeExecution{id: id, member: m, st: st, calls: map[int]*call{}, permits: map[int]bool{},
		queued: map[int]action{}, stops: map[int]bool{}}
}

// applyLocked decides on an event and has the changes committed. The execution is locked.
func (e *Engine) applyLocked(r *activeExecution, ev event) {
	now := e.now()
	c := decide(r.st, ev, now)
	e.checkEntry(r, c, now)
	e.record(r, c, nil)
}

// record commits what was decided; the actions follow once it is durable, and so
// do those of a decision that changes nothing: it was made on what is not durable
// yet. create is the change of a new execution, which these changes join.
func (e *Engine) record(r *activeExecution, c *changes, create *Creation) {
	if create == nil && len(c.order) == 0 && !c.head && len(c.events) == 0 {
		if r.pending > 0 {
			r.later = append(r.later, c.do...)
			return
		}
		e.act(r, c.do)
		return
	}
	p := &pendingChange{member: r.member, Change: Change{ID: r.id, Epoch: r.st.head.Epoch, Create: create, Events: c.events}}
	if err := e.fill(&p.Change, r, c); err != nil {
		e.log.Error("an execution cannot be recorded; it stays as it is", "execution", r.id, "error", err)
		e.giveUp(r, err)
		return
	}
	e.releasePermits(r, c)
	r.pending++
	p.after = func(ch *Change) job { return func() job { return e.recorded(r, c, ch) } }
	e.enqueue(p, r.leads)
}

// fill writes the changed rows into the change.
func (e *Engine) fill(ch *Change, r *activeExecution, c *changes) error {
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
		if !at.IsZero() && at.Before(now.Add(timerHorizon)) {
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

// recorded goes on once a change is durable or was refused.
func (e *Engine) recorded(r *activeExecution, c *changes, ch *Change) job {
	r.mu.Lock()
	r.pending--
	if ch.Err != nil {
		e.giveUp(r, ch.Err)
		r.mu.Unlock()
		return nil
	}
	r.gathers = true
	e.updateOrder(r, c)
	e.act(r, c.do)
	e.actLater(r)
	if c.ended && !r.gone {
		e.unload(r)
		e.disown(r.id)
		if r.revived {
			e.spawn(func() { e.takeIn(r.id) })
		}
	}
	e.unloadIfWaiting(r)
	return e.unlock(r)
}

// unlock unlocks an execution and begins the jobs that were gathered, except for the
// one that it returns.
func (e *Engine) unlock(r *activeExecution) job {
	jobs := r.jobs
	r.gathers, r.jobs = false, nil
	r.mu.Unlock()
	return e.beginOthers(jobs)
}

// beginJob begins a job, or leaves that to the holder of the lock.
func (e *Engine) beginJob(r *activeExecution, j job) {
	if r.gathers {
		r.jobs = append(r.jobs, j)
		return
	}
	e.begin(j)
}

// act carries actions out. The execution is locked, and the decision is durable.
func (e *Engine) act(r *activeExecution, actions []action) {
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

// actLater carries out what waited for the commits that were under way.
func (e *Engine) actLater(r *activeExecution) {
	if r.pending > 0 {
		return
	}
	later := r.later
	r.later = nil
	e.act(r, later)
}

func stopCause(s *StageState) error {
	if s.Stop == stopTimeout {
		return stage.ErrTimedOut
	}
	return stage.ErrCanceled
}

// unloadIfWaiting unloads an execution that only waits, and for long.
func (e *Engine) unloadIfWaiting(r *activeExecution) {
	if r.gone || r.resting || r.pending > 0 || len(r.later) > 0 || len(r.calls) > 0 || len(r.stops) > 0 || len(r.permits) > 0 {
		return
	}
	near := e.now().Add(unloadFrom)
	if r.st.active == 0 || len(r.st.rows) > 64 {
		return // large ones are expensive to load, and rare
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
	e.unload(r)
}

// unloadFrom is how long an execution has to wait for it to be worth loading again.
const unloadFrom = 5 * time.Second

// unload takes an execution out of memory.
func (e *Engine) unload(r *activeExecution) {
	r.gone = true
	e.mu.Lock()
	if e.active[r.id] == r {
		delete(e.active, r.id)
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

// giveUp stops carrying an execution out here, because the session was lost or a
// change could not be recorded. Its work outside goes on; the next owner asks what
// became of it.
func (e *Engine) giveUp(r *activeExecution, err error) {
	if r.gone {
		return
	}
	if !errors.Is(err, ErrLost) {
		e.log.Error("an execution is given up by this replica", "execution", r.id, "error", err)
	}
	for _, c := range r.calls {
		c.cancel(stage.ErrDetached)
	}
	for i, held := range r.permits {
		if held {
			e.callLimit.release(r.st.head.Application)
		}
		delete(r.permits, i)
	}
	e.unload(r)
	e.disown(r.id)
	if !errors.Is(err, ErrLost) && r.member == e.session.Load() {
		r.member.retryAdoption()
	}
}

// readInbox acts on the messages to the execution itself that it was loaded with.
func (e *Engine) readInbox(r *activeExecution) {
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
func (e *Engine) applyMail(r *activeExecution, m Mail) {
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
func (r *activeExecution) lastRestart() time.Time {
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

// scope is what a stage's expressions see; it is valid while the execution is locked.
func (r *activeExecution) scope(stage int) Scope {
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
