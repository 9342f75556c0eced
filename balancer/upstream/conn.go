package upstream

import (
	"bufio"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"syscall"
	"time"
)

// MaxHeader bounds what an answer may say before its body begins, in bytes.
const MaxHeader = 256 << 10

// conn is one connection. One request at a time uses it.
type conn struct {
	raw   net.Conn
	fd    syscall.RawConn
	in    *bufio.Reader
	head  []byte // the request's head, reused
	left  int64  // bytes that may still be read
	plain plainHead
	used  bool      // an earlier request was answered here
	since time.Time // of being idle

	probe func(fd uintptr) bool // made once
	quiet bool                  // what probe found
}

func newConn(raw net.Conn) (*conn, error) {
	c := &conn{raw: raw, left: math.MaxInt64}
	c.in = bufio.NewReaderSize(c, 8<<10)
	s, ok := raw.(syscall.Conn)
	if !ok {
		raw.Close()
		return nil, errors.New("the connection has no descriptor")
	}
	var err error
	if c.fd, err = s.SyscallConn(); err != nil {
		raw.Close()
		return nil, err
	}
	c.probe = func(fd uintptr) bool {
		var b [1]byte
		c.quiet = nothingToRead(fd, b[:])
		return true
	}
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
	n, err := c.raw.Read(p)
	c.left -= int64(n)
	return n, err
}

var errHeaderTooLarge = errors.New("the answer's header is too large")

// alive says whether an idle connection may carry a request. One on which
// anything arrived may not: nobody asked for it.
func (c *conn) alive() bool {
	return c.in.Buffered() == 0 && c.fd.Read(c.probe) == nil && c.quiet
}

func (c *conn) close() { c.raw.Close() }

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
	return res, err
}
