package store

import (
	"context"
	"io"

	"github.com/jackc/pgx/v5"

	"showrunner/problem"
)

// Backup implements Store. Writers go on meanwhile.
func (p *Postgres) Backup(ctx context.Context, w io.Writer) error {
	const op = "store.backup"
	b, err := newBackupWriter(w, p.options.now())
	if err != nil {
		return problem.Wrap(err, problem.Internal, op, "writing the backup")
	}
	var last int64
	err = pgx.BeginTxFunc(ctx, p.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		// All events up to it are visible; see showrunner_events.
		if err := tx.QueryRow(ctx, `SELECT value FROM meta WHERE key = 'position'`).Scan(&last); err != nil {
			return err
		}
		for _, t := range snapshotTables {
			if _, _, err := p.backupRows(ctx, tx, b, t, `SELECT `+t.quoted()+` FROM `+t.name+` ORDER BY `+t.order); err != nil {
				return err
			}
		}
		return nil
	})
	for after, n := int64(0), backupEvents; err == nil && n == backupEvents; {
		after, n, err = p.backupRows(ctx, p.pool, b, eventTable, selectEvents(dollar), after, last, backupEvents)
	}
	if err == nil {
		err = b.end()
	}
	return pgError(err, op)
}

// backupRows writes what a statement selects of a table, and returns the first
// column of the last row, where that is a number, and how many there were.
func (p *Postgres) backupRows(ctx context.Context, q pgExecutor, b *backupWriter, t backupTable, text string, args ...any) (last int64, n int, err error) {
	rows, err := q.Query(ctx, text, args...)
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close()
	for ; rows.Next(); n++ {
		values, err := rows.Values()
		if err != nil {
			return 0, 0, err
		}
		if err := b.row(t, values); err != nil {
			return 0, 0, err
		}
		last, _ = values[0].(int64) // 0 is what it then is
	}
	return last, n, rows.Err()
}
