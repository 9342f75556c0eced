// Package balancer is a region's layer-7 load balancer: it owns the choice of
// an instance for a request, carrying the request there and the answer back,
// and knowing how each instance behaves while doing so. It refuses to start,
// stop or probe instances (the fleet's work) and to choose a region (the
// edge's, which is built on this core).
//
// Three ways lead through it. Plain requests are served in lanes (lane_linux.go),
// many clients on one goroutine; what is more than that, and everything where
// there are no lanes, on a goroutine for each client (front.go); what only
// net/http should read (bodies, HTTP/2) or carry (upgrades, gRPC) by its server
// (forward.go, tunnel.go). A client goes from the first to the last of them, and
// never back. The choice of an instance, retries and counts are the same for all
// (table.go, transport.go, counts.go).
package balancer
