package build

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"showrunner/artifact"
)

// laid lists what artifacts were laid out.
func (o outcome) laid(t *testing.T) string {
	t.Helper()
	var list []string
	filepath.WalkDir(o.out, func(p string, d fs.DirEntry, err error) error { //nolint:errcheck // an empty list tells
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(o.out, p)
			if target, err := os.Readlink(p); err == nil {
				rel += "→" + target
			}
			list = append(list, rel)
		}
		return nil
	})
	return strings.Join(list, " ")
}

func TestArtifacts(t *testing.T) {
	source := map[string]string{"a.txt": "a", ".hidden": "h", "dist/index.html": "i", "dist/js/app.js": "j", "dist/js/app.js.map": "m", "dist/.well-known/x": "w", "my-build1/b": "b", "my-build2/c": "c", ".git/HEAD": "ref: refs/heads/main"}
	for name, test := range map[string]struct {
		artifacts, want string
		failing         string
	}{
		"everything":        {`files: "**/*"`, ".hidden a.txt dist/.well-known/x dist/index.html dist/js/app.js dist/js/app.js.map my-build1/b my-build2/c", ""},
		"one level":         {`files: dist/*`, "dist/index.html", ""},
		"deep":              {`files: [dist/**/*]`, "dist/.well-known/x dist/index.html dist/js/app.js dist/js/app.js.map", ""},
		"base":              {`{files: ["**/*"], base-directory: dist, exclude-paths: ["**/*.map"]}`, ".well-known/x index.html js/app.js", ""},
		"base by variable":  {`{files: ["**/*"], base-directory: "$CODEBUILD_SRC_DIR/$OUT/js"}`, "app.js app.js.map", ""},
		"base by prefix":    {`{files: ["**/*"], base-directory: "my-build*"}`, "b c", ""},
		"flat":              {`{files: ["dist/**/*"], discard-paths: yes}`, "app.js app.js.map index.html x", ""},
		"a folder by name":  {`files: [dist/js, a.txt]`, "a.txt dist/js/app.js dist/js/app.js.map", ""},
		"one is missing":    {`files: [a.txt, missing.txt]`, "a.txt", ""},
		"all are missing":   {`files: ["*.jar", "target/**"]`, "", `no file matches "*.jar", "target/**" below the source folder`},
		"no base":           {`{files: ["**/*"], base-directory: out}`, "", `base-directory "out" is no folder`},
		"excluded folder":   {`{files: ["**/*"], exclude-paths: [dist, "my-build*/**"]}`, ".hidden a.txt", ""},
		"git by name":       {`files: [.git/HEAD]`, ".git/HEAD", ""},
		"secondary":         {`{files: a.txt, secondary-artifacts: {site: {files: "**/*", base-directory: dist/js}, two: {files: [a.txt]}}}`, "a.txt site/app.js site/app.js.map two/a.txt", ""},
		"only secondary":    {`secondary-artifacts: {site: {files: dist/index.html}}`, "site/dist/index.html", ""},
		"missing secondary": {`{files: a.txt, secondary-artifacts: {site: {files: nope}}}`, "a.txt", "secondary artifact site"},
		"links followed":    {`{files: ["l*"]}`, "l1", ""},
		"links kept":        {`{files: ["l*", a.txt], enable-symlinks: yes}`, "a.txt l1→a.txt l2→dist", ""},
		"absolute":          {`files: ["$CODEBUILD_SRC_DIR/a.txt"]`, "a.txt", ""},
		"leading dot":       {`files: ["./dist/js/*.js"]`, "dist/js/app.js", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			artifacts := test.artifacts
			if !strings.HasPrefix(artifacts, "{") {
				artifacts = "{" + artifacts + "}"
			}
			o := do(t, head+"  build: {commands: [export OUT=dist, 'ln -s a.txt l1; ln -s dist l2; rm l1 l2; case \""+name+"\" in links*) ln -s a.txt l1; ln -s dist l2;; esac', cd /]}\nartifacts: "+artifacts+"\n", source)
			status := Succeeded
			if test.failing != "" {
				status = Failed
			}
			o.want(t, status, test.failing)
			if got := o.laid(t); got != test.want {
				t.Errorf("laid out %s\nwant     %s", got, test.want)
			}
			if o.Status == Failed && (o.Failure == nil || o.Failure.Phase != UploadArtifacts) {
				t.Errorf("failure %+v", o.Failure)
			}
		})
	}
}

