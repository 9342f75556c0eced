package balancer_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"showrunner/cloud/localcloud/balancer"
)

// What an instance says at once reaches the client at once, and when the client
// leaves the instance learns of it.
func TestStreamsFlowAndEndWithTheClient(t *testing.T) {
	left := make(chan struct{})
	next := make(chan string)
	b, address := one(t, handler(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		control := http.NewResponseController(w)
		for {
			select {
			case text := <-next:
				io.WriteString(w, text)
				control.Flush()
			case <-r.Context().Done():
				close(left)
				return
			}
		}
	}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "shop.localhost"
	go func() { next <- "data: 1\n" }()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for i := range 3 {
		if i > 0 {
			next <- fmt.Sprintf("data: %d\n", i+1)
		}
		if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintf("data: %d\n", i+1) {
			t.Fatalf("%q %v", line, err)
		}
	}
	cancel()
	<-left
	if err := b.Drain(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}

// The client that leaves before the answer ends the request at the instance.
func TestAClientThatLeaves(t *testing.T) {
	arrived, left := make(chan struct{}), make(chan struct{})
	_, address := one(t, handler(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(left)
	}))
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
	<-arrived
	c.Close()
	<-left
}

// A client that has ended its side may wait for its answer all the same.
func TestAClientThatEndsItsSide(t *testing.T) {
	_, address := one(t, handler(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-time.NewTimer(300 * time.Millisecond).C // an instance that takes its time, some sweeps long
		io.WriteString(w, "late")
	}))
	for name, request := range map[string]string{
		"plain":         "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n",
		"plain, closes": "GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n",
		"HTTP/1.0":      "GET / HTTP/1.0\r\nHost: shop.localhost\r\n\r\n",
		"with a body":   "POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 2\r\n\r\nhi",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, request)
			c.(*net.TCPConn).CloseWrite()
			if text, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(text), "late") {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}

func TestEarlyHints(t *testing.T) {
	_, address := one(t, raw(t, func(c net.Conn, in *bufio.Reader) {
		if _, err := head(in); err == nil {
			io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}))
	answer := speak(t, address, "GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n")
	hints, rest, _ := strings.Cut(answer, "\r\n\r\n")
	if !strings.HasPrefix(hints, "HTTP/1.1 103 Early Hints") || !strings.Contains(hints, "Link: </a.css>") || !strings.HasPrefix(rest, "HTTP/1.1 200 OK") || strings.Contains(rest, "Link:") {
		t.Errorf("%q", answer)
	}
}

// A shutdown closes what is idle, lets what is under way end, and says that the
// connection ends with it.
func TestShutdownLetsRequestsEnd(t *testing.T) {
	arrived, leave := make(chan struct{}), make(chan struct{})
	instance := handler(t, func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-leave
		io.WriteString(w, "done")
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := balancer.New(balancer.Config{})
	b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{{Name: "g", Weight: 1, Targets: []balancer.Target{instance}}}})
	served := make(chan error)
	go func() { served <- b.Serve(l) }()
	idle, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	busy, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	io.WriteString(busy, "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
	<-arrived
	down := make(chan error)
	go func() { down <- b.Shutdown(t.Context()) }()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("an idle connection says something")
	}
	close(leave)
	res, err := http.ReadResponse(bufio.NewReader(busy), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != "done" || !res.Close {
		t.Errorf("%q %v, closes %v", body, err, res.Close)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
}
