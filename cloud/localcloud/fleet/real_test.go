package fleet

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"showrunner/artifact"
	"showrunner/cloud/cloudtest"
	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/balancer"
	"showrunner/cloud/localcloud/internal/process"
	"showrunner/cloud/localcloud/internal/stress"
	"showrunner/cloud/localcloud/rpc"
)

func TestMain(m *testing.M) {
	cloudtest.Main() // an instance never returns from this call
	stress.Main()    // nor does the program of a fault
	regionMain()
	goleak.VerifyTestMain(m)
}

// program is an artifact that contains this test binary as ./server.
type selfArtifact struct{}

func (selfArtifact) Extract(_ context.Context, ref artifact.Ref, dir string) error {
	if ref != "sha256:self" {
		return fmt.Errorf("no artifact %s", ref)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("not a program"), 0o644); err != nil {
		return err
	}
	return os.Symlink(self, filepath.Join(dir, "server"))
}

// fakeBalancer records the fleet's calls and sends requests to the targets in
// turn; a target is drained when it has no request in flight.
type fakeBalancer struct {
	mu       sync.Mutex
	rules    map[string]balancer.Rules
	clusters map[string]balancer.Cluster
	history  []balancer.Cluster
	counts   map[string][]driver.Counts
	flight   map[string]int
	idle     chan struct{}
	next     int
	faults   []balancer.Fault
}

func (b *fakeBalancer) SetFaults(list []balancer.Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = list
}

func newFakeBalancer() *fakeBalancer {
	return &fakeBalancer{clusters: map[string]balancer.Cluster{}, rules: map[string]balancer.Rules{}, counts: map[string][]driver.Counts{}, flight: map[string]int{}, idle: make(chan struct{})}
}

func (b *fakeBalancer) SetCluster(c balancer.Cluster) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clusters[c.Name] = c
	b.history = append(b.history, c)
}

func (b *fakeBalancer) RemoveCluster(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.clusters, name)
}

func (b *fakeBalancer) SetRules(r balancer.Rules) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules[r.Name] = r
}

func (b *fakeBalancer) RemoveRules(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.rules, name)
}

// ruled is the cluster that a load balancer's host forwards to, or its fixed answer:
// of rules it knows those of the conformance suite.
func (b *fakeBalancer) ruled(host, path string) (cluster, answer string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, lb := range b.rules {
		if !slices.Contains(lb.Hosts, host) {
			continue
		}
		for _, r := range lb.Rules {
			if len(r.Conditions) > 0 && !strings.HasPrefix(path, strings.TrimSuffix(r.Conditions[0].Values[0], "*")) {
				continue
			}
			if r.Answer != nil {
				return "", r.Answer.Body
			}
			return lb.Pools[r.Forward[0].Pool], ""
		}
	}
	return host, ""
}

func (b *fakeBalancer) Drain(ctx context.Context, id string) error {
	for {
		b.mu.Lock()
		n, idle := b.flight[id], b.idle
		b.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (b *fakeBalancer) Counts(cluster string) []driver.Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	if counts, ok := b.counts[cluster]; ok {
		return counts
	}
	var list []driver.Counts
	for _, g := range b.clusters[cluster].Groups {
		list = append(list, driver.Counts{ServerGroup: g.Name, Epoch: "fake", Since: time.Unix(1, 0), Until: time.Unix(2, 0), Buckets: make([]uint64, len(driver.LatencyBounds)+1)})
	}
	return list
}

// open lists a cluster's targets that may take requests.
func (b *fakeBalancer) open(cluster string) []balancer.Target {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []balancer.Target
	for _, g := range b.clusters[cluster].Groups {
		for _, t := range g.Targets {
			if g.Weight > 0 && !t.Draining {
				list = append(list, t)
			}
		}
	}
	return list
}

func (b *fakeBalancer) begin(id string) (end func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flight[id]++
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.flight[id]--
		close(b.idle)
		b.idle = make(chan struct{})
	}
}

func (b *fakeBalancer) reach(ctx context.Context, cluster, path string) (string, error) {
	cluster, answer := b.ruled(cluster, path)
	if answer != "" {
		return answer, nil
	}
	targets := b.open(cluster)
	if len(targets) == 0 {
		return "", fmt.Errorf("no target for %s", cluster)
	}
	b.mu.Lock()
	b.next++
	t := targets[b.next%len(targets)]
	b.mu.Unlock()
	defer b.begin(t.ID)()
	return get(ctx, "http://"+t.Address+path)
}

func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}

// realFleet is a fleet of real processes for one test.
type realFleet struct {
	*Fleet
	*cloudtest.Suite
	balancer *fakeBalancer
	dir      string
	t        testing.TB
}

func openReal(t testing.TB, change ...func(*Config)) *realFleet {
	t.Helper()
	r := &realFleet{balancer: newFakeBalancer(), dir: t.TempDir(), t: t}
	r.start(change...)
	t.Cleanup(func() { r.stop() })
	r.Suite = cloudtest.New(t, r.target())
	return r
}

func (r *realFleet) start(change ...func(*Config)) {
	r.t.Helper()
	self, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	config := Config{Region: "test-1", Dir: r.dir, Artifacts: selfArtifact{}, Balancer: r.balancer, Helper: self, Scaling: Scaling{Period: 50 * time.Millisecond}}
	for _, c := range change {
		c(&config)
	}
	f, err := New(config)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Fleet = f
}

func (r *realFleet) stop() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := r.Fleet.Close(ctx); err != nil && !strings.Contains(err.Error(), "did not stop in time") {
		r.t.Errorf("close: %v", err)
	}
	if left := running(r.mark); len(left) > 0 {
		r.t.Errorf("processes are left: %v", left)
		process.KillMarked([]string{markName + "=" + r.mark})
	}
}

func (r *realFleet) target() cloudtest.Target {
	return cloudtest.Target{Cloud: r.Fleet, Region: "test-1", Artifact: "sha256:self", Command: []string{"./server"}, Reach: r.balancer.reach}
}

// running lists the processes that carry a fleet's mark.
func running(mark string) []string {
	var list []string
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && process.Marked(pid, []string{markName + "=" + mark}) {
			list = append(list, e.Name())
		}
	}
	return list
}

// The conformance suite, once with the fleet itself and once through its handler
// and client.
func TestConformance(t *testing.T) {
	t.Run("direct", func(t *testing.T) {
		cloudtest.Run(t, func(t *testing.T) cloudtest.Target {
			t.Parallel()
			return openReal(t).target()
		})
	})
	t.Run("client", func(t *testing.T) {
		cloudtest.Run(t, func(t *testing.T) cloudtest.Target {
			t.Parallel()
			r := openReal(t)
			target := r.target()
			target.Cloud = r.client(t)
			return target
		})
	})
}

// client serves the fleet on a unix socket and returns a client for it.
func (r *realFleet) client(t *testing.T) *Client {
	t.Helper()
	socket := newSocket(t)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: r.Handler(), ReadHeaderTimeout: time.Minute}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // the test ends it with Close
	}()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	return socketClient(t, socket)
}

// newSocket returns a path for a socket that is short enough.
func newSocket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fleet")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func socketClient(t *testing.T, socket string) *Client {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return NewClient("test-1", &rpc.Client{HTTP: &http.Client{Transport: transport}, Base: "http://region", Name: "region test-1"})
}
