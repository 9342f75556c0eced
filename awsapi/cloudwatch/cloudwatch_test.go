package cloudwatch_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"showrunner/awsapi/awstest"
	"showrunner/awsapi/cloudwatch"
	"showrunner/store/record/recordtest"
	"showrunner/telemetry"
)

type object = map[string]any

const service = "monitoring"

type client struct {
	t *testing.T
	*awstest.Client
	cloudwatch *cloudwatch.CloudWatch
	now        time.Time
	acted      []string
	actFails   error
}

var noon = time.Date(2026, 3, 4, 12, 0, 30, 0, time.UTC)

func open(t *testing.T) *client {
	t.Helper()
	metrics, err := telemetry.Open(t.TempDir(), telemetry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { metrics.Close() })
	c := &client{t: t, now: noon}
	act := func(_ context.Context, region, arn string, change cloudwatch.Change) error {
		c.acted = append(c.acted, fmt.Sprintf("%s %s %s", arn, change.Old, change.New))
		return c.actFails
	}
	c.cloudwatch = cloudwatch.New(&recordtest.Records{}, metrics, act, func() time.Time { return c.now })
	c.Client = awstest.New(t, c.cloudwatch.Service())
	return c
}

func (c *client) put(data ...object) {
	list := make([]any, len(data))
	for i, d := range data {
		list[i] = d
	}
	c.Call(service, "PutMetricData", object{"Namespace": "n", "MetricData": list})
}

// at is a time as JSON has it.
func at(t time.Time) float64 { return float64(t.Unix()) }

func (c *client) statistics(more object) []any {
	in := object{"Namespace": "n", "MetricName": "m", "StartTime": at(noon.Add(-time.Hour)), "EndTime": at(noon.Add(time.Hour)), "Period": 60}
	for k, v := range more {
		in[k] = v
	}
	return c.Call(service, "GetMetricStatistics", in)["Datapoints"].([]any)
}

// Values of one time add up and never replace each other; each unit and each set of
// dimensions is a metric of its own.
func TestStatistics(t *testing.T) {
	t.Parallel()
	c := open(t)
	for v := range 10 {
		c.put(object{"MetricName": "m", "Value": v, "Timestamp": at(noon)})
	}
	c.put(object{"MetricName": "m", "Values": []float64{1, 10}, "Counts": []float64{2, 4}, "Unit": "Count"},
		object{"MetricName": "m", "StatisticValues": object{"SampleCount": 3, "Sum": 30, "Minimum": 5, "Maximum": 20}, "Unit": "Bytes"},
		object{"MetricName": "m", "Value": 99, "Dimensions": []any{object{"Name": "a", "Value": "b"}}})
	all := []string{"SampleCount", "Average", "Sum", "Minimum", "Maximum"}
	byUnit := map[string]any{}
	for _, p := range c.statistics(object{"Statistics": all}) {
		d := p.(object)
		byUnit[d["Unit"].(string)] = []any{d["SampleCount"], d["Sum"], d["Average"], d["Minimum"], d["Maximum"], d["Timestamp"]}
	}
	start := at(noon.Truncate(time.Minute))
	want := map[string]any{
		"None": []any{10.0, 45.0, 4.5, 0.0, 9.0, start}, "Count": []any{6.0, 42.0, 7.0, 1.0, 10.0, start}, "Bytes": []any{3.0, 30.0, 10.0, 5.0, 20.0, start},
	}
	if !reflect.DeepEqual(byUnit, want) {
		t.Errorf("%v\nwant %v", byUnit, want)
	}
	p := c.statistics(object{"ExtendedStatistics": []string{"p50", "p90", "p100"}, "Unit": "None"})[0].(object)["ExtendedStatistics"]
	if !reflect.DeepEqual(p, object{"p50": 4.5, "p90": 8.1, "p100": 9.0}) {
		t.Errorf("percentiles %v", p)
	}
	if p := c.statistics(object{"ExtendedStatistics": []string{"p50"}, "Unit": "Bytes"})[0].(object)["ExtendedStatistics"]; p != nil {
		t.Errorf("a percentile of a set: %v", p)
	}
	metrics := c.Call(service, "ListMetrics", object{"Namespace": "n"})["Metrics"].([]any)
	if len(metrics) != 2 {
		t.Errorf("%v", metrics)
	}
	if metrics := c.Call(service, "ListMetrics", object{"Dimensions": []any{object{"Name": "a"}}})["Metrics"].([]any); len(metrics) != 1 || !reflect.DeepEqual(metrics[0].(object)["Dimensions"], []any{object{"Name": "a", "Value": "b"}}) {
		t.Errorf("%v", metrics)
	}
}

