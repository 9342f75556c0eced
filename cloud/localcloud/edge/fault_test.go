package edge

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/cloud/localcloud/injection"
)

// region is a region that answers its name.
func namedRegion(t *testing.T, name string, seen func(*http.Request)) cloud.Region {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if seen != nil {
			seen(r)
		}
		_, _ = w.Write([]byte(name))
	}))
	t.Cleanup(s.Close)
	return cloud.Region{Name: name, Address: s.Listener.Addr().String(), Healthy: true}
}

// TestFaultsBetweenEdgeAndRegion: a request that may be repeated goes to another
// region, one that may not fails, and other hosts are left alone.
func TestFaultsBetweenEdgeAndRegion(t *testing.T) {
	t.Parallel()
	c := &fakeCloud{list: []cloud.Region{namedRegion(t, "a", nil), namedRegion(t, "b", nil)}}
	e := serve(t, c)
	for name, f := range map[string]injection.Fault{"errors": {Status: 503}, "abort": {Abort: true}} {
		f.ID, f.Cluster = "f", "shop"
		c.inject(map[string][]injection.Fault{"a": {f}})
		if status, text, _ := e.ask(t, http.MethodGet, ""); status != http.StatusOK || text != "b" {
			t.Errorf("%s: GET is answered %d by %q", name, status, text)
		}
		if status, _, _ := e.ask(t, http.MethodPost, "x"); status < 500 {
			t.Errorf("%s: POST is answered %d", name, status)
		}
		f.Cluster = "other"
		c.inject(map[string][]injection.Fault{"a": {f}})
		if status, text, _ := e.ask(t, http.MethodPost, "x"); status != http.StatusOK || text != "a" {
			t.Errorf("%s of another host: %d by %q", name, status, text)
		}
	}
	c.inject(map[string][]injection.Fault{"a": {{ID: "f", Cluster: "shop", Latency: 80 * time.Millisecond}}})
	began := time.Now()
	if status, text, _ := e.ask(t, http.MethodGet, ""); status != http.StatusOK || text != "a" || time.Since(began) < 80*time.Millisecond {
		t.Errorf("latency: %d by %q after %s", status, text, time.Since(began))
	}
}

// TestBlackholeEnds: a request in a blackhole goes on to another region once the fault
// is undone.
func TestBlackholeEnds(t *testing.T) {
	t.Parallel()
	c := &fakeCloud{list: []cloud.Region{namedRegion(t, "a", nil), namedRegion(t, "b", nil)}}
	e := serve(t, c)
	c.inject(map[string][]injection.Fault{"a": {{ID: "f", Cluster: "shop", Blackhole: true}}})
	answered := make(chan string)
	go func() {
		_, text, _ := e.ask(t, http.MethodGet, "")
		answered <- text
	}()
	select {
	case by := <-answered:
		t.Errorf("answered by %q", by)
	case <-time.After(50 * time.Millisecond):
	}
	c.inject(nil)
	if by := <-answered; by != "b" && by != "a" { // a: it was sent after the end
		t.Errorf("undone: answered by %q", by)
	}
}

// TestSourceIsSaidOnlyWhereAsked: the region learns from where a request came when a
// fault needs that, and never what a client says of itself.
func TestSourceIsSaidOnlyWhereAsked(t *testing.T) {
	t.Parallel()
	var said []string
	c := &fakeCloud{list: []cloud.Region{namedRegion(t, "a", func(r *http.Request) { said = r.Header.Values("X-Showrunner-Source") })}}
	e := serve(t, c)
	for _, asked := range []bool{false, true} {
		c.mu.Lock()
		c.callers = asked
		c.mu.Unlock()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+e.address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Showrunner-Source", "1.2.3.4:5")
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if asked && (len(said) != 1 || said[0] == "1.2.3.4:5") || !asked && said != nil {
			t.Errorf("asked %v: %q", asked, said)
		}
	}
}
