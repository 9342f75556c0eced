// Package http1 reads requests of HTTP/1 from clients and writes the answers. It
// owns what a request is: a head or a body that two readers could understand
// differently is refused here, and nothing that net/http would read in another
// way is accepted (a fuzz test holds that). It refuses to know where requests go
// and how long anybody may take.
package http1
