package logs

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"showrunner/awsapi/wire"
)

type getInput struct {
	LogGroupName, LogGroupIdentifier, LogStreamName string
	StartTime, EndTime, Limit                       *int64
	StartFromHead                                   *bool
	NextToken                                       string
}

type shownEvent struct {
	Timestamp     int64
	Message       string
	IngestionTime int64
}

type getOutput struct {
	Events                              []shownEvent
	NextForwardToken, NextBackwardToken string
}

// A page of events holds at most so many, and so many bytes.
const (
	mostEvents     = 10_000
	mostEventBytes = 1 << 20
)

// get reads a stream forwards or backwards. Its tokens are positions, so that the one at
// the end is the same until something new has come.
func (l *Logs) get(ctx context.Context, call *wire.Call, in *getInput) (*getOutput, error) {
	name, err := named(in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	if err := l.filled(ctx, call.Region, name); err != nil {
		return nil, err
	}
	g, err := l.groups.Get(ctx, groupKey(call.Region, name))
	if err != nil {
		return nil, absent(err, errNoGroup)
	}
	key := streamKey(call.Region, name, in.LogStreamName)
	if _, err := l.streams.Get(ctx, key); err != nil {
		return nil, absent(err, errNoStream)
	}
	list, err := l.read(ctx, g, key, in.StartTime, in.EndTime, nil)
	if err != nil {
		return nil, err
	}
	forward := in.StartFromHead != nil && *in.StartFromHead
	begin, end := 0, len(list)
	if in.NextToken != "" {
		p, err := parsePosition(in.NextToken)
		if err != nil {
			return nil, err
		}
		forward = p.forward
		i, _ := slices.BinarySearchFunc(list, p, func(e found, p position) int {
			return cmp.Or(cmp.Compare(e.Timestamp, p.timestamp), cmp.Compare(e.id, p.id))
		})
		if forward {
			begin = i
		} else {
			end = i
		}
	}
	most, bytes := wire.Page(in.Limit, mostEvents), 0
	n := 0
	for n < most && n < end-begin {
		e := list[begin+n]
		if !forward {
			e = list[end-1-n]
		}
		if bytes += len(e.Message) + eventBytes; bytes > mostEventBytes && n > 0 {
			break
		}
		n++
	}
	if forward {
		end = begin + n
	} else {
		begin = end - n
	}
	out := &getOutput{Events: []shownEvent{}}
	for _, e := range list[begin:end] {
		out.Events = append(out.Events, shownEvent{e.Timestamp, e.Message, e.ingested})
	}
	out.NextForwardToken, out.NextBackwardToken = positionAt(list, end, true, in.NextToken).String(), positionAt(list, begin, false, in.NextToken).String()
	return out, nil
}

// position is a place between events of a stream: before the one that it names.
type position struct {
	forward       bool
	timestamp, id int64
}

func (p position) String() string {
	side := "b"
	if p.forward {
		side = "f"
	}
	return fmt.Sprintf("%s/%020d/%020d", side, p.timestamp, p.id)
}

// positionAt is before the event i, or after the last one.
func positionAt(list []found, i int, forward bool, asked string) position {
	switch {
	case i < len(list):
		return position{forward, list[i].Timestamp, list[i].id}
	case len(list) > 0:
		return position{forward, list[len(list)-1].Timestamp, list[len(list)-1].id + 1}
	}
	if p, err := parsePosition(asked); err == nil {
		return position{forward, p.timestamp, p.id}
	}
	return position{forward, 0, 0}
}

func parsePosition(token string) (position, error) {
	parts := strings.Split(token, "/")
	if len(parts) != 3 || parts[0] != "f" && parts[0] != "b" {
		return position{}, invalid("The specified nextToken is invalid.")
	}
	at, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return position{}, invalid("The specified nextToken is invalid.")
	}
	id, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return position{}, invalid("The specified nextToken is invalid.")
	}
	return position{parts[0] == "f", at, id}, nil
}
