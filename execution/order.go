package execution

import (
	"cmp"
	"slices"
	"sync"

	"showrunner/pipeline"
)

// pipelineKey names a pipeline that is not parallel.
type pipelineKey struct{ application, pipeline string }

// orderedPipeline is the live executions of a pipeline that is not parallel, in
// their order. This engine owns all of them. It knows what decides whether a stage
// may begin, also for executions that are not in memory.
type orderedPipeline struct {
	mu      sync.Mutex
	entries []*orderEntry // by order
	last    int64         // highest order seen
}

// orderEntry is one execution of an ordered pipeline. The sets hold names of stages.
type orderEntry struct {
	pipeline *orderedPipeline
	id       string
	number   int
	order    int64
	mode     pipeline.Concurrency
	inside   map[string]bool // begun and not complete
	passed   map[string]bool // complete
	waiting  map[string]bool // held by the order
}

// admission says whether the order of the executions lets a stage begin.
type admission struct {
	reason       string   // why it is held; empty: it may begin, and counts as inside from now on
	supersededBy int      // the number of the newer execution that supersedes this one
	supersede    []string // older executions that this one supersedes
}

// waitTarget is a stage that may be able to begin now.
type waitTarget struct{ id, stage string }

func (e *Engine) orderedPipeline(h *Head) *orderedPipeline {
	k := pipelineKey{h.Application, h.Pipeline}
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.ordered[k]
	if o == nil {
		o = &orderedPipeline{}
		e.ordered[k] = o
	}
	return o
}

// join adds an execution, or finds the entry that it has.
func (o *orderedPipeline) join(h *Head, st *state) *orderEntry {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.entries {
		if p.id == h.ID {
			return p
		}
	}
	p := &orderEntry{pipeline: o, id: h.ID, number: h.Number, order: h.Order, mode: st.plan.def.Concurrency,
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
	at, _ := slices.BinarySearchFunc(o.entries, p.order, func(q *orderEntry, order int64) int { return cmp.Compare(q.order, order) })
	o.entries = slices.Insert(o.entries, at, p)
	o.last = max(o.last, p.order)
	return p
}

// admit asks whether a stage of an execution may begin.
//
// Queue: a stage begins once every older live execution has passed it. Supersede:
// one execution at a time is inside a stage; one waits in front of it, and a
// newer one takes the place of an older one that is between stages; an older one
// never follows a newer one into a stage.
func (o *orderedPipeline) admit(p *orderEntry, stage string) admission {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p.inside[stage] {
		return admission{}
	}
	var v admission
	if p.mode == pipeline.Supersede {
		v = o.admitSuperseding(p, stage)
	} else {
		for _, q := range o.entries {
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

func (o *orderedPipeline) admitSuperseding(p *orderEntry, stage string) admission {
	var v admission
	for _, q := range o.entries {
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

// leave says that an execution did not begin a stage that it was admitted to.
func (o *orderedPipeline) leave(p *orderEntry, stage string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(p.inside, stage)
}

// pass records that stages are complete (true) or were reset (false), and returns
// the stages of others that may be able to begin now.
func (o *orderedPipeline) pass(p *orderEntry, stages map[string]bool) []waitTarget {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []waitTarget
	for s, complete := range stages {
		delete(p.inside, s)
		delete(p.waiting, s)
		if complete {
			p.passed[s] = true
			out = o.candidates(s, out)
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
func (o *orderedPipeline) candidates(stage string, out []waitTarget) []waitTarget {
	for _, q := range o.entries {
		if q.waiting[stage] {
			out = append(out, waitTarget{q.id, stage})
			if q.mode != pipeline.Supersede {
				break
			}
		}
	}
	return out
}

// quit removes an execution and returns the stages of others that may begin now.
func (o *orderedPipeline) quit(p *orderEntry) []waitTarget {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.entries = slices.DeleteFunc(o.entries, func(q *orderEntry) bool { return q == p })
	seen := map[string]bool{}
	var out []waitTarget
	for _, q := range o.entries {
		for s := range q.waiting {
			if !seen[s] {
				seen[s] = true
				out = o.candidates(s, out)
			}
		}
	}
	return out
}

func (o *orderedPipeline) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.entries)
}

// updateOrder applies what has become durable to the order. The execution is locked.
func (e *Engine) updateOrder(r *activeExecution, c *changes) {
	if r.entry == nil {
		return
	}
	var next []waitTarget
	if c.ended {
		next = r.entry.pipeline.quit(r.entry)
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
		next = r.entry.pipeline.pass(r.entry, done)
	}
	for _, t := range next {
		e.spawn(func() { e.reconsider(t) })
	}
}

// reconsider checks again whether a held stage may begin.
func (e *Engine) reconsider(t waitTarget) {
	r, err := e.load(e.base, t.id, false)
	if err != nil || r == nil {
		e.logFailure("looking at a waiting execution again", t.id, err)
		return
	}
	if i, ok := r.st.plan.index[t.stage]; ok {
		e.logFailure("looking at a waiting execution again", t.id, e.deliver(e.base, t.id, reconsider{stage: i}))
	}
}

// supersede ends older executions that a newer one has superseded.
func (e *Engine) supersede(ids []string, by int) {
	for _, id := range ids {
		e.spawn(func() {
			e.logFailure("superseding an execution", id, e.deliver(e.base, id, canceled{by: "concurrency", supersededBy: by}))
		})
	}
}
