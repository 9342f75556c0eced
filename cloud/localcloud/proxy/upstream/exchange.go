package upstream

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"

	"showrunner/cloud/localcloud/internal/replay"
)

const (
	// SmallBody is the size up to which a body is read whole before anything is sent, in bytes.
	SmallBody = 64 << 10
	// continueTimeout is how long an instance may take to ask for the body of a
	// request that offers to wait; afterwards it is sent.
	continueTimeout = time.Second
)

// Error says how far a request came that was not answered.
type Error struct {
	Sent   bool // something of it may have arrived
	Client bool // it broke where it came from: its body could not be read
	err    error
}

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

// Request is what is sent.
type Request struct {
	*http.Request
	Body    *replay.Body // nil: none
	Trusted bool         // its X-Forwarded headers are our own edge's
	EdgeKey string       // proves to a region that its edge sends the request; empty: it does not
	Source  bool         // tell the region the address that it came from, beside EdgeKey
	Sends   int          // how often the region may send it, beside EdgeKey; 0: as often as it does otherwise
	Upgrade string       // the protocol that the client asks for in place of HTTP; empty: none
	// Brief says that nothing of the answer's header is used once its body is closed.
	Brief bool
	// Spare is used for the exchange when there is one: no memory is asked for. An
	// answer of an earlier exchange on it must be closed, and not be looked at any more.
	Spare *Spare
	// Inform is given each answer of the kind 1xx. May be nil.
	Inform func(status int, header http.Header)
	// Cancel ends the exchange while it is under way.
	Cancel *Cancel
	// Written is told when all of the request has been sent; again when it is sent anew
	// because a kept connection had ended. May be nil.
	Written func()
	// Starved is told, perhaps several times, that there is no descriptor for a
	// connection. May be nil.
	Starved func()
	// Interrupt ends a reading of the body that waits for the client, for good.
	Interrupt func()
}

// streamed says whether the body is sent while it comes. It is not when it is
// small: then it is read before anything is sent.
func (r Request) streamed() bool { return r.Body != nil && (r.expects() || Streamed(r.Request)) }

func (r Request) expects() bool {
	return r.Body != nil && httpguts.HeaderValuesContainsToken(r.Header["Expect"], "100-continue")
}

// Streamed says whether a request has a body of unknown or of large size.
func Streamed(r *http.Request) bool {
	return hasBody(r) && (r.ContentLength < 0 || r.ContentLength > SmallBody)
}

// exchange is one request on one connection.
type exchange struct {
	conn   *conn
	cancel *Cancel

	interrupt func()
	written   chan error  // how the writing of a streamed body ended; nil: it was written at once
	wrote     bool        // all of the body was sent
	taken     atomic.Bool // all of a streamed body was read from who sends it
	unsent    bool        // nothing was
	body      io.Reader   // of the answer
	plain     plainBody   // it, mostly
	res       http.Response
	ended     bool // the answer was read to its end
	reuse     bool
	cut       bool // by the other side
	closed    bool
	done      func(cut bool)
}

// Spare is memory for one exchange after the other. The zero value is ready.
type Spare struct{ exchange exchange }

func (s *Spare) take() *exchange {
	if s == nil {
		return &exchange{}
	}
	s.exchange = exchange{}
	return &s.exchange
}

// Send sends a request and returns its answer, whose body must be closed.
// Errors are of type *Error.
func (p *Pool) Send(r Request) (*http.Response, error) {
	var small []byte
	if r.Body != nil && !r.streamed() {
		small = make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, small); err != nil {
			return nil, &Error{Client: true, err: fmt.Errorf("reading the request's body: %w", err)}
		}
	}
	for fresh := r.Upgrade != ""; ; {
		c, err := p.get(r.Context(), fresh, r.Starved)
		if err != nil {
			return nil, &Error{err: err}
		}
		res, stale, err := p.on(c, r, small)
		if c.dead && c.found == spoken {
			p.distrusts(time.Now())
		}
		// A kept connection that was closed while the request was on its way says
		// nothing about the instance, and one that had ended before even less.
		if !stale || r.Cancel.Err() != nil {
			return res, err
		}
		fresh = !c.dead
	}
}

