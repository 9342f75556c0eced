package store

import (
	"context"
	"database/sql"
	"strings"

	"showrunner/problem"
)

// eventRows is how many events one prepared statement inserts; the rest go one by one.
const eventRows = 16

// sqliteStatements are those of the hot path.
type sqliteStatements struct {
	begin, commit, rollback        *sql.Stmt
	stage, event, events           *sql.Stmt
	create, plan, number, order    *sql.Stmt
	words, trigger, findTrigger    *sql.Stmt
	patch, revive, live, mail, end *sql.Stmt
	all                            []*sql.Stmt
}

func prepareSQLite(ctx context.Context, conn *sql.Conn) (*sqliteStatements, error) {
	const insertEvent = `INSERT INTO event (position, time, type, application, pipeline, execution, stage, by, data) VALUES `
	const eventRow = `(?, ?, ?, ?, ?, ?, ?, ?, ?)`
	st := &sqliteStatements{}
	for _, p := range []struct {
		to   **sql.Stmt
		text string
	}{
		{&st.begin, `BEGIN IMMEDIATE`}, {&st.commit, `COMMIT`}, {&st.rollback, `ROLLBACK`},
		{&st.stage, `INSERT INTO stage (execution, idx, wake, data) VALUES (?, ?, ?, ?)
			ON CONFLICT (execution, idx) DO UPDATE SET wake = excluded.wake, data = excluded.data`},
		{&st.event, insertEvent + eventRow},
		{&st.events, insertEvent + strings.Repeat(eventRow+", ", eventRows-1) + eventRow},
		{&st.create, `INSERT INTO execution (seq, id, application, pipeline, number, ord, status, live, owner, epoch, plan, lane, parent,
			rollback_of, created, started, ended, request, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`},
		{&st.plan, `INSERT INTO plan (digest, data) VALUES (?, ?) ON CONFLICT DO NOTHING`},
		{&st.number, `INSERT INTO pipeline (application, name, number, ord) VALUES (?, ?, 1, 1)
			ON CONFLICT DO UPDATE SET number = number + 1, ord = ord + 1 RETURNING number, ord`},
		{&st.order, `UPDATE pipeline SET ord = ord + 1 WHERE application = ? AND name = ? RETURNING ord`},
		{&st.words, `INSERT INTO word (rowid, words) VALUES (?, ?)`},
		{&st.trigger, `INSERT INTO trigger_event (trigger, event, execution, time) VALUES (?, ?, ?, ?)`},
		{&st.findTrigger, `SELECT execution FROM trigger_event WHERE trigger = ? AND event = ?`},
		{&st.patch, `UPDATE execution SET status = ?, live = ?, owner = ?, started = ?, ended = ?, state = ? WHERE id = ? AND live = 1`},
		{&st.revive, `UPDATE execution SET status = ?, live = 1, owner = ?, epoch = epoch + 1, ord = ?, started = ?, ended = NULL, state = ?
			WHERE id = ? AND live = 0 AND epoch = ?`},
		{&st.live, `SELECT live FROM execution WHERE id = ?`},
		{&st.mail, `INSERT INTO mail (seq, execution, stage, id, data) VALUES (?, ?, ?, ?, ?) ON CONFLICT (execution, stage, id) DO NOTHING`},
		{&st.end, `DELETE FROM mail WHERE execution = ? AND stage = ''`},
	} {
		s, err := conn.PrepareContext(ctx, p.text)
		if err != nil {
			return nil, problem.Wrap(err, problem.Internal, "store.open", "preparing a statement")
		}
		*p.to = s
		st.all = append(st.all, s)
	}
	return st, nil
}

func (st *sqliteStatements) close() {
	for _, s := range st.all {
		_ = s.Close() // the connection is closed next
	}
}
