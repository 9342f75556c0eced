package logs

import (
	"context"
	"fmt"
	"slices"

	"showrunner/awsapi/wire"
)

type filterInput struct {
	LogGroupName, LogGroupIdentifier string
	LogStreamNames                   []string
	LogStreamNamePrefix              string
	StartTime, EndTime, Limit        *int64
	FilterPattern, NextToken         string
}

type filteredEvent struct {
	LogStreamName string
	Timestamp     int64
	Message       string
	IngestionTime int64
	EventID       string `wire:"eventId"`
}

type filterOutput struct {
	Events    []filteredEvent
	NextToken string
}

func (l *Logs) filter(ctx context.Context, call *wire.Call, in *filterInput) (*filterOutput, error) {
	name, err := named(in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	if err := l.filled(ctx, call.Region, name); err != nil {
		return nil, err
	}
	if len(in.LogStreamNames) > 0 && in.LogStreamNamePrefix != "" {
		return nil, invalid("logStreamNames and logStreamNamePrefix are mutually exclusive parameters.")
	}
	pattern, err := parsePattern(in.FilterPattern)
	if err != nil {
		return nil, err
	}
	g, err := l.groups.Get(ctx, groupKey(call.Region, name))
	if err != nil {
		return nil, absent(err, errNoGroup)
	}
	list, err := l.read(ctx, g, groupKey(call.Region, name)+in.LogStreamNamePrefix, in.StartTime, in.EndTime, func(stream, message string) bool {
		return (len(in.LogStreamNames) == 0 || slices.Contains(in.LogStreamNames, stream)) && pattern(message)
	})
	if err != nil {
		return nil, err
	}
	text, ok := wire.OpenToken(in.NextToken)
	if !ok {
		return nil, invalid("The specified nextToken is invalid.")
	}
	out, bytes := &filterOutput{Events: []filteredEvent{}}, 0
	for _, e := range list {
		at := fmt.Sprintf("%020d/%s/%020d", e.Timestamp, e.stream, e.id)
		if at <= text && text != "" {
			continue
		}
		bytes += len(e.Message) + eventBytes
		if n := len(out.Events); n == wire.Page(in.Limit, mostEvents) || n > 0 && bytes > mostEventBytes {
			last := out.Events[n-1]
			out.NextToken = wire.Token(last.EventID)
			break
		}
		out.Events = append(out.Events, filteredEvent{e.stream, e.Timestamp, e.Message, e.ingested, at})
	}
	return out, nil
}