// on sends the request on a connection; stale says that a kept connection ended
// without a word, and that the same may be sent on another.
func (p *Pool) on(c *conn, r Request, small []byte) (res *http.Response, stale bool, err error) {
	x := r.Spare.take()
	x.conn, x.cancel, x.interrupt = c, r.Cancel, r.Interrupt
	if c.head, err = appendHead(c.head[:0], r); err != nil {
		p.put(c)
		return nil, false, &Error{Client: true, err: err}
	}
	if err := r.Cancel.attach(c); err != nil {
		p.put(c)
		return nil, false, &Error{err: err}
	}
	if r.streamed() {
		res, err = x.sendHead(r)
	} else {
		x.wrote = true
		c.ask(append(c.head, small...), r.Written)
	}
	silent := false
	if err == nil && res == nil {
		res, silent, err = x.next(r)
	}
	return x.came(r, res, silent, err)
}

// came is what on returns when an answer, or none, has come.
func (x *exchange) came(r Request, res *http.Response, silent bool, err error) (*http.Response, bool, error) {
	c := x.conn
	c.asked = nil
	x.unsent = c.wrote == 0 && (c.failed != nil || c.question != nil || c.dead)
	if err != nil {
		// What cannot be written may have been answered already: the answer is read in any case.
		if c.failed != nil {
			err = c.failed
		}
		stale := c.dead || c.used && silent && !r.streamed() && (x.unsent || replay.Harmless(r.Request))
		return nil, stale, x.fail(r, err)
	}
	x.begin(res)
	return res, false, nil
}

// sendHead sends the head of a request whose body is sent while it comes, and
// has that begin. The answer is nil unless it came in place of a word to go on.
func (x *exchange) sendHead(r Request) (res *http.Response, err error) {
	c := x.conn
	c.ask(nil, nil)
	if c.used {
		if c.found = c.look(); c.found != silent {
			c.dead = true
			return nil, errDead
		}
	}
	if c.wrote, c.failed = c.raw.Write(c.head); c.failed != nil {
		return nil, nil
	}
	if r.expects() {
		res, err = x.offered(r)
	}
	if err == nil && res == nil {
		x.written = make(chan error, 1)
		go func() { x.written <- x.stream(r) }()
	}
	return res, err
}

// next reads the answer up to its body; silent says that not a byte of it came.
func (x *exchange) next(r Request) (res *http.Response, silent bool, err error) {
	for first := true; ; first = false {
		if _, err := x.conn.in.Peek(1); err != nil {
			return nil, first && !errors.Is(err, os.ErrDeadlineExceeded), err
		}
		if r.Brief && r.Method != http.MethodHead && x.conn.plain.read(x.conn.in, &x.res) {
			return &x.res, false, nil
		}
		res, err := x.conn.readHead(r.Request)
		switch {
		case err != nil:
			return nil, false, err
		case res.StatusCode >= 200:
			return res, false, nil
		case res.StatusCode == http.StatusSwitchingProtocols:
			if said := res.Header["Upgrade"]; r.Upgrade == "" || len(said) != 1 || !strings.EqualFold(said[0], r.Upgrade) {
				return nil, false, errors.New("it switched to a protocol that was not asked for")
			}
			return res, false, nil
		}
		x.inform(r, res)
	}
}

// offered waits for the word to send the body; an answer means that it is not wanted.
func (x *exchange) offered(r Request) (*http.Response, error) {
	defer func() {
		_ = x.conn.raw.SetReadDeadline(time.Time{}) // a connection that is closed says so when it is read
		if x.cancel.Err() != nil {
			x.conn.abort() // what has just been undone
		}
	}()
	_ = x.conn.raw.SetReadDeadline(time.Now().Add(continueTimeout))
	for {
		if _, err := x.conn.in.Peek(1); errors.Is(err, os.ErrDeadlineExceeded) && x.cancel.Err() == nil {
			return nil, nil
		}
		res, err := x.conn.readHead(r.Request)
		switch {
		case err != nil || res.StatusCode >= 200:
			return res, err
		case res.StatusCode == http.StatusContinue:
			return nil, nil
		}
		x.inform(r, res)
	}
}

func (x *exchange) inform(r Request, res *http.Response) {
	if r.Inform != nil && res.StatusCode != http.StatusContinue {
		r.Inform(res.StatusCode, res.Header)
	}
}

