package kinesis_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"showrunner/awsapi/awstest"
	"showrunner/awsapi/kinesis"
	"showrunner/store/record"
	"showrunner/store/record/recordtest"
)

type object = map[string]any

type client struct {
	*awstest.Client
	t       *testing.T
	streams *kinesis.Streams
	later   *atomic.Int64 // how much later it is, in nanoseconds
	still   *atomic.Bool  // the clock stands still, but for later
}

// open is a replica over records.
func open(t *testing.T, records *recordtest.Records) *client {
	t.Helper()
	c := &client{t: t, later: new(atomic.Int64), still: new(atomic.Bool)}
	began := time.Now()
	now := func() time.Time {
		at := began
		if !c.still.Load() {
			at = time.Now()
		}
		return at.Add(time.Duration(c.later.Load()))
	}
	c.streams = kinesis.New(records, kinesis.Events{Log: eventLog{}, Since: began.Add(-time.Hour)}, now)
	c.Client = awstest.New(t, c.streams.Service())
	return c
}

// eventLog is an event log of three events.
type eventLog struct{}

func (eventLog) Events(_ context.Context, from int64, _ record.Filter, limit int) (record.Slice, error) {
	s := record.Slice{Next: from}
	for p := from + 1; p <= 3 && len(s.Events) < limit; p++ {
		s.Events = append(s.Events, record.Event{Position: p, Type: "execution.started", Execution: fmt.Sprint("x", p), Time: time.Now()})
		s.Next = p
	}
	return s, nil
}

func (eventLog) End(context.Context) (int64, error) { return 3, nil }

func (c *client) call(operation string, in object) object {
	c.t.Helper()
	return c.Call("kinesis", operation, in)
}

func (c *client) put(stream, key, data string) object {
	c.t.Helper()
	return c.call("PutRecord", object{"StreamName": stream, "PartitionKey": key, "Data": []byte(data)})
}

// readShard reads a shard from an iterator on, until it is up to date or at its end.
func (c *client) readShard(iterator string) (data, sequences []string, last object) {
	c.t.Helper()
	for {
		c.later.Add(int64(time.Second)) // the limit of calls
		last = c.call("GetRecords", object{"ShardIterator": iterator})
		for _, r := range last["Records"].([]any) {
			text, err := base64.StdEncoding.DecodeString(r.(object)["Data"].(string))
			if err != nil {
				c.t.Fatal(err)
			}
			data, sequences = append(data, string(text)), append(sequences, r.(object)["SequenceNumber"].(string))
		}
		next, ok := last["NextShardIterator"].(string)
		if !ok || len(last["Records"].([]any)) == 0 {
			return data, sequences, last
		}
		iterator = next
	}
}

func (c *client) iterator(stream, shard, kind string, more object) string {
	c.t.Helper()
	in := object{"StreamName": stream, "ShardId": shard, "ShardIteratorType": kind}
	for k, v := range more {
		in[k] = v
	}
	return c.call("GetShardIterator", in)["ShardIterator"].(string)
}

const first = "shardId-000000000000"

// TestKeysGoToTheirShards: the values are of AWS's partitioning, MD5 over the hash range.
func TestKeysGoToTheirShards(t *testing.T) {
	t.Parallel()
	c := open(t, &recordtest.Records{})
	for n, want := range map[int]map[string]int{2: {"a": 0, "b": 1, "user-1": 1}, 4: {"b": 2, "user-1": 3}} {
		name := fmt.Sprint("s", n)
		c.call("CreateStream", object{"StreamName": name, "ShardCount": n})
		for key, shard := range want {
			if got := c.put(name, key, "x")["ShardId"]; got != fmt.Sprintf("shardId-%012d", shard) {
				t.Errorf("%s of %d shards: %v", key, n, got)
			}
		}
	}
	got := c.call("PutRecord", object{"StreamName": "s2", "PartitionKey": "a", "ExplicitHashKey": new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1)).String(), "Data": []byte("x")})
	if got["ShardId"] != "shardId-000000000001" {
		t.Errorf("an explicit key: %v", got)
	}
	if _, code, _ := c.Try("kinesis", "PutRecord", object{"StreamName": "s2", "PartitionKey": "a", "ExplicitHashKey": "340282366920938463463374607431768211456", "Data": []byte("x")}); code != "InvalidArgumentException" {
		t.Errorf("2^128: %s", code)
	}
}

