package logs

import (
	"context"
	"slices"

	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// stream is what is kept of a log stream.
type stream struct {
	Group, Name string
	Created     int64
	First, Last int64 // of its events; 0 without any
	Ingested    int64
	Bytes       int64
	Next        int64 // number of the next chunk
}

type streamInput struct{ LogGroupName, LogStreamName string }

func (l *Logs) createStream(ctx context.Context, call *wire.Call, in *streamInput) (*nothing, error) {
	if _, err := l.groups.Get(ctx, groupKey(call.Region, in.LogGroupName)); err != nil {
		return nil, absent(err, errNoGroup)
	}
	err := l.streams.Create(ctx, streamKey(call.Region, in.LogGroupName, in.LogStreamName), stream{Group: in.LogGroupName, Name: in.LogStreamName, Created: l.now().UnixMilli()})
	if problem.CodeOf(err) == problem.Conflict {
		return nil, wire.Errorf("ResourceAlreadyExistsException", "The specified log stream already exists")
	}
	return &nothing{}, err
}

func (l *Logs) deleteStream(ctx context.Context, call *wire.Call, in *streamInput) (*nothing, error) {
	if _, err := l.groups.Get(ctx, groupKey(call.Region, in.LogGroupName)); err != nil {
		return nil, absent(err, errNoGroup)
	}
	key := streamKey(call.Region, in.LogGroupName, in.LogStreamName)
	if err := l.streams.Delete(ctx, key, nil); err != nil {
		return nil, absent(err, errNoStream)
	}
	return &nothing{}, l.removeChunks(ctx, key, func(chunk) bool { return true })
}

type describeStreamsInput struct {
	LogGroupName, LogGroupIdentifier string
	LogStreamNamePrefix, OrderBy     string
	Descending                       *bool
	Limit                            *int64
	NextToken                        string
}

type shownStream struct {
	LogStreamName       string
	Arn                 string
	CreationTime        int64
	FirstEventTimestamp *int64
	LastEventTimestamp  *int64
	LastIngestionTime   *int64
	UploadSequenceToken string
	StoredBytes         int64
}

type describeStreamsOutput struct {
	LogStreams []shownStream
	NextToken  string
}

func (l *Logs) describeStreams(ctx context.Context, call *wire.Call, in *describeStreamsInput) (*describeStreamsOutput, error) {
	name, err := named(in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	if err := l.filled(ctx, call.Region, name); err != nil {
		return nil, err
	}
	byTime := in.OrderBy == "LastEventTime"
	if byTime && in.LogStreamNamePrefix != "" {
		return nil, invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
	}
	if _, err := l.groups.Get(ctx, groupKey(call.Region, name)); err != nil {
		return nil, absent(err, errNoGroup)
	}
	list, err := l.streams.List(ctx, groupKey(call.Region, name)+in.LogStreamNamePrefix)
	if err != nil {
		return nil, err
	}
	if byTime {
		slices.SortStableFunc(list, func(a, b state.Entry[stream]) int { return int(a.Doc.Last - b.Doc.Last) })
	}
	if in.Descending != nil && *in.Descending {
		slices.Reverse(list)
	}
	after, ok := wire.OpenToken(in.NextToken)
	if !ok {
		return nil, invalid("The specified nextToken is invalid.")
	}
	out := &describeStreamsOutput{LogStreams: []shownStream{}}
	begun := after == ""
	for _, e := range list {
		if !begun {
			begun = e.Key == after
			continue
		}
		if len(out.LogStreams) == wire.Page(in.Limit, 50) {
			out.NextToken = wire.Token(after)
			break
		}
		after = e.Key
		out.LogStreams = append(out.LogStreams, e.Doc.shown(call))
	}
	return out, nil
}

func (s stream) shown(call *wire.Call) shownStream {
	out := shownStream{LogStreamName: s.Name, Arn: groupARN(call, s.Group) + ":log-stream:" + s.Name, CreationTime: s.Created, StoredBytes: s.Bytes}
	if s.Ingested != 0 {
		out.FirstEventTimestamp, out.LastEventTimestamp, out.LastIngestionTime = &s.First, &s.Last, &s.Ingested
		out.UploadSequenceToken = sequenceToken(s.Next)
	}
	return out
}
