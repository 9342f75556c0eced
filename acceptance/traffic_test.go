package acceptance

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"showrunner/control"
)

// asker is a service that asks the test for each answer, so that the test can
// hold requests as long as it likes.
const asker = `package main

import (
	"io"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		ask, err := http.NewRequestWithContext(r.Context(), r.Method, os.Getenv("GATE")+r.URL.Path, nil)
		if err != nil {
			panic(err)
		}
		ask.Header.Set("Instance", os.Getenv("SHOWRUNNER_INSTANCE"))
		res, err := http.DefaultClient.Do(ask)
		if err != nil {
			panic(http.ErrAbortHandler) // called off
		}
		io.Copy(w, res.Body)
	})
	http.ListenAndServe(os.Getenv("HOST")+":"+os.Getenv("PORT"), nil)
}
`

// gate is the test's side of every request that has reached an instance.
type gate struct {
	address string
	arrived chan arrival
}

type arrival struct {
	request, instance string // "GET /path"
	answer            chan string
}

func newGate(t *testing.T) *gate {
	g := &gate{arrived: make(chan arrival, 100)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := arrival{r.Method + " " + r.URL.Path, r.Header.Get("Instance"), make(chan string, 1)}
		g.arrived <- a
		select {
		case text := <-a.answer:
			io.WriteString(w, text)
		case <-r.Context().Done(): // the instance noticed that the client has gone
		}
	}))
	g.address = server.URL
	t.Cleanup(server.Close)
	return g
}

// answered is the result of a request.
type answered struct {
	status           int
	retryAfter, text string
	instance         string
	took             time.Duration
}

func (a answered) String() string {
	return fmt.Sprintf("%d %q from %q after %s", a.status, a.text, a.instance, a.took.Round(time.Millisecond))
}

// send makes a request through the edge in the background.
func (w *world) send(method, cluster, path string, headers ...string) <-chan answered {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.edge+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Host = cluster + ".localhost"
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	done := make(chan answered, 1)
	go func() {
		began := time.Now()
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			done <- answered{text: err.Error()}
			return
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		done <- answered{res.StatusCode, res.Header.Get("Retry-After"), strings.TrimSpace(string(text)), res.Header.Get("X-Showrunner-Instance"), time.Since(began)}
	}()
	return done
}

// counts requests a cluster's counts from the API.
func (w *world) counts(cluster string) control.Cluster {
	w.t.Helper()
	token, err := os.ReadFile(filepath.Join(w.data, "token"))
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://"+w.listen+"/api/v1/clusters/"+cluster, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	var c control.Cluster
	if err := json.NewDecoder(res.Body).Decode(&c); err != nil || res.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %v", res.Status, err)
	}
	return c
}

const trafficPipeline = `application: shop
pipelines:
  release:
    stages:
      source: { git: { url: ., branch: main } }
      build: { needs: [source], build: {} }
`

func trafficStage(cluster, gate string, instances int, traffic string) string {
	return fmt.Sprintf(`      %[1]s:
        needs: [build]
        deploy:
          cluster: shop-%[1]s
          artifact: build
          command: [./asker]
          env: { GATE: %[2]q }
          health: { path: /healthz }
          capacity: { min: %[3]d, desired: %[3]d, max: %[3]d }
          strategy: red-black
          traffic: %[4]s
`, cluster, gate, instances, traffic)
}

// The traffic options of a service, from the view of clients of a real fleet.
func TestTrafficOptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-west-2")
	g := newGate(t)
	r := newRepo(t, map[string]string{
		"main.go": asker, "go.mod": "module asker\n\ngo 1.26\n",
		"buildspec.yml": "version: 0.2\nphases:\n  build:\n    commands:\n      - CGO_ENABLED=0 go build -trimpath -o asker .\nartifacts:\n  files: [asker]\n",
		"showrunner.yaml": trafficPipeline +
			trafficStage("full", g.address, 1, "{ maxInFlight: 1 }") +
			trafficStage("late", g.address, 2, "{ responseTimeout: 1s }") +
			trafficStage("hedged", g.address, 2, "{ hedgingDelay: 100ms }"),
	})
	w.must("apply", "-f", filepath.Join(r.dir, "showrunner.yaml"))
	if _, errs, code := w.cli("run", "shop/release", "--watch"); code != 0 {
		t.Fatalf("exit %d\n%s", code, errs)
	}
	t.Run("maxInFlight", func(t *testing.T) { w.full(t, g) })
	t.Run("responseTimeout", func(t *testing.T) { w.late(t, g) })
	t.Run("hedgingDelay", func(t *testing.T) { w.hedged(t, g) })
	if n := len(g.arrived); n > 0 {
		t.Errorf("%d requests too many reached an instance", n)
	}
}

