// Package promapi answers the HTTP API of Prometheus over the embedded store, so that
// Grafana and promtool can read it: queries, labels, series, metadata and the version.
// It refuses to know who may ask; the caller has checked that.
//
// Source: https://prometheus.io/docs/prometheus/latest/querying/api/
package promapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"showrunner/telemetry"
)

// The bounds of queries.
const (
	mostSamples = 5_000_000 // in memory at once
	mostPoints  = 11_000    // of one series, as Prometheus
	mostTime    = 30 * time.Second
	mostQueries = 4 // at once
	mostForm    = 1 << 20
	lookback    = 5 * time.Minute
)

// API is the handler of the paths below /api/v1.
type API struct {
	store   *telemetry.Store
	engine  *promql.Engine
	parser  parser.Parser
	version string
	now     func() time.Time
	mux     *http.ServeMux
	slots   chan struct{}
}

// Paths are the paths that an API answers, without their methods.
func Paths() []string {
	return []string{"/api/v1/query", "/api/v1/query_range", "/api/v1/labels", "/api/v1/label/{name}/values", "/api/v1/series", "/api/v1/metadata", "/api/v1/status/buildinfo",
		"/api/v1/query_exemplars", "/api/v1/format_query", "/api/v1/rules", "/api/v1/alerts"}
}

