package kinesis

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

type none struct{}

type mode struct{ StreamMode string }

type createInput struct {
	StreamName        string
	ShardCount        *int64
	StreamModeDetails *mode
	Tags              map[string]string
}

func (s *Streams) create(ctx context.Context, c *wire.Call, in *createInput) (*none, error) {
	kind, n := "PROVISIONED", int64(onDemandShards)
	if in.StreamModeDetails != nil {
		kind = in.StreamModeDetails.StreamMode
	} else if in.ShardCount == nil {
		kind = "ON_DEMAND"
	}
	switch {
	case kind == "ON_DEMAND" && in.ShardCount != nil:
		return nil, wire.Errorf("ValidationException", "ShardCount can't be specified for a stream with the mode ON_DEMAND.")
	case in.ShardCount != nil:
		n = *in.ShardCount
	case kind == "PROVISIONED":
		return nil, wire.Errorf("ValidationException", "ShardCount must be specified for a stream with the mode PROVISIONED.")
	}
	if n > mostShards {
		return nil, wire.Errorf("LimitExceededException", "This request would exceed the shard limit for the account %s in %s. Limit: %d.", c.Account, c.Region, mostShards)
	}
	d := stream{ARN: arnPrefix(c) + in.StreamName, Name: in.StreamName, Mode: kind, RetentionHours: firstRetention, Created: s.now().UTC(), Tags: in.Tags, Shards: evenShards(int(n))}
	err := error(nil)
	if s.isLog(in.StreamName) {
		err = problem.New(problem.Conflict, "kinesis", "it is the event log")
	} else {
		err = s.docs.Create(ctx, c.Region+"/"+in.StreamName, d)
	}
	if problem.CodeOf(err) == problem.Conflict {
		err = wire.Errorf("ResourceInUseException", "Stream %s under account %s already exists.", in.StreamName, c.Account)
	}
	return &none{}, err
}

type deleteInput struct {
	StreamName, StreamARN   string
	EnforceConsumerDeletion bool
}

func (s *Streams) delete(ctx context.Context, c *wire.Call, in *deleteInput) (*none, error) {
	d, err := s.find(ctx, c, which{in.StreamName, in.StreamARN})
	if err != nil {
		return nil, err
	}
	if s.isLog(d.Name) {
		return nil, wire.Errorf("ResourceInUseException", "The stream %s is the event log and cannot be deleted.", d.Name)
	}
	if len(d.Consumers) > 0 && !in.EnforceConsumerDeletion {
		return nil, wire.Errorf("ResourceInUseException", "Stream %s under account %s has consumers and EnforceConsumerDeletion is not set.", d.Name, c.Account)
	}
	// From here on it is deleted, whatever dies: Sweep carries out what is not done.
	g := grave{Region: c.Region, Stream: d}
	if err := s.graves.Create(ctx, g.key(), g); err != nil && problem.CodeOf(err) != problem.Conflict {
		return nil, err
	}
	return &none{}, s.bury(ctx, g)
}

type hashRange struct{ StartingHashKey, EndingHashKey string }

type sequenceRange struct{ StartingSequenceNumber, EndingSequenceNumber string }

type shardOutput struct {
	ShardId, ParentShardId, AdjacentParentShardId string
	HashKeyRange                                  hashRange
	SequenceNumberRange                           sequenceRange
}

func (sh shard) told() shardOutput {
	out := shardOutput{ShardId: sh.id(), HashKeyRange: hashRange{sh.From.String(), sh.To.String()}, SequenceNumberRange: sequenceRange{StartingSequenceNumber: sequence(sh.Index, 0, 0)}}
	if sh.Parent != nil {
		out.ParentShardId = shardID(*sh.Parent)
	}
	if sh.Adjacent != nil {
		out.AdjacentParentShardId = shardID(*sh.Adjacent)
	}
	if sh.End != nil {
		out.SequenceNumberRange.EndingSequenceNumber = sequence(sh.Index, *sh.End+1, 0)
	}
	return out
}

type monitoring struct{ ShardLevelMetrics []string }

type describeInput struct {
	StreamName, StreamARN, ExclusiveStartShardId string
	Limit                                        *int64
}

type description struct {
	StreamName, StreamARN, StreamStatus, EncryptionType string
	KeyId                                               string
	StreamModeDetails                                   mode
	RetentionPeriodHours                                int64
	StreamCreationTimestamp                             time.Time
	EnhancedMonitoring                                  []monitoring
	HasMoreShards                                       bool
	Shards                                              []shardOutput
}

