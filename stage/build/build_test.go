package build

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"showrunner/artifact"
	"showrunner/build"
	"showrunner/internal/filelock"
	"showrunner/internal/sockpath"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// TestMain lets this test binary be a build's supervisor.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "supervise" {
		if err := build.Supervise(context.Background(), os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type fixture struct {
	*testing.T
	b      *Builder
	source artifact.Ref
}

func newFixture(t *testing.T, files map[string]string) *fixture {
	t.Helper()
	root := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	store, err := artifact.Open(filepath.Join(root, "artifacts"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range files {
		os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ref, _, err := store.PutDir(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{T: t, source: ref, b: &Builder{Launcher: build.Launcher{Command: []string{self, "supervise"}}, Folder: filepath.Join(root, "builds"),
		Artifacts: store, Store: filepath.Join(root, "artifacts"), Cache: filepath.Join(root, "cache"), Inherit: build.CleanEnvironment(os.Environ())}}
}

// secrets are the values of references, by name.
type secrets map[string]string

// Expand reads references as the language does.
func (s secrets) Expand(_ context.Context, text string) (string, error) {
	return pipeline.ExpandSecrets(text, func(name string) (string, error) {
		if v, ok := s[name]; ok {
			return v, nil
		}
		return "", problem.New(problem.NotFound, "secret.resolve", "no secret %s", name)
	})
}

// log is a stage's log that can be waited for.
type log struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	grow chan struct{}
}

func newLog() *log { return &log{grow: make(chan struct{}, 1)} }

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.grow <- struct{}{}:
	default:
	}
	return l.buf.Write(p)
}

func (l *log) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *log) wait(t *testing.T, text string) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for !strings.Contains(l.text(), text) {
		select {
		case <-l.grow:
		case <-limit:
			t.Fatalf("the log never said %q:\n%s", text, l.text())
		}
	}
}

func (f *fixture) input(cfg pipeline.Config, w *log) *stage.Input {
	return &stage.Input{Key: stage.Key{Execution: "e1", Stage: "compile", Attempt: 1, Task: "execute"}, Application: "shop", Pipeline: "release", Number: 3,
		Stage: pipeline.Stage{Name: "compile", Needs: []string{"source"}}, Config: cfg, Artifacts: map[string]artifact.Ref{"source": f.source},
		Upstream: map[string]map[string]any{"source": {"commit": "abc123", "branch": "main", "url": "https://example.test/r.git"}},
		Secrets:  secrets{"TOKEN": "token-value-1", "db": `{"user":"app","password":"db-password-1"}`}, Log: w, Progress: func(string, ...any) {}}
}

func task(k stage.Kind, name string) stage.Task {
	for _, t := range k.Tasks() {
		if t.Name == name {
			return t
		}
	}
	panic(name)
}

const spec = `version: 0.2
env:
  secrets-manager: {DB: "db:password"}
  exported-variables: [TAG]
phases:
  build:
    commands:
      - echo "$CODEBUILD_RESOLVED_SOURCE_VERSION $CODEBUILD_SOURCE_VERSION $DB $TOKEN $GREETING"
      - mkdir dist; cp index.html dist; export TAG=v1
reports: {unit: {files: r.xml}}
artifacts: {files: "**/*", base-directory: dist, secondary-artifacts: {meta: {files: r.xml}}}
`