func TestWhatCannotBePut(t *testing.T) {
	t.Parallel()
	c := open(t)
	for _, x := range []struct {
		datum         object
		code, message string
	}{
		{object{"Value": 1, "Values": []int{1}}, "InvalidParameterCombination", "The parameters MetricData.member.1.Value and MetricData.member.1.Values are mutually exclusive and you have specified both."},
		{object{"Value": 1, "StatisticValues": object{"SampleCount": 1, "Sum": 1, "Minimum": 1, "Maximum": 1}}, "InvalidParameterCombination", "The parameters MetricData.member.1.Value and MetricData.member.1.StatisticValues are mutually exclusive and you have specified both."},
		{object{"Values": []int{1, 2}, "Counts": []int{1}}, "InvalidParameterValue", "The parameters MetricData.member.1.Values and MetricData.member.1.Counts must be of the same size."},
		{object{}, "MissingParameter", ""},
		{object{"Value": 1, "Timestamp": at(noon.Add(-15 * 24 * time.Hour))}, "InvalidParameterValue", ""},
		{object{"Value": 1, "Timestamp": at(noon.Add(3 * time.Hour))}, "InvalidParameterValue", ""},
		{object{"Value": 1e200}, "InvalidParameterValue", ""},
		{object{"Value": 1, "Unit": "Parsecs"}, "InvalidParameterValue", "The parameter MetricData.member.1.Unit must be a value in the set [ Seconds,"},
		{object{"Value": 1, "StorageResolution": 30}, "InvalidParameterValue", ""},
	} {
		x.datum["MetricName"] = "m"
		_, code, message := c.Try(service, "PutMetricData", object{"Namespace": "n", "MetricData": []any{x.datum}})
		if code == "" || !strings.HasPrefix(code, x.code) && code != "MissingRequiredParameterException" || !strings.Contains(message, x.message) {
			t.Errorf("%v: %s %q", x.datum, code, message)
		}
	}
	if _, code, _ := c.Try(service, "PutMetricData", object{"Namespace": "AWS/EC2", "MetricData": []any{object{"MetricName": "m", "Value": 1}}}); code != "InvalidParameterValueException" {
		t.Errorf("AWS/EC2: %s", code)
	}
	if n := c.statistics(object{"Statistics": []string{"Sum"}}); len(n) != 0 {
		t.Errorf("something was kept: %v", n)
	}
	if _, code, message := c.Try(service, "GetMetricStatistics", object{"Namespace": "n", "MetricName": "m", "StartTime": at(noon.Add(-24 * time.Hour)), "EndTime": at(noon), "Period": 1, "Statistics": []string{"Sum"}}); code != "InvalidParameterCombinationException" || !strings.HasPrefix(message, "You have requested up to 86") {
		t.Errorf("%s %s", code, message)
	}
}

func (c *client) data(queries ...object) []any {
	list := make([]any, len(queries))
	for i, q := range queries {
		list[i] = q
	}
	return c.Call(service, "GetMetricData", object{"StartTime": at(noon.Add(-time.Hour)), "EndTime": at(noon.Add(time.Hour)), "MetricDataQueries": list, "ScanBy": "TimestampAscending"})["MetricDataResults"].([]any)
}

func stat(id, name, statistic string, period int) object {
	return object{"Id": id, "MetricStat": object{"Metric": object{"Namespace": "n", "MetricName": name}, "Period": period, "Stat": statistic}}
}

