package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
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

// transaction runs f in one transaction on the writer. When it fails, nothing
// happened, and the counters are as before.
func (s *SQLite) transaction(ctx context.Context, op string, f func() error) error {
	position, seq, mail := s.position, s.seq, s.mailSeq
	if _, err := s.stmts.begin.ExecContext(ctx); err != nil {
		return sqliteError(err, op)
	}
	err := f()
	if err == nil {
		if _, cerr := s.stmts.commit.ExecContext(ctx); cerr == nil {
			if s.position-s.lastCheckpoint > checkpointPages {
				s.lastCheckpoint = s.position
				select {
				case s.grown <- struct{}{}:
				default:
				}
			}
			return nil
		} else {
			err = sqliteError(cerr, op)
		}
	}
	_, _ = s.stmts.rollback.ExecContext(context.WithoutCancel(ctx)) // where COMMIT failed there may be none to roll back
	s.position, s.seq, s.mailSeq = position, seq, mail
	return err
}

// sqliteSession is the one session of this process.
type sqliteSession struct {
	store   *SQLite
	owner   string
	notices chan execution.Notice
	ended   bool
}

// end closes the session; the store is locked.
func (n *sqliteSession) end() {
	if !n.ended {
		n.ended = true
		close(n.notices)
	}
}

// Owner implements execution.Session.
func (n *sqliteSession) Owner() string { return n.owner }

// Notices implements execution.Session.
func (n *sqliteSession) Notices() <-chan execution.Notice { return n.notices }

// tell gives this session a notice; the store is locked. A full channel drops
// it, which the engine's sweep makes up for.
func (n *sqliteSession) tell(x execution.Notice) {
	if n == nil || n.ended {
		return
	}
	select {
	case n.notices <- x:
	default:
	}
}

// Announce implements execution.Session.
func (n *sqliteSession) Announce(_ context.Context, x execution.Notice) error {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	n.store.session.tell(x)
	return nil
}

// Leave implements execution.Session.
func (n *sqliteSession) Leave(context.Context) error {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	n.end()
	if n.store.session == n {
		n.store.session = nil
	}
	return nil
}

// Commit implements execution.Session.
func (n *sqliteSession) Commit(ctx context.Context, batch []*execution.Change) error {
	s := n.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != n || n.ended {
		return execution.ErrLost
	}
	var notices []execution.Notice
	err := s.transaction(ctx, "store.commit", func() error {
		notices = notices[:0]
		events := make([]record.Event, 0, 2*len(batch))
		for _, c := range batch {
			c.Err = nil
			told, err := n.apply(ctx, c)
			if err != nil {
				var refused refusal
				if !errors.As(err, &refused) {
					return err
				}
				c.Err = refused.error
				continue
			}
			notices = append(notices, told...)
			c.Last = s.position + int64(len(events)+len(c.Events))
			events = append(events, c.Events...)
		}
		return s.appendEvents(ctx, events)
	})
	if err != nil {
		return err
	}
	for _, x := range notices {
		n.tell(x)
	}
	return nil
}

// refusal is an error that concerns one change, before it has written anything.
type refusal struct{ error }

// apply writes one change. Its refusals come before its first write.
func (n *sqliteSession) apply(ctx context.Context, c *execution.Change) ([]execution.Notice, error) {
	s := n.store
	if c.Create != nil {
		existed, err := n.create(ctx, c)
		if err != nil || existed {
			return nil, err
		}
	}
	if c.Revive {
		if err := n.revive(ctx, c); err != nil {
			return nil, err
		}
	} else if h := c.Head; h != nil {
		if err := n.patch(ctx, c.ID, h); err != nil {
			return nil, err
		}
	}
	notices, err := n.deliver(ctx, c)
	if err != nil {
		return nil, err
	}
	if c.Revive {
		notices = append(notices, execution.Notice{Kind: execution.NoticeOwned, Execution: c.ID})
	}
	for i := range c.Stages {
		r := &c.Stages[i]
		if _, err := s.stmts.stage.ExecContext(ctx, c.ID, r.Index, millis(&r.Wake), r.Data); err != nil {
			return nil, sqliteError(err, "store.commit")
		}
	}
	return notices, nil
}

