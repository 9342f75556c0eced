// Package balancer is a region's layer-7 load balancer: it owns the choice of an
// instance for a request, whether a request is sent again, and knowing how each
// instance behaves. It refuses to start, stop or probe instances (the fleet's
// work), to choose a region (the edge's) and to read from clients: package proxy
// does that for both.
//
// table.go chooses an instance, transport.go carries a request there and elsewhere,
// queue.go has requests wait for a place, hedge.go sends one twice, and counts.go
// counts.
package balancer
