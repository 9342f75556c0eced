package upstream

import (
	"bufio"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"showrunner/cloud/localcloud/internal/reactor"
)

// Receiver is told how an exchange that Lines has begun goes on: once, on the
// loop's goroutine.
type Receiver interface {
	// Answered is told of an answer that is there with all of its body, which must be
	// closed before anything else is told, or Detach must be called.
	Answered(res *http.Response)
	// Unfinished is told of an exchange of which only the beginning of an answer is
	// there, or an answer that net/http should read: it goes on elsewhere.
	Unfinished(u *Unfinished)
	// Failed is told of an exchange that ended without an answer. The error is of type *Error.
	Failed(err error)
}

// Lines is the connections that one loop has. Everything is for the loop's goroutine.
type Lines struct {
	loop    *reactor.Loop
	idle    map[*Pool][]*line // the one used last is at the end
	dialing map[*line]struct{}
	halves  map[*line]time.Time // of whose answers a part has come, and when
}

// Patience is how long the rest of a short answer is waited for before what has
// come of it is passed on. While Impatient, Tick should be called as often.
const Patience = 5 * time.Millisecond

// Impatient says whether the rest of an answer is awaited.
func (s *Lines) Impatient() bool { return len(s.halves) > 0 }

// NewLines has no connections yet.
func NewLines(loop *reactor.Loop) *Lines {
	return &Lines{loop: loop, idle: map[*Pool][]*line{}, dialing: map[*line]struct{}{}, halves: map[*line]time.Time{}}
}

// line is a connection of a loop.
type line struct {
	conn
	lines *Lines
	pool  *Pool
	file  int
	token reactor.Token
	state lineState
	gone  bool // the other side has said its last

	to       Receiver
	request  Request
	exchange *exchange
}

type lineState int

const (
	lineIdle    lineState = iota
	lineDialing           // a request waits for it
	lineAsked             // an answer is awaited
	lineSpeaks            // one is being looked at
)

// unfit is how many requests are not given to a loop after one that it could not
// end: where answers are long, or of unknown length, most are.
const unfit = 100

// FitsLoops says whether a request had better be sent by a loop: it can dial the
// pool's address, and answers from there are as it takes them.
func (p *Pool) FitsLoops() bool {
	if n := p.others.Load(); n > 0 {
		p.others.CompareAndSwap(n, n-1)
		return false
	}
	return p.numeric.IsValid()
}

// Send sends a request without a body to a pool's address. What becomes of it is
// told to the receiver; that it failed may be told before Send returns.
func (s *Lines) Send(p *Pool, r Request, to Receiver, now time.Time) {
	s.send(p, r, to, now, false)
}

func (s *Lines) send(p *Pool, r Request, to Receiver, now time.Time, fresh bool) {
	l, err := s.get(p, now, fresh)
	if err != nil {
		to.Failed(&Error{err: err})
		return
	}
	l.to, l.request = to, r
	x := r.Spare.take()
	x.conn, x.cancel, x.wrote = &l.conn, r.Cancel, true
	l.exchange = x
	if l.head, err = appendHead(l.head[:0], r.Request, r.Trusted); err != nil {
		l.free()
		to.Failed(&Error{Client: true, err: err})
		return
	}
	if err := r.Cancel.attach(&l.conn); err != nil {
		l.free()
		to.Failed(&Error{err: err})
		return
	}
	if l.state != lineDialing {
		l.begin()
	}
}

// free gives a connection back to which nothing was sent.
func (l *line) free() {
	if l.state == lineDialing {
		l.conn.close()
		return
	}
	l.home.put(&l.conn)
}

// get takes an idle connection, or begins to dial. fresh asks for a new one.
func (s *Lines) get(p *Pool, now time.Time, fresh bool) (*line, error) {
	for list := s.idle[p]; !fresh && len(list) > 0; list = s.idle[p] {
		l := list[len(list)-1]
		list[len(list)-1] = nil
		s.idle[p] = list[:len(list)-1]
		if now.Sub(l.since) < IdleTimeout {
			return l, nil
		}
		l.conn.close()
	}
	return s.dial(p, now)
}

