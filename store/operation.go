package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"showrunner/cloud/journal"
)

const opOperation = "store.operation"

// Statements of the journal of operations. Both databases number parameters alike.
const (
	insertOperation = `INSERT INTO operation (account, region, key, operation, fingerprint, changed) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`
	selectOperation = `SELECT operation, fingerprint, answer FROM operation WHERE account = $1 AND region = $2 AND key = $3`
	// A finished operation keeps its first answer.
	finishOperation = `INSERT INTO operation AS o (account, region, key, operation, fingerprint, changed, answer) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (account, region, key) DO UPDATE SET changed = excluded.changed, answer = excluded.answer WHERE o.answer IS NULL`
	dropOperation    = `DELETE FROM operation WHERE account = $1 AND region = $2 AND key = $3 AND answer IS NULL`
	forgetOperations = `DELETE FROM operation WHERE (account, region, key) IN (SELECT account, region, key FROM operation WHERE changed < $1 LIMIT $2)`
)

// BeginOperation implements journal.Store.
func (s *SQLite) BeginOperation(ctx context.Context, id journal.ID, r journal.Request) (e journal.Entry, created bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.transaction(ctx, opOperation, func(ctx context.Context) error {
		res, err := s.conn.ExecContext(ctx, insertOperation, id.Account, id.Region, id.Key, r.Operation, r.Fingerprint, s.options.now().UnixMilli())
		if err != nil {
			return sqliteError(err, opOperation)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return sqliteError(err, opOperation)
		}
		if created = n > 0; created {
			e = journal.Entry{Request: r}
			return nil
		}
		err = s.conn.QueryRowContext(ctx, selectOperation, id.Account, id.Region, id.Key).Scan(&e.Request.Operation, &e.Request.Fingerprint, &e.Answer)
		e.Done = e.Answer != nil
		return sqliteError(err, opOperation)
	})
	if err != nil {
		return journal.Entry{}, false, err
	}
	return e, created, nil
}

// FinishOperation implements journal.Store.
func (s *SQLite) FinishOperation(ctx context.Context, id journal.ID, r journal.Request, answer []byte) error {
	_, err := s.write(ctx, opOperation, finishOperation, id.Account, id.Region, id.Key, r.Operation, r.Fingerprint, s.options.now().UnixMilli(), answer)
	return err
}

// DropOperation implements journal.Store.
func (s *SQLite) DropOperation(ctx context.Context, id journal.ID) error {
	_, err := s.write(ctx, opOperation, dropOperation, id.Account, id.Region, id.Key)
	return err
}

// ForgetOperations implements journal.Store.
func (s *SQLite) ForgetOperations(ctx context.Context, before time.Time) (int, error) {
	return inSteps(func() (int, error) { return s.write(ctx, opOperation, forgetOperations, before.UnixMilli(), pruneStep) })
}

// write runs one statement in a transaction and returns how many rows it changed.
func (s *SQLite) write(ctx context.Context, op, text string, args ...any) (changed int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.transaction(ctx, op, func(ctx context.Context) error {
		var res sql.Result
		res, err := s.conn.ExecContext(ctx, text, args...)
		if err != nil {
			return sqliteError(err, op)
		}
		n, err := res.RowsAffected()
		changed = int(n)
		return sqliteError(err, op)
	})
	return changed, err
}

// inSteps removes up to pruneStep rows at a time, so that commits in between wait
// for milliseconds, and returns how many there were.
func inSteps(remove func() (int, error)) (total int, err error) {
	for {
		n, err := remove()
		total += n
		if err != nil || n < pruneStep {
			return total, err
		}
	}
}

// BeginOperation implements journal.Store.
func (p *Postgres) BeginOperation(ctx context.Context, id journal.ID, r journal.Request) (journal.Entry, bool, error) {
	for {
		tag, err := p.pool.Exec(ctx, insertOperation, id.Account, id.Region, id.Key, r.Operation, r.Fingerprint, p.options.now().UnixMilli())
		if err != nil {
			return journal.Entry{}, false, pgError(err, opOperation)
		}
		if tag.RowsAffected() > 0 {
			return journal.Entry{Request: r}, true, nil
		}
		var e journal.Entry
		err = p.pool.QueryRow(ctx, selectOperation, id.Account, id.Region, id.Key).Scan(&e.Request.Operation, &e.Request.Fingerprint, &e.Answer)
		if errors.Is(err, pgx.ErrNoRows) {
			continue // it was dropped or forgotten between the two statements
		}
		e.Done = e.Answer != nil
		return e, false, pgError(err, opOperation)
	}
}

// FinishOperation implements journal.Store.
func (p *Postgres) FinishOperation(ctx context.Context, id journal.ID, r journal.Request, answer []byte) error {
	_, err := p.pool.Exec(ctx, finishOperation, id.Account, id.Region, id.Key, r.Operation, r.Fingerprint, p.options.now().UnixMilli(), answer)
	return pgError(err, opOperation)
}

// DropOperation implements journal.Store.
func (p *Postgres) DropOperation(ctx context.Context, id journal.ID) error {
	_, err := p.pool.Exec(ctx, dropOperation, id.Account, id.Region, id.Key)
	return pgError(err, opOperation)
}

// ForgetOperations implements journal.Store.
func (p *Postgres) ForgetOperations(ctx context.Context, before time.Time) (int, error) {
	return inSteps(func() (int, error) {
		tag, err := p.pool.Exec(ctx, forgetOperations, before.UnixMilli(), pruneStep)
		return int(tag.RowsAffected()), pgError(err, opOperation)
	})
}