// full: one in flight; the next one waits, and is told when to try again.
func (w *world) full(t *testing.T, g *gate) {
	first := w.send("GET", "shop-full", "/first")
	held := <-g.arrived
	waiting := []<-chan answered{w.send("GET", "shop-full", "/second"), w.send("POST", "shop-full", "/second")}
	for _, answer := range waiting {
		if a := <-answer; a.status != http.StatusServiceUnavailable || a.retryAfter == "" || !strings.Contains(a.text, "as many requests") {
			t.Errorf("beyond the limit: %s, Retry-After %q", a, a.retryAfter)
		}
	}
	if len(g.arrived) > 0 {
		t.Errorf("%s was sent beyond the limit", (<-g.arrived).request)
	}
	third := w.send("POST", "shop-full", "/third") // takes the place that becomes free
	held.answer <- "done"
	if a := <-first; a.status != http.StatusOK || a.text != "done" {
		t.Errorf("the first: %s", a)
	}
	(<-g.arrived).answer <- "its turn"
	if a := <-third; a.status != http.StatusOK || a.text != "its turn" {
		t.Errorf("with a place again: %s", a)
	}
}

// late: a request that may be repeated goes to another instance, others are
// answered 504.
func (w *world) late(t *testing.T, g *gate) {
	post := w.send("POST", "shop-late", "/order")
	<-g.arrived // and is never answered
	if a := <-post; a.status != http.StatusGatewayTimeout {
		t.Errorf("a POST: %s", a)
	}
	if len(g.arrived) > 0 {
		t.Errorf("%s was sent again", (<-g.arrived).request)
	}
	for _, headers := range [][]string{nil, {"Idempotency-Key", "order-1"}} {
		method := "GET"
		if headers != nil {
			method = "POST"
		}
		answer := w.send(method, "shop-late", "/again", headers...)
		slow, quick := <-g.arrived, <-g.arrived
		quick.answer <- "here"
		if a := <-answer; a.status != http.StatusOK || a.instance != quick.instance || slow.instance == quick.instance {
			t.Errorf("%s: %s, sent to %s and %s", method, a, slow.instance, quick.instance)
		}
	}
}

// hedged: a request that may be repeated is also sent to a second instance, and
// counted.
func (w *world) hedged(t *testing.T, g *gate) {
	post := w.send("POST", "shop-hedged", "/order")
	order := <-g.arrived
	get := w.send("GET", "shop-hedged", "/page")
	slow, quick := <-g.arrived, <-g.arrived // the delay is over, for the POST too
	quick.answer <- "here"
	if a := <-get; a.status != http.StatusOK || a.instance != quick.instance || slow.instance == quick.instance {
		t.Errorf("%s, sent to %s and %s", a, slow.instance, quick.instance)
	}
	if len(g.arrived) > 0 {
		t.Errorf("%s was sent twice", (<-g.arrived).request)
	}
	order.answer <- "ordered"
	if a := <-post; a.status != http.StatusOK || a.text != "ordered" {
		t.Errorf("the POST: %s", a)
	}
	w.eventually(10*time.Second, "the counts tell", func() error {
		var requests, hedged, errors uint64
		at := ""
		for _, c := range w.counts("shop-hedged").Counts {
			if c.Instance == "" {
				requests, hedged, errors = c.Requests, c.Hedged, c.Errors
			} else if c.Hedged == 1 {
				at = c.Instance
			}
		}
		if requests != 3 || hedged != 1 || errors != 0 || at != quick.instance {
			return fmt.Errorf("%d requests, %d hedged, at %s, %d errors", requests, hedged, at, errors)
		}
		return nil
	})
}
