package balancer

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"time"

	"golang.org/x/net/http/httpguts"

	"showrunner/cloud/localcloud/balancer/upstream"
	"showrunner/cloud/localcloud/internal/ahead"
	"showrunner/cloud/localcloud/internal/replay"
	"showrunner/cloud/localcloud/internal/rpc"
)

// tunnels carries what is not one HTTP/1.1 request and its answer: upgrades
// such as WebSockets, and gRPC, which is spoken over HTTP/2 on both sides. It
// is net/http throughout.
type tunnels struct {
	b        *Balancer
	upgrades *http.Transport
	streams  *http.Transport // HTTP/2 without TLS
	proxy    *httputil.ReverseProxy
}

func newTunnels(b *Balancer, quiet *log.Logger) *tunnels {
	dialer := &net.Dialer{Timeout: time.Second, KeepAlive: 15 * time.Second}
	t := &tunnels{b: b}
	t.upgrades = &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: upstream.MaxHeader}
	t.streams = &http.Transport{DialContext: dialer.DialContext, MaxIdleConns: 1024, IdleConnTimeout: upstream.IdleTimeout, DisableCompression: true,
		MaxResponseHeaderBytes: upstream.MaxHeader, Protocols: new(http.Protocols)}
	t.streams.Protocols.SetUnencryptedHTTP2(true)
	t.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", r.In.Host, r.In.Host
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"] // what the edge said
			r.SetXForwarded()
			if host := r.In.Header.Get("X-Forwarded-Host"); host != "" {
				r.Out.Header.Set("X-Forwarded-Host", host)
			}
		},
		Transport:     t,
		FlushInterval: -1,
		ErrorHandler:  b.failed,
		ErrorLog:      quiet,
	}
	return t
}

// tunnel says whether a request is carried here. One with a body is no upgrade: it
// is answered as any other (RFC 9110, section 7.8), so that its body is read by one reader.
func tunnel(r *http.Request) bool {
	return r.Body == http.NoBody && len(r.Header["Upgrade"]) > 0 && httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") || rpc.Is(r)
}

// serve answers a request.
func (t *tunnels) serve(w http.ResponseWriter, r *http.Request, c *cluster) {
	t.proxy.ServeHTTP(ahead.Writer{ResponseWriter: w}, r.WithContext(context.WithValue(r.Context(), clusterKey{}, c)))
}

// clusterKey carries the cluster of a request to where its target is chosen.
type clusterKey struct{}

// RoundTrip implements http.RoundTripper. The proxy closes the request's body: the
// answer may begin long before its end.
func (t *tunnels) RoundTrip(r *http.Request) (*http.Response, error) {
	c, _ := r.Context().Value(clusterKey{}).(*cluster)
	base := t.upgrades
	if rpc.Is(r) {
		base = t.streams
	}
	res, err := t.b.carry(r, c.config.Name, timing{}, nil, new(flight), func(r *http.Request, f *flight, body *replay.Body) (*http.Response, bool, error) {
		out := r.Clone(r.Context())
		out.URL.Host = f.target.address
		out.Body = body.ReadCloser()
		if body == nil {
			out.Body = nil
		}
		res, err := base.RoundTrip(out)
		var op *net.OpError
		return res, !errors.As(err, &op) || op.Op != "dial", err
	})
	if err == nil && c.config.Sticky {
		stick(res)
	}
	if err == nil && rpc.Is(r) {
		rpc.StatusLast(res)
	}
	return res, err
}

func (t *tunnels) close() {
	t.upgrades.CloseIdleConnections()
	t.streams.CloseIdleConnections()
}
