package logs_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"showrunner/awsapi/awstest"
	"showrunner/awsapi/logs"
	"showrunner/store/record/recordtest"
)

type object = map[string]any

type client struct {
	*awstest.Client
	logs *logs.Logs
	now  time.Time
}

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func open(t *testing.T) *client {
	t.Helper()
	c := &client{now: noon}
	c.logs = logs.New(&recordtest.Records{}, func() time.Time { return c.now })
	c.Client = awstest.New(t, c.logs.Service())
	return c
}

func (c *client) call(operation string, in object) object { return c.Call("logs", operation, in) }

// refused calls an operation that has to fail with a code and a message.
func (c *client) refused(t *testing.T, operation string, in object, code, message string) {
	t.Helper()
	if _, got, text := c.Try("logs", operation, in); got != code || !strings.Contains(text, message) {
		t.Errorf("%s %v: %s %q, want %s %q", operation, in, got, text, code, message)
	}
}

func at(d time.Duration) int64 { return noon.Add(d).UnixMilli() }

func (c *client) put(stream string, first time.Duration, messages ...string) object {
	var events []object
	for i, m := range messages {
		events = append(events, object{"timestamp": at(first) + int64(i), "message": m})
	}
	return c.call("PutLogEvents", object{"logGroupName": "g", "logStreamName": stream, "logEvents": events})
}

func messages(out object) (list []string) {
	for _, e := range out["events"].([]any) {
		list = append(list, e.(object)["message"].(string))
	}
	return list
}

func (c *client) group(streams ...string) {
	c.call("CreateLogGroup", object{"logGroupName": "g"})
	for _, s := range streams {
		c.call("CreateLogStream", object{"logGroupName": "g", "logStreamName": s})
	}
}

func TestGroupsAndStreams(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.group("a", "ab")
	c.call("CreateLogGroup", object{"logGroupName": "gg", "tags": object{"k": "v"}})
	c.refused(t, "CreateLogGroup", object{"logGroupName": "g"}, "ResourceAlreadyExistsException", "The specified log group already exists")
	c.refused(t, "CreateLogStream", object{"logGroupName": "g", "logStreamName": "a"}, "ResourceAlreadyExistsException", "The specified log stream already exists")
	c.refused(t, "CreateLogStream", object{"logGroupName": "none", "logStreamName": "a"}, "ResourceNotFoundException", "The specified log group does not exist.")
	c.refused(t, "PutRetentionPolicy", object{"logGroupName": "g", "retentionInDays": 2}, "InvalidParameterException", "retentionInDays")
	c.refused(t, "DescribeLogStreams", object{"logGroupName": "g", "logGroupIdentifier": "g"}, "ValidationException", "LogGroup name and LogGroup ARN are mutually exclusive parameters.")
	c.put("ab", 0, "x")
	groups := c.call("DescribeLogGroups", object{"logGroupNamePrefix": "g"})["logGroups"].([]any)
	first := groups[0].(object)
	if len(groups) != 2 || first["logGroupName"] != "g" || first["arn"] != "arn:aws:logs:us-west-2:000000000000:log-group:g:*" || first["logGroupArn"] != "arn:aws:logs:us-west-2:000000000000:log-group:g" ||
		first["storedBytes"] != 27.0 || first["metricFilterCount"] != 0.0 || first["logGroupClass"] != "STANDARD" || first["retentionInDays"] != nil {
		t.Errorf("%v", groups)
	}
	streams := c.call("DescribeLogStreams", object{"logGroupIdentifier": "arn:aws:logs:us-west-2:000000000000:log-group:g", "orderBy": "LastEventTime", "descending": true, "limit": 1})
	if s := streams["logStreams"].([]any)[0].(object); s["logStreamName"] != "ab" || s["firstEventTimestamp"] != float64(at(0)) || s["arn"] != "arn:aws:logs:us-west-2:000000000000:log-group:g:log-stream:ab" {
		t.Errorf("%v", s)
	}
	next := c.call("DescribeLogStreams", object{"logGroupName": "g", "orderBy": "LastEventTime", "descending": true, "nextToken": streams["nextToken"]})["logStreams"].([]any)
	if len(next) != 1 || next[0].(object)["logStreamName"] != "a" || next[0].(object)["firstEventTimestamp"] != nil {
		t.Errorf("%v", next)
	}
	arn := "arn:aws:logs:us-west-2:000000000000:log-group:gg"
	c.call("TagResource", object{"resourceArn": arn, "tags": object{"l": "w"}})
	c.call("UntagResource", object{"resourceArn": arn, "tagKeys": []string{"k"}})
	if tags := c.call("ListTagsLogGroup", object{"logGroupName": "gg"})["tags"]; !reflect.DeepEqual(tags, object{"l": "w"}) {
		t.Errorf("%v", tags)
	}
	c.call("DeleteLogGroup", object{"logGroupName": "g"})
	c.refused(t, "GetLogEvents", object{"logGroupName": "g", "logStreamName": "ab"}, "ResourceNotFoundException", "The specified log group does not exist.")
	c.group("ab")
	if got := messages(c.call("GetLogEvents", object{"logGroupName": "g", "logStreamName": "ab"})); got != nil {
		t.Errorf("a new group of an old name has %v", got)
	}
}