// TestNothingIsLostOrReordered: writers on two replicas; a reader follows.
func TestNothingIsLostOrReordered(t *testing.T) {
	t.Parallel()
	records := &recordtest.Records{}
	one, two := open(t, records), open(t, records)
	one.call("CreateStream", object{"StreamName": "s", "ShardCount": 1})
	const writers, each = 8, 20
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			c := []*client{one, two}[w%2]
			for i := range each {
				c.put("s", fmt.Sprint(w), fmt.Sprintf("%d-%02d", w, i))
			}
		})
	}
	all.Wait()
	data, sequences, _ := two.readShard(two.iterator("s", first, "TRIM_HORIZON", nil))
	if len(data) != writers*each {
		t.Fatalf("%d records are there", len(data))
	}
	seen := map[byte]string{}
	for _, d := range data {
		if d <= seen[d[0]] {
			t.Errorf("%s came after %s", d, seen[d[0]])
		}
		seen[d[0]] = d
	}
	if !slices.IsSortedFunc(sequences, func(a, b string) int {
		x, _ := new(big.Int).SetString(a, 10)
		y, _ := new(big.Int).SetString(b, 10)
		return x.Cmp(y)
	}) {
		t.Error("sequence numbers do not rise")
	}
	middle := len(data) / 2
	after, _, _ := one.readShard(one.iterator("s", first, "AFTER_SEQUENCE_NUMBER", object{"StartingSequenceNumber": sequences[middle]}))
	at, _, _ := one.readShard(one.iterator("s", first, "AT_SEQUENCE_NUMBER", object{"StartingSequenceNumber": sequences[middle]}))
	if !slices.Equal(after, data[middle+1:]) || !slices.Equal(at, data[middle:]) {
		t.Errorf("from the middle: %d and %d of %d", len(after), len(at), len(data))
	}
}

func TestIterators(t *testing.T) {
	t.Parallel()
	c := open(t, &recordtest.Records{})
	c.call("CreateStream", object{"StreamName": "s", "ShardCount": 2})
	put := c.put("s", "a", "old")
	latest := c.iterator("s", first, "LATEST", nil)
	moment := float64(time.Now().Add(time.Duration(c.later.Load())).UnixMilli())/1000 + 0.001
	c.later.Add(int64(time.Minute))
	c.put("s", "a", "new")
	if data, _, last := c.readShard(latest); !slices.Equal(data, []string{"new"}) || last["MillisBehindLatest"] != 0.0 {
		t.Errorf("latest: %v, %v", data, last)
	}
	if data, _, _ := c.readShard(c.iterator("s", first, "AT_TIMESTAMP", object{"Timestamp": moment})); !slices.Equal(data, []string{"new"}) {
		t.Errorf("at a time: %v", data)
	}
	if _, code, _ := c.Try("kinesis", "GetShardIterator", object{"StreamName": "s", "ShardId": "shardId-000000000001", "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": put["SequenceNumber"]}); code != "InvalidArgumentException" {
		t.Errorf("another shard's number: %s", code)
	}
	old := c.iterator("s", first, "TRIM_HORIZON", nil)
	c.later.Add(int64(6 * time.Minute))
	if _, code, _ := c.Try("kinesis", "GetRecords", object{"ShardIterator": old}); code != "ExpiredIteratorException" {
		t.Errorf("an old iterator: %s", code)
	}
	if _, code, _ := c.Try("kinesis", "GetRecords", object{"ShardIterator": "bm9uc2Vuc2U="}); code != "InvalidArgumentException" {
		t.Errorf("a made-up iterator: %s", code)
	}
}

func TestSplitAndMerge(t *testing.T) {
	t.Parallel()
	c := open(t, &recordtest.Records{})
	c.call("CreateStream", object{"StreamName": "s", "ShardCount": 1})
	c.put("s", "a", "before")
	c.call("SplitShard", object{"StreamName": "s", "ShardToSplit": first, "NewStartingHashKey": "170141183460469231731687303715884105728"})
	if got := c.put("s", "a", "after"); got["ShardId"] != "shardId-000000000001" {
		t.Errorf("a put after the split: %v", got)
	}
	data, _, last := c.readShard(c.iterator("s", first, "TRIM_HORIZON", nil))
	if !slices.Equal(data, []string{"before"}) || last["NextShardIterator"] != nil || len(last["ChildShards"].([]any)) != 2 {
		t.Errorf("the closed shard: %v, %v", data, last)
	}
	c.call("MergeShards", object{"StreamName": "s", "ShardToMerge": "shardId-000000000001", "AdjacentShardToMerge": "shardId-000000000002"})
	shards := c.call("ListShards", object{"StreamName": "s"})["Shards"].([]any)
	if len(shards) != 4 || shards[3].(object)["AdjacentParentShardId"] != "shardId-000000000002" || shards[0].(object)["SequenceNumberRange"].(object)["EndingSequenceNumber"] == nil {
		t.Errorf("shards %v", shards)
	}
	if _, code, _ := c.Try("kinesis", "SplitShard", object{"StreamName": "s", "ShardToSplit": first, "NewStartingHashKey": "7"}); code != "InvalidArgumentException" {
		t.Errorf("a closed shard was split: %s", code)
	}
	if got := c.put("s", "b", "x"); got["ShardId"] != "shardId-000000000003" {
		t.Errorf("a put after the merge: %v", got)
	}
}

