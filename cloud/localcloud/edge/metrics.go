package edge

import (
	"context"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"showrunner/internal/selfmetrics"
)

// metricsPath is where the edge tells its metrics, on its socket.
const metricsPath = "/metrics"

// metrics serves what the edge counts of each region.
func (e *Edge) metrics() http.Handler {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("showrunner_edge_"+name, help, []string{"region"}, nil)
	}
	requests, errors := desc("requests_total", "Requests sent to a region."), desc("request_errors_total", "Requests of a region that were not answered, or answered 5xx.")
	healthy := desc("region_healthy", "Whether the edge sends requests to a region.")
	registry := selfmetrics.New()
	registry.MustRegister(selfmetrics.Source(func(emit func(*prometheus.Desc, prometheus.ValueType, float64, ...string)) {
		for _, r := range e.table.snapshot() {
			up := 0.0
			if r.Healthy {
				up = 1
			}
			emit(requests, prometheus.CounterValue, float64(r.Requests), r.Name)
			emit(errors, prometheus.CounterValue, float64(r.Errors), r.Name)
			emit(healthy, prometheus.GaugeValue, up, r.Name)
		}
	}))
	return selfmetrics.Handler(registry)
}

// Metrics asks the edge for its metrics. The caller closes the answer's body. Errors:
// unavailable without an edge.
func (c *Client) Metrics(ctx context.Context) (*http.Response, error) {
	return c.rpc.Open(ctx, http.MethodGet, metricsPath, nil)
}
