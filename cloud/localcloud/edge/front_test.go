package edge

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"showrunner/cloud/localcloud/balancer"
	"showrunner/cloud/localcloud/proxy/proxytest"
)

// The front is that of an edge before a region before an instance, as they are together.
func TestFront(t *testing.T) { proxytest.Run(t, openFront) }

func TestExhaustion(t *testing.T) { proxytest.Exhaustion(t, "TestExhaustion", openFront) }

func openFront(t *testing.T, instance string) string {
	return before(t, startRegion(t, instance)).address
}

// startRegion is the front of one region before one instance.
func startRegion(t *testing.T, instance string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := balancer.New(balancer.Config{Patience: 10 * time.Millisecond, EdgeKey: (&fakeCloud{}).EdgeKey("a")})
	b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{{Name: "g", Weight: 1, Targets: []balancer.Target{{ID: "a", Address: instance}}}}})
	served := make(chan error)
	go func() { served <- b.Serve(l) }()
	t.Cleanup(func() {
		_ = b.Shutdown(t.Context()) // which has ended: everything is closed
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// An instance is told who asked by the edge, whatever the client says, and not the
// key by which the region knows the edge.
func TestWhoAsked(t *testing.T) {
	seen := make(chan http.Header, 1)
	instance := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
	defer instance.Close()
	e := before(t, startRegion(t, instance.Listener.Addr().String()))
	for _, key := range []string{"guess", (&fakeCloud{}).EdgeKey("a")} {
		c := e.connect(t)
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: evil\r\nX-Showrunner-Edge-Key: %s\r\nConnection: close\r\n\r\n", key)
		h := <-seen
		if h.Get("X-Forwarded-For") != "127.0.0.1, 127.0.0.1" || h.Get("X-Forwarded-Host") != "shop.localhost" || h["X-Showrunner-Edge-Key"] != nil {
			t.Errorf("the instance is told %v", h)
		}
	}
}
