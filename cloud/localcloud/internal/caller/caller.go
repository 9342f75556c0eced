// Package caller finds the instance that opened a connection to a proxy of this
// machine, so that faults can hit the requests of one service alone, whatever it
// sends. It owns the search in /proc and what is kept of it. It refuses to know what
// is done with the answer.
package caller

import (
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Instance is who opened a connection.
type Instance struct {
	ID          string
	ServerGroup string
}

// Of says whether the instance is of a server group, or of a cluster by its name.
func (i Instance) Of(service string) bool {
	at := strings.LastIndex(i.ServerGroup, "-v")
	return i.ServerGroup != "" && (i.ServerGroup == service || at > 0 && i.ServerGroup[:at] == service)
}

// kept is how long an answer is believed: the port of a connection that has ended is
// not given to another process so soon.
const kept = 2 * time.Second

// Finder answers who opened a connection. It may be used from any goroutine.
type Finder struct {
	scan func() map[netip.AddrPort]Instance // the connections of all instances

	mu       sync.Mutex
	found    map[netip.AddrPort]answer
	scanning chan struct{} // closed when the scan that runs has ended; nil: none runs
	scans    int           // that have ended
	last     map[netip.AddrPort]Instance
}

type answer struct {
	instance Instance
	at       time.Time
}

// NewFinder makes a Finder. Supported says whether it finds anything on this system.
func NewFinder() *Finder {
	s := newScanner()
	return &Finder{scan: s.scan, found: map[netip.AddrPort]answer{}}
}

// Find answers whose the client's side of a connection is, by its address; nobody for
// a connection of another program. It blocks for the time of a scan of /proc when the
// connection is not known yet.
func (f *Finder) Find(client string) Instance {
	at, err := netip.ParseAddrPort(client)
	if err != nil {
		return Instance{}
	}
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if a, ok := f.found[at]; ok && now.Sub(a.at) < kept {
		return a.instance
	}
	// A scan that runs already may have begun before the connection was opened: the
	// one after it has not.
	need := f.scans + 1
	if f.scanning != nil {
		need++
	}
	for f.scans < need {
		f.await()
	}
	a := answer{f.last[at], now}
	if len(f.found) > 10_000 {
		clear(f.found)
	}
	f.found[at] = a
	return a.instance
}

// await returns when a scan has ended. The Finder is locked, and is not meanwhile.
func (f *Finder) await() {
	if running := f.scanning; running != nil {
		f.mu.Unlock()
		<-running
		f.mu.Lock()
		return
	}
	done := make(chan struct{})
	f.scanning = done
	f.mu.Unlock()
	found := f.scan()
	f.mu.Lock()
	f.last, f.scanning = found, nil
	f.scans++
	close(done)
}
