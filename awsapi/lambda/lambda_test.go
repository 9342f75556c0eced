package lambda_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"showrunner/artifact"
	"showrunner/awsapi"
	"showrunner/awsapi/awstest"
	"showrunner/awsapi/kinesis"
	"showrunner/awsapi/lambda"
	"showrunner/awsapi/logs"
	"showrunner/awsapi/signature"
	"showrunner/cloud"
	"showrunner/problem"
	"showrunner/store/record/recordtest"
)

type object = map[string]any

const role = "arn:aws:iam::000000000000:role/service-role/worker"

// values keeps values in memory.
type values struct {
	mu  sync.Mutex
	all map[string]string
}

func (v *values) Set(_ context.Context, name string, value []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.all[name] = string(value)
	return nil
}

func (v *values) Resolve(_ context.Context, name string) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s, ok := v.all[name]; ok {
		return s, nil
	}
	return "", problem.New(problem.NotFound, "values", "%s is not there", name)
}

func (v *values) Delete(_ context.Context, name string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.all, name)
	return nil
}

func (v *values) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.all)
}

// runner is a region that carries requests out as the test says.
type runner struct {
	mu     sync.Mutex
	answer func(in cloud.Invocation) (cloud.InvocationResult, error)
	asked  []cloud.Invocation
	ended  []string
	told   chan struct{}
}

func (r *runner) Runtimes(_ context.Context, _, name string) ([]cloud.Runtime, error) {
	switch {
	case name == "python3.13":
		return []cloud.Runtime{{Name: name, Missing: "the runtime python3.13 needs python3: install Python 3"}}, nil
	case strings.HasPrefix(name, "nodejs2"), strings.HasPrefix(name, "provided.al"):
		return []cloud.Runtime{{Name: name}}, nil
	}
	return nil, nil
}

func (r *runner) Invoke(_ context.Context, _ string, in cloud.Invocation, log func(cloud.LogLines)) (cloud.InvocationResult, error) {
	r.mu.Lock()
	r.asked = append(r.asked, in)
	answer := r.answer
	r.mu.Unlock()
	defer func() {
		select {
		case r.told <- struct{}{}:
		default:
		}
	}()
	log(cloud.LogLines{Stream: "s", Lines: []cloud.LogLine{{At: time.Now(), Text: "START RequestId: " + in.ID + "\n"}}})
	if answer == nil {
		return cloud.InvocationResult{Payload: in.Payload}, nil
	}
	return answer(in)
}

func (r *runner) End(_ context.Context, _, function string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = append(r.ended, function)
	return nil
}

func (r *runner) set(answer func(in cloud.Invocation) (cloud.InvocationResult, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer, r.asked = answer, nil
}

func (r *runner) all() []cloud.Invocation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]cloud.Invocation(nil), r.asked...)
}

// world is a control plane over records.
type world struct {
	*awstest.Client
	t         *testing.T
	functions *lambda.Service
	runner    *runner
	values    *values
	records   *recordtest.Records
	later     *atomic.Int64
	artifacts *artifact.Store
}

// inside is the endpoint, which is made after its services.
type inside struct{ *awsapi.Server }

func open(t *testing.T, before *world) *world {
	t.Helper()
	w := &world{t: t, runner: &runner{told: make(chan struct{}, 1)}, values: &values{all: map[string]string{}}, records: &recordtest.Records{}, later: new(atomic.Int64)}
	var err error
	if w.artifacts, err = artifact.Open(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if before != nil {
		w.values, w.records, w.artifacts, w.later = before.values, before.records, before.artifacts, before.later
	}
	now := func() time.Time { return time.Now().Add(time.Duration(w.later.Load())) }
	services := &inside{}
	streams, lines := kinesis.New(w.records, kinesis.Events{}, now), logs.New(w.records, now)
	w.functions = lambda.New(lambda.Config{Records: w.records, Values: w.values, Functions: w.runner, Services: services, Artifacts: w.artifacts, Logs: lines, Watch: streams.Watch,
		Session: func(role, name string, until time.Time) (signature.Credentials, error) {
			return signature.Credentials{Key: "ASIA" + name, Secret: "s", Token: role}, nil
		},
		Endpoint: func() string { return w.URL() }, Regions: []string{awstest.Region}, Account: awsapi.Account, Alone: true, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: now})
	w.Client = awstest.Opened(t, w.functions.Open, w.functions.Service(), streams.Service(), lines.Service())
	services.Server = w.Server()
	return w
}

// run carries out what is queued, until the test or stop ends it.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.functions.Run(ctx, 20*time.Millisecond) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(stop)
	return stop
}

