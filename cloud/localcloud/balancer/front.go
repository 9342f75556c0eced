package balancer

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"showrunner/cloud/localcloud/balancer/plain"
	"showrunner/cloud/localcloud/balancer/upstream"
	"showrunner/cloud/localcloud/internal/ahead"
	"showrunner/cloud/localcloud/internal/halfclose"
	"showrunner/cloud/localcloud/internal/replay"
)

// Limits of a client's connection.
const (
	headTimeout = 10 * time.Second
	idleTimeout = 2 * time.Minute
	// sweepEvery is how often connections are looked at: for those limits, and for
	// clients that have left while an instance still works for them.
	sweepEvery = 100 * time.Millisecond
)

// front accepts connections. It answers plain requests itself, and hands a
// connection over to net/http's server with the first request that is not.
type front struct {
	b    *Balancer
	rest *handover

	spares  spares
	closing atomic.Bool // it takes no new connections
	ending  atomic.Bool // nor do requests go on

	mu    sync.Mutex
	conns map[*client]struct{}
	lanes []*lane
	empty chan struct{} // closed when the last connection of a closing front ends
}

func newFront(b *Balancer) *front {
	return &front{b: b, rest: newHandover(), conns: map[*client]struct{}{}, empty: make(chan struct{})}
}

// accept serves a listener until it is closed.
func (f *front) accept(l net.Listener) error {
	if done, err := f.acceptForLanes(l); done {
		return err
	}
	for {
		raw, err := l.Accept()
		if err != nil {
			var temporary interface{ Temporary() bool }
			if errors.As(err, &temporary) && temporary.Temporary() { // out of descriptors, as net/http does
				time.Sleep(5 * time.Millisecond)
				continue
			}
			return err
		}
		c := newClient(f, raw.RemoteAddr().String())
		c.raw, c.flow.raw = raw, raw
		if !f.add(c) {
			raw.Close()
			continue
		}
		go c.serve()
	}
}

func (f *front) add(c *client) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing.Load() {
		return false
	}
	f.conns[c] = struct{}{}
	return true
}

func (f *front) remove(c *client) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, there := f.conns[c]; !there {
		return
	}
	delete(f.conns, c)
	if f.closing.Load() && len(f.conns) == 0 {
		close(f.empty)
	}
}

// all lists the connections that are in no lane, so that none is looked at under the lock.
func (f *front) all() []*client {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []*client
	for c := range f.conns {
		if !c.inLane.Load() {
			list = append(list, c)
		}
	}
	return list
}

// sweep looks at every connection; those in lanes are looked at there.
func (f *front) sweep(now time.Time) {
	for _, c := range f.all() {
		p := phase(c.phase.Load()) // before its time, which is set first
		took := now.Sub(time.Unix(0, c.since.Load()))
		switch p {
		case idle:
			if took > idleTimeout || f.closing.Load() || c.hasEnded(took) {
				c.raw.Close()
			}
		case reading:
			if took > headTimeout || c.hasEnded(took) {
				c.raw.Close()
			}
		case serving:
			if took > sweepEvery && c.givenUp(now, c.hasLeft()) {
				c.leave()
			}
		}
	}
}

// close takes no new connections, and says so with the next answer on each.
func (f *front) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closing.Swap(true) && len(f.conns) == 0 {
		close(f.empty)
	}
}

// shutdown lets requests in flight end until ctx does, and closes what is left.
// It comes after close.
func (f *front) shutdown(ctx context.Context) error {
	defer f.endLanes()
	f.sweep(time.Now())
	f.sweepLanes(time.Now())
	select {
	case <-f.empty:
		return nil
	case <-ctx.Done():
	}
	f.ending.Store(true)
	f.sweepLanes(time.Now())
	for _, c := range f.all() {
		c.leave()
		c.raw.Close()
	}
	<-f.empty
	return ctx.Err()
}

type phase int32

const (
	idle    phase = iota // between requests
	reading              // some of a request has come
	serving
)

// client is one connection from outside. A lane serves it, or a goroutine of its own.
type client struct {
	front  *front
	inLane atomic.Bool
	lane   laned
	raw    net.Conn // nil in a lane
	flow   inflow
	in     *plain.Reader
	out    *plain.Writer
	ctx    context.Context // ends when the client has left
	stop   context.CancelFunc

	phase   atomic.Int32
	since   atomic.Int64 // of the phase, in nanoseconds of Unix time
	looked  int64        // the since of the wait that sweep has looked at; sweep's alone, as what follows
	ended   time.Time    // since when the client's side has ended and nothing was written; zero: it has not
	current atomic.Pointer[flight]

	request http.Request
	send    sender
	flight  flight         // of the request, one attempt after the other
	spare   upstream.Spare // of the same
	up      upstream.Request
	failure error // of writing an answer of the kind 1xx
	last    bool  // of the answers: the connection ends with what a lane had no room for
	// What a lane began of the request, and for which cluster; nil: nothing.
	begun  func() *attempt
	toward *cluster
}

func newClient(f *front, address string) *client {
	c := &client{front: f}
	c.out = plain.NewWriter(&c.flow)
	c.in = plain.NewReader(bufio.NewReaderSize(&c.flow, plain.MostHead))
	c.request = http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: http.NoBody, URL: &url.URL{}}
	c.up = upstream.Request{Trusted: true, Brief: true, Inform: func(status int, header http.Header) { c.failure = errors.Join(c.failure, c.out.Inform(status, header)) }}
	c.send = c.carry
	c.meet(address)
	return c
}

