package kinesis

import (
	"context"
	"encoding/json"
	"time"

	"showrunner/awsapi/wire"
)

// cursor is what an iterator holds.
type cursor struct {
	Stream  string    `json:"s"`
	Created time.Time `json:"v"` // of the stream: an iterator of one that was deleted is of no other
	Shard   int       `json:"i"`
	Next    position  `json:"n"`
	Made    time.Time `json:"m"`
}

// lasts is how long an iterator may be used.
const lasts = 5 * time.Minute

func (c cursor) token() (string, error) {
	text, err := json.Marshal(c)
	return wire.Token(string(text)), err
}

type iteratorInput struct {
	StreamName, StreamARN, ShardId, ShardIteratorType, StartingSequenceNumber string
	Timestamp                                                                 time.Time
}

type iteratorOutput struct{ ShardIterator string }

func (s *Streams) iterator(ctx context.Context, c *wire.Call, in *iteratorInput) (*iteratorOutput, error) {
	d, err := s.find(ctx, c, which{in.StreamName, in.StreamARN})
	if err != nil {
		return nil, err
	}
	sh, err := d.shard(in.ShardId)
	if err != nil {
		return nil, err
	}
	next, err := s.start(ctx, c, d, *sh, in)
	if err != nil {
		return nil, err
	}
	token, err := cursor{Stream: d.Name, Created: d.Created, Shard: sh.Index, Next: next, Made: s.now()}.token()
	return &iteratorOutput{token}, err
}

// start is where an iterator begins.
func (s *Streams) start(ctx context.Context, c *wire.Call, d stream, sh shard, in *iteratorInput) (position, error) {
	prefix := chunkPrefix(c.Region, d, sh.Index)
	switch kind := in.ShardIteratorType; kind {
	case "TRIM_HORIZON":
		return position{}, nil
	case "LATEST":
		if s.isLog(d.Name) {
			end, err := s.events.End(ctx)
			return position{Chunk: end + 1}, err
		}
		last, _, err := lastChunk(ctx, s.chunks, prefix)
		return position{Chunk: last + 1}, err
	case "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER":
		p, ok := parseSequence(in.StartingSequenceNumber, sh.Index)
		if !ok {
			return p, wire.Errorf("InvalidArgumentException", "StartingSequenceNumber %s used in GetShardIterator on shard %s in stream %s under account %s is invalid because it did not come from this stream.", in.StartingSequenceNumber, sh.id(), d.Name, c.Account)
		}
		if kind == "AFTER_SEQUENCE_NUMBER" && p.Chunk > 0 { // the shard's first number is of no record
			p.Place++
		}
		return p, nil
	}
	if in.Timestamp.IsZero() {
		return position{}, wire.Errorf("InvalidArgumentException", "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current parameter: null")
	}
	if in.Timestamp.After(s.now()) {
		return position{}, wire.Errorf("InvalidArgumentException", "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis.")
	}
	if s.isLog(d.Name) {
		return s.events.since(ctx, in.Timestamp)
	}
	return s.since(ctx, prefix, in.Timestamp)
}

// since is the position of the first record that came at a time or later.
func (s *Streams) since(ctx context.Context, prefix string, at time.Time) (position, error) {
	var next position
	for e, err := range s.chunks.All(ctx, prefix) {
		if err != nil {
			return next, err
		}
		n := number(e.Key, prefix)
		for i, r := range e.Doc.Records {
			if !r.Arrived.Before(at) {
				return position{n, i}, nil
			}
		}
		next = position{Chunk: n + 1}
	}
	return next, nil
}

type recordsInput struct {
	ShardIterator, StreamARN string
	Limit                    *int64
}

type recordOutput struct {
	SequenceNumber, PartitionKey string
	Data                         []byte
	ApproximateArrivalTimestamp  time.Time
}

type childShard struct {
	ShardId      string
	ParentShards []string
	HashKeyRange hashRange
}

type recordsOutput struct {
	Records            []recordOutput
	NextShardIterator  string
	MillisBehindLatest int64
	ChildShards        []childShard
}

// most is what one call reads.
const (
	mostRead      = 10000
	mostReadBytes = 10 << 20
)