func zipped(files ...string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i+1 < len(files); i += 2 {
		f, err := z.Create(files[i])
		if err == nil {
			_, err = f.Write([]byte(files[i+1]))
		}
		if err != nil {
			panic(err)
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// call calls an operation that has to succeed.
func (w *world) call(operation string, in object) object {
	w.t.Helper()
	out := w.Inside("lambda", operation, in)
	if e, failed := out["Error"].(map[string]any); failed {
		w.t.Fatalf("%s(%v): %v: %v", operation, in, e["Code"], e["Message"])
	}
	return out
}

// refused calls an operation that has to fail.
func (w *world) refused(operation string, in object, code, message string) {
	w.t.Helper()
	out := w.Inside("lambda", operation, in)
	e, _ := out["Error"].(map[string]any)
	if e["Code"] != code || !strings.Contains(fmt.Sprint(e["Message"]), message) {
		w.t.Errorf("%s(%v): %v\nwant %s: %s", operation, in, out, code, message)
	}
}

func (w *world) create(name string, more ...any) object {
	w.t.Helper()
	in := object{"FunctionName": name, "Runtime": "nodejs20.x", "Role": role, "Handler": "index.handler", "Code": object{"ZipFile": zipped("index.js", "exports.handler = 1")}}
	for i := 0; i+1 < len(more); i += 2 {
		in[more[i].(string)] = more[i+1]
	}
	return w.call("CreateFunction", in)
}

func TestLifeOfAFunction(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	made := w.create("f", "Environment", object{"Variables": object{"WORD": "secret"}}, "Tags", object{"a": "1"})
	if made["State"] != "Pending" || made["Version"] != "$LATEST" || made["FunctionArn"] != "arn:aws:lambda:us-west-2:000000000000:function:f" || made["MemorySize"] != int64(128) || made["Timeout"] != int64(3) {
		t.Errorf("created: %v", made)
	}
	got := w.call("GetFunction", object{"FunctionName": made["FunctionArn"]})
	configuration := got["Configuration"].(object)
	if configuration["State"] != "Active" || configuration["LastUpdateStatus"] != "Successful" || fmt.Sprint(configuration["Environment"]) != "map[Variables:map[WORD:secret]]" || fmt.Sprint(got["Tags"]) != "map[a:1]" {
		t.Errorf("got: %v", got)
	}
	kept, err := w.records.GetRecord(t.Context(), "aws.lambda", "us-west-2/f")
	if err != nil || strings.Contains(string(kept.Data), "secret") {
		t.Errorf("a variable's value is in the records (%v): %s", err, kept.Data)
	}
	w.refused("CreateFunction", object{"FunctionName": "f", "Runtime": "nodejs20.x", "Role": role, "Handler": "x.y", "Code": object{"ZipFile": zipped("a", "b")}}, "ResourceConflictException", "Function already exist: f")
	w.refused("GetFunction", object{"FunctionName": "nope"}, "ResourceNotFoundException", "Function not found: arn:aws:lambda:us-west-2:000000000000:function:nope")
	w.refused("UpdateFunctionConfiguration", object{"FunctionName": "f", "RevisionId": "old", "Timeout": 5}, "PreconditionFailedException", "does not match the latest Revision Id")
	updated := w.call("UpdateFunctionConfiguration", object{"FunctionName": "f", "Timeout": 5, "RevisionId": configuration["RevisionId"], "Environment": object{"Variables": object{"WORD": "other"}}})
	if updated["LastUpdateStatus"] != "InProgress" || updated["Timeout"] != int64(5) || updated["Handler"] != "index.handler" || w.values.count() != 1 {
		t.Errorf("updated: %v; %d kept values", updated, w.values.count())
	}
	code := w.call("UpdateFunctionCode", object{"FunctionName": "f", "ZipFile": zipped("index.js", "exports.handler = 2")})
	if code["CodeSha256"] == made["CodeSha256"] || code["Timeout"] != int64(5) {
		t.Errorf("other code: %v", code)
	}
	one := w.call("PublishVersion", object{"FunctionName": "f", "Description": "first", "CodeSha256": code["CodeSha256"]})
	if one["Version"] != "1" || one["FunctionArn"] != made["FunctionArn"].(string)+":1" || one["Description"] != "first" {
		t.Errorf("published: %v", one)
	}
	if same := w.call("PublishVersion", object{"FunctionName": "f"}); same["Version"] != "1" {
		t.Errorf("nothing had changed: %v", same)
	}
	w.refused("PublishVersion", object{"FunctionName": "f", "CodeSha256": "x"}, "InvalidParameterValueException", "is different from current CodeSHA256 in $LATEST")
	w.call("UpdateFunctionConfiguration", object{"FunctionName": "f", "Environment": object{"Variables": object{"WORD": "third"}}})
	if w.values.count() != 2 {
		t.Errorf("%d values are kept, want that of $LATEST and that of version 1", w.values.count())
	}
	if two := w.call("PublishVersion", object{"FunctionName": "f"}); two["Version"] != "2" {
		t.Errorf("published again: %v", two)
	}
	list := w.call("ListVersionsByFunction", object{"FunctionName": "f"})["Versions"].([]any)
	if len(list) != 3 || list[0].(object)["Version"] != "$LATEST" || list[2].(object)["Version"] != "2" {
		t.Errorf("versions: %v", list)
	}
	if v := w.call("GetFunctionConfiguration", object{"FunctionName": "f", "Qualifier": "1"}); v["Timeout"] != int64(5) || fmt.Sprint(v["Environment"]) != "map[Variables:map[WORD:other]]" {
		t.Errorf("version 1: %v", v)
	}
	w.call("CreateAlias", object{"FunctionName": "f", "Name": "live", "FunctionVersion": "1"})
	w.refused("CreateAlias", object{"FunctionName": "f", "Name": "live", "FunctionVersion": "1"}, "ResourceConflictException", "Alias already exists: arn:aws:lambda:us-west-2:000000000000:function:f:live")
	w.refused("CreateAlias", object{"FunctionName": "f", "Name": "x", "FunctionVersion": "9"}, "ResourceNotFoundException", "function:f:9")
	w.refused("DeleteFunction", object{"FunctionName": "f", "Qualifier": "1"}, "ResourceConflictException", "alias live")
	moved := w.call("UpdateAlias", object{"FunctionName": "f", "Name": "live", "FunctionVersion": "2", "RoutingConfig": object{"AdditionalVersionWeights": object{"1": 0.25}}})
	if fmt.Sprint(moved["RoutingConfig"]) != "map[AdditionalVersionWeights:map[1:0.25]]" {
		t.Errorf("moved: %v", moved)
	}
	w.refused("UpdateAlias", object{"FunctionName": "f", "Name": "live", "RevisionId": "old"}, "PreconditionFailedException", "Revision Id")
	w.refused("UpdateAlias", object{"FunctionName": "f", "Name": "live", "FunctionVersion": "1"}, "InvalidParameterValueException", "already included in routing configuration")
	w.refused("GetAlias", object{"FunctionName": "f", "Name": "no"}, "ResourceNotFoundException", "Cannot find alias arn: arn:aws:lambda:us-west-2:000000000000:function:f:no")
	w.call("DeleteAlias", object{"FunctionName": "f", "Name": "live"})
	w.call("DeleteFunction", object{"FunctionName": "f", "Qualifier": "1"})
	w.refused("GetFunction", object{"FunctionName": "f:1"}, "ResourceNotFoundException", "function:f:1")
	w.call("DeleteFunction", object{"FunctionName": "f"})
	w.refused("DeleteFunction", object{"FunctionName": "f"}, "ResourceNotFoundException", "Function not found")
	if w.values.count() != 0 || len(w.runner.ended) != 1 {
		t.Errorf("%d values were left; ended: %v", w.values.count(), w.runner.ended)
	}
}

func TestWhatCannotBeHadIsRefusedByName(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	base := object{"FunctionName": "f", "Runtime": "nodejs20.x", "Role": role, "Handler": "index.handler", "Code": object{"ZipFile": zipped("index.js", "")}}
	elf := append([]byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00\x01\x00\x00\x00"), make([]byte, 40)...)
	for _, one := range []struct {
		change  object
		message string
	}{
		{object{"Runtime": "go1.x"}, "The runtime parameter of go1.x is no longer supported"},
		{object{"Runtime": "java21"}, "the runtime java21; use provided.al2023"},
		{object{"Runtime": "python3.13"}, "needs python3: install Python 3"},
		{object{"PackageType": "Image", "Code": object{"ImageUri": "a/b:c"}}, "functions from container images"},
		{object{"FileSystemConfigs": []any{object{"Arn": "arn:aws:elasticfilesystem:us-west-2:000000000000:access-point/fsap-0123456789abcdef0", "LocalMountPath": "/mnt/x"}}}, "FileSystemConfigs"},
		{object{"SnapStart": object{"ApplyOn": "PublishedVersions"}}, "SnapStart"},
		{object{"DeadLetterConfig": object{"TargetArn": "arn:aws:sqs:us-west-2:000000000000:q"}}, "SQS and SNS are not served"},
		{object{"Environment": object{"Variables": object{"AWS_REGION": "x", "OK": "y"}}}, "Reserved keys used in this request: AWS_REGION"},
		{object{"Environment": object{"Variables": object{"BIG": strings.Repeat("x", 5000)}}}, "exceeded the 4KB limit"},
		{object{"Code": object{"ZipFile": []byte("no zip")}}, "Could not unzip uploaded file"},
		{object{"Code": object{"ZipFile": zipped("../outside", "x")}}, "Could not unzip uploaded file"},
		{object{"Code": object{"ZipFile": zipped()}}, "non-empty zip"},
		{object{"Code": object{"S3Bucket": "none", "S3Key": "x"}}, "S3 Error Code"},
		{object{"Layers": []any{"arn:aws:lambda:us-west-2:123456789012:layer:x:1"}}, "layers of this account and region"},
		{object{"Runtime": "provided.al2023", "Code": object{"ZipFile": zipped("bootstrap", string(elf))}}, "built for arm64"},
	} {
		in := object{}
		for k, v := range base {
			in[k] = v
		}
		for k, v := range one.change {
			in[k] = v
		}
		w.refused("CreateFunction", in, "InvalidParameterValueException", one.message)
	}
	if n := len(w.call("ListFunctions", object{})["Functions"].([]any)); n != 0 {
		t.Errorf("%d functions were made", n)
	}
}

// invoke sends the request that a client sends.
func (w *world) invoke(name, payload string, header ...string) awstest.Answer {
	w.t.Helper()
	return w.REST("lambda", http.MethodPost, "/2015-03-31/functions/"+name+"/invocations", payload, header...)
}

func TestInvoke(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.create("f", "Environment", object{"Variables": object{"WORD": "x"}})
	r := w.invoke("f", `{"a":1}`, "X-Amz-Log-Type", "Tail", "X-Amz-Client-Context", base64.StdEncoding.EncodeToString([]byte(`{"k":1}`)))
	tail, err := base64.StdEncoding.DecodeString(r.Header.Get("X-Amz-Log-Result"))
	if r.Status != 200 || r.Body != `{"a":1}` || r.Header.Get("X-Amz-Executed-Version") != "$LATEST" || err != nil || !strings.HasPrefix(string(tail), "START RequestId: ") {
		t.Errorf("%+v %q", r, tail)
	}
	in := w.runner.all()[0]
	for name, want := range map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_REGION": awstest.Region, "WORD": "x", "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/f", "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs20.x", "AWS_ENDPOINT_URL": w.URL()} {
		if in.Env[name] != want {
			t.Errorf("%s is %q, want %q", name, in.Env[name], want)
		}
	}
	if in.Session["AWS_SESSION_TOKEN"] != role || in.ClientContext != `{"k":1}` || in.Workload.Timeout != 3*time.Second || in.Workload.Memory != 128 || in.Joins != "" {
		t.Errorf("%+v", in)
	}
	events := w.Call("logs", "FilterLogEvents", object{"logGroupName": "/aws/lambda/f"})["events"].([]any)
	if len(events) != 1 || !strings.HasPrefix(events[0].(object)["message"].(string), "START RequestId: ") {
		t.Errorf("log: %v", events)
	}
	if r := w.invoke("f", ""); r.Body != "{}" {
		t.Errorf("without a payload: %+v", r)
	}
	if r := w.invoke("f", `{}`, "X-Amz-Invocation-Type", "DryRun"); r.Status != 204 || len(w.runner.all()) != 2 {
		t.Errorf("a dry run: %+v", r)
	}
	for _, one := range []struct {
		name, payload, header string
		status                int
		code                  string
	}{
		{"f", "{", "", 400, "InvalidRequestContentException"}, {"none", "{}", "", 404, "ResourceNotFoundException"}, {"f:9", "{}", "", 404, "ResourceNotFoundException"},
		{"f", `"` + strings.Repeat("x", 6291456) + `"`, "", 413, "RequestTooLargeException"}, {"f", `"` + strings.Repeat("x", 1<<20) + `"`, "Event", 413, "RequestTooLargeException"},
	} {
		r := w.invoke(one.name, one.payload, "X-Amz-Invocation-Type", one.header)
		if one.header == "" {
			r = w.invoke(one.name, one.payload)
		}
		if r.Status != one.status || r.Header.Get("X-Amzn-Errortype") != one.code {
			t.Errorf("%s %.20s: %d %s %.200s", one.name, one.payload, r.Status, r.Header.Get("X-Amzn-Errortype"), r.Body)
		}
	}
	w.runner.set(func(cloud.Invocation) (cloud.InvocationResult, error) {
		return cloud.InvocationResult{Failed: true, Payload: []byte(`{"errorType":"E"}`)}, nil
	})
	if r := w.invoke("f", `{}`); r.Status != 200 || r.Header.Get("X-Amz-Function-Error") != "Unhandled" || r.Body != `{"errorType":"E"}` {
		t.Errorf("a failure: %+v", r)
	}
	w.runner.set(func(cloud.Invocation) (cloud.InvocationResult, error) {
		return cloud.InvocationResult{Throttled: cloud.ThrottledByReserved}, nil
	})
	if r := w.invoke("f", `{}`); r.Status != 429 || r.Object()["Reason"] != "ReservedFunctionConcurrentInvocationLimitExceeded" || r.Header.Get("X-Amzn-Errortype") != "TooManyRequestsException" {
		t.Errorf("throttled: %+v", r)
	}
	w.runner.set(func(cloud.Invocation) (cloud.InvocationResult, error) {
		return cloud.InvocationResult{}, problem.New(problem.Unavailable, "region", "it is away")
	})
	if r := w.invoke("f", `{}`); r.Status != 500 || r.Header.Get("X-Amzn-Errortype") != "ServiceException" {
		t.Errorf("without its region: %+v", r)
	}
}

// An alias with weights gives each version its share, and the answer says which one ran.
func TestWeightsOfAnAlias(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.create("f", "Publish", true)
	w.call("UpdateFunctionCode", object{"FunctionName": "f", "ZipFile": zipped("index.js", "2"), "Publish": true})
	w.call("CreateAlias", object{"FunctionName": "f", "Name": "live", "FunctionVersion": "1", "RoutingConfig": object{"AdditionalVersionWeights": object{"2": 0.3}}})
	const n = 400
	second := 0
	for range n {
		switch r := w.invoke("f:live", "{}"); r.Header.Get("X-Amz-Executed-Version") {
		case "2":
			second++
		case "1":
		default:
			t.Fatalf("%+v", r)
		}
	}
	if share := float64(second) / n; math.Abs(share-0.3) > 0.13 { // five standard deviations
		t.Errorf("version 2 had a share of %v", share)
	}
	w.runner.mu.Lock()
	defer w.runner.mu.Unlock()
	for _, in := range w.runner.asked {
		if in.ARN != "arn:aws:lambda:us-west-2:000000000000:function:f:live" || in.Function != "arn:aws:lambda:us-west-2:000000000000:function:f" {
			t.Fatalf("%+v", in)
		}
	}
}

func TestPolicyTagsAndConcurrency(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.create("f")
	arn := "arn:aws:lambda:us-west-2:000000000000:function:f"
	added := w.call("AddPermission", object{"FunctionName": "f", "StatementId": "s3", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com", "SourceArn": "arn:aws:s3:::b", "SourceAccount": "000000000000"})
	want := `{"Action":"lambda:InvokeFunction","Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::b"},"StringEquals":{"AWS:SourceAccount":"000000000000"}},"Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},"Resource":"` + arn + `","Sid":"s3"}`
	if added["Statement"] != want {
		t.Errorf("statement: %v\nwant %s", added["Statement"], want)
	}
	w.refused("AddPermission", object{"FunctionName": "f", "StatementId": "s3", "Action": "lambda:InvokeFunction", "Principal": "*"}, "ResourceConflictException", "The statement id (s3) provided already exists")
	var p struct {
		Version, ID string
		Statement   []object
	}
	if err := json.Unmarshal([]byte(w.call("GetPolicy", object{"FunctionName": "f"})["Policy"].(string)), &p); err != nil || p.Version != "2012-10-17" || len(p.Statement) != 1 {
		t.Errorf("policy: %+v, %v", p, err)
	}
	w.refused("RemovePermission", object{"FunctionName": "f", "StatementId": "x"}, "ResourceNotFoundException", "Statement x is not found")
	w.call("RemovePermission", object{"FunctionName": "f", "StatementId": "s3"})
	w.refused("GetPolicy", object{"FunctionName": "f"}, "ResourceNotFoundException", "does not exist")
	w.call("TagResource", object{"Resource": arn, "Tags": object{"a": "1", "b": "2"}})
	w.call("UntagResource", object{"Resource": arn, "TagKeys": []any{"a"}})
	if tags := w.call("ListTags", object{"Resource": arn})["Tags"]; fmt.Sprint(tags) != "map[b:2]" {
		t.Errorf("tags: %v", tags)
	}
	w.call("PutFunctionConcurrency", object{"FunctionName": "f", "ReservedConcurrentExecutions": 5})
	w.invoke("f", "{}")
	if in := w.runner.all()[0]; in.Reserved == nil || *in.Reserved != 5 {
		t.Errorf("reserved: %v", in.Reserved)
	}
	if limits := w.call("GetAccountSettings", object{})["AccountLimit"].(object); limits["UnreservedConcurrentExecutions"] != limits["ConcurrentExecutions"].(int64)-5 {
		t.Errorf("limits: %v", limits)
	}
	w.refused("PutFunctionConcurrency", object{"FunctionName": "f", "ReservedConcurrentExecutions": 10000}, "InvalidParameterValueException", "below its minimum value")
	w.call("DeleteFunctionConcurrency", object{"FunctionName": "f"})
	if c := w.call("GetFunctionConcurrency", object{"FunctionName": "f"}); len(c) != 0 {
		t.Errorf("concurrency: %v", c)
	}
}

func TestLayers(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	one := w.call("PublishLayerVersion", object{"LayerName": "lib", "Content": object{"ZipFile": zipped("nodejs/node_modules/x/index.js", "")}, "CompatibleRuntimes": []any{"nodejs20.x"}})
	two := w.call("PublishLayerVersion", object{"LayerName": "lib", "Content": object{"ZipFile": zipped("nodejs/x", "2")}})
	if one["Version"] != int64(1) || two["LayerVersionArn"] != "arn:aws:lambda:us-west-2:000000000000:layer:lib:2" {
		t.Errorf("%v, %v", one, two)
	}
	made := w.create("f", "Layers", []any{two["LayerVersionArn"]})
	if list := made["Layers"].([]any); len(list) != 1 || list[0].(object)["Arn"] != two["LayerVersionArn"] {
		t.Errorf("layers of the function: %v", list)
	}
	w.invoke("f", "{}")
	if in := w.runner.all()[0]; len(in.Layers) != 1 {
		t.Errorf("%+v", in)
	}
	w.call("DeleteLayerVersion", object{"LayerName": "lib", "VersionNumber": 2})
	if list := w.call("ListLayerVersions", object{"LayerName": "lib"})["LayerVersions"].([]any); len(list) != 1 || list[0].(object)["Version"] != int64(1) {
		t.Errorf("versions: %v", list)
	}
	if three := w.call("PublishLayerVersion", object{"LayerName": "lib", "Content": object{"ZipFile": zipped("a", "3")}}); three["Version"] != int64(3) {
		t.Errorf("a number was used again: %v", three)
	}
	code, err := w.functions.Code(t.Context())
	if err != nil || len(code) != 2+1+2*2 {
		t.Errorf("%d artifacts are needed, %v", len(code), err)
	}
}

func TestAVersionOfALayerHasAPolicy(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	one := w.call("PublishLayerVersion", object{"LayerName": "lib", "Content": object{"ZipFile": zipped("nodejs/x", "")}})
	if got := w.call("GetLayerVersionByArn", object{"Arn": one["LayerVersionArn"]}); got["Version"] != int64(1) || got["LayerArn"] != one["LayerArn"] {
		t.Errorf("by its ARN it is %v", got)
	}
	which := func(more object) object {
		all := object{"LayerName": "lib", "VersionNumber": 1}
		maps.Copy(all, more)
		return all
	}
	w.call("AddLayerVersionPermission", which(object{"StatementId": "s", "Action": "lambda:GetLayerVersion", "Principal": "*"}))
	if policy := fmt.Sprint(w.call("GetLayerVersionPolicy", which(nil))["Policy"]); !strings.Contains(policy, `"Sid":"s"`) || !strings.Contains(policy, fmt.Sprint(one["LayerVersionArn"])) {
		t.Error(policy)
	}
	w.call("RemoveLayerVersionPermission", which(object{"StatementId": "s"}))
	w.refused("GetLayerVersionPolicy", which(nil), "ResourceNotFoundException", "No policy is associated with the given resource.")
	w.refused("RemoveLayerVersionPermission", which(object{"StatementId": "s"}), "ResourceNotFoundException", "Statement s is not found in resource policy.")
	w.refused("GetLayerVersionByArn", object{"Arn": fmt.Sprint(one["LayerArn"], ":7")}, "ResourceNotFoundException", "The resource you requested does not exist.")
}

func TestListsArePaged(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	for n := range 5 {
		w.create(fmt.Sprint("f", n))
	}
	var names []string
	marker := any(nil)
	for {
		in := object{"MaxItems": 2}
		if marker != nil {
			in["Marker"] = marker
		}
		out := w.call("ListFunctions", in)
		for _, f := range out["Functions"].([]any) {
			names = append(names, f.(object)["FunctionName"].(string))
		}
		if marker = out["NextMarker"]; marker == nil {
			break
		}
	}
	if strings.Join(names, " ") != "f0 f1 f2 f3 f4" {
		t.Errorf("%v", names)
	}
}

// A link to code may be fetched by whoever has it, and no other code may.
func TestLinksToCode(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	raw := zipped("index.js", "linked")
	w.create("f", "Code", object{"ZipFile": raw})
	link := w.call("GetFunction", object{"FunctionName": "f"})["Code"].(object)["Location"].(string)
	get := func(url string) awstest.Answer {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		return w.Do(r)
	}
	if r := get(link); r.Status != 200 || r.Body != string(raw) {
		t.Errorf("%d, %d bytes", r.Status, len(r.Body))
	}
	if r := get(strings.Replace(link, "sha256:", "sha256:0", 1)); r.Status != 403 {
		t.Errorf("a link that was changed: %d", r.Status)
	}
	w.later.Store(int64(time.Hour))
	if r := get(link); r.Status != 403 {
		t.Errorf("an old link: %d", r.Status)
	}
}
