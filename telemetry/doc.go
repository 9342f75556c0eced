// Package telemetry keeps metrics: samples of labelled series over time, in an
// embedded Prometheus database (store.go, the one place that knows it). It owns
// how long they are kept and how many series there may be. What the series mean,
// such as CloudWatch's statistics, is their writer's.
package telemetry