type describeOutput struct{ StreamDescription description }

func (s *Streams) describe(ctx context.Context, c *wire.Call, in *describeInput) (*describeOutput, error) {
	d, err := s.find(ctx, c, which{in.StreamName, in.StreamARN})
	if err != nil {
		return nil, err
	}
	out := description{StreamName: d.Name, StreamARN: d.ARN, StreamStatus: "ACTIVE", EncryptionType: d.encryption(), KeyId: d.Key, StreamModeDetails: mode{d.Mode}, RetentionPeriodHours: d.RetentionHours,
		StreamCreationTimestamp: d.Created, EnhancedMonitoring: d.monitoring(), Shards: []shardOutput{}}
	most := wire.Page(in.Limit, 100)
	for _, sh := range d.Shards {
		if sh.id() <= in.ExclusiveStartShardId {
			continue
		}
		if len(out.Shards) == most {
			out.HasMoreShards = true
			break
		}
		out.Shards = append(out.Shards, sh.told())
	}
	return &describeOutput{out}, nil
}

type summary struct {
	StreamName, StreamARN, StreamStatus, EncryptionType string
	KeyId                                               string
	StreamModeDetails                                   mode
	RetentionPeriodHours, OpenShardCount, ConsumerCount int64
	StreamCreationTimestamp                             time.Time
	EnhancedMonitoring                                  []monitoring
}

type summaryOutput struct{ StreamDescriptionSummary summary }

func (s *Streams) summary(ctx context.Context, c *wire.Call, in *which) (*summaryOutput, error) {
	d, err := s.find(ctx, c, *in)
	return &summaryOutput{summary{StreamName: d.Name, StreamARN: d.ARN, StreamStatus: "ACTIVE", EncryptionType: d.encryption(), KeyId: d.Key, StreamModeDetails: mode{d.Mode}, RetentionPeriodHours: d.RetentionHours,
		OpenShardCount: d.open(), ConsumerCount: int64(len(d.Consumers)), StreamCreationTimestamp: d.Created, EnhancedMonitoring: d.monitoring()}}, err
}

type limitsOutput struct{ ShardLimit, OpenShardCount, OnDemandStreamCount, OnDemandStreamCountLimit int64 }

func (s *Streams) limits(ctx context.Context, c *wire.Call, _ *none) (*limitsOutput, error) {
	out := &limitsOutput{ShardLimit: mostShards, OnDemandStreamCountLimit: 50}
	for e, err := range s.docs.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, err
		}
		out.OpenShardCount += e.Doc.open()
		if e.Doc.Mode == "ON_DEMAND" {
			out.OnDemandStreamCount++
		}
	}
	return out, nil
}

type listInput struct {
	Limit                               *int64
	ExclusiveStartStreamName, NextToken string
}

type streamSummary struct {
	StreamName, StreamARN, StreamStatus string
	StreamModeDetails                   mode
	StreamCreationTimestamp             time.Time
}

type listOutput struct {
	StreamNames     []string
	StreamSummaries []streamSummary
	HasMoreStreams  bool
	NextToken       string
}

func (s *Streams) list(ctx context.Context, c *wire.Call, in *listInput) (*listOutput, error) {
	after, ok := wire.OpenToken(in.NextToken)
	if !ok {
		return nil, wire.Errorf("ExpiredNextTokenException", "The NextToken value is invalid.")
	}
	after = max(after, in.ExclusiveStartStreamName)
	var all []stream
	if s.events.Log != nil {
		all = append(all, s.log(c))
	}
	for e, err := range s.docs.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, err
		}
		all = append(all, e.Doc)
	}
	slices.SortFunc(all, func(a, b stream) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	out, most := &listOutput{StreamNames: []string{}, StreamSummaries: []streamSummary{}}, wire.Page(in.Limit, 100)
	for _, d := range all {
		if d.Name <= after {
			continue
		}
		if len(out.StreamNames) == most {
			out.HasMoreStreams, out.NextToken = true, wire.Token(out.StreamNames[most-1])
			break
		}
		out.StreamNames = append(out.StreamNames, d.Name)
		out.StreamSummaries = append(out.StreamSummaries, streamSummary{StreamName: d.Name, StreamARN: d.ARN, StreamStatus: "ACTIVE", StreamModeDetails: mode{d.Mode}, StreamCreationTimestamp: d.Created})
	}
	return out, nil
}

type retentionInput struct {
	StreamName, StreamARN string
	RetentionPeriodHours  int64
}

