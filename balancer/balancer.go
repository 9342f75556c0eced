package balancer

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"
)

// Cluster is everything the balancer needs to know of one host name.
type Cluster struct {
	Name   string  `json:"name"`
	Sticky bool    `json:"sticky,omitempty"`
	Groups []Group `json:"groups"`
}

// Group is one server group of a cluster. Weights are relative to the other
// groups; 0 takes no traffic unless a request names the version.
type Group struct {
	Name    string   `json:"name"`
	Version string   `json:"version,omitempty"`
	Weight  float64  `json:"weight"`
	Targets []Target `json:"targets"`
}

// Target is one address that answers for its group.
type Target struct {
	ID       string `json:"id"`
	Address  string `json:"address"`            // host:port
	Draining bool   `json:"draining,omitempty"` // no new requests; what waits for its answer too long goes elsewhere
}

// Config is what a Balancer needs from outside. The zero value works.
type Config struct {
	// Resolve maps a host's first label that names no cluster to the cluster that
	// serves it, "" when there is none. It is called for each such request.
	Resolve func(name string) string
	// Fallback answers hosts that are no cluster. Without one they get 404 with
	// X-Showrunner-Unknown-Host.
	Fallback http.Handler
	// OnEject is told when passive health takes an instance out of the choice.
	OnEject func(instanceID, reason string)
	Log     *slog.Logger
	// Patience is how long a request waits for a target when its cluster has none; default 5s.
	Patience time.Duration
	// Suspicion is how long a request that may be sent again waits for the answer
	// of a target that has been taken out of service meanwhile; default 1s.
	Suspicion time.Duration
}

// Balancer spreads requests over the targets of clusters. Its methods may be
// used from any goroutine.
type Balancer struct {
	config Config
	server *http.Server
	proxy  *httputil.ReverseProxy
	base   *http.Transport
	budget budget

	mu       sync.RWMutex
	clusters map[string]*cluster
	targets  map[string]*target // by instance, those still in flight included
	changed  chan struct{}      // closed and replaced with every change
}

// New makes a balancer that serves nothing yet.
func New(config Config) *Balancer {
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Patience <= 0 {
		config.Patience = 5 * time.Second
	}
	if config.Suspicion <= 0 {
		config.Suspicion = time.Second
	}
	quiet := slog.NewLogLogger(config.Log.Handler(), slog.LevelDebug)
	dialer := &net.Dialer{Timeout: time.Second, KeepAlive: 15 * time.Second}
	b := &Balancer{config: config, clusters: map[string]*cluster{}, targets: map[string]*target{}, changed: make(chan struct{}),
		base: &http.Transport{DialContext: dialer.DialContext, MaxIdleConns: 8192, MaxIdleConnsPerHost: 512, IdleConnTimeout: 60 * time.Second,
			DisableCompression: true, ExpectContinueTimeout: time.Second, MaxResponseHeaderBytes: 256 << 10, WriteBufferSize: 16 << 10, ReadBufferSize: 16 << 10}}
	b.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", r.In.Host, r.In.Host
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"] // what the edge said
			r.SetXForwarded()
			if host := r.In.Header.Get("X-Forwarded-Host"); host != "" {
				r.Out.Header.Set("X-Forwarded-Host", host)
			}
		},
		Transport:      roundTripper{b},
		FlushInterval:  -1,
		ModifyResponse: stick,
		ErrorHandler:   b.failed,
		ErrorLog:       quiet,
		BufferPool:     &buffers{},
	}
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: quiet, Protocols: new(http.Protocols)}
	b.server.Protocols.SetHTTP1(true)
	b.server.Protocols.SetUnencryptedHTTP2(true)
	return b
}

// buffers are the pieces in which answers are copied.
type buffers struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

// Serve accepts connections until Shutdown. It returns nil after Shutdown.
func (b *Balancer) Serve(l net.Listener) error {
	if err := b.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown stops accepting, lets requests in flight end, and closes what is left when ctx ends.
func (b *Balancer) Shutdown(ctx context.Context) error {
	err := b.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, b.server.Close())
	}
	b.base.CloseIdleConnections()
	return err
}

// clusterKey carries the cluster of a request to where its target is chosen.
type clusterKey struct{}

// ServeHTTP implements http.Handler.
func (b *Balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/_showrunner/healthz" {
		w.WriteHeader(http.StatusOK)
		return
	}
	name := b.resolve(hostName(r.Host))
	if name == "" {
		if b.config.Fallback != nil {
			b.config.Fallback.ServeHTTP(w, r)
			return
		}
		w.Header().Set("X-Showrunner-Unknown-Host", "1")
		http.Error(w, "no site or service here", http.StatusNotFound)
		return
	}
	b.budget.request(time.Now())
	ctx := context.WithValue(r.Context(), clusterKey{}, name)
	if b.sticky(name) {
		ctx = context.WithValue(ctx, stickyKey{}, true)
	}
	b.proxy.ServeHTTP(w, r.WithContext(ctx))
}

// hostName is the first part of "name.localhost:port".
func hostName(host string) string {
	host, _, _ = strings.Cut(host, ":")
	return strings.TrimSuffix(strings.ToLower(strings.TrimSuffix(host, ".")), ".localhost")
}

// resolve finds the cluster that a name means, "" when there is none.
func (b *Balancer) resolve(name string) string {
	if b.known(name) {
		return name
	}
	if b.config.Resolve == nil {
		return ""
	}
	if name = b.config.Resolve(name); name != "" && b.known(name) {
		return name
	}
	return ""
}

func (b *Balancer) known(name string) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.clusters[name] != nil
}

func (b *Balancer) sticky(name string) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	c := b.clusters[name]
	return c != nil && c.config.Sticky
}

// failed answers a request that no target could.
func (b *Balancer) failed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the client has gone
	}
	b.config.Log.Debug("not served", "host", r.Host, "error", err)
	if errors.Is(err, errNoTarget) {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "No instance serves this now.", http.StatusServiceUnavailable)
		return
	}
	http.Error(w, "The instance that had this request broke off.", http.StatusBadGateway)
}
