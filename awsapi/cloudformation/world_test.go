package cloudformation_test

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"showrunner/awsapi"
	"showrunner/awsapi/autoscaling"
	"showrunner/awsapi/awstest"
	"showrunner/awsapi/cloudformation"
	"showrunner/awsapi/cloudwatch"
	"showrunner/awsapi/ec2"
	"showrunner/awsapi/elbv2"
	"showrunner/awsapi/iam"
	"showrunner/awsapi/kinesis"
	"showrunner/awsapi/lambda"
	"showrunner/awsapi/logs"
	"showrunner/awsapi/secretsmanager"
	"showrunner/awsapi/signature"
	"showrunner/awsapi/ssm"
	"showrunner/awsapi/wire"
	"showrunner/secret"
	"showrunner/store/record"
	"showrunner/store/record/recordtest"
)

type object = map[string]any

const region = "us-west-2"

// world is a control plane's endpoint over records that outlive it.
type world struct {
	t       *testing.T
	records *recordtest.Records
	key     string
	objects *objects
	fleet   *awstest.Fleet // nil: no instances
	maker   *maker         // nil: no functions
	server  *awsapi.Server
	stacks  *cloudformation.Stacks
	several bool         // control planes may have the same records
	later   atomic.Int64 // how much later it is, in nanoseconds
	stop    func()
	dead    *mortal
}

func newWorld(t *testing.T) *world { return newWorldOf(t, false) }

// newWorldOf is newWorld with EC2 and Auto Scaling, if they are wanted.
func newWorldOf(t *testing.T, instances bool) *world {
	t.Helper()
	w := &world{t: t, records: &recordtest.Records{}, key: filepath.Join(t.TempDir(), "key"), objects: &objects{buckets: map[string]map[string]string{}}}
	if instances {
		w.fleet = awstest.NewFleet(t, w.records, time.Now)
	}
	w.start(-1)
	t.Cleanup(func() { w.stop() })
	return w
}

type values struct{ *secret.Store }

func (v values) Set(ctx context.Context, name string, value []byte) error {
	return v.Store.Set(ctx, name, value)
}
func (v values) Delete(ctx context.Context, name string) error { return v.Store.Delete(ctx, name) }

// inside leads the services to each other.
type inside struct{ *awsapi.Server }

// start is a control plane that dies with its so-many-eth write; -1: never.
func (w *world) start(writes int) {
	w.t.Helper()
	w.dead = &mortal{Records: w.records, left: writes, died: make(chan struct{})}
	secrets := values{secret.New(w.dead, secret.Options{KeyFile: w.key})}
	keys, err := awsapi.NewKeys("AKIATEST", "secret")
	if err != nil {
		w.t.Fatal(err)
	}
	in := &inside{}
	log := slog.New(slog.DiscardHandler)
	failed := func(context.Context, string, string) (string, bool, error) { return "", false, nil }
	stacks := cloudformation.New(cloudformation.Config{Endpoint: func() string { return "http://127.0.0.1:4566" }, Failed: func(ctx context.Context, region, token string) (string, bool, error) {
		return failed(ctx, region, token)
	}, Records: w.dead, Values: secrets, Services: in, Alone: !w.several, AnswerWithin: 20 * time.Millisecond, SettleEvery: 5 * time.Millisecond, Now: func() time.Time { return time.Now().Add(time.Duration(w.later.Load())) }, Log: log,
		Zones: func(_ context.Context, region string) ([]string, error) {
			return []string{region + "a", region + "b"}, nil
		},
		Website: func(bucket string) string { return "http://" + bucket + ".localhost" }})
	services := []wire.Service{
		iam.Service(w.dead, secrets, time.Now), ssm.Service(w.dead, secrets, time.Now), secretsmanager.New(w.dead, secrets, nil, time.Now).Service(),
		kinesis.New(w.dead, kinesis.Events{}, time.Now).Service(), stacks.Service(), cloudwatch.New(w.dead, nil, nil, time.Now).Service(),
	}
	logged := logs.New(w.dead, time.Now)
	logged.Services, logged.Account = in, awsapi.Account
	services = append(services, logged.Service())
	if w.fleet != nil {
		groups := w.fleet.Control(w.t, w.records, time.Now)
		instances := ec2.New(ec2.Config{Records: w.dead, Groups: groups, Artifacts: w.fleet.Artifacts, Sample: []string{"showrunner", "sample-service"}, Regions: []string{region}, Account: awsapi.Account, Log: log, Now: time.Now})
		scaling := autoscaling.New(autoscaling.Config{Records: w.dead, Groups: groups, EC2: instances, Regions: []string{region}, Account: awsapi.Account, Log: log, Now: time.Now})
		instances.Use(scaling)
		balancing := elbv2.New(elbv2.Config{Records: w.dead, Groups: groups, EC2: instances, Attached: []elbv2.Attached{scaling.Clusters}, Regions: []string{region}, Account: awsapi.Account, Edge: "127.0.0.1:8080", Log: log, Now: time.Now})
		scaling.Use(balancing)
		services = append(services, instances.Service(), scaling.Service(), balancing.Service())
	}
	run := func(context.Context) {}
	if w.maker != nil {
		functions := lambda.New(lambda.Config{Records: w.dead, Values: secrets, Functions: w.maker, Services: in, Artifacts: w.maker.artifacts, Logs: nothingLogged{}, Regions: []string{region}, Account: awsapi.Account, Alone: true, Log: log, Now: time.Now,
			Session:  func(string, string, time.Time) (signature.Credentials, error) { return signature.Credentials{}, nil },
			Endpoint: func() string { return "http://127.0.0.1:4566" }})
		services = append(services, functions.Service())
		failed = functions.Failed
		run = func(ctx context.Context) { functions.Run(ctx, 10*time.Millisecond) }
		w.maker.stacks.Store(stacks)
	}
	in.Server, err = awsapi.New(awsapi.Config{Keys: keys, Regions: []string{region}, S3: mortalObjects{w.objects, w.dead}, Log: log, Now: time.Now, Services: services})
	if err != nil {
		w.t.Fatal(err)
	}
	w.server, w.stacks = in.Server, stacks
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() { stacks.Run(ctx) })
	ended.Go(func() { run(ctx) })
	w.stop = func() { cancel(); ended.Wait() }
}

