package balancer_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"showrunner/cloud"
	"showrunner/cloud/localcloud/balancer"
)

// start serves a balancer and returns it with its address.
func start(t *testing.T, c balancer.Config) (*balancer.Balancer, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := balancer.New(c)
	address := l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- b.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		b.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return b, address
}

// backend is an instance that says its name.
func backend(t *testing.T, name string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, name) }))
	t.Cleanup(s.Close)
	return s
}

func target(id string, s *httptest.Server) balancer.Target {
	return balancer.Target{ID: id, Address: s.Listener.Addr().String()}
}

func ask(t *testing.T, method, address, body string, header ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "shop.localhost"
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text), res.Header
}

func TestWeightsVersionsAndCounts(t *testing.T) {
	b, address := start(t, balancer.Config{})
	cluster := balancer.Cluster{Name: "shop", Groups: []balancer.Group{
		{Name: "shop-v001", Version: "old", Weight: 90, Targets: []balancer.Target{target("a", backend(t, "old"))}},
		{Name: "shop-v002", Version: "new", Weight: 10, Targets: []balancer.Target{target("b", backend(t, "new"))}},
		{Name: "shop-v003", Version: "next", Weight: 0, Targets: []balancer.Target{target("c", backend(t, "next"))}},
	}}
	b.SetCluster(cluster)
	seen := map[string]int{}
	const n = 2000
	for range n {
		_, body, _ := ask(t, http.MethodGet, address, "", balancer.VersionHeader, "next") // which means nothing here
		seen[body]++
	}
	// Five standard deviations of a binomial with p = 0.1.
	if k := seen["new"]; k < n/10-70 || k > n/10+70 || seen["next"] != 0 || seen["old"]+k != n {
		t.Errorf("%v of %d", seen, n)
	}
	cluster.VersionHeader = true
	b.SetCluster(cluster)
	for _, version := range []string{"next", "shop-v003", "v003"} {
		if _, body, _ := ask(t, http.MethodGet, address, "", balancer.VersionHeader, version); body != "next" {
			t.Errorf("version %s is answered by %s", version, body)
		}
	}
	var total uint64
	for _, c := range b.Counts("shop") {
		if len(c.Buckets) != len(cloud.LatencyBounds)+1 {
			t.Fatalf("%d buckets", len(c.Buckets))
		}
		if c.Instance == "" {
			total += c.Requests
		}
	}
	if total != n+3 {
		t.Errorf("%d requests counted, want %d", total, n+3)
	}
}

// broken is an instance that takes connections and closes them without an answer.
func broken(t *testing.T, hits *atomic.Int64) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := bufio.NewReader(c).ReadString('\n'); err == nil {
				hits.Add(1)
			}
			c.Close()
		}
	}()
	return l.Addr().String()
}

func TestRetriesWhatDoesNoHarm(t *testing.T) {
	var hits atomic.Int64
	var ejected atomic.Int64
	b, address := start(t, balancer.Config{OnEject: func(id, _ string) {
		if id == "bad" {
			ejected.Add(1)
		}
	}})
	good := backend(t, "good")
	set := func(bad string) {
		b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{{Name: "g", Weight: 1, Targets: []balancer.Target{{ID: "bad", Address: bad}, target("good", good)}}}})
	}
	set(broken(t, &hits))
	for range 20 {
		if status, body, _ := ask(t, http.MethodPut, address, "the body"); status != http.StatusOK || body != "good" {
			t.Fatalf("%d %s", status, body)
		}
	}
	if hits.Load() == 0 || ejected.Load() == 0 {
		t.Errorf("the broken instance was asked %d times and ejected %d times", hits.Load(), ejected.Load())
	}
	retried := map[string]uint64{}
	for _, c := range b.Counts("shop") {
		retried[c.Instance] = c.Retried
	}
	if retried["good"] == 0 || retried["bad"] != 0 || retried[""] != retried["good"] {
		t.Errorf("retried: %v", retried)
	}
	// A POST that has been sent is not sent again, unless it says that it may be.
	b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{{Name: "h", Weight: 1, Targets: []balancer.Target{{ID: "bad2", Address: broken(t, &hits)}}}}})
	if status, _, _ := ask(t, http.MethodPost, address, "x"); status != http.StatusBadGateway {
		t.Errorf("a broken POST is answered %d", status)
	}
	// Nobody listens there: nothing was sent, so even a POST goes elsewhere.
	closed := backend(t, "closed")
	nobody := closed.Listener.Addr().String()
	closed.Close()
	set(nobody)
	for range 20 {
		if status, body, _ := ask(t, http.MethodPost, address, "x"); status != http.StatusOK || body != "good" {
			t.Fatalf("%d %s", status, body)
		}
	}
}

