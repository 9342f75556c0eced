package acceptance

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"showrunner/cloud"
)

const hookedPipeline = `application: api
pipelines:
  release:
    stages:
      source: { git: { url: ., branch: main } }
      build: { needs: [source], build: {} }
      service:
        needs: [build]
        deploy:
          cluster: api-prod
          artifact: build
          command: [./api]
          health: { path: /healthz, interval: 200ms, grace: 20s }
          capacity: { min: 1, desired: 1, max: 3 }
          hooks:
            launch: { command: [sh, -c, 'echo hook $SHOWRUNNER_HOOK tells'], wait: true, timeout: 10m }
            terminate: { wait: true, timeout: 10m }
          strategy: red-black
`

// waiting waits until n instances are in a hook, and returns them.
func (w *world) waiting(state cloud.Lifecycle, n int) (list []cloud.Instance) {
	w.t.Helper()
	w.eventually(30*time.Second, fmt.Sprintf("%d in %s", n, state), func() error {
		list = list[:0]
		out, errs, code := w.cli("instances", "api", "-o", "json")
		if code != 0 {
			return fmt.Errorf("%s", errs) // its region is starting
		}
		for _, i := range decode[[]cloud.Instance](w.t, out) {
			if i.Lifecycle == state {
				list = append(list, i)
			}
		}
		if len(list) != n {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	return list
}

// Instances that wait for an answer from outside show it, and get the answer by
// the command line. After a region is killed meanwhile, its new instances wait
// for answers of their own.
func TestLifecycleHooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-west-2")
	files := serviceFiles("red-black", "good", "one")
	files["showrunner.yaml"] = hookedPipeline
	r := newRepo(t, files)
	w.must("apply", "-f", filepath.Join(r.dir, "showrunner.yaml"))
	id := strings.TrimSpace(w.must("run", "api/release", "-o", "name"))
	refused := func(exit int, says string, args ...string) {
		t.Helper()
		if _, errs, code := w.cli(args...); code != exit || !strings.Contains(errs, says) {
			t.Errorf("%v: exit %d, want %d and %q:\n%s", args, code, exit, says, errs)
		}
	}

	first := w.waiting(cloud.PendingWait, 1)[0]
	if h := first.Hook; h == nil || h.Name != "launch" || !h.Wait || h.Until.Sub(h.Since) != 10*time.Minute {
		t.Errorf("it shows its hook as %+v", h)
	}
	if out := w.must("instances", "api"); !strings.Contains(out, "Pending:Wait, 9m") || !strings.Contains(out, "left") {
		t.Errorf("the list says:\n%s", out)
	}
	w.must("heartbeat", first.ID)
	if h := w.waiting(cloud.PendingWait, 1)[0].Hook; h == nil || !h.Heartbeat.After(first.Hook.Since) || !h.Until.After(first.Hook.Until) {
		t.Errorf("after a heartbeat: %+v, before: %+v", h, first.Hook)
	}
	if status, body := w.get("api-prod", "/"); status == 200 {
		t.Errorf("it answers %s", body)
	}
	w.kill("region-us-west-2")
	second := w.waiting(cloud.PendingWait, 1)[0]
	if second.ID == first.ID {
		t.Error("an instance outlived its region")
	}
	if status, body := w.get("api-prod", "/"); status == 200 {
		t.Errorf("after the region's restart it answers %s", body)
	}
	refused(6, "there is no instance", "complete-hook", first.ID, "continue")
	refused(2, "neither continue nor abandon", "complete-hook", second.ID, "yes")
	w.must("complete-hook", second.ID, "continue")
	if out, errs, code := w.cli("executions", "watch", id, "--timeout", "90s"); code != 0 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	if status, body := w.get("api-prod", "/"); status != 200 || !strings.Contains(body, second.ID) {
		t.Errorf("it answers %d %s", status, body)
	}
	refused(7, "completed with continue", "complete-hook", second.ID, "continue")
	refused(7, "does not wait", "heartbeat", second.ID)
	if out := w.must("logs", second.ID); !strings.Contains(out, "hook launch tells") {
		t.Errorf("the hook's command wrote nothing:\n%s", out)
	}

	w.must("resize", "api-prod", "--desired", "2")
	w.must("complete-hook", w.waiting(cloud.PendingWait, 1)[0].ID, "continue")
	w.eventually(30*time.Second, "two serve", w.allServe)
	w.must("terminate", second.ID)
	w.waiting(cloud.TerminatingWait, 1)
	if err := syscall.Kill(second.PID, 0); err != nil {
		t.Errorf("it has ended before its terminate hook: %v", err)
	}
	w.kill("region-us-west-2")
	for _, i := range w.waiting(cloud.PendingWait, 2) {
		if i.ID == second.ID {
			t.Error("an instance outlived its region")
		}
		w.must("complete-hook", i.ID, "continue")
	}
	w.eventually(30*time.Second, "two serve", w.allServe)
	w.eventually(20*time.Second, "its process is gone", func() error { // once the process that inherits it has noticed its end
		if err := syscall.Kill(second.PID, 0); err == nil {
			return fmt.Errorf("pid %d is alive", second.PID)
		}
		return nil
	})

	w.must("resize", "api-prod", "--desired", "1")
	ending := w.waiting(cloud.TerminatingWait, 1)[0]
	w.must("complete-hook", ending.ID, "continue")
	w.eventually(30*time.Second, "one is left", func() error {
		if n := len(w.instances()); n != 1 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	if out := w.must("audit"); !strings.Contains(out, "instance.complete-hook") || !strings.Contains(out, "instance.heartbeat") {
		t.Errorf("the audit log says:\n%s", out)
	}
}
