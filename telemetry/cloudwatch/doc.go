// Package cloudwatch speaks to Amazon CloudWatch by AWS's SDK: as a source of metrics for
// analyses, and as a sink for what control measures, with PutMetricData or, through
// CloudWatch Logs, in the embedded metric format. It refuses to know what is measured.
package cloudwatch
