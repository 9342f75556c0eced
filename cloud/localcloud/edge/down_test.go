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

// When every region misses its probe, as on a machine that is too busy, there is nowhere
// to go: what waits for an answer goes on waiting. Once a region serves again, it goes there.
func TestWaitsWhenEveryRegionIsBelievedDown(t *testing.T) {
	asked, answer := make(chan string, 8), make(chan struct{})
	front := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked <- name
			select {
			case <-answer:
				io.WriteString(w, name)
			case <-r.Context().Done():
			}
		}))
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	s := &fakeCloud{list: []cloud.Region{{Name: "a", Address: front("a"), Healthy: true}, {Name: "b", Address: front("b"), Healthy: true}}}
	e := serve(t, s)
	believe := func(a, b bool) {
		s.list[0].Healthy, s.list[1].Healthy = a, b
		e.table.probe(t.Context(), s)
	}
	type result struct {
		code int
		body string
	}
	results := make(chan result, 1)
	go func() {
		code, body, _ := e.ask(t, http.MethodGet, "")
		results <- result{code, body}
	}()
	expect := func(name string) {
		t.Helper()
		select {
		case got := <-asked:
			if got != name {
				t.Fatalf("%s was asked, not %s", got, name)
			}
		case r := <-results:
			t.Fatalf("answered %d %q before %s was asked", r.code, r.body, name)
		}
	}
	expect("a")
	believe(false, false) // a first, while b is still believed up: the request goes to b, and waits there
	expect("b")
	believe(true, false) // b was the last choice, and a serves again
	expect("a")
	close(answer)
	if r := <-results; r.code != http.StatusOK || r.body != "a" {
		t.Fatalf("%d %q", r.code, r.body)
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
