package fleet

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"showrunner/cloud/cloudtest"
	"showrunner/cloud/driver"
	"showrunner/pipeline"
	"showrunner/problem"
)

// refused says whether an answer was refused with a code, for a reason.
func refused(t *testing.T, what string, err error, code problem.Code, parts ...string) {
	t.Helper()
	if problem.CodeOf(err) != code || err == nil {
		t.Errorf("%s: %v, want %s", what, err, code)
		return
	}
	says(t, what, err.Error(), parts...)
}

func inHook(state driver.Lifecycle) func(driver.ServerGroup) bool {
	return func(g driver.ServerGroup) bool {
		for _, i := range g.Instances {
			if i.Lifecycle == state {
				return true
			}
		}
		return false
	}
}

// An instance whose hooks wait neither serves nor ends before the answer comes.
// It shows that it waits, and until when. A repeated answer, and an answer to an
// instance that does not wait, are reported as such.
func TestHooksWaitForAnAnswer(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	client := r.client(t)
	answer := func(id string, a driver.HookAnswer, key string) error {
		return client.AnswerHook(t.Context(), "test-1", id, a, key)
	}
	spec := r.Spec("app", cloudtest.Serve, 1)
	waits := &pipeline.LifecycleHook{Wait: true, Timeout: pipeline.Duration(time.Hour)}
	spec.Hooks = &pipeline.LifecycleHooks{Launch: waits, Terminate: waits}
	name := r.Create(spec).Name
	first := r.Wait(name, "in its launch hook", inHook(driver.PendingWait)).Instances[0]
	if h := first.Hook; h == nil || h.Name != "launch" || !h.Wait || h.Until.Sub(h.Since) != time.Hour || !h.Heartbeat.IsZero() {
		t.Fatalf("it shows its hook as %+v", h)
	}
	if len(r.balancer.open("app")) != 0 {
		t.Error("it has traffic before its launch hook was completed")
	}
	if err := answer(first.ID, driver.HookHeartbeat, "beat"); err != nil {
		t.Fatal(err)
	}
	g, _ := r.Group(name)
	if h := g.Instances[0].Hook; h == nil || !h.Heartbeat.After(h.Since) || h.Until.Sub(h.Heartbeat) != time.Hour {
		t.Errorf("after a heartbeat it shows %+v", h)
	}
	refused(t, "nonsense", answer(first.ID, "yes", r.Key()), problem.Invalid, "yes")
	refused(t, "to none", answer("i-00000000000000000", driver.HookContinue, r.Key()), problem.NotFound)
	if err := answer(first.ID, driver.HookContinue, "once"); err != nil {
		t.Fatal(err)
	}
	r.WaitServing(name, 1)
	if err := answer(first.ID, driver.HookContinue, "once"); err != nil {
		t.Errorf("the same request again: %v", err)
	}
	refused(t, "completed twice", answer(first.ID, driver.HookContinue, r.Key()), problem.Precondition, "is InService and does not wait", "launch hook was completed with continue")
	refused(t, "a late heartbeat", answer(first.ID, driver.HookHeartbeat, r.Key()), problem.Precondition, "does not wait")

	if err := r.Terminate(t.Context(), "test-1", first.ID, driver.TerminateOptions{}, r.Key()); err != nil {
		t.Fatal(err)
	}
	r.Wait(name, "in its terminate hook", inHook(driver.TerminatingWait))
	if err := syscall.Kill(first.PID, 0); err != nil {
		t.Errorf("its process has ended before its terminate hook: %v", err)
	}
	next := r.Wait(name, "its successor in its launch hook", inHook(driver.PendingWait))
	if err := answer(first.ID, driver.HookContinue, r.Key()); err != nil {
		t.Fatal(err)
	}
	g = r.Wait(name, "without it", func(g driver.ServerGroup) bool { return len(g.Ended) == 1 })
	if e := g.Ended[0]; e.Failure != nil || e.Hook != nil || e.ID != first.ID {
		t.Errorf("it ended as %+v", e)
	}
	refused(t, "to one that has ended", answer(first.ID, driver.HookContinue, r.Key()), problem.Precondition, "has ended")

	// The replacement must not serve yet.
	for _, i := range next.Instances {
		if i.Lifecycle == driver.PendingWait {
			if err := answer(i.ID, driver.HookAbandon, r.Key()); err != nil {
				t.Fatal(err)
			}
		}
	}
	f := r.evidence(name, "HOOK_FAILED")
	says(t, "cause", f.Cause, "its launch hook was abandoned")
	r.Wait(name, "another in its launch hook", func(g driver.ServerGroup) bool { return g.Failures == 1 && inHook(driver.PendingWait)(g) })
}

