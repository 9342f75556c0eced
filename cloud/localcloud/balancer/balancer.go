package balancer

import (
	"context"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"showrunner/cloud/localcloud/internal/caller"
	"showrunner/cloud/localcloud/proxy"
	"showrunner/cloud/localcloud/proxy/upstream"
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
	// VersionHeader says whether requests may choose a version.
	VersionHeader bool `json:"versionHeader,omitempty"`
	// Shared says that the targets are another cluster's, which limits them.
	Shared bool    `json:"shared,omitempty"`
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
	// OnEject is told when an instance that refuses or breaks off is taken out of the choice.
	OnEject func(instanceID, reason string)
	Log     *slog.Logger
	// Patience is how long a request waits for a target when its cluster has none, or
	// none with a place; default 5s.
	Patience time.Duration
	// Suspicion is how long a request that may be sent again waits for the answer
	// of a target that has been taken out of service meanwhile; default 1s.
	Suspicion time.Duration
	// EdgeKey is what our own edge sends with each request. What a request says of its
	// client is believed with it alone. Empty: it is never.
	EdgeKey string

	after func(time.Duration, func()) *time.Timer // tests decide when a ResponseTimeout is over
}

// Balancer spreads requests over the targets of clusters. Its methods may be
// used from any goroutine.
type Balancer struct {
	config Config
	server *proxy.Server
	budget budget
	faults atomic.Pointer[faultSet]
	// callers finds out who sends requests, where a fault asks.
	callers *caller.Finder

	mu       sync.RWMutex
	clusters map[string]*cluster
	rules    map[string]*Rules  // by host
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
	b := &Balancer{config: config, callers: caller.NewFinder(), clusters: map[string]*cluster{}, rules: map[string]*Rules{}, targets: map[string]*target{}, changed: make(chan struct{})}
	b.server = proxy.New(proxy.Config{Route: b.route, Trusts: b.trusts, Log: config.Log})
	return b
}

// trusts says whether a request came from our own edge.
func (b *Balancer) trusts(r *http.Request) bool {
	said := r.Header[upstream.EdgeKeyHeader]
	return b.config.EdgeKey != "" && len(said) == 1 && subtle.ConstantTimeCompare([]byte(said[0]), []byte(b.config.EdgeKey)) == 1
}

// Serve accepts connections until Shutdown. It returns nil after Shutdown. It
// may be called once.
func (b *Balancer) Serve(l net.Listener) error {
	ended := make(chan struct{})
	defer close(ended)
	go b.tend(ended)
	return b.server.Serve(l)
}

// tend closes connections to instances that are not used any more.
func (b *Balancer) tend(ended <-chan struct{}) {
	prune := time.NewTicker(upstream.IdleTimeout / 4)
	defer prune.Stop()
	for {
		select {
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
	err := b.server.Shutdown(ctx)
	for _, p := range b.pools() {
		p.Close()
	}
	return err
}

// route finds the cluster that a request is for.
func (b *Balancer) route(r *http.Request) (proxy.Service, http.Handler) {
	if service, handler, found := b.ruled(r); found {
		return service, handler
	}
	if c := b.resolve(hostName(r.Host)); c != nil {
		return c, nil
	}
	if b.config.Fallback != nil {
		return nil, b.config.Fallback
	}
	return nil, http.HandlerFunc(unknownHost)
}

// unknownHostHeader tells the edge that nothing is served at a host here.
const unknownHostHeader = "X-Showrunner-Unknown-Host"

func unknownHost(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set(unknownHostHeader, "1")
	http.Error(w, "no site or service here", http.StatusNotFound)
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

// notSentHeader tells the edge that nothing of a request has reached an instance.
const notSentHeader = "X-Showrunner-Not-Sent"

// notSent is the header of an answer to a request that has reached no instance.
func notSent() http.Header { return http.Header{"Retry-After": {"1"}, notSentHeader: {"1"}} }

// Failure implements proxy.Service.
func (c *cluster) Failure(r *http.Request, err error) proxy.Answer {
	a := c.failure(r, err)
	var u *unanswered
	if errors.As(err, &u) {
		if a.Header == nil {
			a.Header = http.Header{}
		}
		a.Header[upstream.SpentHeader] = []string{strconv.Itoa(u.spent)}
	}
	return a
}

func (c *cluster) failure(r *http.Request, err error) proxy.Answer {
	c.balancer.config.Log.Debug("not served", "host", r.Host, "error", err)
	switch {
	case errors.Is(err, errFull):
		return proxy.Answer{Status: http.StatusServiceUnavailable, Header: notSent(), Text: "Every instance has as many requests as it may have.\n"}
	case errors.Is(err, errNoAnswer):
		return proxy.Answer{Status: http.StatusGatewayTimeout, Text: "The instance that had this request did not answer in time.\n"}
	case errors.Is(err, errNoTarget):
		return proxy.Answer{Status: http.StatusServiceUnavailable, Header: notSent(), Text: "No instance serves this now.\n"}
	case upstream.Exhausted(err):
		return proxy.Answer{Status: http.StatusServiceUnavailable, Header: notSent(), Text: "This region has too many connections at the moment.\n"}
	}
	return proxy.Answer{Status: http.StatusBadGateway, Text: "The instance that had this request broke off.\n"}
}
