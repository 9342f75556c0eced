package store

import (
	"context"
	"database/sql"
	"io"

	"showrunner/problem"
)

// Backup implements Store. Writers go on meanwhile.
func (s *SQLite) Backup(ctx context.Context, w io.Writer) error {
	const op = "store.backup"
	b, err := newBackupWriter(w, s.options.now())
	if err != nil {
		return problem.Wrap(err, problem.Internal, op, "writing the backup")
	}
	last, err := s.backupSnapshot(ctx, b)
	if err != nil {
		return err
	}
	signal(s.grown) // what was committed meanwhile could not be written back
	for after, n := int64(0), backupEvents; n == backupEvents; {
		if after, n, err = s.backupRows(ctx, s.reads, b, eventTable, selectEvents(question), after, last, backupEvents); err != nil {
			return err
		}
	}
	if err := b.end(); err != nil {
		return problem.Wrap(err, problem.Internal, op, "writing the backup")
	}
	return nil
}

// backupSnapshot writes what is of one moment, and returns the position of its last event.
func (s *SQLite) backupSnapshot(ctx context.Context, b *backupWriter) (last int64, err error) {
	const op = "store.backup"
	tx, err := s.reads.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return 0, sqliteError(err, op)
	}
	defer func() { _ = tx.Rollback() }() // it only reads
	if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(position), 0) FROM event`).Scan(&last); err != nil {
		return 0, sqliteError(err, op)
	}
	for _, t := range snapshotTables {
		if _, _, err := s.backupRows(ctx, tx, b, t, `SELECT `+t.quoted()+` FROM `+t.name+` ORDER BY `+t.order); err != nil {
			return 0, err
		}
	}
	return last, nil
}

// backupRows writes what a statement selects of a table, and returns the first
// column of the last row, where that is a number, and how many there were.
func (s *SQLite) backupRows(ctx context.Context, q querier, b *backupWriter, t backupTable, text string, args ...any) (last int64, n int, err error) {
	const op = "store.backup"
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return 0, 0, sqliteError(err, op)
	}
	defer rows.Close()
	values, into := make([]any, len(t.columns)), make([]any, len(t.columns))
	for i := range into {
		into[i] = &values[i]
	}
	for ; rows.Next(); n++ {
		if err := rows.Scan(into...); err != nil {
			return 0, 0, sqliteError(err, op)
		}
		if err := b.row(t, values); err != nil {
			return 0, 0, problem.Wrap(err, problem.Internal, op, "writing the backup")
		}
		last, _ = values[0].(int64) // 0 is what it then is
	}
	return last, n, sqliteError(rows.Err(), op)
}
