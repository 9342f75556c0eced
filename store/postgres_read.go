package store

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
)

func (p *Postgres) head(ctx context.Context, q pgExecutor, id string) (execution.Head, error) {
	h, err := scanHead(q.QueryRow(ctx, `SELECT `+headColumns+` FROM execution e WHERE id = $1`, id).Scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return h, notFound("store.load", id)
	}
	return h, pgError(err, "store.load")
}

// Load implements execution.Store: one picture of all three tables.
func (p *Postgres) Load(ctx context.Context, id string) (execution.Snapshot, error) {
	var snap execution.Snapshot
	err := pgx.BeginTxFunc(ctx, p.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		snap = execution.Snapshot{}
		if snap.Head, err = p.head(ctx, tx, id); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT idx, wake, data FROM stage WHERE execution = $1 ORDER BY idx`, id)
		if err != nil {
			return err
		}
		snap.Stages, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r execution.StageRow, err error) {
			var wake *int64
			err = row.Scan(&r.Index, &wake, &r.Data)
			if wake != nil {
				r.Wake = fromMillis(*wake)
			}
			return r, err
		})
		if err != nil {
			return err
		}
		snap.Mail, err = p.mail(ctx, tx, id, 0)
		return err
	})
	return snap, pgError(err, "store.load")
}

func (p *Postgres) mail(ctx context.Context, q pgExecutor, id string, after int64) ([]execution.Mail, error) {
	rows, err := q.Query(ctx, `SELECT seq, stage, data FROM mail WHERE execution = $1 AND seq > $2 ORDER BY seq`, id, after)
	if err != nil {
		return nil, pgError(err, "store.mail")
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (execution.Mail, error) {
		m := execution.Mail{Execution: id}
		var data []byte
		if err := row.Scan(&m.Seq, &m.Stage, &data); err != nil {
			return m, err
		}
		if err := json.Unmarshal(data, &m.Signal); err != nil {
			return m, problem.Wrap(err, problem.Internal, "store.mail", "a signal of execution %s is damaged", id)
		}
		return m, nil
	})
	return out, pgError(err, "store.mail")
}

// Plan implements execution.Store.
func (p *Postgres) Plan(ctx context.Context, digest string) ([]byte, error) {
	var data []byte
	err := p.pool.QueryRow(ctx, `SELECT data FROM plan WHERE digest = $1`, digest).Scan(&data)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, problem.New(problem.NotFound, "store.plan", "there is no definition %s", digest)
	}
	return data, pgError(err, "store.plan")
}

// List implements execution.Store.
func (p *Postgres) List(ctx context.Context, q execution.Query) ([]execution.Head, string, error) {
	return list(ctx, q, pgLists{p})
}

// pgLists implements lists.
type pgLists struct{ *Postgres }

func (p pgLists) param(n int) string { return dollar(n) }

func (p pgLists) seqIn(places string) string { return `e.seq = ANY (ARRAY (` + places + `))` }

// indexRange compares whole rows, and orders by all of their columns. If the columns
// were compared one by one, the planner would leave those that are equal out of the
// order, and might then scan the table from its newest row down instead.
func (p pgLists) indexRange(c *clause, columns, values []string, from, before int64) (source, order string) {
	if len(columns) == 0 {
		c.between("e.seq", from, before)
		return "execution e", "e.seq DESC"
	}
	var equal strings.Builder
	for i, column := range columns {
		equal.WriteString(c.arg(values[i]) + ", ")
		if column == "e.parent" || column == "e.rollback_of" {
			c.parts = append(c.parts, column+" IS NOT NULL") // so that its partial index is used
		}
	}
	row := "(" + strings.Join(columns, ", ") + ", e.seq)"
	c.parts = append(c.parts, row+" >= ("+equal.String()+c.arg(from)+")", row+" < ("+equal.String()+c.arg(before)+")")
	return "execution e", strings.Join(columns, " DESC, ") + " DESC, e.seq DESC"
}

// followIndexes keeps the planner, for one transaction, from reading and sorting
// more than a page: what it knows about a table may be old, or nothing. A plan with
// a step that is off looks dear enough to be compiled, which would take longer than
// the list itself.
const followIndexes = `SELECT set_config('jit', 'off', true), set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true), set_config('enable_incremental_sort', 'off', true)`

// followWords is that for a search, which reads the index of words as a bitmap.
const followWords = `SELECT set_config('jit', 'off', true), set_config('enable_seqscan', 'off', true)`

func (p pgLists) heads(ctx context.Context, text string, args []any) ([]execution.Head, error) {
	return p.headsWith(ctx, followIndexes, text, args)
}

func (p pgLists) headsWith(ctx context.Context, settings, text string, args []any) (heads []execution.Head, err error) {
	b := &pgx.Batch{} // one round trip and one transaction
	b.Queue(settings)
	b.Queue(text, args...).Query(func(rows pgx.Rows) error {
		heads, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (execution.Head, error) { return scanHead(row.Scan) })
		return err
	})
	return heads, pgError(p.pool.SendBatch(ctx, b).Close(), "store.list")
}

func (p pgLists) number(ctx context.Context, text string, args []any) (n int64, err error) {
	b := &pgx.Batch{}
	b.Queue(followIndexes)
	b.Queue(text, args...).QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
	return n, pgError(p.pool.SendBatch(ctx, b).Close(), "store.list")
}

// search finds the places in the index of words alone (what is computed is in no
// other index), and only then the page's rows.
func (p pgLists) search(ctx context.Context, pg page, segments, words, facets []string) ([]execution.Head, error) {
	text, args := p.searchText(pg, segments, words, facets)
	return p.headsWith(ctx, followWords, text, args)
}

func (p pgLists) searchText(pg page, segments, words, facets []string) (string, []any) {
	each := make([]string, len(segments))
	for i, segment := range segments {
		var terms []string
		for _, f := range facets {
			terms = append(terms, `'`+segment+f+`'`)
		}
		for _, w := range words {
			terms = append(terms, `'`+segment+w+`':*`) // letters and digits only
		}
		each[i] = "(" + strings.Join(terms, " & ") + ")"
	}
	c := &clause{param: dollar}
	c.parts = append(c.parts, "e.words @@ "+c.arg(strings.Join(each, " | "))+"::tsquery")
	c.between("(e.seq + 0)", pg.from, pg.before)
	c.created(pg)
	c.oneOf("(e.status || '')", pg.Statuses)
	return `WITH found AS MATERIALIZED (SELECT e.seq FROM execution e WHERE ` + c.String() + `)
		SELECT ` + headColumns + ` FROM execution e WHERE e.seq = ANY (ARRAY (SELECT seq FROM found ORDER BY seq DESC LIMIT ` + c.arg(pg.limit) + `)) ORDER BY e.seq DESC`, c.args
}

// GetRecord implements Store.
func (p *Postgres) GetRecord(ctx context.Context, collection, key string) (record.Record, error) {
	r := record.Record{Collection: collection, Key: key}
	var updated int64
	var data []byte
	err := p.pool.QueryRow(ctx, `SELECT version, data, updated FROM record WHERE collection = $1 AND key = $2`, collection, key).Scan(&r.Version, &data, &updated)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, noRecord(collection, key)
	}
	r.Data, r.Updated = data, fromMillis(updated)
	return r, pgError(err, "store.record")
}

// PutRecord implements Store.
func (p *Postgres) PutRecord(ctx context.Context, r record.Record, events ...record.Event) (record.Record, error) {
	now := p.options.now().Truncate(time.Millisecond)
	text := `UPDATE record SET version = version + 1, data = $1, updated = $2 WHERE collection = $3 AND key = $4 AND version = $5`
	if r.Version == 0 {
		text = `INSERT INTO record (data, updated, collection, key, version) VALUES ($1, $2, $3, $4, $5::bigint + 1) ON CONFLICT DO NOTHING`
	}
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, text, []byte(r.Data), now.UnixMilli(), r.Collection, r.Key, r.Version)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return recordConflict(r)
		}
		return p.appendAndTell(ctx, tx, events)
	})
	if err != nil {
		return record.Record{}, pgError(err, "store.record")
	}
	r.Version++
	r.Updated = now
	return r, nil
}

// DeleteRecord implements Store.
func (p *Postgres) DeleteRecord(ctx context.Context, collection, key string, version int64, events ...record.Event) error {
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		var found int64
		err := tx.QueryRow(ctx, `SELECT version FROM record WHERE collection = $1 AND key = $2 FOR UPDATE`, collection, key).Scan(&found)
		if errors.Is(err, pgx.ErrNoRows) {
			return noRecord(collection, key)
		}
		if err != nil {
			return err
		}
		if found != version {
			return recordConflict(record.Record{Collection: collection, Key: key, Version: version})
		}
		if _, err := tx.Exec(ctx, `DELETE FROM record WHERE collection = $1 AND key = $2`, collection, key); err != nil {
			return err
		}
		return p.appendAndTell(ctx, tx, events)
	})
	return pgError(err, "store.record")
}

// ListRecords implements Store.
func (p *Postgres) ListRecords(ctx context.Context, collection, prefix, after string, limit int) ([]record.Record, error) {
	var most *int
	if limit > 0 {
		most = &limit
	}
	rows, err := p.pool.Query(ctx, `SELECT key, version, data, updated FROM record
		WHERE collection = $1 AND key > $2 AND key >= $3 AND starts_with(key, $3) ORDER BY key LIMIT $4`, collection, after, prefix, most)
	if err != nil {
		return nil, pgError(err, "store.record")
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (record.Record, error) {
		r := record.Record{Collection: collection}
		var updated int64
		var data []byte
		err := row.Scan(&r.Key, &r.Version, &data, &updated)
		r.Data, r.Updated = data, fromMillis(updated)
		return r, err
	})
	return out, pgError(err, "store.record")
}
