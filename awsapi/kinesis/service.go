package kinesis

import (
	"context"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// Streams is the service.
type Streams struct {
	docs   state.Collection[stream]
	chunks state.Collection[chunk]
	graves state.Collection[grave]
	events Events
	now    func() time.Time

	mu      sync.Mutex
	shards  map[string]*local
	watched map[string]map[chan struct{}]bool // by region and stream
	served  map[string]subscription           // by consumer and shard
	ended   chan struct{}                     // closed when no more subscriptions are served
}

// local is what a replica knows of a shard: its writer and its limits.
type local struct {
	writer  writer
	records *rate.Limiter // written, a second
	bytes   *rate.Limiter
	calls   *rate.Limiter // of reading
	read    *rate.Limiter // bytes
}

// Limits of one shard, a second.
const (
	recordsWritten = 1000
	bytesWritten   = 1 << 20
	readCalls      = 5
	bytesRead      = 2 << 20
)

// New makes the service. events is the log that is there as a stream; without a Log none is.
func New(records state.Records, events Events, now func() time.Time) *Streams {
	return &Streams{docs: state.New[stream](records, "aws.kinesis"), graves: state.New[grave](records, "aws.kinesis.deleted"), chunks: state.New[chunk](records, "aws.kinesis.chunks").Paged(8), events: events, now: now, shards: map[string]*local{}, watched: map[string]map[chan struct{}]bool{},
		served: map[string]subscription{}, ended: make(chan struct{})}
}

// Service is the operations of kinesis that are served.
func (s *Streams) Service() wire.Service {
	return wire.Service{Name: "kinesis", Data: []string{"PutRecord", "PutRecords", "SubscribeToShard"}, Operations: map[string]wire.Handler{
		"CreateStream":                  wire.Handle(s.create),
		"DeleteStream":                  wire.Handle(s.delete),
		"DescribeStream":                wire.Handle(s.describe),
		"DescribeStreamSummary":         wire.Handle(s.summary),
		"DescribeLimits":                wire.Handle(s.limits),
		"ListStreams":                   wire.Handle(s.list),
		"ListShards":                    wire.Handle(s.listShards),
		"PutRecord":                     wire.Handle(s.putOne),
		"PutRecords":                    wire.Handle(s.putMany),
		"GetShardIterator":              wire.Handle(s.iterator),
		"GetRecords":                    wire.Handle(s.records),
		"SplitShard":                    wire.Handle(s.split),
		"MergeShards":                   wire.Handle(s.merge),
		"UpdateShardCount":              wire.Handle(s.updateCount),
		"UpdateStreamMode":              wire.Handle(s.updateMode),
		"IncreaseStreamRetentionPeriod": wire.Handle(s.increaseRetention),
		"DecreaseStreamRetentionPeriod": wire.Handle(s.decreaseRetention),
		"AddTagsToStream":               wire.Handle(s.tag),
		"RemoveTagsFromStream":          wire.Handle(s.untag),
		"ListTagsForStream":             wire.Handle(s.tags),
		"PutResourcePolicy":             wire.Handle(s.putPolicy),
		"GetResourcePolicy":             wire.Handle(s.policy),
		"DeleteResourcePolicy":          wire.Handle(s.deletePolicy),
		"RegisterStreamConsumer":        wire.Handle(s.registerConsumer),
		"DescribeStreamConsumer":        wire.Handle(s.describeConsumer),
		"ListStreamConsumers":           wire.Handle(s.listConsumers),
		"DeregisterStreamConsumer":      wire.Handle(s.deregisterConsumer),
		"SubscribeToShard":              wire.Handle(s.subscribe),
		"StartStreamEncryption":         wire.Handle(s.startEncryption),
		"StopStreamEncryption":          wire.Handle(s.stopEncryption),
		"EnableEnhancedMonitoring":      wire.Handle(s.enableMonitoring),
		"DisableEnhancedMonitoring":     wire.Handle(s.disableMonitoring),
		"TagResource":                   wire.Handle(s.tagResource),
		"UntagResource":                 wire.Handle(s.untagResource),
		"ListTagsForResource":           wire.Handle(s.resourceTags),
	}}
}

// which names a stream.
type which struct{ StreamName, StreamARN string }

func arnPrefix(c *wire.Call) string {
	return "arn:aws:kinesis:" + c.Region + ":" + c.Account + ":stream/"
}

// name is the name of the stream that a request is for.
func (w which) name(c *wire.Call) (string, error) {
	if w.StreamARN == "" {
		if w.StreamName == "" {
			return "", wire.Errorf("InvalidArgumentException", "Either StreamName or StreamARN must be provided.")
		}
		return w.StreamName, nil
	}
	name, ok := strings.CutPrefix(w.StreamARN, arnPrefix(c))
	switch {
	case !ok:
		return "", missing(w.StreamARN, c)
	case w.StreamName != "" && w.StreamName != name:
		return "", wire.Errorf("InvalidArgumentException", "StreamName %s does not match the StreamARN.", w.StreamName)
	}
	return name, nil
}

func missing(name string, c *wire.Call) error {
	return wire.Errorf("ResourceNotFoundException", "Stream %s under account %s not found.", name, c.Account)
}

// find is the stream that a request is for.
func (s *Streams) find(ctx context.Context, c *wire.Call, w which) (stream, error) {
	name, err := w.name(c)
	if err != nil {
		return stream{}, err
	}
	if s.isLog(name) {
		return s.log(c), nil
	}
	d, err := s.docs.Get(ctx, c.Region+"/"+name)
	if problem.CodeOf(err) == problem.NotFound {
		err = missing(name, c)
	}
	return d, err
}

// change updates a stream.
func (s *Streams) change(ctx context.Context, c *wire.Call, w which, how func(*stream) error) (stream, error) {
	name, err := w.name(c)
	if err != nil {
		return stream{}, err
	}
	if s.isLog(name) {
		return stream{}, wire.Errorf("ResourceInUseException", "The stream %s is the event log, and nothing of it can be changed.", name)
	}
	d, err := s.docs.Update(ctx, c.Region+"/"+name, how)
	if problem.CodeOf(err) == problem.NotFound {
		err = missing(name, c)
	}
	return d, err
}

// chunkPrefix is what the keys of a shard's chunks begin with. The time of its
// making tells a stream from an earlier one of the same name.
func chunkPrefix(region string, d stream, index int) string {
	return region + "/" + d.Name + "/" + d.Created.UTC().Format("20060102150405.000000000") + "/" + shardID(index) + "/"
}

func (s *Streams) local(region string, d stream, index int) *local {
	prefix := chunkPrefix(region, d, index)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.shards[prefix]
	if l == nil {
		l = &local{
			writer:  writer{chunks: s.chunks, prefix: prefix},
			records: rate.NewLimiter(recordsWritten, recordsWritten), bytes: rate.NewLimiter(bytesWritten, 2*bytesWritten),
			calls: rate.NewLimiter(readCalls, readCalls), read: rate.NewLimiter(bytesRead, 10<<20),
		}
		s.shards[prefix] = l
	}
	return l
}
