// Package figures counts what a control plane's executions do, for its own /metrics:
// durations, queues, verdicts, and DORA's four figures. It follows the event log, so
// that each control plane counts the executions of all. It decides nothing.
//
// Source of the four: https://dora.dev/guides/dora-metrics-four-keys/.
package figures
