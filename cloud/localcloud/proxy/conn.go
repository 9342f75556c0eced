package proxy

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// conn is a client's connection. While its descriptor is held (serveHeld), reading
// takes what has come and does not wait; at all other times it waits.
type conn struct {
	raw   net.Conn
	wrote atomic.Bool // something was written since it was last asked
	waits writeWait
	held
}

// writeLimit is how long a client may take to accept one piece of an answer, of at
// most some 64 KiB.
const writeLimit = 30 * time.Second

// Write implements io.Writer. Errors: the connection's, and os.ErrDeadlineExceeded
// for a client that does not read.
func (c *conn) Write(p []byte) (int, error) {
	c.wrote.Store(true)
	return c.write(p)
}

// writeWaiting waits for room, but not for ever.
func (c *conn) writeWaiting(p []byte) (int, error) {
	if err := c.raw.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return 0, err
	}
	c.waits.begin()
	defer c.waits.end()
	return c.raw.Write(p)
}

// filePiece is how much of a file is given to the system at once, in bytes.
const filePiece = 64 << 10

// ReadFrom implements io.ReaderFrom, so that the system copies files.
func (c *conn) ReadFrom(from io.Reader) (int64, error) {
	tcp, ok := c.raw.(io.ReaderFrom)
	limited, bounded := from.(*io.LimitedReader)
	if !ok || !bounded {
		return io.Copy(struct{ io.Writer }{c}, from)
	}
	for inner, ok := limited.R.(*io.LimitedReader); ok; inner, ok = limited.R.(*io.LimitedReader) {
		limited = &io.LimitedReader{R: inner.R, N: min(limited.N, inner.N)}
	}
	var sum int64
	for sum < limited.N {
		c.wrote.Store(true)
		if err := c.raw.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
			return sum, err
		}
		c.waits.begin()
		n, err := tcp.ReadFrom(&io.LimitedReader{R: limited.R, N: min(filePiece, limited.N-sum)})
		c.waits.end()
		if sum += n; err != nil {
			return sum, err
		}
		if n == 0 {
			break
		}
	}
	return sum, nil
}

// closeWrite ends our side alone, where that is possible.
func closeWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // a connection that has ended says so when it is read
	}
}

// prefixedConn is a connection whose first bytes have been read.
type prefixedConn struct {
	net.Conn
	ahead  []byte
	closed func() // nil: nobody asks

	// Of HTTP/2: the requests under way, and since when there is none.
	mu        sync.Mutex
	requests  map[*Call]struct{}
	idleSince time.Time
}

// begin notes a request of HTTP/2; the function that it returns, its end.
func (c *prefixedConn) begin(call *Call) (end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.requests == nil {
		c.requests = map[*Call]struct{}{}
	}
	c.requests[call] = struct{}{}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.requests, call)
		c.idleSince = time.Now()
	}
}

// idle says for how long no request has been under way by now; 0: one is.
func (c *prefixedConn) idle(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.requests) > 0 {
		return 0
	}
	return now.Sub(c.idleSince)
}

// behind is how far by now the client is behind one that is quick enough, with the
// request that it is least behind with; 0 without one.
func (c *prefixedConn) behind(now time.Time) (least time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := true
	for call := range c.requests {
		if behind := call.Behind(now); first || behind < least {
			least, first = behind, false
		}
	}
	return least
}

// Close implements net.Conn.
func (c *prefixedConn) Close() error {
	if c.closed != nil {
		c.closed()
	}
	return c.Conn.Close()
}

// Read implements net.Conn.
func (c *prefixedConn) Read(p []byte) (int, error) {
	if len(c.ahead) > 0 {
		n := copy(p, c.ahead)
		c.ahead = c.ahead[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// Write implements net.Conn, for net/http's server: a client that does not read is
// not waited for for ever.
func (c *prefixedConn) Write(p []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
