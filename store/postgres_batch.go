package store

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
)

// pgBatch is a batch as the columns of one call; see showrunner_commit, whose
// parameters have their order.
type pgBatch struct {
	owner   string
	number  int64
	changes []*execution.Change
	creates []*execution.Change // by what they lock

	fence fenceColumns
	made  createColumns
	heads headColumnsOf
	rows  stageColumns
	mails mailColumns
	log   eventColumns
	event []*record.Event // what is in log
}

func newPgBatch(owner string, number int64, changes []*execution.Change) (*pgBatch, error) {
	b := &pgBatch{owner: owner, number: number, changes: changes, fence: fences(changes)}
	for _, c := range changes {
		if c.Create != nil {
			b.creates = append(b.creates, c)
		}
		if c.Head != nil {
			if err := b.heads.add(owner, c.ID, c.Head); err != nil {
				return nil, err
			}
		}
		for i := range c.Stages {
			b.rows.add(c.ID, &c.Stages[i])
		}
		for _, m := range c.Mail {
			if err := b.mails.add(m); err != nil {
				return nil, err
			}
		}
		for i := range c.Events {
			b.log.add(&c.Events[i])
			b.event = append(b.event, &c.Events[i])
		}
	}
	// The rows of pipelines and trigger events are locked in one order, so that batches of two
	// replicas cannot wait for each other.
	slices.SortStableFunc(b.creates, func(x, y *execution.Change) int {
		h, o := &x.Create.Head, &y.Create.Head
		return cmp.Or(strings.Compare(h.Application, o.Application), strings.Compare(h.Pipeline, o.Pipeline),
			strings.Compare(h.Request.TriggerID, o.Request.TriggerID), strings.Compare(h.Request.EventID, o.Request.EventID))
	})
	for _, c := range b.creates {
		if err := b.made.add(c); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// commitColumns is how many parameters showrunner_commit has.
const commitColumns = 46

// commitCall is the call with a parameter for each column.
var commitCall = func() string {
	names := make([]string, commitColumns)
	for i := range names {
		names[i] = dollar(i + 1)
	}
	return `SELECT coalesce(last, 0), made, seqs, numbers, ords, owners, dropped, instead FROM showrunner_commit(` + strings.Join(names, ", ") + `)`
}()

// commit makes the batch durable and fills in what became of its changes.
func (b *pgBatch) commit(ctx context.Context, q pgExecutor) error {
	args := make([]any, 0, commitColumns)
	args = append(args, b.owner, b.number)
	args = b.fence.args(args)
	args = b.made.args(args)
	args = b.heads.args(args)
	args = b.rows.args(args)
	args = b.mails.args(args)
	args = b.log.args(args)
	var last int64
	var made, owners, dropped, instead []string
	var seqs, numbers, ords []int64
	if err := q.QueryRow(ctx, commitCall, args...).Scan(&last, &made, &seqs, &numbers, &ords, &owners, &dropped, &instead); err != nil {
		return err
	}
	for i, e := range b.event {
		e.Position = last - int64(len(b.event)-1-i)
	}
	for _, c := range b.changes {
		if n := len(c.Events); n > 0 {
			c.Last = c.Events[n-1].Position
		}
	}
	if len(b.creates) == 0 {
		return nil
	}
	at := make(map[string]int, len(made))
	for i, id := range made {
		at[id] = i
	}
	for _, c := range b.creates {
		h := c.Create.Head
		h.Epoch = 1
		if i, ok := at[c.ID]; ok {
			h.Seq, h.Number, h.Order, h.Owner = seqs[i], int(numbers[i]), ords[i], owners[i]
		} else if i := slices.Index(dropped, c.ID); i >= 0 {
			c.Existed, h.ID = true, instead[i]
		}
		c.Head2 = h
	}
	return nil
}

// fenceColumns are the executions that have to be the replica's.
type fenceColumns struct {
	ids    []string
	epochs []int64
}

func (f *fenceColumns) args(to []any) []any { return append(to, f.ids, f.epochs) }

// createColumns are the new executions of a batch, a column each, and the plans
// that they need.
type createColumns struct {
	known                                        map[string]bool
	digests                                      []string
	plans                                        [][]byte
	ids, applications, pipelines, statuses, plan []string
	terms, triggers, events                      []string
	parents, rollbacks                           []*string
	lives, ordereds, createds                    []int64
	starteds, endeds                             []*int64
	requests, states                             [][]byte
	deduplicates                                 bool // a trigger event is among them
}

func (r *createColumns) add(c *execution.Change) error {
	h := &c.Create.Head
	request, state, err := headJSON(h)
	if err != nil {
		return err
	}
	if !r.known[h.Plan] {
		if r.known == nil {
			r.known = map[string]bool{}
		}
		r.known[h.Plan] = true
		r.digests, r.plans = append(r.digests, h.Plan), append(r.plans, c.Create.PlanData)
	}
	var parent, rollback *string
	if h.Request.Parent != nil {
		parent = &h.Request.Parent.Execution
	}
	if h.Request.RollbackOf != "" {
		rollback = &h.Request.RollbackOf
	}
	var live, ordered int64
	if !h.Status.Complete() {
		live = 1
	}
	if h.Ordered {
		ordered = 1
	}
	r.ids, r.applications, r.pipelines, r.statuses = append(r.ids, h.ID), append(r.applications, h.Application), append(r.pipelines, h.Pipeline), append(r.statuses, string(h.Status))
	r.lives, r.plan, r.ordereds, r.parents, r.rollbacks = append(r.lives, live), append(r.plan, h.Plan), append(r.ordereds, ordered), append(r.parents, parent), append(r.rollbacks, rollback)
	r.createds, r.starteds, r.endeds = append(r.createds, h.Created.UnixMilli()), append(r.starteds, millisPtr(h.Started)), append(r.endeds, millisPtr(h.Ended))
	r.requests, r.states, r.terms = append(r.requests, request), append(r.states, state), append(r.terms, strings.Join(execution.SearchTerms(h), " "))
	r.triggers, r.events = append(r.triggers, h.Request.TriggerID), append(r.events, h.Request.EventID)
	r.deduplicates = r.deduplicates || h.Request.EventID != ""
	return nil
}

func (r *createColumns) args(to []any) []any {
	triggers, events := r.triggers, r.events
	if !r.deduplicates {
		triggers, events = nil, nil
	}
	return append(to, r.digests, r.plans, r.ids, r.applications, r.pipelines, r.statuses, r.lives, r.plan, r.ordereds, r.parents, r.rollbacks,
		r.createds, r.starteds, r.endeds, r.requests, r.states, r.terms, triggers, events)
}

// headColumnsOf are the heads of a batch, a column each; the last one of an execution counts.
type headColumnsOf struct {
	at                    map[string]int
	ids, statuses, owners []string
	live                  []int64
	started, ended        []*int64
	states                [][]byte
}

func (r *headColumnsOf) add(owner, id string, h *execution.HeadPatch) error {
	state, err := json.Marshal(h.State)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "store.commit", "the state of execution %s", id)
	}
	live := int64(1)
	if h.Ended != nil {
		live = 0
	}
	if live == 0 || h.Release {
		owner = ""
	}
	i, ok := r.at[id]
	if !ok {
		if r.at == nil {
			r.at = map[string]int{}
		}
		i = len(r.ids)
		r.at[id] = i
		r.ids, r.statuses, r.owners, r.live = append(r.ids, id), append(r.statuses, ""), append(r.owners, ""), append(r.live, 0)
		r.started, r.ended, r.states = append(r.started, nil), append(r.ended, nil), append(r.states, nil)
	}
	r.statuses[i], r.owners[i], r.live[i] = string(h.Status), owner, live
	r.started[i], r.ended[i], r.states[i] = millisPtr(h.Started), millisPtr(h.Ended), state
	return nil
}

