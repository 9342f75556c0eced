package ssm_test

import (
	"testing"

	"showrunner/awsapi/awstest"
)

// recordedCalls are the calls of the recorded tests.
var recordedCalls = map[string][]awstest.Step{
	"test_get_parameter_by_arn": {
		{Operation: "PutParameter", In: object{"Name": "name", "Value": "test", "Type": "String"}},
		{Key: "Parameter", Operation: "GetParameter", In: object{"Name": parameterARN + "name"}, Take: "Parameter"},
	},
	"test_parameters_with_path": {
		{Key: "put-parameter-response", Operation: "PutParameter", In: object{"Name": "/a/b", "Value": "123", "Type": "String"}},
		{Key: "get-parameter-response", Operation: "GetParameter", In: object{"Name": "/a/b"}},
		{Key: "get-parameter-by-arn-response", Operation: "GetParameter", In: object{"Name": parameterARN + "a/b"}},
		{Key: "get-parameters-response", Operation: "GetParameters", In: object{"Names": []any{"/a/b"}}},
		{Key: "get-parameters-by-arn-response", Operation: "GetParameters", In: object{"Names": []any{parameterARN + "a/b"}}},
	},
}

const parameterARN = "arn:aws:ssm:" + awstest.Region + ":000000000000:parameter/"

// TestRecordedAnswers compares what is answered here with what AWS answered.
func TestRecordedAnswers(t *testing.T) {
	t.Parallel()
	awstest.Recorded{File: "testdata/recorded.json", Region: awstest.Region, Share: "6 of 6"}.Compare(t, func(test string) func() awstest.Answers {
		return open(t).Steps("ssm", "", recordedCalls[test])
	})
}
