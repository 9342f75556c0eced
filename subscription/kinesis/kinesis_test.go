package kinesis

import (
	"context"
	"encoding/base64"
	"net/url"
	"testing"
	"time"

	"showrunner/awsapi/awstest"
	served "showrunner/awsapi/kinesis"
	"showrunner/problem"
	"showrunner/store/record"
	"showrunner/store/record/recordtest"
	"showrunner/subscription"
)

type noEvents struct{}

func (noEvents) Events(context.Context, int64, record.Filter, int) (record.Slice, error) {
	return record.Slice{}, nil
}
func (noEvents) End(context.Context) (int64, error) { return 0, nil }

const secret = `{"accessKeyId":"AKIATEST","secretAccessKey":"secret"}`

// Events go to a stream of the endpoint for AWS's clients through AWS's own SDK, and are
// read from it.
func TestEventsGoToAStream(t *testing.T) {
	streams := served.New(&recordtest.Records{}, served.Events{Log: noEvents{}, Since: time.Now()}, time.Now)
	c := awstest.New(t, streams.Service())
	address := "kinesis://" + awstest.Region + "/deliveries?endpoint=" + url.QueryEscape(c.URL())
	s, err := Open(t.Context(), address, secret)
	if err != nil {
		t.Fatal(err)
	}
	records := []subscription.StreamRecord{{Key: "x1", Data: []byte("one")}, {Key: "x2", Data: []byte("two")}}
	if _, err := s.Put(t.Context(), records); problem.CodeOf(err) != problem.NotFound {
		t.Errorf("a stream that does not exist: %v", err)
	}
	c.Call("kinesis", "CreateStream", map[string]any{"StreamName": "deliveries", "ShardCount": 1})
	failed, err := s.Put(t.Context(), records)
	if err != nil || len(failed) > 0 {
		t.Fatalf("put: %v, %v", failed, err)
	}
	it := c.Call("kinesis", "GetShardIterator", map[string]any{"StreamName": "deliveries", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"})
	got := c.Call("kinesis", "GetRecords", map[string]any{"ShardIterator": it["ShardIterator"]})["Records"].([]any)
	if len(got) != 2 || got[0].(map[string]any)["PartitionKey"] != "x1" || got[0].(map[string]any)["Data"] != base64.StdEncoding.EncodeToString([]byte("one")) {
		t.Errorf("read %v", got)
	}
	wrong, err := Open(t.Context(), address, `{"accessKeyId":"AKIATEST","secretAccessKey":"no"}`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.Put(t.Context(), records); problem.CodeOf(err) != problem.Unavailable {
		t.Errorf("wrong keys: %v", err)
	}
	if _, err := Open(t.Context(), address, "AKIATEST:secret"); problem.CodeOf(err) != problem.Invalid {
		t.Errorf("a secret of another form: %v", err)
	}
}
