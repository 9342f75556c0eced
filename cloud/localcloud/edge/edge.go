package edge

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"showrunner/cloud"
	"showrunner/cloud/localcloud/balancer/upstream"
	"showrunner/cloud/localcloud/internal/ahead"
	"showrunner/cloud/localcloud/internal/halfclose"
	"showrunner/internal/ready"
	"showrunner/internal/sockpath"
	"showrunner/problem"
)

// Regions is what the edge needs of a cloud; *localcloud.Client has it.
type Regions interface {
	// Regions lists the regions in the order of preference, with their front
	// doors; one that does not answer is not healthy.
	Regions(ctx context.Context) ([]cloud.Region, error)
	ListSites(ctx context.Context, region string) ([]cloud.Site, error)
	ServerGroups(ctx context.Context, region, cluster string) ([]cloud.ServerGroup, error)
}

// Config is what an edge runs with.
type Config struct {
	Listen string // host:port
	Data   string // the data folder: control socket and weights
	Cloud  Regions
	Log    *slog.Logger
	Now    func() time.Time
	Ready  func(ready.Message)
	// ProbeEvery is how often each region is asked how it is; default 250ms.
	ProbeEvery time.Duration
}

// shutdownTimeout is how long requests under way may take when the edge stops.
const shutdownTimeout = 10 * time.Second

// Edge is a running edge.
type Edge struct {
	config    Config
	table     *table
	transport *transport
	proxy     *httputil.ReverseProxy
}

// Run serves until ctx ends, and then lets the requests under way end.
func Run(ctx context.Context, c Config) error {
	const op = "edge"
	if c.ProbeEvery <= 0 {
		c.ProbeEvery = 250 * time.Millisecond
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return problem.Wrap(err, problem.Conflict, op, "listening on %s", c.Listen).WithHelp("choose another address with --edge (or --listen of showrunner edge)")
	}
	defer listener.Close()
	e, err := newEdge(c)
	if err != nil {
		return err
	}
	control, err := sockpath.Listen(c.Data, "edge")
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "the control socket")
	}
	controls := &http.Server{Handler: e.control(), ReadHeaderTimeout: 10 * time.Second}
	go controls.Serve(control) // it ends with Close
	defer controls.Close()

	probing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	e.table.probe(ctx, c.Cloud) // what is there now, before the first request
	go e.table.watch(probing, c.Cloud, c.ProbeEvery)
	go e.transport.tend(probing)

	server := &http.Server{Handler: e, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug), Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if c.Ready != nil {
		c.Ready(ready.Message{Process: "edge", Listens: map[string]string{"http": listener.Addr().String()}})
	}
	select {
	case err := <-served:
		return problem.Wrap(err, problem.Unavailable, op, "serving")
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(closing); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func newEdge(c Config) (*Edge, error) {
	t, err := newTable(filepath.Join(c.Data, "edge.json"), c.Now, c.Log)
	if err != nil {
		return nil, err
	}
	e := &Edge{config: c, table: t, transport: newTransport(t, c.Cloud)}
	e.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme = "http"
			r.Out.URL.Host = r.In.Host // the transport chooses the region
			r.Out.Host = r.In.Host
			asSent(r)
			r.SetXForwarded()
		},
		Transport:      e.transport,
		ModifyResponse: endConnection,
		FlushInterval:  -1,
		ErrorHandler:   e.failed,
		ErrorLog:       slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
	}
	return e, nil
}

// ServeHTTP implements http.Handler.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/_showrunner/healthz" {
		w.WriteHeader(http.StatusOK)
		return
	}
	if r.Method == http.MethodConnect { // a tunnel to anywhere is not what an edge is for
		if r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close") // what follows is not HTTP
		}
		http.Error(w, "CONNECT is not for this server.", http.StatusMethodNotAllowed)
		return
	}
	if hasBody(r) { // an upgrade has none: the request is answered as any other (RFC 9110, section 7.8)
		r.Header.Del("Upgrade")
	}
	out := &exact{halfclose.Writer{ResponseWriter: w}}
	if r.ProtoMajor == 1 {
		body := &clientBody{ReadCloser: r.Body}
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex() // the server's own writer has it
		outliving, end := out.Outlive(r)
		defer end()
		body.stop = func() { _ = control.SetReadDeadline(time.Unix(1, 0)) } // it fails on a connection that is closed: nothing reads
		r = outliving.WithContext(context.WithValue(outliving.Context(), clientBodyKey{}, body))
		if hasBody(r) {
			r.Body = body
		} else {
			body.ended.Store(true)
		}
	}
	e.proxy.ServeHTTP(ahead.Writer{ResponseWriter: out}, r)
}

func hasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

// clientBody is the body of an HTTP/1.1 request, and knows whether all of it was read.
type clientBody struct {
	io.ReadCloser
	ended atomic.Bool
	stop  func() // ends a reading that waits for the client, for good
}

// Read implements io.Reader.
func (b *clientBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.ended.Store(true)
	}
	return n, err
}

// clientBodyKey carries a request's clientBody, which HTTP/2 does not need.
type clientBodyKey struct{}

func clientBodyOf(r *http.Request) *clientBody {
	b, _ := r.Context().Value(clientBodyKey{}).(*clientBody)
	return b
}

// endConnection has the client's connection end with an answer that came before
// the request's body was read: the rest of the body must not be taken for the
// next request.
func endConnection(res *http.Response) error {
	if b := clientBodyOf(res.Request); b != nil && !b.ended.Load() {
		res.Header["Connection"] = []string{"close"}
	}
	return nil
}

// asSent keeps of a request what httputil would write in its own way or leave
// out: what a path and a query mean is for the application to say.
func asSent(r *httputil.ProxyRequest) {
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	path, _, _ := strings.Cut(r.In.RequestURI, "?")
	if strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") { // with two, Opaque would be a host
		r.Out.URL.Opaque = path
	}
	r.Out.Trailer = r.In.Trailer // filled in at the end of the body
}

// exact passes answers on without guessing what they contain, or leaving out what
// they say of it.
type exact struct{ halfclose.Writer }

// WriteHeader implements http.ResponseWriter.
func (e *exact) WriteHeader(status int) {
	if _, said := e.Header()["Content-Type"]; !said && status >= http.StatusOK {
		e.Header()["Content-Type"] = nil
	}
	upstream.KeepLength(e.Header(), status)
	e.ResponseWriter.WriteHeader(status)
}

// failed answers a request that no region could.
func (e *Edge) failed(w http.ResponseWriter, r *http.Request, err error) {
	var unknown *unknownHost
	switch {
	case errors.As(err, &unknown):
		e.directory(w, r)
	case errors.Is(err, context.Canceled):
		panic(http.ErrAbortHandler) // the client has gone; should it still read, this is no answer
	default:
		if b := clientBodyOf(r); b != nil && !b.ended.Load() {
			w.Header().Set("Connection", "close") // as in endConnection
			b.stop()
		}
		w.Header().Set("Retry-After", "1")
		http.Error(w, "No region can answer this request now.", http.StatusBadGateway)
	}
	e.config.Log.Debug("not served", "host", r.Host, "error", err)
}
