package kinesis

import (
	"context"
	"encoding/json"
	"math/big"
	"time"

	"showrunner/awsapi/wire"
)

type shardFilter struct {
	Type, ShardId string
	Timestamp     time.Time
}

type shardsInput struct {
	StreamName, StreamARN, NextToken, ExclusiveStartShardId string
	MaxResults                                              *int64
	ShardFilter                                             *shardFilter
}

type shardsOutput struct {
	Shards    []shardOutput
	NextToken string
}

func (s *Streams) listShards(ctx context.Context, c *wire.Call, in *shardsInput) (*shardsOutput, error) {
	w, after := which{in.StreamName, in.StreamARN}, in.ExclusiveStartShardId
	if in.NextToken != "" { // it names the stream, and the client may not
		token, ok := wire.OpenToken(in.NextToken)
		var t [2]string
		if !ok || json.Unmarshal([]byte(token), &t) != nil {
			return nil, wire.Errorf("ExpiredNextTokenException", "The NextToken value is invalid.")
		}
		w, after = which{StreamName: t[0]}, t[1]
	}
	d, err := s.find(ctx, c, w)
	if err != nil {
		return nil, err
	}
	if f := in.ShardFilter; f != nil && f.Type == "AFTER_SHARD_ID" {
		after = f.ShardId
	}
	out, most := &shardsOutput{Shards: []shardOutput{}}, wire.Page(in.MaxResults, 1000)
	for _, sh := range d.Shards {
		closed := in.ShardFilter != nil && in.ShardFilter.Type == "AT_LATEST" && sh.End != nil
		if sh.id() <= after || closed {
			continue
		}
		if len(out.Shards) == most {
			text, err := json.Marshal([2]string{d.Name, out.Shards[most-1].ShardId})
			if err != nil {
				return nil, err
			}
			out.NextToken = wire.Token(string(text))
			break
		}
		out.Shards = append(out.Shards, sh.told())
	}
	return out, nil
}

// close ends an open shard at its last chunk. Puts that come later find its children.
func (s *Streams) close(ctx context.Context, region string, d *stream, sh *shard) error {
	if sh.End != nil {
		return wire.Errorf("InvalidArgumentException", "Shard %s in stream %s is not open.", sh.id(), d.Name)
	}
	last, err := seal(ctx, s.chunks, chunkPrefix(region, *d, sh.Index))
	sh.End = &last
	return err
}

type splitInput struct{ StreamName, StreamARN, ShardToSplit, NewStartingHashKey string }

func (s *Streams) split(ctx context.Context, c *wire.Call, in *splitInput) (*none, error) {
	_, err := s.change(ctx, c, which{in.StreamName, in.StreamARN}, func(d *stream) error {
		sh, err := d.shard(in.ShardToSplit)
		if err != nil {
			return err
		}
		at, ok := new(big.Int).SetString(in.NewStartingHashKey, 10)
		if !ok || at.Cmp(sh.From) <= 0 || at.Cmp(sh.To) > 0 {
			return wire.Errorf("InvalidArgumentException", "NewStartingHashKey %s used in SplitShard() on shard %s in stream %s under account %s is not both greater than one plus the shard's StartingHashKey %s and less than the shard's EndingHashKey %s.", in.NewStartingHashKey, sh.id(), d.Name, c.Account, sh.From, sh.To)
		}
		if err := s.close(ctx, c.Region, d, sh); err != nil {
			return err
		}
		parent, from, to := sh.Index, sh.From, sh.To
		d.Shards = append(d.Shards, shard{Index: len(d.Shards), From: from, To: new(big.Int).Sub(at, big.NewInt(1)), Parent: &parent}, shard{Index: len(d.Shards) + 1, From: at, To: to, Parent: &parent})
		return nil
	})
	return &none{}, err
}

type mergeInput struct{ StreamName, StreamARN, ShardToMerge, AdjacentShardToMerge string }

func (s *Streams) merge(ctx context.Context, c *wire.Call, in *mergeInput) (*none, error) {
	_, err := s.change(ctx, c, which{in.StreamName, in.StreamARN}, func(d *stream) error {
		one, err := d.shard(in.ShardToMerge)
		if err != nil {
			return err
		}
		two, err := d.shard(in.AdjacentShardToMerge)
		if err != nil {
			return err
		}
		low, high := one, two
		if low.From.Cmp(high.From) > 0 {
			low, high = high, low
		}
		if new(big.Int).Add(low.To, big.NewInt(1)).Cmp(high.From) != 0 {
			return wire.Errorf("InvalidArgumentException", "Shards %s and %s in stream %s under account %s are not an adjacent pair of shards eligible for merging", one.id(), two.id(), d.Name, c.Account)
		}
		for _, sh := range []*shard{one, two} {
			if err := s.close(ctx, c.Region, d, sh); err != nil {
				return err
			}
		}
		parent, adjacent := one.Index, two.Index
		d.Shards = append(d.Shards, shard{Index: len(d.Shards), From: low.From, To: high.To, Parent: &parent, Adjacent: &adjacent})
		return nil
	})
	return &none{}, err
}
