package kinesis_test

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"showrunner/awsapi/awstest"
	"showrunner/store/record/recordtest"
)

// differences are recorded answers that are not AWS's here, each with why.
var differences = map[string]string{
	"test_stream_consumers/One_consumer_by_describe_stream": "the recording's placeholders cut the ARN of the consumer and that of its stream at different places",
	"test_cbor_exceptions/*":                                "Kinesis is served in JSON alone",
}

// recordedCalls make the calls of the recorded tests.
func recordedCalls(t *testing.T) map[string]func() awstest.Answers {
	c := open(t, &recordtest.Records{})
	call := func(operation string, in object) object { return c.Inside("kinesis", operation, in) }
	const arn = "arn:aws:kinesis:" + awstest.Region + ":000000000000:stream/s"
	return map[string]func() awstest.Answers{
		"test_create_stream_without_shard_count": func() awstest.Answers {
			call("CreateStream", object{"StreamName": "s", "StreamModeDetails": object{"StreamMode": "ON_DEMAND"}})
			return awstest.Answers{"Shards": call("DescribeStream", object{"StreamName": "s"})["StreamDescription"].(object)["Shards"]}
		},
		"test_add_tags_to_stream": func() awstest.Answers {
			call("CreateStream", object{"StreamName": "s", "ShardCount": 1})
			call("AddTagsToStream", object{"StreamName": "s", "Tags": object{"foo": "bar"}})
			return awstest.Answers{"Tags": call("ListTagsForStream", object{"StreamName": "s"})["Tags"].([]any)[0]}
		},
		"test_record_lifecycle_data_integrity": func() awstest.Answers {
			call("CreateStream", object{"StreamName": "s", "ShardCount": 1})
			for _, text := range recordedTexts {
				call("PutRecord", object{"StreamName": "s", "PartitionKey": "1", "Data": []byte(text)})
			}
			iterator := call("GetShardIterator", object{"StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"})["ShardIterator"]
			return awstest.Answers{"Records": call("GetRecords", object{"ShardIterator": iterator})["Records"]}
		},
		"test_stream_consumers": func() awstest.Answers {
			call("CreateStream", object{"StreamName": "s", "ShardCount": 1})
			call("RegisterStreamConsumer", object{"StreamARN": arn, "ConsumerName": "consumer"})
			return awstest.Answers{"One_consumer_by_list_stream": call("ListStreamConsumers", object{"StreamARN": arn})["Consumers"],
				"One_consumer_by_describe_stream": call("DescribeStreamConsumer", object{"StreamARN": arn, "ConsumerName": "consumer"})["ConsumerDescription"]}
		},
		"test_subscribe_to_shard": func() awstest.Answers {
			return awstest.Answers{"Events": []any{subscribed(c, func(first string) object { return object{"Type": "TRIM_HORIZON"} })}}
		},
		"test_subscribe_to_shard_with_sequence_number_as_iterator": func() awstest.Answers {
			return awstest.Answers{"Records": subscribed(c, func(first string) object { return object{"Type": "AT_SEQUENCE_NUMBER", "SequenceNumber": first} })["Records"]}
		},
		"test_subscribe_to_shard_with_at_timestamp": func() awstest.Answers {
			return awstest.Answers{"Records": subscribed(c, func(first string) object { return object{"Type": "AT_TIMESTAMP", "Timestamp": 1.5} })["Records"]}
		},
		"test_resource_policy_crud": func() awstest.Answers {
			call("CreateStream", object{"StreamName": "s", "ShardCount": 1})
			policy := func(sid, action string) string {
				return `{"Version":"2012-10-17","Statement":[{"Sid":"` + sid + `","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":` + action + `,"Resource":"` + arn + `"}]}`
			}
			get := func() any { return call("GetResourcePolicy", object{"ResourceARN": arn}) }
			put := func(p string) any { return call("PutResourcePolicy", object{"ResourceARN": arn, "Policy": p}) }
			out := awstest.Answers{"default_policy_if_not_set": get()}
			out["put_resource_policy_if_not_set"] = put(policy("AllowCrossAccountWrite", `"kinesis:PutRecord"`))
			out["get_resource_policy_after_set"] = get()
			out["update_resource_policy"] = put(policy("AllowCrossAccountReadWrite", `["kinesis:PutRecord","kinesis:GetRecords"]`))
			out["get_resource_policy_after_update"] = get()
			out["delete_resource_policy"] = call("DeleteResourcePolicy", object{"ResourceARN": arn})
			out["get_resource_policy_after_delete"] = get()
			return out
		},
	}
}

// subscribed is the event that five records come in, from a position.
func subscribed(c *client, from func(first string) object) object {
	c.call("CreateStream", object{"StreamName": "s", "ShardCount": 1})
	arn := c.call("DescribeStreamSummary", object{"StreamName": "s"})["StreamDescriptionSummary"].(object)["StreamARN"]
	consumer := c.call("RegisterStreamConsumer", object{"StreamARN": arn, "ConsumerName": "k"})["Consumer"].(object)["ConsumerARN"]
	first := ""
	for n := range 5 {
		number := c.put("s", "1", fmt.Sprint("Hello world_", n))["SequenceNumber"].(string)
		first = cmp.Or(first, number)
	}
	events := c.Events("kinesis", "SubscribeToShard", object{"ConsumerARN": consumer, "ShardId": "shardId-000000000000", "StartingPosition": from(first)})
	events.Next()
	_, event := events.Next()
	for _, r := range event["Records"].([]any) {
		data, err := base64.StdEncoding.DecodeString(r.(object)["Data"].(string))
		if err != nil {
			c.t.Fatal(err)
		}
		r.(object)["Data"] = data
	}
	return event
}

// recordedTexts are the records that the recorded test put.
var recordedTexts = []string{"", strings.Repeat("a", 1000), "test", "ünicödé 统一码 💣💻🔥"}

// TestRecordedAnswers compares what is answered here with what AWS answered.
func TestRecordedAnswers(t *testing.T) {
	t.Parallel()
	awstest.Recorded{File: "testdata/recorded.json", Region: awstest.Region, Different: differences, Share: "14 of 15"}.Compare(t, func(test string) func() awstest.Answers {
		return recordedCalls(t)[test]
	})
}
