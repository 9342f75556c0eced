package store

import (
	"context"
	"strings"
	"sync"
	"time"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
)

// pruneStep is how much one step of pruning removes at most, so that commits
// in between wait for milliseconds.
const pruneStep = 500

// sqlitePruneStep is the same for the executions of SQLite, where commits wait
// for the whole step.
const sqlitePruneStep = 100

// The steps of SQLite grow, up to pruneFactor times, as long as no commit waits
// longer than pruneStepTime for one.
const (
	pruneFactor   = 8
	pruneStepTime = 20 * time.Millisecond
)

// pruneProgress remembers how far pruning has come, so that the executions that
// are kept are not read again in every step, and how large the steps may be.
type pruneProgress struct {
	mu    sync.Mutex
	at    int64
	extra int // the factor of the step size, less one
}

func (m *pruneProgress) from() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}

// factor is by how much a step is larger than the smallest.
func (m *pruneProgress) factor() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.extra + 1
}

// observe adapts the factor to how long commits had to wait for a step.
func (m *pruneProgress) observe(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d > pruneStepTime {
		m.extra /= 2
	} else if d < pruneStepTime/2 {
		m.extra = min(m.extra+1, pruneFactor-1)
	}
}

// advance notes that a step removed n executions of at most step, the last one at a
// place. After a step that was not full, the next one begins at the start again.
func (m *pruneProgress) advance(at int64, n, step int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at = at; n < step {
		m.at = 0
	}
}

// pruneBounds returns the time before which an execution must have ended to be
// removed, and the seq before which all such executions are. Since none ends
// before it is created, younger executions need not be read.
func pruneBounds(ctx context.Context, p execution.Retention, now time.Time, db lists) (ended, before int64, err error) {
	if p.Age <= 0 {
		return 1 << 62, 1 << 62, nil
	}
	cutoff := now.Add(-p.Age)
	before, err = createdAt(ctx, cutoff.Add(clockSkew), db)
	return cutoff.UnixMilli(), before, err
}

// Prune implements execution.Store.
func (s *SQLite) Prune(ctx context.Context, p execution.Retention, now time.Time, archive func([]record.Event) error) (int, bool, error) {
	times := s.pruned.factor()
	events, err := s.pruneEvents(ctx, p, now, times*pruneStep, archive)
	if err != nil {
		return 0, false, err
	}
	executions, err := s.pruneExecutions(ctx, p, now, times*sqlitePruneStep)
	if err != nil {
		return events, false, err
	}
	triggers := 0
	if p.TriggerAge > 0 {
		if triggers, err = s.deleteSome(ctx, `DELETE FROM trigger_event WHERE (trigger, event) IN
			(SELECT trigger, event FROM trigger_event WHERE time < ? LIMIT ?)`, now.Add(-p.TriggerAge).UnixMilli(), pruneStep); err != nil {
			return events + executions, false, err
		}
	}
	done := events < times*pruneStep && executions < times*sqlitePruneStep && triggers < pruneStep
	return events + executions, done, nil
}

// pruning runs a transaction and notes how long commits had to wait for it.
func (s *SQLite) pruning(ctx context.Context, f func(ctx context.Context) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	began := time.Now()
	defer func() { s.pruned.observe(time.Since(began)) }()
	return s.transaction(ctx, "store.prune", f)
}

func (s *SQLite) deleteSome(ctx context.Context, text string, args ...any) (int, error) {
	var n int64
	err := s.pruning(ctx, func(ctx context.Context) error {
		res, err := s.conn.ExecContext(ctx, text, args...)
		if err != nil {
			return sqliteError(err, "store.prune")
		}
		n, err = res.RowsAffected()
		return err
	})
	return int(n), err
}

