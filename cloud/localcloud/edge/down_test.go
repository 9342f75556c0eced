package edge

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"

	"showrunner/cloud"
)

// seen is a cloud whose regions are as the test says.
type seen struct{ list []cloud.Region }

func (s *seen) Regions(context.Context) ([]cloud.Region, error) { return s.list, nil }
func (s *seen) ListSites(context.Context, string) ([]cloud.Site, error) {
	return nil, errors.New("not asked here")
}
func (s *seen) ServerGroups(context.Context, string, string) ([]cloud.ServerGroup, error) {
	return nil, errors.New("not asked here")
}

// What is not known yet, or only believed by a probe, is no reason to
// fail a request: the regions are asked, and those believed down are really tried.
func TestRegionsBelievedDownAreTried(t *testing.T) {
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "served") }))
	defer front.Close()
	address := strings.TrimPrefix(front.URL, "http://")
	s := &seen{list: []cloud.Region{{Name: "a", Address: address, Healthy: true}, {Name: "b", Address: address, Healthy: true}}}
	e, err := newEdge(Config{Data: t.TempDir(), Cloud: s, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	ask := func() (int, string) {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://shop.localhost/", nil))
		return w.Code, w.Body.String()
	}
	if code, body := ask(); code != http.StatusOK {
		t.Fatalf("not probed yet: %d %s", code, body)
	}
	for i := range s.list {
		s.list[i].Healthy = false // the probes were late, on a busy machine
	}
	e.table.probe(t.Context(), s)
	if code, body := ask(); code != http.StatusOK {
		t.Errorf("all believed down, all serving: %d %s", code, body)
	}
	front.Close()
	if code, _ := ask(); code != http.StatusBadGateway {
		t.Errorf("really down: %d", code)
	}
}

// A region that is found down at the very moment when its answer begins: the
// answer is of no use, since its body ends with the wait, and the request is
// answered by another.
func TestFoundDownWhileItBeginsToAnswer(t *testing.T) {
	answer := strings.Repeat("x", 256<<10) // more than arrives with the first bytes
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) }))
	defer front.Close()
	address := strings.TrimPrefix(front.URL, "http://")
	s := &seen{list: []cloud.Region{{Name: "a", Address: address, Healthy: true}, {Name: "b", Address: address, Healthy: true}}}
	e, err := newEdge(Config{Data: t.TempDir(), Cloud: s, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		e.table.probe(t.Context(), s)
		var once sync.Once
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotFirstResponseByte: func() {
			once.Do(func() {
				e.table.mu.Lock()
				defer e.table.mu.Unlock()
				r := e.table.regions[0] // the one that is asked first
				r.end()
				r.alive, r.end = context.WithCancel(context.Background())
			})
		}})
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://shop.localhost/", nil).WithContext(ctx))
		if w.Code != http.StatusOK || w.Body.Len() != len(answer) {
			t.Fatalf("%d with %d of %d bytes", w.Code, w.Body.Len(), len(answer))
		}
	}
}