// Events are read forwards and backwards by tokens; at the end the token stays until
// something new has come.
func TestEventsAreReadInOrder(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.group("a")
	c.put("a", time.Second, "3", "4", "5")
	c.put("a", 0, "1", "2") // later, and older
	get := func(more object) object {
		in := object{"logGroupName": "g", "logStreamName": "a", "limit": 2}
		for k, v := range more {
			in[k] = v
		}
		return c.call("GetLogEvents", in)
	}
	page := get(object{"startFromHead": true})
	if got := messages(page); !reflect.DeepEqual(got, []string{"1", "2"}) {
		t.Errorf("%v", got)
	}
	page = get(object{"nextToken": page["nextForwardToken"]})
	if got := messages(page); !reflect.DeepEqual(got, []string{"3", "4"}) {
		t.Errorf("%v", got)
	}
	last := get(object{"nextToken": page["nextForwardToken"]})
	end := get(object{"nextToken": last["nextForwardToken"]})
	if got := messages(last); !reflect.DeepEqual(got, []string{"5"}) || messages(end) != nil || end["nextForwardToken"] != last["nextForwardToken"] {
		t.Errorf("%v, then %v", got, end)
	}
	c.put("a", 2*time.Second, "6")
	if got := messages(get(object{"nextToken": end["nextForwardToken"]})); !reflect.DeepEqual(got, []string{"6"}) {
		t.Errorf("new: %v", got)
	}
	tail := get(nil)
	if got := messages(tail); !reflect.DeepEqual(got, []string{"5", "6"}) {
		t.Errorf("the newest: %v", got)
	}
	if got := messages(get(object{"nextToken": tail["nextBackwardToken"]})); !reflect.DeepEqual(got, []string{"3", "4"}) {
		t.Errorf("backwards: %v", got)
	}
	c.refused(t, "GetLogEvents", object{"logGroupName": "g", "logStreamName": "a", "nextToken": "x"}, "InvalidParameterException", "The specified nextToken is invalid.")
	c.refused(t, "GetLogEvents", object{"logGroupName": "g", "logStreamName": "none"}, "ResourceNotFoundException", "The specified log stream does not exist.")
}

