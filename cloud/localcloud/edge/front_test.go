package edge

import (
	"net"
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
	b := balancer.New(balancer.Config{Patience: 10 * time.Millisecond, EdgeKey: (&seen{}).EdgeKey("a")})
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