// dial begins to connect.
func (s *Lines) dial(p *Pool, now time.Time) (*line, error) {
	family, to := unix.AF_INET, unix.Sockaddr(nil)
	if a := p.numeric.Addr(); a.Is4() {
		to = &unix.SockaddrInet4{Port: int(p.numeric.Port()), Addr: a.As4()}
	} else {
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Port: int(p.numeric.Port()), Addr: a.As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // a wish
	if err := unix.Connect(fd, to); err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return nil, p.opError("dial", os.NewSyscallError("connect", err))
	}
	l := &line{lines: s, pool: p, file: fd, state: lineDialing}
	l.left = math.MaxInt64
	l.in = bufio.NewReaderSize(&l.conn, readAhead)
	l.raw, l.home = held{l}, held{l}
	if l.token, err = s.loop.Add(fd, reactor.Out, l); err != nil {
		unix.Close(fd)
		return nil, err
	}
	l.since = now
	s.dialing[l] = struct{}{}
	return l, nil
}

// opError says of an error where it happened.
func (p *Pool) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: net.TCPAddrFromAddrPort(p.numeric), Err: err}
}

// Ready implements reactor.Handler.
func (l *line) Ready(e reactor.Events) {
	l.gone = l.gone || e&reactor.Gone != 0
	switch l.state {
	case lineIdle:
		if e != reactor.Out { // it was closed, or speaks unasked
			l.lines.drop(l)
		}
	case lineDialing:
		delete(l.lines.dialing, l)
		code, err := unix.GetsockoptInt(l.file, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = syscall.Errno(code)
		}
		if err != nil {
			l.refuse(l.pool.opError("dial", os.NewSyscallError("connect", err)))
			return
		}
		l.begin()
	case lineAsked:
		l.hear()
	}
}

// refuse ends an exchange whose connection was not made.
func (l *line) refuse(err error) {
	delete(l.lines.dialing, l)
	x, r, to := l.exchange, l.request, l.to
	x.unsent = true
	l.forget()
	to.Failed(x.fail(r, err))
}

// begin asks, unless the connection has ended.
func (l *line) begin() {
	l.state = lineAsked
	l.ask(l.head, l.request.Written)
	if l.used && !l.silent() {
		l.dead = true
		l.end(true, errDead)
		return
	}
	n, err := reactor.Write(uintptr(l.file), l.head)
	if err == nil && n < len(l.head) {
		err = errors.New("it takes no request")
	}
	l.wrote, l.failed = n, err
	l.said()
	if err != nil {
		l.hear() // what cannot be written may have been answered already
	}
}

// silent says whether nothing has come.
func (l *line) silent() bool {
	var b [1]byte
	_, err := reactor.Read(uintptr(l.file), b[:])
	return err == syscall.EAGAIN
}

// hear reads the answer.
func (l *line) hear() {
	c, r := &l.conn, l.request
	before := c.in.Buffered()
	if _, err := c.in.Peek(before + 1); err != nil && before == 0 {
		if err == errNotYet && l.failed == nil {
			return
		}
		l.end(true, err)
		return
	}
	x := l.exchange
	if r.Brief && r.Method != http.MethodHead {
		ok, comes := c.plain.readWhole(c.in, &x.res)
		if ok {
			to := l.to
			l.state = lineSpeaks
			l.forget()
			res, _, _ := x.came(r, &x.res, false, nil)
			to.Answered(res)
			return
		}
		if comes && !l.gone {
			if _, waits := l.lines.halves[l]; !waits {
				l.lines.halves[l] = time.Now()
			}
			return
		}
		l.pool.others.Store(unfit)
	}
	l.handOver()
}

// handOver has somebody else go on with an exchange of whose answer something has come.
func (l *line) handOver() {
	c, r, x, to := &l.conn, l.request, l.exchange, l.to
	l.forget()
	_ = x.cancel.attach(nil) // asked again below: whoever ends it must not meet a descriptor that is another's
	if err := l.leave(); err != nil {
		to.Failed(x.fail(r, err))
		return
	}
	if x.cancel.attach(c) != nil {
		c.abort()
	}
	to.Unfinished(&Unfinished{exchange: x, request: r})
}

// end is the end of an exchange without an answer. What a kept connection that
// had ended says nothing about is sent on another one.
func (l *line) end(silent bool, err error) {
	x, r, to, dead := l.exchange, l.request, l.to, l.dead
	l.forget()
	_, stale, err := x.came(r, nil, silent, err)
	if stale && r.Cancel.Err() == nil {
		l.lines.send(l.pool, r, to, time.Now(), !dead)
		return
	}
	to.Failed(err)
}

// forget lets go of who asked.
func (l *line) forget() {
	l.to, l.request, l.exchange = nil, Request{}, nil
	if len(l.lines.halves) > 0 {
		delete(l.lines.halves, l)
	}
}

// drop closes an idle connection.
func (s *Lines) drop(l *line) {
	s.idle[l.pool] = slices.DeleteFunc(s.idle[l.pool], func(other *line) bool { return other == l })
	l.conn.close()
}