func (n *sqliteSession) create(ctx context.Context, c *execution.Change) (existed bool, err error) {
	const op = "store.commit"
	s, h := n.store, c.Create.Head
	if h.Request.EventID != "" {
		var id string
		err := s.stmts.findTrigger.QueryRowContext(ctx, h.Request.TriggerID, h.Request.EventID).Scan(&id)
		if err == nil {
			c.Existed, c.Head2, c.Events = true, execution.Head{ID: id}, nil
			return true, nil
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return false, sqliteError(err, op)
		}
		if _, err := s.stmts.trigger.ExecContext(ctx, h.Request.TriggerID, h.Request.EventID, h.ID, h.Created.UnixMilli()); err != nil {
			return false, sqliteError(err, op)
		}
	}
	if _, err := s.stmts.plan.ExecContext(ctx, h.Plan, c.Create.PlanData); err != nil {
		return false, sqliteError(err, op)
	}
	if err := s.stmts.number.QueryRowContext(ctx, h.Application, h.Pipeline).Scan(&h.Number, &h.Order); err != nil {
		return false, sqliteError(err, op)
	}
	s.seq++
	h.Seq, h.Owner, h.Epoch = s.seq, n.owner, 1
	live := !h.Status.Complete()
	if !live {
		h.Owner = ""
	}
	request, state, err := headJSON(&h)
	if err != nil {
		return false, err
	}
	var parent any
	if h.Request.Parent != nil {
		parent = h.Request.Parent.Execution
	}
	_, err = s.stmts.create.ExecContext(ctx, h.Seq, h.ID, h.Application, h.Pipeline, h.Number, h.Order, string(h.Status), live, h.Owner, h.Epoch,
		h.Plan, h.Lane, parent, nullable(h.Request.RollbackOf), h.Created.UnixMilli(), millis(h.Started), millis(h.Ended), request, state)
	if err != nil {
		return false, sqliteError(err, op)
	}
	if _, err := s.stmts.words.ExecContext(ctx, h.Seq, strings.Join(indexTerms(&h), " ")); err != nil {
		return false, sqliteError(err, op)
	}
	c.Head2 = h
	return false, nil
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (n *sqliteSession) patch(ctx context.Context, id string, h *execution.HeadPatch) error {
	s, live, owner := n.store, h.Ended == nil, n.owner
	if !live || h.Release {
		owner = ""
	}
	state, err := json.Marshal(h.State)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "store.commit", "the state of execution %s", id)
	}
	res, err := s.stmts.patch.ExecContext(ctx, string(h.Status), live, owner, millis(h.Started), millis(h.Ended), state, id)
	if err != nil {
		return sqliteError(err, "store.commit")
	}
	if k, err := res.RowsAffected(); err != nil || k == 0 {
		return refusal{execution.ErrFenced}
	}
	if !live {
		_, err = s.stmts.end.ExecContext(ctx, id) // wishes for the end are fulfilled
	}
	return sqliteError(err, "store.commit")
}

func (n *sqliteSession) revive(ctx context.Context, c *execution.Change) error {
	const op = "store.commit"
	s := n.store
	h, err := s.head(ctx, s.conn, c.ID)
	if err != nil {
		return refusal{err}
	}
	if !h.Status.Complete() || h.Epoch != c.Epoch {
		return refusal{problem.New(problem.Conflict, "execution.restart", "execution %s has been restarted already", c.ID)}
	}
	if err := s.stmts.order.QueryRowContext(ctx, h.Application, h.Pipeline).Scan(&h.Order); err != nil {
		return sqliteError(err, op)
	}
	state, err := json.Marshal(c.Head.State)
	if err != nil {
		return problem.Wrap(err, problem.Internal, op, "the state of execution %s", c.ID)
	}
	_, err = s.stmts.revive.ExecContext(ctx, string(c.Head.Status), n.owner, h.Order, millis(c.Head.Started), state, c.ID, c.Epoch)
	if err != nil {
		return sqliteError(err, op)
	}
	h.Epoch++
	h.Owner, h.Status, h.State, h.Ended = n.owner, c.Head.Status, c.Head.State, nil
	c.Head2 = h
	return nil
}

