package kinesis_test

import (
	"slices"
	"testing"

	"showrunner/store/record/recordtest"
)

func (c *client) refused(operation string, in object, code string) {
	c.t.Helper()
	if _, got, message := c.Try("kinesis", operation, in); got != code {
		c.t.Errorf("%s ends with %s %s, not with %s", operation, got, message, code)
	}
}

func TestConsumersEncryptionAndTagsAreKept(t *testing.T) {
	t.Parallel()
	c := open(t, &recordtest.Records{})
	c.call("CreateStream", object{"StreamName": "s", "ShardCount": 1, "Tags": object{"made": "with"}})
	arn := c.call("DescribeStreamSummary", object{"StreamName": "s"})["StreamDescriptionSummary"].(object)["StreamARN"].(string)
	consumer := c.call("RegisterStreamConsumer", object{"StreamARN": arn, "ConsumerName": "k"})["Consumer"].(object)
	c.refused("RegisterStreamConsumer", object{"StreamARN": arn, "ConsumerName": "k"}, "ResourceInUseException")
	by := c.call("DescribeStreamConsumer", object{"ConsumerARN": consumer["ConsumerARN"]})["ConsumerDescription"].(object)
	if by["ConsumerName"] != "k" || by["StreamARN"] != arn || by["ConsumerStatus"] != "ACTIVE" {
		t.Errorf("%v", by)
	}
	c.refused("StartStreamEncryption", object{"StreamName": "s", "EncryptionType": "KMS", "KeyId": "alias/mine"}, "KMSNotFoundException")
	c.call("StartStreamEncryption", object{"StreamName": "s", "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"})
	c.call("TagResource", object{"ResourceARN": consumer["ConsumerARN"], "Tags": object{"of": "consumer"}})
	c.call("EnableEnhancedMonitoring", object{"StreamName": "s", "ShardLevelMetrics": []any{"ALL"}})
	out := c.call("DisableEnhancedMonitoring", object{"StreamName": "s", "ShardLevelMetrics": []any{"IncomingBytes"}})
	if n := len(out["DesiredShardLevelMetrics"].([]any)); n != 6 {
		t.Errorf("%d metrics are left", n)
	}
	s := c.call("DescribeStreamSummary", object{"StreamName": "s"})["StreamDescriptionSummary"].(object)
	if s["EncryptionType"] != "KMS" || s["KeyId"] != "alias/aws/kinesis" || s["ConsumerCount"] != 1.0 {
		t.Errorf("%v", s)
	}
	for resource, want := range map[string]object{arn: {"Key": "made", "Value": "with"}, consumer["ConsumerARN"].(string): {"Key": "of", "Value": "consumer"}} {
		tags := c.call("ListTagsForResource", object{"ResourceARN": resource})["Tags"].([]any)
		if len(tags) != 1 || tags[0].(object)["Key"] != want["Key"] || tags[0].(object)["Value"] != want["Value"] {
			t.Errorf("%s has the tags %v", resource, tags)
		}
	}
	c.refused("DeleteStream", object{"StreamName": "s"}, "ResourceInUseException")
	c.call("DeregisterStreamConsumer", object{"StreamARN": arn, "ConsumerName": "k"})
	c.refused("DescribeStreamConsumer", object{"StreamARN": arn, "ConsumerName": "k"}, "ResourceNotFoundException")
	c.call("DeleteStream", object{"StreamName": "s"})
}

// A consumer is sent what is there and what comes, in order; a shard that is closed ends it.
func TestAConsumerIsSentRecordsAsTheyCome(t *testing.T) {
	t.Parallel()
	c := open(t, &recordtest.Records{})
	c.call("CreateStream", object{"StreamName": "s", "ShardCount": 1})
	arn := c.call("DescribeStreamSummary", object{"StreamName": "s"})["StreamDescriptionSummary"].(object)["StreamARN"].(string)
	consumer := c.call("RegisterStreamConsumer", object{"StreamARN": arn, "ConsumerName": "k"})["Consumer"].(object)["ConsumerARN"]
	c.put("s", "a", "one")
	events := c.Events("kinesis", "SubscribeToShard", object{"ConsumerARN": consumer, "ShardId": "shardId-000000000000", "StartingPosition": object{"Type": "TRIM_HORIZON"}})
	if kind, _ := events.Next(); kind != "initial-response" {
		t.Fatalf("the first event is %s", kind)
	}
	c.refused("SubscribeToShard", object{"ConsumerARN": consumer, "ShardId": "shardId-000000000000", "StartingPosition": object{"Type": "LATEST"}}, "ResourceInUseException")
	var got []string
	for len(got) < 2 {
		_, event := events.Next()
		for _, r := range event["Records"].([]any) {
			got = append(got, r.(object)["PartitionKey"].(string))
			if len(got) == 1 {
				c.put("s", "b", "two")
			}
		}
	}
	if !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("it was sent %v", got)
	}
	c.call("SplitShard", object{"StreamName": "s", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": "9"})
	for {
		kind, event := events.Next()
		if kind == "" {
			t.Fatal("the stream ended without the shards that went on")
		}
		if children, ok := event["ChildShards"].([]any); ok {
			if len(children) != 2 {
				t.Errorf("%v", children)
			}
			break
		}
	}
	if kind, event := events.Next(); kind != "" {
		t.Errorf("after the shard's end comes %s %v", kind, event)
	}
}
