package localcloud

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"showrunner/cloud/driver"
	"showrunner/internal/selfmetrics"
)

// metricsPath is where a region tells its metrics, on its control interface.
const metricsPath = "/metrics"

// collectTimeout bounds reading the region's own state.
const collectTimeout = 2 * time.Second

// metrics serves what the region measures of itself: its instances, and the requests of
// each server group.
func (r *region) metrics() http.Handler {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("showrunner_region_"+name, help, labels, prometheus.Labels{"region": r.config.Name})
	}
	instances := desc("instances", "Instances by their state.", "cluster", "server_group", "lifecycle")
	requests := desc("requests_total", "Requests of a server group that have ended.", "cluster", "server_group", "epoch")
	errors := desc("request_errors_total", "Requests of a server group answered 5xx, or not answered although the client waited.", "cluster", "server_group", "epoch")
	registry := selfmetrics.New()
	registry.MustRegister(selfmetrics.Source(func(emit func(*prometheus.Desc, prometheus.ValueType, float64, ...string)) {
		ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
		defer cancel()
		groups, err := r.fleet.ServerGroups(ctx, r.config.Name, "")
		if err != nil {
			return
		}
		asked := map[string]bool{}
		for _, g := range groups {
			states := map[driver.Lifecycle]int{}
			for _, i := range g.Instances {
				states[i.Lifecycle]++
			}
			for state, n := range states {
				emit(instances, prometheus.GaugeValue, float64(n), g.Spec.Cluster, g.Name, string(state))
			}
			if asked[g.Spec.Cluster] {
				continue
			}
			asked[g.Spec.Cluster] = true
			counts, err := r.fleet.Counts(ctx, r.config.Name, g.Spec.Cluster)
			if err != nil {
				continue
			}
			for _, c := range counts {
				if c.Instance == "" {
					emit(requests, prometheus.CounterValue, float64(c.Requests), g.Spec.Cluster, c.ServerGroup, c.Epoch)
					emit(errors, prometheus.CounterValue, float64(c.Errors), g.Spec.Cluster, c.ServerGroup, c.Epoch)
				}
			}
		}
	}))
	return selfmetrics.Handler(registry)
}

// Metrics asks a region for its metrics. The caller closes the answer's body. Errors:
// not_found, unavailable.
func (c *Client) Metrics(ctx context.Context, region string) (*http.Response, error) {
	r, err := c.region(region)
	if err != nil {
		return nil, err
	}
	return r.Open(ctx, http.MethodGet, metricsPath, nil)
}
