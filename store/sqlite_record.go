package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
)

// AppendEvents implements Store.
func (s *SQLite) AppendEvents(ctx context.Context, events ...record.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.transaction(ctx, "store.events", func(ctx context.Context) error { return s.appendEvents(ctx, events) })
	if err == nil {
		s.tellEvents(events)
	}
	return err
}

// GetRecord implements Store.
func (s *SQLite) GetRecord(ctx context.Context, collection, key string) (record.Record, error) {
	r := record.Record{Collection: collection, Key: key}
	var updated int64
	var data []byte
	err := s.reads.QueryRowContext(ctx, `SELECT version, data, updated FROM record WHERE collection = ? AND key = ?`, collection, key).Scan(&r.Version, &data, &updated)
	if errors.Is(err, sql.ErrNoRows) {
		return r, noRecord(collection, key)
	}
	r.Data, r.Updated = data, fromMillis(updated)
	return r, sqliteError(err, "store.record")
}

func noRecord(collection, key string) error {
	return problem.New(problem.NotFound, "store.record", "there is no %s %q", strings.TrimSuffix(collection, "s"), key)
}

func recordConflict(r record.Record) error {
	if r.Version == 0 {
		return problem.New(problem.Conflict, "store.record", "%s %q exists already", r.Collection, r.Key)
	}
	return problem.New(problem.Conflict, "store.record", "%s %q has changed since version %d", r.Collection, r.Key, r.Version)
}

// PutRecord implements Store.
func (s *SQLite) PutRecord(ctx context.Context, r record.Record, events ...record.Event) (record.Record, error) {
	const op = "store.record"
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.options.now().Truncate(time.Millisecond)
	err := s.transaction(ctx, op, func(ctx context.Context) error {
		text := `UPDATE record SET version = version + 1, data = ?, updated = ? WHERE collection = ? AND key = ? AND version = ?`
		args := []any{[]byte(r.Data), now.UnixMilli(), r.Collection, r.Key, r.Version}
		if r.Version == 0 {
			text = `INSERT INTO record (data, updated, collection, key, version) VALUES (?, ?, ?, ?, ? + 1) ON CONFLICT DO NOTHING`
		}
		res, err := s.conn.ExecContext(ctx, text, args...)
		if err != nil {
			return sqliteError(err, op)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return recordConflict(r)
		}
		return s.appendEvents(ctx, events)
	})
	if err != nil {
		return record.Record{}, err
	}
	r.Version++
	r.Updated = now
	s.tellEvents(events)
	return r, nil
}

func (s *SQLite) tellEvents(events []record.Event) {
	if n := len(events); n > 0 {
		s.session.tell(execution.Notice{Kind: execution.NoticeEvents, Position: events[n-1].Position})
	}
}

// DeleteRecord implements Store.
func (s *SQLite) DeleteRecord(ctx context.Context, collection, key string, version int64, events ...record.Event) error {
	const op = "store.record"
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.transaction(ctx, op, func(ctx context.Context) error {
		var found int64
		err := s.conn.QueryRowContext(ctx, `SELECT version FROM record WHERE collection = ? AND key = ?`, collection, key).Scan(&found)
		if errors.Is(err, sql.ErrNoRows) {
			return noRecord(collection, key)
		}
		if err != nil {
			return sqliteError(err, op)
		}
		if found != version {
			return recordConflict(record.Record{Collection: collection, Key: key, Version: version})
		}
		if _, err := s.conn.ExecContext(ctx, `DELETE FROM record WHERE collection = ? AND key = ?`, collection, key); err != nil {
			return sqliteError(err, op)
		}
		return s.appendEvents(ctx, events)
	})
	if err == nil {
		s.tellEvents(events)
	}
	return err
}

// ListRecords implements Store.
func (s *SQLite) ListRecords(ctx context.Context, collection, prefix, after string, limit int) ([]record.Record, error) {
	const op = "store.record"
	if limit <= 0 {
		limit = -1
	}
	rows, err := s.reads.QueryContext(ctx, `SELECT key, version, data, updated FROM record
		WHERE collection = ? AND key > ? AND key >= ? AND substr(key, 1, length(?)) = ? ORDER BY key LIMIT ?`, collection, after, prefix, prefix, prefix, limit)
	if err != nil {
		return nil, sqliteError(err, op)
	}
	defer rows.Close()
	var out []record.Record
	for rows.Next() {
		r := record.Record{Collection: collection}
		var updated int64
		var data []byte
		if err := rows.Scan(&r.Key, &r.Version, &data, &updated); err != nil {
			return nil, sqliteError(err, op)
		}
		r.Data, r.Updated = data, fromMillis(updated)
		out = append(out, r)
	}
	return out, sqliteError(rows.Err(), op)
}
