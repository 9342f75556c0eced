package resource

import (
	"context"
	"strconv"
	"strings"
	"time"

	"showrunner/awsapi/cloudformation/template"
	"showrunner/awsapi/wire"
)

func streamTypes() []*Type {
	return []*Type{{
		Name:        "AWS::Kinesis::Stream",
		Properties:  []string{"Name", "ShardCount", "RetentionPeriodHours", "StreamModeDetails", "StreamEncryption", "Tags"},
		Replace:     []string{"Name"},
		Attributes:  []string{"Arn"},
		Named:       "Name",
		Identifiers: []string{"Name"}, Tagged: true,
		Check:   checkStream,
		Needs:   [2]string{"kinesis", "CreateStream"},
		Handler: stream{},
	}, {
		Name:       "AWS::Kinesis::StreamConsumer",
		Properties: []string{"ConsumerName", "StreamARN", "Tags"}, Required: []string{"ConsumerName", "StreamARN"},
		Replace: []string{"ConsumerName", "StreamARN"}, Attributes: []string{"ConsumerARN", "ConsumerCreationTimestamp", "ConsumerName", "ConsumerStatus", "StreamARN"},
		Named: "ConsumerName", Identifiers: []string{"ConsumerARN"}, Kept: []string{"Tags"},
		Needs:   [2]string{"kinesis", "RegisterStreamConsumer"},
		Handler: streamConsumer{},
	}}
}

// managedKey is the key that the CDK names for every stream. It is kept and returned.
const managedKey = "alias/aws/kinesis"

func checkStream(properties map[string]any) error {
	encryption, _ := properties["StreamEncryption"].(map[string]any)
	if key, known := template.Text(encryption["KeyId"]); known && key != managedKey {
		return wire.Errorf("InvalidRequest", "a stream cannot be encrypted with the key %s here", key)
	}
	return nil
}

// stream acts for AWS::Kinesis::Stream.
type stream struct{}

func (stream) made(r *Request) Made {
	return Made{Physical: r.Physical, Attributes: map[string]any{"Arn": "arn:aws:kinesis:" + r.Region + ":" + r.Account + ":stream/" + r.Physical}}
}

// defaultRetention is how long a stream keeps records, in hours.
const defaultRetention = 24

func (s stream) Create(ctx context.Context, r *Request) (Made, error) {
	in := r.pick(map[string]string{"ShardCount": "ShardCount", "StreamModeDetails": "StreamModeDetails"})
	in["StreamName"] = r.Physical
	if _, sized := in["ShardCount"]; !sized && in["StreamModeDetails"] == nil {
		in["ShardCount"] = 1
	}
	if _, err := r.call(ctx, "kinesis", "CreateStream", in); err != nil {
		return Made{}, err
	}
	return s.made(r), s.settle(ctx, r, defaultRetention)
}

// settle sets retention, encryption and tags.
func (s stream) settle(ctx context.Context, r *Request, had int) error {
	hours, err := strconv.Atoi(r.Text("RetentionPeriodHours"))
	if err != nil {
		hours = defaultRetention
	}
	operation := "IncreaseStreamRetentionPeriod"
	if hours < had {
		operation = "DecreaseStreamRetentionPeriod"
	}
	if hours != had {
		if _, err := r.call(ctx, "kinesis", operation, map[string]any{"StreamName": r.Physical, "RetentionPeriodHours": hours}); err != nil {
			return err
		}
	}
	if key := textAt(r.Object("StreamEncryption"), "KeyId"); key != "" {
		if _, err := r.call(ctx, "kinesis", "StartStreamEncryption", map[string]any{"StreamName": r.Physical, "EncryptionType": "KMS", "KeyId": key}); err != nil {
			return err
		}
	} else if r.Old["StreamEncryption"] != nil {
		if _, err := r.call(ctx, "kinesis", "StopStreamEncryption", map[string]any{"StreamName": r.Physical, "EncryptionType": "KMS", "KeyId": managedKey}); err != nil {
			return err
		}
	}
	tags := map[string]any{}
	for _, t := range r.AllTags() {
		tags[t.Key] = t.Value
	}
	if len(tags) == 0 {
		return nil
	}
	_, err = r.call(ctx, "kinesis", "AddTagsToStream", map[string]any{"StreamName": r.Physical, "Tags": tags})
	return err
}

