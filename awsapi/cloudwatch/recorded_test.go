package cloudwatch_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"showrunner/awsapi/awstest"
)

const (
	noTopics = "the messages of SNS are not served; the alarm itself is compared in other tests"
	refusedX = "dashboards, metric streams, insight rules and anomaly detection are refused by name"
)

// differences are recorded answers that are not AWS's here, each with why.
var differences = map[string]string{
	"test_handle_different_units[query]/get_metric_statistics_with_different_units": "AWS's order of units at one time is no order",
	"test_set_alarm_invalid_input[query]/error-invalid-state":                       "the values are in the model's order",
	"test_alarm_lambda_target/*":                                                    noTopics,
	"test_breaching_alarm_actions[query]/*":                                         noTopics,
	"test_enable_disable_alarm_actions[query]/*":                                    noTopics,
	"test_put_metric_alarm/*":                                                       noTopics,
	"test_aws_sqs_metrics_created/*":                                                "SQS is not served",
	"test_alarm_number_of_messages_sent/*":                                          "SQS is not served",
	"test_lambda_invoke_successful/*":                                               "metrics of functions are not written",
	"test_lambda_invoke_error/*":                                                    "metrics of functions are not written",
	"test_invalid_dashboard_name[query]/*":                                          refusedX,
	"test_dashboard_lifecycle[query]/*":                                             refusedX,
	"test_create_metric_stream[query]/*":                                            refusedX,
	"test_insight_rule[query]/*":                                                    refusedX,
	"test_anomaly_detector_lifecycle[query]/*":                                      refusedX,
	"test_basic_operations_multiple_protocols[query]/*":                             "the bytes of the protocol: compared with botocore's codec in package wire",
	"test_exception_serializing_with_no_shape_in_spec[query]/*":                     "the bytes of the protocol: compared with botocore's codec in package wire",
}

// call is one without an answer that matters.
func (c *client) do(operation string, in object) object { return c.Inside(service, operation, in) }

// datum is a value at noon.
func datum(name string, value float64, more ...any) object {
	out := object{"MetricName": name, "Value": value, "Timestamp": noon}
	for i := 0; i+1 < len(more); i += 2 {
		out[more[i].(string)] = more[i+1]
	}
	return out
}

func (c *client) metrics(data ...object) {
	list := []any{}
	for _, d := range data {
		list = append(list, d)
	}
	c.do("PutMetricData", object{"Namespace": "n", "MetricData": list})
}

func metricQuery(id, name, stat string, more ...any) object {
	metric := object{"Namespace": "n", "MetricName": name}
	of := object{"Metric": metric, "Period": 60, "Stat": stat}
	for i := 0; i+1 < len(more); i += 2 {
		if more[i] == "Dimensions" {
			metric["Dimensions"] = more[i+1]
			continue
		}
		of[more[i].(string)] = more[i+1]
	}
	return object{"Id": id, "MetricStat": of}
}

func (c *client) results(queries ...object) any {
	list := []any{}
	for _, q := range queries {
		list = append(list, q)
	}
	return c.do("GetMetricData", object{"StartTime": noon.Add(-time.Hour), "EndTime": noon.Add(time.Hour), "MetricDataQueries": list})
}

func (c *client) stats(name string, more object, names ...any) any {
	in := object{"Namespace": "n", "MetricName": name, "StartTime": noon.Add(-time.Minute), "EndTime": noon.Add(time.Minute), "Period": 600, "Statistics": names}
	for k, v := range more {
		in[k] = v
	}
	return c.do("GetMetricStatistics", in)
}

func minimal(name, metric string, period int) object {
	return object{"AlarmName": name, "MetricName": metric, "Namespace": "n", "EvaluationPeriods": 1, "Period": period, "Statistic": "Sum", "ComparisonOperator": "GreaterThanThreshold", "Threshold": 30}
}

func (c *client) alarms(name string) any {
	return c.do("DescribeAlarms", object{"AlarmNames": []any{name}})
}