func TestArtifactNameAndFailedBuild(t *testing.T) {
	o := do(t, head+`
  build: {commands: [echo x > f, "false"]}
artifacts: {files: f, name: "app-$(echo 1.2)/$CODEBUILD_BUILD_NUMBER", s3-prefix: p}`, nil)
	o.want(t, Failed)
	if a, ok := o.Artifact(""); !ok || a.Name != "app-1.2/7" || a.S3Prefix != "p" || a.Files != 1 || a.Bytes != 2 {
		t.Errorf("%+v", o.Artifacts)
	}
}

func TestEnvironment(t *testing.T) {
	o := do(t, `version: 0.2
env:
  variables: {PLAIN: 'a $HOME "q"', BOTH: spec, LINES: "one\ntwo"}
  exported-variables: [OUT, PLAIN, LINES, MISSING]
phases:
  build:
    commands:
      - echo "[$PLAIN] [$BOTH] [$CODEBUILD_BUILD_NUMBER] [$CODEBUILD_RESOLVED_SOURCE_VERSION] [$CODEBUILD_BUILD_ID] [$CODEBUILD_WEBHOOK_HEAD_REF]"
      - test "$PWD" = "$CODEBUILD_SRC_DIR" && test -d "$TMPDIR" && test -d "$CODEBUILD_SRC_DIR_lib"
      - export OUT='x "y"'
`, nil, func(r *Request, _ *Host) {
		r.Env = map[string]string{"BOTH": "override"}
		r.ResolvedVersion, r.Inputs, r.Webhook = "abc123", []string{"lib"}, map[string]string{"HEAD_REF": "refs/heads/main"}
		r.Inherit = append(r.Inherit, "PLAIN=machine")
	})
	o.want(t, Succeeded, `[a $HOME "q"] [override] [7] [abc123] [demo:`, "[refs/heads/main]", "MISSING is not set")
	if want := map[string]string{"OUT": `x "y"`, "PLAIN": `a $HOME "q"`, "LINES": "one\ntwo"}; !maps.Equal(o.ExportedVariables, want) {
		t.Errorf("exported %q", o.ExportedVariables)
	}
	do(t, head+"  build: {commands: [true]}", nil, func(r *Request, _ *Host) { r.Env = map[string]string{"CODEBUILD_X": "1", "9X": "1"} }).want(t, Failed, "cannot be set: 9X, CODEBUILD_X;")
}

func TestCleanEnvironment(t *testing.T) {
	got := CleanEnvironment([]string{"PATH=/bin", "GITHUB_TOKEN=x", "SHOWRUNNER_DATA=d", "CODEBUILD_X=1", "db_password=x", "HOME=/h"})
	if !slices.Equal(got, []string{"PATH=/bin", "HOME=/h"}) {
		t.Errorf("%v", got)
	}
}

func TestSecretsAreMasked(t *testing.T) {
	spec := `version: 0.2
env:
  secrets-manager: {PASSWORD: db:password, PEM: key}
  parameter-store: {PARAM: /app/param}
phases:
  build:
    commands:
      - echo "password=$PASSWORD"
      - printf '%s' "$PASSWORD" | sed 's/./&\n/5' | tr -d '\n'; echo
      - printf '%s' "${PASSWORD%??????}"; printf '%s\n' "${PASSWORD#????????}"
      - echo "$PEM"
      - echo $PARAM AKIAIOSFODNN7EXAMPLE AKIA
      - printf ASIA; printf 'IOSFODNN7EXAMPLE\n'
`
	secret := func(_ *Request, h *Host) {
		h.Secrets = map[string]string{"PASSWORD": "hunter2-longer", "PEM": "-----BEGIN-----\nMIIEabcdef\n-----END-----", "PARAM": "parameter-value"}
	}
	o := do(t, spec, nil, secret)
	o.want(t, Succeeded, "password=***", "!hunter2", "!MIIE", "!parameter-value", "***\n", " AKIA\n", "!ASIAIOS", "\n*** *** AKIA\n")
	do(t, spec, nil).want(t, Failed, "no value is known for PARAM")
	do(t, spec, nil, func(r *Request, _ *Host) {
		r.Env = map[string]string{"PASSWORD": "given-by-hand", "PEM": "p-e-m-given", "PARAM": "param-given"}
	}).want(t, Succeeded, "password=***", "!given-by-hand")
}

