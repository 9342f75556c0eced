// Package scrape asks instances for their metrics, in Prometheus's text form or as
// OpenMetrics, and keeps the answers in the embedded store. It owns the intervals, the
// bounds of an answer, and the metrics about each question, such as up. Which instances
// there are is its caller's knowledge.
//
// Sources: https://prometheus.io/docs/instrumenting/exposition_formats/ and
// https://prometheus.io/docs/concepts/jobs_instances/.
package scrape
