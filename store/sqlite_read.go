package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
)

// querier is a connection, a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// The column lane is 1 for an execution of an ordered pipeline.
const headColumns = `e.seq, e.id, e.application, e.pipeline, e.number, e.ord, e.status, e.owner, e.epoch, e.plan, e.lane, e.created, e.started, e.ended, e.request, e.state`

// scanHead reads headColumns.
func scanHead(scan func(...any) error) (execution.Head, error) {
	var h execution.Head
	var status string
	var ordered, created int64
	var started, ended *int64
	var request, state []byte
	err := scan(&h.Seq, &h.ID, &h.Application, &h.Pipeline, &h.Number, &h.Order, &status, &h.Owner, &h.Epoch, &h.Plan, &ordered, &created, &started, &ended, &request, &state)
	if err != nil {
		return h, err
	}
	h.Status, h.Ordered, h.Created = execution.Status(status), ordered != 0, fromMillis(created)
	h.Started, h.Ended = fromMillisPtr(started), fromMillisPtr(ended)
	return h, headFromJSON(&h, request, state)
}

func (s *SQLite) head(ctx context.Context, q querier, id string) (execution.Head, error) {
	h, err := scanHead(q.QueryRowContext(ctx, `SELECT `+headColumns+` FROM execution e WHERE id = ?`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return h, notFound("store.load", id)
	}
	if _, ok := problem.Of(err); ok {
		return h, err
	}
	return h, sqliteError(err, "store.load")
}

// Load implements execution.Store.
func (s *SQLite) Load(ctx context.Context, id string) (execution.Snapshot, error) {
	const op = "store.load"
	var snap execution.Snapshot
	tx, err := s.reads.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // one picture of all three
	if err != nil {
		return snap, sqliteError(err, op)
	}
	defer func() { _ = tx.Rollback() }() // it only reads
	if snap.Head, err = s.head(ctx, tx, id); err != nil {
		return snap, err
	}
	rows, err := tx.QueryContext(ctx, `SELECT idx, wake, data FROM stage WHERE execution = ? ORDER BY idx`, id)
	if err != nil {
		return snap, sqliteError(err, op)
	}
	defer rows.Close()
	for rows.Next() {
		var r execution.StageRow
		var wake *int64
		if err := rows.Scan(&r.Index, &wake, &r.Data); err != nil {
			return snap, sqliteError(err, op)
		}
		if wake != nil {
			r.Wake = fromMillis(*wake)
		}
		snap.Stages = append(snap.Stages, r)
	}
	if err := rows.Err(); err != nil {
		return snap, sqliteError(err, op)
	}
	snap.Mail, err = s.mail(ctx, tx, id, 0)
	return snap, err
}

func (s *SQLite) mail(ctx context.Context, q querier, id string, after int64) ([]execution.Mail, error) {
	const op = "store.mail"
	rows, err := q.QueryContext(ctx, `SELECT seq, stage, data FROM mail WHERE execution = ? AND seq > ? ORDER BY seq`, id, after)
	if err != nil {
		return nil, sqliteError(err, op)
	}
	defer rows.Close()
	var out []execution.Mail
	for rows.Next() {
		m := execution.Mail{Execution: id}
		var data []byte
		if err := rows.Scan(&m.Seq, &m.Stage, &data); err != nil {
			return nil, sqliteError(err, op)
		}
		if err := json.Unmarshal(data, &m.Signal); err != nil {
			return nil, problem.Wrap(err, problem.Internal, op, "a signal of execution %s is damaged", id)
		}
		out = append(out, m)
	}
	return out, sqliteError(rows.Err(), op)
}

// Plan implements execution.Store.
func (s *SQLite) Plan(ctx context.Context, digest string) ([]byte, error) {
	var data []byte
	err := s.reads.QueryRowContext(ctx, `SELECT data FROM plan WHERE digest = ?`, digest).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, problem.New(problem.NotFound, "store.plan", "there is no definition %s", digest)
	}
	return data, sqliteError(err, "store.plan")
}

// List implements execution.Store.
func (s *SQLite) List(ctx context.Context, q execution.Query) ([]execution.Head, string, error) {
	return list(ctx, q, sqliteLists{s})
}

// sqliteLists implements lists.
type sqliteLists struct{ *SQLite }

func (s sqliteLists) param(n int) string { return question(n) }

func (s sqliteLists) seqIn(places string) string { return `e.seq IN (` + places + `)` }

// indexRange names the index, since of two that fit the planner may choose the
// one that selects less.
func (s sqliteLists) indexRange(c *clause, columns, values []string, from, before int64) (source, order string) {
	for i, column := range columns {
		c.is(column, values[i])
	}
	c.between("e.seq", from, before)
	return "execution e" + indexedBy[strings.Join(columns, " ")], "e.seq DESC"
}

// indexedBy are the indexes by the columns that they begin with.
var indexedBy = map[string]string{
	"e.status":                          " INDEXED BY execution_by_status",
	"e.application e.status":            " INDEXED BY execution_by_application",
	"e.application e.pipeline e.status": " INDEXED BY execution_by_pipeline",
	"e.parent":                          " INDEXED BY execution_by_parent",
	"e.rollback_of":                     " INDEXED BY execution_by_rollback",
}

func (s sqliteLists) heads(ctx context.Context, text string, args []any) ([]execution.Head, error) {
	const op = "store.list"
	rows, err := s.reads.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, sqliteError(err, op)
	}
	defer rows.Close()
	var out []execution.Head
	for rows.Next() {
		h, err := scanHead(rows.Scan)
		if err != nil {
			return nil, sqliteError(err, op)
		}
		out = append(out, h)
	}
	return out, sqliteError(rows.Err(), op)
}

