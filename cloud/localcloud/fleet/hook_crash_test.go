package fleet

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"showrunner/cloud/cloudtest"
	"showrunner/cloud/driver"
	"showrunner/pipeline"
)

// hookRun is one start of a hook made by tellingHook: the hook's process and a
// child in a session of its own.
type hookRun struct{ hook, instance, pid, child string }

// tellingHook records each of its runs in dir/runs, before it waits for the file
// dir/go.
func tellingHook(dir string) *pipeline.LifecycleHook {
	return &pipeline.LifecycleHook{Command: []string{"sh", "-c",
		`setsid sleep 600 & echo "$SHOWRUNNER_HOOK $SHOWRUNNER_INSTANCE $$ $!" >>"$0/runs"; while [ ! -e "$0/go" ]; do sleep 0.02; done; kill $!`, dir}}
}

func hookRuns(t *testing.T, dir string) (runs []hookRun) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "runs"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 4 {
			runs = append(runs, hookRun{f[0], f[1], f[2], f[3]})
		}
	}
	return runs
}

// killRegion kills a region's process with kill -9, and waits for its end.
func killRegion(t *testing.T, region *exec.Cmd) {
	t.Helper()
	if err := region.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = region.Wait() // killed
}

// nothingLeft checks that no hook of an earlier region process runs, nor its
// child.
func (r *realFleet) nothingLeft(t *testing.T, run hookRun) {
	t.Helper()
	for _, pid := range running(r.mark) {
		if pid == run.pid || pid == run.child {
			t.Errorf("process %s of the %s hook of %s was left", pid, run.hook, run.instance)
		}
	}
}

// A region that is killed during a launch hook loses the instance. The restarted
// region launches another one, whose hook runs from its beginning. No instance
// serves before that hook has ended, and nothing of the first is left.
func TestRegionKilledInALaunchHook(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	dir := t.TempDir()
	spec := r.Spec("app", cloudtest.Serve, 0)
	spec.Hooks = &pipeline.LifecycleHooks{Launch: tellingHook(dir)}
	name := r.Create(spec).Name
	if err := r.Resize(t.Context(), "test-1", name, pipeline.Capacity{Desired: 1, Max: 1}, driver.Guard{}, "one"); err != nil {
		t.Fatal(err)
	}
	r.stop()
	_ = os.Remove(filepath.Join(dir, "runs")) // of a hook that began before the kill
	region, _ := otherProcess(t, r)
	eventually(t, "the launch hook runs", func() bool { return len(hookRuns(t, dir)) == 1 })
	first := hookRuns(t, dir)[0]
	killRegion(t, region)
	eventually(t, "only what left the hook's group runs", func() bool { return len(running(r.mark)) <= 1 })

	told := len(r.balancer.all())
	r.start()
	r.Suite = cloudtest.New(t, r.target())
	g := r.Wait(name, "in its launch hook again", func(g driver.ServerGroup) bool {
		return len(g.Instances) == 1 && g.Instances[0].Lifecycle == driver.PendingWait
	})
	eventually(t, "the hook runs again", func() bool { return len(hookRuns(t, dir)) == 2 })
	r.nothingLeft(t, first)
	second := hookRuns(t, dir)[1]
	if second.hook != "launch" || second.instance != g.Instances[0].ID || second.instance == first.instance {
		t.Errorf("the hook ran as %+v, then as %+v; the instance is %s", first, second, g.Instances[0].ID)
	}
	for _, c := range r.balancer.all()[told:] {
		for _, group := range c.Groups {
			if len(group.Targets) > 0 {
				t.Errorf("the balancer had %v before the launch hook ended", group.Targets)
			}
		}
	}
	touch(t, filepath.Join(dir, "go"))
	g = r.WaitServing(name, 1)
	if g.Instances[0].ID != second.instance || len(hookRuns(t, dir)) != 2 || g.Failures != 0 || g.LastFailure != nil {
		t.Errorf("it serves as %+v after %d hooks, %d failures, the last %+v", g.Instances[0], len(hookRuns(t, dir)), g.Failures, g.LastFailure)
	}
}

// A region is killed during terminate hooks, which ends their instances. After
// the restart nothing is owed to them: a destroyed group disappears, a shrunk
// group stays small, an instance that was being replaced is replaced, and no hook
// is left or waited for.
func TestRegionKilledInTerminateHooks(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	dir := t.TempDir()
	spec := r.Spec("app", cloudtest.Serve, 2)
	spec.Hooks = &pipeline.LifecycleHooks{Terminate: tellingHook(dir)}
	shrunk, replaced, destroyed := r.Create(spec).Name, r.Create(spec).Name, r.Create(spec).Name
	for _, name := range []string{shrunk, replaced, destroyed} {
		r.WaitServing(name, 2)
	}
	r.stop()
	region, client := otherProcess(t, r)
	target := r.target()
	target.Cloud = client
	other := cloudtest.New(t, target)
	victim := func(name string) string { return other.WaitServing(name, 2).Instances[0].ID }
	victims := []string{victim(shrunk), victim(replaced)}
	if err := client.Terminate(t.Context(), "test-1", victims[0], driver.TerminateOptions{Decrement: true}, "shrink"); err != nil {
		t.Fatal(err)
	}
	if err := client.Terminate(t.Context(), "test-1", victims[1], driver.TerminateOptions{}, "replace"); err != nil {
		t.Fatal(err)
	}
	other.WaitServing(destroyed, 2)
	if err := client.Destroy(t.Context(), "test-1", destroyed, driver.Guard{}, "destroy"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "four terminate hooks run", func() bool { return len(hookRuns(t, dir)) == 4 })
	killRegion(t, region)
	eventually(t, "only what left the hooks' groups runs", func() bool { return len(running(r.mark)) <= 4 })

	r.start()
	r.Suite = cloudtest.New(t, r.target())
	r.WaitGone(destroyed)
	for name, n := range map[string]int{shrunk: 1, replaced: 2} {
		g := r.WaitServing(name, n)
		if g.Capacity.Desired != n || g.Crashes+g.Failures != 0 {
			t.Errorf("%s has capacity %+v, %d crashes, %d failures", name, g.Capacity, g.Crashes, g.Failures)
		}
		for _, i := range g.Instances {
			if i.ID == victims[0] || i.ID == victims[1] {
				t.Errorf("%s came back", i.ID)
			}
		}
	}
	runs := hookRuns(t, dir)
	if len(runs) != 4 {
		t.Errorf("the hooks ran again: %+v", runs)
	}
	for _, run := range runs {
		r.nothingLeft(t, run)
	}
	// The key of an earlier request is remembered, and its repetition does
	// nothing.
	if err := r.Terminate(t.Context(), "test-1", victims[0], driver.TerminateOptions{Decrement: true}, "shrink"); err != nil {
		t.Error(err)
	}
	if g := r.WaitServing(shrunk, 1); g.Capacity.Desired != 1 {
		t.Errorf("capacity %+v", g.Capacity)
	}
	// A hook of the restarted region ends normally.
	touch(t, filepath.Join(dir, "go"))
	last := r.WaitServing(replaced, 2).Instances[0].ID
	if err := r.Terminate(t.Context(), "test-1", last, driver.TerminateOptions{}, r.Key()); err != nil {
		t.Fatal(err)
	}
	r.Wait(replaced, "one has ended", func(g driver.ServerGroup) bool {
		return len(g.Ended) > 0 && g.Ended[0].ID == last && g.Ended[0].Failure == nil
	})
}