func TestMetricMaths(t *testing.T) {
	t.Parallel()
	c := open(t)
	for i, v := range []float64{10, 20, 40} {
		when := at(noon.Add(time.Duration(i) * time.Minute))
		c.put(object{"MetricName": "requests", "Value": v, "Timestamp": when})
		if i != 1 {
			c.put(object{"MetricName": "errors", "Value": v / 10, "Timestamp": when})
		}
	}
	for text, want := range map[string][]any{
		"m1 + m2":                                              {11.0, 44.0},
		"100 * m2 / m1":                                        {10.0, 10.0},
		"SUM([m1, m2])":                                        {11.0, 20.0, 44.0},
		"SUM(METRICS())":                                       {11.0, 20.0, 44.0},
		"MAX(METRICS(\"1\"))":                                  {10.0, 20.0, 40.0},
		"FILL(m2, 0)":                                          nil, // the whole range
		"m1 / (m1 - 20)":                                       {-1.0, 2.0},
		"DIFF(m1)":                                             {10.0, 20.0},
		"RATE(m1)":                                             {10.0 / 60, 20.0 / 60},
		"RUNNING_SUM(m1)":                                      {10.0, 30.0, 70.0},
		"IF(m1 > 15, m1, 0 - 1)":                               {-1.0, 20.0, 40.0},
		"m1 > 15 AND m1 < 30":                                  {0.0, 1.0, 0.0},
		"-m1 ^ 2 * 0 + ABS(0 - m1)":                            {10.0, 20.0, 40.0},
		"m1 * PERIOD(m1) / PERIOD(m1)":                         {10.0, 20.0, 40.0},
		"SUM(SORT(METRICS(), AVG, DESC, 1))":                   {10.0, 20.0, 40.0},
		"FIRST(SORT(METRICS(), MAX, ASC))":                     {1.0, 4.0},
		"LAST(SORT(METRICS(), SUM, ASC))":                      {10.0, 20.0, 40.0},
		"SUM(SLICE(SORT(METRICS(), AVG, DESC), 1))":            {1.0, 4.0},
		"SUM(SLICE(SORT(METRICS(), AVG, DESC), 0, 1))":         {10.0, 20.0, 40.0},
		"SUM(REMOVE_EMPTY([m2, IF(m1 > 100, m1)]))":            {1.0, 4.0},
		"m1 * 0 + DATAPOINT_COUNT(m2)":                         {2.0, 2.0, 2.0},
		"DIFF_TIME(m2)":                                        {120.0},
		"MINUTE(m1) + 100 * HOUR(m1)":                          {1200.0, 1201.0, 1202.0},
		"EPOCH(m2) - EPOCH(m2) + DAY(m2) * 0 + MONTH(m2) * 0":  {0.0, 0.0},
		"m1 - MAX(m1) + SUM(m1) / METRIC_COUNT(METRICS()) * 0": {-30.0, -20.0, 0.0},
	} {
		got := c.data(stat("m1", "requests", "Sum", 60), stat("m2", "errors", "Sum", 60), object{"Id": "e1", "Expression": text, "Label": "x"})
		r := got[len(got)-1].(object)
		values := r["Values"].([]any)
		if want == nil {
			if len(values) != 121 {
				t.Errorf("%s: %d values", text, len(values))
			}
			continue
		}
		if !reflect.DeepEqual(values, want) || r["Label"] != "x" || r["StatusCode"] != "Complete" {
			t.Errorf("%s: %v, want %v", text, values, want)
		}
	}
	for text, want := range map[string]string{
		"m1 +": "a value is missing", "m1 ** 2": "a value is missing", "NOPE(m1)": "NOPE is not served", "SORT(m1, MEDIAN, ASC)": "\"MEDIAN\" stands where", "SLICE(m1, 0)": "several series", "SEARCH('x', 'Sum')": "SEARCH is not served", "m9": "which no query has",
		"SUM(m1": "is missing", "SELECT AVG(x)": "SQL", "e1 + 1": "uses itself", "FILL(m1)": "is missing", strings.Repeat("(", 500) + "m1": "too deeply",
	} {
		_, code, message := c.Try(service, "GetMetricData", object{"StartTime": at(noon.Add(-time.Hour)), "EndTime": at(noon), "MetricDataQueries": []any{stat("m1", "requests", "Sum", 60), object{"Id": "e1", "Expression": text}}})
		if code != "ValidationError" || !strings.Contains(message, want) {
			t.Errorf("%.40s: %s %s", text, code, message)
		}
	}
}

