package acceptance

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestABuildOfADeadHost: the machine of a build is gone permanently, with control
// plane, supervisor and files. Another machine starts the build anew, says so in
// the log and in an event, and continues to the end.
func TestABuildOfADeadHost(t *testing.T) {
	t.Parallel()
	a, b, notes := twoHosts(t, "2s")
	a.begin()
	id := a.release(notes)
	shell := a.shell(notes, 0)
	b.begin()
	a.destroy(shell)
	e := b.ends(id, "Succeeded")
	if n := e.variable("n"); n != "1" || starts(t, notes) != 2 {
		t.Errorf("the result is of start %s, and there were %d starts", n, starts(t, notes))
	}
	if log := b.must("executions", "logs", id, "build"); strings.Count(log, "the build is started anew on") != 1 || !strings.Contains(log, "this is start 1") {
		t.Errorf("the log says:\n%s", log)
	}
	if log := b.must("executions", "logs", id, "after"); !strings.Contains(log, "the source1\n") {
		t.Errorf("the artifact is another's:\n%s", log)
	}
	if events := b.must("events", "--from", "0", "--type", "stage.moved", "--execution", id); strings.Count(events, "\n") != 1 || !strings.Contains(events, `"start":2`) {
		t.Errorf("events:\n%s", events)
	}
	a.begin() // another machine under the old one's name
	if e := a.show(id); e.Status != "Succeeded" {
		t.Errorf("%+v", e)
	}
}

