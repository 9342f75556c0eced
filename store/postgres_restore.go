package store

import (
	"context"
	"io"
	"iter"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// restore copies table after table in one transaction, with the indexes made at
// the end.
func (p *Postgres) restore(ctx context.Context, r io.Reader) error {
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		var held bool
		if err := tx.QueryRow(ctx, holdsSomething).Scan(&held); err != nil {
			return err
		}
		if held {
			return notEmpty()
		}
		indexes, err := dropIndexes(ctx, tx)
		if err != nil {
			return err
		}
		next, stop := iter.Pull2(readBackup(r))
		defer stop()
		if err := copyTables(ctx, tx, next); err != nil {
			return err
		}
		for _, text := range append(indexes,
			`UPDATE meta SET value = greatest((SELECT coalesce(max(position), 0) FROM event), (SELECT value FROM meta WHERE key = 'floor')) WHERE key = 'position'`,
			`UPDATE meta SET value = coalesce((SELECT min(position) - 1 FROM event), 0) WHERE key = 'floor'`,
			`SELECT setval(pg_get_serial_sequence('execution', 'seq'), (SELECT coalesce(max(seq), 0) + 1 FROM execution), false)`,
			`SELECT setval(pg_get_serial_sequence('mail', 'seq'), (SELECT coalesce(max(seq), 0) + 1 FROM mail), false)`,
			`ANALYZE`,
		) {
			if _, err := tx.Exec(ctx, text); err != nil {
				return err
			}
		}
		return nil
	})
	return pgError(err, opRestore)
}

// dropIndexes removes what is no key, and returns how to make it.
func dropIndexes(ctx context.Context, tx pgx.Tx) ([]string, error) {
	if _, err := tx.Exec(ctx, `SELECT set_config('maintenance_work_mem', '256MB', true)`); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `SELECT i.indexdef, quote_ident(i.indexname) FROM pg_indexes i WHERE i.schemaname = current_schema()
		AND i.tablename IN ('execution', 'stage', 'mail', 'event', 'trigger_event')
		AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conname = i.indexname AND c.connamespace = current_schema()::regnamespace)`)
	if err != nil {
		return nil, err
	}
	type index struct{ Text, Name string }
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[index])
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, i := range found {
		if _, err := tx.Exec(ctx, `DROP INDEX `+i.Name); err != nil {
			return nil, err
		}
		texts = append(texts, i.Text)
	}
	return texts, nil
}

// copyTables copies rows, those of one table that follow each other at once.
func copyTables(ctx context.Context, tx pgx.Tx, next func() (restoredRow, error, bool)) error {
	row, err, more := next()
	for more && err == nil {
		t := row.table
		columns := t.columns
		if t.name == "execution" {
			columns = append(columns[:len(columns):len(columns)], "words")
		}
		_, cerr := tx.CopyFrom(ctx, pgx.Identifier{t.name}, columns, pgx.CopyFromFunc(func() ([]any, error) {
			if !more || err != nil || row.table != t {
				return nil, err
			}
			values := row.values
			if t.name == "execution" {
				values = append(values, vector(row.terms))
			}
			row, err, more = next()
			return values, nil
		}))
		if err == nil {
			err = cerr
		}
	}
	return err
}

func vector(terms []string) pgtype.TSVector {
	v := pgtype.TSVector{Lexemes: make([]pgtype.TSVectorLexeme, len(terms)), Valid: true}
	for i, t := range terms {
		v.Lexemes[i].Word = t
	}
	return v
}
