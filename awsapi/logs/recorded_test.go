package logs_test

import (
	"strings"
	"testing"
	"time"

	"showrunner/awsapi/awstest"
)

// differences are recorded answers that are not AWS's here, each with why.
var differences = map[string]string{
	"test_describe_log_groups_with_pattern/describe-log-groups-pattern": "AWS pages by the groups that it has looked at, and leaves out what is stored",
	"test_list_log_groups_with_pattern/*":                               "ListLogGroups is not served",
}

type steps = []awstest.Step

const groupARN = "arn:aws:logs:" + awstest.Region + ":000000000000:log-group:"

func step(key, operation string, in object) awstest.Step {
	return awstest.Step{Key: key, Operation: operation, In: in}
}

func made(group string, streams ...string) steps {
	out := steps{step("", "CreateLogGroup", object{"logGroupName": group})}
	for _, s := range streams {
		out = append(out, step("", "CreateLogStream", object{"logGroupName": group, "logStreamName": s}))
	}
	return out
}

func events(at ...time.Time) []any {
	out := []any{}
	for _, t := range at {
		out = append(out, object{"timestamp": t.UnixMilli(), "message": "m"})
	}
	return out
}

// recordedCalls are the calls of the recorded tests.
func recordedCalls(test string) steps {
	groups := func(key string, in object) awstest.Step { return step(key, "DescribeLogGroups", in) }
	streams := func(key string, in object) awstest.Step { return step(key, "DescribeLogStreams", in) }
	byName := func(key string) awstest.Step { return step(key, "ListTagsLogGroup", object{"logGroupName": "g"}) }
	byARN := func(key string) awstest.Step {
		return step(key, "ListTagsForResource", object{"resourceArn": groupARN + "g"})
	}
	putAt := func(key string, stream string, at ...time.Time) awstest.Step {
		return step(key, "PutLogEvents", object{"logGroupName": "g", "logStreamName": stream, "logEvents": events(at...)})
	}
	switch test {
	case "test_create_log_group_with_kms_key":
		key := "arn:aws:kms:" + awstest.Region + ":000000000000:key/0db427f1"
		return steps{step("", "CreateLogGroup", object{"logGroupName": "g", "kmsKeyId": key}), groups("describe-log-groups-with-kms", object{"logGroupNamePrefix": "g"})}
	case "test_create_log_group_duplicate_error":
		return append(made("g"), step("error-duplicate-log-group", "CreateLogGroup", object{"logGroupName": "g"}))
	case "test_create_log_group_invalid_name_length":
		return steps{step("error-invalid-name-length", "CreateLogGroup", object{"logGroupName": strings.Repeat("a", 513)})}
	case "test_describe_log_groups_with_prefix":
		return append(append(append(made("g-1"), made("g-2")...), made("g-3")...), groups("describe-log-groups-prefix", object{"logGroupNamePrefix": "g-"}))
	case "test_describe_log_groups_with_pattern":
		return append(append(made("a-g"), made("b")...), groups("describe-log-groups-pattern", object{"logGroupNamePattern": "g"}))
	case "test_describe_log_groups_prefix_and_pattern_error":
		return steps{groups("error-prefix-and-pattern", object{"logGroupNamePrefix": "g", "logGroupNamePattern": "g"})}
	case "test_create_log_group_with_tags":
		return steps{step("", "CreateLogGroup", object{"logGroupName": "g", "tags": object{"env": "testing"}}), byName("list-tags-after-create")}
	case "test_tag_log_group":
		return append(made("g"), step("", "TagLogGroup", object{"logGroupName": "g", "tags": object{"tag_key_1": "tag_value_1"}}), byName("list-tags-after-tag"))
	case "test_untag_log_group":
		return append(made("g"), step("", "TagLogGroup", object{"logGroupName": "g", "tags": object{"tag_key_1": "tag_value_1", "tag_key_2": "tag_value_2"}}),
			step("", "UntagLogGroup", object{"logGroupName": "g", "tags": []any{"tag_key_1"}}), byName("list-tags-after-untag"))
	case "test_tag_resource_api":
		return steps{step("", "CreateLogGroup", object{"logGroupName": "g", "tags": object{"env": "testing1"}}), byName("list-tags-after-create"),
			step("", "TagResource", object{"resourceArn": groupARN + "g", "tags": object{"test1": "val1", "test2": "val2"}}),
			byName("list-tags-log-group-after-tag-resource"), byARN("list-tags-for-resource-after-tag-resource"),
			step("", "TagLogGroup", object{"logGroupName": "g", "tags": object{"test3": "val3"}}), byName("list-tags-log-group-after-tag-log-group"), byARN("list-tags-for-resource-after-tag-log-group"),
			step("", "UntagLogGroup", object{"logGroupName": "g", "tags": []any{"env", "test3"}}), step("", "UntagResource", object{"resourceArn": groupARN + "g", "tagKeys": []any{"test1"}}),
			byName("list-tags-log-group-after-untag"), byARN("list-tags-for-resource-after-untag")}
	case "test_create_and_delete_log_stream":
		return append(made("g", "s"), streams("describe-log-streams-after-create", object{"logGroupName": "g"}))
	case "test_create_log_stream_duplicate_error":
		return append(made("g", "s"), step("error-duplicate-log-stream", "CreateLogStream", object{"logGroupName": "g", "logStreamName": "s"}))
	case "test_describe_log_streams_with_log_group_identifier":
		return append(made("g", "s"), streams("describe-streams-identifier-name", object{"logGroupIdentifier": "g"}), streams("describe-streams-identifier-arn", object{"logGroupIdentifier": groupARN + "g"}),
			streams("error-both-name-and-identifier", object{"logGroupName": "g", "logGroupIdentifier": "g"}))
	case "test_describe_log_streams_with_prefix":
		return append(made("g", "s-1", "s-2", "s-3"), streams("describe-streams-with-prefix", object{"logGroupName": "g", "logStreamNamePrefix": "s-"}))
	case "test_log_stream_arn_format":
		return append(made("g", "s"), streams("describe-log-streams-with-arn", object{"logGroupName": "g"}))
	case "test_put_log_events_to_invalid_stream":
		return append(made("g"), putAt("error-invalid-stream", "nope", noon))
	case "test_put_log_events_wrong_order":
		return append(made("g", "s"), putAt("error-wrong-order", "s", noon, noon.Add(-time.Second)))
	case "test_put_log_events_too_old":
		return append(made("g", "s"), putAt("response-too-old", "s", noon.AddDate(0, 0, -15)))
	case "test_put_log_events_too_new":
		return append(made("g", "s"), putAt("response-too-new", "s", noon.Add(3*time.Hour)))
	case "test_get_log_events_invalid_token":
		return append(made("g", "s"), step("error-invalid-token", "GetLogEvents", object{"logGroupName": "g", "logStreamName": "s", "nextToken": "invalid"}))
	case "test_get_log_events_limit_validation":
		return append(made("g", "s"), step("error-limit-exceeded", "GetLogEvents", object{"logGroupName": "g", "logStreamName": "s", "limit": 10001}))
	case "test_resource_does_not_exist":
		return append(made("g"), step("error-log-group-does-not-exist", "GetLogEvents", object{"logGroupName": "nope", "logStreamName": "s"}), step("error-log-stream-does-not-exist", "GetLogEvents", object{"logGroupName": "g", "logStreamName": "nope"}))
	case "test_filter_log_events_limit_validation":
		return append(made("g"), step("error-limit-exceeded", "FilterLogEvents", object{"logGroupName": "g", "limit": 10001}))
	case "test_filter_log_events_unknown_token":
		return append(made("g"), step("invalid-token", "FilterLogEvents", object{"logGroupName": "g", "nextToken": "invalid"}))
	}
	return nil
}

// TestRecordedAnswers compares what is answered here with what AWS answered.
func TestRecordedAnswers(t *testing.T) {
	t.Parallel()
	awstest.Recorded{File: "testdata/recorded.json", Region: awstest.Region, Different: differences, Share: "50 of 51"}.Compare(t, func(test string) func() awstest.Answers {
		calls := recordedCalls(test)
		if calls == nil {
			calls = recordedFilterCalls(test)
		}
		if calls == nil {
			return nil
		}
		return open(t).Steps("logs", "", calls)
	})
}
