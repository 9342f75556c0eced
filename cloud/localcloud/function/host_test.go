package function

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"showrunner/artifact"
	"showrunner/cloud/driver"
	"showrunner/problem"
)

// world is a host over an artifact store.
type world struct {
	*Host
	t     *testing.T
	store *artifact.Store
	ids   atomic.Int64
}

func open(t *testing.T, change func(*Config)) *world {
	t.Helper()
	store, err := artifact.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Region: "test-1", Dir: t.TempDir(), Artifacts: store, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now}
	if change != nil {
		change(&c)
	}
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return &world{Host: h, t: t, store: store}
}

// code is an artifact of files; the name of an executable one ends with a star.
func (w *world) code(files map[string]string) artifact.Ref {
	w.t.Helper()
	dir := w.t.TempDir()
	for name, text := range files {
		plain := strings.TrimSuffix(name, "*")
		mode := os.FileMode(0o644)
		if plain != name {
			mode = 0o755
		}
		file := filepath.Join(dir, plain)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), mode)); err != nil {
			w.t.Fatal(err)
		}
	}
	ref, _, err := w.store.PutDir(w.t.Context(), dir, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return ref
}

func (w *world) request(ref artifact.Ref, runtime, handler, payload string) driver.Invocation {
	return driver.Invocation{
		ID: fmt.Sprintf("request-%d", w.ids.Add(1)), Function: "f", Version: "$LATEST", ARN: "arn:aws:lambda:test-1:000000000000:function:f",
		Workload: driver.Function{Artifact: ref, Runtime: runtime, Handler: handler, Memory: 256, Timeout: 20 * time.Second},
		Payload:  []byte(payload), Trace: "Root=1-5759e988-bd862e3fe1be46a994272793",
		Env: map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/f"},
	}
}

// ask carries a request out and returns its result and its log.
func (w *world) ask(in driver.Invocation) (driver.InvocationResult, string) {
	w.t.Helper()
	r, log, err := w.try(in)
	if err != nil {
		w.t.Fatal(err)
	}
	return r, log
}

func (w *world) try(in driver.Invocation) (driver.InvocationResult, string, error) {
	var text strings.Builder
	r, err := w.Invoke(w.t.Context(), in, func(l driver.LogLines) {
		for _, line := range l.Lines {
			text.WriteString(line.Text)
		}
	})
	return r, text.String(), err
}

// needs skips a test whose program is not on this machine.
func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not on this machine", program)
	}
}

func (w *world) expect(what, got string, wanted ...string) {
	w.t.Helper()
	for _, want := range wanted {
		if !strings.Contains(got, want) {
			w.t.Errorf("%s: %q is not in\n%s", what, want, got)
		}
	}
}

// failure is the error that a function has failed with.
func (w *world) failure(r driver.InvocationResult) (f struct {
	ErrorType, ErrorMessage string
	Trace, StackTrace       []string
}) {
	w.t.Helper()
	if err := json.Unmarshal(r.Payload, &f); err != nil || !r.Failed {
		w.t.Fatalf("it did not fail (%v): %s", err, r.Payload)
	}
	return f
}

const nodeHandlers = `
let count = 0;
exports.echo = async (event, context) => { console.log('got', event, '\nsecond line'); return { event, count: ++count, name: context.functionName, left: context.getRemainingTimeInMillis(), arn: context.invokedFunctionArn, client: context.clientContext, env: process.env.GREETING, task: process.env.LAMBDA_TASK_ROOT === __dirname }; };
exports.callback = (event, context, callback) => { setTimeout(() => callback(null, 'later'), 20); };
exports.nothing = () => {};
exports.throws = async () => { throw new TypeError('boom'); };
exports.text = async () => { throw 'plain'; };
exports.crash = () => { setTimeout(() => { throw new Error('late'); }, 5); };
exports.exit = async () => { process.exit(3); };
exports.slow = async (event) => { await new Promise((r) => setTimeout(r, event.ms)); return event; };
exports.nested = { inner: async () => 'nested' };
exports.big = async () => 'x'.repeat(7 << 20);
`

