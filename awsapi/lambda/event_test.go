package lambda_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"showrunner/awsapi/awstest"
	"showrunner/cloud"
	"showrunner/problem"
)

// waitFor waits until is true; the runner tells of each request that it has carried out.
func (w *world) waitFor(what string, is func() bool) {
	w.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for !is() {
		select {
		case <-w.runner.told:
		case <-tick.C:
		case <-limit.C:
			w.t.Fatalf("it did not happen: %s", what)
		}
	}
}

// left is how many events wait.
func (w *world) left() int {
	w.t.Helper()
	list, err := w.records.ListRecords(w.t.Context(), "aws.lambda.events", "", "", 100)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list)
}

func (w *world) event(name, payload string) {
	w.t.Helper()
	if r := w.invoke(name, payload, "X-Amz-Invocation-Type", "Event"); r.Status != 202 || r.Body != "" {
		w.t.Fatalf("%+v", r)
	}
}

func failing(cloud.Invocation) (cloud.InvocationResult, error) {
	return cloud.InvocationResult{Failed: true, Payload: []byte(`{"errorType":"E","errorMessage":"no"}`)}, nil
}

// A request that was accepted is carried out by the next process when the first one dies
// while it runs, and it is the same request for the region.
func TestAcceptedRequestsAreNotLost(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.create("f")
	entered, dead := make(chan struct{}), make(chan struct{})
	w.runner.set(func(cloud.Invocation) (cloud.InvocationResult, error) {
		close(entered)
		<-dead
		return cloud.InvocationResult{}, problem.New(problem.Unavailable, "test", "the process died")
	})
	w.event("f", `{"n":1}`)
	ctx, kill := context.WithCancel(t.Context())
	var first sync.WaitGroup
	first.Go(func() { w.functions.Run(ctx, time.Hour) })
	<-entered
	kill() // nothing that comes after this is written
	close(dead)
	first.Wait()
	began := w.runner.all()[0]
	next := open(t, w)
	next.run()
	next.waitFor("the request is carried out", func() bool { return next.left() == 0 })
	again := next.runner.all()
	if len(again) != 1 || again[0].Joins != began.Joins || again[0].ID != began.ID || string(again[0].Payload) != `{"n":1}` || began.Joins == "" {
		t.Errorf("it was %+v, and then %+v", began, again)
	}
}

// A function that fails is asked three times, with pauses; then its destination is told.
func TestFailuresAreTriedAgain(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.create("f")
	w.create("dest")
	w.call("PutFunctionEventInvokeConfig", object{"FunctionName": "f", "DestinationConfig": object{"OnFailure": object{"Destination": "arn:aws:lambda:us-west-2:000000000000:function:dest"}}})
	w.refused("PutFunctionEventInvokeConfig", object{"FunctionName": "f", "DestinationConfig": object{"OnFailure": object{"Destination": "arn:aws:sqs:us-west-2:000000000000:q"}}}, "InvalidParameterValueException", "SQS, SNS, EventBridge and S3 are not served")
	w.runner.set(func(in cloud.Invocation) (cloud.InvocationResult, error) {
		if strings.HasSuffix(in.Function, ":dest") {
			return cloud.InvocationResult{Payload: []byte("null")}, nil
		}
		return failing(in)
	})
	w.run()
	w.event("f", `{"n":1}`)
	asked := func(name string) (list []cloud.Invocation) {
		for _, in := range w.runner.all() {
			if strings.HasSuffix(in.Function, ":"+name) {
				list = append(list, in)
			}
		}
		return list
	}
	failed := func(tries int) bool { // and it is recorded when the next one is due
		list, err := w.records.ListRecords(t.Context(), "aws.lambda.events", "", "", 1)
		return err == nil && len(list) == 1 && strings.Contains(string(list[0].Data), fmt.Sprintf(`"tries":%d,`, tries)) && !strings.Contains(string(list[0].Data), `"by"`)
	}
	w.waitFor("the first try", func() bool { return failed(1) })
	for n, pause := range []time.Duration{time.Minute, 2 * time.Minute} {
		w.later.Add(int64(pause - time.Second))
		if len(asked("f")) != n+1 {
			t.Errorf("it was tried again too early")
		}
		w.later.Add(int64(2 * time.Second))
		w.waitFor(fmt.Sprint("try ", n+2), func() bool { return len(asked("f")) == n+2 && (n == 1 || failed(n+2)) })
	}
	w.waitFor("the destination is told", func() bool { return len(asked("dest")) == 1 && w.left() == 0 })
	tries, joins := asked("f"), map[string]bool{}
	for _, in := range tries {
		joins[in.Joins] = true
		if in.ID != tries[0].ID {
			t.Error("a try has another identifier")
		}
	}
	if len(tries) != 3 || len(joins) != 3 {
		t.Errorf("%d tries with %d names", len(tries), len(joins))
	}
	var told struct {
		RequestContext struct {
			Condition, FunctionArn string
			ApproximateInvokeCount int
		}
		RequestPayload, ResponsePayload object
		ResponseContext                 object
	}
	if err := json.Unmarshal(asked("dest")[0].Payload, &told); err != nil || told.RequestContext.Condition != "RetriesExhausted" || told.RequestContext.ApproximateInvokeCount != 3 ||
		told.RequestPayload["n"] != 1.0 || told.ResponsePayload["errorType"] != "E" || told.ResponseContext["functionError"] != "Unhandled" {
		t.Errorf("%v: %s", err, asked("dest")[0].Payload)
	}
}

