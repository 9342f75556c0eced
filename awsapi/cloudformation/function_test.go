package cloudformation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"showrunner/artifact"
	"showrunner/awsapi/cloudformation"
	"showrunner/awsapi/logs"
	"showrunner/cloud"
)

// maker is a region whose functions make words for custom resources. It outlives the
// control planes, and so does what it has made.
type maker struct {
	artifacts *artifact.Store
	stacks    atomic.Pointer[cloudformation.Stacks]

	mu    sync.Mutex
	words map[string]int // that are there, by how often they were made
	asked []string
	seen  map[string]bool // requests that were carried out: an event may come twice, also late
	work  sync.WaitGroup
}

func (m *maker) Runtimes(_ context.Context, _, name string) ([]cloud.Runtime, error) {
	return []cloud.Runtime{{Name: name}}, nil
}

func (m *maker) End(context.Context, string, string) error { return nil }

// Invoke makes, changes or deletes a word, and answers later, until somebody takes it.
func (m *maker) Invoke(_ context.Context, _ string, in cloud.Invocation, _ func(cloud.LogLines)) (cloud.InvocationResult, error) {
	var event struct {
		RequestType, ResponseURL, StackID, RequestID, LogicalResourceID, PhysicalResourceID, ResourceType string
		ResourceProperties, OldResourceProperties                                                         map[string]any
	}
	if err := json.Unmarshal(in.Payload, &event); err != nil {
		return cloud.InvocationResult{}, err
	}
	word, _ := event.ResourceProperties["Word"].(string)
	m.mu.Lock()
	m.asked = append(m.asked, event.RequestType+" "+word)
	m.mu.Unlock()
	if word == "crash" {
		return cloud.InvocationResult{Failed: true, Payload: []byte(`{"errorType":"Runtime.ImportModuleError","errorMessage":"no such module"}`)}, nil
	}
	answer := object{"Status": "SUCCESS", "StackId": event.StackID, "RequestId": event.RequestID, "LogicalResourceId": event.LogicalResourceID, "PhysicalResourceId": "word-" + word, "Data": object{"Loud": strings.ToUpper(word), "Number": 1}}
	m.mu.Lock()
	again := m.seen[event.RequestID]
	m.seen[event.RequestID] = true
	switch {
	case again && word != "bad": // as functions of custom resources have to be: what was done is done
		if event.RequestType == "Delete" {
			answer["PhysicalResourceId"] = event.PhysicalResourceID
		}
	case word == "bad":
		answer["Status"], answer["Reason"] = "FAILED", "a bad word"
		answer["PhysicalResourceId"] = "word-bad"
	case event.RequestType == "Delete":
		delete(m.words, event.PhysicalResourceID)
		answer["PhysicalResourceId"] = event.PhysicalResourceID
	default:
		m.words["word-"+word] = 1
	}
	m.mu.Unlock()
	body, err := json.Marshal(answer)
	if err != nil {
		return cloud.InvocationResult{}, err
	}
	m.work.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for range 5000 {
			r := httptest.NewRequest(http.MethodPut, event.ResponseURL, strings.NewReader(string(body)))
			if h := m.stacks.Load().Open(r); h != nil {
				w := httptest.NewRecorder()
				if h.ServeHTTP(w, r); w.Code == http.StatusOK {
					return
				}
			}
			<-tick.C
		}
	})
	return cloud.InvocationResult{Payload: []byte("null")}, nil
}

// nothingLogged keeps no lines.
type nothingLogged struct{}

func (nothingLogged) Append(context.Context, string, string, string, []logs.Line) error { return nil }

func newWorldOfFunctions(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.stop()
	store, err := artifact.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.maker = &maker{artifacts: store, words: map[string]int{}, seen: map[string]bool{}}
	t.Cleanup(w.maker.work.Wait)
	w.start(-1)
	return w
}

const functionTemplate = `
Parameters: {Word: {Type: String}, Memory: {Type: String, Default: "128"}}
Resources:
  Role: {Type: "AWS::IAM::Role", Properties: {AssumeRolePolicyDocument: {Statement: []}}}
  Stream: {Type: "AWS::Kinesis::Stream", Properties: {ShardCount: 1, StreamEncryption: {EncryptionType: KMS, KeyId: alias/aws/kinesis}}}
  Function: {Type: "AWS::Lambda::Function", Properties: {Runtime: nodejs20.x, Handler: index.handler, Role: !GetAtt Role.Arn, Code: {ZipFile: "exports.handler = async () => 1;"}, MemorySize: !Ref Memory, ReservedConcurrentExecutions: 5, Environment: {Variables: {WORD: !Ref Word}}}}
  Version: {Type: "AWS::Lambda::Version", Properties: {FunctionName: !Ref Function, Description: !Ref Word}}
  Alias: {Type: "AWS::Lambda::Alias", Properties: {FunctionName: !Ref Function, FunctionVersion: !GetAtt Version.Version, Name: live}}
  Url: {Type: "AWS::Lambda::Url", Properties: {TargetFunctionArn: !Ref Alias, AuthType: NONE}}
  Permission: {Type: "AWS::Lambda::Permission", Properties: {FunctionName: !Ref Function, Action: "lambda:InvokeFunction", Principal: s3.amazonaws.com}}
  Fed: {Type: "AWS::Lambda::EventSourceMapping", Properties: {FunctionName: !Ref Alias, EventSourceArn: !GetAtt Stream.Arn, StartingPosition: LATEST, Enabled: false, BatchSize: 5}}
  Made: {Type: "Custom::Word", Properties: {ServiceToken: !GetAtt Function.Arn, Word: !Ref Word, Deep: {Number: 5, Flag: true}}}
Outputs:
  Loud: {Value: !GetAtt Made.Loud}
  Url: {Value: !GetAtt Url.FunctionUrl}
`

