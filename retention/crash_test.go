package retention

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"showrunner/artifact"
	"showrunner/execution"
	"showrunner/problem"
)

// killAfter is a context that kills its own process at the n-th call of Err. A sweep
// calls Err before every file, so each file is a moment to be killed at.
type killAfter struct {
	context.Context
	left int
}

func (f *killAfter) Err() error {
	if f.left--; f.left == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the process ends here
	}
	return f.Context.Err()
}

// TestSweepProcess runs in the child process that is killed; without its
// variables it does nothing.
func TestSweepProcess(t *testing.T) {
	data := os.Getenv("SWEEP_TEST_DATA")
	if data == "" {
		t.Skip("started by TestSweepsThatAreKilled only")
	}
	w := newFixture(t)
	w.Data = data
	var err error
	if w.Artifacts, err = artifact.Open(filepath.Join(data, "artifacts")); err != nil {
		t.Fatal(err)
	}
	w.execution("1kept", execution.Succeeded, w.now.Add(-10*age), artifact.Ref(os.Getenv("SWEEP_TEST_KEPT")))
	n, err := strconv.Atoi(os.Getenv("SWEEP_TEST_KILL"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Sweep(&killAfter{t.Context(), n}); err != nil {
		t.Fatal(err)
	}
}

// TestSweepsThatAreKilled kills the sweeping process with kill -9, each time a
// few files later. After each kill, kept artifacts are complete, removed ones are
// complete or gone, and the next sweep continues.
func TestSweepsThatAreKilled(t *testing.T) {
	w := newFixture(t)
	kept := w.artifact("kept")
	w.execution("1kept", execution.Succeeded, w.now.Add(-10*age), kept)
	var going []artifact.Ref
	for i := range 300 { // more files than one batch removes
		going = append(going, w.artifact(fmt.Sprint("gone", i)))
	}
	for i := range 10 {
		w.folder("logs", fmt.Sprint("0gone", i))
		w.folder("builds", fmt.Sprintf("0gone%d.build.1.abc", i))
	}
	w.folder("logs", "1kept")
	w.makeOld()
	left := func() (n int) {
		for _, pattern := range []string{"artifacts/manifests/*/*", "artifacts/blobs/*/*", "logs/*", "builds/*"} {
			list, err := filepath.Glob(filepath.Join(w.Data, pattern))
			if err != nil {
				t.Fatal(err)
			}
			n += len(list)
		}
		return n
	}
	all, between, killed, temp := left(), 0, 0, t.TempDir()
	for n := 1; ; n += 47 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSweepProcess$")
		cmd.Env = append(os.Environ(), "SWEEP_TEST_DATA="+w.Data, "SWEEP_TEST_KEPT="+string(kept), "SWEEP_TEST_KILL="+strconv.Itoa(n),
			"TMPDIR="+temp) // files that the killed process leaves behind
		out, err := cmd.CombinedOutput()
		var ended *exec.ExitError
		if err == nil {
			break // the sweep finished before its kill point
		}
		if !errors.As(err, &ended) || ended.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%v\n%s", err, out)
		}
		killed++
		if l := left(); l < all && l > 4 {
			between++
		}
		if !w.whole(kept) {
			t.Fatalf("killed at %d: the kept artifact is incomplete", n)
		}
		for i := n % 13; i < len(going); i += 13 {
			if _, err := w.Artifacts.Manifest(t.Context(), going[i]); problem.CodeOf(err) != problem.NotFound && !w.whole(going[i]) {
				t.Fatalf("killed at %d: an artifact that still exists is incomplete", n)
			}
		}
	}
	t.Logf("%d sweeps killed, %d of them with a part removed", killed, between)
	if between == 0 {
		t.Error("no sweep was killed half way, so this test proves nothing")
	}
	// The kept artifact, its two files, and the log of its execution.
	if l := left(); l != 4 || !w.whole(kept) {
		t.Errorf("%d files and folders are left, want 4; the kept artifact is complete: %v", l, w.whole(kept))
	}
	if done, err := w.Sweep(t.Context()); err != nil || done != (Swept{}) {
		t.Errorf("again: %+v, %v", done, err)
	}
}
