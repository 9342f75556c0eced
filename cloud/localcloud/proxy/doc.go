// Package proxy is the front of the region's load balancer and of the edge: it
// owns the connections of clients. It accepts them, reads requests of HTTP/1
// (http1) and of HTTP/2 (net/http), limits what clients may take, has a Service
// send each request on, and writes the answer. It refuses to know where requests
// go, whether they are sent again, and what is counted (the Service's).
//
// A request without a body is served while the client's descriptor is held for
// reading (serveHeld); everything else waits where it reads (serveRequest). An answer that
// begins before the request's body was read whole ends the client's connection,
// so that no part of a body is ever taken for a request. Upgrades are carried as
// they are once the server has switched (upgrade); gRPC is HTTP/2 on both sides.
package proxy