// A hook without an answer has failed at its timeout.
func TestHooksWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	late := &pipeline.LifecycleHook{Wait: true, Timeout: pipeline.Duration(100 * time.Millisecond)}
	spec := r.Spec("app", cloudtest.Serve, 1)
	spec.Hooks = &pipeline.LifecycleHooks{Launch: late}
	says(t, "cause", r.evidence(r.Create(spec).Name, "HOOK_FAILED").Cause, "launch hook was not completed within 100ms")

	spec = r.Spec("kept", cloudtest.Serve, 1)
	kept := *late
	kept.DefaultResult = "continue"
	spec.Hooks = &pipeline.LifecycleHooks{Launch: &kept, Terminate: late}
	g := r.WaitServing(r.Create(spec).Name, 1)
	if err := r.Terminate(t.Context(), "test-1", g.Instances[0].ID, driver.TerminateOptions{}, r.Key()); err != nil {
		t.Fatal(err)
	}
	g = r.Wait(g.Name, "without it", func(g driver.ServerGroup) bool { return len(g.Ended) == 1 })
	if f := g.Ended[0].Failure; f == nil || f.Code != "HOOK_FAILED" {
		t.Fatalf("it ended with %+v", f)
	}
	says(t, "cause", g.Ended[0].Failure.Cause, "terminate hook was not completed within 100ms")
}

// A hook with a command and wait needs both the command's end and the answer: the
// command may notify the system that answers, and the answer may come before the
// command has ended.
func TestHooksWithCommandAndWait(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	dir := t.TempDir()
	hook := tellingHook(dir)
	hook.Wait, hook.Timeout = true, pipeline.Duration(time.Hour)
	spec := r.Spec("app", cloudtest.Serve, 1)
	spec.Hooks = &pipeline.LifecycleHooks{Launch: hook}
	name := r.Create(spec).Name
	eventually(t, "the command runs", func() bool { return len(hookRuns(t, dir)) == 1 })
	run := hookRuns(t, dir)[0]
	if err := r.AnswerHook(t.Context(), "test-1", run.instance, driver.HookContinue, r.Key()); err != nil {
		t.Fatal(err)
	}
	if err := r.AnswerHook(t.Context(), "test-1", run.instance, driver.HookContinue, r.Key()); err != nil {
		t.Errorf("the same again: %v", err)
	}
	refused(t, "another mind", r.AnswerHook(t.Context(), "test-1", run.instance, driver.HookAbandon, r.Key()), problem.Precondition, "was completed with continue")
	if g, _ := r.Group(name); g.Instances[0].Lifecycle != driver.PendingWait {
		t.Errorf("it is %s before the command has ended", g.Instances[0].Lifecycle)
	}
	touch(t, filepath.Join(dir, "go"))
	r.WaitServing(name, 1)

	// Abandoning a hook kills its command. A hook whose command fails needs no
	// answer. An answer needs a hook that waits.
	spec = r.Spec("left", cloudtest.Serve, 1)
	left := *hook
	left.Command = []string{"sh", "-c", "echo $SHOWRUNNER_INSTANCE >>$0/left; sleep 600", dir}
	spec.Hooks = &pipeline.LifecycleHooks{Launch: &left}
	name = r.Create(spec).Name
	eventually(t, "its command runs", func() bool { text, _ := os.ReadFile(dir + "/left"); return strings.HasSuffix(string(text), "\n") })
	id := r.Wait(name, "in its hook", inHook(driver.PendingWait)).Instances[0].ID
	if err := r.AnswerHook(t.Context(), "test-1", id, driver.HookAbandon, r.Key()); err != nil {
		t.Fatal(err)
	}
	says(t, "cause", r.evidence(name, "HOOK_FAILED").Cause, "was abandoned")

	spec = r.Spec("bad", cloudtest.Serve, 1)
	bad := *hook
	bad.Command = []string{"sh", "-c", "echo nobody to tell; exit 7"}
	spec.Hooks = &pipeline.LifecycleHooks{Launch: &bad}
	says(t, "cause", r.evidence(r.Create(spec).Name, "HOOK_FAILED").Cause, "exit code 7", "nobody to tell")

	spec = r.Spec("deaf", cloudtest.Serve, 1)
	spec.Hooks = &pipeline.LifecycleHooks{Launch: until(filepath.Join(dir, "never"))}
	id = r.Wait(r.Create(spec).Name, "in its hook", inHook(driver.PendingWait)).Instances[0].ID
	refused(t, "to a command alone", r.AnswerHook(t.Context(), "test-1", id, driver.HookContinue, r.Key()), problem.Precondition, "command of its launch hook alone")
}

