package proxy

import (
	"cmp"
	"errors"
	"net"
	"slices"
	"time"
)

// accept serves a listener until it is closed.
func (s *Server) accept(l net.Listener) error {
	for {
		for s.full() {
			if s.closing.Load() {
				return net.ErrClosed
			}
			s.makeRoom(time.Now())
			s.awaitRoom()
		}
		raw, err := l.Accept()
		if err != nil {
			var temporary interface{ Temporary() bool }
			if !errors.As(err, &temporary) || !temporary.Temporary() {
				return err
			}
			s.config.Log.Warn("accepting a connection", "error", err)
			s.makeRoom(time.Now()) // no descriptor is left
			s.awaitRoom()
			continue
		}
		c := newClient(s, raw)
		if !s.add(c) {
			raw.Close()
			continue
		}
		go c.serve()
	}
}

// full says whether there are as many clients as may be.
func (s *Server) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.clients)+len(s.tunnels)+s.given.open() >= s.config.MaxClients
}

// roomEvery is how often room for new clients is checked for while there is none.
const roomEvery = 20 * time.Millisecond

// awaitRoom waits until a client ends, or for a while.
func (s *Server) awaitRoom() {
	clock := time.NewTimer(roomEvery)
	defer clock.Stop()
	select {
	case <-s.room:
	case <-clock.C:
	}
}

// wake ends awaitRoom.
func (s *Server) wake() {
	select {
	case s.room <- struct{}{}:
	default:
	}
}

// youngIdle is how long a connection is left alone between two requests, also when
// there are too many: a new one has time to send its first request.
const youngIdle = 250 * time.Millisecond

// makeRoom closes the tenth of all connections between two requests, of HTTP/1 and
// HTTP/2, that has been idle for longest, and at least one if there is any that is
// not young. When there is none, it does so with the clients that are furthest behind
// with a head, a body or the taking of an answer. What waits for an instance, and what
// speaks another protocol, is left alone.
func (s *Server) makeRoom(now time.Time) {
	clients, streams := s.all(s.clients), s.given.all()
	var idle, slow []reclaimable
	for _, c := range clients {
		if phase(c.phase.Load()) == idlePhase {
			idle = append(idle, reclaimable{now.Sub(time.Unix(0, c.since.Load())), c.raw})
		} else {
			slow = append(slow, reclaimable{c.behind(now), c.raw})
		}
	}
	for _, c := range streams {
		idle = append(idle, reclaimable{c.idle(now), c})
		slow = append(slow, reclaimable{c.behind(now), c})
	}
	if !closeLongest(idle, youngIdle) {
		closeLongest(slow, mostBehind)
	}
}

// reclaimable is a connection that may be closed for a new one, and for how long it
// has held its place for nothing.
type reclaimable struct {
	took time.Duration
	conn net.Conn
}

// closeLongest closes the tenth, and at least one, of those that have taken longer
// than least, those that have taken longest first. It says whether there was one.
func closeLongest(list []reclaimable, least time.Duration) bool {
	list = slices.DeleteFunc(list, func(r reclaimable) bool { return r.took <= least })
	slices.SortFunc(list, func(a, b reclaimable) int { return cmp.Compare(b.took, a.took) })
	for _, r := range list[:min(len(list), len(list)/10+1)] {
		r.conn.Close()
	}
	return len(list) > 0
}

func (s *Server) add(c *client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	s.clients[c] = struct{}{}
	return true
}

func (s *Server) remove(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.wake()
	delete(s.tunnels, c)
	if _, there := s.clients[c]; !there {
		return
	}
	delete(s.clients, c)
	if s.closing.Load() && len(s.clients) == 0 {
		close(s.empty)
	}
}

// becomeTunnel notes that a client speaks another protocol from now on: a shutdown
// does not wait for it.
func (s *Server) becomeTunnel(c *client) {
	s.remove(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tunnels[c] = struct{}{}
	if s.ending.Load() { // whoever closes all others may not see this one
		c.raw.Close()
	}
}

// all lists clients, so that none is looked at under the lock.
func (s *Server) all(of map[*client]struct{}) []*client {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*client, 0, len(of))
	for c := range of {
		list = append(list, c)
	}
	return list
}

// sweep ends connections that are idle or slow for too long, and the work for
// clients that have left.
func (s *Server) sweep(now time.Time) {
	for _, c := range s.all(s.clients) {
		p := phase(c.phase.Load()) // before its time, which is set first
		took := now.Sub(time.Unix(0, c.since.Load()))
		switch p {
		case idlePhase:
			if took > idleLimit || s.closing.Load() || c.hasEnded(took) {
				c.raw.Close()
			}
		case headPhase:
			if took > headLimit || c.hasEnded(took) {
				c.raw.Close()
			}
		case servingPhase:
			if took > sweepEvery && c.hasGivenUp(now, c.hasLeft()) {
				c.leave()
			}
		}
	}
}
