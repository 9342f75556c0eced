package logs

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// chunk is the events of one PutLogEvents. Its key ends with its number in the stream.
type chunk struct {
	Stream      string
	Number      int64
	Ingested    int64
	First, Last int64
	Events      []event
}

type event struct {
	Timestamp int64
	Message   string
}

type putInput struct {
	LogGroupName, LogStreamName string
	LogEvents                   []event
	SequenceToken               string // as AWS does, any is taken
}

type rejected struct{ TooNewLogEventStartIndex, TooOldLogEventEndIndex, ExpiredLogEventEndIndex *int64 }

type putOutput struct {
	NextSequenceToken     string
	RejectedLogEventsInfo *rejected
}

// The bounds of PutLogEvents.
const (
	mostBytes  = 1 << 20
	eventBytes = 26 // that each event counts beside its message
	tooOld     = 14 * 24 * time.Hour
	tooNew     = 2 * time.Hour
	widest     = 24 * time.Hour
)

func sequenceToken(next int64) string { return fmt.Sprintf("%056d", next) }

func (l *Logs) put(ctx context.Context, call *wire.Call, in *putInput) (*putOutput, error) {
	g, err := l.groups.Get(ctx, groupKey(call.Region, in.LogGroupName))
	if err != nil {
		return nil, absent(err, errNoGroup)
	}
	kept, out, bytes, err := l.accepted(g, in.LogEvents)
	if err != nil {
		return nil, err
	}
	key := streamKey(call.Region, in.LogGroupName, in.LogStreamName)
	now := l.now().UnixMilli()
	if len(kept) == 0 {
		s, err := l.streams.Get(ctx, key)
		out.NextSequenceToken = sequenceToken(s.Next)
		return out, absent(err, errNoStream)
	}
	// The number is taken first: two callers never write the same chunk, and a crash in
	// between leaves a number unused.
	s, err := l.streams.Update(ctx, key, func(s *stream) error {
		if s.Ingested == 0 || kept[0].Timestamp < s.First {
			s.First = kept[0].Timestamp
		}
		s.Last, s.Ingested, s.Bytes, s.Next = max(s.Last, kept[len(kept)-1].Timestamp), now, s.Bytes+bytes, s.Next+1
		return nil
	})
	if err != nil {
		return nil, absent(err, errNoStream)
	}
	number := s.Next - 1
	out.NextSequenceToken = sequenceToken(s.Next)
	if err := l.chunks.Create(ctx, fmt.Sprintf("%s%020d", key, number), chunk{Stream: in.LogStreamName, Number: number, Ingested: now,
		First: kept[0].Timestamp, Last: kept[len(kept)-1].Timestamp, Events: kept}); err != nil {
		return nil, err
	}
	if err := l.subscribed(ctx, call, g, in.LogStreamName, number, kept); err != nil {
		return nil, err
	}
	return out, l.measure(ctx, call.Region, g, kept)
}

// accepted are the events that are kept; those that are too old or too new are told.
func (l *Logs) accepted(g group, events []event) (kept []event, out *putOutput, bytes int64, err error) {
	out = &putOutput{}
	now := l.now()
	oldest, newest := now.Add(-tooOld).UnixMilli(), now.Add(tooNew).UnixMilli()
	expired := int64(0)
	if g.Retention != nil {
		expired = now.AddDate(0, 0, -int(*g.Retention)).UnixMilli()
	}
	for i, e := range events {
		if i > 0 && e.Timestamp < events[i-1].Timestamp {
			return nil, nil, 0, invalid("Log events in a single PutLogEvents request must be in chronological order.")
		}
		bytes += int64(len(e.Message)) + eventBytes
		at := int64(i)
		after := at + 1
		info := func() *rejected {
			if out.RejectedLogEventsInfo == nil {
				out.RejectedLogEventsInfo = &rejected{}
			}
			return out.RejectedLogEventsInfo
		}
		switch {
		case e.Timestamp < oldest:
			info().TooOldLogEventEndIndex = &after
		case e.Timestamp < expired:
			info().ExpiredLogEventEndIndex = &after
		case e.Timestamp > newest:
			if r := info(); r.TooNewLogEventStartIndex == nil {
				r.TooNewLogEventStartIndex = &at
			}
		default:
			kept = append(kept, e)
		}
	}
	switch {
	case bytes > mostBytes:
		return nil, nil, 0, invalid("Upload too large: %d bytes exceeds limit of %d", bytes, mostBytes)
	case len(kept) > 0 && kept[len(kept)-1].Timestamp-kept[0].Timestamp > widest.Milliseconds():
		return nil, nil, 0, invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
	}
	return kept, out, bytes, nil
}

// found is an event with where it stands.
type found struct {
	event
	stream   string
	ingested int64
	id       int64 // within its stream, in the order of arrival
}

const mostInChunk = 10_000 // events of one PutLogEvents

// read returns the events below a key between two times, by time and arrival.
func (l *Logs) read(ctx context.Context, g group, prefix string, from, to *int64, accept func(stream string, message string) bool) ([]found, error) {
	oldest := int64(-1)
	if g.Retention != nil {
		oldest = l.now().AddDate(0, 0, -int(*g.Retention)).UnixMilli()
	}
	if from != nil {
		oldest = max(oldest, *from)
	}
	var list []found
	for e, err := range l.chunks.All(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		c := e.Doc
		if c.Last < oldest || to != nil && c.First >= *to {
			continue
		}
		for i, x := range c.Events {
			if x.Timestamp < oldest || to != nil && x.Timestamp >= *to || accept != nil && !accept(c.Stream, x.Message) {
				continue
			}
			list = append(list, found{x, c.Stream, c.Ingested, c.Number*mostInChunk + int64(i)})
		}
	}
	slices.SortStableFunc(list, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(a.stream, b.stream), cmp.Compare(a.id, b.id))
	})
	return list, nil
}

// removeChunks removes the chunks below a key that drop says of.
func (l *Logs) removeChunks(ctx context.Context, prefix string, drop func(chunk) bool) error {
	for e, err := range l.chunks.All(ctx, prefix) {
		if err != nil {
			return err
		}
		if !drop(e.Doc) {
			continue
		}
		if err := l.chunks.Delete(ctx, e.Key, nil); err != nil && problem.CodeOf(err) != problem.NotFound {
			return err
		}
	}
	return nil
}

// Sweep removes events that are older than their group keeps them, and what is left of
// groups that were deleted when the process died.
func (l *Logs) Sweep(ctx context.Context) error {
	limits := map[string]int64{}
	for e, err := range l.groups.All(ctx, "") {
		if err != nil {
			return err
		}
		limits[e.Key] = -1
		if e.Doc.Retention != nil {
			limits[e.Key] = l.now().AddDate(0, 0, -int(*e.Doc.Retention)).UnixMilli()
		}
	}
	ownerOf := func(key string) string {
		group, _, _ := strings.Cut(key, separator)
		return group + separator
	}
	for e, err := range l.streams.All(ctx, "") {
		if err != nil {
			return err
		}
		if _, ok := limits[ownerOf(e.Key)]; !ok {
			if err := l.remove(ctx, ownerOf(e.Key)); err != nil {
				return err
			}
		}
	}
	for e, err := range l.chunks.All(ctx, "") {
		if err != nil {
			return err
		}
		limit, ok := limits[ownerOf(e.Key)]
		if ok && e.Doc.Last >= limit {
			continue
		}
		if err := l.chunks.Delete(ctx, e.Key, nil); err != nil && problem.CodeOf(err) != problem.NotFound {
			return err
		}
	}
	return nil
}
