package store

import (
	"context"
	"database/sql"
	"io"

	"showrunner/problem"
)

// Backup implements Store. It reads one snapshot; writers go on meanwhile.
func (s *SQLite) Backup(ctx context.Context, w io.Writer) error {
	const op = "store.backup"
	if err := s.settle(ctx); err != nil {
		return err
	}
	tx, err := s.reads.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return sqliteError(err, op)
	}
	defer nudge(s.grown)                 // what was committed meanwhile could not be written back
	defer func() { _ = tx.Rollback() }() // it only reads
	b, err := newBackupWriter(w, s.options.now())
	if err != nil {
		return problem.Wrap(err, problem.Internal, op, "writing the backup")
	}
	for _, t := range backupTables {
		if err := s.backupTable(ctx, tx, b, t); err != nil {
			return err
		}
	}
	if err := b.end(); err != nil {
		return problem.Wrap(err, problem.Internal, op, "writing the backup")
	}
	return nil
}

func (s *SQLite) backupTable(ctx context.Context, tx *sql.Tx, b *backupWriter, t backupTable) error {
	const op = "store.backup"
	rows, err := tx.QueryContext(ctx, `SELECT `+t.quoted()+` FROM `+t.name+` ORDER BY `+t.order)
	if err != nil {
		return sqliteError(err, op)
	}
	defer rows.Close()
	values, into := make([]any, len(t.columns)), make([]any, len(t.columns))
	for i := range into {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return sqliteError(err, op)
		}
		if err := b.row(t, values); err != nil {
			return problem.Wrap(err, problem.Internal, op, "writing the backup")
		}
	}
	return sqliteError(rows.Err(), op)
}
