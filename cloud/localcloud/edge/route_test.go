package edge

import (
	"bufio"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"showrunner/cloud"
)

// startRegions starts a load balancer for each region, which answers with its name.
func startRegions(t *testing.T, names ...string) (*fakeCloud, map[string]*httptest.Server) {
	t.Helper()
	s, servers := &fakeCloud{}, map[string]*httptest.Server{}
	for _, name := range names {
		servers[name] = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			io.WriteString(w, name+string(text))
		}))
		t.Cleanup(servers[name].Close)
		s.list = append(s.list, cloud.Region{Name: name, Address: servers[name].Listener.Addr().String(), Healthy: true})
	}
	return s, servers
}

func TestRegionsShareByWeight(t *testing.T) {
	s, servers := startRegions(t, "a", "b", "c")
	e := serve(t, s)
	if _, body, _ := e.ask(t, http.MethodGet, ""); body != "a" {
		t.Errorf("without weights %s answers, not the first", body)
	}
	weight := func(v float64) *float64 { return &v }
	if err := e.table.setWeights(map[string]*float64{"a": weight(8), "b": weight(1), "c": weight(1)}); err != nil {
		t.Fatal(err)
	}
	const n = 100_000
	first := map[string]int{}
	for range n {
		first[e.table.choices(chance)[0].name]++
	}
	for name, p := range map[string]float64{"a": 0.8, "b": 0.1, "c": 0.1} {
		if off := math.Abs(float64(first[name]) - n*p); off > 5*math.Sqrt(n*p*(1-p)) { // five standard deviations
			t.Errorf("%s is first %d times of %d", name, first[name], n)
		}
	}
	// Evacuated: nothing goes there while another region serves, and all of it when none does.
	if err := e.table.setWeights(map[string]*float64{"a": weight(0), "b": nil, "c": nil}); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, body, _ := e.ask(t, http.MethodGet, ""); body == "a" {
			t.Fatal("a region that was evacuated answers")
		}
	}
	servers["b"].Close()
	servers["c"].Close()
	if code, body, _ := e.ask(t, http.MethodGet, ""); code != http.StatusOK || body != "a" {
		t.Errorf("with only the evacuated region: %d %s", code, body)
	}
}

// A request that did not arrive, or that may arrive twice, goes to the next
// region; one that arrived and may not, does not.
func TestTheNextRegionIsTried(t *testing.T) {
	s, servers := startRegions(t, "a", "b")
	e := serve(t, s)
	servers["a"].Close() // nobody listens: not even probes know yet
	if code, body, _ := e.ask(t, http.MethodPost, "!"); code != http.StatusOK || body != "b!" {
		t.Errorf("a POST that nobody took: %d %s", code, body)
	}
	var arrived atomic.Int64
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // it takes a request and dies
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				arrived.Add(1)
			}
			c.Close()
		}
	}()
	s.list[0].Address = l.Addr().String()
	e.table.probe(t.Context(), s)
	if code, body, _ := e.ask(t, http.MethodPut, "!"); code != http.StatusOK || body != "b!" || arrived.Load() == 0 {
		t.Errorf("a PUT that arrived: %d %s", code, body)
	}
	before := arrived.Load()
	if code, _, _ := e.ask(t, http.MethodPost, "!"); code != http.StatusBadGateway || arrived.Load() != before+1 {
		t.Errorf("a POST that arrived: %d, %d times", code, arrived.Load()-before)
	}
	// A region that says that it cannot is left for one that can.
	sorry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer sorry.Close()
	s.list[0].Address = sorry.Listener.Addr().String()
	e.table.probe(t.Context(), s)
	if code, body, _ := e.ask(t, http.MethodGet, ""); code != http.StatusOK || body != "b" {
		t.Errorf("a GET that was refused: %d %s", code, body)
	}
	if code, _, _ := e.ask(t, http.MethodPost, "!"); code != http.StatusServiceUnavailable {
		t.Errorf("a POST that an application refused: %d", code)
	}
	// No instance has seen it: then even a POST goes on.
	full := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Showrunner-Not-Sent", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer full.Close()
	s.list[0].Address = full.Listener.Addr().String()
	e.table.probe(t.Context(), s)
	for _, body := range []string{"", "!", strings.Repeat("x", 500<<10)} {
		if code, got, _ := e.ask(t, http.MethodPost, body); code != http.StatusOK || got != "b"+body {
			t.Errorf("a POST that no instance has seen: %d %.20s", code, got)
		}
	}
	s.list[1].Address = full.Listener.Addr().String()
	e.table.probe(t.Context(), s)
	if code, _, _ := e.ask(t, http.MethodPost, "!"); code != http.StatusServiceUnavailable {
		t.Errorf("with no place anywhere: %d", code)
	}
}
