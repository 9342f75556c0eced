package localcloud_test

import (
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud"
	"showrunner/pipeline"
	"showrunner/problem"
)

var _ driver.FaultInjector = (*localcloud.Client)(nil)

// TestPartition: control cannot reach a region that is partitioned off, while the
// edge can and the region serves. The fault can be undone from outside, and a region
// that is killed in the middle of it comes back without it.
func TestPartition(t *testing.T) {
	t.Parallel()
	config := localcloud.RegionConfig{Name: "west", Data: t.TempDir()}
	p, err := start(t, config)
	if err != nil {
		t.Fatal(err)
	}
	client := func(forEdge bool) *localcloud.Client {
		c, err := localcloud.NewClient(localcloud.ClientConfig{Regions: []localcloud.Endpoint{{Region: "west", Data: config.Data}}, ForEdge: forEdge})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	control, edge := client(false), client(true)
	reached := func(c *localcloud.Client) bool {
		t.Helper()
		list, err := c.Regions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return list[0].Healthy
	}
	fault := cloud.Fault{ID: "cut", Kind: driver.FaultPartition, Duration: pipeline.Duration(time.Hour)}
	begin := func(key string) {
		t.Helper()
		if err := control.Inject(t.Context(), "west", fault, key); err != nil {
			t.Fatal(err)
		}
		if reached(control) || !reached(edge) {
			t.Errorf("reached by control: %v, by the edge: %v", reached(control), reached(edge))
		}
		if _, err := control.ServerGroups(t.Context(), "west", ""); problem.CodeOf(err) != problem.Unavailable {
			t.Errorf("a question: %v", err)
		}
		res, err := http.Get("http://" + p.said.Listens["http"] + "/")
		if err != nil {
			t.Fatalf("it does not serve: %v", err)
		}
		_, _ = io.Copy(io.Discard, res.Body) // the answer is that nothing is served there
		res.Body.Close()
	}
	begin("k1")
	if list, err := control.ActiveFaults(t.Context(), "west"); err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	if err := control.Undo(t.Context(), "west", "cut", "k2"); err != nil {
		t.Fatal(err)
	}
	if _, err := control.ServerGroups(t.Context(), "west", ""); err != nil || !reached(control) {
		t.Errorf("undone: %v", err)
	}
	begin("k3")
	_ = p.end(syscall.SIGKILL) // killed
	if p, err = start(t, config); err != nil {
		t.Fatal(err)
	}
	if list, err := control.ActiveFaults(t.Context(), "west"); err != nil || len(list) != 0 || !reached(control) {
		t.Errorf("after a restart: %+v, %v", list, err)
	}
}