// New makes the handler. version is that of this program.
func New(store *telemetry.Store, version string, now func() time.Time) *API {
	p := parser.NewParser(parser.Options{})
	a := &API{store: store, parser: p, version: version, now: now, mux: http.NewServeMux(), slots: make(chan struct{}, mostQueries),
		engine: promql.NewEngine(promql.EngineOpts{MaxSamples: mostSamples, Timeout: mostTime, LookbackDelta: lookback, EnableAtModifier: true, EnableNegativeOffset: true, Parser: p,
			NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() }})}
	for path, answer := range map[string]func(*http.Request) (any, []string, error){
		"/api/v1/query": a.query, "/api/v1/query_range": a.queryRange, "/api/v1/labels": a.labels, "/api/v1/label/{name}/values": a.labelValues,
		"/api/v1/series": a.series, "/api/v1/metadata": a.metadata, "/api/v1/status/buildinfo": a.buildInfo,
		"/api/v1/query_exemplars": a.exemplars, "/api/v1/format_query": a.formatQuery,
		"/api/v1/rules": none("groups"), "/api/v1/alerts": none("alerts"),
	} {
		a.mux.HandleFunc("GET "+path, a.answer(answer))
		a.mux.HandleFunc("POST "+path, a.answer(answer))
	}
	return a
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// envelope is the form of every answer.
type envelope struct {
	Status    string   `json:"status"`
	Data      any      `json:"data,omitempty"`
	ErrorType string   `json:"errorType,omitempty"`
	Error     string   `json:"error,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
}

// badData is a request that cannot be understood.
type badData struct{ error }

func bad(format string, args ...any) error { return badData{fmt.Errorf(format, args...)} }

// answer runs one request, at most mostQueries at once, and writes its envelope.
func (a *API) answer(f func(*http.Request) (any, []string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, mostForm)
		var data any
		var warnings []string
		err := r.ParseForm()
		if err != nil {
			err = bad("the form cannot be read: %v", err)
		} else {
			select {
			case a.slots <- struct{}{}:
				data, warnings, err = f(r)
				<-a.slots
			case <-r.Context().Done():
				return
			}
		}
		e, status := envelope{Status: "success", Data: data, Warnings: warnings}, http.StatusOK
		if err != nil {
			e = envelope{Status: "error", Error: err.Error(), Warnings: warnings}
			e.ErrorType, status = kindOf(err)
		}
		raw, err := json.Marshal(e)
		if err != nil {
			status = http.StatusInternalServerError
			raw = []byte(`{"status":"error","errorType":"internal","error":"the answer cannot be written"}`)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(raw) // the client has gone when this fails
	}
}

// kindOf maps an error to Prometheus's kind and status.
func kindOf(err error) (kind string, status int) {
	var understood badData
	var parse parser.ParseErrors
	var timeout promql.ErrQueryTimeout
	var canceled promql.ErrQueryCanceled
	var stored promql.ErrStorage
	switch {
	case errors.As(err, &understood), errors.As(err, &parse):
		return "bad_data", http.StatusBadRequest
	case errors.As(err, &timeout):
		return "timeout", http.StatusServiceUnavailable
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		return "canceled", http.StatusServiceUnavailable
	case errors.As(err, &stored):
		return "internal", http.StatusInternalServerError
	}
	return "execution", http.StatusUnprocessableEntity
}

// result is a query's answer.
type result struct {
	Type   parser.ValueType `json:"resultType"`
	Result any              `json:"result"`
}

func (a *API) query(r *http.Request) (any, []string, error) {
	at, err := timeOf(r, "time", a.now())
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel, err := limited(r)
	if err != nil {
		return nil, nil, err
	}
	defer cancel()
	q, err := a.engine.NewInstantQuery(ctx, a.store.Queryable(), nil, r.Form.Get("query"), at)
	if err != nil {
		return nil, nil, bad("invalid parameter \"query\": %v", err)
	}
	return run(ctx, q)
}

func (a *API) queryRange(r *http.Request) (any, []string, error) {
	start, err := timeOf(r, "start", time.Time{})
	if err != nil {
		return nil, nil, err
	}
	end, err := timeOf(r, "end", time.Time{})
	if err != nil {
		return nil, nil, err
	}
	step, err := durationOf(r.Form.Get("step"))
	switch {
	case err != nil:
		return nil, nil, bad("invalid parameter \"step\": %v", err)
	case r.Form.Get("start") == "" || r.Form.Get("end") == "":
		return nil, nil, bad("start and end are needed")
	case end.Before(start):
		return nil, nil, bad("invalid parameter \"end\": end is before start")
	case step <= 0:
		return nil, nil, bad("invalid parameter \"step\": it has to be above 0")
	case end.Sub(start)/step > mostPoints:
		return nil, nil, bad("this would be more than %d points a series: raise the step", mostPoints)
	}
	ctx, cancel, err := limited(r)
	if err != nil {
		return nil, nil, err
	}
	defer cancel()
	q, err := a.engine.NewRangeQuery(ctx, a.store.Queryable(), nil, r.Form.Get("query"), start, end, step)
	if err != nil {
		return nil, nil, bad("invalid parameter \"query\": %v", err)
	}
	return run(ctx, q)
}

// run evaluates a query.
func run(ctx context.Context, q promql.Query) (any, []string, error) {
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		return nil, nil, res.Err
	}
	warnings, _ := res.Warnings.AsStrings("", 10, 0)
	// The values belong to the query until it is closed, so they are written now.
	value := any(res.Value)
	switch v := res.Value.(type) {
	case promql.Vector:
		if v == nil {
			value = []struct{}{}
		}
	case promql.Matrix:
		if v == nil {
			value = []struct{}{}
		}
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, warnings, err
	}
	return result{res.Value.Type(), json.RawMessage(raw)}, warnings, nil
}

// limited ends a query at the time that the request allows it.
func limited(r *http.Request) (context.Context, context.CancelFunc, error) {
	limit := mostTime
	if text := r.Form.Get("timeout"); text != "" {
		asked, err := durationOf(text)
		if err != nil || asked <= 0 {
			return nil, nil, bad("invalid parameter \"timeout\": %q is no duration", text)
		}
		limit = min(limit, asked)
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	return ctx, cancel, nil
}

// timeOf reads a time: seconds since 1970, or RFC 3339.
func timeOf(r *http.Request, name string, otherwise time.Time) (time.Time, error) {
	text := r.Form.Get(name)
	if text == "" {
		return otherwise, nil
	}
	if s, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(s) < 1e11 {
		return time.UnixMilli(int64(math.Round(s * 1000))).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, bad("invalid parameter %q: %q is no time; write seconds since 1970 or RFC 3339", name, text)
	}
	return t, nil
}

// durationOf reads a duration: seconds, or such as 5m.
func durationOf(text string) (time.Duration, error) {
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		if !(math.Abs(s) < math.MaxInt64/float64(time.Second)) {
			return 0, fmt.Errorf("%q is out of range", text)
		}
		return time.Duration(s * float64(time.Second)), nil
	}
	d, err := model.ParseDuration(text)
	return time.Duration(d), err
}

// CheckQuery says what is wrong with a query of PromQL, before there is a store.
func CheckQuery(query string) error {
	_, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	return err
}