func TestNode(t *testing.T) {
	t.Parallel()
	needs(t, "node")
	w := open(t, nil)
	ref := w.code(map[string]string{"index.js": nodeHandlers, "bad.js": "exports.handler = (", "wants.js": "require('no-such-module');",
		"esm.mjs": "export const handler = async (e) => ({ module: import.meta.url.endsWith('esm.mjs'), e });", "typed/package.json": `{"type":"module"}`, "typed/app.js": "export const handler = async () => 'typed';"})
	t.Run("echo", func(t *testing.T) {
		in := w.request(ref, "nodejs20.x", "index.echo", `{"a":1}`)
		in.Env["GREETING"], in.ClientContext = "hello", `{"custom":{"k":"v"}}`
		r, log := w.ask(in)
		w.expect("answer", string(r.Payload), `"event":{"a":1}`, `"count":1`, `"name":"f"`, `"arn":"arn:aws:lambda:`, `"client":{"custom":{"k":"v"}}`, `"env":"hello"`, `"task":true`)
		w.expect("log", log, "INIT_START Runtime Version: nodejs20.x (Node.js v", "START RequestId: "+in.ID+" Version: $LATEST\n", "\t"+in.ID+"\tINFO\tgot { a: 1 } \nsecond line\n", "END RequestId: "+in.ID+"\n", "Memory Size: 256 MB", "Init Duration: ")
		if strings.Index(log, "got { a") < strings.Index(log, "START") || strings.Index(log, "END") < strings.Index(log, "got { a") {
			t.Errorf("the lines are not in order:\n%s", log)
		}
		again := in
		again.ID = "again"
		r, log = w.ask(again)
		w.expect("second answer", string(r.Payload), `"count":2`)
		if strings.Contains(log, "INIT_START") || r.Started {
			t.Errorf("the environment was not reused:\n%s", log)
		}
	})
	for _, one := range []struct{ handler, payload, want string }{
		{"index.callback", "{}", `"later"`}, {"index.nothing", "{}", "null"}, {"index.nested.inner", "{}", `"nested"`}, {"esm.handler", "5", `{"module":true,"e":5}`}, {"typed/app.handler", "{}", `"typed"`},
	} {
		r, log := w.ask(w.request(ref, "nodejs20.x", one.handler, one.payload))
		if string(r.Payload) != one.want || r.Failed {
			t.Errorf("%s answered %s, want %s\n%s", one.handler, r.Payload, one.want, log)
		}
	}
	for _, one := range []struct{ handler, kind, message string }{
		{"index.throws", "TypeError", "boom"}, {"index.text", "string", "plain"}, {"index.crash", "Error", "late"},
		{"index.exit", "Runtime.ExitError", "Error: Runtime exited with error: exit status 3"}, {"index.missing", "Runtime.HandlerNotFound", "index.missing is undefined or not exported"},
		{"gone.handler", "Runtime.ImportModuleError", "Error: Cannot find module 'gone'"}, {"wants.handler", "Runtime.ImportModuleError", "Cannot find module 'no-such-module'"},
		{"bad.handler", "Runtime.UserCodeSyntaxError", "SyntaxError: Unexpected"}, {"index.big", "Function.ResponseSizeTooLarge", "Response payload size exceeded maximum allowed payload size (6291556 bytes)."},
	} {
		r, log := w.ask(w.request(ref, "nodejs20.x", one.handler, "{}"))
		f := w.failure(r)
		if f.ErrorType != one.kind || !strings.Contains(f.ErrorMessage, one.message) {
			t.Errorf("%s failed with %s: %s\n%s", one.handler, f.ErrorType, f.ErrorMessage, log)
		}
		w.expect(one.handler, log, "START RequestId:", "END RequestId:", "REPORT RequestId:")
	}
}

const pythonHandlers = `
import json, logging, os, sys, time
logging.getLogger().setLevel(logging.INFO)
count = 0
def echo(event, context):
    global count
    count += 1
    print('got', event)
    logging.info('logged\nin two lines')
    return {'event': event, 'count': count, 'name': context.function_name, 'left': context.get_remaining_time_in_millis() > 0, 'group': context.log_group_name,
            'stream': context.log_stream_name, 'client': context.client_context.custom if context.client_context else None, 'memory': context.memory_limit_in_mb}
def throws(event, context):
    raise ValueError('boom')
def leaves(event, context):
    sys.exit(4)
def unfit(event, context):
    return {'x': object()}
def hog(event, context):
    keep = bytearray(event['bytes'])
    for i in range(0, len(keep), 4096):
        keep[i] = 1
    time.sleep(5)
def slow(event, context):
    time.sleep(event)
    return 'slept'
def accents(event, context):
    return 'é'
`

