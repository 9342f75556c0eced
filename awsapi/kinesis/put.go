package kinesis

import (
	"context"
	"errors"
	"math/big"
	"sync"

	"showrunner/awsapi/wire"
)

// most is what one call may put.
const (
	mostRecords = 500
	mostBytes   = 5 << 20
	biggest     = 1 << 20 // of one record, its key not counted
)

type putInput struct {
	StreamName, StreamARN                                    string
	Data                                                     []byte
	PartitionKey, ExplicitHashKey, SequenceNumberForOrdering string
}

type putOutput struct{ ShardId, SequenceNumber string }

func (s *Streams) putOne(ctx context.Context, c *wire.Call, in *putInput) (*putOutput, error) {
	d, err := s.find(ctx, c, which{in.StreamName, in.StreamARN})
	if err != nil {
		return nil, err
	}
	if n := in.SequenceNumberForOrdering; n != "" {
		if _, ok := new(big.Int).SetString(n, 10); !ok || len(n) != sequenceDigits {
			return nil, wire.Errorf("InvalidArgumentException", "ExclusiveMinimumSequenceNumber %s used in PutRecord on stream %s under account %s is invalid.", n, d.Name, c.Account)
		}
	}
	out, err := s.put(ctx, c, d, []entry{{in.Data, in.PartitionKey, in.ExplicitHashKey}})
	if err != nil {
		return nil, err
	}
	if code := out[0].ErrorCode; code != "" {
		return nil, wire.Errorf(code, "%s", out[0].ErrorMessage)
	}
	return &putOutput{out[0].ShardId, out[0].SequenceNumber}, nil
}

type entry struct {
	Data                          []byte
	PartitionKey, ExplicitHashKey string
}

type manyInput struct {
	StreamName, StreamARN string
	Records               []entry
}

type result struct{ ShardId, SequenceNumber, ErrorCode, ErrorMessage string }

type manyOutput struct {
	FailedRecordCount int64
	Records           []result
}

func (s *Streams) putMany(ctx context.Context, c *wire.Call, in *manyInput) (*manyOutput, error) {
	d, err := s.find(ctx, c, which{in.StreamName, in.StreamARN})
	if err != nil {
		return nil, err
	}
	size := 0
	for _, e := range in.Records {
		size += len(e.Data) + len(e.PartitionKey)
	}
	if size > mostBytes {
		return nil, wire.Errorf("InvalidArgumentException", "Records size exceeds %d MB limit", mostBytes>>20)
	}
	out := &manyOutput{}
	out.Records, err = s.put(ctx, c, d, in.Records)
	for _, r := range out.Records {
		if r.ErrorCode != "" {
			out.FailedRecordCount++
		}
	}
	return out, err
}

// put adds records, each to its shard; the error is of the whole call.
func (s *Streams) put(ctx context.Context, c *wire.Call, d stream, entries []entry) ([]result, error) {
	if s.isLog(d.Name) {
		return nil, wire.Errorf("AccessDeniedException", "The stream %s is the event log: nothing is put there.", d.Name)
	}
	keys := make([]*big.Int, len(entries))
	for i, e := range entries {
		if len(e.Data) > biggest {
			return nil, wire.Errorf("ValidationException", "1 validation error detected: Value at 'data' failed to satisfy constraint: Member must have length less than or equal to %d", biggest)
		}
		if keys[i] = hash(e.PartitionKey); e.ExplicitHashKey != "" {
			k, ok := new(big.Int).SetString(e.ExplicitHashKey, 10)
			if !ok || k.Sign() < 0 || k.Cmp(hashes()) >= 0 {
				return nil, wire.Errorf("InvalidArgumentException", "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was %s", e.ExplicitHashKey)
			}
			keys[i] = k
		}
	}
	out := make([]result, len(entries))
	left := make([]int, len(entries)) // the places of what is still to be put
	for i := range left {
		left[i] = i
	}
	for len(left) > 0 {
		again, err := s.putShards(ctx, c, d, entries, keys, left, out)
		if err != nil {
			return nil, err
		}
		if left = again; len(left) > 0 { // a shard was closed meanwhile
			if d, err = s.find(ctx, c, which{StreamName: d.Name}); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// putShards puts what is left, by shards, and returns what found its shard closed.
func (s *Streams) putShards(ctx context.Context, c *wire.Call, d stream, entries []entry, keys []*big.Int, left []int, out []result) (again []int, err error) {
	byShard := map[int][]int{}
	var order []int
	for _, i := range left {
		sh := d.shardFor(keys[i])
		if sh == nil {
			return nil, wire.Errorf("InternalFailure", "no open shard has the hash key %s", keys[i])
		}
		if byShard[sh.Index] == nil {
			order = append(order, sh.Index)
		}
		byShard[sh.Index] = append(byShard[sh.Index], i)
	}
	shards := make([]shardPut, len(order))
	var all sync.WaitGroup
	for n, index := range order {
		all.Go(func() {
			shards[n] = s.putShard(ctx, c, d, index, entries, byShard[index], out)
		})
	}
	all.Wait()
	for _, p := range shards {
		again = append(again, p.again...)
		err = errors.Join(err, p.err)
	}
	return again, err
}

// shardPut is what became of the records for one shard.
type shardPut struct {
	again []int // the places of those that found it closed
	err   error
}

// putShard puts the entries at some places into a shard, as far as its limits
// allow, and fills in their results. A put waits for the disk once, however many
// shards its records are for: their appends run beside each other.
func (s *Streams) putShard(ctx context.Context, c *wire.Call, d stream, index int, entries []entry, at []int, out []result) shardPut {
	now := s.now().UTC()
	l := s.local(c.Region, d, index)
	var records []record
	var places []int
	for _, i := range at {
		e := entries[i]
		if !l.bytes.AllowN(now, len(e.Data)+len(e.PartitionKey)) || !l.records.AllowN(now, 1) {
			out[i] = result{ErrorCode: "ProvisionedThroughputExceededException",
				ErrorMessage: "Rate exceeded for shard " + shardID(index) + " in stream " + d.Name + " under account " + c.Account + "."}
			continue
		}
		records, places = append(records, record{Key: e.PartitionKey, Hash: e.ExplicitHashKey, Data: e.Data, Arrived: now}), append(places, i)
	}
	if len(records) == 0 {
		return shardPut{}
	}
	number, place, err := l.writer.append(ctx, records)
	if errors.Is(err, errClosed) {
		return shardPut{again: places}
	}
	if err != nil {
		return shardPut{err: err}
	}
	s.tell(c.Region, d.Name)
	for n, i := range places {
		out[i] = result{ShardId: shardID(index), SequenceNumber: sequence(index, number, place+n)}
	}
	return shardPut{}
}
