package cloudformation_test

import (
	"fmt"
	"strings"
	"testing"
)

// watched is alarms, dashboards, filters of logs, and users, as the CDK's constructs make them.
const watched = `{"Resources": {
	"Group": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "g", "RetentionInDays": 7}},
	"Stream": {"Type": "AWS::Logs::LogStream", "Properties": {"LogGroupName": {"Ref": "Group"}, "LogStreamName": "l"}},
	"Records": {"Type": "AWS::Kinesis::Stream", "Properties": {"Name": "k", "ShardCount": 1, "StreamEncryption": {"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"}}},
	"Reader": {"Type": "AWS::Kinesis::StreamConsumer", "Properties": {"ConsumerName": "reader", "StreamARN": {"Fn::GetAtt": ["Records", "Arn"]}}},
	"Metric": {"Type": "AWS::Logs::MetricFilter", "Properties": {"LogGroupName": {"Ref": "Group"}, "FilterPattern": "%s", "MetricTransformations": [{"MetricName": "m", "MetricNamespace": "n", "MetricValue": "$.v", "Dimensions": [{"Key": "d", "Value": "$.d"}]}]}},
	"Sent": {"Type": "AWS::Logs::SubscriptionFilter", "Properties": {"LogGroupName": {"Ref": "Group"}, "FilterPattern": "", "DestinationArn": {"Fn::GetAtt": ["Records", "Arn"]}, "RoleArn": "arn:aws:iam::000000000000:role/r"}},
	"Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": {"AlarmName": "a", "Namespace": "n", "MetricName": "m", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": "1", "Threshold": %d, "ComparisonOperator": "GreaterThanThreshold"}},
	"Both": {"Type": "AWS::CloudWatch::CompositeAlarm", "Properties": {"AlarmRule": {"Fn::Sub": "ALARM(\"${Alarm}\")"}}},
	"Board": {"Type": "AWS::CloudWatch::Dashboard", "Properties": {"DashboardBody": "{\"widgets\":[]}"}},
	"Readers": {"Type": "AWS::IAM::Group", "Properties": {"ManagedPolicyArns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"]}},
	"Ann": {"Type": "AWS::IAM::User", "Properties": {"UserName": "ann", "Groups": [{"Ref": "Readers"}], "Policies": [{"PolicyName": "p", "PolicyDocument": {"Statement": []}}]}},
	"Own": {"Type": "AWS::IAM::Policy", "Properties": {"PolicyName": "own", "PolicyDocument": {"Statement": []}, "Users": [{"Ref": "Ann"}]}},
	"Word": {"Type": "AWS::SSM::Parameter", "Properties": {"Name": "/word", "Type": "String", "Value": "one"}}
}, "Outputs": {"Alarm": {"Value": {"Fn::GetAtt": ["Alarm", "Arn"]}}}}`

func TestWhatWatchesAndUsersAreMadeChangedAndDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	input := func(pattern string, threshold int) object {
		return object{"StackName": "s", "TemplateBody": fmt.Sprintf(watched, pattern, threshold), "Capabilities": []any{"CAPABILITY_NAMED_IAM"}}
	}
	id, _ := w.call("CreateStack", input("ERROR", 1))["StackId"].(string)
	w.is("s", "CREATE_COMPLETE")
	one := func(operation string, in object, list string) object {
		t.Helper()
		all, _ := w.call(operation, in)[list].([]any)
		if len(all) != 1 {
			t.Fatalf("%s: %v", operation, all)
		}
		o, _ := all[0].(object)
		return o
	}
	for n, pattern := range []string{"ERROR", "WARN"} {
		if n > 0 {
			w.call("UpdateStack", input(pattern, n+1))
			w.is("s", "UPDATE_COMPLETE")
		}
		if got := one("logs.DescribeMetricFilters", object{"logGroupName": "g"}, "metricFilters"); got["filterPattern"] != pattern {
			t.Errorf("the filter is %v", got)
		}
		if got := one("monitoring.DescribeAlarms", object{"AlarmNames": []any{"a"}}, "MetricAlarms"); fmt.Sprint(got["Threshold"]) != fmt.Sprint(n+1) {
			t.Errorf("the alarm is %v", got)
		}
		one("logs.DescribeSubscriptionFilters", object{"logGroupName": "g"}, "subscriptionFilters")
		one("logs.DescribeLogStreams", object{"logGroupName": "g"}, "logStreams")
		one("monitoring.ListDashboards", object{}, "DashboardEntries")
		one("iam.ListGroupsForUser", object{"UserName": "ann"}, "Groups")
		if got := fmt.Sprint(w.call("iam.ListUserPolicies", object{"UserName": "ann"})["PolicyNames"]); got != "[own p]" {
			t.Errorf("the user's policies are %s", got)
		}
	}
	stream, _ := w.call("kinesis.DescribeStreamSummary", object{"StreamName": "k"})["StreamDescriptionSummary"].(object)
	if stream["EncryptionType"] != "KMS" || fmt.Sprint(stream["ConsumerCount"]) != "1" {
		t.Errorf("the stream is %v", stream)
	}
	w.call("DeleteStack", object{"StackName": "s"})
	w.is(id, "DELETE_COMPLETE")
	for operation, list := range map[string]string{"monitoring.DescribeAlarms": "MetricAlarms", "monitoring.ListDashboards": "DashboardEntries", "logs.DescribeLogGroups": "logGroups", "iam.ListUsers": "Users", "iam.ListGroups": "Groups"} {
		if all, _ := w.call(operation, object{})[list].([]any); len(all) != 0 {
			t.Errorf("%s: %v are left", operation, all)
		}
	}
}