func TestBuild(t *testing.T) {
	f := newFixture(t, map[string]string{"buildspec.yml": spec, "index.html": "hi", "r.xml": `<testsuite><testcase name="a"/><testcase name="b"><failure/></testcase></testsuite>`})
	w := newLog()
	in := f.input(pipeline.Build{Env: map[string]string{"TOKEN": "${{ secrets.TOKEN }}", "GREETING": "hello"}}, w)
	k := buildKind{f.b}
	for _, name := range []string{"prepare", "execute", "collect"} {
		res, err := task(k, name).Run(t.Context(), in)
		if err != nil || res.Outcome != stage.Done {
			t.Fatalf("%s: %+v %+v, %v\n%s", name, res, res.Failure, err, w.text())
		}
		if name != "execute" {
			continue
		}
		if !strings.Contains(w.text(), "\nabc123 main *** *** hello\n") {
			t.Error(w.text())
		}
		out, _ := json.Marshal(res.Outputs)
		for _, want := range []string{`"variables":{"TAG":"v1"}`, `"buildNumber":3`, `"reports":{"errors":0,"failed":1,"passed":1,"skipped":0,"total":2}`} {
			if !strings.Contains(string(out), want) {
				t.Errorf("outputs %s lack %s", out, want)
			}
		}
		m, err := f.b.Artifacts.Manifest(t.Context(), res.Artifacts[""])
		if err != nil || len(m.Entries) != 1 || m.Entries[0].Path != "index.html" || res.Artifacts["meta"] == "" {
			t.Errorf("artifacts %v: %v, %v", res.Artifacts, m, err)
		}
		in.Artifacts["compile"] = res.Artifacts[""]
	}
	st, err := f.b.Artifacts.Attestation(t.Context(), in.Artifacts["compile"])
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(st)
	for _, want := range []string{`"gitCommit":"abc123"`, `"specDigest":"sha256:`, `"name":"compile"`, f.source.Hex(), `"variables":["GREETING"]`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the provenance lacks %s:\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "hello") || strings.Contains(string(text), "token-value") {
		t.Errorf("the provenance holds a value:\n%s", text)
	}
}

func TestDependenciesAreURIs(t *testing.T) {
	for address, want := range map[string]string{
		"":                                "",
		"/srv/git/my shop.git":            "file:///srv/git/my%20shop.git",
		"https://example.test/r.git":      "https://example.test/r.git",
		"ssh://git@example.test:22/r.git": "ssh://git@example.test:22/r.git",
		"file:///srv/r":                   "file:///srv/r",
		"git@example.test:acme/shop.git":  "ssh://git@example.test/acme/shop.git",
		"example.test:/srv/acme/shop.git": "ssh://example.test/srv/acme/shop.git",
	} {
		if got := resourceURI(address); got != want {
			t.Errorf("%q is %q, want %q", address, got, want)
		}
	}
}

func TestFailures(t *testing.T) {
	for name, test := range map[string]struct {
		cfg   pipeline.Build
		files map[string]string
		code  string
		text  string // in cause or evidence
	}{
		"command": {pipeline.Build{Inline: "version: 0.2\nphases: {build: {commands: ['echo before; exit 4']}}"}, nil, "COMMAND_FAILED", "exit code: 4"},
		"output":  {pipeline.Build{Inline: "version: 0.2\nphases: {build: {commands: ['echo before; exit 4']}}"}, nil, "COMMAND_FAILED", "before"},
		"artifacts": {pipeline.Build{Inline: "version: 0.2\nphases: {build: {commands: [true]}}\nartifacts: {files: nope}"}, nil, "BUILD_FAILED",
			"UPLOAD_ARTIFACTS: build.artifacts: no file matches"},
		"spec":        {pipeline.Build{Inline: "version: 0.2\nphases: {biuld: {}}"}, nil, "BUILDSPEC_INVALID", `did you mean "build"`},
		"no spec":     {pipeline.Build{Spec: "ci/spec.yml"}, nil, "BUILD_INPUT_MISSING", "no file ci/spec.yml"},
		"no secret":   {pipeline.Build{Inline: "version: 0.2\nenv: {secrets-manager: {A: nope}}\nphases: {build: {commands: [true]}}"}, nil, "SECRET_MISSING", "needs the secret nope"},
		"no secrets":  {pipeline.Build{Env: map[string]string{"B": "${{ secrets.b }}"}, Inline: "version: 0.2\nenv: {secrets-manager: {A: nope, C: db:none}, parameter-store: {B: /b}}\nphases: {build: {commands: [true]}}"}, nil, "SECRET_MISSING", "no secret b; secret.resolve: the variable A needs the secret nope: secret.resolve: no secret nope; secret.resolve: the secret db has no key none"},
		"no sources":  {pipeline.Build{Sources: map[string]string{"X": "one", "Y": "two"}, Inline: "version: 0.2\nphases: {build: {commands: [true]}}"}, nil, "BUILD_INPUT_MISSING", "no artifact one; build.source: there is no artifact two"},
		"no artifact": {pipeline.Build{Source: "other"}, nil, "BUILD_INPUT_MISSING", "no artifact other"},
		"memory":      {pipeline.Build{Memory: "lots", Inline: "version: 0.2\nphases: {build: {commands: [true]}}"}, nil, "BUILDSPEC_INVALID", "is no size"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, map[string]string{"a": "1"})
			res, err := task(buildKind{f.b}, "execute").Run(t.Context(), f.input(test.cfg, newLog()))
			if err != nil || res.Outcome != stage.Failed {
				t.Fatalf("%+v, %v", res, err)
			}
			if all := res.Failure.Cause + "\n" + strings.Join(res.Failure.Evidence, "\n"); res.Failure.Code != test.code || !strings.Contains(all, test.text) {
				t.Errorf("%s, want %s with %q:\n%s", res.Failure.Code, test.code, test.text, all)
			}
		})
	}
}

