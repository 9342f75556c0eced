// Package edge owns the one address that users have: it forwards each request
// to the load balancer of a healthy region, goes to the next region when one does
// not answer, and lets people move traffic away from a region. It refuses to
// know what the regions serve.
package edge