func TestPython(t *testing.T) {
	t.Parallel()
	needs(t, "python3")
	w := open(t, nil)
	ref := w.code(map[string]string{"app.py": pythonHandlers, "bad.py": "def handler(", "wants.py": "import no_such_module", "sub/deep.py": "def handler(e, c):\n    return 'deep'\n"})
	in := w.request(ref, "python3.12", "app.echo", `{"a":1}`)
	in.ClientContext = `{"custom":{"k":"v"}}`
	r, log := w.ask(in)
	w.expect("answer", string(r.Payload), `"event": {"a": 1}`, `"count": 1`, `"name": "f"`, `"left": true`, `"group": "/aws/lambda/f"`, `"client": {"k": "v"}`, `"memory": "256"`)
	w.expect("log", log, "got {'a': 1}\n", "[INFO]\t", "Z\t"+in.ID+"\tlogged\nin two lines\n")
	for handler, want := range map[string]string{"sub/deep.handler": `"deep"`, "app.accents": `"é"`} {
		if r, log := w.ask(w.request(ref, "python3.12", handler, "{}")); string(r.Payload) != want {
			t.Errorf("%s answered %s\n%s", handler, r.Payload, log)
		}
	}
	for _, one := range []struct{ handler, kind, message string }{
		{"app.throws", "ValueError", "boom"}, {"app.leaves", "Runtime.ExitError", "exit status 4"}, {"app.missing", "Runtime.HandlerNotFound", "Handler 'missing' missing on module 'app'"},
		{"gone.handler", "Runtime.ImportModuleError", "Unable to import module 'gone': No module named 'gone'"}, {"wants.handler", "Runtime.ImportModuleError", "No module named 'no_such_module'"},
		{"bad.handler", "Runtime.UserCodeSyntaxError", "Syntax error in module 'bad'"}, {"nodot", "Runtime.MalformedHandlerName", "Bad handler 'nodot'"}, {"app.unfit", "Runtime.MarshalError", "Unable to marshal response"},
	} {
		r, log := w.ask(w.request(ref, "python3.12", one.handler, "{}"))
		f := w.failure(r)
		if f.ErrorType != one.kind || !strings.Contains(f.ErrorMessage, one.message) {
			t.Errorf("%s failed with %s: %s\n%s", one.handler, f.ErrorType, f.ErrorMessage, log)
		}
	}
	r, log = w.ask(w.request(ref, "python3.12", "app.throws", "{}"))
	if f := w.failure(r); len(f.StackTrace) != 1 || !strings.Contains(f.StackTrace[0], "in throws\n    raise ValueError('boom')") {
		t.Errorf("stack: %q", f.StackTrace)
	}
	w.expect("log of a failure", log, "[ERROR] ValueError: boom\nTraceback (most recent call last):\n")
	hog := w.request(ref, "python3.12", "app.hog", `{"bytes": 300000000}`)
	hog.Workload.Memory = 128
	r, log = w.ask(hog)
	if f := w.failure(r); f.ErrorType != "Runtime.ExitError" || !strings.Contains(f.ErrorMessage, "signal: killed") {
		t.Errorf("a function over its limit: %+v", f)
	}
	w.expect("log of the limit", log, "its limit is 128 MB", "REPORT")
	// The next request finds a fresh environment.
	after := w.request(ref, "python3.12", "app.accents", "{}")
	after.Workload.Memory = 128
	if r, log := w.ask(after); r.Failed {
		t.Errorf("after that: %s\n%s", r.Payload, log)
	}
}