func TestLimitsOfAShard(t *testing.T) {
	t.Parallel()
	c := open(t, &recordtest.Records{})
	c.call("CreateStream", object{"StreamName": "s", "ShardCount": 1})
	c.still.Store(true)
	var entries []object
	for range 500 {
		entries = append(entries, object{"Data": []byte("x"), "PartitionKey": "a"})
	}
	failed := 0.0
	for range 4 {
		failed += c.call("PutRecords", object{"StreamName": "s", "Records": entries})["FailedRecordCount"].(float64)
	}
	if failed != 1000 {
		t.Errorf("%v of 2,000 records in one moment were refused, not all but a second's", failed)
	}
	it := c.iterator("s", first, "TRIM_HORIZON", nil)
	refused := 0
	for range 8 {
		if _, code, _ := c.Try("kinesis", "GetRecords", object{"ShardIterator": it, "Limit": 1}); code == "ProvisionedThroughputExceededException" {
			refused++
		}
	}
	if refused != 3 {
		t.Errorf("%d of eight reads in one moment were refused, not all but five", refused)
	}
}

func TestRetentionAndDeletion(t *testing.T) {
	t.Parallel()
	records := &recordtest.Records{}
	c := open(t, records)
	c.call("CreateStream", object{"StreamName": "s", "ShardCount": 1})
	c.put("s", "a", "old")
	c.put("s", "a", "old too")
	c.later.Add(int64(25 * time.Hour))
	if data, _, _ := c.readShard(c.iterator("s", first, "TRIM_HORIZON", nil)); len(data) > 0 {
		t.Errorf("too old, and told: %v", data)
	}
	if err := c.streams.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	chunks := func() int {
		list, err := records.ListRecords(t.Context(), "aws.kinesis.chunks", "", "", 100)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if n := chunks(); n != 1 {
		t.Errorf("%d chunks are kept", n)
	}
	c.put("s", "a", "new")
	if data, _, _ := c.readShard(c.iterator("s", first, "TRIM_HORIZON", nil)); !slices.Equal(data, []string{"new"}) {
		t.Errorf("after the sweep: %v", data)
	}
	c.call("DeleteStream", object{"StreamName": "s"})
	if n := chunks(); n != 0 {
		t.Errorf("%d chunks are left of a deleted stream", n)
	}
	if _, code, message := c.Try("kinesis", "DescribeStream", object{"StreamName": "s"}); code != "ResourceNotFoundException" || message != "Stream s under account 000000000000 not found." {
		t.Errorf("%s: %s", code, message)
	}
}

// TestADeletionThatWasCutOffIsCarriedOut: the records fail in the middle of it.
func TestADeletionThatWasCutOffIsCarriedOut(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"aws.kinesis", "aws.kinesis.chunks", "aws.kinesis.deleted"} {
		records := &recordtest.Records{}
		c := open(t, records)
		c.call("CreateStream", object{"StreamName": "s", "ShardCount": 1})
		c.put("s", "a", "x")
		var cut atomic.Bool
		cut.Store(true)
		records.Fail = func(op, collection, _ string) error {
			if op == "delete" && collection == at && cut.Load() {
				return context.DeadlineExceeded
			}
			return nil
		}
		if _, code, _ := c.Try("kinesis", "DeleteStream", object{"StreamName": "s"}); code == "" {
			t.Fatal("it was not cut off")
		}
		cut.Store(false)
		if err := c.streams.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, collection := range []string{"aws.kinesis", "aws.kinesis.chunks", "aws.kinesis.deleted"} {
			if list, err := records.ListRecords(t.Context(), collection, "", "", 10); err != nil || len(list) > 0 {
				t.Errorf("cut off at %s, %s keeps %v, %v", at, collection, list, err)
			}
		}
	}
}

func TestTheEventLogIsAStream(t *testing.T) {
	t.Parallel()
	c := open(t, &recordtest.Records{})
	data, sequences, _ := c.readShard(c.iterator(kinesis.LogName, first, "TRIM_HORIZON", nil))
	if len(data) != 3 {
		t.Errorf("events: %v", data)
	}
	if after, _, _ := c.readShard(c.iterator(kinesis.LogName, first, "AFTER_SEQUENCE_NUMBER", object{"StartingSequenceNumber": sequences[0]})); len(after) != 2 {
		t.Errorf("after the first: %v", after)
	}
	for operation, in := range map[string]object{
		"PutRecord":    {"StreamName": kinesis.LogName, "PartitionKey": "a", "Data": []byte("x")},
		"DeleteStream": {"StreamName": kinesis.LogName},
		"CreateStream": {"StreamName": kinesis.LogName, "ShardCount": 1},
	} {
		if _, code, _ := c.Try("kinesis", operation, in); code == "" {
			t.Errorf("%s was done to the event log", operation)
		}
	}
}
