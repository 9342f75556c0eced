package fleet

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"showrunner/cloud/cloudtest"
	"showrunner/cloud/driver"
	"showrunner/pipeline"
)

// patient is a spec whose checks never fail an instance in time, for tests of
// other ways to end. On a busy machine a start takes a minute and an answer
// seconds, and several checks of a dying program are refused before it has died.
// The test waits as long for its group.
func (r *realFleet) patient(mode cloudtest.Mode, n int) driver.ServerGroupSpec {
	r.Patience = 5 * waitLimit
	spec := r.Spec("app", mode, n)
	spec.Health.Timeout, spec.Health.Grace = pipeline.Duration(r.Patience), pipeline.Duration(r.Patience)
	spec.Health.Unhealthy = 1_000_000
	return spec
}

// evidence waits until a group's last failure is of a kind, and returns it.
func (r *realFleet) evidence(name, code string) *driver.InstanceFailure {
	r.t.Helper()
	g := r.Wait(name, "failing with "+code, func(g driver.ServerGroup) bool { return g.LastFailure != nil && g.LastFailure.Code == code })
	return g.LastFailure
}

func says(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s does not say %q: %s", what, p, text)
		}
	}
}

func TestNeverHealthy(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	spec := r.Spec("app", cloudtest.NeverReady, 1)
	spec.Health.Grace = pipeline.Duration(time.Second)
	g := r.Create(spec)
	f := r.evidence(g.Name, "NEVER_HEALTHY")
	says(t, "cause", f.Cause, "not healthy within 1s")
	says(t, "probe", f.Probe, "/healthz", "503", "no database")
	says(t, "log", strings.Join(f.LastLog, "\n"), "starts as never-ready")
	if len(r.balancer.open("app")) != 0 {
		t.Error("it was given to the balancer")
	}
}

func TestListensOnLocalhost(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	if r.addresses.network == 0 {
		t.Log("without addresses of its own an instance on 127.0.0.1 is where it should be")
		return
	}
	spec := r.Spec("app", cloudtest.Localhost, 1)
	spec.Health.Grace = pipeline.Duration(time.Second)
	f := r.evidence(r.Create(spec).Name, "NEVER_HEALTHY")
	says(t, "cause", f.Cause, "listens on 127.0.0.1:", "$HOST:$PORT")
	says(t, "probe", f.Probe, "connection refused")
}

func TestCannotStart(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	for command, why := range map[string]string{"./missing": "has no file ./missing", "./notes.txt": "not executable", "server": "write ./server"} {
		spec := r.Spec("app", cloudtest.Serve, 1)
		spec.Workload.Process.Command = []string{command}
		f := r.evidence(r.Create(spec).Name, "START_FAILED")
		says(t, command, f.Cause, why)
	}
	spec := r.Spec("app", cloudtest.Serve, 1)
	spec.Workload.Process.Artifact = "sha256:gone"
	says(t, "artifact", r.evidence(r.Create(spec).Name, "START_FAILED").Cause, "no artifact sha256:gone")
}

func TestHealthyThenCrashes(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	g := r.Create(r.patient(cloudtest.CrashLater, 1))
	g = r.Wait(g.Name, "crashing", func(g driver.ServerGroup) bool { return g.Crashes >= 2 && len(g.Ended) >= 1 })
	f := g.Ended[0].Failure
	if f == nil || f.Code != "EXITED" || f.ExitCode == nil || *f.ExitCode != 4 || g.Ended[0].ServingSince.IsZero() {
		t.Fatalf("evidence %+v of %+v", f, g.Ended[0])
	}
	says(t, "cause", f.Cause, "code 4", "had served")
	says(t, "log", strings.Join(f.LastLog, "\n"), "panic: out of luck")
	if g.Failures != 0 {
		t.Errorf("%d instances are counted as never having served", g.Failures)
	}
}

func TestIgnoresTerm(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	spec := r.Spec("app", cloudtest.IgnoreTerm, 1)
	spec.StopTimeout = 100 * time.Millisecond
	g := r.WaitServing(r.Create(spec).Name, 1)
	victim := g.Instances[0].ID
	if err := r.Terminate(t.Context(), "test-1", victim, driver.TerminateOptions{}, r.Key()); err != nil {
		t.Fatal(err)
	}
	g = r.Wait(g.Name, "without it", func(g driver.ServerGroup) bool { return len(g.Ended) == 1 })
	if f := g.Ended[0].Failure; f == nil || f.Code != "STOP_TIMEOUT" || f.Signal != "killed" {
		t.Fatalf("evidence %+v", f)
	}
	says(t, "cause", g.Ended[0].Failure.Cause, "100ms of SIGTERM")
}

