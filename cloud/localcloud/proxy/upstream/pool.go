package upstream

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Dialer makes the connections to servers.
var Dialer = &net.Dialer{Timeout: time.Second, KeepAlive: 15 * time.Second}

const (
	// mostIdle connections are kept open to one address.
	mostIdle = 512
	// IdleTimeout is how long a connection is kept open without a request.
	IdleTimeout = time.Minute
)

// Pool is the connections to one address. Its methods may be used from any goroutine.
type Pool struct {
	address string

	mu       sync.Mutex
	idle     []*conn // the one used last is at the end
	closed   bool
	kept     int       // how often a connection was kept, up to youngKept
	distrust time.Time // until when none is kept

	// Spoke is told that the server has written more than its answers, so that no
	// connection is kept for a while. May be nil; it is set before the pool is used.
	Spoke func(until time.Time)
}

// NewPool makes a pool that dials host:port when it is asked to.
func NewPool(address string) *Pool { return &Pool{address: address} }

// Address is the host:port that the pool dials.
func (p *Pool) Address() string { return p.address }

// Close closes the idle connections; those in use close when they are given back.
func (p *Pool) Close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
}

// Prune closes what has been idle for too long, or was closed by the other side.
func (p *Pool) Prune(now time.Time) {
	p.mu.Lock()
	var kept, gone []*conn
	spoke := false
	for _, c := range p.idle {
		switch state := c.look(); {
		case state == silent && now.Sub(c.since) < IdleTimeout:
			kept = append(kept, c)
			continue
		case state == spoken:
			spoke = true
		}
		gone = append(gone, c)
	}
	p.idle = kept
	p.mu.Unlock()
	for _, c := range gone {
		c.close()
	}
	if spoke {
		p.distrusts(now)
	}
}

// A server that writes more than its answer does so right after it, as a rule. What
// has come by the next request ends the connection, and is never taken for the next
// answer; what comes between that request and its answer cannot be told from it. So
// a connection is left alone for a while after an answer, for longer as long as little
// is known of the server; and once a server was seen to write more than its answers,
// each request gets a connection of its own.
const (
	restTime = 2 * time.Millisecond
	// youngRest is how long it is until youngKept answers have come.
	youngRest = 50 * time.Millisecond
	youngKept = 32
	// distrustTime is how long a server that has written more is not trusted.
	distrustTime = 10 * time.Minute
)

// distrusts keeps no connection for a while: the server was seen to write more than
// its answers.
func (p *Pool) distrusts(now time.Time) {
	p.mu.Lock()
	idle := p.idle
	first := !now.Before(p.distrust)
	p.idle, p.kept, p.distrust = nil, 0, now.Add(distrustTime)
	until := p.distrust
	p.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
	if first && p.Spoke != nil {
		p.Spoke(until)
	}
}

// rested takes the idle connection that was used last among those that have
// rested; nil: there is none.
func (p *Pool) rested(now time.Time) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	rest := restTime
	if p.kept < youngKept {
		rest = youngRest
	}
	for i, c := range slices.Backward(p.idle) {
		if now.Sub(c.since) >= rest {
			p.idle = slices.Delete(p.idle, i, i+1)
			return c
		}
	}
	return nil
}

// get takes an idle connection, which the other side may have closed, or dials.
// fresh asks for a new one; starved, which may be nil, is called when there is no
// descriptor for it.
func (p *Pool) get(ctx context.Context, fresh bool, starved func()) (*conn, error) {
	for now := time.Now(); !fresh; {
		c := p.rested(now)
		if c == nil {
			break
		}
		if now.Sub(c.since) < IdleTimeout {
			return c, nil
		}
		c.close()
	}
	raw, err := Dialer.DialContext(ctx, "tcp", p.address)
	for began := time.Now(); err != nil && Exhausted(err) && time.Since(began) < exhaustedWait; {
		if starved != nil {
			starved()
		}
		select { // others are about to end
		case <-ctx.Done():
			return nil, err
		case <-time.After(exhaustedWait / 20):
		}
		raw, err = Dialer.DialContext(ctx, "tcp", p.address)
	}
	if err != nil {
		return nil, err
	}
	return newConn(raw, p)
}

// exhaustedWait is how long a descriptor is waited for.
const exhaustedWait = 500 * time.Millisecond

// open counts the connections to all servers.
var open atomic.Int64

// mostOpen is how many there may be until none is kept without a request: so those
// that are kept leave descriptors to those that are needed.
var mostOpen = sync.OnceValue(func() int64 { return descriptors() / 3 })

// put keeps a connection on which nothing is under way.
func (p *Pool) put(c *conn) {
	c.since, c.used = time.Now(), true
	p.mu.Lock()
	keep := !p.closed && len(p.idle) < mostIdle && open.Load() <= mostOpen() && !c.since.Before(p.distrust)
	if keep {
		p.idle = append(p.idle, c)
		p.kept = min(p.kept+1, youngKept)
	}
	p.mu.Unlock()
	if !keep {
		c.close()
	}
}

// Exhausted says whether an error is of this process or machine, which has no
// descriptor or port left, and so of no server.
func Exhausted(err error) bool {
	for _, code := range exhaustion {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

var exhaustion = []error{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOMEM}
