//go:build unix

package proxy

import (
	"io"
	"syscall"

	"showrunner/cloud/localcloud/internal/rawio"
)

// stay is one stay with a connection's descriptor, which nobody else can close
// meanwhile: a wait begins where everything was read, so that nothing is read in vain.
type stay struct {
	begun bool
	fd    uintptr
	dry   bool // all that had come was read
}

// Read implements io.Reader. Errors: errNotYet, io.EOF, the system's.
func (c *conn) Read(p []byte) (int, error) {
	if !c.begun {
		return c.raw.Read(p)
	}
	if c.dry {
		return 0, errNotYet
	}
	n, err := rawio.Read(c.fd, p)
	switch {
	case err == syscall.EAGAIN:
		c.dry = true
		return 0, errNotYet
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	c.dry = n < len(p) // that was all, and what comes now ends the wait
	return n, nil
}

func (c *conn) write(p []byte) (int, error) {
	if !c.begun {
		return c.writeWaiting(p)
	}
	return rawio.WriteAll(writeWaiter{c}, c.fd, p)
}

type writeWaiter struct{ *conn }

func (w writeWaiter) Write(p []byte) (int, error) { return w.writeWaiting(p) }

// serveStay serves requests in one stay with the descriptor, until one needs more
// or the connection ends.
func (c *client) serveStay() next {
	s, ok := c.raw.(syscall.Conn)
	if !ok {
		return c.serveBuffered()
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return ends
	}
	last := ends
	err = raw.Read(func(fd uintptr) bool {
		c.conn.stay = stay{begun: true, fd: fd}
		last = c.serveBuffered()
		return last != waits
	})
	c.conn.stay = stay{}
	if err != nil { // closed while it waited
		return ends
	}
	return last
}

// ended says whether nothing more will come of a connection.
func ended(fd uintptr) bool {
	var b [1]byte
	n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return n == 0 && err == nil || err != nil && err != syscall.EAGAIN && err != syscall.EINTR
}
