package proxy

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"showrunner/cloud/localcloud/proxy/upstream"
)

// Service sends requests to the servers that answer them.
type Service interface {
	// Carry returns a call's answer, whose body must be closed.
	Carry(c *Call) (*http.Response, error)
	// Failure is what the client is told of an error that Carry returned, when the
	// client is not to blame.
	Failure(r *http.Request, err error) Answer
}

// Gatherer is a Service with few places: a request takes one once its body has come,
// or much of it, so that a client that does not send its body waits without a place.
type Gatherer interface {
	Service
	Gathers() bool
}

// Config is what a Server needs. Route is needed, everything else may be left out.
type Config struct {
	// Route finds the service that a request is for; it may look at the host and the
	// header. Without one the request is answered by a handler of this process.
	Route func(r *http.Request) (Service, http.Handler)
	// Trusts says whether a request came from our own edge. nil: none did.
	Trusts func(r *http.Request) bool
	Log    *slog.Logger
	// MaxClients bounds the connections of clients. Default: what the process may open,
	// with room for as many connections to servers and for everything else.
	MaxClients int
}

// Server serves clients.
type Server struct {
	config  Config
	http2   *http.Server
	given   *http2Listener
	streams *http.Transport // HTTP/2 to servers, without TLS
	starved func()          // makes room for a connection to a server; made once

	closing atomic.Bool // it takes no new connections
	ending  atomic.Bool // nor do requests go on

	mu       sync.Mutex
	listener net.Listener
	clients  map[*client]struct{}
	tunnels  map[*client]struct{} // those that speak another protocol
	empty    chan struct{}        // closed when the last client of a closing server ends
	room     chan struct{}        // gets a value when a client ends
}

// New makes a server; Serve has it serve clients.
func New(config Config) *Server {
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.MaxClients <= 0 {
		config.MaxClients = clientsForDescriptors()
	}
	s := &Server{config: config, given: newHTTP2Listener(), clients: map[*client]struct{}{}, tunnels: map[*client]struct{}{},
		empty: make(chan struct{}), room: make(chan struct{}, 1)}
	s.starved = func() { s.makeRoom(time.Now()) }
	s.http2 = &http.Server{Handler: http.HandlerFunc(s.serveHTTP2), ReadHeaderTimeout: headLimit, IdleTimeout: idleLimit, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(config.Log.Handler(), slog.LevelDebug), Protocols: new(http.Protocols),
		HTTP2: &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingAfter, WriteByteTimeout: writeLimit}}
	s.http2.Protocols.SetUnencryptedHTTP2(true)
	s.http2.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }
	s.streams = &http.Transport{DialContext: upstream.Dialer.DialContext, MaxIdleConns: 1024, IdleConnTimeout: upstream.IdleTimeout, DisableCompression: true,
		MaxResponseHeaderBytes: upstream.MaxHeader, Protocols: new(http.Protocols)}
	s.streams.Protocols.SetUnencryptedHTTP2(true)
	return s
}

// pingAfter is how long a client of HTTP/2 may send nothing until it is asked
// whether it is there, and then to answer. One that stops within a head cannot.
const pingAfter = 15 * time.Second

// Serve accepts connections until Shutdown. It returns nil after Shutdown. It may
// be called once.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	s.listener = l
	s.mu.Unlock()
	defer l.Close()
	if s.closing.Load() {
		return nil
	}
	go s.tend()
	go s.http2.Serve(s.given) // until Shutdown
	if err := s.accept(l); !s.closing.Load() {
		return err
	}
	return nil
}

// tend looks at the connections of clients until all have ended.
func (s *Server) tend() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			s.sweep(now)
		case <-s.empty:
			return
		}
	}
}

// Shutdown stops accepting, lets requests in flight end, and closes what is left
// when ctx ends, and whatever speaks another protocol.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	l := s.listener
	if !s.closing.Swap(true) && len(s.clients) == 0 {
		close(s.empty)
	}
	s.mu.Unlock()
	if l != nil {
		l.Close()
	}
	s.wake()
	err := errors.Join(s.end(ctx), s.http2.Shutdown(ctx))
	if err != nil {
		err = errors.Join(err, s.http2.Close())
	}
	s.streams.CloseIdleConnections()
	return err
}

// end waits for the clients of HTTP/1.
func (s *Server) end(ctx context.Context) (err error) {
	s.sweep(time.Now())
	select {
	case <-s.empty:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.ending.Store(true)
	for _, c := range s.all(s.clients) {
		c.leave()
		c.raw.Close()
	}
	<-s.empty
	for _, c := range s.all(s.tunnels) {
		c.leave()
		c.raw.Close()
	}
	return err
}

// http2Listener is the listener of net/http's server: what is given to it.
type http2Listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex
	held map[*prefixedConn]struct{} // that are open
}

// connKey finds the connection of a request of HTTP/2 in its context.
type connKey struct{}

func newHTTP2Listener() *http2Listener {
	return &http2Listener{conns: make(chan net.Conn), closed: make(chan struct{}), held: map[*prefixedConn]struct{}{}}
}

func (g *http2Listener) give(c *prefixedConn) bool {
	c.idleSince = time.Now()
	g.mu.Lock()
	g.held[c] = struct{}{}
	g.mu.Unlock()
	c.closed = func() {
		g.mu.Lock()
		delete(g.held, c)
		g.mu.Unlock()
	}
	select {
	case g.conns <- c:
		return true
	case <-g.closed:
		c.closed()
		return false
	}
}

func (g *http2Listener) open() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.held)
}

// all lists the open connections.
func (g *http2Listener) all() []*prefixedConn {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Keys(g.held))
}

// Accept implements net.Listener.
func (g *http2Listener) Accept() (net.Conn, error) {
	select {
	case c := <-g.conns:
		return c, nil
	case <-g.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (g *http2Listener) Close() error {
	g.once.Do(func() { close(g.closed) })
	return nil
}

// Addr implements net.Listener.
func (g *http2Listener) Addr() net.Addr { return &net.TCPAddr{} }
