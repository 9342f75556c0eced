//go:build unix

package proxy

import (
	"io"
	"syscall"

	"showrunner/cloud/localcloud/internal/rawio"
)

// held is a descriptor while RawConn.Read holds it, so that no other goroutine can close it
// meanwhile: a wait begins where everything was read, so that nothing is read in vain.
type held struct {
	active  bool
	fd      uintptr
	drained bool // all that had come was read
}

// holds says whether the descriptor is held.
func (c *conn) holds() bool { return c.active }

// Read implements io.Reader. Errors: errNotYet, io.EOF, the system's.
func (c *conn) Read(p []byte) (int, error) {
	if !c.active {
		return c.raw.Read(p)
	}
	if c.drained {
		return 0, errNotYet
	}
	n, err := rawio.Read(c.fd, p)
	switch {
	case err == syscall.EAGAIN:
		c.drained = true
		return 0, errNotYet
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	c.drained = n < len(p) // that was all, and what comes now ends the wait
	return n, nil
}

func (c *conn) write(p []byte) (int, error) {
	if !c.active {
		return c.writeWaiting(p)
	}
	return rawio.WriteAll(writeWaiter{c}, c.fd, p)
}

type writeWaiter struct{ *conn }

func (w writeWaiter) Write(p []byte) (int, error) { return w.writeWaiting(p) }

// serveHeld serves requests while the descriptor is held, until one needs more or
// the connection ends.
func (c *client) serveHeld() next {
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
		c.conn.held = held{active: true, fd: fd}
		last = c.serveBuffered()
		return last != waits
	})
	c.conn.held = held{}
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
