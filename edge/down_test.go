package edge

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
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
