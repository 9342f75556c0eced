package fleet

import (
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"showrunner/cloud/cloudtest"
	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/rpc"
	"showrunner/pipeline"
)

// simulated is a fleet with one group of n instances whose programs do not run.
func simulated(n int) *Fleet {
	f := &Fleet{config: Config{Region: "r"}, groups: map[string]*group{}, instances: map[string]*instance{}}
	g := &group{name: "app-v000", cluster: "app", instances: map[string]*instance{}}
	f.doc.Groups = map[string]record{g.name: {Spec: driver.ServerGroupSpec{Cluster: "app", Version: "1.0"}}}
	f.groups[g.name] = g
	for range n {
		i := &instance{id: newID("i-"), group: g, zone: "ra", address: "127.16.1.1:10000", lifecycle: driver.InService, running: true, ready: true,
			live: true, registered: true, launched: epoch, serving: epoch}
		g.instances[i.id], f.instances[i.id] = i, i
	}
	return f
}

// A listing of 1,000 instances, in the region process.
func BenchmarkListing1000(b *testing.B) {
	f := simulated(1000)
	for b.Loop() {
		if list, err := f.ServerGroups(b.Context(), "r", ""); err != nil || list[0].Serving() != 1000 {
			b.Fatal(err)
		}
	}
}

// The same through handler and client, over a connection.
func BenchmarkListing1000Client(b *testing.B) {
	server := httptest.NewServer(simulated(1000).Handler())
	defer server.Close()
	client := NewClient("r", &rpc.Client{HTTP: &http.Client{Transport: &http.Transport{}}, Base: server.URL})
	defer client.rpc.HTTP.CloseIdleConnections()
	for b.Loop() {
		if list, err := client.ServerGroups(b.Context(), "r", ""); err != nil || list[0].Serving() != 1000 {
			b.Fatal(err)
		}
	}
}

// From a kill until the replacement serves. The program's own start is included,
// and is also measured apart as the time from launch to serving.
func BenchmarkReplacement(b *testing.B) {
	r := openReal(b)
	g := r.WaitServing(r.Create(r.Spec("app", cloudtest.Serve, 3)).Name, 3)
	var start, total time.Duration
	n := 0
	for b.Loop() {
		victim := g.Instances[0]
		began := time.Now()
		if err := syscall.Kill(victim.PID, syscall.SIGKILL); err != nil {
			b.Fatal(err)
		}
		g = r.Wait(g.Name, "replaced", func(g driver.ServerGroup) bool {
			return g.Serving() == 3 && !slices.ContainsFunc(g.Instances, func(i driver.Instance) bool { return i.ID == victim.ID })
		})
		total += time.Since(began)
		newest := g.Instances[2]
		start += newest.ServingSince.Sub(newest.Launched)
		n++
	}
	b.ReportMetric(float64(total.Milliseconds())/float64(n), "ms/replacement")
	b.ReportMetric(float64(start.Milliseconds())/float64(n), "ms/start")
}

// What 100 instances, checked every second, cost the region process.
func BenchmarkMemory100(b *testing.B) {
	r := openReal(b, func(c *Config) { c.Scaling.Period = time.Second })
	for b.Loop() {
		debug.FreeOSMemory()
		before := resident(b)
		spec := r.Spec("app", cloudtest.Serve, 100)
		spec.Health.Interval, spec.Health.Grace = pipeline.Duration(time.Second), pipeline.Duration(time.Minute)
		r.Suite.Patience = time.Minute
		g := r.WaitServing(r.Create(spec).Name, 100)
		debug.FreeOSMemory()
		b.ReportMetric(float64(resident(b)-before)/(1<<20), "MiB/100-instances")
		b.StopTimer()
		if err := r.Destroy(b.Context(), "test-1", g.Name, driver.Guard{}, r.Key()); err != nil {
			b.Fatal(err)
		}
		r.WaitGone(g.Name)
		b.StartTimer()
	}
}

func resident(b *testing.B) int64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("this system does not report it: ", err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
