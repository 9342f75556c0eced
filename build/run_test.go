package build

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"showrunner/artifact"
)

// outcome is a build that has run.
type outcome struct {
	Result
	log string
	out string // where artifacts were laid out
	src string
}

type safeBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *safeBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.String()
}

// files lays out a source folder.
func files(t testing.TB, list map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range list {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

type option func(*Request, *Host)

func do(t testing.TB, spec string, source map[string]string, opts ...option) outcome {
	t.Helper()
	var log safeBuffer
	o := outcome{out: filepath.Join(t.TempDir(), "out"), src: files(t, source)}
	req := Request{ID: NewID("demo"), Number: 7, Project: "demo", SpecName: "buildspec.yml", Spec: spec,
		Inherit: CleanEnvironment(os.Environ()), Initiator: "tester", Timeout: time.Minute}
	host := Host{Dir: t.TempDir(), Log: &log,
		Prepare: func(ctx context.Context, dir string, _ map[string]string) error { return CopyTree(ctx, o.src, dir) },
		Deliver: func(ctx context.Context, id string, list []artifact.File) (Delivery, error) {
			return Delivery{Location: filepath.Join(o.out, id)}, LayOut(ctx, list, filepath.Join(o.out, id))
		}}
	for _, opt := range opts {
		opt(&req, &host)
	}
	o.Result = Run(context.Background(), req, host)
	o.log = log.text()
	if t.Failed() {
		t.Log(o.log)
	}
	if _, err := os.Stat(ControlFolder(host.Dir)); err == nil {
		t.Errorf("the shell's folder is left behind")
	}
	return o
}

// want checks a build's status and what stands in its log.
func (o outcome) want(t *testing.T, status Status, inLog ...string) {
	t.Helper()
	if o.Status != status {
		t.Errorf("status %s, want %s (%+v)\n%s", o.Status, status, o.Failure, o.log)
	}
	for _, text := range inLog {
		if not, absent := strings.CutPrefix(text, "!"); absent {
			if strings.Contains(o.log, not) {
				t.Errorf("the log has %q:\n%s", not, o.log)
			}
		} else if !strings.Contains(o.log, text) {
			t.Errorf("the log lacks %q:\n%s", text, o.log)
		}
	}
}

func (o outcome) phases() string {
	var list []string
	for _, p := range o.Phases {
		list = append(list, string(p.Name)+":"+string(p.Status))
	}
	return strings.Join(list, " ")
}

const head = "version: 0.2\nphases:\n"

func TestShellLasts(t *testing.T) {
	for name, test := range map[string]struct {
		spec   string
		status Status
		log    []string
	}{
		"cd and export": {head + `
  install: {commands: [mkdir sub, cd sub, export A=1, B=2, "f() { echo f-$1; }"]}
  build: {commands: ['echo "at $(basename "$PWD") $A $B"', f x]}`, Succeeded, []string{"at sub 1 2", "f-x"}},
		"exit": {head + `
  build:
    commands: ["export A=1; cd /; B='two words'", "exit 3", "echo never"]
    finally: ['echo "fin $A $B $PWD $CODEBUILD_BUILD_SUCCEEDING"']
  post_build: {commands: ['echo "post $A $PWD"']}`, Failed, []string{"fin 1 two words / 0", "post 1 /", "exit code 3", "!\nnever"}},
		"exit 0 ends the command": {head + `
  build: {commands: [A=1, "echo one; exit 0; echo never", 'echo "two $A"']}`, Succeeded, []string{"one\n", "two 1", "!\nnever"}},
		"exec": {head + `
  build: {commands: ["export A=1", "exec sh -c 'echo in-exec; exit 0'", 'echo "after $A"']}`, Succeeded, []string{"in-exec", "after 1"}},
		"exec that fails": {head + `
  build: {commands: ["exec sh -c 'exit 9'"], finally: ["echo fin"]}`, Failed, []string{"exit code 9", "fin"}},
		"set -e": {head + `
  build: {commands: ["set -e", "false; echo never"], finally: ["echo fin $-"]}`, Failed, []string{"exit code 1", "fin ", "!\nnever"}},
		"set -u": {head + `
  build: {commands: ["set -u", 'echo "$NOT_SET"'], finally: ["echo fin"]}`, Failed, []string{"fin"}},
		"set -x": {head + `
  build: {commands: ["set -x", "echo traced"]}`, Succeeded, []string{"+ echo traced", "!__showrunner_done", "!__showrunner_n"}},
		"heredoc": {head + `
  build:
    commands:
      - |
        cat > f <<'EOF'
        $HOME "quoted"
        EOF
        cat f`, Succeeded, []string{"\n$HOME \"quoted\"\n"}},
		"syntax error": {head + `
  build: {commands: ["A=1", "if then"], finally: ['echo "fin $A"']}`, Failed, []string{"fin 1"}},
		"stdin is empty": {head + `
  build: {commands: ["cat", 'read x || echo "nothing to read"']}`, Succeeded, []string{"nothing to read"}},
		"pipe hides": {head + `
  build: {commands: ["false | true", "true"]}`, Succeeded, nil},
		"pipefail": {head + `
  build: {commands: ["set -o pipefail", "false | true"]}`, Failed, nil},
		"output moved away": {head + `
  build: {commands: ["exec > out.txt 2>&1", "echo hidden", "exec >/dev/stderr", "echo done"]}`, Succeeded, []string{"!\nhidden\n"}},
		"break and return": {head + `
  build: {commands: ["break 2>/dev/null || true", "return 0", "echo after"]}`, Succeeded, []string{"after"}},
		"return code": {head + `
  build: {commands: ["return 4", "echo never"]}`, Failed, []string{"exit code 4"}},
		"kill the shell": {head + `
  build: {commands: ["A=1", "kill -9 $$"], finally: ['echo "fin $A"']}`, Failed, []string{"exit code 137", "fin 1"}},
		"own trap": {head + `
  build: {commands: ["trap 'echo bye' EXIT", "echo x"]}`, Succeeded, []string{"bye"}},
		"own trap and exit": {head + `
  build: {commands: ["export A=1", "trap 'echo bye' EXIT", "exit 5"], finally: ['echo "fin $A"']}`, Failed, []string{"bye", "fin 1", "exit code 5"}},
		"background": {head + `
  build: {commands: ["sleep 600 &", "echo on", "(sleep 600 > /dev/null 2>&1 &)"]}`, Succeeded, []string{"on"}},
		"unicode and bytes": {head + `
  build: {commands: ["echo 'grüß ☃'", 'printf "\036x\377\n"']}`, Succeeded, []string{"grüß ☃", "\036x\377"}},
		"no newline at the end": {head + `
  build: {commands: ["printf partial", "printf '\\nnext'"]}`, Succeeded, []string{"partial\n[Container]"}},
		"sh": {"version: 0.2\nenv: {shell: /bin/sh}\nphases:\n" + `
  build: {commands: ["export A='it''s'; cd /; B=2", "exit 3"], finally: ['echo "fin $A $B $PWD"']}
  post_build: {commands: ["set -e", "false"], finally: ['echo "post $A"']}`, Failed, []string{"fin its 2 /", "post its"}},
		"bash": {"version: 0.2\nenv: {shell: bash}\nphases:\n" + `
  build: {commands: ["arr=(a 'b c')", "shopt -s nullglob", "declare -A m=([k]=v)", "exit 0", 'echo "${arr[1]} ${m[k]}"; shopt nullglob']}`, Succeeded, []string{"b c v", "nullglob       \ton"}},
		"noclobber": {head + `
  build: {commands: ["set -C", "echo a > f", "echo ok"]}`, Succeeded, []string{"\nok\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			do(t, test.spec, nil).want(t, test.status, test.log...)
		})
	}
}

func TestFailureRules(t *testing.T) {
	for name, test := range map[string]struct {
		phases string // of the file
		want   string // from INSTALL to before FINALIZING
		log    []string
	}{
		"all well":            {"build: {commands: [true]}", "INSTALL:SUCCEEDED PRE_BUILD:SUCCEEDED BUILD:SUCCEEDED POST_BUILD:SUCCEEDED UPLOAD_ARTIFACTS:SUCCEEDED", nil},
		"install fails":       {"install: {commands: [false, echo no]}\n  build: {commands: [echo no]}", "INSTALL:FAILED", []string{"!\nno"}},
		"pre_build fails":     {"pre_build: {commands: [false]}\n  build: {commands: [echo no]}", "INSTALL:SUCCEEDED PRE_BUILD:FAILED", []string{"!\nno"}},
		"build fails":         {"build: {commands: [false], finally: [echo fin1, false, echo fin2]}\n  post_build: {commands: ['echo post $CODEBUILD_BUILD_SUCCEEDING']}", "INSTALL:SUCCEEDED PRE_BUILD:SUCCEEDED BUILD:FAILED POST_BUILD:SUCCEEDED UPLOAD_ARTIFACTS:SUCCEEDED", []string{"fin1", "fin2", "post 0"}},
		"finally fails":       {"build: {commands: [true], finally: [false]}", "INSTALL:SUCCEEDED PRE_BUILD:SUCCEEDED BUILD:FAILED POST_BUILD:SUCCEEDED UPLOAD_ARTIFACTS:SUCCEEDED", nil},
		"post_build fails":    {"build: {commands: [true]}\n  post_build: {commands: [false]}", "INSTALL:SUCCEEDED PRE_BUILD:SUCCEEDED BUILD:SUCCEEDED POST_BUILD:FAILED UPLOAD_ARTIFACTS:SUCCEEDED", nil},
		"abort":               {"build: {commands: [false], finally: [echo fin], on-failure: ABORT}\n  post_build: {commands: [echo no]}", "INSTALL:SUCCEEDED PRE_BUILD:SUCCEEDED BUILD:FAILED", []string{"\nfin", "!\nno"}},
		"continue":            {"install: {commands: [false], on-failure: CONTINUE}\n  build: {commands: ['echo built $CODEBUILD_BUILD_SUCCEEDING']}", "INSTALL:FAILED PRE_BUILD:SUCCEEDED BUILD:SUCCEEDED POST_BUILD:SUCCEEDED UPLOAD_ARTIFACTS:SUCCEEDED", []string{"built 0"}},
		"retry":               {"build: {on-failure: RETRY, commands: ['n=$((n+1)); echo try $n; [ $n = 3 ]']}\n  post_build: {commands: ['echo post $CODEBUILD_BUILD_SUCCEEDING']}", "INSTALL:SUCCEEDED PRE_BUILD:SUCCEEDED BUILD:SUCCEEDED POST_BUILD:SUCCEEDED UPLOAD_ARTIFACTS:SUCCEEDED", []string{"try 3", "post 1"}},
		"retry in vain":       {"build: {on-failure: RETRY-1, commands: ['n=$((n+1)); echo try $n; false']}", "INSTALL:SUCCEEDED PRE_BUILD:SUCCEEDED BUILD:FAILED POST_BUILD:SUCCEEDED UPLOAD_ARTIFACTS:SUCCEEDED", []string{"try 2", "!try 3"}},
		"retry what matches":  {"build: {on-failure: RETRY-2-time.?out, commands: ['n=$((n+1)); echo try $n; echo timeout; false']}", "INSTALL:SUCCEEDED PRE_BUILD:SUCCEEDED BUILD:FAILED POST_BUILD:SUCCEEDED UPLOAD_ARTIFACTS:SUCCEEDED", []string{"try 3", "!try 4"}},
		"retry not the other": {"build: {on-failure: RETRY-2-time.?out, commands: ['n=$((n+1)); echo try $n; false']}", "INSTALL:SUCCEEDED PRE_BUILD:SUCCEEDED BUILD:FAILED POST_BUILD:SUCCEEDED UPLOAD_ARTIFACTS:SUCCEEDED", []string{"!try 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := do(t, head+"  "+test.phases+"\n", nil)
			want := "SUBMITTED:SUCCEEDED QUEUED:SUCCEEDED PROVISIONING:SUCCEEDED DOWNLOAD_SOURCE:SUCCEEDED " + test.want + " FINALIZING:SUCCEEDED COMPLETED:SUCCEEDED"
			if got := o.phases(); got != want {
				t.Errorf("phases %s\nwant %s", got, want)
			}
			status := Succeeded
			if strings.Contains(test.want, "FAILED") {
				status = Failed
			}
			o.want(t, status, test.log...)
		})
	}
}