// begin makes what was read the answer.
func (x *exchange) begin(res *http.Response) {
	x.body = res.Body
	x.reuse = !res.Close && res.ProtoAtLeast(1, 1)
	if res.StatusCode == http.StatusSwitchingProtocols { // what comes now is no HTTP
		x.body, x.reuse, res.Body = x.conn.in, false, x
		return
	}
	x.ended = res.Body == http.NoBody
	if res == &x.res && res.ContentLength > 0 {
		x.plain = plainBody{x.conn.in, res.ContentLength}
		x.body, x.ended = &x.plain, false
	}
	res.Body = x
}

// fail ends an exchange without an answer. The writing of the body is waited
// for: to send the request again, the caller needs what was read.
func (x *exchange) fail(r Request, err error) error {
	if why := x.cancel.attach(nil); why != nil {
		err = why
	}
	x.conn.close()
	if x.written != nil {
		if !replay.Harmless(r.Request) {
			x.interruptReading()
		}
		var e *Error
		if why := <-x.written; errors.As(why, &e) && e.Client {
			return e
		}
	}
	return &Error{Sent: !x.unsent, err: err}
}

// exchangeOf is the exchange behind an answer, nil when Send did not make it.
func exchangeOf(res *http.Response) *exchange {
	x, _ := res.Body.(*exchange)
	return x
}

// Sent says whether all of the request's body has been sent by now.
func Sent(res *http.Response) bool {
	x := exchangeOf(res)
	return x == nil || x.sent()
}

// Taken says whether all of the request's body has been read from the client.
// An instance that has seen the end may answer before the last writing returns.
func Taken(res *http.Response) bool {
	x := exchangeOf(res)
	return x == nil || x.sent() || x.taken.Load()
}

// LeaveBody has Close wait for a reading of the request's body that waits for who
// sends it, instead of ending it: the rest of the body is for another exchange.
func LeaveBody(res *http.Response) {
	if x := exchangeOf(res); x != nil {
		x.interrupt = nil
	}
}

// OnClose calls f once an answer's body is closed; cut says that the target
// broke off before its end.
func OnClose(res *http.Response, f func(cut bool)) {
	if x := exchangeOf(res); x != nil {
		x.done = f
		return
	}
	res.Body = replay.OnClose(res.Body, func() { f(false) })
}

func (x *exchange) sent() bool {
	if x.written == nil {
		return x.wrote
	}
	select {
	case err := <-x.written:
		x.written, x.wrote = nil, err == nil
	default:
	}
	return x.wrote
}

// Read reads the answer's body. Errors: io.ErrUnexpectedEOF when it was cut short.
func (x *exchange) Read(p []byte) (int, error) {
	n, err := x.body.Read(p)
	switch {
	case err == io.EOF:
		x.ended = true
	case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
		x.cut = true
	}
	return n, err
}

// Write sends what a client says after an upgrade.
func (x *exchange) Write(p []byte) (int, error) { return x.conn.raw.Write(p) }

// Tunnel is the connection to a server that has switched to another protocol, as
// the body of its answer; nil for every other answer. Closing the body ends it.
func Tunnel(res *http.Response) (server net.Conn, body io.ReadWriter) {
	x := exchangeOf(res)
	if x == nil || res.StatusCode != http.StatusSwitchingProtocols {
		return nil, nil
	}
	return x.conn.raw, x
}

// Pending says whether the next reading of an answer's body may have to wait.
func Pending(res *http.Response) bool {
	x := exchangeOf(res)
	return x == nil || x.conn.in.Buffered() == 0
}

// Close ends the exchange. The connection is kept only when nothing of either
// side is outstanding on it.
func (x *exchange) Close() error {
	if x.closed {
		return nil
	}
	x.closed = true
	if x.done != nil {
		defer func() { x.done(x.cut) }()
	}
	sent := x.sent()
	if x.written != nil {
		x.conn.close()
		x.interruptReading()
		<-x.written // nobody reads a request's body once its handler has returned
	}
	more := x.ended && x.reuse && x.conn.in.Buffered() > 0
	// An end that comes late must not meet a connection that is another request's by then.
	if x.cancel.attach(nil) == nil && sent && x.ended && x.reuse && !more {
		x.conn.pool.put(x.conn)
		return nil
	}
	x.conn.close()
	if more {
		x.conn.pool.distrusts(time.Now())
	}
	return nil
}
