package store

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/jackc/pgx/v5"

	"showrunner/execution"
	"showrunner/problem"
)

// commitConditional commits a change whose refusal depends on what is found: a restart,
// or a message that must reach its execution. Each has a transaction of its own
// and may be given again when its answer was lost.
func (s *pgSession) commitConditional(ctx context.Context, c *execution.Change) error {
	err := pgx.BeginFunc(ctx, s.store.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `SELECT 1 FROM replica WHERE id = $1 FOR SHARE`, s.owner)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return execution.ErrLost
		}
		if c.Revive {
			return s.revive(ctx, tx, c)
		}
		return s.deliverStrict(ctx, tx, c)
	})
	var refused refusal
	switch {
	case errors.As(err, &refused):
		c.Err = refused.error
		return nil
	case errors.Is(err, execution.ErrLost):
		s.markLost()
		return execution.ErrLost
	}
	if err != nil {
		s.inDoubt = true
	}
	return pgError(err, "store.commit")
}

// revive makes an ended execution live again, owned by the owner of its pipeline.
func (s *pgSession) revive(ctx context.Context, tx pgx.Tx, c *execution.Change) error {
	h, err := s.store.head(ctx, tx, c.ID)
	if err != nil {
		if problem.CodeOf(err) == problem.NotFound {
			return refusal{err}
		}
		return err
	}
	if h.Epoch == c.Epoch+1 && len(h.State.Restarts) == len(c.Head.State.Restarts) && s.inDoubt {
		c.Head2 = h // the answer to this very change was lost
		return nil
	}
	if !h.Status.Complete() || h.Epoch != c.Epoch {
		return refusal{problem.New(problem.Conflict, "execution.restart", "execution %s has been restarted already", c.ID)}
	}
	state, err := json.Marshal(c.Head.State)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "store.commit", "the state of execution %s", c.ID)
	}
	var laneOwner string
	err = tx.QueryRow(ctx, `UPDATE pipeline p SET ord = p.ord + 1,
			owner = CASE WHEN NOT $3 OR EXISTS (SELECT 1 FROM replica r WHERE r.id = p.owner) THEN p.owner ELSE $4 END
		WHERE application = $1 AND name = $2 RETURNING ord, owner`, h.Application, h.Pipeline, h.Ordered, s.owner).Scan(&h.Order, &laneOwner)
	if err != nil {
		return err
	}
	h.Owner = s.owner
	if h.Ordered {
		h.Owner = laneOwner
	}
	tag, err := tx.Exec(ctx, `UPDATE execution SET status = $1, live = 1, owner = $2, epoch = epoch + 1, ord = $3, started = $4, ended = NULL, state = $5
		WHERE id = $6 AND live = 0 AND epoch = $7`, string(c.Head.Status), h.Owner, h.Order, millis(c.Head.Started), state, c.ID, c.Epoch)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return refusal{problem.New(problem.Conflict, "execution.restart", "execution %s has been restarted already", c.ID)}
	}
	h.Epoch++
	h.Status, h.State, h.Ended = c.Head.Status, c.Head.State, nil
	c.Head2 = h
	var rows stageColumns
	for i := range c.Stages {
		rows.add(c.ID, &c.Stages[i])
	}
	if _, err := tx.Exec(ctx, `INSERT INTO stage (execution, idx, wake, data) SELECT u.* FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bytea[]) AS u (execution, idx, wake, data)
		WHERE true ON CONFLICT (execution, idx) DO UPDATE SET wake = excluded.wake, data = excluded.data`, rows.args(nil)...); err != nil { // without WHERE, ON would be read as that of a join
		return err
	}
	if err := s.notify(ctx, tx, envelope{To: h.Owner, Notice: execution.Notice{Kind: execution.NoticeOwned, Execution: c.ID}}); err != nil {
		return err
	}
	return s.finishConditional(ctx, tx, c)
}

// deliverStrict delivers messages that are refused when they cannot arrive.
func (s *pgSession) deliverStrict(ctx context.Context, tx pgx.Tx, c *execution.Change) error {
	var mails mailColumns
	for _, m := range c.Mail {
		var live int64
		err := tx.QueryRow(ctx, `SELECT live FROM execution WHERE id = $1 FOR SHARE`, m.Execution).Scan(&live)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return refusal{notFound("execution.signal", m.Execution)}
		case err != nil:
			return err
		case live == 0:
			return refusal{ended("execution.signal", m.Execution)}
		}
		if err := mails.add(m); err != nil {
			return refusal{err}
		}
	}
	var reached int64
	if err := tx.QueryRow(ctx, `SELECT showrunner_mail($1, $2, $3, $4)`, mails.args(nil)...).Scan(&reached); err != nil {
		return err
	}
	if reached == 0 {
		return nil // it was delivered, and told, before
	}
	return s.finishConditional(ctx, tx, c)
}

func (s *pgSession) finishConditional(ctx context.Context, tx pgx.Tx, c *execution.Change) error {
	if err := appendEvents(ctx, tx, c.Events); err != nil {
		return err
	}
	if n := len(c.Events); n > 0 {
		c.Last = c.Events[n-1].Position
	}
	return nil
}
