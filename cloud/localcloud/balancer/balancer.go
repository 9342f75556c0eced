package balancer

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"showrunner/cloud/localcloud/balancer/upstream"
	"showrunner/cloud/localcloud/internal/halfclose"
)

// Cluster is everything the balancer needs to know of one host name.
type Cluster struct {
	Name   string `json:"name"`
	Sticky bool   `json:"sticky,omitempty"`
	// MaxInFlight bounds the requests in flight at one target; what comes beyond
	// waits for a place. 0: no limit.
	MaxInFlight int `json:"maxInFlight,omitempty"`
	// ResponseTimeout is how long an answer may take to begin, from when the request
	// has been sent. Upgrades and gRPC are not subject to it. 0: no limit.
	ResponseTimeout time.Duration `json:"responseTimeout,omitempty"`
	// HedgingDelay is when a request without a body that may be repeated is sent to a
	// second target as well. 0: never.
	HedgingDelay time.Duration `json:"hedgingDelay,omitempty"`
	Groups       []Group       `json:"groups"`
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
	// OnEject is told when an instance that refuses or breaks off is taken out of the choice.
	OnEject func(instanceID, reason string)
	Log     *slog.Logger
	// Patience is how long a request waits for a target when its cluster has none, or
	// none with a place; default 5s.
	Patience time.Duration
	// Suspicion is how long a request that may be sent again waits for the answer
	// of a target that has been taken out of service meanwhile; default 1s.
	Suspicion time.Duration
	// Lanes is how many threads serve plain requests, many clients each; default
	// GOMAXPROCS. They do not give their processors away while a system call is made
	// that does not wait, so GOMAXPROCS should be greater by as many.
	Lanes int

	after func(time.Duration, func()) *time.Timer // tests decide when a ResponseTimeout is over
}

// Balancer spreads requests over the targets of clusters. Its methods may be
// used from any goroutine.
type Balancer struct {
	config  Config
	server  *http.Server
	front   *front
	tunnels *tunnels
	budget  budget

	mu       sync.RWMutex
	listener net.Listener
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
	if config.Lanes <= 0 {
		config.Lanes = runtime.GOMAXPROCS(0)
	}
	quiet := slog.NewLogLogger(config.Log.Handler(), slog.LevelDebug)
	b := &Balancer{config: config, clusters: map[string]*cluster{}, targets: map[string]*target{}, changed: make(chan struct{})}
	b.tunnels = newTunnels(b, quiet)
	b.front = newFront(b)
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: headTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: 64 << 10, ErrorLog: quiet, Protocols: new(http.Protocols)}
	b.server.Protocols.SetHTTP1(true)
	b.server.Protocols.SetUnencryptedHTTP2(true)
	return b
}

// Serve accepts connections until Shutdown. It returns nil after Shutdown. It
// may be called once.
func (b *Balancer) Serve(l net.Listener) error {
	b.mu.Lock()
	b.listener = l
	b.mu.Unlock()
	defer l.Close()
	if b.front.closing.Load() {
		return nil
	}
	ended := make(chan struct{})
	defer close(ended)
	go b.tend(ended)
	go b.server.Serve(b.front.rest) // until Shutdown
	if err := b.front.accept(l); !b.front.closing.Load() {
		return err
	}
	return nil
}

// tend looks after connections of both sides.
func (b *Balancer) tend(ended <-chan struct{}) {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	prune := time.NewTicker(upstream.IdleTimeout / 4)
	defer prune.Stop()
	for {
		select {
		case now := <-sweep.C:
			b.front.sweep(now)
		case now := <-prune.C:
			for _, p := range b.pools() {
				p.Prune(now)
			}
		case <-ended:
			return
		}
	}
}

func (b *Balancer) pools() []*upstream.Pool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var list []*upstream.Pool
	for _, t := range b.targets {
		list = append(list, t.pool)
	}
	return list
}

// Shutdown stops accepting, lets requests in flight end, and closes what is left when ctx ends.
func (b *Balancer) Shutdown(ctx context.Context) error {
	b.mu.RLock()
	l := b.listener
	b.mu.RUnlock()
	b.front.close()
	if l != nil {
		l.Close()
	}
	err := errors.Join(b.front.shutdown(ctx), b.server.Shutdown(ctx))
	if err != nil {
		err = errors.Join(err, b.server.Close())
	}
	for _, p := range b.pools() {
		p.Close()
	}
	b.tunnels.close()
	return err
}

// ServeHTTP implements http.Handler.
func (b *Balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/_showrunner/healthz" {
		w.WriteHeader(http.StatusOK)
		return
	}
	if r.Method == http.MethodConnect { // a tunnel to anywhere is not what a load balancer is for
		http.Error(w, "CONNECT is not for this server.", http.StatusMethodNotAllowed)
		return
	}
	c := b.resolve(hostName(r.Host))
	if c == nil {
		if b.config.Fallback != nil {
			b.config.Fallback.ServeHTTP(w, r)
			return
		}
		w.Header().Set("X-Showrunner-Unknown-Host", "1")
		http.Error(w, "no site or service here", http.StatusNotFound)
		return
	}
	if r.ProtoMajor == 1 {
		out := &halfclose.Writer{ResponseWriter: w}
		outliving, end := out.Outlive(r)
		defer end()
		w, r = out, outliving
	}
	b.budget.request(time.Now())
	if tunnel(r) {
		b.tunnels.serve(w, r, c)
		return
	}
	b.forward(w, r, c)
}

// hostName is the first part of "name.localhost:port".
func hostName(host string) string {
	host, _, _ = strings.Cut(host, ":")
	return strings.TrimSuffix(strings.ToLower(strings.TrimSuffix(host, ".")), ".localhost")
}

// resolve finds the cluster that a name means, nil when there is none.
func (b *Balancer) resolve(name string) *cluster {
	c := b.cluster(name)
	if c != nil || b.config.Resolve == nil {
		return c
	}
	if name = b.config.Resolve(name); name == "" {
		return nil
	}
	return b.cluster(name)
}

func (b *Balancer) cluster(name string) *cluster {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.clusters[name]
}

// failed answers a request that no target could.
func (b *Balancer) failed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the client has gone; should it still read, this is no answer
	}
	if r.ProtoMajor == 1 && r.Body != http.NoBody {
		w.Header().Set("Connection", "close") // the rest of the body must not be taken for the next request
	}
	status, header, text := b.failure(r, err)
	for name, values := range header {
		w.Header()[name] = values
	}
	http.Error(w, text, status)
}

// notSentHeader tells the edge that nothing of a request has reached an instance.
const notSentHeader = "X-Showrunner-Not-Sent"

// failure is what a client is told of an error.
func (b *Balancer) failure(r *http.Request, err error) (status int, header http.Header, text string) {
	b.config.Log.Debug("not served", "host", r.Host, "error", err)
	var broken *upstream.Error
	switch {
	case errors.As(err, &broken) && broken.Client:
		return http.StatusBadRequest, nil, "The request cannot be passed on."
	case errors.Is(err, errFull):
		return http.StatusServiceUnavailable, http.Header{"Retry-After": {"1"}, notSentHeader: {"1"}}, "Every instance has as many requests as it may have."
	case errors.Is(err, errNoAnswer):
		return http.StatusGatewayTimeout, nil, "The instance that had this request did not answer in time."
	case errors.Is(err, errNoTarget):
		return http.StatusServiceUnavailable, http.Header{"Retry-After": {"1"}, notSentHeader: {"1"}}, "No instance serves this now."
	}
	return http.StatusBadGateway, nil, "The instance that had this request broke off."
}