func (s stream) Update(ctx context.Context, r *Request) (Made, error) {
	out, err := r.call(ctx, "kinesis", "DescribeStreamSummary", map[string]any{"StreamName": r.Physical})
	if err != nil {
		return Made{}, err
	}
	mode, _ := at(out, "StreamDescriptionSummary", "StreamModeDetails", "StreamMode").(string)
	if wanted := streamMode(r); wanted != mode {
		in := map[string]any{"StreamARN": s.made(r).Attributes["Arn"], "StreamModeDetails": map[string]any{"StreamMode": wanted}}
		if _, err := r.call(ctx, "kinesis", "UpdateStreamMode", in); err != nil {
			return Made{}, err
		}
	}
	if r.Properties["ShardCount"] != nil && !Same(r.Old["ShardCount"], r.Properties["ShardCount"]) {
		if _, err := r.call(ctx, "kinesis", "UpdateShardCount", map[string]any{"StreamName": r.Physical, "TargetShardCount": r.Properties["ShardCount"], "ScalingType": "UNIFORM_SCALING"}); err != nil {
			return Made{}, err
		}
	}
	if keys := r.oldTagKeys(); len(keys) > 0 {
		if _, err := r.call(ctx, "kinesis", "RemoveTagsFromStream", map[string]any{"StreamName": r.Physical, "TagKeys": keys}); err != nil {
			return Made{}, err
		}
	}
	return s.made(r), s.settle(ctx, r, retention(out))
}

// streamMode is the mode that a stream is to have.
func streamMode(r *Request) string {
	if mode := textAt(r.Object("StreamModeDetails"), "StreamMode"); mode != "" {
		return mode
	}
	return "PROVISIONED"
}

// retention is how many hours a stream keeps records now.
func retention(summary map[string]any) int {
	hours, _ := at(summary, "StreamDescriptionSummary", "RetentionPeriodHours").(int64)
	return int(hours)
}

// Complete sets what a stream that is there does not have yet.
func (s stream) Complete(ctx context.Context, r *Request) (Made, error) {
	out, err := r.call(ctx, "kinesis", "DescribeStreamSummary", map[string]any{"StreamName": r.Physical})
	if err != nil {
		return Made{}, err
	}
	return s.made(r), s.settle(ctx, r, retention(out))
}

func (stream) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "kinesis", "DeleteStream", map[string]any{"StreamName": r.Physical, "EnforceConsumerDeletion": true})
	return gone(err, "ResourceNotFoundException")
}

func (s stream) Find(ctx context.Context, r *Request) (Made, bool, error) {
	_, err := r.call(ctx, "kinesis", "DescribeStreamSummary", map[string]any{"StreamName": r.Physical})
	return absent(s.made(r), err, "ResourceNotFoundException")
}

// streamConsumer acts for AWS::Kinesis::StreamConsumer. Its identifier is the ARN; before
// it is made, its name.
type streamConsumer struct{}

// which names the consumer as the operations do.
func (streamConsumer) which(r *Request) map[string]any {
	if strings.HasPrefix(r.Physical, "arn:") {
		return map[string]any{"ConsumerARN": r.Physical}
	}
	return map[string]any{"StreamARN": r.Text("StreamARN"), "ConsumerName": r.Physical}
}

func (streamConsumer) made(consumer any, stream string) Made {
	arn := textAt(consumer, "ConsumerARN")
	created, _ := at(consumer, "ConsumerCreationTimestamp").(time.Time)
	return Made{Physical: arn, Attributes: map[string]any{"ConsumerARN": arn, "ConsumerName": textAt(consumer, "ConsumerName"), "ConsumerStatus": textAt(consumer, "ConsumerStatus"), "StreamARN": stream,
		"ConsumerCreationTimestamp": strconv.FormatInt(created.Unix(), 10)}}
}

func (h streamConsumer) Create(ctx context.Context, r *Request) (Made, error) {
	out, err := r.call(ctx, "kinesis", "RegisterStreamConsumer", map[string]any{"StreamARN": r.Text("StreamARN"), "ConsumerName": r.Text("ConsumerName")})
	return h.made(out["Consumer"], r.Text("StreamARN")), err
}

func (h streamConsumer) Update(ctx context.Context, r *Request) (Made, error) {
	m, _, err := h.Find(ctx, r)
	return m, err
}

func (h streamConsumer) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "kinesis", "DeregisterStreamConsumer", h.which(r))
	return gone(err, "ResourceNotFoundException")
}

func (h streamConsumer) Find(ctx context.Context, r *Request) (Made, bool, error) {
	out, err := r.call(ctx, "kinesis", "DescribeStreamConsumer", h.which(r))
	return absent(h.made(out["ConsumerDescription"], textAt(out["ConsumerDescription"], "StreamARN")), err, "ResourceNotFoundException")
}