func (s *Streams) increaseRetention(ctx context.Context, c *wire.Call, in *retentionInput) (*none, error) {
	return s.setRetention(ctx, c, in, func(now int64) bool { return in.RetentionPeriodHours >= now }, "less")
}

func (s *Streams) decreaseRetention(ctx context.Context, c *wire.Call, in *retentionInput) (*none, error) {
	return s.setRetention(ctx, c, in, func(now int64) bool { return in.RetentionPeriodHours <= now }, "greater")
}

func (s *Streams) setRetention(ctx context.Context, c *wire.Call, in *retentionInput, fits func(int64) bool, than string) (*none, error) {
	_, err := s.change(ctx, c, which{in.StreamName, in.StreamARN}, func(d *stream) error {
		switch {
		case in.RetentionPeriodHours < firstRetention || in.RetentionPeriodHours > mostRetention:
			return wire.Errorf("InvalidArgumentException", "RetentionPeriodHours must be between %d and %d.", firstRetention, mostRetention)
		case !fits(d.RetentionHours):
			return wire.Errorf("InvalidArgumentException", "Requested retention period (%d hours) for stream %s can not be %s than existing retention period (%d hours).", in.RetentionPeriodHours, d.Name, than, d.RetentionHours)
		}
		d.RetentionHours = in.RetentionPeriodHours
		return nil
	})
	return &none{}, err
}

type tagInput struct {
	StreamName, StreamARN string
	Tags                  map[string]string
}

func (s *Streams) tag(ctx context.Context, c *wire.Call, in *tagInput) (*none, error) {
	_, err := s.change(ctx, c, which{in.StreamName, in.StreamARN}, func(d *stream) error {
		if d.Tags == nil {
			d.Tags = map[string]string{}
		}
		maps.Copy(d.Tags, in.Tags)
		return nil
	})
	return &none{}, err
}

type untagInput struct {
	StreamName, StreamARN string
	TagKeys               []string
}

func (s *Streams) untag(ctx context.Context, c *wire.Call, in *untagInput) (*none, error) {
	_, err := s.change(ctx, c, which{in.StreamName, in.StreamARN}, func(d *stream) error {
		for _, k := range in.TagKeys {
			delete(d.Tags, k)
		}
		return nil
	})
	return &none{}, err
}

type tagEntry struct{ Key, Value string }

type tagsInput struct {
	StreamName, StreamARN, ExclusiveStartTagKey string
	Limit                                       *int64
}

type tagsOutput struct {
	Tags        []tagEntry
	HasMoreTags bool
}

func (s *Streams) tags(ctx context.Context, c *wire.Call, in *tagsInput) (*tagsOutput, error) {
	d, err := s.find(ctx, c, which{in.StreamName, in.StreamARN})
	if err != nil {
		return nil, err
	}
	out, most := &tagsOutput{Tags: []tagEntry{}}, wire.Page(in.Limit, 50)
	for _, k := range slices.Sorted(maps.Keys(d.Tags)) {
		if k <= in.ExclusiveStartTagKey {
			continue
		}
		if len(out.Tags) == most {
			out.HasMoreTags = true
			break
		}
		out.Tags = append(out.Tags, tagEntry{k, d.Tags[k]})
	}
	return out, nil
}

type policyInput struct{ ResourceARN, Policy string }

func (s *Streams) putPolicy(ctx context.Context, c *wire.Call, in *policyInput) (*none, error) {
	if !json.Valid([]byte(in.Policy)) {
		return nil, wire.Errorf("InvalidArgumentException", "The policy is not valid JSON.")
	}
	_, err := s.change(ctx, c, which{StreamARN: in.ResourceARN}, func(d *stream) error { d.Policy = in.Policy; return nil })
	return &none{}, err
}

type resourceInput struct{ ResourceARN string }

type policyOutput struct{ Policy string }

func (s *Streams) policy(ctx context.Context, c *wire.Call, in *resourceInput) (*policyOutput, error) {
	d, err := s.find(ctx, c, which{StreamARN: in.ResourceARN})
	if d.Policy == "" {
		d.Policy = "{}"
	}
	return &policyOutput{d.Policy}, err
}

func (s *Streams) deletePolicy(ctx context.Context, c *wire.Call, in *resourceInput) (*none, error) {
	_, err := s.change(ctx, c, which{StreamARN: in.ResourceARN}, func(d *stream) error { d.Policy = ""; return nil })
	return &none{}, err
}