// Labels tell series of one metric apart, several units are named, and pages hold all.
func TestLabelsUnitsAndPages(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.put(object{"MetricName": "m", "Value": 60000, "Unit": "Milliseconds"}, object{"MetricName": "m", "Value": 5, "Unit": "Seconds"})
	labels := func(queries ...object) (out []any) {
		for _, r := range c.data(queries...) {
			out = append(out, r.(object)["Label"])
		}
		return out
	}
	for _, x := range []struct{ got, want []any }{
		{labels(stat("a", "m", "Sum", 60), stat("b", "m", "Minimum", 30)), []any{"m Sum 60", "m Minimum 30"}},
		{labels(stat("a", "m", "Sum", 60), stat("b", "m", "Minimum", 60)), []any{"m Sum", "m Minimum"}},
		{labels(stat("a", "m", "Sum", 60), stat("b", "m", "Sum", 30)), []any{"m 60", "m 30"}},
		{labels(stat("a", "m", "Sum", 60), stat("b", "m", "Sum", 60)), []any{"m", "m"}},
	} {
		if !reflect.DeepEqual(x.got, x.want) {
			t.Errorf("%v, want %v", x.got, x.want)
		}
	}
	r := c.data(stat("a", "m", "Sum", 60))[0].(object)
	if !reflect.DeepEqual(r["Values"], []any{60000.0}) || !reflect.DeepEqual(r["Messages"], []any{object{"Code": "MultipleUnits", "Value": "Multiple units returned: '[Milliseconds, Seconds]'"}}) {
		t.Errorf("%v", r)
	}
	for i := range 5 {
		c.put(object{"MetricName": "p", "Value": i, "Timestamp": at(noon.Add(time.Duration(i) * time.Minute))})
	}
	var all []any
	token := any(nil)
	for pages := 0; ; pages++ {
		in := object{"StartTime": at(noon.Add(-time.Hour)), "EndTime": at(noon.Add(time.Hour)), "MaxDatapoints": 2, "ScanBy": "TimestampAscending", "MetricDataQueries": []any{stat("a", "p", "Sum", 60)}}
		if token != nil {
			in["NextToken"] = token
		}
		out := c.Call(service, "GetMetricData", in)
		r := out["MetricDataResults"].([]any)[0].(object)
		all = append(all, r["Values"].([]any)...)
		if token = out["NextToken"]; token == nil {
			if pages != 2 || r["StatusCode"] != "Complete" {
				t.Errorf("%d pages, the last is %v", pages+1, r["StatusCode"])
			}
			break
		}
	}
	if !reflect.DeepEqual(all, []any{0.0, 1.0, 2.0, 3.0, 4.0}) {
		t.Errorf("%v", all)
	}
}

func (c *client) alarm(name string) object {
	list := c.Call(service, "DescribeAlarms", object{"AlarmNames": []string{name}, "AlarmTypes": []string{"MetricAlarm", "CompositeAlarm"}})
	return append(list["MetricAlarms"].([]any), list["CompositeAlarms"].([]any)...)[0].(object)
}

// later passes time, round by round, as Run does.
func (c *client) later(d time.Duration) {
	c.t.Helper()
	for end := c.now.Add(d); c.now.Before(end); {
		c.now = c.now.Truncate(10 * time.Second).Add(10 * time.Second)
		if err := c.cloudwatch.Round(c.t.Context()); err != nil {
			c.t.Fatal(err)
		}
	}
}

