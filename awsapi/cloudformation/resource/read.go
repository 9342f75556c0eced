package resource

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// readers read properties of resources as they are, by type: those that detecting
// drift compares with the template. What has no reader is not checked.
var readers = map[string]func(ctx context.Context, r *Request) (map[string]any, error){
	"AWS::SSM::Parameter": reader("ssm", "GetParameter", "Name", map[string][]string{"Type": {"Parameter", "Type"}, "Value": {"Parameter", "Value"}}),
	"AWS::Kinesis::Stream": reader("kinesis", "DescribeStreamSummary", "StreamName", map[string][]string{
		"ShardCount": {"StreamDescriptionSummary", "OpenShardCount"}, "RetentionPeriodHours": {"StreamDescriptionSummary", "RetentionPeriodHours"}}),
	"AWS::IAM::Role": readRole,
	"AWS::Lambda::Function": reader("lambda", "GetFunctionConfiguration", "FunctionName", map[string][]string{"Timeout": {"Timeout"}, "MemorySize": {"MemorySize"},
		"Handler": {"Handler"}, "Runtime": {"Runtime"}, "Description": {"Description"}, "Role": {"Role"}}),
	"AWS::AutoScaling::AutoScalingGroup": readScalingGroup,
	"AWS::Logs::LogGroup":                readLogGroup,
	"AWS::SecretsManager::Secret":        reader("secretsmanager", "DescribeSecret", "SecretId", map[string][]string{"Description": {"Description"}, "Name": {"Name"}}),
	"AWS::S3::Bucket":                    readBucket,
}

// reader reads members of one answer about a resource.
func reader(service, operation, id string, members map[string][]string) func(context.Context, *Request) (map[string]any, error) {
	return func(ctx context.Context, r *Request) (map[string]any, error) {
		out, err := r.call(ctx, service, operation, map[string]any{id: r.Physical})
		if err != nil {
			return nil, err
		}
		actual := map[string]any{}
		for property, path := range members {
			if v := at(out, path...); v != nil {
				actual[property] = v
			}
		}
		return actual, nil
	}
}

func readRole(ctx context.Context, r *Request) (map[string]any, error) {
	out, err := r.call(ctx, "iam", "GetRole", map[string]any{"RoleName": r.Physical})
	if err != nil {
		return nil, err
	}
	actual := map[string]any{"Description": textAt(out, "Role", "Description"), "MaxSessionDuration": at(out, "Role", "MaxSessionDuration")}
	text, err := url.QueryUnescape(textAt(out, "Role", "AssumeRolePolicyDocument"))
	if err != nil {
		return nil, err
	}
	var trust map[string]any
	if err := json.Unmarshal([]byte(text), &trust); err != nil {
		return nil, err
	}
	actual["AssumeRolePolicyDocument"] = trust
	return actual, nil
}

func readScalingGroup(ctx context.Context, r *Request) (map[string]any, error) {
	out, err := r.call(ctx, "autoscaling", "DescribeAutoScalingGroups", map[string]any{"AutoScalingGroupNames": []any{r.Physical}})
	if err != nil {
		return nil, err
	}
	list, _ := at(out, "AutoScalingGroups").([]any)
	if len(list) == 0 {
		return map[string]any{}, nil
	}
	group := list[0]
	return map[string]any{"MinSize": at(group, "MinSize"), "MaxSize": at(group, "MaxSize"), "DesiredCapacity": at(group, "DesiredCapacity"), "HealthCheckType": at(group, "HealthCheckType")}, nil
}

func readLogGroup(ctx context.Context, r *Request) (map[string]any, error) {
	out, err := r.call(ctx, "logs", "DescribeLogGroups", map[string]any{"logGroupNamePrefix": r.Physical})
	if err != nil {
		return nil, err
	}
	list, _ := at(out, "logGroups").([]any)
	for _, g := range list {
		if textAt(asObject(g), "logGroupName") == r.Physical {
			return map[string]any{"RetentionInDays": at(g, "retentionInDays")}, nil
		}
	}
	return map[string]any{}, nil
}

func readBucket(ctx context.Context, r *Request) (map[string]any, error) {
	text, err := r.Services.Object(ctx, r.Call, http.MethodGet, "/"+r.Physical+"?versioning", nil, nil)
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(string(text), "<Status>")
	status, _, _ := strings.Cut(rest, "</Status>")
	actual := map[string]any{"VersioningConfiguration": nil}
	if status != "" {
		actual["VersioningConfiguration"] = map[string]any{"Status": status}
	}
	return actual, nil
}