// pruneEvents archives the oldest events and then removes them: what is
// archived twice after a crash can be told by its position.
func (s *SQLite) pruneEvents(ctx context.Context, p execution.Retention, now time.Time, step int, archive func([]record.Event) error) (int, error) {
	const op = "store.prune"
	if p.EventAge <= 0 {
		return 0, nil
	}
	rows, err := s.reads.QueryContext(ctx, `SELECT position, time, type, application, pipeline, execution, stage, by, data FROM event ORDER BY position LIMIT ?`, step)
	if err != nil {
		return 0, sqliteError(err, op)
	}
	defer rows.Close()
	var old []record.Event
	for rows.Next() {
		e, err := scanEvent(rows.Scan)
		if err != nil {
			return 0, sqliteError(err, op)
		}
		if !e.Time.Before(now.Add(-p.EventAge)) {
			break
		}
		old = append(old, e)
	}
	if err := rows.Err(); err != nil || len(old) == 0 {
		return 0, sqliteError(err, op)
	}
	_ = rows.Close() // read to where it matters
	if err := archive(old); err != nil {
		return 0, problem.Wrap(err, "", op, "the archive of events cannot be written; nothing was removed")
	}
	floor := old[len(old)-1].Position
	err = s.pruning(ctx, func(ctx context.Context) error {
		if _, err := s.conn.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES ('floor', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, floor); err != nil {
			return sqliteError(err, op)
		}
		_, err := s.conn.ExecContext(ctx, `DELETE FROM event WHERE position <= ?`, floor)
		return sqliteError(err, op)
	})
	if err == nil {
		s.recent.forget(floor)
	}
	return len(old), err
}

// pruneExecutions removes ended executions past the policy, with all that is theirs.
func (s *SQLite) pruneExecutions(ctx context.Context, p execution.Retention, now time.Time, step int) (int, error) {
	const op = "store.prune"
	if p.Age <= 0 && p.Count <= 0 {
		return 0, nil
	}
	ended, before, err := pruneBounds(ctx, p, now, sqliteLists{s})
	if err != nil {
		return 0, err
	}
	gone, err := s.prunable(ctx, s.pruned.from(), before, ended, p.Count, step)
	if err != nil || len(gone) == 0 {
		s.pruned.advance(0, 0, step)
		return 0, err
	}
	seqs, ids, plans := make([]any, len(gone)), make([]any, len(gone)), map[string]bool{}
	for i, o := range gone {
		seqs[i], ids[i] = o.seq, o.id
		plans[o.plan] = true
	}
	marks := `(?` + strings.Repeat(", ?", len(gone)-1) + `)`
	err = s.pruning(ctx, func(ctx context.Context) error {
		for _, q := range []struct {
			text string
			args []any
		}{
			{`DELETE FROM stage WHERE execution IN ` + marks, ids}, {`DELETE FROM mail WHERE execution IN ` + marks, ids},
			{`DELETE FROM word WHERE rowid IN ` + marks, seqs}, {`DELETE FROM execution WHERE seq IN ` + marks + ` AND live = 0`, seqs},
			{`INSERT INTO meta (key, value) VALUES ('seq', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, []any{s.seq}},
		} {
			if _, err := s.conn.ExecContext(ctx, q.text, q.args...); err != nil {
				return sqliteError(err, op)
			}
		}
		for plan := range plans {
			if _, err := s.conn.ExecContext(ctx, `DELETE FROM plan WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM execution WHERE plan = ?1)`, plan); err != nil {
				return sqliteError(err, op)
			}
		}
		return nil
	})
	if err == nil {
		s.pruned.advance(gone[len(gone)-1].seq, len(gone), step)
	}
	return len(gone), err
}

// prunable is an execution that is no longer kept.
type prunable struct {
	seq      int64
	id, plan string
}

// prunable finds the first ones between two places.
func (s *SQLite) prunable(ctx context.Context, after, before, ended int64, count, step int) ([]prunable, error) {
	rows, err := s.reads.QueryContext(ctx, `SELECT e.seq, e.id, e.plan FROM execution e JOIN pipeline p ON p.application = e.application AND p.name = e.pipeline
		WHERE e.seq > ? AND e.seq < ? AND e.live = 0 AND e.ended < ? AND e.number <= p.number - ? ORDER BY e.seq LIMIT ?`, after, before, ended, count, step)
	if err != nil {
		return nil, sqliteError(err, "store.prune")
	}
	defer rows.Close()
	var gone []prunable
	for rows.Next() {
		var o prunable
		if err := rows.Scan(&o.seq, &o.id, &o.plan); err != nil {
			return nil, sqliteError(err, "store.prune")
		}
		gone = append(gone, o)
	}
	return gone, sqliteError(rows.Err(), "store.prune")
}
