// Package source asks servers that answer Prometheus's query API for metrics, within
// bounds of time and size. It keeps nothing.
//
// Source: https://prometheus.io/docs/prometheus/latest/querying/api/#range-queries
package source
