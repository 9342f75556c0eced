package acceptance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"showrunner/chaos/experiment"
	"showrunner/cloud"
	"showrunner/control"
	"showrunner/internal/loadtest"
)

// TestFaultsOfRegionsAndControl: the outage of a region, its partition, the restart of an
// instance, and a database that is away end by themselves, on request, and after a
// kill -9 of control or of the region in the middle; requests that may be repeated never
// fail.
func TestFaultsOfRegionsAndControl(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if errs, code := w.deliver(newRepo(t, serviceFiles("red-black", "good", "v1"))); code != 0 {
		t.Fatalf("exit %d\n%s", code, errs)
	}
	target := []loadtest.Target{{URL: "http://" + w.edge + "/", Host: "api-prod.localhost"}}
	report := attackWhile(context.Background(), 30, target, func() {
		w.regionFaults()
		w.restartFaults()
		w.databaseFaults()
		w.experiments()
		w.eventually(time.Minute, "everything serves", w.allServe)
	})
	noneFailed(t, "faults", report)
	out, errs, code := w.cli("chaos", "fault", "list", "-o", "json")
	if list := decode[[]control.ChaosFault](t, out); code != 0 || slices.ContainsFunc(list, control.ChaosFault.Open) {
		t.Errorf("left behind: %s %s", out, errs)
	}
}

// begin begins a fault of an hour, unless the arguments say otherwise.
func (w *world) begin(kind string, args ...string) control.ChaosFault {
	w.t.Helper()
	var f control.ChaosFault
	w.json(&f, append([]string{"chaos", "fault", "start", kind, "--for", "1h"}, args...)...)
	if f.State != control.FaultActive {
		w.t.Fatalf("%+v", f)
	}
	return f
}

// undone waits until a fault is recorded as undone.
func (w *world) undone(f control.ChaosFault, why string) {
	w.t.Helper()
	w.eventually(time.Minute, string(f.Kind)+" is undone", func() error {
		out, errs, code := w.cli("chaos", "fault", "list", "-o", "json")
		if code != 0 {
			return fmt.Errorf("%s", errs) // control restarts
		}
		for _, one := range decode[[]control.ChaosFault](w.t, out) {
			if one.ID == f.ID && (one.State != control.FaultUndone || !strings.Contains(one.Reason, why)) {
				return fmt.Errorf("%s: %s", one.State, one.Reason)
			}
		}
		return nil
	})
}

func (w *world) healthy(region string) error {
	out, errs, code := w.cli("regions", "-o", "json")
	if code != 0 {
		return fmt.Errorf("%s", errs)
	}
	for _, r := range decode[[]control.RegionStatus](w.t, out) {
		if r.Name == region && r.Healthy {
			return nil
		}
	}
	return fmt.Errorf("region %s does not answer", region)
}

func (w *world) regionFaults() {
	const region = "us-east-1"
	outage := w.begin("region-outage", "--region", region)
	if w.healthy(region) == nil || w.pid("region-"+region) != 0 {
		w.t.Error("the region lives in its outage")
	}
	if _, errs, code := w.cli("chaos", "fault", "start", "latency", "--region", region, "--cluster", "api-prod", "--latency", "1s", "--for", "1m"); code == 0 {
		w.t.Errorf("a fault in a region that is away: %s", errs)
	}
	w.must("chaos", "fault", "undo", outage.ID)
	if err := w.healthy(region); err != nil {
		w.t.Errorf("undone, and yet: %v", err)
	}
	for _, kind := range []string{"region-outage", "partition"} {
		w.eventually(time.Minute, "everything serves", w.allServe)
		f := w.begin(kind, "--region", region)
		w.kill("control")
		w.undone(f, "the control plane that began it is gone")
		w.eventually(time.Minute, "the region answers", func() error { return w.healthy(region) })
	}
	w.eventually(time.Minute, "everything serves", w.allServe)
	w.begin("region-outage", "--region", region, "--for", "2s")
	w.eventually(time.Minute, "it is over by itself", func() error { return w.healthy(region) })
}

func (w *world) restartFaults() {
	const region = "us-west-2"
	w.eventually(time.Minute, "everything serves", w.allServe)
	find := func(id string) (found cloud.Instance) {
		for _, i := range w.instances() {
			if i.ID == id {
				found = i
			}
		}
		return found
	}
	restart := func() (control.ChaosFault, cloud.Instance) {
		var hit cloud.Instance
		for _, i := range w.instances() {
			if i.Serving() && i.Zone[:len(region)] == region {
				hit = i
			}
		}
		return w.begin("restart", "--region", region, "--cluster", "api-prod", "--instance", hit.ID, "--force"), hit
	}
	f, hit := restart()
	w.kill("control")
	w.undone(f, "the control plane that began it is gone")
	w.eventually(time.Minute, "everything serves", w.allServe)
	if now := find(hit.ID); now.ID != "" && now.PID == hit.PID {
		w.t.Errorf("%s did not restart: %+v", hit.ID, now)
	}
	f, hit = restart()
	w.kill("region-" + region)
	w.undone(f, "its region has undone it")
	w.eventually(time.Minute, "everything serves", w.allServe)
	if err := syscall.Kill(hit.PID, 0); err == nil {
		w.t.Errorf("the process of %s outlives its region", hit.ID)
	}
}

