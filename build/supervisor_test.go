package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"showrunner/artifact"
	"showrunner/internal/checksum/checksumtest"
)

// TestMain lets this test binary be the supervisor's process.
func TestMain(m *testing.M) {
	if dir := os.Getenv("TEST_SUPERVISE"); dir != "" && len(os.Args) > 1 && os.Args[1] == "supervise" {
		if err := Supervise(context.Background(), os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// supervised starts a build in its own process.
func supervised(t *testing.T, spec string, change func(*Job)) (*Handle, *artifact.Store) {
	t.Helper()
	t.Setenv("TEST_SUPERVISE", "1")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	store, err := artifact.Open(filepath.Join(root, "artifacts"))
	if err != nil {
		t.Fatal(err)
	}
	job := Job{Store: filepath.Join(root, "artifacts"), Request: Request{ID: NewID("demo"), Project: "demo", SpecName: "buildspec.yml", Spec: spec, Inherit: os.Environ()}}
	if change != nil {
		change(&job)
	}
	h, err := Launcher{Command: []string{self, "supervise"}}.Start(t.Context(), filepath.Join(root, "build"), job, map[string]string{"PASSWORD": "s3cret-value"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Cancel(context.Background(), ErrStopped) }) //nolint:errcheck // it has mostly ended
	return h, store
}

// until reads a log until it holds text.
type until struct {
	mu   sync.Mutex
	text string
	seen strings.Builder
	once sync.Once
	c    chan struct{}
}

func waitFor(text string) *until { return &until{text: text, c: make(chan struct{})} }

func (u *until) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.seen.Write(p)
	if strings.Contains(u.seen.String(), u.text) {
		u.once.Do(func() { close(u.c) })
	}
	return len(p), nil
}

func running(t *testing.T, h *Handle, text string) {
	t.Helper()
	u := waitFor(text)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go h.Log(ctx, 0, u) //nolint:errcheck // what counts is what it has read
	select {
	case <-u.c:
	case <-ctx.Done():
		u.mu.Lock()
		defer u.mu.Unlock()
		t.Fatalf("the log never said %q:\n%s", text, u.seen.String())
	}
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// pidIn reads a process number that a command wrote, and checks afterwards that
// the process is gone.
func gone(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range strings.Fields(string(data)) {
		pid, _ := strconv.Atoi(f)
		if st, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !strings.Contains(string(st), ") Z ") {
			t.Errorf("process %d is still there: %s", pid, st)
		}
	}
}

func TestSupervisedBuild(t *testing.T) {
	h, store := supervised(t, head+`
  build: {commands: [mkdir dist, echo hi > dist/a, 'echo "password $PASSWORD"', export TAG=v1]}
env: {exported-variables: [TAG], secrets-manager: {PASSWORD: some/secret}}
artifacts: {files: ["**/*"], base-directory: dist, secondary-artifacts: {two: {files: dist/a}}}
`, nil)
	r, err := h.Wait(bounded(t))
	if err != nil || r.Status != Succeeded || r.ExportedVariables["TAG"] != "v1" || len(r.Artifacts) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, a := range r.Artifacts {
		if _, err := store.Manifest(t.Context(), a.Ref); err != nil {
			t.Error(err)
		}
	}
	checksumtest.Flip(t, filepath.Join(h.dir, fileResult), func() error { _, err := h.Result(); return err })
	checksumtest.Flip(t, filepath.Join(h.dir, fileState), func() error { _, err := h.State(); return err })
	var log bytes.Buffer
	if err := h.Log(bounded(t), 0, &log); err != nil || !strings.Contains(log.String(), "password ***") {
		t.Errorf("%v\n%s", err, log.String())
	}
	var rest bytes.Buffer
	if err := h.Log(bounded(t), 100, &rest); err != nil || rest.String() != log.String()[100:] {
		t.Errorf("the rest of the log: %v", err)
	}
	// Nothing of the secret is left on the disk.
	filepath.Walk(h.dir, func(p string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			if data, _ := os.ReadFile(p); bytes.Contains(data, []byte("s3cret")) {
				t.Errorf("%s holds the secret", p)
			}
		}
		return nil
	})
	// Starting it again finds what became of it.
	again, err := Launcher{Command: []string{"/nonexistent"}}.Start(t.Context(), h.dir, Job{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r2, err := again.Wait(bounded(t)); err != nil || r2.ID != r.ID {
		t.Errorf("%+v, %v", r2, err)
	}
}

func TestCancelReachesTheSupervisor(t *testing.T) {
	for _, test := range []struct {
		cause error
		want  Status
	}{{ErrStopped, Stopped}, {ErrTimedOut, TimedOut}} {
		pids := filepath.Join(t.TempDir(), "pids")
		h, _ := supervised(t, head+`  build: {commands: ["sleep 600 & echo $! > `+pids+`", "(setsid sleep 600 & echo $! >> `+pids+`)", "echo started; sleep 600"]}`, nil)
		running(t, h, "\nstarted")
		other, err := Attach(h.dir)
		if err != nil {
			t.Fatal(err)
		}
		r, err := other.Cancel(bounded(t), test.cause)
		if err != nil || r.Status != test.want {
			t.Errorf("%+v, %v; want %s", r, err, test.want)
		}
		gone(t, pids)
	}
}

func TestDeadlineHoldsWithoutAWatcher(t *testing.T) {
	h, _ := supervised(t, head+`  build: {commands: ["sleep 600"]}`, func(j *Job) { j.Deadline = time.Now().Add(3 * time.Second) })
	if r, err := h.Wait(bounded(t)); err != nil || r.Status != TimedOut {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestKilledSupervisor(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	h, _ := supervised(t, head+`  build: {commands: ["sleep 600 & echo $! > `+pids+`", "(setsid sleep 600 & echo $! >> `+pids+`)", "sh -c 'echo $$ >> `+pids+`; echo started; sleep 600; true'"]}`, nil)
	running(t, h, "\nstarted")
	state, err := h.State()
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan Result, 1)
	go func() {
		r, err := h.Wait(bounded(t))
		if err != nil {
			t.Error(err)
		}
		waited <- r
	}()
	if err := syscall.Kill(state.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r := <-waited
	if r.Status != Fault || r.Failure == nil || r.Failure.Phase != Build || !strings.Contains(strings.Join(r.Failure.LastLines, "\n"), "started") {
		t.Errorf("%+v", r)
	}
	gone(t, pids)
	if exists(state.Work) || exists(ControlFolder(state.Work)) {
		t.Error("its folders are left behind")
	}
}

func TestTwoStartsAreOneBuild(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "runs")
	spec := head + `  build: {commands: ["echo run >> ` + marker + `"]}`
	h, _ := supervised(t, spec, nil)
	dir := filepath.Join(filepath.Dir(h.dir), "second")
	self, _ := os.Executable()
	l := Launcher{Command: []string{self, "supervise"}}
	job := Job{Store: filepath.Join(filepath.Dir(h.dir), "artifacts"), Request: Request{ID: NewID("demo"), Project: "demo", SpecName: "s", Spec: spec, Inherit: os.Environ()}}
	h.Wait(bounded(t)) //nolint:errcheck // only the others count
	os.Remove(marker)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			h, err := l.Start(bounded(t), dir, job, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if r, err := h.Wait(bounded(t)); err != nil || r.Status != Succeeded {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
	wg.Wait()
	if data, _ := os.ReadFile(marker); string(data) != "run\n" {
		t.Errorf("it ran as %q", data)
	}
}

func TestNothingToAttachTo(t *testing.T) {
	if _, err := Attach(t.TempDir()); !errors.Is(err, ErrNotStarted) {
		t.Errorf("%v", err)
	}
	_, err := Launcher{Command: []string{"/bin/false"}}.Start(t.Context(), filepath.Join(t.TempDir(), "b"), Job{}, nil)
	if err == nil {
		t.Error("a supervisor that ends at once counts as started")
	}
}
