package store

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
)

// appendEvents appends events to the log as the last thing that a transaction
// does; see showrunner_events.
func appendEvents(ctx context.Context, tx pgx.Tx, events []record.Event) error {
	if len(events) == 0 {
		return nil
	}
	var columns eventColumns
	for i := range events {
		columns.add(&events[i])
	}
	var last int64
	if err := tx.QueryRow(ctx, `SELECT showrunner_events($1, $2, $3, $4, $5, $6, $7, $8, NULL)`, columns.args(nil)...).Scan(&last); err != nil {
		return err
	}
	for i := range events {
		events[i].Position = last - int64(len(events)-1-i)
	}
	return nil
}

// eventQueue holds events that are to be appended without any other change. A
// commit locks the row that counts positions until it is on disk; events that
// arrive in the meantime share the next commit.
type eventQueue struct {
	mu      sync.Mutex
	waiting []*queuedEvents
	led     bool
}

type queuedEvents struct {
	events []record.Event
	done   chan error // of one
}

// AppendEvents implements Store. Whether they are appended is not known when it
// returns because ctx has ended.
func (p *Postgres) AppendEvents(ctx context.Context, events ...record.Event) error {
	const op = "store.events"
	a := &queuedEvents{events: events, done: make(chan error, 1)}
	p.queue.mu.Lock()
	p.queue.waiting = append(p.queue.waiting, a)
	lead := !p.queue.led
	p.queue.led = true
	p.queue.mu.Unlock()
	if lead {
		go p.drainEvents(context.WithoutCancel(ctx))
	}
	select {
	case err := <-a.done:
		return pgError(err, op)
	case <-ctx.Done():
		return pgError(context.Cause(ctx), op)
	}
}

// drainEvents commits the queued events until the queue is empty.
func (p *Postgres) drainEvents(ctx context.Context) {
	for {
		p.queue.mu.Lock()
		all := p.queue.waiting
		p.queue.waiting, p.queue.led = nil, len(all) > 0
		p.queue.mu.Unlock()
		if len(all) == 0 {
			return
		}
		err := p.commitEvents(ctx, all)
		if len(all) > 1 && problem.CodeOf(pgError(err, "store.events")) == problem.Internal { // one of them is refused, for all
			for _, a := range all {
				a.done <- p.commitEvents(ctx, []*queuedEvents{a})
			}
			continue
		}
		for _, a := range all {
			a.done <- err
		}
	}
}

func (p *Postgres) commitEvents(ctx context.Context, all []*queuedEvents) error {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	var events []record.Event
	for _, a := range all {
		events = append(events, a.events...)
	}
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error { return p.appendAndTell(ctx, tx, events) })
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
	if w.to == w.from {
		return w.slice(), nil
	}
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
