package balancer

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"showrunner/cloud"
)

// Cluster is everything the balancer needs to know of one host name.
type Cluster struct {
	Name   string  `json:"name"`
	Sticky bool    `json:"sticky,omitempty"`
	Groups []Group `json:"groups"`
}

// Group is one server group of a cluster. Weights are relative to the other
// groups of the same priority; 0 takes no traffic unless a request names the version.
type Group struct {
	Name    string  `json:"name"`
	Version string  `json:"version,omitempty"`
	Weight  float64 `json:"weight"`
	// Priority orders groups: those with a higher number serve only while no
	// group with a lower one has a target that can.
	Priority int      `json:"priority,omitempty"`
	Targets  []Target `json:"targets"`
}

// Target is one address that answers for its group.
type Target struct {
	ID       string `json:"id"`
	Address  string `json:"address"` // host:port
	Draining bool   `json:"draining,omitempty"`
}

// Config is what a Balancer needs from outside. The zero value works.
type Config struct {
	// Resolve maps a host's first label that names no cluster to the cluster that
	// serves it, "" when there is none. It is called for each such request.
	Resolve func(name string) string
	// Fallback answers hosts that are no cluster. Without one they get 404.
	Fallback http.Handler
	// OnEject is told when passive health takes an instance out of the choice.
	OnEject func(instanceID, reason string)
	Log     *slog.Logger
}

// Balancer spreads requests over the targets of clusters.
type Balancer struct {
	config Config
	server *http.Server

	mu       sync.Mutex
	clusters map[string]Cluster
	counts   map[string]*inflight
	next     atomic.Uint64
}

type inflight struct {
	n       int
	idle    chan struct{}
	removed bool
}

// New makes a balancer that serves nothing yet.
func New(config Config) *Balancer {
	b := &Balancer{config: config, clusters: map[string]Cluster{}, counts: map[string]*inflight{}}
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: 10 * time.Second}
	return b
}

// SetCluster replaces a cluster's table atomically.
func (b *Balancer) SetCluster(c Cluster) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clusters[c.Name] = c
}

// RemoveCluster forgets a cluster; requests in flight end as they would have.
func (b *Balancer) RemoveCluster(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.clusters, name)
}

// Drain stops sending new requests to the instance and returns when nothing is
// in flight there, or with ctx's error when ctx ends first.
func (b *Balancer) Drain(ctx context.Context, instanceID string) error {
	b.mu.Lock()
	c := b.counts[instanceID]
	if c == nil {
		c = &inflight{idle: make(chan struct{})}
		b.counts[instanceID] = c
	}
	c.removed = true
	if c.n == 0 {
		b.mu.Unlock()
		return nil
	}
	idle := c.idle
	b.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Counts reads a cluster's raw counts, one entry per group and one per instance.
func (b *Balancer) Counts(cluster string) []cloud.Counts { return nil }

// Serve accepts connections until Shutdown. It returns nil after Shutdown.
func (b *Balancer) Serve(l net.Listener) error {
	if err := b.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown stops accepting, lets requests in flight end, and closes what is left when ctx ends.
func (b *Balancer) Shutdown(ctx context.Context) error { return b.server.Shutdown(ctx) }

// ServeHTTP implements http.Handler.
func (b *Balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, _, _ := strings.Cut(r.Host, ":")
	name := strings.TrimSuffix(host, ".localhost")
	t := b.acquire(name)
	if t == nil {
		if b.config.Fallback != nil {
			b.config.Fallback.ServeHTTP(w, r)
			return
		}
		w.Header().Set("X-Showrunner-Unknown-Host", "1")
		http.Error(w, "no site or service here", http.StatusNotFound)
		return
	}
	defer b.release(t.ID)
	httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: t.Address}).ServeHTTP(w, r)
}

func (b *Balancer) acquire(name string) *Target {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.clusters[name]
	if !ok && b.config.Resolve != nil {
		c = b.clusters[b.config.Resolve(name)]
	}
	var live []Target
	for _, g := range c.Groups {
		for _, t := range g.Targets {
			if n := b.counts[t.ID]; g.Weight > 0 && !t.Draining && (n == nil || !n.removed) {
				live = append(live, t)
			}
		}
	}
	if len(live) == 0 {
		return nil
	}
	t := live[b.next.Add(1)%uint64(len(live))]
	n := b.counts[t.ID]
	if n == nil {
		n = &inflight{idle: make(chan struct{})}
		b.counts[t.ID] = n
	}
	n.n++
	return &t
}

func (b *Balancer) release(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := b.counts[id]; n != nil {
		if n.n--; n.n == 0 && n.removed {
			close(n.idle)
		}
	}
}