func (s sqliteLists) number(ctx context.Context, text string, args []any) (int64, error) {
	var n int64
	err := s.reads.QueryRowContext(ctx, text, args...).Scan(&n)
	return n, sqliteError(err, "store.list")
}

// search reads the index from its newest entry on, and stops with the page.
func (s sqliteLists) search(ctx context.Context, p page, segments, words, facets []string) ([]execution.Head, error) {
	text, args := s.searchText(p, segments, words, facets)
	return s.heads(ctx, text, args)
}

func (s sqliteLists) searchText(p page, segments, words, facets []string) (string, []any) {
	each := make([]string, len(segments))
	for i, segment := range segments {
		var terms []string
		for _, f := range facets {
			terms = append(terms, `"`+segment+f+`"`)
		}
		for _, w := range words {
			terms = append(terms, `"`+segment+w+`"*`)
		}
		each[i] = "(" + strings.Join(terms, " AND ") + ")"
	}
	c := &clause{param: question}
	c.parts = append(c.parts, "word MATCH "+c.arg(strings.Join(each, " OR ")))
	c.between("word.rowid", p.from, p.before)
	c.created(p)
	c.oneOf("e.status", p.Statuses)
	return `SELECT ` + headColumns + ` FROM word CROSS JOIN execution e ON e.seq = word.rowid WHERE ` + c.String() + ` ORDER BY word.rowid DESC LIMIT ` + c.arg(p.limit), c.args
}

func question(int) string { return "?" }

// scanWindow bounds how much of the log one filtered reading looks at.
const scanWindow = 50_000

// ReadEvents implements execution.Store.
func (s *SQLite) ReadEvents(ctx context.Context, from int64, f record.Filter, limit int) (record.Slice, error) {
	const op = "store.events"
	if slice, ok := s.recent.read(from, f, limit); ok {
		return slice, nil
	}
	tx, err := s.reads.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return record.Slice{}, sqliteError(err, op)
	}
	defer func() { _ = tx.Rollback() }() // it only reads
	var floor, last int64
	err = tx.QueryRowContext(ctx, `SELECT coalesce((SELECT value FROM meta WHERE key = 'floor'), 0), coalesce((SELECT max(position) FROM event), 0)`).Scan(&floor, &last)
	if err != nil {
		return record.Slice{}, sqliteError(err, op)
	}
	w := newEventWindow(from, floor, max(last, floor), f, limit)
	text, args := w.query(question)
	rows, err := tx.QueryContext(ctx, text, args...)
	if err != nil {
		return record.Slice{}, sqliteError(err, op)
	}
	defer rows.Close()
	for rows.Next() {
		e, err := scanEvent(rows.Scan)
		if err != nil {
			return record.Slice{}, sqliteError(err, op)
		}
		w.add(e)
	}
	return w.slice(), sqliteError(rows.Err(), op)
}

func scanEvent(scan func(...any) error) (record.Event, error) {
	var e record.Event
	var at int64
	var data []byte
	err := scan(&e.Position, &at, &e.Type, &e.Application, &e.Pipeline, &e.Execution, &e.Stage, &e.By, &data)
	e.Time, e.Data = fromMillis(at), data
	return e, err
}

// eventWindow is one reading of the log.
type eventWindow struct {
	from, to int64 // after, up to
	reset    bool
	filter   record.Filter
	limit    int
	events   []record.Event
}

func newEventWindow(from, floor, last int64, f record.Filter, limit int) *eventWindow {
	if from < 0 {
		from = max(last, floor) // the end is asked for
	}
	w := &eventWindow{from: from, filter: f, limit: limit}
	if from < floor {
		w.from, w.reset = floor, from > 0
	}
	w.to = max(last, w.from)
	if f.Execution == "" && (f.Application != "" || f.Pipeline != "" || len(f.Types) > 0) {
		w.to = min(w.to, w.from+scanWindow)
	}
	return w
}

func (w *eventWindow) query(param func(n int) string) (string, []any) {
	args := []any{w.from, w.to}
	text := `SELECT position, time, type, application, pipeline, execution, stage, by, data FROM event WHERE position > ` + param(1) + ` AND position <= ` + param(2)
	is := func(column, v string) {
		if v != "" {
			args = append(args, v)
			text += " AND " + column + " = " + param(len(args))
		}
	}
	is("execution", w.filter.Execution)
	is("application", w.filter.Application)
	is("pipeline", w.filter.Pipeline)
	if w.filter.Execution != "" {
		text += ` AND execution <> ''` // lets the partial index be used
	}
	if len(w.filter.Types) > 0 {
		var or []string
		for _, t := range w.filter.Types {
			lo, hi := t, t+"\x00"
			if strings.HasSuffix(t, ".") {
				hi = t[:len(t)-1] + "/" // the character after "."
			}
			if strings.HasSuffix(t, ".") {
				args = append(args, lo, hi)
				or = append(or, "type >= "+param(len(args)-1)+" AND type < "+param(len(args)))
			} else {
				args = append(args, lo)
				or = append(or, "type = "+param(len(args)))
			}
		}
		text += " AND (" + strings.Join(or, " OR ") + ")"
	}
	args = append(args, w.limit)
	return text + " ORDER BY position LIMIT " + param(len(args)), args
}

func (w *eventWindow) add(e record.Event) { w.events = append(w.events, e) }

func (w *eventWindow) slice() record.Slice {
	out := record.Slice{Events: w.events, Next: w.to, Reset: w.reset}
	if n := len(w.events); n == w.limit && n > 0 {
		out.Next = w.events[n-1].Position
	}
	return out
}
