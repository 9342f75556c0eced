package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
)

// Prune implements execution.Store. Replicas that prune at the same time do no
// harm: what one has removed the other does not find.
func (p *Postgres) Prune(ctx context.Context, r execution.Retention, now time.Time, archive func([]record.Event) error) (int, bool, error) {
	const op = "store.prune"
	events, err := p.pruneEvents(ctx, r, now, archive)
	if err != nil {
		return 0, false, pgError(err, op)
	}
	executions := 0
	if r.Age > 0 || r.Count > 0 {
		if executions, err = p.pruneExecutions(ctx, r, now); err != nil {
			return events, false, pgError(err, op)
		}
	}
	triggers := 0
	if r.TriggerAge > 0 {
		tag, err := p.pool.Exec(ctx, `DELETE FROM trigger_event WHERE (trigger, event) IN (SELECT trigger, event FROM trigger_event WHERE time < $1 LIMIT $2)`,
			now.Add(-r.TriggerAge).UnixMilli(), pruneStep)
		if err != nil {
			return events + executions, false, pgError(err, op)
		}
		triggers = int(tag.RowsAffected())
	}
	return events + executions, events < pruneStep && executions < pruneStep && triggers < pruneStep, nil
}

func (p *Postgres) pruneEvents(ctx context.Context, r execution.Retention, now time.Time, archive func([]record.Event) error) (int, error) {
	if r.EventAge <= 0 {
		return 0, nil
	}
	n := 0
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) (err error) {
		n, err = p.moveEvents(ctx, tx, r, now, archive)
		return err
	})
	return n, err
}

// moveEvents archives the oldest events and removes them. The row of the floor
// is locked meanwhile, so that one replica at a time writes the archive.
func (p *Postgres) moveEvents(ctx context.Context, tx pgx.Tx, r execution.Retention, now time.Time, archive func([]record.Event) error) (int, error) {
	var floor int64
	err := tx.QueryRow(ctx, `SELECT value FROM meta WHERE key = 'floor' FOR UPDATE SKIP LOCKED`).Scan(&floor)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil // another replica is at it
	}
	if err != nil {
		return 0, err
	}
	rows, err := tx.Query(ctx, `SELECT position, time, type, application, pipeline, execution, stage, by, data FROM event WHERE position > $1 ORDER BY position LIMIT $2`, floor, pruneStep)
	if err != nil {
		return 0, err
	}
	old, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (record.Event, error) { return scanEvent(row.Scan) })
	if err != nil {
		return 0, err
	}
	for i, e := range old {
		if !e.Time.Before(now.Add(-r.EventAge)) {
			old = old[:i]
			break
		}
	}
	if len(old) == 0 {
		return 0, nil
	}
	if err := archive(old); err != nil {
		return 0, problem.Wrap(err, "", "store.prune", "the archive of events cannot be written; nothing was removed")
	}
	floor = old[len(old)-1].Position
	if _, err := tx.Exec(ctx, `UPDATE meta SET value = $1 WHERE key = 'floor'`, floor); err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, `DELETE FROM event WHERE position <= $1`, floor)
	return len(old), err
}

func (p *Postgres) pruneExecutions(ctx context.Context, r execution.Retention, now time.Time) (int, error) {
	ended, before, err := pruneBounds(ctx, r, now, pgLists{p})
	if err != nil {
		return 0, err
	}
	n, last := 0, int64(0)
	err = pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, followIndexes); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT e.id, e.plan, e.seq FROM execution e JOIN pipeline p ON p.application = e.application AND p.name = e.pipeline
			WHERE e.seq > $1 AND e.seq < $2 AND e.live = 0 AND e.ended < $3 AND e.number <= p.number - $4 ORDER BY e.seq LIMIT $5 FOR UPDATE OF e SKIP LOCKED`,
			p.pruned.from(), before, ended, r.Count, pruneStep)
		if err != nil {
			return err
		}
		var ids, plans []string
		var id, plan string
		_, err = pgx.ForEachRow(rows, []any{&id, &plan, &last}, func() error {
			ids = append(ids, id)
			if !slices.Contains(plans, plan) {
				plans = append(plans, plan)
			}
			return nil
		})
		if n = len(ids); err != nil || n == 0 {
			return err
		}
		for _, text := range []string{`DELETE FROM stage WHERE execution = ANY ($1)`, `DELETE FROM mail WHERE execution = ANY ($1)`, `DELETE FROM execution WHERE id = ANY ($1)`} {
			if _, err := tx.Exec(ctx, text, ids); err != nil {
				return err
			}
		}
		return removePlans(ctx, tx, plans)
	})
	if err == nil {
		p.pruned.advance(last, n, pruneStep)
	}
	return n, err
}

// removePlans removes those plans that no execution has any more. An execution
// that is being created elsewhere cannot be seen yet: a plan goes only once no
// creation is under way, and none begins until this is committed.
func removePlans(ctx context.Context, tx pgx.Tx, digests []string) error {
	const unused = `digest = ANY ($1) AND NOT EXISTS (SELECT 1 FROM execution e WHERE e.plan = plan.digest)`
	var some bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM plan WHERE `+unused+`)`, digests).Scan(&some); err != nil || !some {
		return err
	}
	if _, err := tx.Exec(ctx, `LOCK TABLE plan IN SHARE ROW EXCLUSIVE MODE`); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `DELETE FROM plan WHERE `+unused, digests)
	return err
}