// What could not run is tried until it can, and does not count as a try.
func TestThrottledEventsWait(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.create("f")
	w.runner.set(func(cloud.Invocation) (cloud.InvocationResult, error) {
		return cloud.InvocationResult{Throttled: cloud.ThrottledByReserved}, nil
	})
	w.run()
	w.event("f", `{}`)
	for n := range 5 {
		w.waitFor("it is asked again", func() bool { return len(w.runner.all()) > n })
		w.later.Add(int64(time.Minute))
	}
	w.runner.set(nil)
	w.later.Add(int64(time.Minute))
	w.waitFor("it is carried out", func() bool { return w.left() == 0 && len(w.runner.all()) == 1 })
}

// Events of a function that is deleted, or made anew, are not given to another one.
func TestEventsOfADeletedFunctionAreForgotten(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.create("f")
	w.event("f", `{"old":1}`)
	w.call("DeleteFunction", object{"FunctionName": "f"})
	w.create("f")
	w.run()
	w.waitFor("it is forgotten", func() bool { return w.left() == 0 })
	if n := len(w.runner.all()); n != 0 {
		t.Errorf("the new function was asked %d times", n)
	}
}

func TestSettingsOfEvents(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.create("f")
	w.refused("GetFunctionEventInvokeConfig", object{"FunctionName": "f"}, "ResourceNotFoundException", "The function arn:aws:lambda:us-west-2:000000000000:function:f:$LATEST doesn't have an EventInvokeConfig")
	w.call("PutFunctionEventInvokeConfig", object{"FunctionName": "f", "MaximumRetryAttempts": 0})
	got := w.call("UpdateFunctionEventInvokeConfig", object{"FunctionName": "f", "MaximumEventAgeInSeconds": 100})
	if got["MaximumRetryAttempts"] != int64(0) || got["MaximumEventAgeInSeconds"] != int64(100) {
		t.Errorf("%v", got)
	}
	w.runner.set(failing)
	w.run()
	w.event("f", `{}`)
	w.waitFor("it is given up after one try", func() bool { return w.left() == 0 })
	if n := len(w.runner.all()); n != 1 {
		t.Errorf("%d tries", n)
	}
	if list := w.call("ListFunctionEventInvokeConfigs", object{"FunctionName": "f"})["FunctionEventInvokeConfigs"].([]any); len(list) != 1 {
		t.Errorf("%v", list)
	}
	w.call("DeleteFunctionEventInvokeConfig", object{"FunctionName": "f"})
	w.refused("DeleteFunctionEventInvokeConfig", object{"FunctionName": "f"}, "ResourceNotFoundException", "doesn't have an EventInvokeConfig")
}