// An instance that became unhealthy while it waited does not serve when its hook
// is done.
func TestUnhealthyAfterItsLaunchHook(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	spec := r.Spec("app", cloudtest.ToggleHealth, 1)
	spec.Health.Grace = pipeline.Duration(time.Hour)
	spec.Hooks = &pipeline.LifecycleHooks{Launch: &pipeline.LifecycleHook{Wait: true}}
	name := r.Create(spec).Name
	i := r.Wait(name, "in its launch hook", inHook(driver.PendingWait)).Instances[0]
	if _, err := get(t.Context(), "http://"+i.Address+"/forget"); err != nil {
		t.Fatal(err)
	}
	if err := r.AnswerHook(t.Context(), "test-1", i.ID, driver.HookContinue, r.Key()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it was checked and is unhealthy", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return strings.Contains(r.instances[i.ID].probeDetail, "forgotten")
	})
	for _, c := range r.balancer.all() {
		for _, g := range c.Groups {
			if len(g.Targets) > 0 {
				t.Fatalf("the balancer had an unhealthy instance: %v", g.Targets)
			}
		}
	}
	if _, err := get(t.Context(), "http://"+i.Address+"/remember"); err != nil {
		t.Fatal(err)
	}
	if g := r.WaitServing(name, 1); g.Instances[0].ID != i.ID {
		t.Error("its hook did not hold for it")
	}
}

// A killed region loses its waiting instances. After the restart another instance
// waits for its own answer, and an answer to the earlier one finds no instance.
func TestRegionKilledWhileHooksWait(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	waits := &pipeline.LifecycleHook{Wait: true, Timeout: pipeline.Duration(time.Hour)}
	spec := r.Spec("app", cloudtest.Serve, 1)
	spec.Hooks = &pipeline.LifecycleHooks{Launch: waits, Terminate: waits}
	name := r.Create(spec).Name
	r.stop()
	region, client := otherProcess(t, r)
	target := r.target()
	target.Cloud = client
	other := cloudtest.New(t, target)
	gone := other.Wait(name, "in its launch hook", inHook(driver.PendingWait)).Instances[0].ID
	if err := client.AnswerHook(t.Context(), "test-1", gone, driver.HookContinue, "before"); err != nil {
		t.Fatal(err)
	}
	other.WaitServing(name, 1)
	if err := client.Terminate(t.Context(), "test-1", gone, driver.TerminateOptions{}, "end"); err != nil {
		t.Fatal(err)
	}
	other.Wait(name, "one in its terminate hook, one in its launch hook", func(g driver.ServerGroup) bool {
		return inHook(driver.TerminatingWait)(g) && inHook(driver.PendingWait)(g)
	})
	killRegion(t, region)
	r.start()
	r.Suite = cloudtest.New(t, r.target())
	g := r.Wait(name, "one alone in its launch hook", func(g driver.ServerGroup) bool { return len(g.Instances) == 1 && inHook(driver.PendingWait)(g) })
	if len(r.balancer.open("app")) != 0 {
		t.Error("it has traffic")
	}
	if err := r.AnswerHook(t.Context(), "test-1", gone, driver.HookContinue, "before"); err != nil {
		t.Errorf("the earlier answer is forgotten: %v", err)
	}
	refused(t, "to the instance from before the restart", r.AnswerHook(t.Context(), "test-1", gone, driver.HookContinue, r.Key()), problem.NotFound, "there is no instance "+gone)
	if err := r.AnswerHook(t.Context(), "test-1", g.Instances[0].ID, driver.HookContinue, r.Key()); err != nil {
		t.Fatal(err)
	}
	r.WaitServing(name, 1)
}

