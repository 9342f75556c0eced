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

// transaction runs f in one transaction on the writer; the store is locked. When
// it fails, nothing happened, and the counters are as before: so that an end of
// the context cannot leave open whether it was committed, it is looked at once,
// before anything is written.
func (s *SQLite) transaction(ctx context.Context, op string, f func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return sqliteError(err, op)
	}
	ctx = context.WithoutCancel(ctx)
	position, seq, mail := s.position, s.seq, s.mailSeq
	s.newEvents = s.newEvents[:0]
	if _, err := s.stmts.begin.ExecContext(ctx); err != nil {
		return sqliteError(err, op)
	}
	err := f(ctx)
	if err == nil {
		_, err = s.stmts.commit.ExecContext(ctx)
		err = sqliteError(err, op)
	}
	if err != nil {
		_, _ = s.stmts.rollback.ExecContext(ctx) // where COMMIT failed there may be none to roll back
		s.position, s.seq, s.mailSeq = position, seq, mail
		return err
	}
	s.recent.add(s.newEvents)
	s.countLogged()
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
	err := s.transaction(ctx, "store.commit", func(ctx context.Context) error {
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
		h.Plan, h.Ordered, parent, nullable(h.Request.RollbackOf), h.Created.UnixMilli(), millis(h.Started), millis(h.Ended), request, state)
	if err != nil {
		return false, sqliteError(err, op)
	}
	if _, err := s.stmts.words.ExecContext(ctx, h.Seq, strings.Join(indexTerms(&h), " ")); err != nil {
		return false, sqliteError(err, op)
	}
	c.Head2 = h
	return false, nil
}

// nullableBytes is NULL for no bytes.
func nullableBytes[T ~[]byte](b T) any {
	if len(b) == 0 {
		return nil
	}
	return []byte(b)
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
	for i := range events {
		s.position++
		events[i].Position = s.position
	}
	s.newEvents = append(s.newEvents, events...)
	args := make([]any, 0, 9*eventRows)
	for len(events) > 0 {
		k, stmt := 1, s.stmts.event
		if len(events) >= eventRows {
			k, stmt = eventRows, s.stmts.events
		}
		args = args[:0]
		for i := range k {
			e := &events[i]
			args = append(args, e.Position, e.Time.UnixMilli(), e.Type, e.Application, e.Pipeline, e.Execution, e.Stage, e.By, nullableBytes(e.Data))
		}
		if _, err := stmt.ExecContext(ctx, args...); err != nil {
			return sqliteError(err, "store.events")
		}
		events = events[k:]
	}
	return nil
}