func TestARequestWaitsForAnInstance(t *testing.T) {
	b, address := start(t, balancer.Config{})
	b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{{Name: "g", Weight: 1}}})
	answer := make(chan string)
	go func() {
		_, body, _ := ask(t, http.MethodPost, address, "x")
		answer <- body
	}()
	b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{{Name: "g", Weight: 1, Targets: []balancer.Target{target("a", backend(t, "late"))}}}})
	if body := <-answer; body != "late" {
		t.Errorf("%s", body)
	}
}

func TestWithoutAnInstanceItSaysSo(t *testing.T) {
	b, address := start(t, balancer.Config{Patience: time.Millisecond})
	b.SetCluster(balancer.Cluster{Name: "shop"})
	status, _, header := ask(t, http.MethodGet, address, "")
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("%d %v", status, header)
	}
	b.RemoveCluster("shop")
	if status, _, header := ask(t, http.MethodGet, address, ""); status != http.StatusNotFound || header.Get("X-Showrunner-Unknown-Host") == "" {
		t.Errorf("an unknown host: %d %v", status, header)
	}
}

func TestDrainEndsWithTheLastRequest(t *testing.T) {
	entered, leave := make(chan bool), make(chan bool)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		entered <- true
		<-leave
		io.WriteString(w, "done")
	}))
	defer slow.Close()
	b, address := start(t, balancer.Config{})
	set := func(draining bool) {
		s := target("slow", slow)
		s.Draining = draining
		b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{{Name: "g", Weight: 1, Targets: []balancer.Target{s, target("other", backend(t, "other"))}}}})
	}
	b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{{Name: "g", Weight: 1, Targets: []balancer.Target{target("slow", slow)}}}})
	answer := make(chan string)
	go func() {
		_, body, _ := ask(t, http.MethodPost, address, "x")
		answer <- body
	}()
	<-entered
	set(true)
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Drain(short, "slow"); err == nil {
		t.Error("drained with a request in flight")
	}
	for range 10 {
		if _, body, _ := ask(t, http.MethodGet, address, ""); body != "other" {
			t.Fatalf("a draining instance answered %s", body)
		}
	}
	close(leave)
	if err := b.Drain(t.Context(), "slow"); err != nil {
		t.Error(err)
	}
	if body := <-answer; body != "done" {
		t.Errorf("the request in flight got %q", body)
	}
}

// An instance that hangs is found out by the fleet, which takes it out: what
// waits for its answer then goes elsewhere.
func TestAHangFailsNoHarmlessRequest(t *testing.T) {
	stuck := make(chan bool)
	arrived := make(chan bool, 1)
	hung := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- true
		<-stuck
	}))
	defer hung.Close()
	defer close(stuck)
	b, address := start(t, balancer.Config{Suspicion: time.Millisecond})
	h := target("hung", hung)
	b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{{Name: "g", Weight: 1, Targets: []balancer.Target{h}}}})
	answer := make(chan string)
	go func() {
		_, body, _ := ask(t, http.MethodGet, address, "")
		answer <- body
	}()
	<-arrived
	h.Draining = true
	b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{{Name: "g", Weight: 1, Targets: []balancer.Target{h, target("a", backend(t, "well"))}}}})
	if body := <-answer; body != "well" {
		t.Errorf("%s", body)
	}
}

func TestStickyClustersKeepTheirInstance(t *testing.T) {
	b, address := start(t, balancer.Config{})
	b.SetCluster(balancer.Cluster{Name: "shop", Sticky: true, Groups: []balancer.Group{{Name: "g", Weight: 1, Targets: []balancer.Target{target("a", backend(t, "a")), target("b", backend(t, "b"))}}}})
	_, first, header := ask(t, http.MethodGet, address, "")
	cookie, _, _ := strings.Cut(header.Get("Set-Cookie"), ";")
	for range 20 {
		if _, body, _ := ask(t, http.MethodGet, address, "", "Cookie", cookie); body != first {
			t.Fatalf("%s, first was %s", body, first)
		}
	}
}

func TestWebSocketsAndHTTP2(t *testing.T) {
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			fmt.Fprint(w, r.Header.Get("X-Forwarded-Host"))
			return
		}
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		kind, message, err := c.Read(r.Context())
		if err == nil {
			err = c.Write(r.Context(), kind, message)
		}
		if err != nil {
			t.Error(err)
		}
		c.Close(websocket.StatusNormalClosure, "")
	}))
	defer echo.Close()
	b, address := start(t, balancer.Config{})
	b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{{Name: "g", Weight: 1, Targets: []balancer.Target{target("a", echo)}}}})
	c, _, err := websocket.Dial(t.Context(), "ws://"+address+"/", &websocket.DialOptions{Host: "shop.localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if err := c.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, message, err := c.Read(t.Context()); err != nil || string(message) != "hello" {
		t.Errorf("%q %v", message, err)
	}
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "shop.localhost"
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.ProtoMajor != 2 || string(body) != "shop.localhost" {
		t.Errorf("HTTP/%d %q %v", res.ProtoMajor, body, err)
	}
}