func TestReports(t *testing.T) {
	o := do(t, head+`
  build: {commands: ["false"]}
reports:
  unit: {files: ["**/*.xml"], base-directory: results}
  arn:aws:codebuild:us-east-1:1:report-group/cov: {files: cov.json, file-format: simplecov}
  none: {files: nothing.xml}
`, map[string]string{
		"results/a.xml": `<testsuite name="s"><testcase name="good"/><testcase name="bad"><failure message="expected 1"/></testcase></testsuite>`,
		"results/b.xml": `<testsuite name="s"><testcase name="fine"/></testsuite>`,
		"cov.json":      `{"RSpec":{"coverage":{"/a.rb":[1,0]}}}`,
	})
	o.want(t, Failed, "FAILED s / bad: expected 1", "50.00 %")
	if len(o.Reports) != 3 || o.Reports[0].Total != 3 || o.Reports[0].Status != "FAILED" || o.Reports[0].Name != "demo-unit" || o.Reports[2].Status != "INCOMPLETE" {
		t.Errorf("%+v", o.Reports)
	}
}

func TestCache(t *testing.T) {
	root := t.TempDir()
	store, err := artifact.Open(filepath.Join(root, "a"))
	if err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(root, "home", ".tool")
	with := func(_ *Request, h *Host) { h.Cache = &Cache{Dir: filepath.Join(root, "c"), Store: store} }
	spec := head + `
  build: {commands: ['cat deps/x "` + outside + `/y" 2>/dev/null || echo co"l"d', "mkdir -p deps '` + outside + `'; date +%N > deps/x; echo warm > '` + outside + `/y'"]}
cache:
  key: v-$(codebuild-hash-files lock "sub/**/l*")
  fallback-keys: [v-]
  paths: [deps/**/*, "` + outside + `/**/*"]
`
	lock := map[string]string{"lock": "1", "sub/a/lock": "x"}
	first := do(t, spec, lock, with)
	first.want(t, Succeeded, "cold", "Cache: no entry", "saved 2 files")
	os.RemoveAll(filepath.Join(root, "home"))
	do(t, spec, lock, with).want(t, Succeeded, "!cold", "warm", "Cache: restored", "does not change")
	lock["lock"] = "2"
	do(t, spec, lock, with).want(t, Succeeded, "!cold", "Cache: restored", "saved 2 files")
	do(t, spec+"  action: save\n", lock, with).want(t, Succeeded, "cold", "!Cache: restored")
	if refs, err := (&Cache{Dir: filepath.Join(root, "c")}).Refs(); err != nil || len(refs) != 4 {
		t.Errorf("the cache keeps %v, %v", refs, err)
	}
	// What a build uses is as young as what it saves.
	entries, _ := filepath.Glob(filepath.Join(root, "c", "*", "*.json"))
	old := time.Now().Add(-time.Hour)
	for _, name := range entries {
		os.Chtimes(name, old, old)
	}
	do(t, spec, lock, with).want(t, Succeeded, "Cache: restored")
	if n, err := (&Cache{Dir: filepath.Join(root, "c")}).Prune(time.Now().Add(-time.Minute)); err != nil || n != len(entries)-1 {
		t.Errorf("of %d entries %d were forgotten, %v", len(entries), n, err)
	}
	// What an entry stands for may be lost: the next build saves it anew.
	if err := os.RemoveAll(filepath.Join(root, "a", "manifests")); err != nil {
		t.Fatal(err)
	}
	do(t, spec, lock, with).want(t, Succeeded, "is not restored", "saved 2 files")
	do(t, spec, lock, with).want(t, Succeeded, "Cache: restored", "!is not restored", "does not change")
}