// A zone without a free address leaves its launches to the other zones.
func TestLaunchGoesToAnotherZone(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	r.mu.Lock()
	delete(r.addresses.zones, "test-1a")
	r.mu.Unlock()
	for _, i := range r.WaitServing(r.Create(r.Spec("app", cloudtest.Serve, 3)).Name, 3).Instances {
		if i.Zone == "test-1a" {
			t.Errorf("%s is in a zone that has no address", i.ID)
		}
	}
}

// While AddToLoadBalancer is suspended, an instance that becomes healthy is in
// service without traffic; after the resume it gets its share.
func TestAddToLoadBalancerSuspended(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	g := r.Create(r.Spec("app", cloudtest.Serve, 0))
	if err := r.Suspend(t.Context(), "test-1", g.Name, []string{"AddToLoadBalancer"}, r.Key()); err != nil {
		t.Fatal(err)
	}
	if err := r.Resize(t.Context(), "test-1", g.Name, pipeline.Capacity{Desired: 1, Max: 1}, driver.Guard{}, r.Key()); err != nil {
		t.Fatal(err)
	}
	g = r.Wait(g.Name, "it is in service", func(g driver.ServerGroup) bool {
		return len(g.Instances) == 1 && g.Instances[0].Lifecycle == driver.InService
	})
	if g.Serving() != 0 {
		t.Fatal("it has traffic")
	}
	if err := r.Resume(t.Context(), "test-1", g.Name, []string{"AddToLoadBalancer"}, r.Key()); err != nil {
		t.Fatal(err)
	}
	r.WaitServing(g.Name, 1)
}

// The reason why an instance was ended is reported, not that it ignored SIGTERM.
func TestUnhealthyAndIgnoresTerm(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	spec := r.Spec("app", cloudtest.UnhealthyIgnoreTerm, 1)
	spec.StopTimeout = 100 * time.Millisecond
	g := r.WaitServing(r.Create(spec).Name, 1)
	if _, err := get(t.Context(), "http://"+g.Instances[0].Address+"/forget"); err != nil {
		t.Fatal(err)
	}
	g = r.Wait(g.Name, "it is replaced", func(g driver.ServerGroup) bool { return len(g.Ended) > 0 })
	if f := g.Ended[0].Failure; f == nil || f.Code != "UNHEALTHY" || f.Signal != "killed" {
		t.Fatalf("evidence %+v", f)
	}
	says(t, "cause", g.Ended[0].Failure.Cause, "checks in a row failed", "100ms of SIGTERM")
}

// A child that cannot be found by any means and holds its parent's output open
// must not delay the parent's recorded end.
func TestDaemonHoldsTheOutput(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	g := r.Create(r.Spec("app", cloudtest.Daemon, 1))
	g = r.Wait(g.Name, "its end is seen", func(g driver.ServerGroup) bool { return len(g.Ended) > 0 && g.Ended[0].Failure != nil })
	f := g.Ended[0].Failure
	for _, line := range f.LastLog {
		var pid int
		if _, err := fmt.Sscanf(line, "child %d", &pid); err == nil {
			if err := syscall.Kill(pid, 0); err != nil {
				t.Fatalf("the child is gone, so this test proves nothing: %v", err)
			}
		}
	}
	if f.Code != "EXITED" || f.ExitCode == nil || *f.ExitCode != 5 {
		t.Fatalf("evidence %+v", f)
	}
}

func TestLeaksFiles(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	spec := r.Spec("app", cloudtest.LeakFiles, 1)
	spec.Limits = &pipeline.Limits{Files: 64}
	spec.Health.Timeout = pipeline.Duration(100 * time.Millisecond)
	f := r.evidence(r.Create(spec).Name, "UNHEALTHY")
	says(t, "cause", f.Cause, "3 checks in a row failed", "open files", "its limit is 64")
	says(t, "log", strings.Join(f.LastLog, "\n"), "too many open files")
}

func TestOverMemoryLimit(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	spec := r.Spec("app", cloudtest.UseMemory, 1)
	spec.Limits = &pipeline.Limits{Memory: "64MiB"}
	f := r.evidence(r.Create(spec).Name, "OVER_LIMIT")
	says(t, "cause", f.Cause, "its limit is 64MiB")
}

