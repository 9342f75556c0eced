package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"showrunner/execution"
	"showrunner/problem"
)

// A list costs about a page, whatever the table holds. Without words it is a
// stretch of an index in the order asked for, or several merged. With words it is
// read segment by segment: executions next to each other share a segment, whose
// name begins each of their terms in the index, so that a word which a million
// executions have is looked up among the newest few thousand first.

// segmentBits is how many low bits of the order of creation are within a segment.
const segmentBits = 13

// segment names the one that a place in the order of creation is in;
// showrunner_commit makes the same name.
func segment(seq int64) string { return fmt.Sprintf("%06x", seq>>segmentBits) }

// indexTerms are an execution's terms as the index holds them.
func indexTerms(h *execution.Head) []string {
	terms, name := execution.SearchTerms(h), segment(h.Seq)
	for i, t := range terms {
		terms[i] = name + t
	}
	return terms
}

// lists is what a database does for a list.
type lists interface {
	param(n int) string
	// seqIn writes the condition that a row's seq is one of those that a statement selects.
	seqIn(places string) string
	// indexRange writes the condition that the columns have the values and that seq is
	// within bounds, with the source and order that make the database read one range of
	// the index on these columns, whatever its statistics say.
	indexRange(c *clause, columns, values []string, from, before int64) (source, order string)
	// heads runs a statement that follows the indexes it orders by.
	heads(ctx context.Context, text string, args []any) ([]execution.Head, error)
	number(ctx context.Context, text string, args []any) (int64, error)
	// search returns those of the page's executions that have the terms within the segments.
	search(ctx context.Context, p page, segments, words, facets []string) ([]execution.Head, error)
}

// page is what a list may show still: executions from a place on and before another.
type page struct {
	execution.Query
	from, before int64
	limit        int
}

// clause is a condition being written, with its parameters.
type clause struct {
	param func(n int) string
	args  []any
	parts []string
}

func (c *clause) arg(v any) string {
	c.args = append(c.args, v)
	return c.param(len(c.args))
}

func (c *clause) is(column, v string) {
	if v != "" {
		c.parts = append(c.parts, column+" = "+c.arg(v))
	}
}

func (c *clause) String() string { return strings.Join(c.parts, " AND ") }

// between writes that a place is within bounds; seq is what the order of creation is called.
func (c *clause) between(seq string, from, before int64) {
	c.parts = append(c.parts, seq+" >= "+c.arg(from), seq+" < "+c.arg(before))
}

// created writes the page's bounds of time.
func (c *clause) created(p page) {
	if !p.Since.IsZero() {
		c.parts = append(c.parts, "e.created >= "+c.arg(p.Since.UnixMilli()))
	}
	if !p.Until.IsZero() {
		c.parts = append(c.parts, "e.created < "+c.arg(p.Until.UnixMilli()))
	}
}

func (c *clause) oneOf(column string, statuses []execution.Status) {
	if len(statuses) == 0 {
		return
	}
	marks := make([]string, len(statuses))
	for i, st := range statuses {
		marks[i] = c.arg(string(st))
	}
	c.parts = append(c.parts, column+" IN ("+strings.Join(marks, ", ")+")")
}

// fewCandidates is how many executions are looked at one by one rather than searched for.
const fewCandidates = 1000

func list(ctx context.Context, q execution.Query, db lists) ([]execution.Head, string, error) {
	p, err := newPage(ctx, q, db)
	if err != nil || p.from >= p.before {
		return nil, "", err
	}
	words, facets := q.Terms()
	var heads []execution.Head
	switch {
	case len(words)+len(facets) == 0:
		text, args := listByIndex(p, db)
		heads, err = db.heads(ctx, text, args)
	case q.Parent != "" || q.RollbackOf != "":
		heads, err = filterOneByOne(ctx, p, db)
	default:
		var few bool
		if few, err = fewMatch(ctx, p, db); err != nil {
			break
		}
		if few {
			heads, err = filterOneByOne(ctx, p, db)
		} else {
			return search(ctx, p, db, words, facets)
		}
	}
	if err != nil {
		return nil, "", err
	}
	heads, next := cutPage(heads, q.Limit)
	return heads, next, nil
}

// cutPage takes the row more than a page holds as the sign that there is another.
func cutPage(heads []execution.Head, limit int) ([]execution.Head, string) {
	if len(heads) <= limit {
		return heads, ""
	}
	heads = heads[:limit]
	return heads, execution.Cursor(heads[limit-1].Seq)
}

// clockSkew is by how much the clocks of replicas may differ, for lists by time.
const clockSkew = 2 * time.Second

func newPage(ctx context.Context, q execution.Query, db lists) (page, error) {
	p := page{Query: q, before: 1 << 62, limit: q.Limit + 1}
	if q.Limit < 1 {
		return p, problem.New(problem.Invalid, "execution.list", "the limit must be at least 1")
	}
	if q.After != "" {
		n, err := strconv.ParseInt(q.After, 36, 64)
		if err != nil {
			return p, problem.New(problem.Invalid, "execution.list", "%q is no place in the list", q.After)
		}
		p.before = n
	}
	if q.Since.IsZero() && q.Until.IsZero() {
		return p, nil
	}
	var err error
	if !q.Since.IsZero() {
		if p.from, err = createdAt(ctx, q.Since.Add(-clockSkew), db); err != nil {
			return p, err
		}
	}
	if !q.Until.IsZero() {
		until, err := createdAt(ctx, q.Until.Add(clockSkew), db)
		if err != nil {
			return p, err
		}
		p.before = min(p.before, until)
	}
	return p, nil
}

