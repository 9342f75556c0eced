package kinesis_test

import (
	"fmt"
	"testing"

	"showrunner/store/record/recordtest"
)

// A stream's records are read in order across changes of its number of shards, and
// its open shards divide the keys evenly.
func TestTheNumberOfShardsIsChanged(t *testing.T) {
	t.Parallel()
	records := &recordtest.Records{}
	c := open(t, records)
	c.call("CreateStream", object{"StreamName": "s", "ShardCount": 1})
	before := int64(1)
	for round, target := range []int64{2, 3, 5, 3, 2, 4, 4, 2, 1} {
		for key := range 8 {
			c.put("s", fmt.Sprint("key-", key), fmt.Sprint(round))
		}
		got := c.call("UpdateShardCount", object{"StreamName": "s", "TargetShardCount": target, "ScalingType": "UNIFORM_SCALING"})
		if got["CurrentShardCount"] != float64(before) || got["TargetShardCount"] != float64(target) {
			t.Errorf("from %d to %d: %v", before, target, got)
		}
		before = target
		c.call("CreateStream", object{"StreamName": fmt.Sprint("even-", round), "ShardCount": target})
		want := map[any]bool{}
		for _, sh := range c.call("ListShards", object{"StreamName": fmt.Sprint("even-", round)})["Shards"].([]any) {
			want[fmt.Sprint(sh.(object)["HashKeyRange"])] = true
		}
		opened := c.call("ListShards", object{"StreamName": "s", "ShardFilter": object{"Type": "AT_LATEST"}})["Shards"].([]any)
		for _, sh := range opened {
			if !want[fmt.Sprint(sh.(object)["HashKeyRange"])] {
				t.Errorf("a shard of %d has %v", target, sh.(object)["HashKeyRange"])
			}
		}
		if len(opened) != int(target) {
			t.Errorf("there are %d open shards, not %d", len(opened), target)
		}
	}
	c = open(t, records) // after a restart
	total := 0
	for _, sh := range c.call("ListShards", object{"StreamName": "s"})["Shards"].([]any) { // parents first
		data, _, end := c.readShard(c.iterator("s", sh.(object)["ShardId"].(string), "TRIM_HORIZON", nil))
		closed := sh.(object)["SequenceNumberRange"].(object)["EndingSequenceNumber"] != nil
		if _, more := end["NextShardIterator"]; more == closed {
			t.Errorf("%v ends: %v", sh, end)
		}
		total += len(data)
	}
	if total != 9*8 {
		t.Errorf("%d of %d records are there", total, 9*8)
	}
	if _, code, message := c.Try("kinesis", "UpdateShardCount", object{"StreamName": "s", "TargetShardCount": 3, "ScalingType": "UNIFORM_SCALING"}); code != "InvalidArgumentException" {
		t.Errorf("more than twice as many: %s %s", code, message)
	}
	c.call("UpdateStreamMode", object{"StreamARN": "arn:aws:kinesis:us-west-2:000000000000:stream/s", "StreamModeDetails": object{"StreamMode": "ON_DEMAND"}})
	if _, code, _ := c.Try("kinesis", "UpdateShardCount", object{"StreamName": "s", "TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING"}); code != "ValidationException" {
		t.Errorf("of a stream without a number of its own: %s", code)
	}
}
