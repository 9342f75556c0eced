// Package logs serves CloudWatch Logs: groups, streams and their events, as records
// of the control plane, with retention and filters. It refuses queries, exports,
// deliveries, and filters that make metrics or send to other services, by name.
//
// Source: Amazon CloudWatch Logs API Reference, and its User Guide on filter patterns.
package logs
