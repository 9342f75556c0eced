package balancer_test

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"showrunner/cloud/localcloud/balancer"
	"showrunner/cloud/localcloud/injection"
	"showrunner/cloud/localcloud/internal/caller"
)

// asker sends a request.
type asker func(method, path string, header ...string) (status int, instance string, took time.Duration)

// faulty serves two instances, a and b, of the group shop-v000.
func faulty(t *testing.T, change func(*balancer.Cluster)) (*balancer.Balancer, asker) {
	t.Helper()
	lb, _, ask := faultyAt(t, change)
	return lb, ask
}

// faultyAt is faulty, and where it serves.
func faultyAt(t *testing.T, change func(*balancer.Cluster)) (lb *balancer.Balancer, at string, ask asker) {
	t.Helper()
	ok := func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }
	a, b := handler(t, ok), handler(t, ok)
	a.ID, b.ID = "a", "b"
	lb, address := start(t, balancer.Config{})
	at = "http://" + address + "/"
	c := balancer.Cluster{Name: "shop", Groups: []balancer.Group{{Name: "shop-v000", Weight: 1, Targets: []balancer.Target{a, b}}}}
	if change != nil {
		change(&c)
	}
	lb.SetCluster(c)
	return lb, at, func(method, path string, header ...string) (int, string, time.Duration) {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, strings.NewReader(map[string]string{"POST": "body"}[method]))
		if err != nil {
			t.Fatal(err)
		}
		q.Host = "shop.localhost"
		for i := 0; i+1 < len(header); i += 2 {
			q.Header.Set(header[i], header[i+1])
		}
		began := time.Now()
		res, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, res.Header.Get("X-Showrunner-Instance"), time.Since(began)
	}
}

// attempts are faults of attempts.
func attempts(list ...injection.Fault) (faults []balancer.Fault) {
	for _, f := range list {
		faults = append(faults, balancer.Fault{Fault: f})
	}
	return faults
}

func TestFaultLatency(t *testing.T) {
	t.Parallel()
	b, ask := faulty(t, nil)
	b.SetFaults(attempts(injection.Fault{Cluster: "shop", Latency: 80 * time.Millisecond, Jitter: 20 * time.Millisecond, Path: "/slow"}))
	for range 5 {
		if status, _, took := ask("GET", "/slow/x"); status != 200 || took < 60*time.Millisecond {
			t.Errorf("%d after %s", status, took)
		}
		if status, _, _ := ask("POST", "/slow/x"); status != 200 {
			t.Errorf("a body: %d", status)
		}
	}
	b.SetFaults(attempts(injection.Fault{Cluster: "other", Latency: time.Hour}, injection.Fault{Cluster: "shop", Latency: time.Hour, Path: "/slow"}, injection.Fault{Cluster: "shop", Latency: time.Hour, Header: "X-Test: 1"}))
	if status, _, _ := ask("GET", "/fast", "X-Test", "2"); status != 200 {
		t.Errorf("a request that no fault concerns: %d", status)
	}
	b.SetFaults(nil)
	if status, _, _ := ask("GET", "/slow"); status != 200 {
		t.Errorf("undone: %d", status)
	}
}

// TestFaultLatencyMeetsTheTimeout: an answer that is late meets the cluster's limit,
// as that of a slow instance does.
func TestFaultLatencyMeetsTheTimeout(t *testing.T) {
	t.Parallel()
	b, ask := faulty(t, func(c *balancer.Cluster) { c.ResponseTimeout = 50 * time.Millisecond })
	b.SetFaults(attempts(injection.Fault{Cluster: "shop", Latency: time.Hour}))
	if status, _, _ := ask("POST", "/"); status != http.StatusGatewayTimeout {
		t.Errorf("every instance is late: %d", status)
	}
	b.SetFaults(attempts(injection.Fault{Cluster: "shop", Instances: []string{"a"}, Latency: time.Hour}))
	for range 4 {
		if status, instance, _ := ask("GET", "/"); status != 200 || instance != "b" {
			t.Errorf("one instance is late: %d by %s", status, instance)
		}
	}
}

func TestFaultErrors(t *testing.T) {
	t.Parallel()
	b, ask := faulty(t, nil)
	b.SetFaults(attempts(injection.Fault{Cluster: "shop", Status: 500, Header: "X-Test"}))
	for _, method := range []string{"GET", "POST", "HEAD"} {
		if status, _, _ := ask(method, "/", "X-Test", "yes"); status != 500 {
			t.Errorf("%s: %d", method, status)
		}
	}
	if status, _, _ := ask("GET", "/"); status != 200 {
		t.Errorf("without the field: %d", status)
	}
	b.SetFaults(attempts(injection.Fault{Cluster: "shop", Status: 418, Percent: 30}))
	hit := 0
	const asked = 600
	for range asked {
		if status, _, _ := ask("GET", "/"); status == 418 {
			hit++
		}
	}
	if hit < asked*30/100-70 || hit > asked*30/100+70 { // more than six standard deviations
		t.Errorf("%d of %d were hit", hit, asked)
	}
}

// TestFaultAbort: what may be repeated goes to another instance, and what may not
// fails.
func TestFaultAbort(t *testing.T) {
	t.Parallel()
	b, ask := faulty(t, nil)
	b.SetFaults(attempts(injection.Fault{Cluster: "shop", Instances: []string{"a"}, Abort: true}))
	for range 6 {
		if status, instance, _ := ask("GET", "/"); status != 200 || instance != "b" {
			t.Errorf("%d by %s", status, instance)
		}
	}
	b.SetFaults(attempts(injection.Fault{Cluster: "shop", Abort: true}))
	if status, _, _ := ask("POST", "/"); status != http.StatusBadGateway {
		t.Errorf("every instance breaks off: %d", status)
	}
}

