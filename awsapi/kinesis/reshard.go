package kinesis

import (
	"context"
	"math/big"
	"slices"

	"showrunner/awsapi/wire"
)

type countInput struct {
	StreamName, StreamARN, ScalingType string
	TargetShardCount                   int64
}

type countOutput struct {
	StreamName, StreamARN               string
	CurrentShardCount, TargetShardCount int64
}

// updateCount divides a stream's keys evenly among another number of shards, by
// splits and merges as a client would ask for, all in one change.
func (s *Streams) updateCount(ctx context.Context, c *wire.Call, in *countInput) (*countOutput, error) {
	var before int64
	d, err := s.change(ctx, c, which{in.StreamName, in.StreamARN}, func(d *stream) error {
		before = d.open()
		switch {
		case d.Mode == "ON_DEMAND":
			return wire.Errorf("ValidationException", "Request is invalid. Stream %s under account %s is in On-Demand mode.", d.Name, c.Account)
		case in.TargetShardCount < 1:
			return wire.Errorf("InvalidArgumentException", "TargetShardCount must be at least 1.")
		case in.TargetShardCount > mostShards:
			return wire.Errorf("LimitExceededException", "This request would exceed the shard limit for the account %s in %s. Limit: %d.", c.Account, c.Region, mostShards)
		case in.TargetShardCount > 2*before:
			return wire.Errorf("InvalidArgumentException", "UpdateShardCount cannot scale up over double your current open shard count. Current open shard count: %d Target shard count: %d", before, in.TargetShardCount)
		case 2*in.TargetShardCount < before:
			return wire.Errorf("InvalidArgumentException", "UpdateShardCount cannot scale down below half your current open shard count. Current open shard count: %d Target shard count: %d", before, in.TargetShardCount)
		}
		return s.spread(ctx, c.Region, d, evenShards(int(in.TargetShardCount)))
	})
	return &countOutput{d.Name, d.ARN, before, in.TargetShardCount}, err
}

// spread has the stream's open shards be those of wanted. A shard that is made on the
// way and closed again was never written to.
func (s *Streams) spread(ctx context.Context, region string, d *stream, wanted []shard) error {
	old := len(d.Shards)
	end := func(index int) error {
		if index < old {
			return s.close(ctx, region, d, &d.Shards[index])
		}
		before := int64(-1) // before the first chunk: a reader is at its end at once
		d.Shards[index].End = &before
		return nil
	}
	for _, w := range wanted {
		at := slices.IndexFunc(d.Shards, func(sh shard) bool { return sh.End == nil && sh.From.Cmp(w.From) < 0 && sh.To.Cmp(w.From) >= 0 })
		if at < 0 {
			continue // a shard begins there
		}
		if err := end(at); err != nil {
			return err
		}
		parent, from, to := at, d.Shards[at].From, d.Shards[at].To
		d.Shards = append(d.Shards,
			shard{Index: len(d.Shards), From: from, To: new(big.Int).Sub(w.From, big.NewInt(1)), Parent: &parent},
			shard{Index: len(d.Shards) + 1, From: w.From, To: to, Parent: &parent})
	}
	for _, w := range wanted {
		for {
			low := d.shardFor(w.From).Index
			if d.Shards[low].To.Cmp(w.To) >= 0 {
				break
			}
			high := d.shardFor(new(big.Int).Add(d.Shards[low].To, big.NewInt(1))).Index
			for _, index := range []int{low, high} {
				if err := end(index); err != nil {
					return err
				}
			}
			d.Shards = append(d.Shards, shard{Index: len(d.Shards), From: d.Shards[low].From, To: d.Shards[high].To, Parent: &low, Adjacent: &high})
		}
	}
	return nil
}

type modeInput struct {
	StreamARN         string
	StreamModeDetails mode
}

func (s *Streams) updateMode(ctx context.Context, c *wire.Call, in *modeInput) (*none, error) {
	_, err := s.change(ctx, c, which{StreamARN: in.StreamARN}, func(d *stream) error {
		d.Mode = in.StreamModeDetails.StreamMode
		return nil
	})
	return &none{}, err
}