const alarmARN = "arn:aws:cloudwatch:" + awstest.Region + ":000000000000:alarm:"

func tagList(pairs ...string) []any {
	out := []any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, object{"Key": pairs[i], "Value": pairs[i+1]})
	}
	return out
}

func (c *client) tagsOf(name string) any {
	answer := c.do("ListTagsForResource", object{"ResourceARN": alarmARN + name})
	if list, ok := answer["Tags"].([]any); ok { // AWS's recorded order is that of the keys
		slices.SortFunc(list, func(a, b any) int { return strings.Compare(a.(object)["Key"].(string), b.(object)["Key"].(string)) })
	}
	return answer
}

// recordedMetrics make the calls of the recorded tests of metrics.
func recordedMetrics(c *client) map[string]func(stat string) awstest.Answers {
	eleven := func(more ...any) {
		for n := 1; n <= 11; n++ {
			c.metrics(datum("metric1", float64(n), more...))
		}
	}
	answer := func(key string, v any) awstest.Answers { return awstest.Answers{key: v} }
	topics := []any{object{"Name": "url", "Value": "/a"}}
	mixed := func() {
		c.metrics(datum("m-test", 5, "Unit", "Count"), datum("m-test", 1, "Unit", "Seconds"), datum("m-test", 10))
	}
	return map[string]func(string) awstest.Answers{
		"test_put_metric_data_values_list": func(string) awstest.Answers {
			c.do("PutMetricData", object{"Namespace": "n", "MetricData": []any{object{"MetricName": "test-metric", "Timestamp": noon, "Values": []any{1.0, 10.0}, "Counts": []any{2.0, 4.0}, "Unit": "Count"}}})
			return answer("get_metric_statistics", c.stats("test-metric", nil, "Sum", "Maximum", "SampleCount"))
		},
		"test_put_metric_data_validation": func(string) awstest.Answers {
			put := func(d object) any { return c.do("PutMetricData", object{"Namespace": "n", "MetricData": []any{d}}) }
			return awstest.Answers{"invalid-param-combination": put(datum("m", 1, "Values", []any{1.0})),
				"invalid-param-value":         put(object{"MetricName": "m", "Values": []any{1.0}, "Counts": []any{1.0, 2.0}}),
				"invalid-param-combination-2": put(datum("m", 1, "StatisticValues", object{"Sum": 10.0, "Minimum": 1.0, "Maximum": 5.0, "SampleCount": 3.0}))}
		},
		"test_get_metric_data_for_multiple_metrics": func(string) awstest.Answers {
			c.metrics(datum("metric1", 50), datum("metric2", 25), datum("metric3", 55))
			return answer("get_metric_data", c.results(metricQuery("result1", "metric1", "Sum"), metricQuery("result2", "metric2", "Sum"), metricQuery("result3", "metric3", "Sum")))
		},
		"test_get_metric_data_stats": func(stat string) awstest.Answers {
			eleven()
			return answer("get_metric_data", c.results(metricQuery("result1", "metric1", stat)))
		},
		"test_get_metric_data_with_dimensions": func(string) awstest.Answers {
			c.metrics(datum("metric1", 12))
			c.metrics(datum("metric1", 11, "Dimensions", topics))
			return answer("get_metric_data", c.results(metricQuery("result1", "metric1", "Sum", "Dimensions", topics)))
		},
		"test_get_metric_data_with_zero_and_labels": func(string) awstest.Answers {
			for _, v := range []float64{0, 2, 4, 3.5, 7, 100} {
				c.metrics(datum("metric1", v))
			}
			return answer("get_metric_data_with_zero_and_labels", c.results(metricQuery("result_Average", "metric1", "Average"), metricQuery("result_Sum", "metric1", "Sum"), metricQuery("result_Minimum", "metric1", "Minimum"), metricQuery("result_Maximum", "metric1", "Maximum")))
		},
		"test_get_metric_statistics": func(string) awstest.Answers {
			for n := range 10 {
				c.metrics(datum("metric", float64(n)))
			}
			return answer("get_metric_statistics", c.stats("metric", nil, "Average", "Sum", "Minimum", "Maximum", "SampleCount"))
		},
		"test_handle_different_units": func(string) awstest.Answers {
			mixed()
			return answer("get_metric_statistics_with_different_units", c.stats("m-test", nil, "Average"))
		},
		"test_get_metric_data_with_different_units": func(string) awstest.Answers {
			mixed()
			return answer("get_metric_data_with_different_units", c.results(metricQuery("m1", "m-test", "Average", "Unit", "Seconds")))
		},
		"test_get_metric_with_null_dimensions": func(string) awstest.Answers {
			c.metrics(datum("m", 1, "Dimensions", topics))
			return answer("get_metric_with_null_dimensions", c.results(metricQuery("m1", "m", "Sum")))
		},
		"test_get_metric_with_no_results": func(string) awstest.Answers {
			return answer("result", c.results(metricQuery("result", "m", "Sum")))
		},
		"test_multiple_dimensions_statistics": func(string) awstest.Answers {
			const name = "http.server.requests.count"
			dimensions := []any{}
			for _, d := range [][2]string{{"error", "none"}, {"exception", "none"}, {"method", "GET"}, {"outcome", "SUCCESS"}, {"uri", "/greetings"}, {"status", "200"}} {
				dimensions = append(dimensions, object{"Name": d[0], "Value": d[1]})
			}
			c.metrics(datum(name, 5, "Dimensions", dimensions, "Unit", "Count"))
			listed := c.do("ListMetrics", object{"Namespace": "n"})
			slices.SortFunc(listed["Metrics"].([]any)[0].(object)["Dimensions"].([]any), func(a, b any) int { return strings.Compare(a.(object)["Name"].(string), b.(object)["Name"].(string)) })
			return awstest.Answers{"get-metric-stats-max": c.results(metricQuery("result1", name, "Maximum", "Dimensions", dimensions)), "list-metrics": listed}
		},
		"test_invalid_amount_of_datapoints": func(string) awstest.Answers {
			return awstest.Answers{"error-invalid-amount-datapoints": c.stats("metric_name", object{"Period": 1, "StartTime": noon.Add(-24 * time.Hour), "EndTime": noon}, "SampleCount"),
				"error-invalid-time-frame": c.stats("metric_name", object{"StartTime": noon, "EndTime": noon}, "SampleCount"),
				"get-metric-statitics":     c.stats("metric_name", object{"Period": 60}, "SampleCount")}
		},
		"test_get_metric_data_different_units_no_unit_in_query": func(which string) awstest.Answers {
			sets := map[string][]object{"metric_data0": {datum("m-test", 60000, "Unit", "Milliseconds"), datum("m-test", 60, "Unit", "Seconds")},
				"metric_data1": {datum("m-test", 120, "Unit", "Seconds"), datum("m-test", 120000, "Unit", "Milliseconds")},
				"metric_data2": {datum("m-test", 5, "Unit", "Count"), datum("m-test", 10, "Unit", "Milliseconds"), datum("m-test", 60, "Unit", "Seconds")}}
			c.metrics(sets[which]...)
			return answer("get_metric_data_with_no_unit_specified", c.results(metricQuery("m1", "m-test", "Sum")))
		},
		"test_label_generation": func(which string) awstest.Answers {
			pair := map[string][2]string{"input_pairs0": {"Sum_60_Seconds", "Minimum_30_Seconds"}, "input_pairs1": {"Sum_60_Seconds", "Minimum_60_Seconds"}, "input_pairs2": {"Sum_60_Seconds", "Sum_30_Seconds"},
				"input_pairs3": {"Sum_60_Seconds", "Minimum_30_Milliseconds"}, "input_pairs4": {"Sum_60_Seconds", "Minimum_60_Milliseconds"}, "input_pairs5": {"Sum_60_Seconds", "Sum_30_Milliseconds"}, "input_pairs6": {"Sum_60_Seconds", "Sum_60_Milliseconds"}}[which]
			for _, v := range []float64{0, 2, 7, 100} {
				c.metrics(datum("metric1", v, "Unit", "Seconds"))
			}
			var queries []object
			for _, p := range pair {
				part := strings.Split(p, "_")
				queries = append(queries, metricQuery("result_"+p, "metric1", part[0], "Period", map[string]int{"60": 60, "30": 30}[part[1]], "Unit", part[2]))
			}
			return answer("label_generation", c.results(queries...))
		},
	}
}