// mortal are records of a process that dies: from its last write on nothing
// reaches them any more, and nothing is answered.
type mortal struct {
	*recordtest.Records
	mu   sync.Mutex
	left int
	died chan struct{}
	// deletes is called before a record is removed.
	deletes func(collection string)
}

var errDead = errors.New("the process is dead")

func (m *mortal) write() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left == 0 {
		return errDead
	}
	if m.left > 0 {
		if m.left--; m.left == 0 {
			close(m.died)
			return errDead
		}
	}
	return nil
}

func (m *mortal) alive() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left == 0 {
		return errDead
	}
	return nil
}

func (m *mortal) GetRecord(ctx context.Context, collection, key string) (record.Record, error) {
	if err := m.alive(); err != nil {
		return record.Record{}, err
	}
	return m.Records.GetRecord(ctx, collection, key)
}

func (m *mortal) ListRecords(ctx context.Context, collection, prefix, after string, limit int) ([]record.Record, error) {
	if err := m.alive(); err != nil {
		return nil, err
	}
	return m.Records.ListRecords(ctx, collection, prefix, after, limit)
}

func (m *mortal) PutRecord(ctx context.Context, r record.Record, events ...record.Event) (record.Record, error) {
	if err := m.write(); err != nil {
		return r, err
	}
	return m.Records.PutRecord(ctx, r, events...)
}

func (m *mortal) DeleteRecord(ctx context.Context, collection, key string, version int64, events ...record.Event) error {
	if err := m.write(); err != nil {
		return err
	}
	m.mu.Lock()
	hook := m.deletes
	m.mu.Unlock()
	if hook != nil {
		hook(collection)
	}
	return m.Records.DeleteRecord(ctx, collection, key, version, events...)
}

// try calls an operation of CloudFormation, or of another service as service.Operation.
func (w *world) try(operation string, in object) (object, error) {
	w.t.Helper()
	service := "cloudformation"
	if before, after, ok := strings.Cut(operation, "."); ok {
		service, operation = before, after
	}
	return w.server.Call(w.t.Context(), wire.Call{Region: region, Caller: "arn:aws:iam::000000000000:root"}, service, operation, in)
}

func (w *world) call(operation string, in object) object {
	w.t.Helper()
	out, err := w.try(operation, in)
	if err != nil {
		w.t.Fatalf("%s(%v): %v", operation, in, err)
	}
	return out
}

// refused checks that an operation is refused with a code and a message that
// begins like that.
func (w *world) refused(operation string, in object, code, message string) {
	w.t.Helper()
	_, err := w.try(operation, in)
	var e *wire.Error
	if !errors.As(err, &e) || e.Code != code || !strings.HasPrefix(e.Message, message) {
		w.t.Errorf("%s(%v) is refused with %v\nwant %s: %s", operation, in, err, code, message)
	}
}

