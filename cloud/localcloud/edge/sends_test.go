package edge

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/cloud/localcloud/balancer"
)

// A request that no instance of any region can answer is sent so often over all of
// them, however it fails, and the answer does not say it.
func TestSendsAreCountedOverRegions(t *testing.T) {
	for name, fail := range map[string]http.HandlerFunc{
		"it breaks off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"it says so":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"and lies": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Showrunner-Spent", "-1000")
			w.WriteHeader(http.StatusServiceUnavailable)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var arrived atomic.Int64
			var told atomic.Value
			c := &fakeCloud{}
			for _, region := range []string{"a", "b", "c"} {
				c.list = append(c.list, failingRegion(t, region, func(w http.ResponseWriter, r *http.Request) {
					arrived.Add(1)
					if n := r.Header.Get("X-Showrunner-Sends"); n != "" {
						told.Store(n)
					}
					fail(w, r)
				}))
			}
			status, _, header := serve(t, c).ask(t, http.MethodGet, "")
			if status != http.StatusServiceUnavailable && status != http.StatusBadGateway {
				t.Errorf("answered %d", status)
			}
			if n := arrived.Load(); n != sendsInAll+2 { // 4 in the first region, and once in each of the others
				t.Errorf("it was sent %d times", n)
			}
			if header.Get("X-Showrunner-Spent") != "" || told.Load() != nil {
				t.Errorf("the client is told %v, an instance %v", header, told.Load())
			}
		})
	}
}

// failingRegion is the front of a region before six instances.
func failingRegion(t *testing.T, name string, fail http.HandlerFunc) cloud.Region {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := balancer.New(balancer.Config{Patience: 10 * time.Millisecond, EdgeKey: (&fakeCloud{}).EdgeKey(name)})
	group := balancer.Group{Name: "g", Weight: 1}
	for i := range 6 {
		instance := httptest.NewServer(fail)
		t.Cleanup(instance.Close)
		group.Targets = append(group.Targets, balancer.Target{ID: fmt.Sprint(name, i), Address: instance.Listener.Addr().String()})
	}
	b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{group}})
	served := make(chan error)
	go func() { served <- b.Serve(l) }()
	t.Cleanup(func() {
		_ = b.Shutdown(t.Context()) // which has ended: everything is closed
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return cloud.Region{Name: name, Address: l.Addr().String(), Healthy: true}
}
