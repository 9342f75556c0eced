// Package kinesis sends the events of a subscription to a Kinesis stream, by AWS's SDK. It
// refuses to know what events mean, and in which order they are to be sent: it sends a
// batch, and says which records the stream did not take.
package kinesis

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"showrunner/internal/awskeys"
	"showrunner/problem"
	"showrunner/subscription"
)

const op = "subscription.kinesis"

// Stream is a Kinesis stream.
type Stream struct {
	client *kinesis.Client
	name   string
}

// Open makes the stream of kinesis://REGION/STREAM[?endpoint=URL]. Errors: invalid.
func Open(ctx context.Context, address, secret string) (subscription.Stream, error) {
	c, name, err := awskeys.Load(ctx, op, address, secret)
	if err != nil {
		return nil, err
	}
	return &Stream{client: kinesis.NewFromConfig(c), name: name}, nil
}

// Put implements subscription.Stream.
func (s *Stream) Put(ctx context.Context, records []subscription.StreamRecord) (failed []int, err error) {
	in := &kinesis.PutRecordsInput{StreamName: aws.String(s.name)}
	for _, r := range records {
		in.Records = append(in.Records, types.PutRecordsRequestEntry{PartitionKey: aws.String(r.Key), Data: r.Data})
	}
	out, err := s.client.PutRecords(ctx, in)
	if err != nil {
		return nil, refusal(err)
	}
	if len(out.Records) != len(records) {
		return nil, problem.New(problem.Unavailable, op, "the stream answered for %d of %d records", len(out.Records), len(records))
	}
	for i, r := range out.Records {
		if aws.ToString(r.ErrorCode) != "" {
			failed = append(failed, i)
		}
	}
	return failed, nil
}

// refusal maps the errors of AWS.
func refusal(err error) error {
	code, message, ok := awskeys.Said(err)
	switch {
	case code == "ResourceNotFoundException":
		return problem.New(problem.NotFound, op, "the stream does not exist: %.300s", message)
	case ok:
		return problem.New(problem.Unavailable, op, "the stream answered %s: %.300s", code, message)
	}
	return problem.New(problem.Unavailable, op, "the stream does not answer: %v", err)
}
