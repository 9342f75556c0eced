package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"showrunner/cloud/localcloud/proxy/http1"
	"showrunner/cloud/localcloud/proxy/upstream"
)

type phase int32

const (
	idlePhase    phase = iota // between requests
	headPhase                 // some of a head has come
	servingPhase              // somebody works for it
	closingPhase              // its last answer was written
)

// client is a connection from outside that speaks HTTP/1, on a goroutine of its own.
type client struct {
	conn
	server *Server
	in     *http1.Reader
	out    *http1.Writer
	ctx    context.Context // ends when the client has left
	stop   context.CancelFunc

	phase   atomic.Int32
	since   atomic.Int64 // of the phase, in nanoseconds of Unix time
	checked int64        // the since of the wait that sweep has checked at; sweep's alone, as what follows
	left    time.Time    // since when the client's side has ended and nothing was written; zero: it has not

	request http.Request // the one that was read last
	to      http1.Reply  // what its answer has to look like
	call    Call
	spare   upstream.Spare
	answer  answerGuard
	body    atomic.Pointer[bodyReader] // of the request under way; nil: it has none
}

// next is how it goes on with a connection.
type next int

const (
	waits    next = iota // for more bytes
	goesOn               // with the request that was read, which waits where it reads
	isHTTP2              // it is net/http's from here on
	lingers              // what came is refused: it is closed once the client had time to read that
	ends                 // it is closed
	isClosed             // a tunnel, by itself
)

// errNotYet is that nothing more has come of a connection.
var errNotYet = errors.New("nothing has come")

func newClient(s *Server, raw net.Conn) *client {
	c := &client{conn: conn{raw: raw}, server: s}
	c.in, c.out = http1.NewReader(&c.conn), http1.NewWriter(&c.conn)
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.request = *(&http.Request{ProtoMajor: 1, Header: http.Header{}, Body: http.NoBody, RemoteAddr: raw.RemoteAddr().String()}).WithContext(c.ctx)
	c.call = Call{server: s, Request: &c.request, brief: true, spare: &c.spare, inform: c.inform, writes: &c.waits}
	c.waits.setDeadline = raw.SetWriteDeadline
	c.enter(idlePhase)
	return c
}

func (c *client) enter(p phase) {
	c.since.Store(time.Now().UnixNano())
	c.phase.Store(int32(p))
}

// behind is how far by now the client is behind one that is quick enough.
func (c *client) behind(now time.Time) time.Duration {
	switch phase(c.phase.Load()) {
	case headPhase:
		return now.Sub(time.Unix(0, c.since.Load()))
	case servingPhase:
		behind := c.waits.silent(now)
		if b := c.body.Load(); b != nil {
			behind = max(behind, b.behind(now))
		}
		return behind
	}
	return 0
}

// leave ends what is done for a client that has gone.
func (c *client) leave() {
	c.stop()
	c.call.leave()
}

// serve answers requests until the connection ends, or speaks HTTP/2.
func (c *client) serve() {
	given := false
	defer c.stop()
	defer c.server.remove(c)
	defer func() {
		if p := recover(); p != nil {
			c.server.config.Log.Error("serving a request", "panic", p) // one request must not end all the others
		}
		if !given {
			c.raw.Close()
		}
	}()
	for {
		switch c.serveHeld() {
		case goesOn:
			if !c.serveRequest() {
				return
			}
		case isHTTP2:
			given = c.server.giveHTTP2(c)
			return
		case lingers: // not before: what reads while the descriptor is held waits for itself
			c.linger()
			return
		default:
			return
		}
	}
}

// serveBuffered serves the requests that have come, until one needs more.
func (c *client) serveBuffered() next {
	for {
		if err := c.in.Read(&c.request); err != nil {
			return c.notRead(err)
		}
		c.enter(servingPhase)
		r := &c.request
		c.call.Trusted, c.call.Sends, c.call.said = c.server.trusts(r)
		c.to = http1.Reply{Method: r.Method, Old: r.ProtoMinor == 0, Last: r.Close}
		if r.ContentLength != 0 || len(r.Header["Upgrade"]) > 0 || len(r.Header["Expect"]) > 0 || r.Method == http.MethodConnect || isHealthCheck(r) {
			return goesOn
		}
		service, _ := c.server.config.Route(r)
		if service == nil {
			return goesOn
		}
		c.in.Done()
		if !c.carry(service) {
			return ends
		}
	}
}