func (r *headColumnsOf) args(to []any) []any {
	return append(to, r.ids, r.statuses, r.live, r.owners, r.started, r.ended, r.states)
}

// stageColumns are the rows of a batch, a column each; the last write of a row counts.
type stageColumns struct {
	at         map[stageKey]int
	executions []string
	indexes    []int64
	wakes      []*int64
	data       [][]byte
}

type stageKey struct {
	id    string
	index int
}

func (r *stageColumns) add(id string, row *execution.StageRow) {
	wake := millisPtr(&row.Wake)
	k := stageKey{id, row.Index}
	if i, ok := r.at[k]; ok {
		r.wakes[i], r.data[i] = wake, row.Data
		return
	}
	if r.at == nil {
		r.at = map[stageKey]int{}
	}
	r.at[k] = len(r.data)
	r.executions, r.indexes = append(r.executions, id), append(r.indexes, int64(row.Index))
	r.wakes, r.data = append(r.wakes, wake), append(r.data, row.Data)
}

func (r *stageColumns) args(to []any) []any {
	return append(to, r.executions, r.indexes, r.wakes, r.data)
}

// mailColumns are the messages of a batch, a column each.
type mailColumns struct {
	executions, stages, ids []string
	data                    [][]byte
}

func (r *mailColumns) add(m execution.Mail) error {
	data, err := json.Marshal(m.Signal)
	if err != nil {
		return problem.Wrap(err, problem.Invalid, "execution.signal", "the signal cannot be kept")
	}
	r.executions, r.stages, r.ids, r.data = append(r.executions, m.Execution), append(r.stages, m.Stage), append(r.ids, m.Signal.ID), append(r.data, data)
	return nil
}

func (r *mailColumns) args(to []any) []any {
	return append(to, r.executions, r.stages, r.ids, r.data)
}

// eventColumns are events to be appended, a column each.
type eventColumns struct {
	times []int64
	texts [6][]string
	data  [][]byte
}

func (r *eventColumns) add(e *record.Event) {
	r.times = append(r.times, e.Time.UnixMilli())
	for i, v := range [6]string{e.Type, e.Application, e.Pipeline, e.Execution, e.Stage, e.By} {
		r.texts[i] = append(r.texts[i], v)
	}
	var data []byte
	if len(e.Data) > 0 {
		data = e.Data
	}
	r.data = append(r.data, data)
}

func (r *eventColumns) args(to []any) []any {
	return append(to, r.times, r.texts[0], r.texts[1], r.texts[2], r.texts[3], r.texts[4], r.texts[5], r.data)
}

// millisPtr is millis for arrays.
func millisPtr(t *time.Time) *int64 {
	if t == nil || t.IsZero() {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}
