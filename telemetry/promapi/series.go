package promapi

import (
	"context"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"showrunner/telemetry"
)

// mostListed bounds the series, labels and values of one answer; limit asks for fewer.
const mostListed = 20_000

// chosen is what a request about series asks for.
type chosen struct {
	matchers [][]*labels.Matcher
	limit    int
	hints    *storage.SelectHints
	querier  storage.Querier
}

// choose reads match[], start, end and limit, and opens the store between the times.
// Without them the whole of the store is meant.
func (a *API) choose(r *http.Request) (c chosen, err error) {
	start, err := timeOf(r, "start", time.UnixMilli(math.MinInt32))
	if err != nil {
		return c, err
	}
	end, err := timeOf(r, "end", a.now().Add(365*24*time.Hour))
	if err != nil {
		return c, err
	}
	c.limit = mostListed
	if text := r.Form.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return c, bad("invalid parameter \"limit\": %q is no number", text)
		}
		if n > 0 {
			c.limit = min(c.limit, n)
		}
	}
	for _, text := range r.Form["match[]"] {
		m, err := a.parser.ParseMetricSelector(text)
		if err != nil {
			return c, bad("invalid parameter \"match[]\": %v", err)
		}
		c.matchers = append(c.matchers, m)
	}
	c.hints = &storage.SelectHints{Start: start.UnixMilli(), End: end.UnixMilli(), Func: "series"}
	c.querier, err = a.store.Queryable().Querier(start.UnixMilli(), end.UnixMilli())
	return c, err
}

// names collects sorted names over all matchers.
func (c chosen) names(list func(matchers ...*labels.Matcher) ([]string, error)) ([]string, []string, error) {
	defer c.querier.Close()
	found := map[string]bool{}
	sets := c.matchers
	if len(sets) == 0 {
		sets = [][]*labels.Matcher{nil}
	}
	for _, set := range sets {
		names, err := list(set...)
		if err != nil {
			return nil, nil, err
		}
		for _, n := range names {
			found[n] = true
		}
	}
	sorted := slices.Sorted(maps.Keys(found))
	if sorted == nil {
		sorted = []string{}
	}
	return cut(sorted, c.limit)
}

func cut[T any](list []T, limit int) ([]T, []string, error) {
	if len(list) > limit {
		return list[:limit], []string{"results truncated due to limit"}, nil
	}
	return list, nil, nil
}

func (a *API) labels(r *http.Request) (any, []string, error) {
	c, err := a.choose(r)
	if err != nil {
		return nil, nil, err
	}
	return c.names(func(m ...*labels.Matcher) ([]string, error) {
		names, _, err := c.querier.LabelNames(r.Context(), nil, m...)
		return slices.Clone(names), err
	})
}

func (a *API) labelValues(r *http.Request) (any, []string, error) {
	name := r.PathValue("name")
	if name == "" {
		return nil, nil, bad("the label has no name")
	}
	c, err := a.choose(r)
	if err != nil {
		return nil, nil, err
	}
	return c.names(func(m ...*labels.Matcher) ([]string, error) {
		values, _, err := c.querier.LabelValues(r.Context(), name, nil, m...)
		copied := make([]string, len(values))
		for i, v := range values {
			copied[i] = string([]byte(v)) // not safe once the querier is closed
		}
		return copied, err
	})
}

func (a *API) series(r *http.Request) (any, []string, error) {
	c, err := a.choose(r)
	if err != nil {
		return nil, nil, err
	}
	defer c.querier.Close()
	if len(c.matchers) == 0 {
		return nil, nil, bad("no match[] parameter provided")
	}
	list := []map[string]string{}
	seen := map[string]bool{}
	for _, set := range c.matchers {
		if err := c.each(r.Context(), set, func(l labels.Labels) bool {
			if key := l.String(); !seen[key] {
				seen[key] = true
				list = append(list, l.Map())
			}
			return len(list) <= c.limit
		}); err != nil {
			return nil, nil, err
		}
	}
	return cut(list, c.limit)
}

// each calls f with the labels of every series until it answers false.
func (c chosen) each(ctx context.Context, set []*labels.Matcher, f func(labels.Labels) bool) error {
	found := c.querier.Select(ctx, true, c.hints, set...)
	for found.Next() {
		if !f(found.At().Labels()) {
			return nil
		}
	}
	return found.Err()
}

func (a *API) metadata(r *http.Request) (any, []string, error) {
	known := a.store.Described()
	limit := len(known)
	if text := r.Form.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, nil, bad("invalid parameter \"limit\": %q is no number", text)
		}
		if n >= 0 {
			limit = n
		}
	}
	only := r.Form.Get("metric")
	out := map[string][]telemetry.Meta{}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if (only == "" || only == name) && len(out) < limit {
			out[name] = []telemetry.Meta{known[name]}
		}
	}
	return out, nil, nil
}

// buildInfo says which Prometheus this answers as. Grafana decides by it what it may ask.
func (a *API) buildInfo(*http.Request) (any, []string, error) {
	return map[string]string{"version": "3.0.0", "revision": a.version, "branch": "showrunner", "buildUser": "", "buildDate": "", "goVersion": ""}, nil, nil
}

// exemplars are none: the store keeps none. The query is still checked.
func (a *API) exemplars(r *http.Request) (any, []string, error) {
	if _, err := a.parser.ParseExpr(r.Form.Get("query")); err != nil {
		return nil, nil, bad("invalid parameter \"query\": %v", err)
	}
	return []struct{}{}, nil, nil
}

func (a *API) formatQuery(r *http.Request) (any, []string, error) {
	e, err := a.parser.ParseExpr(r.Form.Get("query"))
	if err != nil {
		return nil, nil, bad("invalid parameter \"query\": %v", err)
	}
	return e.Pretty(0), nil, nil
}

// none answers an empty list: rules are not evaluated here, and alarms are CloudWatch's.
func none(name string) func(*http.Request) (any, []string, error) {
	return func(*http.Request) (any, []string, error) { return map[string][]struct{}{name: {}}, nil, nil }
}
