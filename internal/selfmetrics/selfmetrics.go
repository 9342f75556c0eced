// Package selfmetrics serves what a process of this program measures of itself, in
// Prometheus's text form or as OpenMetrics. What is measured beside the runtime is the
// process's own.
package selfmetrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// New is a registry with the metrics of the Go runtime and of the process.
func New() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Handler serves a registry to a few askers at once.
func Handler(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: 4, ErrorHandling: promhttp.ContinueOnError})
}

// Source calls back for metrics that are kept elsewhere, each time that it is asked.
type Source func(emit func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string))

// Describe implements prometheus.Collector: what there is is known only when it is asked.
func (Source) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s Source) Collect(out chan<- prometheus.Metric) {
	s(func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		m, err := prometheus.NewConstMetric(d, kind, v, labels...)
		if err != nil {
			m = prometheus.NewInvalidMetric(d, err)
		}
		out <- m
	})
}
