package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"showrunner/execution"
	"showrunner/problem"
)

// When a version changes how search terms are indexed, the executions of an older
// database are indexed again in the background, newest first, in small steps.
// Until that is done, a search does not find the older ones. The key "reword" in
// meta holds how far it has come; it is removed at the end.

// reindexRows is how many executions one step indexes.
const reindexRows = 500

// reindexRetry is how long to wait after a step that failed.
const reindexRetry = time.Second

// reindexer runs steps until one says that nothing is left.
type reindexer struct {
	stop  context.CancelFunc
	loops sync.WaitGroup
}

func (r *reindexer) begin(step func(context.Context) (done bool, err error)) {
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.loops.Go(func() {
		for ctx.Err() == nil {
			done, err := step(ctx)
			if done && err == nil {
				return
			}
			if err == nil {
				continue
			}
			t := time.NewTimer(reindexRetry) // the database may be unreachable
			select {
			case <-t.C:
			case <-ctx.Done():
			}
			t.Stop()
		}
	})
}

func (r *reindexer) end() {
	if r.stop != nil {
		r.stop()
	}
	r.loops.Wait()
}

// reindexBatch are executions with their terms, joined by blanks.
type reindexBatch struct {
	seqs  []int64
	terms []string
}

const indexedColumns = `seq, id, application, pipeline, number, request`

func (r *reindexBatch) scan(scan func(...any) error) error {
	var h execution.Head
	var request []byte
	if err := scan(&h.Seq, &h.ID, &h.Application, &h.Pipeline, &h.Number, &request); err != nil {
		return err
	}
	if err := json.Unmarshal(request, &h.Request); err != nil {
		return problem.Wrap(err, problem.Internal, "store.reindex", "the request of execution %s is damaged", h.ID)
	}
	r.seqs, r.terms = append(r.seqs, h.Seq), append(r.terms, strings.Join(indexTerms(&h), " "))
	return nil
}

func (s *SQLite) reindexStep(ctx context.Context) (bool, error) {
	const op = "store.reindex"
	var before int64
	err := s.reads.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = 'reword'`).Scan(&before)
	if errors.Is(err, sql.ErrNoRows) {
		return true, nil
	}
	if err != nil {
		return false, sqliteError(err, op)
	}
	rows, err := s.reads.QueryContext(ctx, `SELECT `+indexedColumns+` FROM execution WHERE seq < ? ORDER BY seq DESC LIMIT ?`, before, reindexRows)
	if err != nil {
		return false, sqliteError(err, op)
	}
	defer rows.Close()
	var r reindexBatch
	for rows.Next() {
		if err := r.scan(rows.Scan); err != nil {
			return false, err
		}
	}
	if err := rows.Err(); err != nil {
		return false, sqliteError(err, op)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(r.seqs) == 0, s.transaction(ctx, op, func(ctx context.Context) error {
		if len(r.seqs) == 0 {
			_, err := s.conn.ExecContext(ctx, `DELETE FROM meta WHERE key = 'reword'`)
			return sqliteError(err, op)
		}
		for i, seq := range r.seqs {
			if _, err := s.conn.ExecContext(ctx, `INSERT INTO word (rowid, words) SELECT seq, ? FROM execution WHERE seq = ?`, r.terms[i], seq); err != nil {
				return sqliteError(err, op)
			}
		}
		_, err := s.conn.ExecContext(ctx, `UPDATE meta SET value = ? WHERE key = 'reword'`, r.seqs[len(r.seqs)-1])
		return sqliteError(err, op)
	})
}

// errBusy says that another replica is at it.
var errBusy = problem.New(problem.Unavailable, "store.reindex", "another replica indexes")

func (p *Postgres) reindexStep(ctx context.Context) (bool, error) {
	done := false
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		var left bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM meta WHERE key = 'reword')`).Scan(&left); err != nil || !left {
			done = err == nil
			return err
		}
		var before int64
		err := tx.QueryRow(ctx, `SELECT value FROM meta WHERE key = 'reword' FOR UPDATE SKIP LOCKED`).Scan(&before)
		if errors.Is(err, pgx.ErrNoRows) {
			return errBusy
		}
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT `+indexedColumns+` FROM execution WHERE seq < $1 ORDER BY seq DESC LIMIT $2`, before, reindexRows)
		if err != nil {
			return err
		}
		defer rows.Close()
		var r reindexBatch
		for rows.Next() {
			if err := r.scan(rows.Scan); err != nil {
				return err
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if len(r.seqs) == 0 {
			_, err := tx.Exec(ctx, `DELETE FROM meta WHERE key = 'reword'`)
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE execution e SET words = array_to_tsvector(string_to_array(u.terms, ' '))
			FROM unnest($1::bigint[], $2::text[]) AS u (seq, terms) WHERE e.seq = u.seq`, r.seqs, r.terms); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE meta SET value = $1 WHERE key = 'reword'`, r.seqs[len(r.seqs)-1])
		return err
	})
	return done, pgError(err, "store.reindex")
}
