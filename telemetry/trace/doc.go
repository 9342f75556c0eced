// Package trace tells of runs as OpenTelemetry traces: a run is a trace, and its stages
// with their attempts, the regions, steps, bakes and analyses of a rollout are spans,
// named by the semantic conventions for CI/CD
// (https://opentelemetry.io/docs/specs/semconv/cicd/cicd-spans/). The identifiers of spans
// come from package internal/tracecontext, so a span that is sent twice is the same span.
//
// It refuses to know which spans were sent: package subscription keeps the position in
// the event log, and has what was not accepted sent again.
package trace
