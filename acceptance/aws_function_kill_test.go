package acceptance

import (
	"archive/zip"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// functionZip writes a zip file whose files can be executed.
func functionZip(t *testing.T, files ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "code.zip")
	out, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	z := zip.NewWriter(out)
	for i := 0; i+1 < len(files); i += 2 {
		h := &zip.FileHeader{Name: files[i]}
		h.SetMode(0o755)
		f, err := z.CreateHeader(h)
		if err == nil {
			_, err = f.Write([]byte(files[i+1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

// noteBootstrap speaks the Runtime API with curl, and writes each request into a file of
// the folder NOTES before and after it works on it.
const noteBootstrap = `#!/bin/sh
while :; do
	headers=$(mktemp)
	event=$(curl -sSLD "$headers" "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next") || exit 1
	id=$(grep -i '^lambda-runtime-aws-request-id:' "$headers" | tr -d '[:space:]' | cut -d: -f2)
	rm "$headers"
	echo "$event" >> "$NOTES/begun"
	case $event in *slow*) sleep 2 ;; esac
	echo "$event" >> "$NOTES/done"
	curl -sS "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/response" -d "$event" >/dev/null
done
`

// notes are the lines of a file of the function, by how often each is there.
func notes(t *testing.T, dir, name string) map[string]int {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	found := map[string]int{}
	for line := range strings.Lines(string(raw)) {
		found[strings.TrimSpace(line)]++
	}
	return found
}

// marked are the processes of functions that the data folder's regions have started.
func (w *world) marked() (pids []int) {
	w.t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		w.t.Skip("there is no /proc here")
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, err := os.ReadFile("/proc/" + e.Name() + "/environ")
		if err == nil && strings.Contains(string(env), "SHOWRUNNER_FUNCTIONS="+w.data) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Requests that were accepted are carried out whatever dies, each once while the region
// lives; what a function runs as ends with its region.
func TestFunctionsSurviveAKilledControl(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	w := newAWSWorld(t, "us-east-1")
	dir := t.TempDir()
	w.aws("lambda", "create-function", "--function-name", "note", "--runtime", "provided.al2023", "--handler", "any", "--role", "arn:aws:iam::000000000000:role/note", "--timeout", "30",
		"--environment", "Variables={NOTES="+dir+"}", "--zip-file", "fileb://"+functionZip(t, "bootstrap", noteBootstrap))
	w.aws("lambda", "wait", "function-active-v2", "--function-name", "note")
	w.aws("kinesis", "create-stream", "--stream-name", "orders", "--shard-count", "1")
	const n = 12
	for i := range n {
		w.aws("lambda", "invoke", "--function-name", "note", "--invocation-type", "Event", "--payload", fmt.Sprintf(`"slow%03d"`, i), os.DevNull)
		if i == n/2 {
			w.kill("control")
		}
	}
	w.kill("control")
	w.eventually(2*time.Minute, "every request is carried out", func() error {
		if got := notes(t, dir, "done"); len(got) != n {
			return fmt.Errorf("%d of %d: %v", len(got), n, got)
		}
		return nil
	})
	for what, times := range notes(t, dir, "begun") {
		if times != 1 {
			t.Errorf("%s was begun %d times", what, times)
		}
	}
	if got := w.aws("lambda", "invoke", "--function-name", "note", "--payload", `"again"`, "--query", "StatusCode", os.DevNull); got != "200" {
		t.Errorf("after that it answers %s", got)
	}
	if len(w.marked()) == 0 {
		t.Error("no environment is warm")
	}
	w.kill("region-us-east-1")
	w.eventually(20*time.Second, "nothing is left of the region that was killed", func() error {
		if pids := w.marked(); len(pids) > 0 {
			return fmt.Errorf("processes %v", pids)
		}
		return nil
	})
	w.eventually(time.Minute, "the function answers in the region that was started again", func() error {
		_, errs, code := w.awsCLI("lambda", "invoke", "--function-name", "note", "--payload", `"later"`, os.DevNull)
		if code != 0 {
			return fmt.Errorf("%s", errs)
		}
		return nil
	})
	w.stop()
	if pids := w.marked(); len(pids) > 0 {
		t.Errorf("up has ended and left the processes %v", pids)
	}
}

// boto3's waiters find the states that they wait for, and its paginators all pages.
func TestWaitersOfLambda(t *testing.T) {
	t.Parallel()
	if err := exec.Command("python3", "-c", "import boto3").Run(); err != nil {
		t.Skip("python3 with boto3 is not installed")
	}
	w := newAWSWorld(t, "us-east-1")
	script := writeFile(t, "waiters.py", `
import base64, io, json, zipfile
import boto3
from botocore.exceptions import ClientError
client = boto3.client("lambda")
def code(text):
    b = io.BytesIO()
    with zipfile.ZipFile(b, "w") as z:
        z.writestr("app.py", text)
    return b.getvalue()
role = "arn:aws:iam::000000000000:role/r"
source = """
import os, boto3
def handler(event, context):
    print("hello from the function")
    return {"who": boto3.client("sts").get_caller_identity()["Arn"], "region": os.environ["AWS_REGION"], "event": event}
"""
client.create_function(FunctionName="f", Runtime="python3.12", Role=role, Handler="app.handler", Timeout=30, MemorySize=256, Code={"ZipFile": code(source)})
quick = {"Delay": 1, "MaxAttempts": 30}
for name in ["function_exists", "function_active", "function_active_v2", "function_updated", "function_updated_v2"]:
    client.get_waiter(name).wait(FunctionName="f", WaiterConfig=quick)
r = client.invoke(FunctionName="f", Payload=json.dumps({"a": 1}), LogType="Tail")
said = json.load(r["Payload"])
assert said == {"who": "arn:aws:sts::000000000000:assumed-role/r/f", "region": "us-east-1", "event": {"a": 1}}, said
assert b"hello from the function" in base64.b64decode(r["LogResult"]), r
client.update_function_code(FunctionName="f", ZipFile=code("def handler(e, c):\n    raise ValueError('no')\n"))
client.get_waiter("function_updated_v2").wait(FunctionName="f", WaiterConfig=quick)
r = client.invoke(FunctionName="f")
assert r["FunctionError"] == "Unhandled" and json.load(r["Payload"])["errorType"] == "ValueError", r
version = client.publish_version(FunctionName="f")["Version"]
client.get_waiter("published_version_active").wait(FunctionName="f", Qualifier=version, WaiterConfig=quick)
client.create_alias(FunctionName="f", Name="live", FunctionVersion=version)
assert client.invoke(FunctionName="f", Qualifier="live", InvocationType="DryRun")["StatusCode"] == 204
for n in range(4):
    client.create_function(FunctionName="p%d" % n, Runtime="python3.12", Role=role, Handler="app.handler", Code={"ZipFile": code("")})
names = [f["FunctionName"] for p in client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2}) for f in p["Functions"]]
assert names == ["f", "p0", "p1", "p2", "p3"], names
try:
    client.get_function(FunctionName="none")
    raise AssertionError("it is there")
except client.exceptions.ResourceNotFoundException as e:
    assert e.response["Error"]["Message"] == "Function not found: arn:aws:lambda:us-east-1:000000000000:function:none", e
logs = boto3.client("logs").filter_log_events(logGroupName="/aws/lambda/f")["events"]
assert any("hello from the function" in e["message"] for e in logs), logs
print("done")
`)
	if out := w.mustShell("python3 " + script); strings.TrimSpace(out) != "done" {
		t.Error(out)
	}
}
