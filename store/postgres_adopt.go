package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"showrunner/execution"
)

// Adopt implements execution.Session. Deleting a dead replica's row is what
// takes it over: it waits for the commit the replica may have under way, and no
// later one of it can succeed. A part is taken at a time, the others being told that
// there is more: so the work of a dead replica is spread over those that live.
func (s *pgSession) Adopt(ctx context.Context, own bool) (claims []execution.Claim, more bool, err error) {
	s.mu.Lock()
	dead := make([]string, 0, len(s.dead))
	for id := range s.dead {
		dead = append(dead, id)
	}
	s.mu.Unlock()
	err = pgx.BeginFunc(ctx, s.store.pool, func(tx pgx.Tx) error {
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
		tag, err = tx.Exec(ctx, `UPDATE pipeline p SET owner = $1 FROM (
				SELECT q.application, q.name FROM pipeline q WHERE q.owner NOT IN (SELECT id FROM replica)
				AND EXISTS (SELECT 1 FROM execution e WHERE e.live = 1 AND e.lane = 1 AND e.application = q.application AND e.pipeline = q.name)
				ORDER BY q.application, q.name LIMIT $2 FOR UPDATE) o
			WHERE p.application = o.application AND p.name = o.name`, s.owner, adoptLanes)
		if err != nil {
			return err
		}
		more = tag.RowsAffected() == adoptLanes
		rows, err := tx.Query(ctx, `WITH queued AS (
				SELECT e.seq FROM execution e WHERE e.live = 1 AND e.owner NOT IN (SELECT id FROM replica)
				AND e.lane = 1 AND EXISTS (SELECT 1 FROM pipeline p WHERE p.application = e.application AND p.name = e.pipeline AND p.owner = $1)
				FOR UPDATE SKIP LOCKED),
			parallel AS (
				SELECT e.seq FROM execution e WHERE e.live = 1 AND e.owner NOT IN (SELECT id FROM replica) AND e.lane = 0
				ORDER BY e.seq LIMIT $3 FOR UPDATE SKIP LOCKED),
			taken AS (UPDATE execution e SET owner = $1, epoch = e.epoch + 1 FROM (SELECT seq FROM queued UNION ALL SELECT seq FROM parallel) o
				WHERE e.seq = o.seq RETURNING e.seq, e.id, e.epoch, e.lane)
			SELECT id, epoch, lane = 1, seq, true FROM taken
			UNION ALL SELECT id, epoch, lane = 1, seq, false FROM execution WHERE $2 AND live = 1 AND owner = $1 ORDER BY seq`, s.owner, own, adoptAtOnce)
		if err != nil {
			return err
		}
		parallel := 0
		claims, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c execution.Claim, err error) {
			var seq int64
			var orphan bool
			err = row.Scan(&c.ID, &c.Epoch, &c.Ordered, &seq, &orphan)
			if orphan && !c.Ordered {
				parallel++
			}
			return c, err
		})
		if more = more || parallel == adoptAtOnce; err != nil || !more {
			return err
		}
		return s.notify(ctx, tx, envelope{From: s.owner, Notice: execution.Notice{Kind: execution.NoticeAdopt}})
	})
	return claims, more, pgError(err, "store.adopt")
}

const (
	// adoptAtOnce is how many executions of parallel pipelines are adopted at once.
	adoptAtOnce = 200
	// adoptLanes is how many other pipelines are, with all of their executions.
	adoptLanes = 8
)

// Loads implements execution.Balancer.
func (s *pgSession) Loads(ctx context.Context) (map[string]int, error) {
	loads := map[string]int{}
	rows, err := s.store.pool.Query(ctx, `SELECT r.id, (SELECT count(*) FROM execution e WHERE e.owner = r.id AND e.live = 1) FROM replica r WHERE r.expires > now()`)
	if err != nil {
		return nil, pgError(err, "store.loads")
	}
	var id string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&id, &n}, func() error { loads[id] = n; return nil })
	return loads, pgError(err, "store.loads")
}

// HandOver implements execution.Balancer. The other's row is locked, so that whoever
// takes its work over finds what was handed to it.
func (s *pgSession) HandOver(ctx context.Context, ids []string, to string) (given []string, err error) {
	err = pgx.BeginFunc(ctx, s.store.pool, func(tx pgx.Tx) error {
		given = nil
		tag, err := tx.Exec(ctx, `SELECT 1 FROM replica WHERE id = $1 FOR KEY SHARE`, to)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		rows, err := tx.Query(ctx, `UPDATE execution SET owner = $1, epoch = epoch + 1
			WHERE id = ANY ($2) AND owner = $3 AND live = 1 AND lane = 0 RETURNING id`, to, ids, s.owner)
		if err != nil {
			return err
		}
		if given, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(given) == 0 {
			return err
		}
		return s.notify(ctx, tx, envelope{To: to, From: s.owner, Notice: execution.Notice{Kind: execution.NoticeHanded}})
	})
	return given, pgError(err, "store.hand-over")
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