const topic, policy = "arn:aws:sns:us-west-2:000000000000:t", "arn:aws:autoscaling:us-west-2:000000000000:scalingPolicy:1:autoScalingGroupName/g:policyName/p"

func (c *client) putAlarm(name string, more object) {
	in := object{"AlarmName": name, "Namespace": "n", "MetricName": "m", "Statistic": "Average", "Period": 60, "EvaluationPeriods": 2, "Threshold": 50, "ComparisonOperator": "GreaterThanThreshold"}
	for k, v := range more {
		in[k] = v
	}
	c.Call(service, "PutMetricAlarm", in)
}

// An alarm goes through its states as its metric does, acts on transitions, scales again
// each minute while it lasts, and its history has it all.
func TestAlarmsActOnTransitions(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.putAlarm("high", object{"AlarmActions": []string{topic, policy}, "OKActions": []string{topic}, "AlarmDescription": "<"})
	c.Call(service, "PutCompositeAlarm", object{"AlarmName": "both", "AlarmRule": `ALARM("high") AND NOT OK(high)`, "AlarmActions": []string{topic}})
	a := c.alarm("high")
	if a["StateValue"] != "INSUFFICIENT_DATA" || a["StateReason"] != "Unchecked: Initial alarm creation" || a["AlarmArn"] != "arn:aws:cloudwatch:us-west-2:000000000000:alarm:high" || a["ActionsEnabled"] != true || a["AlarmDescription"] != "<" {
		t.Errorf("%v", a)
	}
	c.put(object{"MetricName": "m", "Value": 80}, object{"MetricName": "m", "Value": 90, "Timestamp": at(c.now.Add(time.Minute))})
	c.later(100 * time.Second)
	if a := c.alarm("high"); a["StateValue"] != "ALARM" || !strings.HasPrefix(a["StateReason"].(string), "Threshold Crossed: 2 datapoints [90.0 (04/03/26 12:01:00), 80.0 (04/03/26 12:00:00)] were greater than the threshold (50.0).") {
		t.Errorf("%v", a)
	}
	if a := c.alarm("both"); a["StateValue"] != "ALARM" {
		t.Errorf("composite: %v", a)
	}
	want := []string{topic + " INSUFFICIENT_DATA ALARM", policy + " INSUFFICIENT_DATA ALARM", topic + " OK ALARM"}
	if !reflect.DeepEqual(c.acted, want) && !reflect.DeepEqual(c.acted, []string{want[0], want[1], topic + " INSUFFICIENT_DATA ALARM"}) {
		t.Errorf("acted %v", c.acted)
	}
	c.acted = nil
	c.put(object{"MetricName": "m", "Value": 85, "Timestamp": at(c.now)}, object{"MetricName": "m", "Value": 85, "Timestamp": at(c.now.Add(time.Minute))})
	c.later(125 * time.Second)
	if len(c.acted) < 1 || len(c.acted) > 2 || c.acted[0] != policy+" INSUFFICIENT_DATA ALARM" {
		t.Errorf("while it lasts: %v", c.acted)
	}
	c.acted, c.actFails = nil, errors.New("no such topic")
	for i := range 3 {
		c.put(object{"MetricName": "m", "Value": 10, "Timestamp": at(c.now.Add(time.Duration(i) * time.Minute))})
	}
	c.later(3 * time.Minute)
	if a := c.alarm("high"); a["StateValue"] != "OK" {
		t.Errorf("%v", a)
	}
	if a := c.alarm("both"); a["StateValue"] != "OK" {
		t.Errorf("composite: %v", a)
	}
	var kinds []string
	for _, h := range c.Call(service, "DescribeAlarmHistory", object{"AlarmName": "high", "ScanBy": "TimestampAscending"})["AlarmHistoryItems"].([]any) {
		kinds = append(kinds, h.(object)["HistorySummary"].(string))
	}
	text := strings.Join(kinds, "\n")
	for _, part := range []string{`Alarm "high" created`, "Alarm updated from INSUFFICIENT_DATA to ALARM", "Successfully executed action " + policy, "Alarm updated from ALARM to OK", "Failed to execute action " + topic, "no such topic"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
}

// Actions that were due when a control plane died are carried out once by the next.
func TestStateSetByHandLastsUntilTheNextRound(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.putAlarm("a", object{"AlarmActions": []string{topic}, "TreatMissingData": "notBreaching", "Period": 10, "EvaluationPeriods": 1})
	c.Call(service, "SetAlarmState", object{"AlarmName": "a", "StateValue": "ALARM", "StateReason": "testing"})
	if a := c.alarm("a"); a["StateValue"] != "ALARM" || a["StateReason"] != "testing" || len(c.acted) != 1 {
		t.Errorf("%v %v", a, c.acted)
	}
	c.later(10 * time.Second)
	if a := c.alarm("a"); a["StateValue"] != "OK" || !strings.HasPrefix(a["StateReason"].(string), "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated as [NonBreaching].") {
		t.Errorf("%v", a)
	}
	c.Call(service, "DisableAlarmActions", object{"AlarmNames": []string{"a"}})
	c.Call(service, "SetAlarmState", object{"AlarmName": "a", "StateValue": "ALARM", "StateReason": "testing"})
	if len(c.acted) != 1 || c.alarm("a")["ActionsEnabled"] != false {
		t.Errorf("disabled, and it acted: %v", c.acted)
	}
	c.Call(service, "DeleteAlarms", object{"AlarmNames": []string{"a"}})
	if _, code, message := c.Try(service, "SetAlarmState", object{"AlarmName": "a", "StateValue": "OK", "StateReason": ""}); code != "ResourceNotFound" || message != "" {
		t.Errorf("%s %q", code, message)
	}
	if _, _, message := c.Try(service, "SetAlarmState", object{"AlarmName": "a", "StateValue": "INVALID", "StateReason": ""}); !strings.Contains(message, "1 validation error detected: Value 'INVALID' at 'stateValue' failed to satisfy constraint: Member must satisfy enum value set: [") {
		t.Errorf("%q", message)
	}
}

func TestAlarmsThatCannotBe(t *testing.T) {
	t.Parallel()
	c := open(t)
	for want, more := range map[string]object{
		"either Statistic or ExtendedStatistic": {"Statistic": nil},
		"period of 10, 20, 30":                  {"Period": 45},
		"across more than a day":                {"Period": 600, "EvaluationPeriods": 200},
		"no larger than EvaluationPeriods":      {"DatapointsToAlarm": 3},
		"treatMissingData":                      {"TreatMissingData": "maybe"},
		"anomaly detection":                     {"ComparisonOperator": "GreaterThanUpperThreshold"},
		"Threshold is required":                 {"Threshold": nil},
		"statistic is invalid":                  {"Statistic": nil, "ExtendedStatistic": "xy90"},
		"cannot be combined":                    {"Metrics": []any{stat("m1", "m", "Sum", 60)}},
	} {
		in := object{"AlarmName": "x", "Namespace": "n", "MetricName": "m", "Statistic": "Average", "Period": 60, "EvaluationPeriods": 2, "Threshold": 50, "ComparisonOperator": "GreaterThanThreshold"}
		for k, v := range more {
			if in[k] = v; v == nil {
				delete(in, k)
			}
		}
		if _, _, message := c.Try(service, "PutMetricAlarm", in); !strings.Contains(message, want) {
			t.Errorf("%s: %q", want, message)
		}
	}
	for rule, want := range map[string]string{"ALARM(none)": "invalid alarm", "ALARM": "has no alarm", "MAYBE(a)": "no condition", "(TRUE": "not closed", "TRUE FALSE": "unexpected", strings.Repeat("NOT ", 300) + "TRUE": "too deeply"} {
		if _, _, message := c.Try(service, "PutCompositeAlarm", object{"AlarmName": "c", "AlarmRule": rule}); !strings.Contains(message, want) {
			t.Errorf("%.20s: %q", rule, message)
		}
	}
}
