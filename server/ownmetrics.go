package server

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"showrunner/cloud/localcloud"
	"showrunner/cloud/localcloud/edge"
	"showrunner/internal/selfmetrics"
	"showrunner/problem"
	"showrunner/telemetry/figures"
)

// ownMetrics are what a control plane measures of itself.
type ownMetrics struct {
	registry *prometheus.Registry
	figures  *figures.Figures
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func (c *controlPlane) newOwnMetrics() *ownMetrics {
	m := &ownMetrics{registry: selfmetrics.New(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "showrunner", Subsystem: "control", Name: "http_requests_total", Help: "Requests that have ended, by part of the address."}, []string{"part", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "showrunner", Subsystem: "control", Name: "http_request_duration_seconds", Help: "Time until a request had ended; streams of events are left out.",
			Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10}}, []string{"part"}),
	}
	series := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "showrunner", Subsystem: "control", Name: "metrics_series", Help: "Series of the embedded store that were written to lately."},
		func() float64 { return float64(c.metrics.Series()) })
	m.registry.MustRegister(m.requests, m.duration, series)
	m.figures = figures.New(c.engine, m.registry, c.Log)
	return m
}

// parts are the first elements of addresses that are told apart; the number of series is
// not for clients to choose.
var parts = map[string]bool{"api": true, "hooks": true, "judge": true, "metrics": true, "login": true}

// count counts requests.
func (m *ownMetrics) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin, answer := time.Now(), &countedAnswer{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, r)
		part := firstElement(r.URL.Path)
		if !parts[part] {
			part = "pages"
		}
		m.requests.WithLabelValues(part, strconv.Itoa(answer.status)).Inc()
		if w.Header().Get("Content-Type") != "text/event-stream" {
			m.duration.WithLabelValues(part).Observe(time.Since(begin).Seconds())
		}
	})
}

func firstElement(path string) string {
	for i := 1; i < len(path); i++ {
		if path[i] == '/' {
			return path[1:i]
		}
	}
	return path[min(1, len(path)):]
}

// countedAnswer remembers the status of an answer.
type countedAnswer struct {
	http.ResponseWriter
	status int
}

func (a *countedAnswer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach what is beneath.
func (a *countedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Flush implements http.Flusher, for streams of events.
func (a *countedAnswer) Flush() { _ = http.NewResponseController(a.ResponseWriter).Flush() }

// serveOwnMetrics puts the metrics of this process, and those that the edge and the
// regions tell on their sockets, behind the token.
func (c *controlPlane) serveOwnMetrics(mux *http.ServeMux) {
	mux.Handle("GET /metrics", c.reader(selfmetrics.Handler(c.own.registry)))
	mux.Handle("GET /metrics/edge", c.reader(c.pass(func(r *http.Request) (*http.Response, error) {
		front, err := edge.NewClient(c.Data)
		if err != nil {
			return nil, err
		}
		return front.Metrics(r.Context())
	})))
	mux.Handle("GET /metrics/regions/{region}", c.reader(c.pass(func(r *http.Request) (*http.Response, error) {
		name := r.PathValue("region")
		if !slices.Contains(c.Regions, name) {
			return nil, problem.New(problem.NotFound, "metrics", "there is no region %q", name)
		}
		regions, err := localcloud.NewClient(localcloud.ClientConfig{Regions: []localcloud.Endpoint{{Region: name, Data: c.Data}}, Now: c.Now})
		if err != nil {
			return nil, err
		}
		defer regions.Close()
		return regions.Metrics(r.Context(), name)
	})))
}

// pass passes an answer of another process on.
func (c *controlPlane) pass(ask func(*http.Request) (*http.Response, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, err := ask(r)
		if err != nil {
			status := http.StatusBadGateway
			if problem.CodeOf(err) == problem.NotFound {
				status = http.StatusNotFound
			}
			http.Error(w, problem.Text(err), status)
			return
		}
		defer res.Body.Close()
		w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
		_, _ = io.Copy(w, res.Body) // the reader has gone when this fails
	})
}

// reader lets programs that read metrics through: with the token as Bearer, or, as they
// know no other way, as the password of any user.
func (c *controlPlane) reader(next http.Handler) http.Handler {
	required := c.auth.Require(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, ok := r.BasicAuth(); ok {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", "Bearer "+password)
		}
		required.ServeHTTP(w, r)
	})
}
