package proxy

import (
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// serve starts a server whose requests a handler answers.
func serve(t *testing.T, c Config, h http.Handler) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if c.Route == nil {
		c.Route = func(*http.Request) (Service, http.Handler) { return nil, h }
	}
	s := New(c)
	served := make(chan error)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Shutdown(t.Context()) // which has ended: everything is closed
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s, l.Addr().String()
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second)) // so that no failure hangs
	return c
}

// A client that says half a request, or nothing for long, does not keep its connection.
func TestSlowAndIdleClientsAreClosed(t *testing.T) {
	for name, test := range map[string]struct {
		says  string
		phase phase
		limit time.Duration
	}{
		"half a request":  {"GET / HTTP/1.1\r\nHost: sh", headPhase, headLimit},
		"half a preface":  {"PRI * HT", headPhase, headLimit},
		"nothing":         {"", idlePhase, idleLimit},
		"half a long one": {"POST / HTTP/1.1\r\nHost: a\r\nX: " + string(make([]byte, 0)), headPhase, headLimit},
	} {
		t.Run(name, func(t *testing.T) {
			s, address := serve(t, Config{}, http.NotFoundHandler())
			c := dial(t, address)
			if _, err := io.WriteString(c, test.says); err != nil {
				t.Fatal(err)
			}
			var seen []*client
			for len(seen) == 0 || phase(seen[0].phase.Load()) != test.phase {
				runtime.Gosched()
				seen = s.all(s.clients)
			}
			now := time.Unix(0, seen[0].since.Load())
			s.sweep(now.Add(test.limit))
			if len(s.all(s.clients)) != 1 {
				t.Error("closed within its time")
			}
			s.sweep(now.Add(test.limit + time.Second))
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("it goes on: %v", err)
			}
		})
	}
}

// Quiet connections of HTTP/2 leave their places to clients that ask for something,
// as those of HTTP/1 do.
func TestQuietHTTP2ConnectionsGiveWay(t *testing.T) {
	const most = 4
	_, address := serve(t, Config{MaxClients: most}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	for range most {
		if _, err := io.WriteString(dial(t, address), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
			t.Fatal(err)
		}
	}
	c := dial(t, address)
	c.SetDeadline(time.Now().Add(10 * time.Second)) // they are looked for after 15 s at the earliest otherwise
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(text), "hello") {
		t.Errorf("%q, %v", text, err)
	}
}

// Trailers of a gRPC call's client are not sent on: they could end the connection
// that other calls share.
func TestCallsHaveNoTrailersOfTheClient(t *testing.T) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://a/g.S/M", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Trailer = http.Header{"X-C": {"1"}}
	if out := (&Call{Request: r}).outgoing(t.Context(), r, "127.0.0.1:1", Attempt{}); out.Trailer != nil {
		t.Errorf("trailers %v are sent on", out.Trailer)
	}
}
