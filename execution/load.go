package execution

import (
	"context"
)

// load returns an owned, live execution, from memory or the store; nil when it is
// not ours or has ended. One that comes from the store goes on at once, unless
// quiet asks for it to be left as it is.
func (e *Engine) load(ctx context.Context, id string, quiet bool) (*activeExecution, error) {
	for {
		e.mu.Lock()
		if r := e.active[id]; r != nil {
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
				e.active[id] = r
			}
			delete(e.loading, id)
			e.mu.Unlock()
			close(wait)
			if r != nil && r.member.lost() { // and what was in memory has been given up without this one
				r.mu.Lock()
				e.giveUp(r, ErrLost)
				r.mu.Unlock()
				return nil, ErrLost
			}
			if r != nil && !quiet {
				r.mu.Lock()
				if !r.gone {
					e.goOn(r, started{})
				}
				r.mu.Unlock()
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

// goOn has an execution go on that was loaded, or taken over. Until then it is left
// alone by its timers, which are set again here: one that came earlier would unload an
// execution whose stages nobody had been told to go on with. The execution is locked.
func (e *Engine) goOn(r *activeExecution, how started) {
	rested := r.resting
	r.resting = false
	e.applyLocked(r, how)
	if rested && !r.gone {
		e.setTimers(r, e.now().Add(timerHorizon))
	}
}

func (e *Engine) loadStored(ctx context.Context, id string) (*activeExecution, error) {
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
	r := newActive(id, m, st)
	r.resting = true
	for _, mail := range snap.Mail {
		r.mailSeq = max(r.mailSeq, mail.Seq)
		if mail.Stage == "" {
			r.inbox = append(r.inbox, mail)
		}
	}
	if snap.Head.Ordered {
		r.entry = e.orderedPipeline(&snap.Head).join(&snap.Head, st)
	}
	return r, nil
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
