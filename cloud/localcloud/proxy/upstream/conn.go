package upstream

import (
	"bufio"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

// MaxHeader bounds what an answer may say before its body begins, in bytes.
const MaxHeader = 256 << 10

// conn is one connection. One request at a time uses it.
type conn struct {
	pool  *Pool // which keeps it while nothing is under way on it
	raw   net.Conn
	fd    syscall.RawConn
	in    *bufio.Reader
	head  []byte // the request's head, reused
	left  int64  // bytes that may still be read
	plain plainHead
	used  bool      // an earlier request was answered here
	since time.Time // of being idle

	uncount func() // once it is closed

	probe func(fd uintptr) bool // made once
	found standing              // by probe
	asking
}

// standing is how it stands with a connection on which nothing was asked.
type standing int

const (
	silent standing = iota // it may carry a request
	spoken                 // something came that nobody asked for
	over                   // the other side has ended it, or it broke
)

// asking is a request that is written with the first reading of its answer. In one
// stay with the descriptor there is nothing to be tried in vain: whatever comes
// after the look at a silent connection wakes the goroutine that waits for it.
type asking struct {
	question []byte // nil: nothing is to be asked
	asked    func() // told when all of it was written; may be nil
	wrote    int
	failed   error // why not all of it was
	dead     bool  // nothing was: the connection had ended, or spoke unasked

	step func(fd uintptr) bool // made once
	into []byte
	n    int
	err  error
}

// readAhead is how much of an answer is read at once, in bytes.
const readAhead = 8 << 10

// newConn has a pool use raw, which is closed when that cannot be.
func newConn(raw net.Conn, pool *Pool) (*conn, error) {
	s, ok := raw.(syscall.Conn)
	if !ok {
		raw.Close()
		return nil, errors.New("the connection has no descriptor")
	}
	fd, err := s.SyscallConn()
	if err != nil {
		raw.Close()
		return nil, err
	}
	open.Add(1)
	c := &conn{pool: pool, raw: raw, fd: fd, left: math.MaxInt64, uncount: sync.OnceFunc(func() { open.Add(-1) })}
	c.in = bufio.NewReaderSize(c, readAhead)
	c.probe = func(fd uintptr) bool {
		var b [1]byte
		c.found = lookAt(fd, b[:])
		return true
	}
	c.step = c.proceed
	return c, nil
}

// Read implements io.Reader.
func (c *conn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errHeaderTooLarge
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.answer(p)
	c.left -= int64(n)
	return n, err
}

// answer reads what is answered, after asking for it where that is to be done.
func (c *conn) answer(p []byte) (int, error) {
	if c.question != nil && !polls {
		c.wrote, c.failed = c.raw.Write(c.question)
		c.said()
	}
	if c.question == nil {
		return c.raw.Read(p)
	}
	c.into, c.n, c.err = p, 0, nil
	err := c.fd.Read(c.step)
	c.into = nil
	if err == nil {
		err = c.err
	}
	return c.n, c.named("read", err)
}

// named says of an error of the system where it happened.
func (c *conn) named(op string, err error) error {
	if system, ok := err.(syscall.Errno); ok {
		return &net.OpError{Op: op, Net: "tcp", Source: c.raw.LocalAddr(), Addr: c.raw.RemoteAddr(), Err: os.NewSyscallError(op, system)}
	}
	return err
}

// ask has the next reading of an answer ask for it first.
func (c *conn) ask(question []byte, asked func()) {
	c.question, c.asked, c.wrote, c.failed = question, asked, 0, nil
}

// proceed is one step of asking; true ends it.
func (c *conn) proceed(fd uintptr) bool {
	if c.question != nil {
		if c.used {
			if c.found = lookAt(fd, c.into[:1]); c.found != silent {
				c.dead, c.err = true, errDead
				return true
			}
		}
		c.wrote, c.failed = writeAll(c.raw, fd, c.question)
		if c.said(); c.used {
			return false
		}
		// What came on a new connection before this began is not known.
	}
	c.n, c.err = readNow(fd, c.into)
	return c.err != errNotYet
}

// said notes that the question was written, or as much as could be.
func (c *conn) said() {
	c.question, c.failed = nil, c.named("write", c.failed)
	if c.failed == nil && c.asked != nil {
		c.asked()
	}
}

var (
	errDead   = errors.New("the connection had ended")
	errNotYet = errors.New("nothing has come")
)

var errHeaderTooLarge = errors.New("the answer's header is too large")

// look says how it stands with an idle connection.
func (c *conn) look() standing {
	switch {
	case c.in.Buffered() > 0:
		return spoken
	case c.fd.Read(c.probe) != nil:
		return over
	}
	return c.found
}

func (c *conn) close() {
	c.uncount()
	c.raw.Close()
}

// longAgo ends whatever reads or writes.
var longAgo = time.Unix(1, 0)

// abort ends what is under way; the connection is useless afterwards.
func (c *conn) abort() { _ = c.raw.SetDeadline(longAgo) } // it fails when the connection is closed already

// readHead reads an answer up to its body. Errors: io.EOF when the connection
// was closed before the first byte.
func (c *conn) readHead(r *http.Request) (*http.Response, error) {
	if _, err := c.in.Peek(1); err != nil {
		return nil, err
	}
	c.left = MaxHeader
	res, err := http.ReadResponse(c.in, r)
	if c.left <= 0 {
		err = errHeaderTooLarge
	}
	c.left = math.MaxInt64
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err == nil && len(res.TransferEncoding) > 0 {
		delete(res.Header, "Content-Length") // void then (RFC 9112, section 6.3); net/http leaves it where no body follows
	}
	return res, err
}
