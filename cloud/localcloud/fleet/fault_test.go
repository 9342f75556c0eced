package fleet

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"showrunner/cloud/cloudtest"
	"showrunner/cloud/driver"
	"showrunner/pipeline"
	"showrunner/problem"
)

// processState is the state letter of a process as the kernel tells it: T is stopped.
func processState(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return rest[:1]
}

// patient is a group whose instances are not replaced while they hang.
func patient(r *realFleet, n int) driver.ServerGroup {
	spec := r.Spec("app", cloudtest.Serve, n)
	spec.Health.Unhealthy = 10_000
	return r.WaitServing(r.Create(spec).Name, n)
}

func (r *realFleet) faultsLeft(t *testing.T) int {
	t.Helper()
	list, err := r.ActiveFaults(t.Context(), "test-1")
	if err != nil {
		t.Fatal(err)
	}
	r.balancer.mu.Lock()
	defer r.balancer.mu.Unlock()
	return len(list) + len(r.balancer.faults)
}

// TestHang: a hung process is stopped until the fault is undone, by hand or because
// its time is over.
func TestHang(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the state of a process is read from /proc")
	}
	r := openReal(t)
	g := patient(r, 2)
	hit, other := g.Instances[0], g.Instances[1]
	fault := driver.Fault{ID: "f1", Kind: driver.FaultHang, Duration: pipeline.Duration(time.Hour), Cluster: "app", Instances: []string{hit.ID}}
	if err := r.Inject(t.Context(), "test-1", fault, "k1"); err != nil {
		t.Fatal(err)
	}
	if err := r.Inject(t.Context(), "test-1", fault, "k1"); err != nil {
		t.Errorf("the same again: %v", err)
	}
	eventually(t, "it is stopped", func() bool { return processState(t, hit.PID) == "T" })
	if processState(t, other.PID) == "T" {
		t.Error("another instance is stopped")
	}
	if err := r.Inject(t.Context(), "test-1", fault, "k2"); problem.CodeOf(err) != problem.Conflict {
		t.Errorf("the same name: %v", err)
	}
	if err := r.Undo(t.Context(), "test-1", "f1", "k3"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it goes on", func() bool { s := processState(t, hit.PID); return s != "T" && s != "" })
	if n := r.faultsLeft(t); n != 0 {
		t.Errorf("%d faults left", n)
	}
	if err := r.Undo(t.Context(), "test-1", "f1", "k4"); err != nil {
		t.Errorf("undone again: %v", err)
	}
	fault.ID, fault.Duration = "f2", pipeline.Duration(300*time.Millisecond)
	if err := r.Inject(t.Context(), "test-1", fault, "k5"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it goes on by itself", func() bool { return r.faultsLeft(t) == 0 && processState(t, hit.PID) != "T" })
	for name, wrong := range map[string]driver.Fault{
		"instance":  {ID: "x", Kind: driver.FaultHang, Duration: pipeline.Duration(time.Hour), Cluster: "app", Instances: []string{"i-none"}},
		"cluster":   {ID: "x", Kind: driver.FaultLatency, Duration: pipeline.Duration(time.Hour), Cluster: "other", Latency: 1},
		"zone":      {ID: "x", Kind: driver.FaultZone, Duration: pipeline.Duration(time.Hour), Zone: "mars"},
		"no target": {ID: "x", Kind: driver.FaultHang, Duration: pipeline.Duration(time.Hour), Cluster: "app"},
	} {
		if err := r.Inject(t.Context(), "test-1", wrong, "wrong "+name); err == nil {
			t.Errorf("a wrong %s is accepted", name)
		}
	}
}

// TestKilledRegionUndoesItsFaults: a region that is killed in the middle of faults
// leaves none of them, and no stopped process.
func TestKilledRegionUndoesItsFaults(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("instances outlive a killed region elsewhere, until its next start")
	}
	r := openReal(t)
	g := patient(r, 3)
	r.stop()
	region, client := otherProcess(t, r)
	var pid int
	eventually(t, "the other process serves", func() bool {
		groups, err := client.ServerGroups(t.Context(), "test-1", "app")
		if err != nil || len(groups) != 1 || groups[0].Serving() != 3 {
			return false
		}
		g, pid = groups[0], groups[0].Instances[0].PID
		return true
	})
	for i, f := range []driver.Fault{
		{ID: "hang", Kind: driver.FaultHang, Duration: pipeline.Duration(time.Hour), Cluster: "app", Instances: []string{g.Instances[0].ID}},
		{ID: "latency", Kind: driver.FaultLatency, Duration: pipeline.Duration(time.Hour), Cluster: "app", Latency: pipeline.Duration(time.Second)},
		{ID: "zone", Kind: driver.FaultZone, Duration: pipeline.Duration(time.Hour), Zone: g.Instances[1].Zone},
		{ID: "partition", Kind: driver.FaultPartition, Duration: pipeline.Duration(time.Hour)},
	} {
		if err := client.Inject(t.Context(), "test-1", f, fmt.Sprint("fault ", i)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "it is stopped", func() bool { return processState(t, pid) == "T" })
	if err := region.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = region.Wait() // killed
	r.start()
	eventually(t, "the stopped process is gone", func() bool { return processState(t, pid) == "" })
	if n := r.faultsLeft(t); n != 0 || r.Partitioned() {
		t.Errorf("%d faults left", n)
	}
	again := cloudtest.New(t, r.target())
	g = again.WaitServing(g.Name, 3)
	zones := map[string]bool{}
	for _, i := range g.Instances {
		zones[i.Zone] = true
	}
	if len(zones) != 3 {
		t.Errorf("instances are in %v: a zone is still down", zones)
	}
}

// TestZoneOutageAsAFault: the zone is back when the fault is over.
func TestZoneOutageAsAFault(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	g := r.WaitServing(r.Create(r.Spec("app", cloudtest.Serve, 3)).Name, 3)
	fault := driver.Fault{ID: "z", Kind: driver.FaultZone, Duration: pipeline.Duration(time.Hour), Zone: "test-1b"}
	if err := r.Inject(t.Context(), "test-1", fault, "k1"); err != nil {
		t.Fatal(err)
	}
	r.Wait(g.Name, "served by two zones", func(g driver.ServerGroup) bool {
		for _, i := range g.Instances {
			if i.Zone == "test-1b" {
				return false
			}
		}
		return g.Serving() == 3
	})
	if err := r.Undo(t.Context(), "test-1", "z", "k2"); err != nil {
		t.Fatal(err)
	}
	r.Wait(g.Name, "served by three zones", func(g driver.ServerGroup) bool {
		zones := map[string]bool{}
		for _, i := range g.Instances {
			zones[i.Zone] = i.Serving()
		}
		return len(zones) == 3 && g.Serving() == 3
	})
}

// helpers are the programs that run beside an instance.
func (r *realFleet) helpersOf(id string) (pids []int) {
	r.Fleet.mu.Lock()
	defer r.Fleet.mu.Unlock()
	for _, h := range r.instances[id].helpers {
		pids = append(pids, h.PID())
	}
	return pids
}

// TestStress: a fault uses up processor time, memory and disk beside an instance, which
// the instance is charged with; its end leaves no process, and neither does the death of
// the region.
func TestStress(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("faults that use things up need Linux")
	}
	r := openReal(t)
	g := patient(r, 1)
	id := g.Instances[0].ID
	const size = 48 << 20
	instance := func() driver.Instance {
		groups, err := r.ServerGroups(t.Context(), "test-1", "app")
		if err != nil {
			t.Fatal(err)
		}
		return groups[0].Instances[0]
	}
	for name, tt := range map[string]struct {
		fault driver.Fault
		seen  func(pid int) bool
	}{
		"cpu":    {driver.Fault{Kind: driver.FaultCPU, Cores: 0.5}, func(int) bool { return instance().CPU > 0.1 }},
		"memory": {driver.Fault{Kind: driver.FaultMemory, Bytes: size}, func(int) bool { return instance().Memory > size }},
		"disk": {driver.Fault{Kind: driver.FaultDisk, Bytes: size}, func(pid int) bool {
			files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
			if err != nil {
				return false
			}
			for _, file := range files {
				if info, err := os.Stat(fmt.Sprintf("/proc/%d/fd/%s", pid, file.Name())); err == nil && info.Mode().IsRegular() && info.Size() == size {
					return true
				}
			}
			return false
		}},
	} {
		tt.fault.ID, tt.fault.Cluster, tt.fault.Instances, tt.fault.Duration = name, "app", []string{id}, pipeline.Duration(time.Hour)
		if err := r.Inject(t.Context(), "test-1", tt.fault, "begin "+name); err != nil {
			t.Fatal(err)
		}
		var pid int
		eventually(t, name+" is used up", func() bool {
			pids := r.helpersOf(id)
			if len(pids) != 1 {
				return false
			}
			pid = pids[0]
			return tt.seen(pid)
		})
		if err := r.Undo(t.Context(), "test-1", name, "end "+name); err != nil {
			t.Fatal(err)
		}
		eventually(t, name+" leaves no process", func() bool { return len(r.helpersOf(id)) == 0 && processState(t, pid) == "" })
	}
	for name, wrong := range map[string]driver.Fault{
		"more cores than there are":  {Kind: driver.FaultCPU, Cores: 64},
		"more memory than there is":  {Kind: driver.FaultMemory, Bytes: 1 << 40},
		"more of the disk than free": {Kind: driver.FaultDisk, Bytes: 1 << 40},
	} {
		wrong.ID, wrong.Cluster, wrong.Instances, wrong.Duration = "wrong", "app", []string{id}, pipeline.Duration(time.Hour)
		if wrong.Kind == driver.FaultCPU && runtime.NumCPU() >= 64 {
			continue
		}
		if err := r.Inject(t.Context(), "test-1", wrong, name); problem.CodeOf(err) != problem.Precondition || !strings.Contains(err.Error(), string(wrong.Kind)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := r.faultsLeft(t); n != 0 {
		t.Errorf("%d faults left", n)
	}
	last := driver.Fault{ID: "last", Kind: driver.FaultMemory, Bytes: size, Cluster: "app", Instances: []string{id}, Duration: pipeline.Duration(time.Hour)}
	if err := r.Inject(t.Context(), "test-1", last, "last"); err != nil {
		t.Fatal(err)
	}
	var pid int
	eventually(t, "the last one runs", func() bool {
		if pids := r.helpersOf(id); len(pids) == 1 {
			pid = pids[0]
		}
		return pid != 0
	})
	r.stop()
	if processState(t, pid) != "" {
		t.Error("it outlives its region")
	}
}

// TestRestart: a process that a fault kills stays away until the fault is over, and
// starts again as the same instance; one that is terminated meanwhile ends.
func TestRestart(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	g := patient(r, 2)
	hit := g.Instances[0]
	now := func(id string) (found driver.Instance) {
		t.Helper()
		groups, err := r.ServerGroups(t.Context(), "test-1", "app")
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range groups[0].Instances {
			if i.ID == id {
				found = i
			}
		}
		return found
	}
	fault := driver.Fault{ID: "f1", Kind: driver.FaultRestart, Duration: pipeline.Duration(time.Hour), Cluster: "app", Instances: []string{hit.ID}}
	if err := r.Inject(t.Context(), "test-1", fault, "k1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its process is gone", func() bool { return processState(t, hit.PID) == "" && now(hit.ID).PID == 0 })
	twice := fault
	twice.ID = "f2"
	if err := r.Inject(t.Context(), "test-1", twice, "k2"); problem.CodeOf(err) != problem.Precondition {
		t.Errorf("a second restart: %v", err)
	}
	if err := r.Undo(t.Context(), "test-1", "f1", "k3"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it serves again as the same instance", func() bool {
		i := now(hit.ID)
		return i.PID != 0 && i.PID != hit.PID && i.Zone == hit.Zone && i.Serving()
	})
	if now(g.Instances[1].ID).PID != g.Instances[1].PID {
		t.Error("another instance restarted")
	}
	fault.ID = "f3"
	if err := r.Inject(t.Context(), "test-1", fault, "k4"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is away", func() bool { return now(hit.ID).PID == 0 })
	if err := r.Terminate(t.Context(), "test-1", hit.ID, driver.TerminateOptions{}, "k5"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has ended", func() bool { return now(hit.ID).ID == "" })
	if err := r.Undo(t.Context(), "test-1", "f3", "k6"); err != nil {
		t.Fatal(err)
	}
	r.WaitServing(g.Name, 2)
	whole := driver.Fault{ID: "all", Kind: driver.FaultRegion, Duration: pipeline.Duration(time.Hour)}
	if err := r.Inject(t.Context(), "test-1", whole, "k7"); problem.CodeOf(err) != problem.Precondition {
		t.Errorf("an outage of the region that nobody would end: %v", err)
	}
}