// Tick hands exchanges over whose rest does not come, and gives up connections
// that are not made in time.
func (s *Lines) Tick(now time.Time) {
	for l, since := range s.halves {
		if now.Sub(since) > Patience {
			l.handOver()
		}
	}
	for l := range s.dialing {
		if now.Sub(l.since) > dialTimeout {
			l.refuse(l.pool.opError("dial", os.ErrDeadlineExceeded))
		}
	}
}

// Prune closes connections that have been idle for too long, and those to
// addresses that are not used any more.
func (s *Lines) Prune(now time.Time) {
	for p, list := range s.idle {
		closed := p.isClosed()
		kept := list[:0]
		for _, l := range list {
			if !closed && now.Sub(l.since) < IdleTimeout {
				kept = append(kept, l)
			} else {
				l.conn.close()
			}
		}
		clear(list[len(kept):])
		if s.idle[p] = kept; len(kept) == 0 {
			delete(s.idle, p)
		}
	}
}

// Close closes what is idle. What is under way ends as it does.
func (s *Lines) Close() {
	for p, list := range s.idle {
		for _, l := range list {
			l.conn.close()
		}
		delete(s.idle, p)
	}
}

// leave takes the connection off the loop: it belongs to its pool then, and is
// read and written as others are. After an error it is closed, and kept nowhere.
func (l *line) leave() error {
	l.lines.loop.Remove(l.file, l.token)
	f := os.NewFile(uintptr(l.file), "")
	defer f.Close()
	l.file = -1 // the number may be another's soon
	raw, err := net.FileConn(f)
	if err == nil {
		err = l.over(raw, l.pool)
	}
	if err != nil {
		l.raw, l.gone = closedConn{l.raw}, true
	}
	return err
}

// Detach takes the connection behind an answer off its loop: what is left of the
// exchange may be done by any goroutine.
func Detach(res *http.Response) error {
	x := exchangeOf(res)
	if x == nil {
		return nil
	}
	h, ok := x.conn.raw.(held)
	if !ok {
		return nil
	}
	_ = x.cancel.attach(nil)
	if err := h.leave(); err != nil {
		return err
	}
	if x.cancel.attach(x.conn) != nil {
		x.conn.abort()
	}
	return nil
}

// Unfinished is an exchange that a loop has begun.
type Unfinished struct {
	exchange *exchange
	request  Request
}

// Wait returns the answer as Pool.Send does. Any goroutine may call it, once.
func (u *Unfinished) Wait() (*http.Response, error) {
	res, _, err := u.exchange.next(u.request)
	res, _, err = u.exchange.came(u.request, res, false, err)
	return res, err
}

// held is a line as its conn sees it: nothing waits.
type held struct{ *line }

// put implements home.
func (h held) put(*conn) {
	l := h.line
	l.since, l.used, l.state = time.Now(), true, lineIdle
	list := l.lines.idle[l.pool]
	if l.gone || len(list) >= mostIdle || l.pool.isClosed() {
		l.conn.close()
		return
	}
	l.lines.idle[l.pool] = append(list, l)
}

// Read implements net.Conn. Errors: errNotYet, io.EOF, the system's.
func (h held) Read(p []byte) (int, error) {
	n, err := reactor.Read(uintptr(h.file), p)
	switch {
	case err == syscall.EAGAIN:
		return 0, errNotYet
	case err != nil:
		return 0, h.pool.opError("read", os.NewSyscallError("read", err))
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write implements net.Conn.
func (h held) Write(p []byte) (int, error) { return reactor.Write(uintptr(h.file), p) }

// Close implements net.Conn.
func (h held) Close() error {
	if h.file >= 0 {
		delete(h.lines.dialing, h.line)
		h.lines.loop.Close(h.file, h.token)
		h.file = -1
	}
	return nil
}

// SetDeadline implements net.Conn: whatever the time, it ends what is under way.
// Any goroutine may call it while the connection is attached.
func (h held) SetDeadline(time.Time) error { return unix.Shutdown(h.file, unix.SHUT_RDWR) }

func (h held) SetReadDeadline(t time.Time) error  { return h.SetDeadline(t) }
func (h held) SetWriteDeadline(t time.Time) error { return h.SetDeadline(t) }
func (h held) LocalAddr() net.Addr                { return nil }
func (h held) RemoteAddr() net.Addr               { return net.TCPAddrFromAddrPort(h.pool.numeric) }

// closedConn is a connection whose descriptor is gone.
type closedConn struct{ net.Conn }

func (closedConn) Close() error { return nil }
