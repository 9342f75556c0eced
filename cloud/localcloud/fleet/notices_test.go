package fleet

import (
	"context"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"showrunner/cloud/cloudtest"
	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/balancer"
	"showrunner/internal/loadtest"
	"showrunner/pipeline"
)

// Clients of the region's own balancer under load notice no failed request during
// kills, a hang, a graceful end, growth and shrinkage, a zone outage, and a shift
// to another version.
func TestClientsNoticeNothing(t *testing.T) {
	var f *Fleet
	front := balancer.New(balancer.Config{OnEject: func(id, reason string) { f.Eject(id, reason) }})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- front.Serve(listener) }()
	r := openReal(t, func(c *Config) { c.Balancer = front })
	f = r.Fleet
	spec := r.Spec("app", cloudtest.Serve, 4)
	spec.Health.Timeout = pipeline.Duration(300 * time.Millisecond)
	spec.Capacity.Max = 8
	g := r.WaitServing(r.Create(spec).Name, 4)

	ctx, enough := context.WithCancel(t.Context())
	report := make(chan loadtest.Report, 1)
	go func() {
		report <- loadtest.Attack(ctx, 200, time.Minute, []loadtest.Target{{URL: "http://" + listener.Addr().String() + "/", Host: "app.localhost",
			Accept: func(status int, _ []byte) bool { return status == 200 }}})
	}()
	whole := func(what string, gone driver.Instance) {
		t.Helper()
		g = r.Wait(g.Name, "whole after "+what, func(g driver.ServerGroup) bool {
			return g.Serving() == g.Capacity.Desired && len(g.Instances) == g.Capacity.Desired &&
				!slices.ContainsFunc(g.Instances, func(i driver.Instance) bool { return i.ID == gone.ID })
		})
	}
	for _, s := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGKILL} {
		victim := g.Instances[0]
		if err := syscall.Kill(victim.PID, s); err != nil {
			t.Fatal(err)
		}
		whole(s.String(), victim)
	}
	victim := g.Instances[0]
	if err := r.Terminate(t.Context(), "test-1", victim.ID, driver.TerminateOptions{}, r.Key()); err != nil {
		t.Fatal(err)
	}
	whole("a graceful end", victim)
	for _, n := range []int{7, 3} {
		if err := r.Resize(t.Context(), "test-1", g.Name, pipeline.Capacity{Desired: n, Max: 8}, driver.Guard{}, r.Key()); err != nil {
			t.Fatal(err)
		}
		whole("a resize", driver.Instance{})
	}
	for _, down := range []bool{true, false} {
		if err := r.SetZone(t.Context(), "test-1", g.Instances[0].Zone, down, r.Key()); err != nil {
			t.Fatal(err)
		}
		whole("a zone's outage", driver.Instance{})
	}
	spec.Version, spec.Weight = "2.0", 0
	fresh := r.WaitServing(r.Create(spec).Name, 4)
	if err := r.SetWeights(t.Context(), "test-1", "app", map[string]float64{g.Name: 0, fresh.Name: 100}, driver.Guard{MinServing: 3}, r.Key()); err != nil {
		t.Fatal(err)
	}
	if err := r.Destroy(t.Context(), "test-1", g.Name, driver.Guard{MinServing: 4}, r.Key()); err != nil {
		t.Fatal(err)
	}
	r.WaitGone(g.Name)
	enough()
	got := <-report
	t.Log(got)
	if got.Failed > 0 || got.Requests == 0 {
		t.Errorf("somebody noticed: %v", got.Failures)
	}
	var requests uint64
	counts, err := r.Counts(t.Context(), "test-1", "app")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range counts {
		if c.Instance == "" {
			requests += c.Requests
		}
	}
	if requests == 0 {
		t.Error("the balancer counted nothing")
	}
	stop, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := front.Shutdown(stop); err != nil {
		t.Error(err)
	}
	<-served
}
