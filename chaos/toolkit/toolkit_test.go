package toolkit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"showrunner/chaos/toolkit"
	"showrunner/problem"
)

// run parses and runs an experiment that must be valid.
func run(t *testing.T, o toolkit.Options, text string) *toolkit.Journal {
	t.Helper()
	e, err := toolkit.Parse(t.Context(), []byte(text), o)
	if err != nil {
		t.Fatal(err)
	}
	j, err := e.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func service(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/json":
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"up": true, "pods": [{"name": "a", "ready": 1}, {"name": "b", "ready": 1}]}`)
		case "/echo":
			_ = r.ParseForm()
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]any{"method": r.Method, "form": r.Form, "type": r.Header.Get("Content-Type"), "key": r.Header.Get("X-Key")})
		case "/teapot":
			w.WriteHeader(http.StatusTeapot)
		default:
			fmt.Fprint(w, "hello 42 times")
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// Each tolerance against each kind of output, as Chaos Toolkit decides.
func TestTolerances(t *testing.T) {
	s := service(t)
	for name, tc := range map[string]struct {
		provider, tolerance string
		met                 bool
	}{
		"status":                   {`{"type": "http", "url": "URL/"}`, `200`, true},
		"other status":             {`{"type": "http", "url": "URL/teapot"}`, `200`, false},
		"status among three":       {`{"type": "http", "url": "URL/teapot"}`, `[200, 301, 418]`, true},
		"two values are a choice":  {`{"type": "http", "url": "URL/"}`, `[200, 299]`, true},
		"no range for a status":    {`{"type": "http", "url": "URL/teapot"}`, `[400, 499]`, false},
		"regex in the body":        {`{"type": "http", "url": "URL/"}`, `{"type": "regex", "pattern": "[0-9]{2} times", "target": "body"}`, true},
		"regex not found":          {`{"type": "http", "url": "URL/"}`, `{"type": "regex", "pattern": "^times", "target": "body"}`, false},
		"regex of a process":       {`{"type": "process", "path": "echo", "arguments": "abc"}`, `{"type": "regex", "pattern": "^abc\n$", "target": "stdout"}`, true},
		"jsonpath finds":           {`{"type": "http", "url": "URL/json"}`, `{"type": "jsonpath", "path": "$.pods[*].name", "target": "body"}`, true},
		"jsonpath expects":         {`{"type": "http", "url": "URL/json"}`, `{"type": "jsonpath", "path": "$.pods[*].name", "expect": ["a", "b"], "target": "body"}`, true},
		"jsonpath expects one":     {`{"type": "http", "url": "URL/json"}`, `{"type": "jsonpath", "path": "$.up", "expect": true, "target": "body"}`, true},
		"jsonpath expects another": {`{"type": "http", "url": "URL/json"}`, `{"type": "jsonpath", "path": "$.up", "expect": false, "target": "body"}`, false},
		"jsonpath counts":          {`{"type": "http", "url": "URL/json"}`, `{"type": "jsonpath", "path": "$.pods[?@.ready==1]", "count": 2, "target": "body"}`, true},
		"jsonpath finds nothing":   {`{"type": "http", "url": "URL/json"}`, `{"type": "jsonpath", "path": "$.none", "target": "body"}`, false},
		"range":                    {`{"type": "process", "path": "echo", "arguments": "7.5"}`, `{"type": "range", "range": [7, 8], "target": "stdout"}`, true},
		"out of range":             {`{"type": "process", "path": "echo", "arguments": "8.5"}`, `{"type": "range", "range": [7, 8], "target": "stdout"}`, false},
		"range of a text":          {`{"type": "process", "path": "echo", "arguments": "many"}`, `{"type": "range", "range": [7, 8], "target": "stdout"}`, false},
		"exit status":              {`{"type": "process", "path": "sh", "arguments": ["-c", "exit 3"]}`, `3`, true},
		"an object is not false":   {`{"type": "process", "path": "true"}`, `false`, false},
	} {
		t.Run(name, func(t *testing.T) {
			j := run(t, toolkit.Options{}, strings.ReplaceAll(`{"title": "t", "description": "d", "method": [], "steady-state-hypothesis": {"title": "h", "probes": [
				{"type": "probe", "name": "p", "tolerance": `+tc.tolerance+`, "provider": `+tc.provider+`}]}}`, "URL", s.URL))
			if before := j.States.Before; before == nil || before.Met != tc.met || *before.Probes[0].ToleranceMet != tc.met {
				t.Errorf("%+v", before)
			}
			if j.Deviated == tc.met || j.Status != toolkit.Completed {
				t.Errorf("status %s, deviated %t", j.Status, j.Deviated)
			}
			if (j.States.After != nil) != tc.met {
				t.Errorf("after: %+v", j.States.After)
			}
		})
	}
}

const ordered = `
title: order of ${what}
description: d
configuration:
  what: {type: env, key: WHAT, default: things}
  answer: {type: probe, name: a, provider: {type: process, path: echo, arguments: "42"}}
secrets:
  hidden: {word: {type: env, key: WORD}}
steady-state-hypothesis:
  title: h
  probes:
  - {type: probe, name: steady, tolerance: 0, provider: {type: process, path: sh, arguments: [-c, "echo steady >> log; test ! -e broken"]}}
method:
- {type: action, name: break, background: true, provider: {type: process, path: sh, arguments: [-c, "touch broken; echo ${word} ${answer} $$UNSET. >> log"]}, pauses: {after: 0.05}}
- {type: action, name: fails, provider: {type: http, url: "http://127.0.0.1:1/", timeout: 1}}
- {ref: steady}
rollbacks:
- {type: action, name: worse, provider: {type: process, path: sh, timeout: 0.2, arguments: [-c, "sleep 60"]}}
- {type: action, name: mend, provider: {type: process, path: sh, arguments: [-c, "rm broken; echo mended >> log"]}}
`

// The order is hypothesis, method, hypothesis, rollbacks; an action that fails does not
// fail the experiment, and a rollback that fails does not stop the next.
func TestTheOrderOfARun(t *testing.T) {
	dir := t.TempDir()
	var kept []toolkit.Status
	o := toolkit.Options{Dir: dir, Environ: append(os.Environ(), "WORD=secret"), Record: func(j *toolkit.Journal) error { kept = append(kept, j.Status); return nil }}
	j := run(t, o, ordered)
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	slices.Sort(lines[1 : len(lines)-2]) // the one in the background runs beside the method
	if got := strings.Join(lines, ","); got != "steady,secret 42 .,steady,steady,mended" {
		t.Errorf("%s", got)
	}
	if j.Status != toolkit.Completed || !j.Deviated || len(j.Run) != 3 || j.Run[1].Status != "failed" || len(j.Rollbacks) != 2 || j.Rollbacks[0].Status != "failed" || j.Rollbacks[1].Status != "succeeded" {
		t.Errorf("%+v", j)
	}
	if _, err := os.Stat(filepath.Join(dir, "broken")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the rollback did not run")
	}
	if kept[0] != toolkit.Running || kept[len(kept)-1] != toolkit.Completed || len(kept) < 4 {
		t.Errorf("recorded %v", kept)
	}
	if _, err := json.Marshal(j); err != nil {
		t.Error(err)
	}
}

// The value of a secret is neither in the journal nor in what is said; a tolerance sees it.
func TestSecretsAreMasked(t *testing.T) {
	var said strings.Builder
	o := toolkit.Options{Environ: append(os.Environ(), "WORD=hunter2hunter2"), Say: func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) }}
	j := run(t, o, `{"title": "t", "description": "d", "secrets": {"g": {"word": {"type": "env", "key": "WORD"}}}, "steady-state-hypothesis": {"title": "h", "probes": [
		{"type": "probe", "name": "p", "tolerance": {"type": "regex", "pattern": "${word}", "target": "stdout"}, "provider": {"type": "process", "path": "echo", "arguments": ["${word}"]}}]},
		"method": [{"type": "action", "name": "a", "provider": {"type": "http", "url": "http://127.0.0.1:1/${word}"}}]}`)
	text, err := json.Marshal(j)
	if err != nil || j.States.Before == nil || !j.States.Before.Met {
		t.Errorf("%+v, %v", j.States.Before, err)
	}
	for where, text := range map[string]string{"the journal": string(text), "what is said": said.String()} {
		if strings.Contains(text, "hunter2hunter2") || !strings.Contains(text, "***") {
			t.Errorf("%s: %s", where, text)
		}
	}
}

// Rollbacks run when a probe could not be made, unless the file or the caller says otherwise.
func TestWhenRollbacksRun(t *testing.T) {
	text := `{"title": "t", "description": "d", RUNTIME "steady-state-hypothesis": {"title": "h", "probes": [
		{"type": "probe", "name": "p", "tolerance": 200, "provider": {"type": "http", "url": "http://127.0.0.1:1/"}}]},
		"method": [], "rollbacks": [{"type": "action", "name": "undo", "provider": {"type": "process", "path": "true"}}]}`
	for name, tc := range map[string]struct {
		file, caller string
		runs         bool
	}{"ours": {"", "", true}, "the file's": {"default", "", false}, "the caller's": {"never", "always", true}, "deviated": {"", "deviated", true}, "never": {"", "never", false}} {
		t.Run(name, func(t *testing.T) {
			given := ""
			if tc.file != "" {
				given = fmt.Sprintf(`"runtime": {"rollbacks": {"strategy": %q}},`, tc.file)
			}
			j := run(t, toolkit.Options{Rollbacks: toolkit.RollbackStrategy(tc.caller)}, strings.Replace(text, "RUNTIME", given, 1))
			if j.Status != toolkit.Failed || (len(j.Rollbacks) == 1) != tc.runs {
				t.Errorf("%s with %d rollbacks", j.Status, len(j.Rollbacks))
			}
		})
	}
}

// An interrupted run ends what it started and runs its rollbacks.
func TestAnInterruptedRunIsUndone(t *testing.T) {
	dir := t.TempDir()
	began := httptest.NewServer(nil)
	defer began.Close()
	ctx, stop := context.WithCancelCause(t.Context())
	began.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		stop(errors.New("the lever was pulled"))
		<-r.Context().Done()
	})
	e, err := toolkit.Parse(t.Context(), []byte(`{"title": "t", "description": "d",
		"method": [{"type": "action", "name": "long", "provider": {"type": "http", "url": "`+began.URL+`"}},
			{"type": "action", "name": "next", "provider": {"type": "process", "path": "touch", "arguments": ["next"]}}],
		"rollbacks": [{"type": "action", "name": "undo", "provider": {"type": "process", "path": "touch", "arguments": ["undone"]}}]}`), toolkit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	j, err := e.Run(ctx, toolkit.Options{Dir: dir})
	if err != nil || j.Status != toolkit.Interrupted || len(j.Run) != 1 || !strings.Contains(strings.Join(j.Notes, " "), "the lever was pulled") {
		t.Errorf("%+v, %v", j, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "undone")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "next")); err == nil {
		t.Error("the method went on")
	}
}

// A journal that still says running is that of a process that died: its rollbacks can be run.
func TestARunWhoseProcessDiedIsUndone(t *testing.T) {
	dir := t.TempDir()
	o := toolkit.Options{Dir: dir, Record: func(*toolkit.Journal) error { return errors.New("the disk is full") }}
	text := `{"title": "t", "description": "d", "method": [{"type": "action", "name": "a", "provider": {"type": "process", "path": "touch", "arguments": ["done"]}}],
		"rollbacks": [{"type": "action", "name": "undo", "provider": {"type": "process", "path": "touch", "arguments": ["undone"]}}]}`
	e, err := toolkit.Parse(t.Context(), []byte(text), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Run(t.Context(), o); err == nil {
		t.Error("a run that is not recorded began")
	}
	if _, err := os.Stat(filepath.Join(dir, "done")); err == nil {
		t.Error("the method of a run that is not recorded ran")
	}
	o.Record = nil
	j, err := e.Rollback(t.Context(), &toolkit.Journal{Status: toolkit.Running}, o)
	if err != nil || j.Status != toolkit.Interrupted || len(j.Rollbacks) != 1 {
		t.Errorf("%+v, %v", j, err)
	}
	if _, err := e.Rollback(t.Context(), j, o); problem.CodeOf(err) != problem.Conflict {
		t.Errorf("a run that has ended: %v", err)
	}
}

// The hypothesis is held all the time, and ends the method with fail_fast.
func TestTheHypothesisDuringTheMethod(t *testing.T) {
	dir := t.TempDir()
	text := `{"title": "t", "description": "d", "runtime": {"hypothesis": {"strategy": "during-method-only", "frequency": 0.01, "fail_fast": true}},
		"steady-state-hypothesis": {"title": "h", "probes": [{"type": "probe", "name": "p", "tolerance": 1, "provider": {"type": "process", "path": "test", "arguments": ["-e", "broken"]}}]},
		"method": [{"type": "action", "name": "break", "provider": {"type": "process", "path": "touch", "arguments": ["broken"]}, "pauses": {"after": 600}},
			{"type": "action", "name": "more", "provider": {"type": "process", "path": "touch", "arguments": ["more"]}}]}`
	j := run(t, toolkit.Options{Dir: dir}, text)
	if j.Status != toolkit.Aborted || !j.Deviated || len(j.States.During) == 0 || len(j.Run) != 1 || j.States.Before != nil || j.States.After != nil {
		t.Errorf("%+v", j)
	}
}

// What an HTTP activity sends.
func TestHTTPRequests(t *testing.T) {
	s := service(t)
	for name, tc := range map[string]struct{ provider, want string }{
		"query":         {`"arguments": {"a": "1", "b": [2, 3]}`, `{"form":{"a":["1"],"b":["2","3"]},"key":"","method":"GET","type":""}`},
		"form":          {`"method": "post", "arguments": {"a": true}`, `{"form":{"a":["true"]},"key":"","method":"POST","type":"application/x-www-form-urlencoded"}`},
		"JSON":          {`"method": "PUT", "headers": {"Content-Type": "application/json", "X-Key": "${k}"}, "arguments": {"a": 1}`, `{"form":{},"key":"v","method":"PUT","type":"application/json"}`},
		"timeout pair":  {`"timeout": [3, 3.5]`, `{"form":{},"key":"","method":"GET","type":""}`},
		"expected":      {`"expected_status": [200, 204]`, `{"form":{},"key":"","method":"GET","type":""}`},
		"configuration": {`"timeout": "${seconds}"`, `{"form":{},"key":"","method":"GET","type":""}`},
	} {
		t.Run(name, func(t *testing.T) {
			j := run(t, toolkit.Options{Overrides: map[string]string{"seconds": "5"}}, `{"title": "t", "description": "d", "configuration": {"k": "v", "seconds": 1},
				"method": [{"type": "action", "name": "a", "provider": {"type": "http", "url": "`+s.URL+`/echo", `+tc.provider+`}}]}`)
			output, _ := j.Run[0].Output.(map[string]any)
			got, err := json.Marshal(output["body"])
			if err != nil || string(got) != tc.want {
				t.Errorf("%s, %v, %v", got, j.Run[0].Exception, err)
			}
		})
	}
}

// Python functions are really called, with configuration and secrets where they take them.
func TestPythonFunctions(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no python3")
	}
	dir := t.TempDir()
	code := "def threshold(value, target): return value < target\ndef both(x, configuration=None, secrets=None):\n    print('noise')\n    return [x, configuration['c'], len(secrets['s'])]\ndef bad(): raise ValueError('no such thing')\n"
	if err := os.WriteFile(filepath.Join(dir, "ours.py"), []byte(code), 0o644); err != nil {
		t.Fatal(err)
	}
	j := run(t, toolkit.Options{Dir: dir}, `{"title": "t", "description": "d", "configuration": {"c": 3}, "secrets": {"g": {"s": "hidden"}},
		"steady-state-hypothesis": {"title": "h", "probes": [
			{"type": "probe", "name": "exists", "tolerance": true, "provider": {"type": "python", "module": "os.path", "func": "exists", "arguments": {"path": "ours.py"}}},
			{"type": "probe", "name": "below", "tolerance": {"type": "probe", "name": "t", "provider": {"type": "python", "module": "ours", "func": "threshold", "arguments": {"target": 5000000000}}},
				"provider": {"type": "python", "module": "os", "func": "getpid"}}]},
		"method": [{"type": "action", "name": "both", "provider": {"type": "python", "module": "ours", "func": "both", "arguments": {"x": "${c}"}, "secrets": ["g"]}},
			{"type": "action", "name": "bad", "provider": {"type": "python", "module": "ours", "func": "bad"}}]}`)
	if j.States.Before == nil || !j.States.Before.Met || fmt.Sprint(j.Run[0].Output) != "[3 3 6]" || j.Run[1].Exception[0] != "ValueError: no such thing" {
		t.Errorf("%+v %+v", j.States.Before, j.Run)
	}
}

// Everything that cannot be run is said at once, with its line and what to do.
func TestWhatCannotBeRun(t *testing.T) {
	_, err := toolkit.Parse(t.Context(), []byte(`title: t
controls:
- name: c
  provider: {type: python, module: m}
secrets: {g: {s: {type: vault, path: p}}}
steady-state-hypothesis:
  probes:
  - {type: probe, name: p, provider: {type: http, url: "${base}/x"}}
  - {type: probe, name: q, tolerance: {type: rgx}, provider: {type: process, path: not-a-program-of-anybody}}
method:
- {type: action, name: k, provider: {type: python, module: chaosk8s.pod.actions, func: terminate_pods}}
- {type: run, name: k, provider: {type: ssh}}
- {ref: pizza}
- {type: action, name: long, background: "yes", pauses: {before: soon}, provider: {type: http, url: "127.0.0.1"}}
`), toolkit.Options{})
	if problem.CodeOf(err) != problem.Invalid {
		t.Fatal(err)
	}
	for _, want := range []string{"description is missing", "line 5: secrets.g.s: values from Vault are not read", "title is missing", "line 8: steady-state-hypothesis.probes[0]: a probe of the hypothesis needs a tolerance",
		"there is no tolerance of type rgx", "there is no program not-a-program-of-anybody", "type must be probe or action, not \"run\"", "there is no provider ssh", `there is no activity "pizza"`,
		"background must be true or false", "before must be a number of seconds", `"127.0.0.1" is no address`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("without %q: %v", want, err)
		}
	}
	if _, lookup := exec.LookPath("python3"); lookup == nil && !strings.Contains(err.Error(), "pip install chaostoolkit-kubernetes") {
		t.Error(err)
	}
	for name, text := range map[string]string{"no document": "", "a list": "[]", "twice": `{"title": "a", "title": "b"}`, "a tag": "title: !!python/object/apply:os.system\nargs: [x]\n",
		"deep": strings.Repeat("[", 10000), "aliases": "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e]\n"} {
		if _, err := toolkit.Parse(t.Context(), []byte(text), toolkit.Options{}); problem.CodeOf(err) != problem.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	e, err := toolkit.Parse(t.Context(), []byte(`{"title": "t", "description": "d", "method": [], "configuration": {"a": {"type": "env", "key": "NOT_SET_BY_ANYBODY"}}, "controls": [{"name": "c"}]}`), toolkit.Options{})
	if err != nil || len(e.Notes) != 1 {
		t.Fatal(e, err)
	}
	if _, err := e.Run(t.Context(), toolkit.Options{}); problem.CodeOf(err) != problem.Invalid || !strings.Contains(err.Error(), "NOT_SET_BY_ANYBODY") {
		t.Error(err)
	}
}

// TestPausesAndStrategiesOfFiles: a pause may be a value of the configuration, and the
// strategy of the hypothesis is called as Chaos Toolkit calls it.
func TestPausesAndStrategiesOfFiles(t *testing.T) {
	t.Parallel()
	text := func(pause, strategy string) []byte {
		return []byte(`{"title": "t", "description": "d", "configuration": {"wait": ` + pause + `}, "runtime": {"hypothesis": {"strategy": "` + strategy + `"}}, "steady-state-hypothesis": {"title": "h", "probes":
			[{"type": "probe", "name": "p", "tolerance": 0, "provider": {"type": "process", "path": "true"}}]}, "method": [{"type": "action", "name": "a", "pauses": {"before": "0.01", "after": "${wait}"}, "provider": {"type": "process", "path": "true"}}]}`)
	}
	for _, strategy := range []string{"continuously", "continuous"} {
		e, err := toolkit.Parse(t.Context(), text("0.05", strategy), toolkit.Options{})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		j, err := e.Run(t.Context(), toolkit.Options{Environ: os.Environ()})
		if err != nil || j.Status != "completed" || j.Deviated || time.Since(began) < 60*time.Millisecond || j.States.During == nil {
			t.Errorf("%s: %+v, %v after %s", strategy, j, err, time.Since(began))
		}
	}
	e, err := toolkit.Parse(t.Context(), text(`"soon"`, "default"), toolkit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	j, err := e.Run(t.Context(), toolkit.Options{Environ: os.Environ()})
	if err != nil || len(j.Run) != 1 || j.Run[0].Status != "failed" || !strings.Contains(j.Run[0].Exception[0], "no number of seconds") {
		t.Errorf("%+v, %v", j, err)
	}
}

// What is no experiment of Chaos Toolkit, or one of its first versions, is said in one
// sentence and not as a list of what is missing.
func TestOtherFormsAreNamed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"apiVersion: litmuschaos.io/v1alpha1\ndescription: { message: x }\nkind: ChaosExperiment\n":                                                                                                             "line 3: kind: this is an object of Kubernetes (ChaosExperiment, litmuschaos.io/v1alpha1)",
		`{"title":"t","description":"d","method":[{"title":"x","action":{"title":"Move it","type":"python","module":"os","func":"rename"}}]}`:                                                                   `"Move it" is an activity of its own now`,
		`{"title":"t","description":"d","method":[{"title":"x","probes":{"steady":{"title":"y","type":"http","url":"http://localhost/"}}}]}`:                                                                    "first versions of Chaos Toolkit, with probes in it",
		`{"title":"t","description":"d","steady-state-hypothesis":{"title":"s","probes":[{"type":"probe","name":"p","provider":{"type":"http","tolerance":[200,503],"url":"http://localhost/"}}]},"method":[]}`: "the one in the provider belongs beside the provider",
	} {
		_, err := toolkit.Parse(t.Context(), []byte(text), toolkit.Options{})
		if problem.CodeOf(err) != problem.Invalid || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), "line ") != 1 {
			t.Errorf("%s:\n%v", text, err)
		}
	}
}
