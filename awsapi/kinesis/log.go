package kinesis

import (
	"context"
	"encoding/json"
	"math/big"
	"time"

	"showrunner/awsapi/wire"
	event "showrunner/store/record"
)

// LogName is the stream that the event log is there as, in every region.
const LogName = "showrunner-events"

// Log reads the event log.
type Log interface {
	// Events are those after a position; Next of the slice is where to go on.
	Events(ctx context.Context, from int64, f event.Filter, limit int) (event.Slice, error)
	// End is the position of the last event.
	End(ctx context.Context) (int64, error)
}

// Events is the log that is there as a stream.
type Events struct {
	Log
	Since time.Time // its making, as clients are told
}

func (s *Streams) isLog(name string) bool { return s.events.Log != nil && name == LogName }

// log is the stream of the event log: one shard, whose chunks are events.
func (s *Streams) log(c *wire.Call) stream {
	return stream{ARN: arnPrefix(c) + LogName, Name: LogName, Mode: "PROVISIONED", RetentionHours: firstRetention, Created: s.events.Since,
		Shards: []shard{{From: big.NewInt(0), To: new(big.Int).Sub(hashes(), big.NewInt(1))}}}
}

// since is the position of the first event of a time or later.
func (e Events) since(ctx context.Context, at time.Time) (position, error) {
	const page = 1000
	next := int64(0)
	for {
		slice, err := e.Events(ctx, next, event.Filter{}, page)
		if err != nil {
			return position{}, err
		}
		for _, one := range slice.Events {
			if !one.Time.Before(at) {
				return position{Chunk: one.Position}, nil
			}
		}
		if slice.Next <= next || len(slice.Events) == 0 {
			return position{Chunk: slice.Next + 1}, nil
		}
		next = slice.Next
	}
}

// readLog takes events and moves the cursor behind them. An event's key is its
// execution, so that consumers that work by key keep the order of each; it is JSON.
func (s *Streams) readLog(ctx context.Context, at *cursor, most int, out *recordsOutput) error {
	from := at.Next.Chunk - 1
	if at.Next.Place > 0 { // behind the one event of a chunk
		from++
	}
	slice, err := s.events.Events(ctx, max(from, 0), event.Filter{}, min(most, 1000))
	if err != nil {
		return err
	}
	for _, e := range slice.Events {
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		key := e.Execution
		for _, other := range []string{e.Application, e.Type} {
			if key == "" {
				key = other
			}
		}
		out.Records = append(out.Records, recordOutput{SequenceNumber: sequence(0, e.Position, 0), PartitionKey: key, Data: data, ApproximateArrivalTimestamp: e.Time})
	}
	if n := len(slice.Events); n > 0 {
		out.MillisBehindLatest = 0
		if end, err := s.events.End(ctx); err == nil && end > slice.Events[n-1].Position {
			out.MillisBehindLatest = max(1, s.now().Sub(slice.Events[n-1].Time).Milliseconds())
		}
	}
	at.Next = position{Chunk: slice.Next + 1}
	return nil
}
