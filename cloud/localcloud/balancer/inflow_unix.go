//go:build unix

package balancer

import (
	"io"
	"net"
	"sync/atomic"
	"syscall"

	"showrunner/cloud/localcloud/internal/rawio"
	"showrunner/cloud/localcloud/internal/reactor"
)

// inflow is a connection of which what has come is read, without waiting for more.
type inflow struct {
	raw net.Conn
	fd  uintptr
	dry bool // until it wakes again

	moved atomic.Bool // something was written since it was last asked

	inLane bool
	gone   bool   // in a lane: its end has come, which wakes us no more
	rest   []byte // in a lane: what there was no room for
}

// Read implements io.Reader. Errors: errNotYet, io.EOF, the system's.
func (i *inflow) Read(p []byte) (int, error) {
	if i.dry {
		return 0, errNotYet
	}
	read := rawio.Read
	if i.inLane {
		read = reactor.Read
	}
	n, err := read(i.fd, p)
	switch {
	case err == syscall.EAGAIN:
		i.dry = true
		return 0, errNotYet
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	i.dry = n < len(p) && !i.gone // that was all, and what comes now wakes us
	return n, nil
}

// Write implements io.Writer. Only who has read may write. In a lane, what there
// is no room for is kept for settle.
func (i *inflow) Write(p []byte) (int, error) {
	i.moved.Store(true)
	if !i.inLane {
		return rawio.WriteAll(i.raw, i.fd, p)
	}
	n := 0
	if len(i.rest) == 0 {
		var err error
		if n, err = reactor.Write(i.fd, p); err != nil && err != syscall.EAGAIN {
			return 0, err
		}
	}
	i.rest = append(i.rest, p[n:]...)
	return len(p), nil
}

// again forgets the connection.
func (i *inflow) again() {
	i.raw, i.fd, i.dry, i.inLane, i.gone, i.rest = nil, 0, false, false, false, nil
	i.moved.Store(false)
}

// settle writes what a lane had no room for, and says whether the connection goes on.
func (i *inflow) settle() bool {
	if len(i.rest) == 0 {
		return true
	}
	_, err := i.raw.Write(i.rest)
	i.rest = nil
	return err == nil
}

// eachTurn serves a connection until it is done with. It stays with the descriptor
// all the time: so a wait can begin where everything was read, without asking the
// system in vain first.
func (c *client) eachTurn() turn {
	s, ok := c.raw.(syscall.Conn)
	if !ok {
		return others // it has none
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return over
	}
	last := over
	err = raw.Read(func(fd uintptr) bool {
		c.flow.fd, c.flow.dry = fd, false
		last = c.turn()
		return last != waits
	})
	if err != nil { // closed while it waited
		return over
	}
	return last
}
