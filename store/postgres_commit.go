package store

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
)

// pgExecutor is a pool, a connection or a transaction.
type pgExecutor interface {
	Exec(ctx context.Context, text string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, text string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, text string, args ...any) pgx.Row
}

// commitTimeout is how long a batch may take before it is asked what became of
// it; a database that hangs is then known to be away.
const commitTimeout = 10 * time.Second

// Commit implements execution.Session. All but the rare changes go in one round
// trip, which is one transaction. After an error it is not known whether that
// was committed; the same batch has to be given again, and then its number in
// the replica's row tells.
func (s *pgSession) Commit(ctx context.Context, batch []*execution.Change) error {
	if s.isLost() {
		return execution.ErrLost
	}
	var common, rare []*execution.Change
	for _, c := range batch {
		c.Err = nil
		if c.Revive || c.Strict {
			rare = append(rare, c)
		} else {
			common = append(common, c)
		}
	}
	if !s.unsettled {
		s.batch++
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	if err := s.commitCommon(ctx, common); err != nil {
		return err
	}
	for _, c := range rare {
		if err := s.commitRare(ctx, c); err != nil {
			return err
		}
	}
	s.unsettled = false
	var last int64
	for _, c := range batch {
		last = max(last, c.Last)
	}
	s.tellPeers(last)
	return nil
}

func (s *pgSession) commitCommon(ctx context.Context, changes []*execution.Change) error {
	const op = "store.commit"
	if len(changes) == 0 {
		return nil
	}
	if s.unsettled {
		done, err := s.settled(ctx, changes)
		if done || err != nil {
			return err
		}
	}
	for {
		s.unsettled = true
		err := s.send(ctx, changes)
		switch {
		case err == nil:
			return nil
		case isCode(err, "SR001"):
			s.lose()
			return execution.ErrLost
		case isCode(err, "40P01"), isCode(err, "40001"): // it was rolled back for another's sake
			continue
		case isCode(err, "SR003"): // what we had given up on was committed after all
			done, err := s.settled(ctx, changes)
			if !done && err == nil {
				err = problem.New(problem.Unavailable, op, "the database does not say whether a batch was committed")
			}
			return err
		case isCode(err, "SR002"):
			kept, ferr := s.unfenced(ctx, changes)
			if ferr != nil {
				return pgError(ferr, op)
			}
			if len(kept) == 0 {
				return nil
			}
			changes = kept
		default:
			return pgError(err, op)
		}
	}
}

// settled finds out whether a batch whose answer was lost was committed, and
// fills in the results of its creations.
func (s *pgSession) settled(ctx context.Context, changes []*execution.Change) (bool, error) {
	const op = "store.commit"
	var number int64
	err := s.store.pool.QueryRow(ctx, `SELECT batch FROM replica WHERE id = $1`, s.owner).Scan(&number)
	if errors.Is(err, pgx.ErrNoRows) {
		s.lose()
		return false, execution.ErrLost
	}
	if err != nil || number != s.batch {
		return false, pgError(err, op)
	}
	for _, c := range changes {
		if c.Create == nil {
			continue
		}
		id := c.ID
		if r := c.Create.Head.Request; r.EventID != "" {
			if err := s.store.pool.QueryRow(ctx, `SELECT execution FROM trigger_event WHERE trigger = $1 AND event = $2`, r.TriggerID, r.EventID).Scan(&id); err != nil {
				return false, pgError(err, op)
			}
		}
		if c.Head2, err = s.store.head(ctx, s.store.pool, id); err != nil {
			return false, err
		}
		c.Existed = id != c.ID
	}
	return true, nil
}

// unfenced refuses the changes of executions that are no longer this session's,
// and returns the rest.
func (s *pgSession) unfenced(ctx context.Context, changes []*execution.Change) ([]*execution.Change, error) {
	ids, _ := fences(changes)
	rows, err := s.store.pool.Query(ctx, `SELECT id, epoch FROM execution WHERE id = ANY ($1) AND owner = $2 AND live = 1`, ids, s.owner)
	if err != nil {
		return nil, err
	}
	mine := map[string]int64{}
	var id string
	var epoch int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &epoch}, func() error { mine[id] = epoch; return nil }); err != nil {
		return nil, err
	}
	var kept []*execution.Change
	for _, c := range changes {
		if e, ok := mine[c.ID]; fenced(c) && (!ok || e != c.Epoch) {
			c.Err = execution.ErrFenced
		} else {
			kept = append(kept, c)
		}
	}
	return kept, nil
}