func TestDetachedBuildGoesOn(t *testing.T) {
	f := newFixture(t, nil)
	gate := filepath.Join(t.TempDir(), "gate")
	cfg := pipeline.Build{Inline: "version: 0.2\nphases:\n  build:\n    commands:\n      - for i in 1 2 3 4 5; do echo line $i; done\n      - mkfifo " + gate + " && echo waiting && read x < " + gate + "\n      - for i in 6 7 8; do echo line $i; done\n"}
	w := newLog()
	in := f.input(cfg, w)
	ctx, detach := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	execute := task(buildKind{f.b}, "execute")
	go func() {
		_, err := execute.Run(ctx, in)
		done <- err
	}()
	w.wait(t, "\nwaiting")
	detach(stage.ErrDetached)
	if err := <-done; err != stage.ErrDetached {
		t.Fatalf("detached: %v", err)
	}
	open := make(chan struct{})
	go func() {
		defer close(open)
		os.WriteFile(gate, []byte("go\n"), 0)
	}()
	res, err := execute.Resume(t.Context(), in)
	<-open
	if err != nil || res.Outcome != stage.Done {
		t.Fatalf("%+v, %v", res, err)
	}
	for i := 1; i <= 8; i++ {
		if n := strings.Count(w.text(), fmt.Sprintf("\nline %d\n", i)); n != 1 {
			t.Errorf("line %d is %d times in\n%s", i, n, w.text())
		}
	}
	if res, err := execute.Resume(t.Context(), in); err != nil || res.Outcome != stage.Done {
		t.Errorf("asked again: %+v, %v", res, err)
	}
}

// until asks again until there is no error.
func (f *fixture) until(what string, ask func() error) {
	f.Helper()
	limit := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for err := ask(); err != nil; err = ask() {
		select {
		case <-tick.C:
		case <-limit:
			f.Fatalf("%s: %v", what, err)
		}
	}
}

// TestTheResultWaitsForTheLog: while somebody else copies a build's log, the build
// ends; its stage has its result no sooner than the log is whole.
func TestTheResultWaitsForTheLog(t *testing.T) {
	f := newFixture(t, nil)
	w := newLog()
	in := f.input(pipeline.Build{Inline: "version: 0.2\nphases: {build: {commands: [echo the last line]}}"}, w)
	dir := f.b.folder(in.Key, 1)
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := task(buildKind{f.b}, "execute").Run(t.Context(), in)
		ended <- err
	}()
	// Another one copies from the moment that there is a folder, until the build has ended.
	var lock *os.File
	f.until("the build has a folder", func() (err error) {
		lock, err = filelock.Try(filepath.Join(dir, fileWatched))
		return err
	})
	var h *build.Handle
	f.until("the build has begun", func() (err error) {
		h, err = build.Attach(dir)
		return err
	})
	if _, err := h.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	lock.Close() // it dies without having copied anything
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(w.text(), "\nthe last line\n"); n != 1 {
		t.Errorf("the last line is %d times in\n%s", n, w.text())
	}
}

func TestCanceledBuildHasEnded(t *testing.T) {
	for _, cause := range []error{stage.ErrCanceled, stage.ErrTimedOut} {
		f := newFixture(t, nil)
		w := newLog()
		in := f.input(pipeline.Build{Inline: "version: 0.2\nphases: {build: {commands: [echo started; sleep 600]}}"}, w)
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := task(buildKind{f.b}, "execute").Run(ctx, in)
			done <- err
		}()
		w.wait(t, "\nstarted")
		cancel(cause)
		if err := <-done; err != cause {
			t.Errorf("%v, want %v", err, cause)
		}
		h, err := build.Attach(f.b.folder(in.Key, 1))
		if err != nil {
			t.Fatal(err)
		}
		want := map[error]build.Status{stage.ErrCanceled: build.Stopped, stage.ErrTimedOut: build.TimedOut}[cause]
		if r, err := h.Result(); err != nil || r.Status != want {
			t.Errorf("%+v, %v; want %s", r, err, want)
		}
	}
}

