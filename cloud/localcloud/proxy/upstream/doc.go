// Package upstream carries HTTP/1.1 requests to one address: it owns the
// connections that are kept open there, what a request looks like on them, and
// the knowledge of how much of it was sent when something breaks. It refuses to
// choose the address or to send anything twice elsewhere (the caller's), and
// carries no HTTP/2.
//
// One goroutine writes a request and reads its answer; only a body of unknown
// or large size is written by a second one, so that an answer that comes early
// is seen. Answers are read by net/http, which also frames their bodies, except for
// those that cannot be misunderstood (plainHead).
package upstream