// recordedAlarms make the calls of the recorded tests of alarms.
func recordedAlarms(c *client) map[string]func(string) awstest.Answers {
	put := func(in object) any { return c.do("PutMetricAlarm", in) }
	with := func(in object, more ...any) object {
		for i := 0; i+1 < len(more); i += 2 {
			in[more[i].(string)] = more[i+1]
		}
		return in
	}
	state := func(name, value, reason string) any {
		return c.do("SetAlarmState", object{"AlarmName": name, "StateValue": value, "StateReason": reason})
	}
	topic := func(name string) string { return "arn:aws:sns:" + awstest.Region + ":000000000000:" + name }
	tagging := func(name, created string, out awstest.Answers) awstest.Answers {
		out[created] = c.tagsOf(name)
		c.do("TagResource", object{"ResourceARN": alarmARN + name, "Tags": tagList("tag1", "foo", "tag2", "bar")})
		out["list_tags_for_resource_updated"] = c.tagsOf(name)
		c.do("UntagResource", object{"ResourceARN": alarmARN + name, "TagKeys": []any{"tag1"}})
		out["list_tags_for_resource_post_untag"] = c.tagsOf(name)
		c.do("DeleteAlarms", object{"AlarmNames": []any{name}})
		out["list_tags_for_deleted_resource"] = c.tagsOf(name)
		return out
	}
	return map[string]func(string) awstest.Answers{
		"test_describe_alarms_converts_date_format_correctly": func(string) awstest.Answers {
			put(minimal("a", "m", 60))
			return awstest.Answers{"describe-alarms": c.alarms("a")}
		},
		"test_describe_minimal_metric_alarm": func(string) awstest.Answers {
			put(minimal("a", "m", 10))
			return awstest.Answers{"describe_minimal_metric_alarm": c.alarms("a")}
		},
		"test_store_tags": func(string) awstest.Answers {
			out := awstest.Answers{"put_metric_alarm": put(minimal("a", "store_tags", 60)), "describe_alarms": c.alarms("a"), "list_tags_for_resource_empty ": c.tagsOf("a")}
			c.do("TagResource", object{"ResourceARN": alarmARN + "a", "Tags": tagList("tag1", "foo", "tag2", "bar")})
			out["list_tags_for_resource"] = c.tagsOf("a")
			c.do("UntagResource", object{"ResourceARN": alarmARN + "a", "TagKeys": []any{"tag1"}})
			out["list_tags_for_resource_post_untag"] = c.tagsOf("a")
			return out
		},
		"test_put_metric_alarm_escape_character": func(string) awstest.Answers {
			put(with(minimal("a", "m", 600), "AlarmDescription", "<", "AlarmActions", []any{"arn:aws:sns:" + awstest.Region + ":111122223333:MyTopic"}, "Threshold", 1))
			return awstest.Answers{"describe-alarms-escaped-character": c.alarms("a")}
		},
		"test_delete_alarm": func(string) awstest.Answers {
			put(minimal("a", "metric1", 60))
			out := awstest.Answers{"describe-alarm": c.alarms("a"), "delete-alarm": c.do("DeleteAlarms", object{"AlarmNames": []any{"a"}})}
			out["describe-after-delete"] = c.alarms("a")
			return out
		},
		"test_set_alarm": func(string) awstest.Answers {
			put(with(minimal("a", "CPUUtilization-3", 300), "Statistic", "Average", "EvaluationPeriods", 2, "Threshold", 50, "TreatMissingData", "ignore", "Unit", "Percent", "AlarmDescription", "Test Alarm when CPU exceeds 50 percent",
				"AlarmActions", []any{topic("up")}, "OKActions", []any{topic("ok")}, "Dimensions", []any{object{"Name": "InstanceId", "Value": "i-0317828c84edbe100"}}))
			state("a", "ALARM", "testing alarm")
			out := awstest.Answers{"triggered-alarm": c.alarms("a")}
			state("a", "OK", "resetting alarm")
			out["reset-alarm"] = c.alarms("a")
			return out
		},
		"test_set_alarm_invalid_input": func(string) awstest.Answers {
			put(minimal("a", "m", 60))
			return awstest.Answers{"error-invalid-state": state("a", "INVALID", "r"), "error-resource-not-found": state("nope", "OK", "r")}
		},
		"test_tagging_metric_alarm": func(string) awstest.Answers {
			return tagging("a", "list_tags_for_resource_after_creation", awstest.Answers{"put_metric_alarm": put(with(minimal("a", "m", 60), "Tags", tagList("Environment", "Production")))})
		},
		"test_tagging_composite_alarm": func(string) awstest.Answers {
			put(minimal("a", "m", 60))
			c.do("PutCompositeAlarm", object{"AlarmName": "c", "AlarmRule": "ALARM(a)", "Tags": tagList("Environment", "Production")})
			return tagging("c", "list_tags_for_resource_after_creation ", awstest.Answers{})
		},
		"test_trigger_composite_alarm": func(string) awstest.Answers {
			put(minimal("one", "m", 60))
			put(minimal("two", "m", 60))
			out := awstest.Answers{}
			out["put-composite-alarm"] = c.do("PutCompositeAlarm", object{"AlarmName": "both", "AlarmDescription": "composite alarm description", "AlarmActions": []any{topic("alarm")}, "OKActions": []any{topic("ok")},
				"AlarmRule": `ALARM("` + alarmARN + `one") OR ALARM("` + alarmARN + `two")`})
			look := func(key string) {
				c.now = c.now.Add(time.Second)
				answer := c.do("DescribeAlarms", object{"AlarmNames": []any{"both"}, "AlarmTypes": []any{"CompositeAlarm"}})
				out[key] = answer["CompositeAlarms"].([]any)[0]
			}
			state("one", "ALARM", "r")
			look("composite-alarm-in-alarm-when-alarm-1-is-in-alarm")
			state("one", "OK", "r")
			look("composite-alarm-in-ok-when-alarm-1-is-back-to-ok")
			state("two", "ALARM", "r")
			look("composite-alarm-in-alarm-when-alarm-2-is-in-alarm")
			state("two", "OK", "r")
			look("composite-alarm-in-ok-when-alarm-2-is-back-to-ok")
			state("one", "ALARM", "r")
			c.now = c.now.Add(time.Second)
			state("two", "ALARM", "r")
			look("composite-alarm-is-triggered-by-alarm-1-and-then-unchanged-by-alarm-2")
			return out
		},
	}
}

// TestRecordedAnswers compares what is answered here with what AWS answered.
func TestRecordedAnswers(t *testing.T) {
	t.Parallel()
	awstest.Recorded{File: "testdata/recorded.json", Region: awstest.Region, Different: differences, Share: "60 of 62"}.Compare(t, func(test string) func() awstest.Answers {
		name, argument, _ := strings.Cut(strings.TrimSuffix(test, "]"), "[query")
		c := open(t)
		calls := recordedMetrics(c)[name]
		if calls == nil {
			calls = recordedAlarms(c)[name]
		}
		if calls == nil {
			return nil
		}
		return func() awstest.Answers { return calls(strings.TrimPrefix(argument, "-")) }
	})
}