// meet begins with a connection from an address.
func (c *client) meet(address string) {
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.request = *c.request.WithContext(c.ctx)
	c.request.RemoteAddr = address
	c.up.Request = &c.request
	c.enter(idle)
}

func (c *client) enter(p phase) { c.enterAt(p, time.Now()) }

func (c *client) enterAt(p phase, now time.Time) {
	c.since.Store(now.UnixNano())
	c.phase.Store(int32(p))
}

// leave ends what is done for a client that has gone.
func (c *client) leave() {
	c.stop()
	if f := c.current.Load(); f != nil {
		f.cancel.Abort(context.Canceled)
	}
}

// serve answers requests until the connection ends or is handed over.
func (c *client) serve() {
	defer c.stop()
	defer c.front.remove(c)
	handed := false
	defer func() {
		if !handed {
			c.raw.Close()
		}
		if p := recover(); p != nil {
			c.front.b.config.Log.Error("serving a request", "panic", p) // one request must not end all the others
		}
	}()
	if !c.flow.settle() || c.last {
		return
	}
	if c.eachTurn() == others {
		handed = c.front.rest.give(ahead.NewConn(c.raw, c.in.Rest()))
	}
}

// turn is how it goes on with a connection when all that has come was looked at.
type turn int

const (
	waits  turn = iota // for more bytes
	over               // it is closed
	others             // it is net/http's from here on
)

// errNotYet is that nothing more has come of a connection.
var errNotYet = errors.New("nothing has come")

// turn serves the requests that have come.
func (c *client) turn() turn {
	for {
		switch err := c.in.Read(&c.request); {
		case errors.Is(err, errNotYet):
			if p := phase(c.phase.Load()); c.in.Buffered() == 0 && p != idle {
				c.enter(idle)
			} else if c.in.Buffered() > 0 && p != reading {
				c.enter(reading)
			}
			return waits
		case errors.Is(err, plain.ErrOther):
			return others
		case err != nil:
			return over
		}
		to := c.toward // of what a lane began
		if c.toward = nil; to == nil {
			to = c.front.b.plainCluster(&c.request)
		}
		if to == nil {
			return others
		}
		c.in.Done()
		c.enter(serving)
		if !c.answer(to) {
			return over
		}
	}
}

// plainCluster is the cluster that a request is for; nil leaves it to net/http.
func (b *Balancer) plainCluster(r *http.Request) *cluster {
	if strings.HasPrefix(r.RequestURI, "/_showrunner/") {
		return nil
	}
	return b.resolve(hostName(r.Host))
}

// answer answers one request and says whether the connection goes on.
func (c *client) answer(to *cluster) bool {
	b := c.front.b
	c.failure = nil
	var first *attempt
	if begun := c.begun; begun != nil {
		c.begun, first = nil, begun()
	} else {
		b.budget.request(time.Now())
	}
	res, err := b.carry(&c.request, to.config.Name, to.timing(), first, &c.flight, c.send)
	last := c.front.closing.Load() || c.request.Close
	if err != nil {
		if c.ctx.Err() != nil || c.failure != nil {
			return false
		}
		status, header, text := b.failure(&c.request, err)
		return c.out.Text(c.request.Method, status, header, text) == nil && !last
	}
	defer res.Body.Close()
	if to.config.Sticky {
		stick(res)
	}
	if c.failure != nil {
		return false
	}
	return c.out.Answer(c.request.Method, res, last) == nil && !last
}

// carry is the sender of plain requests.
func (c *client) carry(r *http.Request, f *flight, _ *replay.Body) (*http.Response, bool, error) {
	up := c.up
	up.Request, up.Cancel, up.Written = r, &f.cancel, f.written
	if f.done != nil { // hedged: it is called off by its context
		up.Inform = nil
	} else {
		up.Spare = &c.spare
		c.current.Store(f)
	}
	if err := r.Context().Err(); err != nil {
		f.cancel.Abort(err)
	}
	res, err := f.target.pool.Send(up)
	return res, wasSent(err), err
}

// wasSent says whether anything of a request may have arrived that ended so.
func wasSent(err error) bool {
	var broken *upstream.Error
	return !errors.As(err, &broken) || broken.Sent
}

// hasEnded says whether a client has closed its side that is waited for. It looks
// once: an end that came together with a request wakes nobody, every other does.
func (c *client) hasEnded(took time.Duration) bool {
	since := c.since.Load()
	if took <= sweepEvery || c.looked == since {
		return false
	}
	c.looked = since
	return c.hasLeft()
}

// givenUp says whether a client whose side has ended is worked for no more: it
// may still wait for its answer, as long as that comes.
func (c *client) givenUp(now time.Time, ended bool) bool {
	switch {
	case !ended:
		c.ended = time.Time{}
	case c.ended.IsZero() || c.flow.moved.Swap(false):
		c.ended = now
	default:
		return now.Sub(c.ended) > halfclose.Grace
	}
	return false
}

// hasLeft says whether the client has closed its side, without taking anything
// of what it may have sent.
func (c *client) hasLeft() bool {
	s, ok := c.raw.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return true
	}
	left := false
	// Control, not Read: whoever reads meanwhile is not waited for.
	return raw.Control(func(fd uintptr) { left = ended(fd) }) != nil || left
}