// fenced tells whether a change is one of an execution that has to be ours.
func fenced(c *execution.Change) bool {
	return c.Create == nil && (len(c.Stages) > 0 || c.Head != nil)
}

func fences(changes []*execution.Change) (ids []string, epochs []int64) {
	seen := map[string]bool{}
	for _, c := range changes {
		if fenced(c) && !seen[c.ID] {
			seen[c.ID] = true
			ids, epochs = append(ids, c.ID), append(epochs, c.Epoch)
		}
	}
	// An execution created in this batch is not there yet when the fence is checked.
	for _, c := range changes {
		if c.Create != nil && seen[c.ID] {
			if i := slices.Index(ids, c.ID); i >= 0 {
				ids, epochs = slices.Delete(ids, i, i+1), slices.Delete(epochs, i, i+1)
			}
		}
	}
	return ids, epochs
}

// send commits a batch in one round trip: without a BEGIN, what is sent in one
// go is one transaction.
func (s *pgSession) send(ctx context.Context, changes []*execution.Change) error {
	b := &pgx.Batch{}
	ids, epochs := fences(changes)
	b.Queue(`SELECT showrunner_fence($1, $2, $3, $4)`, s.owner, s.batch, ids, epochs)
	events, err := s.queueChanges(b, changes)
	if err != nil {
		return err
	}
	queueEvents(b, events, deduplicates(changes))
	if err := s.store.pool.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	for _, c := range changes {
		for i := range c.Events {
			c.Last = max(c.Last, c.Events[i].Position)
		}
	}
	return nil
}

// deduplicates tells whether a creation in the batch may turn out to have
// happened before, so that what goes with it has to be dropped.
func deduplicates(changes []*execution.Change) bool {
	return slices.ContainsFunc(changes, func(c *execution.Change) bool { return c.Create != nil && c.Create.Head.Request.EventID != "" })
}

func (s *pgSession) queueChanges(b *pgx.Batch, changes []*execution.Change) ([]*record.Event, error) {
	var events []*record.Event
	var creates []*execution.Change
	rows := newStageColumns()
	heads := &headColumnsOf{}
	mails := &mailColumns{}
	for _, c := range changes {
		if c.Create != nil {
			creates = append(creates, c)
		}
		if c.Head != nil {
			if err := heads.add(s.owner, c.ID, c.Head); err != nil {
				return nil, err
			}
		}
		for i := range c.Stages {
			rows.add(c.ID, &c.Stages[i])
		}
		for _, m := range c.Mail {
			if err := mails.add(m); err != nil {
				return nil, err
			}
		}
		for i := range c.Events {
			events = append(events, &c.Events[i])
		}
	}
	// The rows of pipelines and trigger events are locked in one order, so that batches of two
	// replicas cannot wait for each other.
	slices.SortStableFunc(creates, func(x, y *execution.Change) int {
		return strings.Compare(lockOrder(&x.Create.Head), lockOrder(&y.Create.Head))
	})
	for _, c := range creates {
		if err := s.queueCreate(b, c); err != nil {
			return nil, err
		}
	}
	heads.queue(b)
	rows.queue(b, deduplicates(changes))
	mails.queue(b)
	return events, nil
}

// lockOrder sorts creations by what they lock: pipelines, and within them the
// trigger events that two replicas may both be starting.
func lockOrder(h *execution.Head) string {
	return h.Application + "\x00" + h.Pipeline + "\x00" + h.Request.TriggerID + "\x00" + h.Request.EventID
}