func TestUnenforcedLimitIsReported(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	spec := r.Spec("app", cloudtest.Serve, 0)
	spec.Limits = &pipeline.Limits{CPUs: .5}
	g, _ := r.Group(r.Create(spec).Name)
	if len(g.Unenforced) != 1 {
		t.Fatalf("unenforced: %v", g.Unenforced)
	}
}

// A process killed from outside is replaced at once, while others serve.
func TestKilledIsReplaced(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	g := r.WaitServing(r.Create(r.patient(cloudtest.Serve, 3)).Name, 3)
	for range 3 {
		victim := g.Instances[0]
		began := time.Now()
		if err := syscall.Kill(victim.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		g = r.Wait(g.Name, "replaced", func(g driver.ServerGroup) bool {
			return g.Serving() == 3 && len(g.Instances) == 3 && !slices.ContainsFunc(g.Instances, func(i driver.Instance) bool { return i.ID == victim.ID })
		})
		t.Logf("killed → replaced and serving, start of the program included: %s", time.Since(began).Round(time.Millisecond))
	}
	if g.Crashes != 3 || g.Failures != 0 || g.Ended[0].Failure.Signal != "killed" {
		t.Errorf("after three kills: %d crashes, %d failures, %+v", g.Crashes, g.Failures, g.Ended[0].Failure)
	}
	says(t, "cause", g.Ended[0].Failure.Cause, "SIGKILL from outside")
}

// A hung instance keeps its process, so only its checks fail. Its replacement
// serves before it ends.
func TestHungIsReplacedLaunchFirst(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	spec := r.Spec("app", cloudtest.Serve, 2)
	spec.Health.Timeout, spec.Drain = pipeline.Duration(100*time.Millisecond), 200*time.Millisecond
	g := r.WaitServing(r.Create(spec).Name, 2)
	hung := g.Instances[0]
	if err := syscall.Kill(hung.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	g = r.Wait(g.Name, "replaced", func(g driver.ServerGroup) bool { return len(g.Ended) == 1 && g.Serving() == 2 })
	ended := g.Ended[0]
	if ended.ID != hung.ID || ended.Failure == nil || ended.Failure.Code != "UNHEALTHY" {
		t.Fatalf("ended %+v", ended)
	}
	says(t, "probe", ended.Failure.Probe, "no answer within 100ms")
	r.balancer.mu.Lock()
	defer r.balancer.mu.Unlock()
	served := false
	for _, c := range r.balancer.history {
		open := 0
		for _, target := range c.Groups[0].Targets {
			if !target.Draining {
				open++
			}
		}
		if served = served || open == 2; served && open < 1 {
			t.Fatalf("no instance was left to serve: %+v", c)
		}
	}
}

// An ejection by the balancer counts as a failed check and triggers the next
// check at once.
func TestEjectTriggersACheck(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	spec := r.Spec("app", cloudtest.ToggleHealth, 1)
	spec.Health.Interval, spec.Health.Unhealthy = pipeline.Duration(time.Hour), 2
	g := r.WaitServing(r.Create(spec).Name, 1)
	i := g.Instances[0]
	if _, err := get(t.Context(), "http://"+i.Address+"/forget"); err != nil {
		t.Fatal(err)
	}
	r.Eject(i.ID, "5 errors in a row")
	r.Eject("i-00000000000000000", "one that is not there")
	f := r.evidence(g.Name, "UNHEALTHY")
	says(t, "probe", f.Probe, "503", "forgotten")
}

// An instance that is not ready gets no requests, and is not replaced while its
// liveness check passes; when it is ready again, it serves again.
func TestReadinessApartFromLiveness(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	spec := r.Spec("app", cloudtest.ToggleHealth, 1)
	spec.Liveness = &pipeline.Health{TCP: true, Interval: pipeline.Duration(50 * time.Millisecond)}
	g := r.WaitServing(r.Create(spec).Name, 1)
	i := g.Instances[0]
	if _, err := get(t.Context(), "http://"+i.Address+"/forget"); err != nil {
		t.Fatal(err)
	}
	r.Wait(g.Name, "out of service", func(g driver.ServerGroup) bool { return g.Serving() == 0 })
	if open := r.balancer.open("app"); len(open) != 0 {
		t.Errorf("the balancer still has %v", open)
	}
	if _, err := get(t.Context(), "http://"+i.Address+"/remember"); err != nil {
		t.Fatal(err)
	}
	if g = r.WaitServing(g.Name, 1); g.Instances[0].ID != i.ID {
		t.Error("it was replaced")
	}
}

func TestCommandAndTCPChecks(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	spec := r.Spec("app", cloudtest.Serve, 1)
	spec.Health.Path, spec.Health.TCP = "", true
	r.WaitServing(r.Create(spec).Name, 1)
	spec.Health.TCP, spec.Health.Command = false, []string{"sh", "-c", `test -n "$SHOWRUNNER_INSTANCE" && test -f notes.txt`}
	r.WaitServing(r.Create(spec).Name, 1)
	spec.Health.Command, spec.Health.Grace = []string{"sh", "-c", "echo not yet; exit 7"}, pipeline.Duration(300*time.Millisecond)
	f := r.evidence(r.Create(spec).Name, "NEVER_HEALTHY")
	says(t, "probe", f.Probe, "exit code 7", "not yet")
}

// The processes that an instance started end with it: children in its group and
// children that left the group.
func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	g := r.WaitServing(r.Create(r.Spec("app", cloudtest.Children, 1)).Name, 1)
	if n := len(running(r.mark)); n != 3 {
		t.Fatalf("%d processes, want the instance and two children", n)
	}
	if err := r.Destroy(t.Context(), "test-1", g.Name, driver.Guard{}, r.Key()); err != nil {
		t.Fatal(err)
	}
	r.WaitGone(g.Name)
	if left := running(r.mark); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	eventually(t, "its folder is gone", func() bool {
		_, err := os.Stat(filepath.Join(r.dir, "groups", g.Name))
		return os.IsNotExist(err)
	})
}

// A child that is executing another program has no environment for a moment: it
// is found all the same.
func TestAChildDuringExecIsFound(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	var names []string
	for range 20 {
		names = append(names, r.Create(r.Spec("app", cloudtest.Orphans, 3)).Name)
	}
	for _, name := range names {
		r.Wait(name, "failing", func(g driver.ServerGroup) bool { return g.Failures > 0 })
		if err := r.Destroy(t.Context(), "test-1", name, driver.Guard{}, r.Key()); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		r.WaitGone(name)
	}
	if left := running(r.mark); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// A request in flight ends before its instance does.
func TestDrainsBeforeItStops(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	g := r.WaitServing(r.Create(r.Spec("app", cloudtest.Serve, 1)).Name, 1)
	i := g.Instances[0]
	end := r.balancer.begin(i.ID)
	if err := r.Terminate(t.Context(), "test-1", i.ID, driver.TerminateOptions{}, r.Key()); err != nil {
		t.Fatal(err)
	}
	r.Wait(g.Name, "replaced", func(g driver.ServerGroup) bool { return g.Serving() == 1 })
	if _, err := get(t.Context(), "http://"+i.Address+"/"); err != nil {
		t.Errorf("it stopped with a request in flight: %v", err)
	}
	end()
	r.WaitServing(g.Name, 1)
}

func TestZoneOutage(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	g := r.WaitServing(r.Create(r.Spec("app", cloudtest.Serve, 3)).Name, 3)
	if err := r.SetZone(t.Context(), "test-1", "test-1b", true, r.Key()); err != nil {
		t.Fatal(err)
	}
	in := func(g driver.ServerGroup, zone string) int {
		n := 0
		for _, i := range g.Instances {
			if i.Zone == zone {
				n++
			}
		}
		return n
	}
	g = r.Wait(g.Name, "served by two zones", func(g driver.ServerGroup) bool {
		return g.Serving() == 3 && len(g.Instances) == 3 && in(g, "test-1b") == 0
	})
	says(t, "cause", g.Ended[0].Failure.Cause, "zone test-1b is in outage")
	if g.Crashes != 0 || g.LastFailure != nil {
		t.Errorf("an outage counts against the version: %+v", g)
	}
	if regions, _ := r.Regions(t.Context()); !slices.Equal(regions[0].DownZones, []string{"test-1b"}) {
		t.Errorf("region %+v", regions[0])
	}
	if err := r.SetZone(t.Context(), "test-1", "test-1b", false, r.Key()); err != nil {
		t.Fatal(err)
	}
	r.Wait(g.Name, "balanced again", func(g driver.ServerGroup) bool {
		return g.Serving() == 3 && len(g.Instances) == 3 && in(g, "test-1b") == 1
	})
}

// waitLimit bounds every wait; a busy machine needs a long one.
const waitLimit = time.Minute

// eventually waits for the effects of other processes or goroutines.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx := t.Context()
	deadline := time.NewTimer(waitLimit)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within %s: %s", waitLimit, what)
		case <-ctx.Done():
			t.Fatal(ctx.Err())
		}
	}
}