// TestFaultBlackhole: an attempt is not answered until the fault is undone, and then
// broken off; one that may be repeated goes to another instance once its time is over.
func TestFaultBlackhole(t *testing.T) {
	t.Parallel()
	b, ask := faulty(t, func(c *balancer.Cluster) { c.ResponseTimeout = 50 * time.Millisecond })
	b.SetFaults(attempts(injection.Fault{ID: "f", Cluster: "shop", Instances: []string{"a"}, Blackhole: true}))
	for range 4 {
		if status, instance, _ := ask("GET", "/"); status != 200 || instance != "b" {
			t.Errorf("%d by %s", status, instance)
		}
	}
	b, ask = faulty(t, nil)
	b.SetFaults(attempts(injection.Fault{ID: "f", Cluster: "shop", Blackhole: true}))
	answered := make(chan int)
	go func() { status, _, _ := ask("POST", "/"); answered <- status }()
	b.SetFaults(attempts(injection.Fault{ID: "f", Cluster: "shop", Blackhole: true}, injection.Fault{ID: "g", Cluster: "other", Abort: true})) // it stays
	select {
	case status := <-answered:
		t.Errorf("answered %d", status)
	case <-time.After(50 * time.Millisecond):
	}
	b.SetFaults(nil)
	if status := <-answered; status != http.StatusBadGateway && status != 200 { // 200: it was sent after the end
		t.Errorf("undone: %d", status)
	}
}

// TestFaultBandwidth: a body comes as slowly as the fault says, whole.
func TestFaultBandwidth(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("x", 20_000)
	a := handler(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, text) })
	a.ID = "a"
	b, address := start(t, balancer.Config{})
	b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{{Name: "shop-v000", Weight: 1, Targets: []balancer.Target{a}}}})
	ask := func() (string, time.Duration) {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Host = "shop.localhost"
		began := time.Now()
		res, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(got), time.Since(began)
	}
	for name, f := range map[string]injection.Fault{"bandwidth": {Bandwidth: 100_000}, "slow close": {SlowClose: 200 * time.Millisecond}} {
		f.ID, f.Cluster = "f", "shop"
		for _, ahead := range []bool{false, true} {
			b.SetFaults([]balancer.Fault{{Fault: f, Ahead: ahead}})
			if got, took := ask(); got != text || took < 190*time.Millisecond || took > 5*time.Second {
				t.Errorf("%s, ahead %v: %d bytes after %s", name, ahead, len(got), took)
			}
		}
	}
	b.SetFaults(nil)
	if got, _ := ask(); got != text {
		t.Errorf("undone: %d bytes", len(got))
	}
}

// TestFaultAhead: the caller sees what happens ahead of the balancer, and no instance
// is blamed.
func TestFaultAhead(t *testing.T) {
	t.Parallel()
	b, at, ask := faultyAt(t, nil)
	b.SetFaults([]balancer.Fault{{Ahead: true, Fault: injection.Fault{ID: "f", Cluster: "shop", Status: 503, Path: "/pay"}}})
	for range 20 {
		if status, instance, _ := ask("GET", "/pay"); status != 503 || instance != "" {
			t.Fatalf("%d by %q", status, instance)
		}
	}
	if status, _, _ := ask("GET", "/"); status != 200 {
		t.Errorf("another path: %d", status)
	}
	b.SetFaults([]balancer.Fault{{Ahead: true, Fault: injection.Fault{ID: "f", Cluster: "shop", Latency: 60 * time.Millisecond}}})
	if status, instance, took := ask("GET", "/"); status != 200 || instance == "" || took < 60*time.Millisecond {
		t.Errorf("%d by %q after %s", status, instance, took)
	}
	b.SetFaults([]balancer.Fault{{Ahead: true, Fault: injection.Fault{ID: "f", Cluster: "shop", Abort: true}}})
	q, err := http.NewRequestWithContext(t.Context(), "GET", at, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Host = "shop.localhost"
	if res, err := new(http.Client).Do(q); err == nil {
		res.Body.Close()
		t.Errorf("answered %s", res.Status)
	}
}

// asInstance is set for the program that a test starts as an instance: it asks once
// for each line of its input, and says the status.
const asInstance = "BALANCER_TEST_ASK"

func TestMain(m *testing.M) {
	if at := os.Getenv(asInstance); at != "" {
		q, err := http.NewRequest("GET", at, nil)
		if err != nil {
			os.Exit(1)
		}
		q.Host = "shop.localhost"
		res, err := http.DefaultClient.Do(q)
		if err != nil {
			os.Exit(2)
		}
		_, _ = io.WriteString(os.Stdout, res.Status[:3])
		return
	}
	os.Exit(m.Run())
}

// TestFaultOfCaller: a fault of the calls of one service hits those of its instances,
// and nobody else's.
func TestFaultOfCaller(t *testing.T) {
	t.Parallel()
	if !caller.Supported {
		t.Skip("callers are found in /proc")
	}
	b, at, ask := faultyAt(t, nil)
	b.SetFaults([]balancer.Fault{{Ahead: true, Fault: injection.Fault{ID: "f", Cluster: "shop", From: "front-v002", Status: 503}}})
	for group, want := range map[string]string{"front-v002": "503", "front-v001": "200", "other-v002": "200"} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), asInstance+"="+at, "SHOWRUNNER_INSTANCE=i-1", "SHOWRUNNER_SERVER_GROUP="+group)
		if got, err := cmd.Output(); err != nil || string(got) != want {
			t.Errorf("%s: %s, want %s: %v", group, got, want, err)
		}
	}
	if status, _, _ := ask("GET", "/"); status != 200 {
		t.Errorf("this test itself: %d", status)
	}
}
