package cloudformation_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"showrunner/awsapi/awstest"
	"showrunner/awsapi/wire"
)

// recording is what AWS answered in one test, by the name of the answer.
type recording map[string]any

// differences are answers that are not AWS's, each with why.
var differences = map[string]string{
	"test_changesets::test_changeset_for_deleted_stack/ErrorForInProgress": "a deletion has ended before the next call",
	"test_stacks::TestStacksApi::test_stack_name_creation/stack_response":  "the pattern is written as in the models that clients have",
	"test_stacks::test_blocked_stack_deletion/stack_events":                "AWS says of a creation that failed at once that it was initiated",
	"test_references::TestPseudoParameters::test_stack_id/stack-id":        "identifiers of stacks are random, AWS's hold a time",
}

// TestRecordedAnswers makes the calls that AWS answered in the recorded tests and
// compares every answer.
func TestRecordedAnswers(t *testing.T) {
	t.Parallel()
	scenarios := scenarios()
	awstest.Recorded{File: "testdata/recorded.json", Region: region, Different: differences, Share: "168 of 172"}.Compare(t, func(test string) func() awstest.Answers {
		scenario := scenarios[test]
		if scenario == nil {
			return nil
		}
		return func() awstest.Answers {
			got := recording{}
			scenario(newWorld(t), got)
			return got
		}
	})
}

// answered is an error as a client of Python has it, or the answer.
func answered(out object, err error) any {
	var e *wire.Error
	if !errors.As(err, &e) {
		return out
	}
	return object{"Error": object{"Code": e.Code, "Message": e.Message, "Type": "Sender"}}
}

// answeredJSON is answered for the services whose protocol is JSON.
func answeredJSON(out object, err error) any {
	v, _ := answered(out, err).(object)
	if e, ok := v["Error"].(object); ok {
		delete(e, "Type")
		if e["Message"] != "" {
			v["Message"] = e["Message"]
		}
	}
	return v
}

// said is an error as a client of Python prints it.
func said(operation string, err error) string {
	var e *wire.Error
	if !errors.As(err, &e) {
		return fmt.Sprint(err)
	}
	return fmt.Sprintf("An error occurred (%s) when calling the %s operation: %s", e.Code, operation, e.Message)
}

// deploy is what the recorded tests do for a stack: a change set that is executed.
func (w *world) deploy(stack, template string, parameters map[string]string) error {
	w.t.Helper()
	kind := "CREATE"
	if _, err := w.try("DescribeStacks", object{"StackName": stack}); err == nil {
		kind = "UPDATE"
	}
	in := object{"StackName": stack, "ChangeSetName": fmt.Sprint("set-", strings.ToLower(kind)), "ChangeSetType": kind, "TemplateBody": template,
		"Capabilities": []any{"CAPABILITY_AUTO_EXPAND", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"}, "Parameters": given(parameters)}
	if _, err := w.try("CreateChangeSet", in); err != nil {
		return err
	}
	w.call("ExecuteChangeSet", object{"StackName": stack, "ChangeSetName": in["ChangeSetName"]})
	w.stack(stack)
	return nil
}

func given(parameters map[string]string) []any {
	out := []any{}
	for _, k := range slices.Sorted(maps.Keys(parameters)) {
		out = append(out, object{"ParameterKey": k, "ParameterValue": parameters[k]})
	}
	return out
}

// first is the first stack of an answer of DescribeStacks.
func (w *world) first(id string) any {
	w.t.Helper()
	return w.call("DescribeStacks", object{"StackName": id})["Stacks"].([]any)[0]
}
