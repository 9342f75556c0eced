package logs_test

import (
	"encoding/json"
	"strconv"
	"strings"

	"showrunner/awsapi/awstest"
)

// recordedFilterCalls are the calls of the recorded tests about metric filters and policies.
func recordedFilterCalls(test string) steps {
	put := func(key, group, name, pattern string, metric object) awstest.Step {
		return step(key, "PutMetricFilter", object{"logGroupName": group, "filterName": name, "filterPattern": pattern, "metricTransformations": []any{metric}})
	}
	metric := func(name, namespace, value string) object {
		return object{"metricName": name, "metricNamespace": namespace, "metricValue": value}
	}
	zero := func(m object) object { m["defaultValue"] = 0; return m }
	filters := func(key string, in object) awstest.Step { return step(key, "DescribeMetricFilters", in) }
	policy := func(key, name string, service any, action, resource string) awstest.Step {
		statement := object{"Effect": "Allow", "Principal": object{"Service": service}, "Action": action, "Resource": resource, "Sid": "Route53LogsToCloudWatchLogs"}
		text, _ := json.Marshal(object{"Version": "2012-10-17", "Statement": []any{statement}}) // plain data
		return step(key, "PutResourcePolicy", object{"policyName": name, "policyDocument": string(text)})
	}
	long := func(n int) string { return strings.Repeat("X", n) }
	switch test {
	case "test_put_metric_filter_basic":
		return append(made("g"), put("", "g", "f", " ", zero(metric("m", "n", "1"))), filters("describe-metric-filters", object{"logGroupName": "g", "filterNamePrefix": "f"}))
	case "test_put_metric_filter_json_pattern":
		return append(made("g"), put("", "g", "f", `{$.message = "test"}`, zero(metric("m", "n", "1"))), filters("describe-metric-filters-json", object{"logGroupName": "g", "filterNamePrefix": "f"}))
	case "test_describe_metric_filters_by_prefix":
		return append(append(made("g-0"), made("g-1")...), put("", "g-0", "f-0", "filterPattern0", metric("m-0", "n-0", "0")), put("", "g-1", "f-1", "filterPattern1", metric("m-1", "n-1", "1")),
			filters("describe-by-prefix", object{"filterNamePrefix": "f-"}))
	case "test_describe_metric_filters_by_log_group":
		return append(append(made("g"), made("other")...), put("", "g", "f", "pattern", metric("metric", "namespace", "1")), put("", "other", "f", "pattern", metric("metric", "namespace", "1")),
			filters("describe-by-log-group", object{"logGroupName": "g"}))
	case "test_describe_metric_filters_by_metric_name":
		return append(made("g"), put("", "g", "f", "pattern", metric("m", "n", "1")), put("", "g", "other", "pattern", metric("other", "n", "1")),
			filters("describe-by-metric-name", object{"metricName": "m", "metricNamespace": "n"}))
	case "test_put_metric_filter_invalid_filter_name":
		return append(made("g"), put("error-invalid-filter-name", "g", long(513), "p", metric("m", "n", "1")))
	case "test_put_metric_filter_invalid_filter_pattern":
		return append(made("g"), put("error-invalid-filter-pattern", "g", "f", long(1025), metric("m", "n", "1")))
	case "test_delete_metric_filter_invalid_filter_name":
		return steps{step("error-invalid-filter-name", "DeleteMetricFilter", object{"logGroupName": "g", "filterName": long(513)})}
	case "test_delete_metric_filter_invalid_log_group_name":
		return steps{step("error-invalid-log-group-name", "DeleteMetricFilter", object{"logGroupName": long(513), "filterName": "f"})}
	case "test_describe_metric_filters_invalid_parameters":
		return steps{filters("error-invalid-filter-prefix", object{"filterNamePrefix": long(513)}), filters("error-invalid-metric-name", object{"metricName": long(256), "metricNamespace": "n"})}
	case "test_put_resource_policy":
		return append(made("g"), policy("put-resource-policy", "p", []any{"route53.amazonaws.com"}, "logs:PutLogEvents", groupARN+"g:*"))
	case "test_describe_resource_policies":
		var out steps
		for n := range 3 {
			out = append(out, policy("", "p-"+strconv.Itoa(n), "route53.amazonaws.com", "logs:PutLogEvents", "log_arn"))
		}
		policies := step("policies", "DescribeResourcePolicies", object{})
		policies.Take = "resourcePolicies"
		return append(out, step("describe-resource-policies", "DescribeResourcePolicies", object{}), policies)
	case "test_delete_resource_policy_not_found":
		return steps{step("error-policy-not-found", "DeleteResourcePolicy", object{"policyName": "non-existent"})}
	case "test_put_resource_policy_limit_exceeded":
		var out steps
		for n := range 10 {
			out = append(out, policy("", "p-"+strconv.Itoa(n), "s", "logs:*", "*"))
		}
		return append(out, policy("error-limit-exceeded", "p-10", "s", "logs:*", "*"))
	case "test_describe_subscription_filters_empty":
		return append(made("g"), step("describe-subscription-filters-empty", "DescribeSubscriptionFilters", object{"logGroupName": "g"}))
	case "test_describe_subscription_filters_log_group_not_found":
		return steps{step("error-log-group-not-found", "DescribeSubscriptionFilters", object{"logGroupName": "nope"})}
	}
	return nil
}
