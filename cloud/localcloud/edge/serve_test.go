package edge

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"log/slog"

	"showrunner/cloud"
	"showrunner/cloud/localcloud/injection"
)

// fakeCloud is a cloud whose regions are as the test says.
type fakeCloud struct {
	list []cloud.Region

	mu      sync.Mutex
	faults  map[string][]injection.Fault // by region
	callers bool
}

func (s *fakeCloud) Regions(context.Context) ([]cloud.Region, error) { return s.list, nil }
func (s *fakeCloud) ListSites(context.Context, string) ([]cloud.Site, error) {
	return nil, errors.New("not asked here")
}
func (s *fakeCloud) ServerGroups(context.Context, string, string) ([]cloud.ServerGroup, error) {
	return nil, errors.New("not asked here")
}
func (s *fakeCloud) EdgeFaults(region string) ([]injection.Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults[region], s.callers
}

// inject replaces the faults.
func (s *fakeCloud) inject(faults map[string][]injection.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = faults
}

func (s *fakeCloud) EdgeKey(region string) string { return "key of " + region }

// served is an edge that serves.
type served struct {
	*Edge
	address string
}

// serve starts an edge that knows these regions.
func serve(t *testing.T, s *fakeCloud) *served {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEdge(Config{Data: t.TempDir(), Cloud: s, Listen: l.Addr().String(), Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	e.table.probe(t.Context(), s)
	ended := make(chan error)
	go func() { ended <- e.server.Serve(l) }()
	t.Cleanup(func() {
		_ = e.server.Shutdown(t.Context()) // which has ended: everything is closed
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &served{e, l.Addr().String()}
}

// before is an edge before one region's address.
func before(t *testing.T, address string) *served {
	t.Helper()
	return serve(t, &fakeCloud{list: []cloud.Region{{Name: "a", Address: address, Healthy: true}}})
}

// connect opens a connection that no failure leaves hanging.
func (e *served) connect(t *testing.T) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", e.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn)
}

// ask sends one request and returns its answer.
func (e *served) ask(t *testing.T, method, body string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+e.address+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "shop.localhost"
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(r)
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