// The bounds of a wait.
func TestHookTimes(t *testing.T) {
	cases := map[string]struct {
		timeout, every time.Duration // interval of heartbeats; 0: none
		most           int           // number of heartbeats; 0: unlimited
		answer         driver.HookAnswer
		at             time.Duration // the final answer
		lasts          time.Duration
		cause          string
	}{
		"no word":                        {timeout: time.Minute, lasts: time.Minute, cause: " was not completed within 1m0s"},
		"no timeout given":               {lasts: time.Minute, cause: " was not completed within 1m0s"},
		"a word in time":                 {timeout: time.Minute, answer: driver.HookContinue, at: 59 * time.Second, lasts: 59 * time.Second},
		"another word":                   {timeout: time.Minute, answer: driver.HookAbandon, at: 5 * time.Second, lasts: 5 * time.Second, cause: " was abandoned"},
		"heartbeats, then a word":        {timeout: time.Minute, every: 50 * time.Second, answer: driver.HookContinue, at: 20 * time.Minute, lasts: 20 * time.Minute},
		"heartbeats without end":         {timeout: time.Minute, every: 50 * time.Second, lasts: 100 * time.Minute, cause: " was not completed within 1h40m0s, the longest that heartbeats can make it"},
		"heartbeats that end":            {timeout: time.Minute, every: 50 * time.Second, most: 2, lasts: 160 * time.Second, cause: " was not completed within 1m0s of its last heartbeat"},
		"long ones without end":          {timeout: time.Hour, every: 50 * time.Minute, lasts: 48 * time.Hour, cause: " was not completed within 48h0m0s, the longest that heartbeats can make it"},
		"a timeout beyond what there is": {timeout: 72 * time.Hour, lasts: 48 * time.Hour, cause: " was not completed within 48h0m0s"},
		"a late heartbeat is none":       {timeout: time.Minute, every: 61 * time.Second, lasts: time.Minute, cause: " was not completed within 1m0s"},
	}
	for what, c := range cases {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &Fleet{config: Config{Now: time.Now}, quit: make(chan struct{})}
				h := newRunningHook("launch", driver.PendingWait, pipeline.LifecycleHook{Wait: true, Timeout: pipeline.Duration(c.timeout)}, time.Now())
				i := &instance{id: "i-1", lifecycle: driver.Pending, hook: h}
				say := func(a driver.HookAnswer) error {
					f.mu.Lock()
					defer f.mu.Unlock()
					err := i.canAnswer("test", a, time.Now())
					if err == nil {
						h.accept(a, time.Now())
					}
					return err
				}
				began, ended := time.Now(), make(chan string, 1)
				go func() { var none chan string; ended <- f.awaitHook(t.Context(), h, &none) }()
				var tick <-chan time.Time
				if c.every > 0 {
					ticker := time.NewTicker(c.every)
					defer ticker.Stop()
					tick = ticker.C
				}
				var word <-chan time.Time
				if c.answer != "" {
					word = time.After(c.at)
				}
				for n := 1; ; {
					select {
					case <-tick:
						if n++; c.most > 0 && n > c.most {
							tick = nil // time of the last heartbeat
						}
						if err := say(driver.HookHeartbeat); err != nil && time.Since(began) < c.lasts-c.timeout {
							t.Errorf("a heartbeat after %s: %v", time.Since(began), err)
						}
					case <-word:
						if err := say(c.answer); err != nil {
							t.Error(err)
						}
					case cause := <-ended:
						if cause != c.cause || time.Since(began) != c.lasts {
							t.Errorf("after %s:%s", time.Since(began), cause)
						}
						return
					}
				}
			})
		})
	}
}
