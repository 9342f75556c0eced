package logs_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"reflect"
	"testing"

	"showrunner/awsapi/wire"
)

// destinations are a stream and a function that are there, and what they got.
type destinations struct {
	away bool
	got  []object
}

func (d *destinations) Call(_ context.Context, _ wire.Call, _, operation string, in map[string]any) (map[string]any, error) {
	if d.away || in["StreamName"] == "none" {
		return nil, wire.Errorf("ResourceNotFoundException", "it is away")
	}
	var data []byte
	switch operation {
	case "PutRecord":
		data = in["Data"].([]byte)
	case "Invoke":
		if in["InvocationType"] == "DryRun" {
			return nil, nil
		}
		var event struct{ Awslogs struct{ Data string } }
		if err := json.Unmarshal(in["Payload"].([]byte), &event); err != nil {
			return nil, err
		}
		var err error
		if data, err = base64.StdEncoding.DecodeString(event.Awslogs.Data); err != nil {
			return nil, err
		}
	default:
		return nil, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var out object
	d.got = append(d.got, out)
	return nil, json.Unmarshal(text, &d.got[len(d.got)-1])
}

func TestSubscriptionsAreSentWhatMatches(t *testing.T) {
	t.Parallel()
	c := open(t)
	to := &destinations{}
	c.logs.Services, c.logs.Account = to, "000000000000"
	c.group("a")
	stream, function := "arn:aws:kinesis:us-west-2:000000000000:stream/s", "arn:aws:lambda:us-west-2:000000000000:function:f"
	put := func(name, pattern, destination, role string) object {
		in := object{"logGroupName": "g", "filterName": name, "filterPattern": pattern, "destinationArn": destination}
		if role != "" {
			in["roleArn"] = role
		}
		return in
	}
	c.refused(t, "PutSubscriptionFilter", put("s", "", "arn:aws:kinesis:us-west-2:000000000000:stream/none", "r"), "InvalidParameterException", "Could not deliver test message to specified Kinesis stream")
	c.refused(t, "PutSubscriptionFilter", put("s", "", stream, ""), "InvalidParameterException", "roleArn")
	c.refused(t, "PutSubscriptionFilter", put("s", "", "arn:aws:firehose:us-west-2:000000000000:deliverystream/x", "r"), "InvalidParameterException", "Invalid destination")
	c.call("PutSubscriptionFilter", put("s", "ERROR", stream, "r"))
	c.call("PutSubscriptionFilter", put("f", "", function, ""))
	c.refused(t, "PutSubscriptionFilter", put("third", "", function, ""), "LimitExceededException", "")
	if got := c.call("DescribeSubscriptionFilters", object{"logGroupName": "g"})["subscriptionFilters"].([]any); len(got) != 2 || got[0].(object)["filterPattern"] != "ERROR" || got[0].(object)["distribution"] != "ByLogStream" {
		t.Errorf("%v", got)
	}
	c.put("a", 0, "fine", "ERROR one")
	// What cannot be sent now is sent later, also by another process.
	to.away = true
	if c.logs.Deliver(t.Context()) == nil {
		t.Error("a destination that is away is no error")
	}
	to.away = false
	if err := c.logs.Deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, d := range to.got {
		if d["messageType"] != "DATA_MESSAGE" || d["logGroup"] != "g" || d["logStream"] != "a" || d["owner"] != "000000000000" {
			t.Errorf("%v", d)
		}
		filter := d["subscriptionFilters"].([]any)[0].(string)
		for _, e := range d["logEvents"].([]any) {
			got[filter] = append(got[filter], e.(object)["message"].(string))
		}
	}
	if want := (map[string][]string{"s": {"ERROR one"}, "f": {"fine", "ERROR one"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("sent were %v", got)
	}
	if err := c.logs.Deliver(t.Context()); err != nil || len(to.got) != 2 {
		t.Errorf("sent again: %d, %v", len(to.got), err)
	}
	c.call("DeleteSubscriptionFilter", object{"logGroupName": "g", "filterName": "f"})
	c.refused(t, "DeleteSubscriptionFilter", object{"logGroupName": "g", "filterName": "f"}, "ResourceNotFoundException", "")
}

func TestGroupsByAPattern(t *testing.T) {
	t.Parallel()
	c := open(t)
	for _, name := range []string{"/app/web", "/aws/app", "other"} {
		c.call("CreateLogGroup", object{"logGroupName": name})
	}
	for pattern, want := range map[string]int{"app": 2, "^/app": 1, "^/app|other": 2, "none": 0} {
		if got := c.call("ListLogGroups", object{"logGroupNamePattern": pattern})["logGroups"].([]any); len(got) != want {
			t.Errorf("%s: %v", pattern, got)
		}
	}
}
