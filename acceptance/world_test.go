package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// binary is the program under test, built once.
var binary string

// full says whether the tests run at the promised sizes.
var full = os.Getenv("SHOWRUNNER_ACCEPTANCE") == "full"

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds the program, runs the tests, and always removes the program.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "showrunner-acceptance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "showrunner")
	build := exec.Command("go", "build", "-o", binary, "showrunner/cmd/showrunner")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building: %v\n%s", err, out)
		return 1
	}
	defer sharedAWS.stop()
	flag.Parse()
	setParallel()
	return m.Run()
}

// setParallel lets more tests run at once than there are processors: for much of its
// time a test waits for other processes.
func setParallel() {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		flag.Set("test.parallel", strconv.Itoa(max(4, runtime.GOMAXPROCS(0))))
	}
}

// world is one `showrunner up` with a data folder of its own.
type world struct {
	t       *testing.T
	data    string
	listen  string
	edge    string
	up      *exec.Cmd
	output  *lockedBuffer
	regions []string
	flags   []string // of up, beside the usual ones

	asInstalled bool // clients of AWS start and check as they are installed, which takes longer
}

// newWorld starts all processes and waits until they are ready.
func newWorld(t *testing.T, regions ...string) *world {
	t.Helper()
	return newWorldWith(t, nil, regions...)
}

// newWorldWith is newWorld with further flags of up.
func newWorldWith(t *testing.T, flags []string, regions ...string) *world {
	t.Helper()
	if len(regions) == 0 {
		regions = []string{"us-west-2", "us-east-1", "eu-west-1"}
	}
	w := &world{t: t, data: filepath.Join(t.TempDir(), "data"), listen: freeAddress(t), edge: freeAddress(t), output: &lockedBuffer{}, regions: regions, flags: flags}
	w.start()
	t.Cleanup(w.stop)
	return w
}

func (w *world) start() {
	w.t.Helper()
	w.up = exec.Command(binary, append([]string{"up", "--data", w.data, "--listen", w.listen, "--edge", w.edge, "--regions", strings.Join(w.regions, ",")}, w.flags...)...)
	w.up.Stderr = w.output
	if err := w.up.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.eventually(30*time.Second, "everything is up", func() error {
		if !strings.Contains(w.output.String(), "Showrunner is up.") {
			return fmt.Errorf("it says:\n%s", w.output.String())
		}
		return nil
	})
}

func (w *world) stop() {
	if w.up.ProcessState != nil {
		return
	}
	w.up.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { w.up.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(40 * time.Second):
		w.up.Process.Kill()
		w.t.Errorf("up did not stop:\n%s", w.output.String())
	}
	if w.t.Failed() {
		w.t.Logf("up said:\n%s", w.output.String())
		names := []string{"control", "edge"}
		for _, region := range w.regions {
			names = append(names, "region-"+region)
		}
		for _, name := range names {
			if log, err := os.ReadFile(filepath.Join(w.data, "logs", name+".log")); err == nil {
				w.t.Logf("%s.log:\n%s", name, tail(string(log), 40))
			}
		}
	}
}

func tail(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// lockedBuffer may be written and read at the same time.
type lockedBuffer struct {
	mu chan struct{}
	b  bytes.Buffer
}

func (l *lockedBuffer) lock() func() {
	if l.mu == nil {
		l.mu = make(chan struct{}, 1)
	}
	l.mu <- struct{}{}
	return func() { <-l.mu }
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	defer l.lock()()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	defer l.lock()()
	return l.b.String()
}

// freeAddress finds a free port below the system's ephemeral ports, so that no
// other program takes it before it is used.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000)))
		if err != nil {
			continue
		}
		defer l.Close()
		return l.Addr().String()
	}
	t.Fatal("no free port")
	return ""
}

// eventually repeats act until it returns no error; it is for events in other
// processes.
func (w *world) eventually(limit time.Duration, what string, check func() error) {
	w.t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			w.t.Fatalf("%s: not after %s: %v", what, limit, err)
		case <-tick.C:
		}
	}
}

// cli runs a command and returns stdout, stderr and the exit code.
func (w *world) cli(args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	return w.cliIn("", args...)
}

func (w *world) cliIn(stdin string, args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), "SHOWRUNNER_DATA="+w.data)
	if len(args) > 1 && args[0] == "aws" && args[1] == "--" && !w.asInstalled {
		cmd.Env = append(cmd.Env, "PATH="+sharedAWS.ready(w.t).path)
	}
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		w.t.Fatalf("%v: %v", args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must runs a command that has to succeed.
func (w *world) must(args ...string) string {
	w.t.Helper()
	out, errs, code := w.cli(args...)
	if code != 0 {
		w.t.Fatalf("showrunner %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// json runs a command that has to succeed and decodes its output.
func (w *world) json(into any, args ...string) {
	w.t.Helper()
	out := w.must(append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		w.t.Fatalf("showrunner %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// decode decodes the output of a command with -o json.
func decode[T any](t *testing.T, out string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return v
}

// get requests a page of a host from the edge.
func (w *world) get(host, path string) (int, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://"+w.edge+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Host = host + ".localhost"
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// process is a child of up, as doctor lists it.
func (w *world) pid(process string) int {
	w.t.Helper()
	var checks []struct{ Name, Detail string }
	out, _, _ := w.cli("doctor", "-o", "json")
	if err := json.Unmarshal([]byte(out), &checks); err != nil {
		w.t.Fatalf("doctor: %v\n%s", err, out)
	}
	for _, c := range checks {
		if c.Name != "process "+process {
			continue
		}
		for _, part := range strings.Split(c.Detail, ", ") {
			if text, ok := strings.CutPrefix(part, "pid "); ok {
				pid, err := strconv.Atoi(text)
				if err != nil || pid == 0 {
					return 0
				}
				return pid
			}
		}
	}
	return 0
}

// kill ends a child of up with SIGKILL, and waits until up has restarted it.
func (w *world) kill(process string) {
	w.t.Helper()
	before := w.pid(process)
	if before == 0 {
		w.t.Fatalf("%s does not run", process)
	}
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		w.t.Fatal(err)
	}
	w.eventually(20*time.Second, process+" runs again", func() error {
		if now := w.pid(process); now == 0 || now == before {
			return fmt.Errorf("pid %d, was %d", now, before)
		}
		return nil
	})
}

// repo is a Git repository with an application in it.
type repo struct {
	t   *testing.T
	dir string
}

func newRepo(t *testing.T, files map[string]string) *repo {
	t.Helper()
	r := &repo{t: t, dir: filepath.Join(t.TempDir(), "repo")}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.git("init", "--quiet", "--initial-branch=main")
	r.commit("first", files)
	return r
}

func (r *repo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", r.dir, "-c", "user.name=test", "-c", "user.email=test@localhost"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (r *repo) commit(message string, files map[string]string) string {
	r.t.Helper()
	for name, text := range files {
		path := filepath.Join(r.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			r.t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			r.t.Fatal(err)
		}
	}
	r.git("add", "--all")
	r.git("commit", "--quiet", "--message", message)
	return r.git("rev-parse", "HEAD")
}

// size is n, or the promised size with SHOWRUNNER_ACCEPTANCE=full.
func size(small, promised int) int {
	if full {
		return promised
	}
	return small
}