// TestABuildOfAHostThatComesBack: a control plane is down while its machine
// continues a build. When it is back in time, the build's result is accepted,
// although another control plane has the execution by then.
func TestABuildOfAHostThatComesBack(t *testing.T) {
	t.Parallel()
	a, b, notes := twoHosts(t, "10m")
	a.begin()
	id := a.release(notes)
	a.shell(notes, 0)
	b.begin()
	a.end(syscall.SIGKILL)
	if err := os.WriteFile(filepath.Join(notes, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.eventually(time.Minute, "the other has the execution", func() error {
		if e := b.show(id); len(e.Stages) < 2 || e.Stages[1].Phase != "waiting" {
			return fmt.Errorf("%+v", e)
		}
		return nil
	})
	a.begin()
	e := b.ends(id, "Succeeded")
	if n := e.variable("n"); n != "0" || starts(t, notes) != 1 {
		t.Errorf("the result is of start %s, and there were %d starts", n, starts(t, notes))
	}
	if log := b.must("executions", "logs", id, "build"); strings.Count(log, "this is start 0") != 1 {
		t.Errorf("the log says:\n%s", log)
	}
}

// TestABuildOfAHostThatComesBackLate: a build continues on a host that cannot be
// reached, and is started anew elsewhere. When the first host is back, its build
// is ended and its result is discarded.
func TestABuildOfAHostThatComesBackLate(t *testing.T) {
	t.Parallel()
	a, b, notes := twoHosts(t, "2s")
	a.begin()
	id := a.release(notes)
	shell := a.shell(notes, 0)
	b.begin()
	a.end(syscall.SIGKILL)
	e := b.ends(id, "Succeeded")
	if err := syscall.Kill(shell, 0); err != nil {
		t.Fatalf("the first build does not run any more, so that this shows nothing: %v", err)
	}
	a.begin()
	a.eventually(30*time.Second, "the first build has been ended", func() error {
		if err := syscall.Kill(shell, 0); err == nil {
			return fmt.Errorf("process %d lives", shell)
		}
		if out := a.output.String(); !strings.Contains(out, "its result refused") {
			return errors.New(out)
		}
		return nil
	})
	if again := a.show(id); e.variable("n") != "1" || again.variable("n") != "1" || starts(t, notes) != 2 {
		t.Errorf("%+v, then %+v; %d starts", e, again, starts(t, notes))
	}
}

// TestCommandsOfADeadHost: the effects of commands on a lost machine are unknown,
// so a person is asked, and the commands are repeated when the person says so.
func TestCommandsOfADeadHost(t *testing.T) {
	t.Parallel()
	a, b, notes := twoHosts(t, "2s")
	a.begin()
	id := a.apply("application: shop\npipelines:\n  release:\n    stages:\n      act:\n        run:\n          commands:\n" +
		strings.ReplaceAll("\n"+blocking(notes), "\n      ", "\n          ")[1:])
	shell := a.shell(notes, 0)
	b.begin()
	a.destroy(shell)
	b.eventually(time.Minute, "a person is asked", func() error {
		if e := b.show(id); e.Stages[0].Status != "Paused" || e.Stages[0].Failure == nil || e.Stages[0].Failure.Code != "IN_DOUBT" {
			return fmt.Errorf("%+v", e)
		}
		return nil
	})
	if n := starts(t, notes); n != 1 {
		t.Fatalf("%d starts before a person was asked", n)
	}
	b.must("executions", "signal", id, "act", "retry")
	b.ends(id, "Succeeded")
	if n := starts(t, notes); n != 2 {
		t.Errorf("%d starts", n)
	}
}

// TestBuildsWaitForAPlace: with one place, a second build waits and says so. The
// control plane is killed while the first build runs on; the second begins when
// the first has ended.
func TestBuildsWaitForAPlace(t *testing.T) {
	t.Parallel()
	hosts, notes := newHosts(t, "10m", 1)
	h := hosts[0]
	h.flags = []string{"--builds-at-once", "1"}
	h.begin()
	first := h.release(notes)
	h.shell(notes, 0)
	second := strings.TrimSpace(h.must("run", "shop/release", "-o", "name"))
	waits := func() error {
		e := h.show(second)
		if len(e.Stages) < 2 || e.Stages[1].Phase != "waiting" || e.Stages[1].Reason != "waits for a place: 1 build runs here" {
			return fmt.Errorf("%+v", e)
		}
		return nil
	}
	h.eventually(30*time.Second, "the second waits", waits)
	h.end(syscall.SIGKILL)
	h.begin()
	h.eventually(30*time.Second, "the second waits again", waits)
	if n := starts(t, notes); n != 1 {
		t.Errorf("%d builds have begun", n)
	}
	if err := os.WriteFile(filepath.Join(notes, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if e := h.ends(first, "Succeeded"); e.variable("n") != "0" {
		t.Errorf("%+v", e)
	}
	if e := h.ends(second, "Succeeded"); e.variable("n") != "1" {
		t.Errorf("%+v", e)
	}
	if log := h.must("executions", "logs", second, "build"); strings.Count(log, "waits for a place: 1 build runs here") != 1 {
		t.Errorf("the log says:\n%s", log)
	}
}

// TestTheLogOfAnAdoptedBuildIsFollowed: two control planes share a data folder. A
// person follows a build's log on the control plane that began it, and sees every
// line once and live, although that control plane is killed.
func TestTheLogOfAnAdoptedBuildIsFollowed(t *testing.T) {
	t.Parallel()
	hosts, notes := newHosts(t, "10m", 2)
	a, b := hosts[0], hosts[1]
	b.data, a.shared, b.shared = a.data, a.data, a.data
	a.begin()
	id := a.apply(strings.NewReplacer("NOTES", notes).Replace(`application: shop
pipelines:
  release:
    stages:
      build:
        run:
          commands:
            - for i in 1 2 3 4 5 6 7 8 9; do echo line $i; while [ ! -e NOTES/go.$i ]; do sleep 0.02; done; done
`))
	b.begin()
	step := func(n int) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(notes, "go."+strconv.Itoa(n)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for n := range 10 {
			step(n)
		}
	})
	var out lockedBuffer
	follow := exec.CommandContext(t.Context(), binary, "executions", "logs", "-f", id, "build")
	follow.Env = append(os.Environ(), "SHOWRUNNER_DATA="+b.data, "SHOWRUNNER_SERVER=http://"+a.listen+",http://"+b.listen)
	follow.Stdout, follow.Stderr = &out, &out
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 9; n++ {
		b.eventually(30*time.Second, fmt.Sprintf("line %d is seen", n), func() error {
			if text := out.String(); !strings.Contains(text, fmt.Sprintf("line %d\n", n)) {
				return errors.New(text)
			}
			return nil
		})
		if n == 3 {
			a.end(syscall.SIGKILL)
		}
		step(n)
	}
	if err := follow.Wait(); err != nil {
		t.Errorf("following ended with %v", err)
	}
	for n := 1; n <= 9; n++ {
		if text := out.String(); strings.Count(text, fmt.Sprintf("line %d\n", n)) != 1 {
			t.Errorf("line %d is not there once:\n%s", n, text)
		}
	}
	b.ends(id, "Succeeded")
}
