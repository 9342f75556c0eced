package store

import (
	"context"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"

	"showrunner/execution"
)

// Reindexed waits until everything is indexed as this version indexes.
func Reindexed(s Store) {
	switch s := s.(type) {
	case *SQLite:
		s.reindexer.loops.Wait()
	case *Postgres:
		s.reindexer.loops.Wait()
	}
}

// Analyze has the database know what its tables hold.
func Analyze(ctx context.Context, s Store) error {
	if p, ok := s.(*Postgres); ok {
		_, err := p.pool.Exec(ctx, `ANALYZE`)
		return err
	}
	return nil
}

// Plans makes a list, and returns how the database carries out each statement of it.
func Plans(ctx context.Context, s Store, q execution.Query) (plans []string, err error) {
	switch s := s.(type) {
	case *SQLite:
		_, _, err = list(ctx, q, sqlitePlans{sqliteLists{s}, &plans})
	case *Postgres:
		_, _, err = list(ctx, q, pgPlans{pgLists{s}, &plans})
	}
	return plans, err
}

// sqlitePlans are lists that note their plans.
type sqlitePlans struct {
	sqliteLists
	plans *[]string
}

func (s sqlitePlans) note(ctx context.Context, text string, args []any) error {
	rows, err := s.reads.QueryContext(ctx, "EXPLAIN QUERY PLAN "+text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var id, parent, unused int
		var line string
		if err := rows.Scan(&id, &parent, &unused, &line); err != nil {
			return err
		}
		lines = append(lines, line)
	}
	*s.plans = append(*s.plans, strings.Join(lines, "\n"))
	return rows.Err()
}

func (s sqlitePlans) heads(ctx context.Context, text string, args []any) ([]execution.Head, error) {
	if err := s.note(ctx, text, args); err != nil {
		return nil, err
	}
	return s.sqliteLists.heads(ctx, text, args)
}

func (s sqlitePlans) number(ctx context.Context, text string, args []any) (int64, error) {
	if err := s.note(ctx, text, args); err != nil {
		return 0, err
	}
	return s.sqliteLists.number(ctx, text, args)
}

func (s sqlitePlans) search(ctx context.Context, p page, segments, words, facets []string) ([]execution.Head, error) {
	text, args := s.searchText(p, segments, words, facets)
	return s.heads(ctx, text, args)
}

// costs are what the database believes of a step.
var costs = regexp.MustCompile(`  \(cost=[^)]*\)`)

// pgPlans are lists that note their plans.
type pgPlans struct {
	pgLists
	plans *[]string
}

func (p pgPlans) note(ctx context.Context, settings, text string, args []any) error {
	b := &pgx.Batch{}
	b.Queue(settings)
	b.Queue("EXPLAIN "+text, args...).Query(func(rows pgx.Rows) error { // without costs it would not say what is compiled
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		*p.plans = append(*p.plans, costs.ReplaceAllString(strings.Join(lines, "\n"), ""))
		return err
	})
	return p.pool.SendBatch(ctx, b).Close()
}

func (p pgPlans) heads(ctx context.Context, text string, args []any) ([]execution.Head, error) {
	if err := p.note(ctx, followIndexes, text, args); err != nil {
		return nil, err
	}
	return p.pgLists.heads(ctx, text, args)
}

func (p pgPlans) number(ctx context.Context, text string, args []any) (int64, error) {
	if err := p.note(ctx, followIndexes, text, args); err != nil {
		return 0, err
	}
	return p.pgLists.number(ctx, text, args)
}

func (p pgPlans) search(ctx context.Context, pg page, segments, words, facets []string) ([]execution.Head, error) {
	text, args := p.searchText(pg, segments, words, facets)
	if err := p.note(ctx, followWords, text, args); err != nil {
		return nil, err
	}
	return p.pgLists.search(ctx, pg, segments, words, facets)
}

// Within makes a batch of a new replica in a transaction of the caller's.
func Within(ctx context.Context, tx pgx.Tx, owner string, changes ...*execution.Change) error {
	if _, err := tx.Exec(ctx, `INSERT INTO replica VALUES ($1, 0, now() + interval '1 hour', 0) ON CONFLICT DO NOTHING`, owner); err != nil {
		return err
	}
	var number int64
	if err := tx.QueryRow(ctx, `SELECT batch + 1 FROM replica WHERE id = $1`, owner).Scan(&number); err != nil {
		return err
	}
	b, err := newPgBatch(owner, number, changes)
	if err != nil {
		return err
	}
	return b.commit(ctx, tx)
}
