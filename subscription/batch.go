package subscription

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"showrunner/problem"
	"showrunner/store/record"
)

// StreamRecord is one event for a stream. Records of one key keep their order.
type StreamRecord struct {
	Key  string
	Data []byte
}

// Stream takes events in batches. Errors: not_found when the stream is gone for good,
// unavailable for every failure that may pass.
type Stream interface {
	// Put sends records, whose keys are all different. It returns which of them the
	// stream did not take; they are to be sent again. An error means none was taken, or
	// that this is not known.
	Put(ctx context.Context, records []StreamRecord) (failed []int, err error)
}

// Bounds of a batch: those of Kinesis, with room for the keys.
// Source: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
const (
	batchRecords = 500
	batchBytes   = 4 << 20
	mostRecord   = 1<<20 - 1024
	// mostPending bounds the events that are in hand at once.
	mostPending = 5_000
)

// streamScheme begins the address of a subscription whose events go to a Kinesis stream:
// kinesis://REGION/STREAM, with ?endpoint=URL for another server than AWS's.
const streamScheme = "kinesis"

func (s Subscription) isKinesis() bool { return strings.HasPrefix(s.URL, streamScheme+"://") }

// isStream tells whether events go to a Stream.
func (s Subscription) isStream() bool { return s.isKinesis() || s.Format == FormatOTLP }

// keyOf is what keeps its order: the execution, or where there is none the application.
// Spans have no order, so each event of theirs has a key of its own.
func (s Subscription) keyOf(e record.Event) string {
	switch {
	case s.Format == FormatOTLP:
		return strconv.FormatInt(e.Position, 10)
	case e.Execution != "":
		return e.Execution
	case e.Application != "":
		return "application/" + e.Application
	}
	return "showrunner"
}

// nextBatch chooses what may be sent at once: the first event of each key, in order. A
// stream takes a later record of a batch even when an earlier one fails, so that two
// events of one key in a batch might change places. Sizes are of the events' records.
func (s Subscription) nextBatch(events []record.Event, sizes []int) []int {
	var batch []int
	seen := map[string]bool{}
	bytes := 0
	for i, e := range events {
		key := s.keyOf(e)
		if seen[key] {
			continue
		}
		if len(batch) == batchRecords || len(batch) > 0 && bytes+sizes[i] > batchBytes {
			break
		}
		seen[key] = true
		batch = append(batch, i)
		bytes += sizes[i]
	}
	return batch
}

// deliverAll sends events to the subscription's stream until each is accepted, or the
// subscription is parked. After a crash some are sent again; each has its position in it.
func (h *held) deliverAll(ctx context.Context, events []record.Event) error {
	if len(events) == 0 {
		return nil
	}
	data, sizes := make([][]byte, len(events)), make([]int, len(events))
	for i, e := range events {
		var err error
		if data[i], _, err = h.body(e); err != nil {
			return err
		}
		if len(data[i]) > mostRecord { // no stream takes it: what happened is told without its data
			e.Data = json.RawMessage(fmt.Sprintf(`{"omitted":%d}`, len(e.Data)))
			if data[i], _, err = h.body(e); err != nil {
				return err
			}
		}
		sizes[i] = len(data[i]) + len(h.sub.keyOf(e))
	}
	for len(events) > 0 {
		batch := h.sub.nextBatch(events, sizes)
		records := make([]StreamRecord, len(batch))
		for n, i := range batch {
			records[n] = StreamRecord{Key: h.sub.keyOf(events[i]), Data: data[i]}
		}
		failed, err := h.put(ctx, records)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			taken := map[int]bool{}
			for _, i := range batch {
				taken[i] = true
			}
			for _, n := range failed {
				delete(taken, batch[n])
			}
			h.progress.Delivered += int64(len(taken))
			events, data, sizes = without(events, taken), without(data, taken), without(sizes, taken)
			if len(failed) > 0 {
				err = problem.New(problem.Unavailable, "subscription.send", "the stream did not take %d of %d records", len(failed), len(batch))
			}
		}
		if err != nil {
			h.stream = nil // opened again, with the keys of then
		}
		after := time.Duration(0)
		if p, ok := problem.Of(err); ok {
			after = p.RetryAfter
		}
		if err := h.tried(ctx, err, after); err != nil || h.progress.Parked != "" {
			return err
		}
		if len(events) > 0 {
			h.progress.Position = events[0].Position - 1 // everything before it was taken
		}
	}
	return nil
}

// put makes the stream, once, and sends a batch.
func (h *held) put(ctx context.Context, records []StreamRecord) ([]int, error) {
	if h.stream == nil {
		credentials := ""
		if h.sub.Secret != "" {
			var err error
			if credentials, err = h.sender.Secrets.Resolve(ctx, h.sub.Secret); err != nil {
				return nil, problem.New(problem.Unavailable, "subscription.send", "the secret %s cannot be read: %v", h.sub.Secret, err)
			}
		}
		stream, err := h.sender.Streams(ctx, h.sub, credentials)
		if err != nil {
			return nil, problem.New(problem.Unavailable, "subscription.send", "%s", problem.Text(err))
		}
		h.stream = stream
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return h.stream.Put(ctx, records)
}

func without[T any](list []T, taken map[int]bool) []T {
	kept := make([]T, 0, len(list)-len(taken))
	for i, v := range list {
		if !taken[i] {
			kept = append(kept, v)
		}
	}
	return kept
}