func (s *Streams) records(ctx context.Context, c *wire.Call, in *recordsInput) (*recordsOutput, error) {
	text, ok := wire.OpenToken(in.ShardIterator)
	var at cursor
	if !ok || json.Unmarshal([]byte(text), &at) != nil || at.Stream == "" {
		return nil, wire.Errorf("InvalidArgumentException", "Invalid ShardIterator.")
	}
	if age := s.now().Sub(at.Made); age > lasts {
		return nil, wire.Errorf("ExpiredIteratorException", "Iterator expired. The iterator was created at time %s while right now it is %s which is further in the future than the tolerated delay of %d milliseconds.",
			at.Made.UTC().Format(time.RFC1123), s.now().UTC().Format(time.RFC1123), lasts.Milliseconds())
	}
	d, err := s.find(ctx, c, which{StreamName: at.Stream})
	if err != nil {
		return nil, err
	}
	if !d.Created.Equal(at.Created) || at.Shard < 0 || at.Shard >= len(d.Shards) {
		return nil, wire.Errorf("InvalidArgumentException", "Invalid ShardIterator.")
	}
	l := s.local(c.Region, d, at.Shard)
	if !l.calls.AllowN(s.now(), 1) || l.read.TokensAt(s.now()) <= 0 {
		return nil, wire.Errorf("ProvisionedThroughputExceededException", "Rate exceeded for shard %s in stream %s under account %s.", shardID(at.Shard), d.Name, c.Account)
	}
	out := &recordsOutput{Records: []recordOutput{}}
	most := min(wire.Page(in.Limit, mostRead), mostRead)
	if s.isLog(d.Name) {
		err = s.readLog(ctx, &at, most, out)
	} else {
		err = s.read(ctx, c.Region, d, &at, most, out)
	}
	if err != nil {
		return nil, err
	}
	size := 0
	for _, r := range out.Records {
		size += len(r.Data)
	}
	l.read.ReserveN(s.now(), min(size, l.read.Burst())) // a big answer makes the next ones wait
	if end := d.Shards[at.Shard].End; end != nil && at.Next.Chunk > *end {
		out.ChildShards = d.children(at.Shard)
		return out, nil
	}
	at.Made = s.now()
	out.NextShardIterator, err = at.token()
	return out, err
}

// children are the shards that took over from a closed one.
func (s stream) children(of int) []childShard {
	out := []childShard{}
	for _, sh := range s.Shards {
		var parents []string
		for _, p := range []*int{sh.Parent, sh.Adjacent} {
			if p != nil {
				parents = append(parents, shardID(*p))
			}
		}
		if sh.Parent != nil && *sh.Parent == of || sh.Adjacent != nil && *sh.Adjacent == of {
			out = append(out, childShard{ShardId: sh.id(), ParentShards: parents, HashKeyRange: hashRange{sh.From.String(), sh.To.String()}})
		}
	}
	return out
}

// read takes records from a shard and moves the cursor behind them.
func (s *Streams) read(ctx context.Context, region string, d stream, at *cursor, most int, out *recordsOutput) error {
	prefix, size := chunkPrefix(region, d, at.Shard), 0
	oldest := s.now().Add(-time.Duration(d.RetentionHours) * time.Hour)
	for e, err := range s.chunks.From(ctx, prefix, chunkKey(prefix, at.Next.Chunk-1)) {
		if err != nil {
			return err
		}
		n := number(e.Key, prefix)
		for i, r := range e.Doc.Records {
			if n == at.Next.Chunk && i < at.Next.Place || r.Arrived.Before(oldest) {
				continue
			}
			if len(out.Records) == most || size > 0 && size+len(r.Data) > mostReadBytes {
				at.Next = position{n, i}
				out.MillisBehindLatest = s.now().Sub(r.Arrived).Milliseconds()
				return nil
			}
			size += len(r.Data)
			out.Records = append(out.Records, recordOutput{SequenceNumber: sequence(at.Shard, n, i), PartitionKey: r.Key, Data: r.Data, ApproximateArrivalTimestamp: r.Arrived})
		}
		at.Next = position{Chunk: n + 1}
	}
	return nil
}

// trim removes the chunks below a prefix that gone says are, from the first on.
func (s *Streams) trim(ctx context.Context, prefix string, gone func(n int64, c chunk) bool) error {
	for e, err := range s.chunks.All(ctx, prefix) {
		if err != nil {
			return err
		}
		if !gone(number(e.Key, prefix), e.Doc) {
			return nil
		}
		if err := s.chunks.Delete(ctx, e.Key, nil); err != nil {
			return err
		}
	}
	return nil
}