// stream makes a stream and a mapping of it.
func (w *world) stream(shards int, more ...any) (uuid string) {
	w.t.Helper()
	w.Call("kinesis", "CreateStream", object{"StreamName": "s", "ShardCount": shards})
	in := object{"FunctionName": "f", "EventSourceArn": "arn:aws:kinesis:" + awstest.Region + ":000000000000:stream/s", "StartingPosition": "TRIM_HORIZON"}
	for i := 0; i+1 < len(more); i += 2 {
		in[more[i].(string)] = more[i+1]
	}
	out := w.call("CreateEventSourceMapping", in)
	if out["State"] != "Creating" {
		w.t.Errorf("mapping: %v", out)
	}
	return out["UUID"].(string)
}

func (w *world) put(key, data string) {
	w.t.Helper()
	w.Call("kinesis", "PutRecord", object{"StreamName": "s", "PartitionKey": key, "Data": []byte(data)})
}

// batch is what a function is given.
type batch struct {
	Records []struct {
		Kinesis struct {
			PartitionKey, SequenceNumber string
			Data                         []byte
		}
		EventID, EventSourceARN, InvokeIdentityArn string
	}
}

func batchOf(in cloud.Invocation) (b batch, text string) {
	_ = json.Unmarshal(in.Payload, &b) // an empty one is noticed
	for _, r := range b.Records {
		text += string(r.Kinesis.Data) + " "
	}
	return b, strings.TrimSpace(text)
}

func TestStreamsFeedFunctions(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.create("f")
	var mu sync.Mutex
	got := map[string][]string{} // by key
	w.runner.set(func(in cloud.Invocation) (cloud.InvocationResult, error) {
		mu.Lock()
		defer mu.Unlock()
		b, _ := batchOf(in)
		for _, r := range b.Records {
			key, data := r.Kinesis.PartitionKey, string(r.Kinesis.Data)
			if !slices.Contains(got[key], data) { // a batch whose place was not kept before the stop comes again
				got[key] = append(got[key], data)
			}
			if !strings.HasPrefix(r.EventID, "shardId-00000000000") || r.InvokeIdentityArn != role {
				t.Errorf("%+v", r)
			}
		}
		return cloud.InvocationResult{Payload: []byte("null")}, nil
	})
	uuid := w.stream(3, "BatchSize", 7)
	stop := w.run()
	count := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, list := range got {
			n += len(list)
		}
		return n
	}
	for n := range 40 {
		w.put(fmt.Sprint("k", n%5), fmt.Sprint(n))
	}
	w.waitFor("all records are carried out", func() bool { return count() == 40 })
	w.waitFor("the result is kept", func() bool {
		return w.call("GetEventSourceMapping", object{"UUID": uuid})["LastProcessingResult"] == "OK"
	})
	w.refused("CreateEventSourceMapping", object{"FunctionName": "f", "EventSourceArn": "arn:aws:kinesis:us-west-2:000000000000:stream/s", "StartingPosition": "LATEST"}, "ResourceConflictException", "already exists")
	stop() // the next process goes on behind what was carried out
	next := open(t, w)
	next.runner.set(w.runner.answer)
	next.run()
	for n := 40; n < 60; n++ {
		next.put(fmt.Sprint("k", n%5), fmt.Sprint(n))
	}
	next.waitFor("the others are carried out", func() bool { return count() == 60 })
	for key, list := range got {
		for i := range list {
			if want := fmt.Sprint(i*5 + int(key[1]-'0')); list[i] != want {
				t.Fatalf("the records of %s came as %v", key, list)
			}
		}
	}
	if state := next.call("UpdateEventSourceMapping", object{"UUID": uuid, "Enabled": false})["State"]; state != "Updating" {
		t.Errorf("state: %v", state)
	}
	if got := next.call("GetEventSourceMapping", object{"UUID": uuid}); got["State"] != "Disabled" || got["BatchSize"] != int64(7) {
		t.Errorf("%v", got)
	}
	if state := next.call("DeleteEventSourceMapping", object{"UUID": uuid})["State"]; state != "Deleting" {
		t.Errorf("state: %v", state)
	}
	next.refused("GetEventSourceMapping", object{"UUID": uuid}, "ResourceNotFoundException", "does not exist")
}

