package promapi

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/prometheus/promql"

	"showrunner/canary"
	"showrunner/problem"
)

// Range implements canary.Source over the embedded store, with the bounds of queries.
func (a *API) Range(ctx context.Context, query string, start, end time.Time, step time.Duration) ([][]canary.Point, error) {
	const op = "metrics.query"
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return nil, problem.Wrap(ctx.Err(), problem.Unavailable, op, "waiting for a place among the queries")
	}
	q, err := a.engine.NewRangeQuery(ctx, a.store.Queryable(), nil, query, start, end, step)
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, op, "the query")
	}
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		code := problem.Invalid
		if stored := (promql.ErrStorage{}); errors.As(res.Err, &stored) || ctx.Err() != nil {
			code = problem.Unavailable
		}
		return nil, problem.Wrap(res.Err, code, op, "evaluating the query")
	}
	found, err := res.Matrix()
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, op, "the query's answer")
	}
	series := make([][]canary.Point, 0, len(found))
	for _, one := range found {
		points := make([]canary.Point, 0, len(one.Floats))
		for _, p := range one.Floats {
			points = append(points, canary.Point{At: time.UnixMilli(p.T), Value: p.F})
		}
		series = append(series, points)
	}
	return series, nil
}

// Value is one series of an answer at one time.
type Value struct {
	Labels map[string]string
	Value  float64
}

// At evaluates a query at one time over the embedded store, with the bounds of queries.
// Errors: invalid, unavailable.
func (a *API) At(ctx context.Context, query string, at time.Time) ([]Value, error) {
	const op = "metrics.query"
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return nil, problem.Wrap(ctx.Err(), problem.Unavailable, op, "waiting for a place among the queries")
	}
	q, err := a.engine.NewInstantQuery(ctx, a.store.Queryable(), nil, query, at)
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, op, "the query")
	}
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		return nil, problem.Wrap(res.Err, problem.Unavailable, op, "evaluating the query")
	}
	found, err := res.Vector()
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, op, "the query's answer")
	}
	values := make([]Value, 0, len(found))
	for _, one := range found {
		values = append(values, Value{Labels: one.Metric.Map(), Value: one.F})
	}
	return values, nil
}
