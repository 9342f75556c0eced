package balancer

import (
	"io"
	"maps"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"
)

// A client that says half a request, or nothing for long, does not keep its connection.
func TestSlowAndIdleClientsAreClosed(t *testing.T) {
	for name, test := range map[string]struct {
		says  string
		phase phase
		limit time.Duration
	}{
		"half a request": {"GET / HTTP/1.1\r\nHost: sh", reading, headTimeout},
		"nothing":        {"", idle, idleTimeout},
	} {
		for served, by := range map[string]func(net.Listener) net.Listener{
			"in a lane":      func(l net.Listener) net.Listener { return l },
			"by a goroutine": func(l net.Listener) net.Listener { return struct{ net.Listener }{l} },
		} {
			t.Run(name+", "+served, func(t *testing.T) { slowOrIdle(t, by, test.says, test.phase, test.limit) })
		}
	}
}

func slowOrIdle(t *testing.T, by func(net.Listener) net.Listener, says string, in phase, limit time.Duration) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := New(Config{})
	served := make(chan error)
	go func() { served <- b.Serve(by(l)) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, says); err != nil {
		t.Fatal(err)
	}
	everyone := func() []*client {
		b.front.mu.Lock()
		defer b.front.mu.Unlock()
		return slices.Collect(maps.Keys(b.front.conns))
	}
	var seen []*client
	for len(seen) == 0 || phase(seen[0].phase.Load()) != in {
		runtime.Gosched()
		seen = everyone()
	}
	now := time.Unix(0, seen[0].since.Load())
	sweep := func(now time.Time) {
		b.front.sweep(now)
		b.front.sweepLanes(now).Wait()
	}
	sweep(now.Add(limit))
	if len(everyone()) != 1 {
		t.Error("closed within its time")
	}
	sweep(now.Add(limit + time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("it goes on")
	}
	if err := b.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
