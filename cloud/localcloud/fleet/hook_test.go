package fleet

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"showrunner/cloud/cloudtest"
	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/balancer"
	"showrunner/pipeline"
)

// until is a hook that writes its name and runs until a file exists.
func until(file string) *pipeline.LifecycleHook {
	return &pipeline.LifecycleHook{Command: []string{"sh", "-c", `echo "hook $SHOWRUNNER_HOOK of $SHOWRUNNER_INSTANCE"; while [ ! -e "$0" ]; do sleep 0.02; done`, file}}
}

func touch(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestHooksHoldAnInstance(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	dir := t.TempDir()
	launched, ended := filepath.Join(dir, "launched"), filepath.Join(dir, "ended")
	spec := r.Spec("app", cloudtest.Serve, 1)
	spec.Hooks = &pipeline.LifecycleHooks{Launch: until(launched), Terminate: until(ended)}
	name := r.Create(spec).Name
	g := r.Wait(name, "in its launch hook", func(g driver.ServerGroup) bool {
		return len(g.Instances) == 1 && g.Instances[0].Lifecycle == driver.PendingWait
	})
	if len(r.balancer.open("app")) != 0 {
		t.Error("it has traffic before its launch hook has ended")
	}
	touch(t, launched)
	g = r.WaitServing(name, 1)
	first := g.Instances[0]
	if err := r.Terminate(t.Context(), "test-1", first.ID, driver.TerminateOptions{}, r.Key()); err != nil {
		t.Fatal(err)
	}
	// Its successor has a launch hook of its own, which finds the file at once.
	r.Wait(name, "in its terminate hook, with a successor", func(g driver.ServerGroup) bool {
		waits := false
		for _, i := range g.Instances {
			waits = waits || i.ID == first.ID && i.Lifecycle == driver.TerminatingWait
		}
		return waits && g.Serving() == 1
	})
	if err := syscall.Kill(first.PID, 0); err != nil {
		t.Errorf("its process has ended before its terminate hook: %v", err)
	}
	for _, target := range r.balancer.open("app") {
		if target.ID == first.ID {
			t.Error("it has traffic while its terminate hook runs")
		}
	}
	touch(t, ended)
	g = r.Wait(name, "without it", func(g driver.ServerGroup) bool { return len(g.Ended) == 1 })
	if e := g.Ended[0]; e.Failure != nil || e.Why != "ended on request" || !e.Ended.After(e.ServingSince) {
		t.Errorf("it ended as %+v", e)
	}
	text, err := os.ReadFile(r.output(name, first.ID))
	if err != nil {
		t.Fatal(err)
	}
	says(t, "output", string(text), "hook launch of "+first.ID, "hook terminate of "+first.ID, "draining")
	if g.Failures != 0 || g.Crashes != 0 {
		t.Errorf("%d failures, %d crashes", g.Failures, g.Crashes)
	}
}

func TestHooksThatFail(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	bad := &pipeline.LifecycleHook{Command: []string{"sh", "-c", "echo no licence; exit 7"}}
	spec := r.Spec("app", cloudtest.Serve, 1)
	spec.Hooks = &pipeline.LifecycleHooks{Launch: bad}
	f := r.evidence(r.Create(spec).Name, "HOOK_FAILED")
	says(t, "cause", f.Cause, "launch hook: exit code 7", "no licence")
	says(t, "log", strings.Join(f.LastLog, "\n"), "no licence")
	for _, c := range r.balancer.all() {
		for _, g := range c.Groups {
			if len(g.Targets) > 0 {
				t.Error("it was given to the balancer")
			}
		}
	}

	spec = r.Spec("slow", cloudtest.Serve, 1)
	spec.Hooks = &pipeline.LifecycleHooks{Launch: &pipeline.LifecycleHook{Command: []string{"sleep", "600"}, Timeout: pipeline.Duration(100 * time.Millisecond)}}
	says(t, "cause", r.evidence(r.Create(spec).Name, "HOOK_FAILED").Cause, "did not end within 100ms")

	spec = r.Spec("kept", cloudtest.Serve, 1)
	bad.DefaultResult = "continue"
	spec.Hooks = &pipeline.LifecycleHooks{Launch: bad, Terminate: &pipeline.LifecycleHook{Command: []string{"./missing"}}}
	g := r.WaitServing(r.Create(spec).Name, 1)
	if err := r.Terminate(t.Context(), "test-1", g.Instances[0].ID, driver.TerminateOptions{}, r.Key()); err != nil {
		t.Fatal(err)
	}
	g = r.Wait(g.Name, "without it", func(g driver.ServerGroup) bool { return len(g.Ended) == 1 })
	if f := g.Ended[0].Failure; f == nil || f.Code != "HOOK_FAILED" {
		t.Fatalf("it ended with %+v", f)
	}
	says(t, "cause", g.Ended[0].Failure.Cause, "terminate hook", "has no file ./missing")
	if g.Crashes != 0 {
		t.Error("a failed terminate hook counts as a crash")
	}
}

// The processes of a hook end with its instance, and with the region.
func TestHooksEndWithTheirInstance(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	forever := &pipeline.LifecycleHook{Command: []string{"sh", "-c", "sleep 600 & wait"}}
	spec := r.Spec("app", cloudtest.Serve, 1)
	spec.Hooks = &pipeline.LifecycleHooks{Launch: forever}
	name := r.Create(spec).Name
	waits := func(g driver.ServerGroup) bool {
		return len(g.Instances) == 1 && g.Instances[0].Lifecycle == driver.PendingWait
	}
	g := r.Wait(name, "in its launch hook", waits)
	if err := syscall.Kill(g.Instances[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.evidence(name, "EXITED")
	r.Wait(name, "in the launch hook of another", func(n driver.ServerGroup) bool { return waits(n) && n.Instances[0].ID != g.Instances[0].ID })
	r.stop() // checks for leftovers
	r.start()
	r.Suite = cloudtest.New(t, r.target())
	r.Wait(name, "in its launch hook again", waits)
}

// all are the clusters that the balancer was ever given.
func (b *fakeBalancer) all() []balancer.Cluster {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.history)
}