// createdAt finds the place of the first execution that was created at a time or
// later, by halving: the order of creation is that of time, but for clocks.
func createdAt(ctx context.Context, at time.Time, db lists) (int64, error) {
	lo, hi, err := ends(ctx, db)
	if err != nil {
		return 0, err
	}
	for lo <= hi {
		middle := lo + (hi-lo)/2
		created, err := db.number(ctx, `SELECT coalesce((SELECT created FROM execution WHERE seq >= `+db.param(1)+` ORDER BY seq LIMIT 1), 0)`, []any{middle})
		if err != nil {
			return 0, err
		}
		if created < at.UnixMilli() {
			lo = middle + 1
		} else {
			hi = middle - 1
		}
	}
	return lo, nil
}

// ends are the places of the first and the last execution.
func ends(ctx context.Context, db lists) (first, last int64, err error) {
	if first, err = db.number(ctx, `SELECT coalesce((SELECT min(seq) FROM execution), 0)`, nil); err == nil {
		last, err = db.number(ctx, `SELECT coalesce((SELECT max(seq) FROM execution), -1)`, nil)
	}
	return first, last, err
}

// index is the stretch of an index that holds a page's executions of one status, or
// of any, and the columns that it leaves to be looked at.
func (p *page) index(status execution.Status) (columns, values, rest, restValues []string) {
	add := func(column, v string) { columns, values = append(columns, column), append(values, v) }
	also := func(column, v string) { rest, restValues = append(rest, column), append(restValues, v) }
	switch {
	case p.Parent != "":
		add("e.parent", p.Parent)
		also("e.rollback_of", p.RollbackOf)
	case p.RollbackOf != "":
		add("e.rollback_of", p.RollbackOf)
	case status != "" && p.Application != "":
		add("e.application", p.Application)
		if p.Pipeline != "" {
			add("e.pipeline", p.Pipeline)
		}
		add("e.status", string(status))
		return columns, values, nil, nil
	case status != "":
		add("e.status", string(status))
		also("e.pipeline", p.Pipeline)
		return columns, values, rest, restValues
	}
	also("e.application", p.Application)
	also("e.pipeline", p.Pipeline)
	also("e.status", string(status))
	return columns, values, rest, restValues
}

// listByIndex writes the statement for a list without search terms. Each status is
// one range of one index.
func listByIndex(p page, db lists) (string, []any) {
	c := &clause{param: db.param}
	one := func(selected string, status execution.Status) string {
		c.parts = nil
		columns, values, rest, restValues := p.index(status)
		source, order := db.indexRange(c, columns, values, p.from, p.before)
		for i, column := range rest {
			c.is(column, restValues[i])
		}
		c.created(p)
		return `SELECT ` + selected + ` FROM ` + source + ` WHERE ` + c.String() + ` ORDER BY ` + order + ` LIMIT ` + c.arg(p.limit)
	}
	statuses := p.Statuses
	if len(statuses) == 0 && p.Application != "" && p.Parent == "" && p.RollbackOf == "" {
		statuses = allStatuses
	}
	if len(statuses) == 0 {
		return one(headColumns, ""), c.args
	}
	parts := make([]string, len(statuses))
	for i, st := range statuses {
		parts[i] = `SELECT * FROM (` + one("e.seq", st) + `) AS s` + strconv.Itoa(i)
	}
	places := `SELECT * FROM (` + strings.Join(parts, " UNION ALL ") + `) AS page ORDER BY 1 DESC LIMIT ` + c.arg(p.limit)
	return `SELECT ` + headColumns + ` FROM execution e WHERE ` + db.seqIn(places) + ` ORDER BY e.seq DESC`, c.args
}

// filterOneByOne reads a list by its index and keeps the executions that have the
// words and facets.
func filterOneByOne(ctx context.Context, p page, db lists) ([]execution.Head, error) {
	const step = 200
	var kept []execution.Head
	for wanted := p.limit; ; {
		p.limit = step
		text, args := listByIndex(p, db)
		heads, err := db.heads(ctx, text, args)
		if err != nil {
			return nil, err
		}
		for i := range heads {
			if p.Has(&heads[i]) {
				kept = append(kept, heads[i])
			}
		}
		if len(kept) >= wanted {
			return kept[:wanted], nil
		}
		if len(heads) < step {
			return kept, nil
		}
		p.before = heads[len(heads)-1].Seq
	}
}

// fewMatch tells whether only few executions have one of the statuses asked for.
func fewMatch(ctx context.Context, p page, db lists) (bool, error) {
	if len(p.Statuses) == 0 {
		return false, nil
	}
	c := &clause{param: db.param}
	counts := make([]string, len(p.Statuses))
	for i, st := range p.Statuses {
		c.parts = nil
		columns, values, _, _ := p.index(st)
		source, order := db.indexRange(c, columns, values, p.from, p.before)
		counts[i] = `(SELECT count(*) FROM (SELECT 1 FROM ` + source + ` WHERE ` + c.String() + ` ORDER BY ` + order + ` LIMIT ` + c.arg(fewCandidates) + `) AS c` + strconv.Itoa(i) + `)`
	}
	n, err := db.number(ctx, `SELECT `+strings.Join(counts, " + "), c.args)
	return n < fewCandidates, err
}
