package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"showrunner/execution"
	"showrunner/store/record"
)

// queueEvents appends events to the log. The row that counts positions is
// locked until the transaction is committed, so that positions become visible
// in their order: no reader can see a later one and miss an earlier one. It is
// the last thing that a batch does. Checked drops events of executions that do
// not exist, which are those of starts that had happened before.
func queueEvents(b *pgx.Batch, events []*record.Event, checked bool) {
	n := len(events)
	if n == 0 {
		return
	}
	times, data := make([]int64, n), make([][]byte, n)
	var texts [6][]string
	for i := range texts {
		texts[i] = make([]string, n)
	}
	for i, e := range events {
		times[i] = e.Time.UnixMilli()
		if len(e.Data) > 0 {
			data[i] = e.Data
		}
		for k, v := range [6]string{e.Type, e.Application, e.Pipeline, e.Execution, e.Stage, e.By} {
			texts[k][i] = v
		}
	}
	text := `WITH p AS (UPDATE meta SET value = value + $1 WHERE key = 'position' RETURNING value - $1 AS base)
		INSERT INTO event (position, time, type, application, pipeline, execution, stage, by, data)
		SELECT p.base + u.n, u.time, u.type, u.application, u.pipeline, u.execution, u.stage, u.by, u.data
		FROM p, unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bytea[])
			WITH ORDINALITY AS u (time, type, application, pipeline, execution, stage, by, data, n)`
	if checked {
		text += ` WHERE u.execution = '' OR EXISTS (SELECT 1 FROM execution e WHERE e.id = u.execution)`
	}
	b.Queue(text, int64(n), times, texts[0], texts[1], texts[2], texts[3], texts[4], texts[5], data)
	b.Queue(`SELECT value FROM meta WHERE key = 'position'`).QueryRow(func(row pgx.Row) error {
		var last int64
		if err := row.Scan(&last); err != nil {
			return err
		}
		for i, e := range events {
			e.Position = last - int64(n-1-i)
		}
		return nil
	})
}

// appendEvents is queueEvents for a transaction that is not one batch.
func appendEvents(ctx context.Context, tx pgx.Tx, events []record.Event) error {
	if len(events) == 0 {
		return nil
	}
	pointers := make([]*record.Event, len(events))
	for i := range events {
		pointers[i] = &events[i]
	}
	b := &pgx.Batch{}
	queueEvents(b, pointers, false)
	return tx.SendBatch(ctx, b).Close()
}

// AppendEvents implements Store.
func (p *Postgres) AppendEvents(ctx context.Context, events ...record.Event) error {
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error { return p.appendAndTell(ctx, tx, events) })
	return pgError(err, "store.events")
}

// appendAndTell appends events and tells every replica that the log has grown.
func (p *Postgres) appendAndTell(ctx context.Context, tx pgx.Tx, events []record.Event) error {
	if len(events) == 0 {
		return nil
	}
	if err := appendEvents(ctx, tx, events); err != nil {
		return err
	}
	return (&pgSession{store: p}).notify(ctx, tx, envelope{Notice: execution.Notice{Kind: execution.NoticeEvents, Position: events[len(events)-1].Position}})
}

// ReadEvents implements execution.Store.
func (p *Postgres) ReadEvents(ctx context.Context, from int64, f record.Filter, limit int) (record.Slice, error) {
	const op = "store.events"
	var floor, last int64
	// What is committed up to last is all visible to the statement after this one.
	err := p.pool.QueryRow(ctx, `SELECT (SELECT value FROM meta WHERE key = 'floor'), (SELECT value FROM meta WHERE key = 'position')`).Scan(&floor, &last)
	if err != nil {
		return record.Slice{}, pgError(err, op)
	}
	w := newEventWindow(from, floor, max(last, floor), f, limit)
	text, args := w.query(dollar)
	rows, err := p.pool.Query(ctx, text, args...)
	if err != nil {
		return record.Slice{}, pgError(err, op)
	}
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (record.Event, error) { return scanEvent(row.Scan) })
	if err != nil {
		return record.Slice{}, pgError(err, op)
	}
	for _, e := range events {
		w.add(e)
	}
	return w.slice(), nil
}