// deliver puts a change's messages into the mail of live executions.
func (n *sqliteSession) deliver(ctx context.Context, c *execution.Change) ([]execution.Notice, error) {
	s := n.store
	var notices []execution.Notice
	for _, m := range c.Mail {
		var live bool
		err := s.stmts.live.QueryRowContext(ctx, m.Execution).Scan(&live)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, sqliteError(err, "store.commit")
		}
		if !live {
			if c.Strict && err != nil {
				return nil, refusal{notFound("execution.signal", m.Execution)}
			}
			if c.Strict {
				return nil, refusal{ended("execution.signal", m.Execution)}
			}
			continue
		}
		data, err := json.Marshal(m.Signal)
		if err != nil {
			return nil, refusal{problem.Wrap(err, problem.Invalid, "execution.signal", "the signal cannot be kept")}
		}
		res, err := s.stmts.mail.ExecContext(ctx, s.mailSeq+1, m.Execution, m.Stage, m.Signal.ID, data)
		if err != nil {
			return nil, sqliteError(err, "store.commit")
		}
		if k, err := res.RowsAffected(); err != nil || k == 0 {
			if c.Strict {
				c.Events = nil // it was delivered, and told, before
			}
			continue
		}
		s.mailSeq++
		notices = append(notices, execution.Notice{Kind: execution.NoticeMail, Execution: m.Execution})
	}
	return notices, nil
}

// appendEvents gives events their positions and writes them.
func (s *SQLite) appendEvents(ctx context.Context, events []record.Event) error {
	args := make([]any, 0, 9*eventRows)
	for len(events) > 0 {
		k, stmt := 1, s.stmts.event
		if len(events) >= eventRows {
			k, stmt = eventRows, s.stmts.events
		}
		args = args[:0]
		for i := range k {
			e := &events[i]
			s.position++
			e.Position = s.position
			var data any
			if len(e.Data) > 0 {
				data = []byte(e.Data)
			}
			args = append(args, e.Position, e.Time.UnixMilli(), e.Type, e.Application, e.Pipeline, e.Execution, e.Stage, e.By, data)
		}
		if _, err := stmt.ExecContext(ctx, args...); err != nil {
			return sqliteError(err, "store.events")
		}
		events = events[k:]
	}
	return nil
}

// Adopt implements execution.Session.
func (n *sqliteSession) Adopt(ctx context.Context, own bool) ([]execution.Claim, error) {
	s := n.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != n || n.ended {
		return nil, execution.ErrLost
	}
	var claims []execution.Claim
	err := s.transaction(ctx, "store.adopt", func() error {
		claims = nil
		rows, err := s.conn.QueryContext(ctx, `SELECT id, epoch + (owner <> ?) FROM execution WHERE live = 1 AND (owner <> ? OR ?) ORDER BY seq`, n.owner, n.owner, own)
		if err != nil {
			return sqliteError(err, "store.adopt")
		}
		defer rows.Close()
		for rows.Next() {
			var c execution.Claim
			if err := rows.Scan(&c.ID, &c.Epoch); err != nil {
				return sqliteError(err, "store.adopt")
			}
			claims = append(claims, c)
		}
		if err := rows.Err(); err != nil {
			return sqliteError(err, "store.adopt")
		}
		_, err = s.conn.ExecContext(ctx, `UPDATE execution SET owner = ?, epoch = epoch + 1 WHERE live = 1 AND owner <> ?`, n.owner, n.owner)
		return sqliteError(err, "store.adopt")
	})
	return claims, err
}

// Due implements execution.Session.
func (n *sqliteSession) Due(ctx context.Context, before time.Time) ([]execution.Due, error) {
	rows, err := n.store.reads.QueryContext(ctx, `SELECT execution, min(wake) FROM stage INDEXED BY stage_wake
		WHERE wake IS NOT NULL AND wake < ? GROUP BY execution`, before.UnixMilli())
	if err != nil {
		return nil, sqliteError(err, "store.due")
	}
	defer rows.Close()
	var out []execution.Due
	for rows.Next() {
		var d execution.Due
		var at int64
		if err := rows.Scan(&d.ID, &at); err != nil {
			return nil, sqliteError(err, "store.due")
		}
		d.At = fromMillis(at)
		out = append(out, d)
	}
	return out, sqliteError(rows.Err(), "store.due")
}

// Mail implements execution.Session.
func (n *sqliteSession) Mail(ctx context.Context, id string, after int64) ([]execution.Mail, error) {
	return n.store.mail(ctx, n.store.reads, id, after)
}