func TestNothingToResumeOrCancel(t *testing.T) {
	f := newFixture(t, nil)
	execute := task(buildKind{f.b}, "execute")
	in := f.input(pipeline.Build{}, newLog())
	if res, err := execute.Resume(t.Context(), in); err != nil || res.Outcome != stage.NotStarted {
		t.Errorf("%+v, %v", res, err)
	}
	if err := execute.Cancel(t.Context(), in); err != nil {
		t.Error(err)
	}
}

// TestASupervisorThatBeginsNothing: the supervisor of a watcher who was killed
// has the build when the next one looks, and ends without having begun it. The
// build is started then, once; it has not failed.
func TestASupervisorThatBeginsNothing(t *testing.T) {
	f := newFixture(t, nil)
	in := f.input(pipeline.Run{Commands: []string{"echo here"}}, newLog())
	dir := f.b.folder(in.Key, 1)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "job.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	l, err := sockpath.Listen(dir, "supervisor")
	if err != nil {
		t.Fatal(err)
	}
	attached := make(chan struct{})
	go func() {
		conn, err := l.Accept() // whoever asks has taken the lock's holder for a supervisor
		if err == nil {
			close(attached)
			lock.Close()
			l.Close()
			conn.Close()
		}
	}()
	res, err := task(runKind{f.b}, "execute").Run(t.Context(), in)
	if err != nil || res.Outcome != stage.Done {
		t.Errorf("%+v, %v", res, err)
	}
	select {
	case <-attached:
	default:
		t.Error("the supervisor was never asked")
	}
}

func TestPushVariables(t *testing.T) {
	f := newFixture(t, nil)
	w := newLog()
	in := f.input(pipeline.Build{Inline: "version: 0.2\nphases: {build: {commands: ['echo $CODEBUILD_WEBHOOK_EVENT $CODEBUILD_WEBHOOK_HEAD_REF $CODEBUILD_WEBHOOK_TRIGGER $CODEBUILD_WEBHOOK_ACTOR_ACCOUNT_ID $CODEBUILD_WEBHOOK_PREV_COMMIT']}}"}, w)
	in.Trigger = map[string]any{"kind": "push", "branch": "main", "commit": "c2", "before": "c1", "actor": "ada"}
	if _, err := task(buildKind{f.b}, "execute").Run(t.Context(), in); err != nil || !strings.Contains(w.text(), "\nPUSH refs/heads/main branch/main ada c1\n") {
		t.Errorf("%v\n%s", err, w.text())
	}
}

func TestRunKind(t *testing.T) {
	f := newFixture(t, map[string]string{"f": "content"})
	w := newLog()
	in := f.input(pipeline.Run{Artifact: "source", Commands: []string{"cd /", `echo "$PWD $X"; cat "$CODEBUILD_SRC_DIR/f"`, "RESULT=42"}, Env: map[string]string{"X": "y"}, Outputs: []string{"RESULT"}}, w)
	res, err := task(runKind{f.b}, "execute").Run(t.Context(), in)
	if err != nil || res.Outcome != stage.Done || res.Outputs["RESULT"] != "42" || res.Outputs["exitCode"] != 0 || !strings.Contains(w.text(), "/ y\ncontent") {
		t.Errorf("%+v, %v\n%s", res, err, w.text())
	}
	in = f.input(pipeline.Run{Commands: []string{"exit 7"}}, w)
	in.Key.Attempt = 2
	res, err = task(runKind{f.b}, "execute").Run(t.Context(), in)
	if err != nil || res.Outcome != stage.Failed || res.Failure.Code != "COMMAND_FAILED" || res.Outputs["exitCode"] != 7 {
		t.Errorf("%+v %+v, %v", res, res.Failure, err)
	}
}

func TestSecretNames(t *testing.T) {
	for id, want := range map[string]string{"prod/db": "[prod-db prod_db]", "/app/x": "[app-x app_x]", "TOKEN": "[TOKEN]",
		"arn:aws:secretsmanager:us-east-1:1:secret:db-AbCdEf": "[db db-AbCdEf db_AbCdEf]"} {
		if got := fmt.Sprint(secretNames(id)); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
}
