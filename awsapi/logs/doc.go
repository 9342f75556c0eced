// Package logs serves CloudWatch Logs: groups, streams and their events, as records
// of the control plane, with retention, and filters that find events, make metrics of them, or
// send them to streams and functions: what is to be sent is kept until it has been.
// It refuses queries and exports by name.
//
// Source: Amazon CloudWatch Logs API Reference, and its User Guide on filter patterns.
package logs