// stack is a stack once nothing changes it any more.
func (w *world) stack(id string) object {
	w.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		list := w.call("DescribeStacks", object{"StackName": id})["Stacks"].([]any)
		one := list[0].(object)
		if status := one["StackStatus"].(string); !strings.HasSuffix(status, "_IN_PROGRESS") || status == "REVIEW_IN_PROGRESS" {
			return one
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("the stack stays %v: %v", one["StackStatus"], w.events(id))
		}
	}
}

// is waits for a stack's end and checks its status.
func (w *world) is(id, status string) object {
	w.t.Helper()
	one := w.stack(id)
	if one["StackStatus"] != status {
		w.t.Fatalf("the stack is %v (%v), want %s:\n%s", one["StackStatus"], one["StackStatusReason"], status, strings.Join(w.events(id), "\n"))
	}
	return one
}

// events are a stack's, the oldest first, as LOGICAL STATUS REASON.
func (w *world) events(id string) []string {
	w.t.Helper()
	var out []string
	next := ""
	for {
		in := object{"StackName": id}
		if next != "" {
			in["NextToken"] = next
		}
		page := w.call("DescribeStackEvents", in)
		for _, e := range page["StackEvents"].([]any) {
			m := e.(object)
			text := fmt.Sprint(m["LogicalResourceId"], " ", m["ResourceStatus"])
			if reason, ok := m["ResourceStatusReason"].(string); ok {
				text += " " + strings.TrimSpace(reason)
			}
			out = append(out, text)
		}
		if next, _ = page["NextToken"].(string); next == "" {
			slices.Reverse(out)
			return out
		}
	}
}

// outputs are a stack's.
func outputs(stack object) map[string]string {
	out := map[string]string{}
	list, _ := stack["Outputs"].([]any)
	for _, o := range list {
		m := o.(object)
		out[m["OutputKey"].(string)] = m["OutputValue"].(string)
	}
	return out
}

// resources are a stack's, LOGICAL → STATUS.
func (w *world) resources(id string) map[string]string {
	w.t.Helper()
	out := map[string]string{}
	for _, r := range w.call("DescribeStackResources", object{"StackName": id})["StackResources"].([]any) {
		m := r.(object)
		out[m["LogicalResourceId"].(string)] = m["ResourceStatus"].(string)
	}
	return out
}

func (w *world) physical(id, logical string) string {
	w.t.Helper()
	d := w.call("DescribeStackResource", object{"StackName": id, "LogicalResourceId": logical})
	return d["StackResourceDetail"].(object)["PhysicalResourceId"].(string)
}

// objects is an object storage that keeps what it is told of buckets.
type objects struct {
	mu      sync.Mutex
	buckets map[string]map[string]string // bucket → configuration → document
	made    []string
}

// mortalObjects are not reached from a dead process.
type mortalObjects struct {
	*objects
	dead *mortal
}

func (o mortalObjects) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if o.dead.alive() != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	o.objects.ServeHTTP(w, r)
}

func (o *objects) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	fail := func(status int, code string) {
		w.WriteHeader(status)
		_ = xml.NewEncoder(w).Encode(struct {
			XMLName xml.Name `xml:"Error"`
			Code    string
		}{Code: code})
	}
	bucket, there := o.buckets[name]
	body, _ := io.ReadAll(r.Body)
	part := r.URL.RawQuery
	if key != "" {
		part = "key/" + key
	}
	switch {
	case r.Method == http.MethodPut && part == "" && !there:
		o.buckets[name] = map[string]string{}
		o.made = append(o.made, name)
	case r.Method == http.MethodPut && part == "":
		fail(http.StatusConflict, "BucketAlreadyOwnedByYou")
	case !there:
		fail(http.StatusNotFound, "NoSuchBucket")
	case r.Method == http.MethodPut:
		bucket[part] = string(body)
	case r.Method == http.MethodDelete && part == "":
		for k := range bucket {
			if strings.HasPrefix(k, "key/") {
				fail(http.StatusConflict, "BucketNotEmpty")
				return
			}
		}
		delete(o.buckets, name)
	case r.Method == http.MethodDelete:
		delete(bucket, part)
	case part != "" && bucket[part] == "":
		fail(http.StatusNotFound, "NoSuchBucketPolicy")
	default:
		_, _ = io.WriteString(w, bucket[part])
	}
}
