// Package balancer is a region's layer-7 load balancer: it owns the choice of
// an instance for a request, carrying the request there and the answer back,
// and knowing how each instance behaves while doing so. It refuses to start,
// stop or probe instances (the fleet's work) and to choose a region (the
// edge's, which is built on this core).
package balancer
