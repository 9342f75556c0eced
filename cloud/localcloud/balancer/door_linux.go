package balancer

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"showrunner/cloud/localcloud/internal/reactor"
)

// keepAlive is how often a silent client is asked whether it is still there.
const keepAlive = 15 * time.Second

// acceptForLanes accepts for lanes until the listener is closed; done is false
// when there are none for it.
func (f *front) acceptForLanes(from net.Listener) (done bool, err error) {
	l, ok := from.(*net.TCPListener)
	if !ok {
		return false, nil
	}
	raw, err := l.SyscallConn()
	if err != nil {
		return true, err
	}
	if err := f.openLanes(); err != nil {
		f.b.config.Log.Warn("serving each connection by a goroutine of its own", "error", err)
		return false, nil
	}
	d := &door{front: f, raw: raw, failed: make(chan error, 1)}
	f.mu.Lock()
	var first *lane
	if len(f.lanes) > 0 {
		first = f.lanes[0]
	}
	f.mu.Unlock()
	if first == nil || !first.loop.Post(func() { first.open(d) }) { // they ended meanwhile
		return true, nil
	}
	return true, <-d.failed
}

// door is the listener, in one of the lanes.
type door struct {
	front  *front
	raw    syscall.RawConn
	failed chan error // why nothing is accepted any more
	closed bool
}

// open accepts from now on.
func (l *lane) open(d *door) {
	var added error
	err := d.raw.Control(func(fd uintptr) {
		// What is accepted inherits these, which are wishes.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
		for _, option := range []int{unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL} {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, option, int(keepAlive.Seconds()))
		}
		_, added = l.loop.Add(int(fd), 0, d)
	})
	if err = errors.Join(err, added); err != nil {
		d.failed <- err
		return
	}
	l.door = d
}

// Ready implements reactor.Handler.
func (d *door) Ready(reactor.Events) {
	if d.closed {
		return
	}
	var failed error
	err := d.raw.Control(func(fd uintptr) { // it is not closed meanwhile
		for {
			file, from, err := unix.Accept4(int(fd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			switch err {
			case nil:
				d.front.admit(file, from)
			case unix.EINTR, unix.ECONNABORTED:
			case unix.EAGAIN, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM: // the last ones are tried again with the next sweep
				return
			default:
				failed = os.NewSyscallError("accept4", err)
				return
			}
		}
	})
	if err = errors.Join(err, failed); err != nil {
		d.closed = true
		d.failed <- err
	}
}

// admit has the lane with the fewest clients serve a new one.
func (f *front) admit(file int, from unix.Sockaddr) {
	c := f.spares.take()
	if c == nil {
		c = newClient(f, addressOf(from))
	} else {
		c.meet(addressOf(from))
	}
	c.lane.file, c.flow.fd, c.flow.inLane = file, uintptr(file), true
	c.inLane.Store(true)
	if !f.add(c) {
		unix.Close(file)
		return
	}
	f.mu.Lock()
	var to *lane
	for _, l := range f.lanes {
		if to == nil || l.count.Load() < to.count.Load() {
			to = l
		}
	}
	f.mu.Unlock()
	if to == nil || !to.loop.Post(func() { to.take(c) }) {
		unix.Close(file)
		f.remove(c)
		return
	}
	to.count.Add(1)
}

func addressOf(a unix.Sockaddr) string {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)).String()
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port)).String()
	}
	return ""
}

// spares is what clients that have closed their connections in a lane leave for
// the next ones: nobody else knows of them any more.
type spares struct {
	mu      sync.Mutex
	clients []*client
}

// mostSpares are kept, each of some 13 KB.
const mostSpares = 64

func (s *spares) keep(c *client) {
	c.in.Reset(&c.flow)
	c.flow.again()
	c.lane, c.toward, c.begun, c.failure, c.looked, c.ended = laned{}, nil, nil, nil, 0, time.Time{}
	c.current.Store(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.clients) < mostSpares {
		s.clients = append(s.clients, c)
	}
}

// take returns one, nil when there is none.
func (s *spares) take() *client {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.clients) - 1
	if n < 0 {
		return nil
	}
	c := s.clients[n]
	s.clients[n], s.clients = nil, s.clients[:n]
	return c
}