// notRead is how it goes on when no request could be read.
func (c *client) notRead(err error) next {
	var refused *http1.Refusal
	switch {
	case errors.Is(err, errNotYet):
		if p := phase(c.phase.Load()); c.in.Buffered() == 0 && p != idlePhase {
			c.enter(idlePhase)
		} else if c.in.Buffered() > 0 && p != headPhase {
			c.enter(headPhase)
		}
		return waits
	case errors.Is(err, http1.ErrHTTP2):
		return isHTTP2
	case errors.As(err, &refused):
		c.refuse(refused)
		return lingers
	}
	return ends
}

// carry has a service answer the request, and says whether the connection goes on.
func (c *client) carry(service Service) bool {
	c.answer.begin()
	res, err := service.Carry(&c.call)
	if err != nil {
		return c.fail(service, err)
	}
	defer res.Body.Close()
	if c.answer.end() != nil {
		return false
	}
	return c.write(res)
}

// write writes an answer.
func (c *client) write(res *http.Response) bool {
	c.to.Last = c.to.Last || c.server.closing.Load()
	err := c.out.Answer(c.to, res)
	if tcp, ok := c.raw.(*net.TCPConn); ok && err != nil && c.to.Old {
		_ = tcp.SetLinger(0) // the end of the connection would look like the end of the answer
	}
	return err == nil && !c.to.Last
}

// fail answers a request that a service could not have answered.
func (c *client) fail(service Service, err error) bool {
	if c.ctx.Err() != nil || c.answer.end() != nil {
		return false
	}
	a, ours, silent := clientFailure(err, c.call.Trusted)
	if silent {
		if !c.holds() { // else Close would wait for this goroutine; the connection is closed once it is not held
			c.raw.Close()
		}
		return false
	}
	if !ours {
		a = service.Failure(&c.request, err)
	}
	return c.text(a)
}

func (c *client) text(a Answer) bool {
	c.to.Last = c.to.Last || c.server.closing.Load()
	return c.out.Text(c.to, a.Status, a.Header, a.Text) == nil && !c.to.Last
}

// refuse answers what is no request.
func (c *client) refuse(why *http1.Refusal) {
	c.enter(servingPhase)
	c.to = http1.Reply{Last: true}
	c.text(Answer{Status: why.Status, Text: "This request is refused: " + why.Reason + ".\n"})
}

// inform passes an answer of the kind 1xx on.
func (c *client) inform(status int, header http.Header) {
	if !c.to.Old {
		c.answer.write(func() error { return c.out.Inform(status, header) })
	}
}

// trusts says whether a request came from our own edge, and, where the edge says so,
// how often it may be sent and from what address it came. It takes off what says so.
func (s *Server) trusts(r *http.Request) (trusted bool, sends int, source string) {
	trusted = s.config.Trusts != nil && s.config.Trusts(r)
	if said := r.Header[upstream.SendsHeader]; len(said) > 0 {
		if n, err := strconv.Atoi(said[0]); trusted && err == nil && n > 0 {
			sends = n
		}
		delete(r.Header, upstream.SendsHeader)
	}
	if said := r.Header[upstream.SourceHeader]; len(said) > 0 {
		if trusted {
			source = said[0]
		}
		delete(r.Header, upstream.SourceHeader)
	}
	delete(r.Header, upstream.EdgeKeyHeader)
	return trusted, sends, source
}

// hasEnded says whether a client has closed its side that is waited for. It looks
// once: an end that came together with a request ends no wait, every other does.
func (c *client) hasEnded(took time.Duration) bool {
	since := c.since.Load()
	if took <= sweepEvery || c.checked == since {
		return false
	}
	c.checked = since
	return c.hasLeft()
}

// hasGivenUp says whether a client whose side has ended is worked for no more: it
// may still wait for its answer, as long as that comes.
func (c *client) hasGivenUp(now time.Time, left bool) bool {
	switch {
	case !left:
		c.left = time.Time{}
	case c.left.IsZero() || c.wrote.Swap(false):
		c.left = now
	default:
		return now.Sub(c.left) > leftGrace
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
	// Control, not Read: a reading that is under way is not waited for.
	return raw.Control(func(fd uintptr) { left = ended(fd) }) != nil || left
}
