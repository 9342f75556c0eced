package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"showrunner/execution"
)

// Adopt implements execution.Session. Deleting a dead replica's row is what
// takes it over: it waits for the commit the replica may have under way, and no
// later one of it can succeed.
func (s *pgSession) Adopt(ctx context.Context, own bool) ([]execution.Claim, error) {
	s.mu.Lock()
	dead := make([]string, 0, len(s.dead))
	for id := range s.dead {
		dead = append(dead, id)
	}
	s.mu.Unlock()
	var claims []execution.Claim
	err := pgx.BeginFunc(ctx, s.store.pool, func(tx pgx.Tx) error {
		claims = nil
		tag, err := tx.Exec(ctx, `SELECT 1 FROM replica WHERE id = $1 FOR UPDATE`, s.owner)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return execution.ErrLost
		}
		if len(dead) > 0 {
			// A lease that was renewed since, or a peer that another adopts just now, is left alone.
			if _, err := tx.Exec(ctx, `DELETE FROM replica WHERE id IN (SELECT id FROM replica WHERE id = ANY ($1) ORDER BY id FOR UPDATE SKIP LOCKED)`, dead); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `UPDATE pipeline p SET owner = $1 FROM (
				SELECT q.application, q.name FROM pipeline q WHERE q.owner NOT IN (SELECT id FROM replica)
				AND EXISTS (SELECT 1 FROM execution e WHERE e.live = 1 AND e.lane = 1 AND e.application = q.application AND e.pipeline = q.name)
				ORDER BY q.application, q.name FOR UPDATE) o
			WHERE p.application = o.application AND p.name = o.name`, s.owner); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `WITH orphan AS (
				SELECT e.seq FROM execution e WHERE e.live = 1 AND e.owner NOT IN (SELECT id FROM replica)
				AND (e.lane = 0 OR EXISTS (SELECT 1 FROM pipeline p WHERE p.application = e.application AND p.name = e.pipeline AND p.owner = $1))
				FOR UPDATE SKIP LOCKED),
			taken AS (UPDATE execution e SET owner = $1, epoch = e.epoch + 1 FROM orphan o WHERE e.seq = o.seq RETURNING e.seq, e.id, e.epoch)
			SELECT id, epoch, seq FROM taken UNION ALL SELECT id, epoch, seq FROM execution WHERE $2 AND live = 1 AND owner = $1 ORDER BY seq`, s.owner, own)
		if err != nil {
			return err
		}
		claims, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c execution.Claim, err error) {
			var seq int64
			return c, row.Scan(&c.ID, &c.Epoch, &seq)
		})
		return err
	})
	return claims, pgError(err, "store.adopt")
}

// Due implements execution.Session.
func (s *pgSession) Due(ctx context.Context, before time.Time) ([]execution.Due, error) {
	rows, err := s.store.pool.Query(ctx, `SELECT s.execution, min(s.wake) FROM stage s JOIN execution e ON e.id = s.execution AND e.owner = $2 AND e.live = 1
		WHERE s.wake IS NOT NULL AND s.wake < $1 GROUP BY s.execution`, before.UnixMilli(), s.owner)
	if err != nil {
		return nil, pgError(err, "store.due")
	}
	due, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d execution.Due, err error) {
		var at int64
		err = row.Scan(&d.ID, &at)
		d.At = fromMillis(at)
		return d, err
	})
	return due, pgError(err, "store.due")
}

// Mail implements execution.Session.
func (s *pgSession) Mail(ctx context.Context, id string, after int64) ([]execution.Mail, error) {
	return s.store.mail(ctx, s.store.pool, id, after)
}
