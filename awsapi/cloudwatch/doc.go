// Package cloudwatch serves the metrics and alarms of CloudWatch over the metrics
// store of this machine (package telemetry). Metrics are kept as they came, so that
// statistics and percentiles are exact; alarms are documents, evaluated every minute,
// or every ten seconds for shorter periods, and act on transitions. It refuses
// anomaly detection, metric streams, insight rules and metric queries in SQL, by name.
//
// Source: Amazon CloudWatch API Reference and User Guide.
package cloudwatch