// A batch that fails holds its shard up, is divided, and the one record that cannot be
// carried out is given up.
func TestABadRecordIsFoundAndGivenUp(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.create("f")
	var mu sync.Mutex
	var good []string
	w.runner.set(func(in cloud.Invocation) (cloud.InvocationResult, error) {
		mu.Lock()
		defer mu.Unlock()
		_, text := batchOf(in)
		if strings.Contains(text, "bad") {
			return failing(in)
		}
		good = append(good, strings.Fields(text)...)
		return cloud.InvocationResult{Payload: []byte("{}")}, nil
	})
	w.Call("kinesis", "CreateStream", object{"StreamName": "s", "ShardCount": 1})
	for _, data := range []string{"1", "2", "bad", "3", "4"} {
		w.put("k", data)
	}
	w.call("CreateEventSourceMapping", object{"FunctionName": "f", "EventSourceArn": "arn:aws:kinesis:us-west-2:000000000000:stream/s", "StartingPosition": "TRIM_HORIZON",
		"BisectBatchOnFunctionError": true, "MaximumRetryAttempts": 0})
	w.run()
	w.waitFor("the good ones are carried out", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(good, " ") == "1 2 3 4"
	})
}

// A function may say which records it could not carry out: those before it are done.
func TestPartialFailures(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.create("f")
	var mu sync.Mutex
	var seen []string
	w.runner.set(func(in cloud.Invocation) (cloud.InvocationResult, error) {
		mu.Lock()
		defer mu.Unlock()
		b, text := batchOf(in)
		seen = append(seen, text)
		if len(seen) == 1 {
			return cloud.InvocationResult{Payload: []byte(`{"batchItemFailures":[{"itemIdentifier":"` + b.Records[2].Kinesis.SequenceNumber + `"}]}`)}, nil
		}
		return cloud.InvocationResult{Payload: []byte(`{"batchItemFailures":[]}`)}, nil
	})
	w.Call("kinesis", "CreateStream", object{"StreamName": "s", "ShardCount": 1})
	for n := range 5 {
		w.put("k", fmt.Sprint(n))
	}
	w.call("CreateEventSourceMapping", object{"FunctionName": "f", "EventSourceArn": "arn:aws:kinesis:us-west-2:000000000000:stream/s", "StartingPosition": "TRIM_HORIZON", "FunctionResponseTypes": []any{"ReportBatchItemFailures"}})
	w.run()
	w.waitFor("the rest comes again", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(seen, ", ") == "0 1 2 3 4, 2 3 4"
	})
}

func TestMappingsThatCannotBeHad(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.create("f")
	w.Call("kinesis", "CreateStream", object{"StreamName": "s", "ShardCount": 1})
	for _, one := range []struct {
		change  object
		message string
	}{
		{object{"EventSourceArn": "arn:aws:sqs:us-west-2:000000000000:q"}, "SQS, DynamoDB and the others are not served"},
		{object{"EventSourceArn": "arn:aws:kinesis:us-west-2:000000000000:stream/none"}, "Stream not found"},
		{object{"FilterCriteria": object{"Filters": []any{object{"Pattern": "{}"}}}}, "FilterCriteria"},
		{object{"ParallelizationFactor": 2}, "ParallelizationFactor"},
		{object{"TumblingWindowInSeconds": 5}, "tumbling windows"},
		{object{"DestinationConfig": object{"OnFailure": object{"Destination": "arn:aws:sqs:us-west-2:000000000000:q"}}}, "a destination for failed batches"},
	} {
		in := object{"FunctionName": "f", "EventSourceArn": "arn:aws:kinesis:us-west-2:000000000000:stream/s", "StartingPosition": "LATEST"}
		for k, v := range one.change {
			in[k] = v
		}
		w.refused("CreateEventSourceMapping", in, "InvalidParameterValueException", one.message)
	}
}
