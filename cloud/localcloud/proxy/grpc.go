package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"showrunner/cloud/localcloud/internal/replay"
	"showrunner/cloud/localcloud/proxy/upstream"
)

// isGRPC says whether a request is a gRPC call, which is HTTP/2 all the way.
func isGRPC(r *http.Request) bool {
	return r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// sendGRPC is Send for a gRPC call. The answer may begin long before the end of
// the request's body.
func (c *Call) sendGRPC(r *http.Request, address string, a Attempt) (res *http.Response, sent bool, err error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	if err := a.Cancel.Ends(func() { cancel(context.Canceled) }); err != nil {
		cancel(err)
		return nil, false, err
	}
	res, err = c.server.streams.RoundTrip(c.outgoing(ctx, r, address, a))
	if why := a.Cancel.Err(); why != nil && err != nil {
		err = why
	}
	if err != nil {
		cancel(err)
		_ = a.Cancel.Ends(nil) // it says the same
		var op *net.OpError
		return nil, !errors.As(err, &op) || op.Op != "dial", err
	}
	if c.reader != nil {
		c.reader.answered()
	}
	statusLast(res)
	res.Body = replay.OnClose(res.Body, func() {
		_ = a.Cancel.Ends(nil) // as above
		cancel(nil)
	})
	return res, true, nil
}

// outgoing is a call as a server is sent it.
func (c *Call) outgoing(ctx context.Context, r *http.Request, address string, a Attempt) *http.Request {
	out := r.Clone(ctx)
	u := *r.URL
	u.Scheme, u.Host = "http", address
	// A call has no trailers of the client's. They could come after the server has
	// answered and closed the call, and would end the connection that others share.
	out.URL, out.RequestURI, out.Body, out.Trailer = &u, "", nil, nil
	if c.Body != nil {
		out.Body = c.Body.ReadCloser()
	}
	for name := range out.Header {
		if upstream.HopByHop(name) || upstream.Mistaken(name) || httpguts.HeaderValuesContainsToken(r.Header["Connection"], name) {
			delete(out.Header, name)
		}
	}
	delete(out.Header, "Forwarded")
	if httpguts.HeaderValuesContainsToken(r.Header["Te"], "trailers") {
		out.Header["Te"] = []string{"trailers"}
	}
	if out.Header["User-Agent"] == nil {
		out.Header["User-Agent"] = []string{""} // none, instead of Go's
	}
	upstream.SetForwarded(out.Header, r, c.Trusted)
	if a.EdgeKey != "" {
		out.Header[upstream.EdgeKeyHeader] = []string{a.EdgeKey}
		if a.Sends > 0 {
			out.Header[upstream.SendsHeader] = []string{strconv.Itoa(a.Sends)}
		}
		if a.Source {
			out.Header[upstream.SourceHeader] = []string{r.RemoteAddr}
		}
	}
	return out
}

// statusFields end a call, by the protocol's description ("Trailers").
var statusFields = []string{"Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin"}

// statusLast makes trailers of the status of an answer that is nothing but that
// ("Trailers-Only"): the end of its header is the end of the answer there, and
// would not be any more after a proxy.
func statusLast(res *http.Response) {
	if len(res.Trailer) > 0 || res.Header["Grpc-Status"] == nil {
		return
	}
	res.Trailer = http.Header{}
	for _, name := range statusFields {
		if values := res.Header[name]; values != nil {
			res.Trailer[name] = values
			delete(res.Header, name)
		}
	}
}
