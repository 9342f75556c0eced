package balancer_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"showrunner/cloud/localcloud/balancer"
)

// faulty serves two instances, a and b, of the group shop-v000.
func faulty(t *testing.T, change func(*balancer.Cluster)) (*balancer.Balancer, func(method, path string, header ...string) (status int, instance string, took time.Duration)) {
	t.Helper()
	ok := func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }
	a, b := handler(t, ok), handler(t, ok)
	a.ID, b.ID = "a", "b"
	lb, address := start(t, balancer.Config{})
	c := balancer.Cluster{Name: "shop", Groups: []balancer.Group{{Name: "shop-v000", Weight: 1, Targets: []balancer.Target{a, b}}}}
	if change != nil {
		change(&c)
	}
	lb.SetCluster(c)
	return lb, func(method, path string, header ...string) (int, string, time.Duration) {
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

func TestFaultLatency(t *testing.T) {
	t.Parallel()
	b, ask := faulty(t, nil)
	b.SetFaults([]balancer.Fault{{Cluster: "shop", Latency: 80 * time.Millisecond, Jitter: 20 * time.Millisecond, Path: "/slow"}})
	for range 5 {
		if status, _, took := ask("GET", "/slow/x"); status != 200 || took < 60*time.Millisecond {
			t.Errorf("%d after %s", status, took)
		}
		if status, _, _ := ask("POST", "/slow/x"); status != 200 {
			t.Errorf("a body: %d", status)
		}
	}
	b.SetFaults([]balancer.Fault{{Cluster: "other", Latency: time.Hour}, {Cluster: "shop", Latency: time.Hour, Path: "/slow"}, {Cluster: "shop", Latency: time.Hour, Header: "X-Test: 1"}})
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
	b.SetFaults([]balancer.Fault{{Cluster: "shop", Latency: time.Hour}})
	if status, _, _ := ask("POST", "/"); status != http.StatusGatewayTimeout {
		t.Errorf("every instance is late: %d", status)
	}
	b.SetFaults([]balancer.Fault{{Cluster: "shop", Instances: []string{"a"}, Latency: time.Hour}})
	for range 4 {
		if status, instance, _ := ask("GET", "/"); status != 200 || instance != "b" {
			t.Errorf("one instance is late: %d by %s", status, instance)
		}
	}
}

func TestFaultErrors(t *testing.T) {
	t.Parallel()
	b, ask := faulty(t, nil)
	b.SetFaults([]balancer.Fault{{Cluster: "shop", Status: 500, Header: "X-Test"}})
	for _, method := range []string{"GET", "POST", "HEAD"} {
		if status, _, _ := ask(method, "/", "X-Test", "yes"); status != 500 {
			t.Errorf("%s: %d", method, status)
		}
	}
	if status, _, _ := ask("GET", "/"); status != 200 {
		t.Errorf("without the field: %d", status)
	}
	b.SetFaults([]balancer.Fault{{Cluster: "shop", Status: 418, Percent: 30}})
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
	b.SetFaults([]balancer.Fault{{Cluster: "shop", Instances: []string{"a"}, Abort: true}})
	for range 6 {
		if status, instance, _ := ask("GET", "/"); status != 200 || instance != "b" {
			t.Errorf("%d by %s", status, instance)
		}
	}
	b.SetFaults([]balancer.Fault{{Cluster: "shop", Abort: true}})
	if status, _, _ := ask("POST", "/"); status != http.StatusBadGateway {
		t.Errorf("every instance breaks off: %d", status)
	}
}