func TestDriftIsDetected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.call("CreateStack", object{"StackName": "s", "TemplateBody": fmt.Sprintf(watched, "ERROR", 1), "Capabilities": []any{"CAPABILITY_NAMED_IAM"}})
	w.is("s", "CREATE_COMPLETE")
	detect := func() (object, map[string]string) {
		t.Helper()
		id := w.call("DetectStackDrift", object{"StackName": "s"})["StackDriftDetectionId"]
		status := w.call("DescribeStackDriftDetectionStatus", object{"StackDriftDetectionId": id})
		drifts, _ := w.call("DescribeStackResourceDrifts", object{"StackName": "s"})["StackResourceDrifts"].([]any)
		out := map[string]string{}
		for _, d := range drifts {
			one := d.(object)
			out[fmt.Sprint(one["LogicalResourceId"])] = fmt.Sprint(one["StackResourceDriftStatus"])
		}
		return status, out
	}
	status, drifts := detect()
	if status["StackDriftStatus"] != "IN_SYNC" || drifts["Word"] != "IN_SYNC" || drifts["Group"] != "IN_SYNC" || drifts["Records"] != "IN_SYNC" || drifts["Board"] != "NOT_CHECKED" {
		t.Errorf("before anything changed: %v %v", status, drifts)
	}
	w.call("ssm.PutParameter", object{"Name": "/word", "Value": "two", "Overwrite": true})
	w.call("monitoring.DeleteDashboards", object{"DashboardNames": []any{w.physical("s", "Board")}})
	status, drifts = detect()
	if status["StackDriftStatus"] != "DRIFTED" || fmt.Sprint(status["DriftedStackResourceCount"]) != "2" || drifts["Word"] != "MODIFIED" || drifts["Board"] != "DELETED" {
		t.Errorf("after changes: %v %v", status, drifts)
	}
	one, _ := w.call("DetectStackResourceDrift", object{"StackName": "s", "LogicalResourceId": "Word"})["StackResourceDrift"].(object)
	if text := fmt.Sprint(one["PropertyDifferences"]); !strings.Contains(text, "/Value") || !strings.Contains(text, "NOT_EQUAL") || !strings.Contains(text, "two") {
		t.Errorf("the difference is %s", text)
	}
}

func TestTypesAndEventsAreDescribed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	types, _ := w.call("ListTypes", object{"Visibility": "PUBLIC", "Filters": object{"TypeNamePrefix": "AWS::Logs::"}})["TypeSummaries"].([]any)
	if len(types) != 4 {
		t.Errorf("the types of logs are %v", types)
	}
	if schema := fmt.Sprint(w.call("DescribeType", object{"Type": "RESOURCE", "TypeName": "AWS::Logs::LogGroup"})["Schema"]); !strings.Contains(schema, `"RetentionInDays"`) {
		t.Error(schema)
	}
	if _, err := w.try("DescribeType", object{"Type": "RESOURCE", "TypeName": "AWS::None::None"}); err == nil || !strings.Contains(err.Error(), "TypeNotFoundException") {
		t.Errorf("a type that is not there: %v", err)
	}
	w.call("CreateStack", object{"StackName": "s", "TemplateBody": `{"Resources": {"Sent": {"Type": "AWS::Logs::LogStream", "Properties": {"LogGroupName": "none"}}}}`})
	w.is("s", "ROLLBACK_COMPLETE")
	failed, _ := w.call("DescribeEvents", object{"StackName": "s", "Filters": object{"FailedEvents": true}})["OperationEvents"].([]any)
	if len(failed) != 1 || failed[0].(object)["LogicalResourceId"] != "Sent" || !strings.Contains(fmt.Sprint(failed[0].(object)["ResourceStatusReason"]), "log group") {
		t.Errorf("what failed: %v", failed)
	}
}