func functionInput(word, memory string) object {
	one := func(key, value string) object { return object{"ParameterKey": key, "ParameterValue": value} }
	return object{"StackName": "s", "TemplateBody": functionTemplate, "Capabilities": []any{"CAPABILITY_IAM"},
		"Parameters": []any{one("Word", word), one("Memory", memory)}}
}

// functionCensus is everything there is of functions, and what they have made.
func functionCensus(w *world) map[string]string {
	w.t.Helper()
	out := map[string]string{}
	for _, f := range w.call("lambda.ListFunctions", object{})["Functions"].([]any) {
		name := f.(object)["FunctionName"].(string)
		versions := w.call("lambda.ListVersionsByFunction", object{"FunctionName": name})["Versions"].([]any)
		for _, v := range versions {
			out["versions"] += fmt.Sprint("+", v.(object)["Version"], " ", v.(object)["MemorySize"], v.(object)["Environment"])
		}
		for _, a := range w.call("lambda.ListAliases", object{"FunctionName": name})["Aliases"].([]any) {
			out["aliases"] += fmt.Sprint("+", a.(object)["Name"], a.(object)["FunctionVersion"])
		}
		urls := w.call("lambda.ListFunctionUrlConfigs", object{"FunctionName": name})["FunctionUrlConfigs"].([]any)
		out["urls"] += fmt.Sprint("+", len(urls))
		out["concurrency"] += fmt.Sprint("+", w.call("lambda.GetFunctionConcurrency", object{"FunctionName": name}))
		if p, err := w.try("lambda.GetPolicy", object{"FunctionName": name}); err == nil {
			out["statements"] += fmt.Sprint("+", strings.Count(p["Policy"].(string), `"Sid"`))
		}
	}
	for _, m := range w.call("lambda.ListEventSourceMappings", object{})["EventSourceMappings"].([]any) {
		out["mappings"] += fmt.Sprint("+", m.(object)["BatchSize"], m.(object)["State"])
	}
	w.maker.mu.Lock()
	defer w.maker.mu.Unlock()
	out["words"] = fmt.Sprint(slices.Sorted(maps.Keys(w.maker.words)))
	return out
}

func TestFunctionsAndWhatTheyMake(t *testing.T) {
	t.Parallel()
	w := newWorldOfFunctions(t)
	id := w.call("CreateStack", functionInput("one", "128"))["StackId"].(string)
	w.is("s", "CREATE_COMPLETE")
	made := functionCensus(w)
	for name, want := range map[string]string{"words": "[word-one]", "aliases": "+live1", "urls": "+1", "statements": "+1", "mappings": "+5Disabled", "concurrency": "+map[ReservedConcurrentExecutions:5]"} {
		if made[name] != want {
			t.Errorf("%s: %s, want %s", name, made[name], want)
		}
	}
	outputs := fmt.Sprint(w.first("s").(object)["Outputs"])
	if !strings.Contains(outputs, "OutputValue:ONE") || !strings.Contains(outputs, ".lambda-url.us-west-2.localhost:4566/") {
		t.Errorf("outputs: %s", outputs)
	}
	w.call("UpdateStack", functionInput("two", "256"))
	w.is("s", "UPDATE_COMPLETE")
	if got := functionCensus(w); got["words"] != "[word-two]" || got["aliases"] != "+live2" || strings.Contains(got["versions"], "+1 ") || !strings.Contains(got["versions"], "+2 256") {
		t.Errorf("after the update: %v", got)
	}
	w.call("UpdateStack", functionInput("bad", "256"))
	w.is("s", "UPDATE_ROLLBACK_COMPLETE")
	if events := strings.Join(w.events("s"), "\n"); !strings.Contains(events, "Received response status [FAILED] from custom resource. Message returned: a bad word (RequestId: ") {
		t.Error(events)
	}
	if got := functionCensus(w); got["words"] != "[word-two]" || got["aliases"] != "+live2" {
		t.Errorf("after the rollback: %v", got)
	}
	w.call("UpdateStack", functionInput("crash", "256"))
	w.is("s", "UPDATE_ROLLBACK_COMPLETE")
	if events := strings.Join(w.events("s"), "\n"); !strings.Contains(events, "The function of the custom resource failed and has not answered: RetriesExhausted") || !strings.Contains(events, "no such module") {
		t.Error(events)
	}
	w.call("DeleteStack", object{"StackName": "s"})
	w.is(id, "DELETE_COMPLETE")
	if got := functionCensus(w); len(got) != 1 || got["words"] != "[]" {
		t.Errorf("after the deletion: %v", got)
	}
	if want := "Create one, Update two, Delete one, Update bad, Update two, Update crash, Update two, Delete two"; strings.Join(w.maker.asked, ", ") != want {
		t.Errorf("the function was asked:\n%s\nwant\n%s", strings.Join(w.maker.asked, ", "), want)
	}
}

func TestFunctionsKilledAtEveryWrite(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("hundreds of control planes")
	}
	for _, c := range []crashCase{
		{"creation", "CreateStack", functionInput("one", "128"), false, "CREATE_COMPLETE"},
		{"update", "UpdateStack", functionInput("two", "256"), true, "UPDATE_COMPLETE"},
		{"failed update", "UpdateStack", functionInput("bad", "256"), true, "UPDATE_ROLLBACK_COMPLETE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.runIn(t, newWorldOfFunctions, functionInput("one", "128"), functionCensus)
		})
	}
}
