package edge

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"showrunner/cloud"
)

// What is not known yet, or only believed by a probe, is no reason to
// fail a request: the regions are asked, and those believed down are really tried.
func TestRegionsBelievedDownAreTried(t *testing.T) {
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "served") }))
	defer front.Close()
	address := strings.TrimPrefix(front.URL, "http://")
	s := &fakeCloud{list: []cloud.Region{{Name: "a", Address: address, Healthy: true}, {Name: "b", Address: address, Healthy: true}}}
	e := serve(t, s)
	e.table.regions = nil
	ask := func() (int, string) {
		code, body, _ := e.ask(t, http.MethodGet, "")
		return code, body
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
	var e *served
	goesDown := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		go func() {
			e.table.mu.Lock()
			defer e.table.mu.Unlock()
			r := e.table.regions[0]
			r.end()
			r.alive, r.end = context.WithCancel(context.Background())
		}()
		io.WriteString(w, answer)
	}))
	defer goesDown.Close()
	stays := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) }))
	defer stays.Close()
	e = serve(t, &fakeCloud{list: []cloud.Region{{Name: "a", Address: goesDown.Listener.Addr().String(), Healthy: true}, {Name: "b", Address: stays.Listener.Addr().String(), Healthy: true}}})
	for range 200 {
		if code, body, _ := e.ask(t, http.MethodGet, ""); code != http.StatusOK || len(body) != len(answer) {
			t.Fatalf("%d with %d of %d bytes", code, len(body), len(answer))
		}
	}
}