func (w *world) databaseFaults() {
	budget := func() (string, time.Duration) {
		began := time.Now()
		_, errs, code := w.cli("chaos", "budget", "90")
		if code == 0 {
			errs = ""
		}
		return errs, time.Since(began)
	}
	if errs, _ := budget(); errs != "" {
		w.t.Fatal(errs)
	}
	f := w.begin("database-away")
	if errs, _ := budget(); !strings.Contains(errs, "fault "+f.ID+" keeps it away") {
		w.t.Errorf("a change while the database is away: %q", errs)
	}
	w.must("chaos", "stop", "--reason", "it can be stopped without the database")
	w.undone(f, "it can be stopped")
	w.must("chaos", "release")
	f = w.begin("database-away")
	w.kill("control")
	w.undone(f, "the control plane that began it is gone")
	f = w.begin("database-away", "--for", "1s")
	w.undone(f, "its time was over")
	if errs, _ := budget(); errs != "" {
		w.t.Error(errs)
	}
	f = w.begin("slow-disk", "--latency", "1500ms")
	if errs, took := budget(); errs != "" || took < 1500*time.Millisecond {
		w.t.Errorf("a change took %s on a slow disk, %s", took, errs)
	}
	w.must("chaos", "fault", "undo", f.ID)
}

// experiments: an own experiment completes; one whose control plane is killed is undone
// by the next, which carries the rollbacks out.
func (w *world) experiments() {
	write := func(lasts string) string {
		return w.write("experiment.yaml", fmt.Sprintf(`experiment: api survives
application: api
steadyState: [{ http: { url: "http://%[1]s/", header: { Host: api-prod.localhost } } }]
stopConditions: [{ promql: 'vector(1)', above: 2 }]
method:
  - parallel:
      - { name: late, fault: { kind: latency, region: us-west-2, cluster: api-prod, latency: 50ms, for: %[2]s } }
      - { kill: { region: eu-west-1, force: true } }
rollbacks: [{ traffic: { us-east-1: 1 } }]
`, w.edge, lasts))
	}
	w.eventually(time.Minute, "everything serves", w.allServe)
	var run experiment.Run
	w.json(&run, "chaos", "experiment", "run", write("1s"))
	if run.Status != experiment.Completed || run.Deviated || len(run.After) != 1 || len(run.Rollbacks) != 1 {
		w.t.Errorf("%+v", run)
	}
	var plan control.ExperimentPlan
	w.json(&plan, "chaos", "experiment", "plan", write("1h"))
	if plan.Held != "" || len(plan.Actions) != 2 || plan.SteadyState[0].Wrong != "" || plan.Lasts != "1h" {
		w.t.Errorf("%+v", plan)
	}
	w.toolkitIsRecorded()
	w.eventually(time.Minute, "everything serves", w.allServe)
	w.json(&run, "chaos", "experiment", "run", write("1h"), "--detach")
	w.eventually(time.Minute, "the fault is active", func() error {
		out, errs, code := w.cli("chaos", "fault", "list", "-o", "json")
		if code != 0 || !strings.Contains(out, `"`+run.ID+`-1"`) {
			return fmt.Errorf("%s%s", out, errs)
		}
		return nil
	})
	w.kill("control")
	w.eventually(time.Minute, "the run is undone", func() error {
		out, errs, code := w.cli("chaos", "experiment", "show", run.ID, "-o", "json")
		if code != 0 {
			return fmt.Errorf("%s", errs)
		}
		if run = decode[experiment.Run](w.t, out); run.Status != experiment.Interrupted || len(run.Rollbacks) != 1 || run.Rollbacks[0].State != experiment.Done {
			return fmt.Errorf("%+v", run)
		}
		return nil
	})
	if out := w.must("chaos", "experiment", "list"); !strings.Contains(out, "interrupted") || !strings.Contains(out, "completed") {
		w.t.Errorf("listed as %s", out)
	}
}

// toolkitIsRecorded: a run of Chaos Toolkit is beside own ones, and can be stopped there;
// its rollbacks run.
func (w *world) toolkitIsRecorded() {
	undone := filepath.Join(w.t.TempDir(), "undone")
	file := w.write("toolkit.json", fmt.Sprintf(`{"title": "waits", "description": "d", "method": [{"type": "action", "name": "wait", "provider": {"type": "process", "path": "sleep", "arguments": "120"}}],
"rollbacks": [{"type": "action", "name": "undo", "provider": {"type": "process", "path": "touch", "arguments": [%q]}}]}`, undone))
	ended := make(chan string, 1)
	go func() {
		_, errs, code := w.cli("chaos", "experiment", "run", file, "--journal-path", filepath.Join(filepath.Dir(file), "journal.json"))
		ended <- fmt.Sprintf("%d %s", code, errs)
	}()
	var list []experiment.Run
	w.eventually(time.Minute, "the run is recorded", func() error {
		w.json(&list, "chaos", "experiment", "list")
		if list[0].Format != experiment.ChaosToolkit || list[0].Status != experiment.Running || len(list[0].Actions) != 1 {
			return fmt.Errorf("%+v", list[0])
		}
		return nil
	})
	w.must("chaos", "experiment", "stop", list[0].ID)
	if text := <-ended; !strings.HasPrefix(text, "130 ") {
		w.t.Errorf("the command ended with %s", text)
	}
	w.json(&list, "chaos", "experiment", "list")
	if run := list[0]; run.Status != experiment.Interrupted || len(run.Rollbacks) != 1 || run.Rollbacks[0].State != experiment.Done {
		w.t.Errorf("%+v", run)
	}
	if _, err := os.Stat(undone); err != nil {
		w.t.Error(err)
	}
}

// write writes a file into the world's folder, and returns its path.
func (w *world) write(name, text string) string {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return file
}
