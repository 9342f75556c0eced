// Package upstream carries HTTP/1.1 requests to one address: it owns the
// connections that are kept open there, what a request looks like on them, and
// the knowledge of how much of it was sent when something breaks. It refuses to
// choose the address or to send anything twice elsewhere (the balancer's), and
// carries no tunnels and no HTTP/2.
//
// One goroutine writes a request and reads its answer; only a body of unknown
// or large size is written by a second one, so that an answer that comes early
// is seen. Answers are read by net/http, which also frames their bodies. On Linux,
// Lines does the same for plain requests and answers on a loop's goroutine, and
// hands over whatever is more.
package upstream
