package canary

import (
	"context"
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
)

// Scope is one side of a comparison.
type Scope struct {
	Cluster string   `json:"cluster"`
	Region  string   `json:"region"`
	Version string   `json:"version,omitempty"`
	Groups  []string `json:"serverGroups"`
}

// Window is the time that is judged. Index numbers the windows of an analysis from 1.
type Window struct {
	Index int               `json:"index"`
	Start time.Time         `json:"start"`
	End   time.Time         `json:"end"`
	Step  pipeline.Duration `json:"step"`
}

// WindowOf is the index-th window of an analysis that began at a time.
func WindowOf(a pipeline.Analysis, began time.Time, index int) Window {
	w := Window{Index: index, Start: began, End: began.Add(time.Duration(index) * time.Duration(a.Interval)), Step: a.Step}
	if back := time.Duration(a.Lookback); back > 0 && w.End.Add(-back).After(w.Start) {
		w.Start = w.End.Add(-back)
	}
	return w
}

// points is how many points the grid of the window has.
func (w Window) points() int { return int(w.End.Sub(w.Start)/w.step()) + 1 }

func (w Window) step() time.Duration { return time.Duration(w.Step) }

// mostPoints bounds the points of a window, as Prometheus does.
const mostPoints = 11_000

// Values are the points of one side on the window's grid; NaN, in JSON null, is none.
type Values []float64

// MarshalJSON implements json.Marshaler.
func (v Values) MarshalJSON() ([]byte, error) {
	list := make([]*float64, len(v))
	for i := range v {
		if !math.IsNaN(v[i]) {
			list[i] = &v[i]
		}
	}
	return json.Marshal(list)
}

// UnmarshalJSON implements json.Unmarshaler.
func (v *Values) UnmarshalJSON(text []byte) error {
	var list []*float64
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	*v = make(Values, len(list))
	for i, x := range list {
		(*v)[i] = math.NaN()
		if x != nil {
			(*v)[i] = *x
		}
	}
	return nil
}

// Side is what one side of a metric measured: values, or two counters.
type Side struct {
	Values   Values
	Requests Values
	Errors   Values
}

// Measured is what a source answered for a window. Failed says, by metric, why the source
// has no answer; then nothing may be concluded from the window yet.
type Measured struct {
	Window   Window
	Baseline map[string]Side
	Canary   map[string]Side
	Failed   map[string]string
}

// Point is a value at a time.
type Point struct {
	At    time.Time
	Value float64
}

// Source answers PromQL.
type Source interface {
	// Range evaluates a query at each step from start to end, both included, and
	// returns its series. Errors: invalid for a query that cannot be evaluated,
	// unavailable when the source does not answer.
	Range(ctx context.Context, query string, start, end time.Time, step time.Duration) ([][]Point, error)
}

const (
	// queryTimeout bounds one query.
	queryTimeout = 4 * time.Second
	// mostQueries bounds the queries of a measurement that are under way.
	mostQueries = 4
)

// Measure asks for both sides of every metric. It returns in time whatever the source
// does: what is not answered is in Failed.
func Measure(ctx context.Context, source Source, a pipeline.Analysis, baseline, canary Scope, w Window) Measured {
	m := Measured{Window: w, Baseline: map[string]Side{}, Canary: map[string]Side{}, Failed: map[string]string{}}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, mostQueries)
	for _, metric := range a.Metrics {
		for _, side := range []struct {
			scope Scope
			into  map[string]Side
		}{{baseline, m.Baseline}, {canary, m.Canary}} {
			all.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				found, err := measureSide(ctx, source, metric, side.scope, w)
				mu.Lock()
				defer mu.Unlock()
				if side.into[metric.Name] = found; err != nil {
					m.Failed[metric.Name] = problem.Text(err)
				}
			})
		}
	}
	all.Wait()
	return m
}

func measureSide(ctx context.Context, source Source, metric pipeline.AnalysisMetric, scope Scope, w Window) (s Side, err error) {
	for _, part := range []struct {
		query string
		into  *Values
	}{{metric.Query, &s.Values}, {metric.Requests, &s.Requests}, {metric.Errors, &s.Errors}} {
		if part.query == "" {
			continue
		}
		if *part.into, err = measureQuery(ctx, source, Expand(part.query, scope, w), w); err != nil {
			return s, err
		}
	}
	return s, nil
}

// measureQuery puts a query's answer on the grid.
func measureQuery(ctx context.Context, source Source, query string, w Window) (Values, error) {
	const op = "canary.measure"
	if w.points() > mostPoints {
		return nil, problem.New(problem.Invalid, op, "%d points are more than %d: raise the step", w.points(), mostPoints)
	}
	series, err := source.Range(ctx, query, w.Start, w.End, w.step())
	switch {
	case err != nil:
		return nil, problem.Wrap(err, problem.CodeOf(err), op, "asking for %s", query)
	case len(series) > 1:
		return nil, problem.New(problem.Invalid, op, "%s has %d series", query, len(series)).WithHelp("aggregate them: sum(…), avg(…), max(…)")
	}
	values := make(Values, w.points())
	for i := range values {
		values[i] = math.NaN()
	}
	if len(series) == 0 {
		return values, nil
	}
	for _, p := range series[0] {
		at := int(math.Round(float64(p.At.Sub(w.Start)) / float64(w.Step)))
		if at >= 0 && at < len(values) && !math.IsInf(p.Value, 0) {
			values[at] = p.Value
		}
	}
	return values, nil
}

// Expand puts the values of a scope into a query. Variables that are not known stay as
// they are, so that the source refuses them.
func Expand(query string, s Scope, w Window) string {
	groups := make([]string, len(s.Groups))
	for i, g := range s.Groups {
		groups[i] = regexp.QuoteMeta(g)
	}
	pattern := text(strings.Join(groups, "|"))
	matchers := []string{`cluster="` + text(s.Cluster) + `"`, `region="` + text(s.Region) + `"`, `server_group=~"` + pattern + `"`}
	return strings.NewReplacer(
		"${scope}", strings.Join(matchers, ","), "${groups}", pattern, "${cluster}", text(s.Cluster), "${region}", text(s.Region),
		"${version}", text(s.Version), "${step}", strconv.Itoa(max(1, int(w.step().Seconds())))+"s",
	).Replace(query)
}

// text is a value inside the quotes of PromQL.
func text(v string) string {
	quoted := strconv.Quote(v)
	return quoted[1 : len(quoted)-1]
}
