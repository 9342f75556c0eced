package balancer

import (
	"io"
	"net"
	"runtime"
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
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			b := New(Config{})
			served := make(chan error)
			go func() { served <- b.Serve(l) }()
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, test.says); err != nil {
				t.Fatal(err)
			}
			var seen []*client
			for len(seen) == 0 || phase(seen[0].phase.Load()) != test.phase {
				runtime.Gosched()
				seen = b.front.all()
			}
			now := time.Unix(0, seen[0].since.Load())
			b.front.sweep(now.Add(test.limit))
			if len(b.front.all()) != 1 {
				t.Error("closed within its time")
			}
			b.front.sweep(now.Add(test.limit + time.Second))
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("it goes on")
			}
			if err := b.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
	}
}