// bootstrap speaks the Runtime API itself, with curl.
const bootstrap = `#!/bin/sh
while true; do
	headers=$(mktemp)
	event=$(curl -sS -LD "$headers" "http://${AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation/next")
	id=$(grep -i '^lambda-runtime-aws-request-id:' "$headers" | tr -d '[:space:]' | cut -d: -f2)
	echo "working on $event"
	case $event in
	*leave*) exit 7 ;;
	*sleep*) sleep 30 ;;
	*orphan*) (setsid sleep 300 >/dev/null 2>&1 &) ;;
	esac
	curl -sS -X POST "http://${AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation/$id/response" -d "{\"handler\":\"$_HANDLER\",\"pid\":$$,\"event\":$event}" >/dev/null
done
`

func TestProvided(t *testing.T) {
	t.Parallel()
	needs(t, "curl")
	w := open(t, nil)
	ref := w.code(map[string]string{"bootstrap*": bootstrap})
	for _, runtime := range []string{"provided.al2", "provided.al2023"} {
		r, log := w.ask(w.request(ref, runtime, "any.name", `{"n":1}`))
		w.expect("answer", string(r.Payload), `"handler":"any.name"`, `"event":{"n":1}`)
		w.expect("log", log, `working on {"n":1}`+"\n")
	}
	r, _ := w.ask(w.request(ref, "provided.al2", "x", `"leave"`))
	if f := w.failure(r); f.ErrorType != "Runtime.ExitError" || !strings.Contains(f.ErrorMessage, "exit status 7") {
		t.Errorf("%+v", f)
	}
	slow := w.request(ref, "provided.al2", "x", `"sleep"`)
	slow.Workload.Timeout = time.Second
	r, log := w.ask(slow)
	if f := w.failure(r); f.ErrorType != "Sandbox.Timedout" || f.ErrorMessage != "RequestId: "+slow.ID+" Error: Task timed out after 1.00 seconds" {
		t.Errorf("%+v", f)
	}
	w.expect("log", log, slow.ID+" Task timed out after 1.00 seconds\n", "Status: timeout")
	if r.Duration < time.Second {
		t.Errorf("it took %v", r.Duration)
	}
	for name, files := range map[string]map[string]string{"none": {"x": ""}, "not executable": {"bootstrap": bootstrap}} {
		r, _ := w.ask(w.request(w.code(files), "provided.al2", "x", "{}"))
		if f := w.failure(r); f.ErrorType != "Runtime.InvalidEntrypoint" {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// What an environment started ends with it, also in a session of its own.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	needs(t, "curl")
	w := open(t, nil)
	ref := w.code(map[string]string{"bootstrap*": bootstrap})
	r, _ := w.ask(w.request(ref, "provided.al2", "x", `"orphan"`))
	var said struct{ PID int }
	if err := json.Unmarshal(r.Payload, &said); err != nil || syscall.Kill(said.PID, 0) != nil {
		t.Fatalf("%v: %s", err, r.Payload)
	}
	w.EndFunction("f")
	if syscall.Kill(said.PID, 0) == nil {
		t.Error("the environment still runs")
	}
	if n := w.system.Sweep(markName + "=" + w.mark); n != 0 {
		t.Errorf("%d processes were left", n)
	}
	if entries, err := os.ReadDir(filepath.Join(w.config.Dir, "environments")); err != nil || len(entries) != 0 {
		t.Errorf("folders that were left: %v, %v", entries, err)
	}
}

func TestUnknownRuntimesAreRefusedByName(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	for _, name := range []string{"go1.x", "java21", "nodejs12.x"} {
		_, _, err := w.try(w.request(w.code(map[string]string{"x": ""}), name, "x", "{}"))
		if problem.CodeOf(err) != problem.Precondition || !strings.Contains(err.Error(), name) || !strings.Contains(problem.HelpOf(err), "provided.al2023") {
			t.Errorf("%s: %v, %s", name, err, problem.HelpOf(err))
		}
	}
}

// One environment answers one request at a time; more requests get more of them, up to
// the limit of the function.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	needs(t, "node")
	w := open(t, nil)
	ref := w.code(map[string]string{"index.js": "let n = 0; exports.handler = async (e) => { if (n++ > 0) throw new Error('two at once'); await new Promise((r) => setTimeout(r, 700)); n--; return process.pid; };"})
	two := 2
	var pids sync.Map
	var throttled, answered atomic.Int64
	var wg sync.WaitGroup
	for range 3 {
		in := w.request(ref, "nodejs20.x", "index.handler", "{}")
		in.Reserved = &two
		wg.Go(func() {
			r, log, err := w.try(in)
			switch {
			case err != nil || r.Failed:
				t.Errorf("%v %s\n%s", err, r.Payload, log)
			case r.Throttled == driver.ThrottledByReserved:
				throttled.Add(1)
			default:
				answered.Add(1)
				pids.Store(string(r.Payload), true)
			}
		})
	}
	wg.Wait()
	n := 0
	pids.Range(func(any, any) bool { n++; return true })
	if throttled.Load() != 1 || answered.Load() != 2 || n != 2 {
		t.Errorf("%d were throttled, %d answered by %d processes", throttled.Load(), answered.Load(), n)
	}
	none := 0
	in := w.request(ref, "nodejs20.x", "index.handler", "{}")
	if in.Reserved = &none; true {
		if r, _, err := w.try(in); err != nil || r.Throttled != driver.ThrottledByReserved {
			t.Errorf("with none reserved: %+v, %v", r, err)
		}
	}
}

// A request that joins another one runs once, and both see its log and its result.
func TestAskedForAgainItRunsOnce(t *testing.T) {
	t.Parallel()
	needs(t, "node")
	w := open(t, nil)
	ref := w.code(map[string]string{"index.js": "let n = 0; exports.handler = async () => { console.log('once'); await new Promise((r) => setTimeout(r, 300)); return ++n; };"})
	in := w.request(ref, "nodejs20.x", "index.handler", "{}")
	in.Joins = "one"
	ctx, cancel := context.WithCancel(t.Context())
	_, err := w.Invoke(ctx, in, func(l driver.LogLines) { cancel() }) // the caller dies while it runs
	if problem.CodeOf(err) != problem.Unavailable {
		t.Fatalf("it did not end with its caller: %v", err)
	}
	for range 2 {
		r, log := w.ask(in)
		if string(r.Payload) != "1" || strings.Count(log, "once") != 1 {
			t.Errorf("%s\n%s", r.Payload, log)
		}
	}
}

func TestIdleEnvironmentsEnd(t *testing.T) {
	t.Parallel()
	needs(t, "node")
	w := open(t, func(c *Config) { c.IdleFor = 50 * time.Millisecond })
	ref := w.code(map[string]string{"index.js": "exports.handler = async () => process.pid;"})
	r, _ := w.ask(w.request(ref, "nodejs20.x", "index.handler", "{}"))
	pid, err := strconv.Atoi(string(r.Payload))
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	var left []*environment
	for e := range w.all {
		left = append(left, e)
	}
	w.mu.Unlock()
	for _, e := range left {
		select {
		case <-e.gone:
		case <-time.After(20 * time.Second):
			t.Fatal("it still runs")
		}
	}
	if syscall.Kill(pid, 0) == nil {
		t.Error("its process still runs")
	}
}

// Other variables or another artifact of the same version end the environments of the earlier ones.
func TestChangedSettingsTakeEffectAtOnce(t *testing.T) {
	t.Parallel()
	needs(t, "node")
	w := open(t, nil)
	ref := w.code(map[string]string{"index.js": "exports.handler = async () => [process.pid, process.env.WORD];"})
	pids := map[int]bool{}
	for _, word := range []string{"one", "two", "two"} {
		in := w.request(ref, "nodejs20.x", "index.handler", "{}")
		in.Env["WORD"] = word
		r, _ := w.ask(in)
		var said []any
		if err := json.Unmarshal(r.Payload, &said); err != nil || said[1] != word {
			t.Fatalf("%v: %s", err, r.Payload)
		}
		pids[int(said[0].(float64))] = true
	}
	if len(pids) != 2 {
		t.Errorf("%d environments answered three requests with two settings", len(pids))
	}
	alive := 0
	w.Close()
	for pid := range pids {
		if syscall.Kill(pid, 0) == nil {
			alive++
		}
	}
	if alive != 0 {
		t.Errorf("%d environments outlive the host", alive)
	}
}
