package execution

import (
	"slices"
	"sync"

	"showrunner/pipeline"
)

// laneKey names a pipeline that is not parallel.
type laneKey struct{ application, pipeline string }

// lane is the order of the live executions of one pipeline, all of them owned
// by this engine. It holds what is needed to let a stage begin even for those
// that are not in memory.
type lane struct {
	mu     sync.Mutex
	places []*place // by order
	last   int64    // highest order seen
}

// place is an execution's place in its lane. The sets hold names of stages.
type place struct {
	lane    *lane
	id      string
	number  int
	order   int64
	mode    pipeline.Concurrency
	inside  map[string]bool // begun and not complete
	passed  map[string]bool // complete
	waiting map[string]bool // held here
}

// verdict is whether a stage may begin as far as its lane is concerned.
type verdict struct {
	reason       string   // why it is held; empty: it may, and counts as inside from now on
	supersededBy int      // the number of the newer execution that takes this one's place
	supersede    []string // older executions whose place this one takes
}

// waitTarget is a stage that may be able to begin now.
type waitTarget struct{ id, stage string }

func (e *Engine) lane(h *Head) *lane {
	k := laneKey{h.Application, h.Pipeline}
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.lanes[k]
	if l == nil {
		l = &lane{}
		e.lanes[k] = l
	}
	return l
}

// join gives an execution its place, or finds the one it has.
func (l *lane) join(h *Head, st *state) *place {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.places {
		if p.id == h.ID {
			return p
		}
	}
	p := &place{lane: l, id: h.ID, number: h.Number, order: h.Order, mode: st.plan.def.Concurrency,
		inside: map[string]bool{}, passed: map[string]bool{}, waiting: map[string]bool{}}
	for i, r := range st.rows {
		switch {
		case r == nil:
		case r.Status.Complete():
			p.passed[st.name(i)] = true
		case r.Phase == PhaseHeld:
			p.waiting[st.name(i)] = true
		case r.Phase != "":
			p.inside[st.name(i)] = true
		}
	}
	at, _ := slices.BinarySearchFunc(l.places, p.order, func(q *place, o int64) int {
		switch {
		case q.order < o:
			return -1
		case q.order > o:
			return 1
		}
		return 0
	})
	l.places = slices.Insert(l.places, at, p)
	l.last = max(l.last, p.order)
	return p
}

// admit asks whether a stage of an execution may begin.
//
// Queue: a stage begins once every older live execution has passed it. Supersede:
// one execution at a time is inside a stage; one waits in front of it, and a
// newer one takes the place of an older one that is between stages; an older one
// never follows a newer one into a stage.
func (l *lane) admit(p *place, stage string) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.inside[stage] {
		return verdict{}
	}
	var v verdict
	if p.mode == pipeline.Supersede {
		v = l.admitSuperseding(p, stage)
	} else {
		for _, q := range l.places {
			if q.order >= p.order {
				break
			}
			if !q.passed[stage] {
				v.reason = "waits for #" + itoa(q.number) + " to pass this stage"
				break
			}
		}
	}
	if v.reason != "" || v.supersededBy > 0 {
		p.waiting[stage] = true
		return v
	}
	delete(p.waiting, stage)
	p.inside[stage] = true
	return v
}

func (l *lane) admitSuperseding(p *place, stage string) verdict {
	var v verdict
	for _, q := range l.places {
		switch {
		case q == p:
		case q.order > p.order && (q.inside[stage] || q.passed[stage] || q.waiting[stage]):
			v.reason = "a newer execution, #" + itoa(q.number) + ", has taken its place"
			if len(p.inside) == 0 {
				v.supersededBy = q.number
				return v
			}
		case q.inside[stage]:
			if v.reason == "" {
				v.reason = "#" + itoa(q.number) + " is in this stage"
			}
		case q.order < p.order && q.waiting[stage] && len(q.inside) == 0:
			v.supersede = append(v.supersede, q.id)
		}
	}
	return v
}

// leave takes an execution out of a stage that it was let into but did not begin.
func (l *lane) leave(p *place, stage string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(p.inside, stage)
}

// pass takes in that stages are complete (true) or were reset (false), and
// returns what may be able to begin now.
func (l *lane) pass(p *place, stages map[string]bool) []waitTarget {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []waitTarget
	for s, complete := range stages {
		delete(p.inside, s)
		delete(p.waiting, s)
		if complete {
			p.passed[s] = true
			out = l.candidates(s, out)
		}
	}
	if p.mode == pipeline.Supersede && len(p.inside) == 0 {
		for s := range p.waiting { // between stages now: it may have been superseded
			out = append(out, waitTarget{p.id, s})
		}
	}
	return out
}

// candidates are the executions that may begin a stage now: the first that
// waits where the order is strict, all that wait where the newest wins.
func (l *lane) candidates(stage string, out []waitTarget) []waitTarget {
	for _, q := range l.places {
		if q.waiting[stage] {
			out = append(out, waitTarget{q.id, stage})
			if q.mode != pipeline.Supersede {
				break
			}
		}
	}
	return out
}

// quit takes an execution out of the lane and returns what may begin now.
func (l *lane) quit(p *place) []waitTarget {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.places = slices.DeleteFunc(l.places, func(q *place) bool { return q == p })
	seen := map[string]bool{}
	var out []waitTarget
	for _, q := range l.places {
		for s := range q.waiting {
			if !seen[s] {
				seen[s] = true
				out = l.candidates(s, out)
			}
		}
	}
	return out
}

func (l *lane) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.places)
}

// updateLane takes in what has become durable. The run is locked.
func (e *Engine) updateLane(r *run, c *changes) {
	if r.place == nil {
		return
	}
	var next []waitTarget
	if c.ended {
		next = r.place.lane.quit(r.place)
	} else {
		var done map[string]bool
		for _, i := range c.order {
			if row := r.st.rows[i]; row.Status.Complete() {
				if done == nil {
					done = map[string]bool{}
				}
				done[r.st.name(i)] = true
			}
		}
		if done == nil {
			return
		}
		next = r.place.lane.pass(r.place, done)
	}
	for _, t := range next {
		e.spawn(func() { e.reconsider(t) })
	}
}

// reconsider asks the gates of a held stage again.
func (e *Engine) reconsider(t waitTarget) {
	r, err := e.load(e.base, t.id, false)
	if err != nil || r == nil {
		e.note("looking at a waiting execution again", t.id, err)
		return
	}
	if i, ok := r.st.plan.index[t.stage]; ok {
		e.note("looking at a waiting execution again", t.id, e.deliver(e.base, t.id, reconsider{stage: i}))
	}
}

// supersede ends older executions whose place a newer one has taken.
func (e *Engine) supersede(ids []string, by int) {
	for _, id := range ids {
		e.spawn(func() {
			e.note("superseding an execution", id, e.deliver(e.base, id, canceled{by: "concurrency", supersededBy: by}))
		})
	}
}
