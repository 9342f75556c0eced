package kinesis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"showrunner/awsapi/wire"
)

// consumer is a consumer with enhanced fan-out, as it is kept in its stream's document.
type consumer struct {
	Name    string            `json:"name"`
	Created time.Time         `json:"created"`
	Tags    map[string]string `json:"tags,omitempty"`
}

// mostConsumers is how many consumers a stream may have, as at AWS.
const mostConsumers = 20

func (k consumer) arn(d stream) string {
	return fmt.Sprintf("%s/consumer/%s:%d", d.ARN, k.Name, k.Created.Unix())
}

func (k consumer) told(d stream) *consumerOutput {
	return &consumerOutput{ConsumerName: k.Name, ConsumerARN: k.arn(d), ConsumerStatus: "ACTIVE", ConsumerCreationTimestamp: k.Created}
}

type consumerOutput struct {
	ConsumerName, ConsumerARN, ConsumerStatus string
	ConsumerCreationTimestamp                 time.Time
}

type registerInput struct {
	StreamARN, ConsumerName string
	Tags                    map[string]string
}

type registerOutput struct{ Consumer consumerOutput }

func (s *Streams) registerConsumer(ctx context.Context, c *wire.Call, in *registerInput) (*registerOutput, error) {
	k := consumer{Name: in.ConsumerName, Created: s.now().UTC().Truncate(time.Second), Tags: in.Tags}
	d, err := s.change(ctx, c, which{StreamARN: in.StreamARN}, func(d *stream) error {
		switch {
		case slices.ContainsFunc(d.Consumers, func(have consumer) bool { return have.Name == k.Name }):
			return wire.Errorf("ResourceInUseException", "Consumer %s under stream %s already exists for account %s.", k.Name, d.Name, c.Account)
		case len(d.Consumers) == mostConsumers:
			return wire.Errorf("LimitExceededException", "This request would exceed the limit of %d consumers of a stream.", mostConsumers)
		}
		d.Consumers = append(d.Consumers, k)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &registerOutput{*k.told(d)}, nil
}

type whichConsumer struct{ ConsumerARN, ConsumerName, StreamARN string }

// stream is the stream of the consumer that a request names.
func (w whichConsumer) stream() which {
	if w.ConsumerARN == "" {
		return which{StreamARN: w.StreamARN}
	}
	arn, _, _ := strings.Cut(w.ConsumerARN, "/consumer/")
	return which{StreamARN: arn}
}

// in is the place of the consumer among those of its stream.
func (w whichConsumer) in(d stream, c *wire.Call) (int, error) {
	at := slices.IndexFunc(d.Consumers, func(k consumer) bool {
		return w.ConsumerARN == k.arn(d) || w.ConsumerARN == "" && w.ConsumerName == k.Name
	})
	if at < 0 {
		name := w.ConsumerName
		if w.ConsumerARN != "" {
			name = w.ConsumerARN
		}
		return 0, wire.Errorf("ResourceNotFoundException", "Consumer %s, account %s not found.", name, c.Account)
	}
	return at, nil
}

// check refuses a request that names no consumer.
func (w whichConsumer) check() error {
	if w.ConsumerARN == "" && (w.StreamARN == "" || w.ConsumerName == "") {
		return wire.Errorf("InvalidArgumentException", "ConsumerARN or both StreamARN and ConsumerName have to be given.")
	}
	return nil
}

type consumerDescription struct {
	ConsumerName, ConsumerARN, ConsumerStatus, StreamARN string
	ConsumerCreationTimestamp                            time.Time
}

type describeConsumerOutput struct{ ConsumerDescription consumerDescription }

func (s *Streams) describeConsumer(ctx context.Context, c *wire.Call, in *whichConsumer) (*describeConsumerOutput, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	d, err := s.find(ctx, c, in.stream())
	if err != nil {
		return nil, err
	}
	at, err := in.in(d, c)
	if err != nil {
		return nil, err
	}
	k := d.Consumers[at].told(d)
	return &describeConsumerOutput{consumerDescription{k.ConsumerName, k.ConsumerARN, k.ConsumerStatus, d.ARN, k.ConsumerCreationTimestamp}}, nil
}

type listConsumersInput struct {
	StreamARN, NextToken string
	MaxResults           *int64
}

type listConsumersOutput struct {
	Consumers []consumerOutput
	NextToken string
}

func (s *Streams) listConsumers(ctx context.Context, c *wire.Call, in *listConsumersInput) (*listConsumersOutput, error) {
	after, ok := wire.OpenToken(in.NextToken)
	if !ok {
		return nil, wire.Errorf("ExpiredNextTokenException", "The NextToken value is invalid.")
	}
	d, err := s.find(ctx, c, which{StreamARN: in.StreamARN})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(d.Consumers, func(a, b consumer) int { return strings.Compare(a.Name, b.Name) })
	out, most := &listConsumersOutput{Consumers: []consumerOutput{}}, wire.Page(in.MaxResults, 100)
	for _, k := range d.Consumers {
		if k.Name <= after {
			continue
		}
		if len(out.Consumers) == most {
			out.NextToken = wire.Token(out.Consumers[most-1].ConsumerName)
			break
		}
		out.Consumers = append(out.Consumers, *k.told(d))
	}
	return out, nil
}

func (s *Streams) deregisterConsumer(ctx context.Context, c *wire.Call, in *whichConsumer) (*none, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	_, err := s.change(ctx, c, in.stream(), func(d *stream) error {
		at, err := in.in(*d, c)
		if err == nil {
			d.Consumers = slices.Delete(d.Consumers, at, at+1)
		}
		return err
	})
	return &none{}, err
}

type startingPosition struct {
	Type, SequenceNumber string
	Timestamp            time.Time
}

type subscribeInput struct {
	ConsumerARN, ShardId string
	StartingPosition     startingPosition
}

const (
	// subscriptionLasts is how long a consumer is sent records before it has to subscribe again.
	subscriptionLasts = 5 * time.Minute
	// subscriptionHeld is how long a subscription cannot be taken over by another one of its consumer.
	subscriptionHeld = 5 * time.Second
	// subscriptionLooks is how often a subscription looks for records that other
	// control planes have put, and says where it is.
	subscriptionLooks = time.Second
)

// subscribe sends a shard's records to a consumer as they come.
func (s *Streams) subscribe(ctx context.Context, c *wire.Call, in *subscribeInput) (*wire.Streamed, error) {
	w := whichConsumer{ConsumerARN: in.ConsumerARN}
	d, err := s.find(ctx, c, w.stream())
	if err != nil {
		return nil, err
	}
	if _, err := w.in(d, c); err != nil {
		return nil, err
	}
	sh, err := d.shard(in.ShardId)
	if err != nil {
		return nil, err
	}
	from := in.StartingPosition
	next, err := s.start(ctx, c, d, *sh, &iteratorInput{ShardIteratorType: from.Type, StartingSequenceNumber: from.SequenceNumber, Timestamp: from.Timestamp})
	if err != nil {
		return nil, err
	}
	replaced, end, err := s.serve(in.ConsumerARN + "/" + in.ShardId)
	if err != nil {
		return nil, err
	}
	stream := wire.Streamed(func(send wire.Send) error {
		defer end()
		return s.sendRecords(ctx, c.Region, d, cursor{Stream: d.Name, Shard: sh.Index, Next: next}, replaced, send)
	})
	return &stream, nil
}

// serve takes the subscription of a consumer to a shard. replaced is closed when another
// request takes it over; end gives it back.
func (s *Streams) serve(key string) (replaced chan struct{}, end func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if had, ok := s.served[key]; ok {
		if s.now().Sub(had.since) < subscriptionHeld {
			return nil, nil, wire.Errorf("ResourceInUseException", "Another active subscription exists for this consumer: %s", key)
		}
		close(had.replaced)
	}
	one := subscription{s.now(), make(chan struct{})}
	s.served[key] = one
	return one.replaced, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.served[key] == one {
			delete(s.served, key)
		}
	}, nil
}

// subscription is one that is being served by this process.
type subscription struct {
	since    time.Time
	replaced chan struct{}
}

// sendRecords sends what a shard has from a cursor on, until the shard or the
// subscription ends.
func (s *Streams) sendRecords(ctx context.Context, region string, d stream, at cursor, replaced <-chan struct{}, send wire.Send) error {
	told, stop := s.Watch(region, d.Name)
	defer stop()
	ends := time.NewTimer(subscriptionLasts)
	defer ends.Stop()
	look := time.NewTicker(subscriptionLooks)
	defer look.Stop()
	for {
		now, err := s.find(ctx, &wire.Call{Region: region, Account: account(d.ARN)}, which{StreamName: d.Name})
		if err != nil {
			return err
		}
		out := &recordsOutput{Records: []recordOutput{}}
		if s.isLog(d.Name) {
			err = s.readLog(ctx, &at, mostRead, out)
		} else {
			err = s.read(ctx, region, d, &at, mostRead, out)
		}
		if err != nil {
			return err
		}
		closed := now.Shards[at.Shard].End != nil && at.Next.Chunk > *now.Shards[at.Shard].End
		if closed {
			out.ChildShards = now.children(at.Shard)
		}
		if send("SubscribeToShardEvent", recordsEvent(out, at)) != nil || closed {
			return nil
		}
		if out.MillisBehindLatest > 0 {
			continue
		}
		select {
		case <-told:
		case <-look.C:
		case <-ends.C:
			return nil
		case <-replaced:
			return nil
		case <-s.ended:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// lastPlace is behind every record of a chunk.
const lastPlace = 999999999

// recordsEvent is the event that tells of records.
func recordsEvent(out *recordsOutput, at cursor) map[string]any {
	records := []any{}
	for _, r := range out.Records {
		records = append(records, map[string]any{"SequenceNumber": r.SequenceNumber, "PartitionKey": r.PartitionKey, "Data": r.Data,
			"ApproximateArrivalTimestamp": float64(r.ApproximateArrivalTimestamp.UnixMilli()) / 1000})
	}
	// The number is of what is before the next record, so that a consumer may go on at
	// it or after it.
	before := sequence(at.Shard, 0, 0)
	switch {
	case at.Next.Place > 0:
		before = sequence(at.Shard, at.Next.Chunk, at.Next.Place-1)
	case at.Next.Chunk > 0:
		before = sequence(at.Shard, at.Next.Chunk-1, lastPlace)
	}
	event := map[string]any{"Records": records, "ContinuationSequenceNumber": before, "MillisBehindLatest": out.MillisBehindLatest}
	if len(out.Records) > 0 && at.Next.Place == 0 {
		event["ContinuationSequenceNumber"] = out.Records[len(out.Records)-1].SequenceNumber
	}
	if len(out.ChildShards) > 0 {
		event["ChildShards"] = out.ChildShards
	}
	return event
}

// monitoring is what describing a stream says of the metrics of its shards.
func (s *stream) monitoring() []monitoring {
	return []monitoring{{append([]string{}, s.Metrics...)}}
}

// shardMetrics are the metrics of a shard that AWS has.
var shardMetrics = strings.Fields("IncomingBytes IncomingRecords IteratorAgeMilliseconds OutgoingBytes OutgoingRecords ReadProvisionedThroughputExceeded WriteProvisionedThroughputExceeded")

type monitoringInput struct {
	StreamName, StreamARN string
	ShardLevelMetrics     []string
}

type monitoringOutput struct {
	StreamName, StreamARN                              string
	CurrentShardLevelMetrics, DesiredShardLevelMetrics []string
}

func (s *Streams) enableMonitoring(ctx context.Context, c *wire.Call, in *monitoringInput) (*monitoringOutput, error) {
	return s.setMonitoring(ctx, c, in, func(had, named []string) []string {
		all := slices.Concat(had, named)
		slices.Sort(all)
		return slices.Compact(all)
	})
}

func (s *Streams) disableMonitoring(ctx context.Context, c *wire.Call, in *monitoringInput) (*monitoringOutput, error) {
	return s.setMonitoring(ctx, c, in, func(had, named []string) []string {
		return slices.DeleteFunc(slices.Clone(had), func(m string) bool { return slices.Contains(named, m) })
	})
}

func (s *Streams) setMonitoring(ctx context.Context, c *wire.Call, in *monitoringInput, how func(had, named []string) []string) (*monitoringOutput, error) {
	named := in.ShardLevelMetrics
	if slices.Contains(named, "ALL") {
		named = shardMetrics
	}
	var before []string
	d, err := s.change(ctx, c, which{in.StreamName, in.StreamARN}, func(d *stream) error {
		before = d.Metrics
		d.Metrics = how(before, named)
		return nil
	})
	return &monitoringOutput{d.Name, d.ARN, append([]string{}, before...), append([]string{}, d.Metrics...)}, err
}

// managedKey is the key of AWS's own for streams. Nothing is encrypted with it here
// beyond what the data folder is.
const managedKey = "alias/aws/kinesis"

// encryption is the kind of a stream's encryption.
func (s *stream) encryption() string {
	if s.Key == "" {
		return "NONE"
	}
	return "KMS"
}

type encryptionInput struct{ StreamName, StreamARN, EncryptionType, KeyId string }

func (s *Streams) startEncryption(ctx context.Context, c *wire.Call, in *encryptionInput) (*none, error) {
	if in.EncryptionType != "KMS" {
		return nil, wire.Errorf("InvalidArgumentException", "The encryption type %s cannot be started.", in.EncryptionType)
	}
	if in.KeyId != managedKey && in.KeyId != "arn:aws:kms:"+c.Region+":"+c.Account+":"+managedKey {
		return nil, wire.Errorf("KMSNotFoundException", "The key %s does not exist: there is %s here.", strconv.Quote(in.KeyId), managedKey)
	}
	_, err := s.change(ctx, c, which{in.StreamName, in.StreamARN}, func(d *stream) error { d.Key = in.KeyId; return nil })
	return &none{}, err
}

func (s *Streams) stopEncryption(ctx context.Context, c *wire.Call, in *encryptionInput) (*none, error) {
	_, err := s.change(ctx, c, which{in.StreamName, in.StreamARN}, func(d *stream) error { d.Key = ""; return nil })
	return &none{}, err
}