func TestEndedEarly(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	spec := head + `  build: {commands: ["(setsid sleep 600 & echo $! > ` + pids + `); trap '' TERM; echo started; sleep 600; echo never"], finally: [echo never]}
  post_build: {commands: [echo never]}`
	o := do(t, spec, nil, func(r *Request, h *Host) { r.Timeout = 3 * time.Second })
	o.want(t, TimedOut, "started", "!\nnever")
	gone(t, pids)
	if !strings.Contains(o.phases(), "BUILD:TIMED_OUT FINALIZING:SUCCEEDED COMPLETED") {
		t.Errorf("phases %s", o.phases())
	}
}

func TestHugeOutput(t *testing.T) {
	size := 0
	o := do(t, head+`  build: {commands: ["yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -c 20000000"]}`, nil,
		func(_ *Request, h *Host) {
			h.Log = writerFunc(func(p []byte) (int, error) { size += len(p); return len(p), nil })
			h.Secrets = map[string]string{"S": "0123456x"}
		})
	if o.Status != Succeeded || size < 20_000_000 {
		t.Errorf("%s, %d bytes", o.Status, size)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestRunAs(t *testing.T) {
	if os.Geteuid() != 0 {
		o := do(t, "version: 0.2\nrun-as: nobody\nphases: {build: {commands: [true]}}", nil)
		o.want(t, Failed, "needs root")
		return
	}
	do(t, "version: 0.2\nrun-as: no-such-user\nphases: {build: {commands: [true]}}", nil).want(t, Failed, "no-such-user is no user of this machine")
	o := do(t, `version: 0.2
phases:
  pre_build: {commands: ["export A=1; F() { echo f $1; }", 'echo "as $(id -un)"', chmod 777 .]}
  build: {run-as: nobody, commands: ['echo "then $(id -un) $A $HOME"', F x, touch made, exit 3], finally: ['echo "fin $(id -un) $A"']}
  post_build: {commands: ['echo "last $(id -un) $A"; ls made']}
`, nil, func(_ *Request, h *Host) {
		work, err := os.MkdirTemp("", "run-as-")
		if err != nil {
			t.Fatal(err)
		}
		os.Chmod(work, 0o711)
		t.Cleanup(func() { os.RemoveAll(work) })
		h.Dir = work
	})
	o.want(t, Failed, "as root", "then nobody 1 /nonexistent", "f x", "fin nobody 1", "last root 1\nmade")
}

func TestRuntimes(t *testing.T) {
	o := do(t, head+`  install: {runtime-versions: {golang: 1.0, dotnet: 99, cobol: 1}}`, nil)
	o.want(t, Succeeded, "asks for golang 1.0; this machine has", "cobol")
	for _, test := range []struct {
		want, have string
		ok         bool
	}{{"18", "18.2.1", true}, {"18.x", "18.2.1", true}, {"18", "20.1", false}, {"latest", "1", true}, {"corretto17", "17.0.15", true}, {"corretto8", "1.8.0", true}, {"1.2", "1.21.3", false}, {"1.21", "1.21.3", true}, {"3.11", "3.11.7", true}} {
		if satisfies(test.want, test.have) != test.ok {
			t.Errorf("satisfies(%q, %q) is %v", test.want, test.have, !test.ok)
		}
	}
}

// fakeEngine stands in for docker: it runs what it is told on this machine and
// writes down how it was called.
const fakeEngine = `#!/bin/sh
echo "$@" >> "$CALLS"
case $1 in
version|info) [ -z "$BROKEN" ] || { echo "cannot connect" >&2; exit 1; } ;;
exec) shift; while [ $# -gt 0 ]; do case $1 in --interactive) shift ;; --workdir) cd "$3" 2>/dev/null || cd "$2"; shift 2 ;; --user) shift 2 ;; *) break ;; esac; done; shift; exec "$@" ;;
esac
`

func TestContainer(t *testing.T) {
	bin := t.TempDir()
	calls := filepath.Join(bin, "calls")
	for _, name := range []string{"docker", "podman"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(fakeEngine), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("CALLS", calls)
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	image := func(r *Request, _ *Host) {
		r.Image, r.Memory, r.CPUs, r.Privileged = "node:22", 1<<30, 1.5, true
		r.Env = map[string]string{"QUOTED": "it's\ntwo lines"}
	}
	o := do(t, head+`
  build: {commands: ['echo "$QUOTED"', "export A=1", "cat", "exit 2"], finally: ['echo "fin $A $CODEBUILD_BUILD_IMAGE"']}`, nil, image)
	o.want(t, Failed, "it's\ntwo lines", "fin 1 node:22", "exit code 2")
	data, _ := os.ReadFile(calls)
	for _, want := range []string{"run --detach --rm --name showrunner-", "--init", "--privileged --memory 1073741824 --cpus 1.5 node:22 -c", "exec --interactive --workdir", "rm --force showrunner-"} {
		if !strings.Contains(string(data), want) {
			t.Errorf("no %q in\n%s", want, data)
		}
	}
	if strings.Contains(string(data), "two lines") {
		t.Errorf("a value stands on a command line:\n%s", data)
	}
	t.Setenv("BROKEN", "1")
	do(t, head+"  build: {commands: [true]}", nil, image).want(t, Failed, "docker does not answer (cannot connect)")
	t.Setenv("PATH", t.TempDir())
	do(t, head+"  build: {commands: [true]}", nil, image).want(t, Failed, "neither docker nor podman is on this machine")
}

func TestSourceStaysAsItIs(t *testing.T) {
	source := files(t, map[string]string{"a": "1", "sub/b": "2"})
	os.Symlink(filepath.Join(source, "a"), filepath.Join(source, "abs"))
	os.Symlink("/etc/hostname", filepath.Join(source, "out"))
	os.Chmod(filepath.Join(source, "a"), 0o444)
	var log safeBuffer
	r := Run(t.Context(), Request{ID: NewID("d"), Project: "d", SpecName: "s", Inherit: os.Environ(),
		Spec: head + `  build: {commands: ["chmod +w a; echo changed > abs; rm -rf sub; test -L out; chmod 500 ."]}`},
		Host{Dir: t.TempDir(), Log: &log, Prepare: func(ctx context.Context, dir string, _ map[string]string) error { return CopyTree(ctx, source, dir) }})
	if r.Status != Succeeded {
		t.Error(log.text())
	}
	if data, _ := os.ReadFile(filepath.Join(source, "a")); string(data) != "1" || !exists(filepath.Join(source, "sub/b")) {
		t.Error("the source has changed")
	}
}

func TestResolvedVersion(t *testing.T) {
	dir := t.TempDir()
	git := func(args ...string) string {
		out, err := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=n", "-c", "user.email=e@e"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q")
	git("commit", "-q", "--allow-empty", "-m", "x")
	want := git("rev-parse", "HEAD")
	for range 2 {
		if got := ResolvedVersion(dir); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		git("pack-refs", "--all")
	}
	if got := ResolvedVersion(t.TempDir()); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestSpecThatCannotBeUsed(t *testing.T) {
	o := do(t, "version: 0.2\nphasess: {}", nil)
	o.want(t, Failed, `has no key "phasess"`)
	if o.Failure.Phase != Provisioning {
		t.Errorf("%+v", o.Failure)
	}
}

// A report group that is named by its ARN keeps its own name.
func TestReportNames(t *testing.T) {
	for group, want := range map[string]string{
		"unit": "demo-unit",
		"arn:aws:codebuild:us-east-1:123456789012:report-group/unit-tests": "unit-tests",
		"arn": "demo-arn",
	} {
		if got := reportName("demo", group); got != want {
			t.Errorf("%s: %s, want %s", group, got, want)
		}
	}
}