func (s *pgSession) queueCreate(b *pgx.Batch, c *execution.Change) error {
	h := c.Create.Head
	request, state, err := headJSON(&h)
	if err != nil {
		return err
	}
	var parent any
	if h.Request.Parent != nil {
		parent = h.Request.Parent.Execution
	}
	var live, lane int64
	if !h.Status.Complete() {
		live = 1
	}
	if h.Lane {
		lane = 1
	}
	b.Queue(`SELECT existed, found_id, coalesce(new_seq, 0), coalesce(new_number, 0), coalesce(new_ord, 0), coalesce(new_owner, '')
		FROM showrunner_create($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)`,
		s.owner, h.ID, h.Application, h.Pipeline, string(h.Status), live, h.Plan, c.Create.PlanData, lane, parent, nullable(h.Request.RollbackOf),
		h.Created.UnixMilli(), millis(h.Started), millis(h.Ended), request, state, execution.SearchTerms(&h), h.Request.TriggerID, h.Request.EventID).
		QueryRow(func(row pgx.Row) error {
			h := c.Create.Head
			h.Epoch = 1
			var id string
			if err := row.Scan(&c.Existed, &id, &h.Seq, &h.Number, &h.Order, &h.Owner); err != nil {
				return err
			}
			h.ID = id
			c.Head2 = h
			return nil
		})
	return nil
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

func newStageColumns() *stageColumns { return &stageColumns{at: map[stageKey]int{}} }

func (r *stageColumns) add(id string, row *execution.StageRow) {
	wake := millisPtr(&row.Wake)
	k := stageKey{id, row.Index}
	if i, ok := r.at[k]; ok {
		r.wakes[i], r.data[i] = wake, row.Data
		return
	}
	r.at[k] = len(r.data)
	r.executions, r.indexes = append(r.executions, id), append(r.indexes, int64(row.Index))
	r.wakes, r.data = append(r.wakes, wake), append(r.data, row.Data)
}

// queue writes the rows. Checked drops those of executions that do not exist,
// which are those of starts that had happened before.
func (r *stageColumns) queue(b *pgx.Batch, checked bool) {
	if len(r.data) == 0 {
		return
	}
	text := `INSERT INTO stage (execution, idx, wake, data) SELECT u.* FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bytea[]) AS u (execution, idx, wake, data)`
	if checked {
		text += ` WHERE EXISTS (SELECT 1 FROM execution e WHERE e.id = u.execution)`
	} else {
		text += ` WHERE true` // or ON would be read as that of a join
	}
	b.Queue(text+` ON CONFLICT (execution, idx) DO UPDATE SET wake = excluded.wake, data = excluded.data`, r.executions, r.indexes, r.wakes, r.data)
}

// headColumnsOf are the heads of a batch, a column each; the last one of an execution counts.
type headColumnsOf struct {
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
	if i := slices.Index(r.ids, id); i >= 0 {
		r.ids, r.statuses, r.owners, r.live = slices.Delete(r.ids, i, i+1), slices.Delete(r.statuses, i, i+1), slices.Delete(r.owners, i, i+1), slices.Delete(r.live, i, i+1)
		r.started, r.ended, r.states = slices.Delete(r.started, i, i+1), slices.Delete(r.ended, i, i+1), slices.Delete(r.states, i, i+1)
	}
	live := int64(1)
	if h.Ended != nil {
		live = 0
	}
	if live == 0 || h.Release {
		owner = ""
	}
	r.ids, r.statuses, r.owners, r.live = append(r.ids, id), append(r.statuses, string(h.Status)), append(r.owners, owner), append(r.live, live)
	r.started, r.ended, r.states = append(r.started, millisPtr(h.Started)), append(r.ended, millisPtr(h.Ended)), append(r.states, state)
	return nil
}

func (r *headColumnsOf) queue(b *pgx.Batch) {
	if len(r.ids) == 0 {
		return
	}
	b.Queue(`UPDATE execution e SET status = u.status, live = u.live, owner = u.owner, started = u.started, ended = u.ended, state = u.state
		FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bytea[]) AS u (id, status, live, owner, started, ended, state)
		WHERE e.id = u.id AND e.live = 1`, r.ids, r.statuses, r.live, r.owners, r.started, r.ended, r.states)
	var ended []string
	for i, id := range r.ids {
		if r.live[i] == 0 {
			ended = append(ended, id)
		}
	}
	if len(ended) > 0 { // wishes for the end are fulfilled
		b.Queue(`DELETE FROM mail WHERE execution = ANY ($1) AND stage = ''`, ended)
	}
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

// insertMail delivers to live executions and tells their owners.
const insertMail = `WITH sent AS (
		INSERT INTO mail (execution, stage, id, data) SELECT u.* FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) AS u (execution, stage, id, data)
		JOIN execution e ON e.id = u.execution AND e.live = 1 ON CONFLICT DO NOTHING RETURNING execution)
	SELECT pg_notify('showrunner', json_build_object('to', e.owner, 'n', json_build_object('Kind', 'mail', 'Execution', e.id))::text)
	FROM (SELECT DISTINCT execution FROM sent) s JOIN execution e ON e.id = s.execution`

func (r *mailColumns) queue(b *pgx.Batch) {
	if len(r.ids) > 0 {
		b.Queue(insertMail, r.executions, r.stages, r.ids, r.data)
	}
}

// millisPtr is millis for arrays.
func millisPtr(t *time.Time) *int64 {
	if t == nil || t.IsZero() {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}
