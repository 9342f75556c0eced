// Package rpc owns what a reverse proxy has to know of gRPC: how a call is told
// from other requests, and where its status must stand.
package rpc

import (
	"net/http"
	"strings"
)

// Is says whether a request is a gRPC call, which is HTTP/2 all the way.
func Is(r *http.Request) bool {
	return r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// status is what ends a call, by the protocol's description ("Trailers").
var status = []string{"Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin"}

// StatusLast makes trailers of the status of an answer that is nothing but that
// ("Trailers-Only"): the end of its header is the end of the answer there, and
// would not be any more after a proxy.
func StatusLast(res *http.Response) {
	if len(res.Trailer) > 0 || res.Header["Grpc-Status"] == nil {
		return
	}
	res.Trailer = http.Header{}
	for _, name := range status {
		if values := res.Header[name]; values != nil {
			res.Trailer[name] = values
			delete(res.Header, name)
		}
	}
}
