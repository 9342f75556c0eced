package upstream

import (
	"net"
	"testing"
	"time"
)

// A connection rests after an answer, so that what its server writes beyond the
// answer is there before the next request; among those that have rested, the one
// that was used last is taken.
func TestConnectionsRestBetweenRequests(t *testing.T) {
	t.Parallel()
	now := time.Unix(100, 0)
	old, rested, fresh := &conn{since: now.Add(-time.Second)}, &conn{since: now.Add(-restTime)}, &conn{since: now.Add(-restTime / 2)}
	p := NewPool("127.0.0.1:1")
	p.idle, p.kept = []*conn{old, rested, fresh}, youngKept
	for _, want := range []*conn{rested, old, nil} {
		if got := p.rested(now); got != want {
			t.Errorf("%p was taken, want %p", got, want)
		}
	}
	if got := p.rested(now.Add(restTime)); got != fresh {
		t.Errorf("%p was taken after its rest, want %p", got, fresh)
	}
}

// A connection rests for longer while few answers have come, and none is kept once the
// server was seen to write more than its answers.
func TestAnUnknownServerIsTrustedLess(t *testing.T) {
	t.Parallel()
	now := time.Now()
	young := &conn{since: now.Add(-restTime)}
	p := NewPool("127.0.0.1:1")
	p.idle = []*conn{young}
	if got := p.rested(now); got != nil {
		t.Error("a connection to a server of which little is known was taken too early")
	}
	if got := p.rested(now.Add(youngRest)); got != young {
		t.Error("it is not taken after its rest")
	}
	var told []time.Time
	p.Spoke = func(until time.Time) { told = append(told, until) }
	p.distrusts(now)
	p.distrusts(now.Add(time.Second))
	ours, other := net.Pipe()
	defer other.Close()
	p.put(&conn{raw: ours, pool: p, uncount: func() {}})
	if len(p.idle) > 0 || len(told) != 1 || !told[0].Equal(now.Add(distrustTime)) {
		t.Errorf("%d connections are kept; told: %v", len(p.idle), told)
	}
	p.distrust = now.Add(-time.Second)
	p.put(&conn{raw: ours, pool: p, uncount: func() {}})
	if len(p.idle) != 1 {
		t.Error("a server is never trusted again")
	}
}

// A server that ends an idle connection with the word that no request came has not
// answered what nobody asked.
func TestWhatAServerSaysUnasked(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for says, want := range map[string]standing{
		"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n": over,
		"HTTP/1.1 200 OK\r\n": spoken,
		"\r\n":                spoken,
	} {
		ours, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c, err := newConn(ours, NewPool(""))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.look(); got != silent {
			t.Errorf("before %q: %d", says, got)
		}
		if _, err := server.Write([]byte(says)); err != nil {
			t.Fatal(err)
		}
		server.Close()
		for c.look() == silent { // until it has come
		}
		c.close()
		if got := c.found; polls && got != want {
			t.Errorf("%q: %d, want %d", says, got, want)
		}
	}
}
