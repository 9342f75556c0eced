package cloudformation_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestNestedStacks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.objects.buckets["templates"] = map[string]string{
		"key/inner.json": `{"Parameters": {"Names": {"Type": "CommaDelimitedList"}}, "Resources": {"P": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": {"Fn::Join": ["+", {"Ref": "Names"}]}}}}, "Outputs": {"Value": {"Value": {"Fn::GetAtt": ["P", "Value"]}}}}`,
		"key/bad.json":   `{"Resources": {"P": {"Type": "AWS::SSM::Parameter", "Properties": {"Name": "aws-no", "Type": "String", "Value": "x"}}}}`,
	}
	outer := func(names, file string) string {
		return `{"Resources": {"Inner": {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": "https://s3.us-west-2.amazonaws.com/templates/` + file + `", "Parameters": {"Names": ` + names + `}}}},
			"Outputs": {"Seen": {"Value": {"Fn::GetAtt": ["Inner", "Outputs.Value"]}}}}`
	}
	w.call("CreateStack", object{"StackName": "s", "TemplateBody": outer(`["a", "b"]`, "inner.json")})
	if got := outputs(w.is("s", "CREATE_COMPLETE"))["Seen"]; got != "a+b" {
		t.Errorf("the output is %q", got)
	}
	inner := w.physical("s", "Inner")
	w.is(inner, "CREATE_COMPLETE")
	w.call("UpdateStack", object{"StackName": "s", "TemplateBody": outer(`["c"]`, "inner.json")})
	if got := outputs(w.is("s", "UPDATE_COMPLETE"))["Seen"]; got != "c" {
		t.Errorf("after the update the output is %q", got)
	}
	w.call("DeleteStack", object{"StackName": "s"})
	w.is(inner, "DELETE_COMPLETE")
	bad := `{"Resources": {"Inner": {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": "https://templates.s3.amazonaws.com/bad.json"}}}}`
	w.call("CreateStack", object{"StackName": "bad", "TemplateBody": bad})
	w.is("bad", "ROLLBACK_COMPLETE")
	if list := w.call("DescribeStacks", object{})["Stacks"].([]any); len(list) != 1 {
		t.Errorf("stacks are left: %v", list)
	}
}

func TestDeletedStacksAreKeptForAWhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.call("CreateStack", object{"StackName": "s", "TemplateBody": chain})["StackId"].(string)
	w.is("s", "CREATE_COMPLETE")
	w.call("CreateStack", object{"StackName": "other", "TemplateBody": chain})
	w.is("other", "CREATE_COMPLETE")
	w.call("DeleteStack", object{"StackName": "s"})
	w.is(id, "DELETE_COMPLETE")
	w.later.Store(int64(89 * 24 * time.Hour))
	if err := w.stacks.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.is(id, "DELETE_COMPLETE")
	w.later.Store(int64(91 * 24 * time.Hour))
	if err := w.stacks.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.refused("DescribeStacks", object{"StackName": id}, "ValidationError", "Stack with id "+id+" does not exist")
	w.is("other", "CREATE_COMPLETE")
}

func TestAStreamIsResized(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stream := func(properties string) object {
		return object{"StackName": "s", "TemplateBody": "Resources: {S: {Type: 'AWS::Kinesis::Stream', Properties: {Name: stream, " + properties + "}}}"}
	}
	w.call("CreateStack", stream("ShardCount: 1"))
	w.is("s", "CREATE_COMPLETE")
	for _, step := range []struct {
		properties, mode string
		open             float64
	}{{"ShardCount: 2", "PROVISIONED", 2}, {"ShardCount: 1", "PROVISIONED", 1}, {"StreamModeDetails: {StreamMode: ON_DEMAND}", "ON_DEMAND", 1}, {"ShardCount: 2", "PROVISIONED", 2}} {
		w.call("UpdateStack", stream(step.properties))
		w.is("s", "UPDATE_COMPLETE")
		got := w.call("kinesis.DescribeStreamSummary", object{"StreamName": "stream"})["StreamDescriptionSummary"].(object)
		if fmt.Sprint(got["OpenShardCount"]) != fmt.Sprint(step.open) || got["StreamModeDetails"].(object)["StreamMode"] != step.mode {
			t.Errorf("with %s the stream is %v", step.properties, got)
		}
	}
}

// A service's refusal repeats the value that it refuses; the events do not.
func TestReasonsDoNotTellSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const template = "Parameters: {Secret: {Type: String, NoEcho: true}}\nResources: {P: {Type: 'AWS::SSM::Parameter', Properties: {Type: String, Value: x, Tier: !Sub 'is ${Secret}'}}}"
	w.call("CreateStack", object{"StackName": "s", "TemplateBody": template, "Parameters": given(map[string]string{"Secret": "do-not-tell"})})
	w.is("s", "ROLLBACK_COMPLETE")
	events := strings.Join(w.events("s"), "\n")
	if !strings.Contains(events, "Value 'is ****' at 'tier' failed") || strings.Contains(events, "do-not-tell") {
		t.Errorf("the events are\n%s", events)
	}
}

// An update that comes in the moment in which the operation before is taken off the
// list of work is carried out.
func TestAnUpdateAtTheEndOfTheOperationBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	template := func(days string) object {
		return object{"StackName": "s", "TemplateBody": "Resources: {S: {Type: 'AWS::Kinesis::Stream', Properties: {Name: stream, RetentionPeriodHours: " + days + "}}}"}
	}
	updated := make(chan error, 1)
	var once sync.Once
	w.dead.mu.Lock()
	w.dead.deletes = func(collection string) {
		if collection == "aws.cloudformation.work" {
			once.Do(func() {
				_, err := w.try("UpdateStack", template("48"))
				updated <- err
			})
		}
	}
	w.dead.mu.Unlock()
	w.call("CreateStack", template("24"))
	if err := <-updated; err != nil {
		t.Fatal(err)
	}
	w.is("s", "UPDATE_COMPLETE")
}