func TestEventsThatAreNotKept(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.group("a")
	c.refused(t, "PutLogEvents", object{"logGroupName": "g", "logStreamName": "none", "logEvents": []object{{"timestamp": at(0), "message": "x"}}}, "ResourceNotFoundException", "The specified log stream does not exist.")
	c.refused(t, "PutLogEvents", object{"logGroupName": "g", "logStreamName": "a", "logEvents": []object{{"timestamp": at(1), "message": "x"}, {"timestamp": at(0) - 1, "message": "x"}}}, "InvalidParameterException", "Log events in a single PutLogEvents request must be in chronological order.")
	day := 24 * time.Hour
	out := c.call("PutLogEvents", object{"logGroupName": "g", "logStreamName": "a", "logEvents": []object{{"timestamp": at(-20 * day), "message": "old"}, {"timestamp": at(0), "message": "kept"}, {"timestamp": at(3 * time.Hour), "message": "new"}}})
	if info := out["rejectedLogEventsInfo"]; !reflect.DeepEqual(info, object{"tooOldLogEventEndIndex": 1.0, "tooNewLogEventStartIndex": 2.0}) {
		t.Errorf("%v", info)
	}
	if got := messages(c.call("FilterLogEvents", object{"logGroupName": "g"})); !reflect.DeepEqual(got, []string{"kept"}) {
		t.Errorf("%v", got)
	}
	// What the group no longer keeps is not shown, and is removed.
	c.call("PutRetentionPolicy", object{"logGroupName": "g", "retentionInDays": 1})
	c.now = noon.Add(25 * time.Hour)
	if got := messages(c.call("FilterLogEvents", object{"logGroupName": "g"})); got != nil {
		t.Errorf("expired: %v", got)
	}
	if err := c.logs.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.call("DeleteRetentionPolicy", object{"logGroupName": "g"})
	if got := messages(c.call("FilterLogEvents", object{"logGroupName": "g"})); got != nil {
		t.Errorf("swept: %v", got)
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.group("a", "b", "c1")
	c.put("a", 0, "ERROR disk full", "warn disk", `{"level":"error","code":503,"user":{"id":"u-1"},"gone":null,"tags":["x","y"]}`)
	c.put("b", time.Second, "ERROR network")
	for pattern, want := range map[string]int{
		"": 4, "ERROR": 2, "ERROR disk": 1, `"disk full"`: 1, "?full ?network": 2, "disk -ERROR": 1, "error": 1,
		`{ $.level = "error" }`: 1, `{ $.code >= 500 && $.code < 504 }`: 1, `{ $.code = 404 || $.user.id = "u-*" }`: 1, `{ $.gone IS NULL }`: 1,
		`{ $.none NOT EXISTS }`: 1, `{ $.level != "error" }`: 0, `{ $.tags[1] = y }`: 1, `{ ($.code = 503) }`: 1,
		`%disk \w{4}$%`: 1, `?%^warn% ?network`: 2, `{ $.level = %^err% }`: 1, `{ $.level != %^err% }`: 0,
		"[level, what]": 2, "[level, ...]": 4, "[level=ERROR, ..., last=full]": 1, "[(level=ERROR || level=warn), what=disk, ...]": 2, "[level!=ERROR, what]": 1, "[level=%^E%, ...]": 2,
	} {
		if got := messages(c.call("FilterLogEvents", object{"logGroupName": "g", "filterPattern": pattern})); len(got) != want {
			t.Errorf("%s: %v", pattern, got)
		}
	}
	for _, pattern := range []string{"[a, b", "[a, b > x]", "[..., a, ...]", "[a=1 && b=2]", "%x", "%(%", "{ $.a > %x% }", `"open`, "{ $.a = 1", "{ a = 1 }", "{ $.a }", "{ $.a > x }", "{ $.a = 1 } x", "{ " + strings.Repeat("(", 100) + "$.a = 1 }"} {
		c.refused(t, "FilterLogEvents", object{"logGroupName": "g", "filterPattern": pattern}, "InvalidParameterException", "Invalid filter pattern")
	}
	if got := messages(c.call("FilterLogEvents", object{"logGroupName": "g", "logStreamNames": []string{"b"}})); len(got) != 1 {
		t.Errorf("%v", got)
	}
	var all []string
	token := any(nil)
	for range 10 {
		in := object{"logGroupName": "g", "limit": 1}
		if token != nil {
			in["nextToken"] = token
		}
		out := c.call("FilterLogEvents", in)
		all = append(all, messages(out)...)
		if token = out["nextToken"]; token == nil {
			break
		}
	}
	if len(all) != 4 {
		t.Errorf("pages: %v", all)
	}
	if got := fmt.Sprint(c.call("TestMetricFilter", object{"filterPattern": "x", "logEventMessages": []string{"a", "x"}})["matches"]); got != "[map[eventMessage:x eventNumber:2]]" {
		t.Errorf("%s", got)
	}
}

// A metric filter makes values of the events that match, with numbers and dimensions of
// their members, also of events that something here has appended.
func TestMetricFiltersMeasure(t *testing.T) {
	t.Parallel()
	c := open(t)
	var seen []string
	c.logs.Measure = func(_ context.Context, region string, values []logs.Value) error {
		for _, v := range values {
			seen = append(seen, fmt.Sprint(region, " ", v.Namespace, "/", v.Name, " ", v.Value, " ", v.Unit, v.Dimensions, " ", v.At.UTC().Format(time.TimeOnly)))
		}
		return nil
	}
	c.call("CreateLogGroup", object{"logGroupName": "g"})
	c.call("CreateLogStream", object{"logGroupName": "g", "logStreamName": "s"})
	put := func(name, pattern string, metric object) {
		c.call("PutMetricFilter", object{"logGroupName": "g", "filterName": name, "filterPattern": pattern, "metricTransformations": []any{metric}})
	}
	put("errors", "ERROR", object{"metricName": "errors", "metricNamespace": "n", "metricValue": "1", "defaultValue": 0, "unit": "Count"})
	put("latency", "{ $.ms > 100 }", object{"metricName": "slow", "metricNamespace": "n", "metricValue": "$.ms", "dimensions": object{"Path": "$.request.path"}})
	events := func(messages ...string) []any {
		var out []any
		for n, m := range messages {
			out = append(out, object{"timestamp": noon.Add(time.Duration(n) * time.Second).UnixMilli(), "message": m})
		}
		return out
	}
	c.call("PutLogEvents", object{"logGroupName": "g", "logStreamName": "s", "logEvents": events("an ERROR", "fine", `{"ms": 250.5, "request": {"path": "/a"}}`, `{"ms": 300}`, `{"ms": 5, "request": {"path": "/a"}}`)})
	c.call("PutLogEvents", object{"logGroupName": "g", "logStreamName": "s", "logEvents": events("fine")})
	if err := c.logs.Append(t.Context(), awstest.Region, "g", "own", []logs.Line{{At: noon, Text: "ERROR again"}}); err != nil {
		t.Fatal(err)
	}
	want := []string{"us-west-2 n/errors 1 Count[] 12:00:00", "us-west-2 n/slow 250.5 [Path /a] 12:00:02", "us-west-2 n/errors 0 Count[] 12:00:00", "us-west-2 n/errors 1 Count[] 12:00:00"}
	if !reflect.DeepEqual(seen, want) {
		t.Errorf("the values are\n%s\nnot\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
	if got := c.call("DescribeLogGroups", object{})["logGroups"].([]any)[0].(object)["metricFilterCount"]; got != 2.0 {
		t.Errorf("the group counts %v filters", got)
	}
	c.call("DeleteMetricFilter", object{"logGroupName": "g", "filterName": "errors"})
	c.refused(t, "DeleteMetricFilter", object{"logGroupName": "g", "filterName": "errors"}, "ResourceNotFoundException", "The specified metric filter does not exist.")
	c.refused(t, "PutMetricFilter", object{"logGroupName": "g", "filterName": "f", "filterPattern": "x", "metricTransformations": []any{object{"metricName": "m", "metricNamespace": "AWS/EC2", "metricValue": "1"}}}, "InvalidParameterException", "AWS's own")
	c.refused(t, "DescribeMetricFilters", object{"metricName": "m"}, "InvalidParameterException", "together")
}

func TestMessagesDividedBySpaces(t *testing.T) {
	t.Parallel()
	c := open(t)
	line := `127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534`
	out := c.call("TestMetricFilter", object{"filterPattern": `[ip, id, user, at, request=*html*, status=4*, bytes>1000]`, "logEventMessages": []string{line, "short"}})
	matches := out["matches"].([]any)
	if len(matches) != 1 {
		t.Fatalf("%v", matches)
	}
	want := object{"$ip": "127.0.0.1", "$id": "-", "$user": "frank", "$at": "10/Oct/2000:13:25:15 -0700", "$request": "GET /index.html HTTP/1.0", "$status": "404", "$bytes": "1534"}
	if got := matches[0].(object)["extractedValues"]; !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
}
