package logs

import (
	"context"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// Line is a line that something here has written.
type Line struct {
	At   time.Time
	Text string
}

// mostLines is how many lines are put at once.
const mostLines = 1000

// Append adds lines, oldest first, to a stream. The stream and its group are made
// where they are missing.
func (l *Logs) Append(ctx context.Context, region, groupName, streamName string, lines []Line) error {
	call := &wire.Call{Region: region, Account: l.Account}
	now := l.now().UnixMilli()
	err := l.groups.Create(ctx, groupKey(region, groupName), group{Name: groupName, Created: now, Class: "STANDARD"})
	if err != nil && problem.CodeOf(err) != problem.Conflict {
		return err
	}
	err = l.streams.Create(ctx, streamKey(region, groupName, streamName), stream{Group: groupName, Name: streamName, Created: now})
	if err != nil && problem.CodeOf(err) != problem.Conflict {
		return err
	}
	for len(lines) > 0 {
		in := &putInput{LogGroupName: groupName, LogStreamName: streamName}
		bytes := 0
		for len(lines) > 0 && len(in.LogEvents) < mostLines && bytes+len(lines[0].Text)+eventBytes <= mostBytes {
			bytes += len(lines[0].Text) + eventBytes
			in.LogEvents = append(in.LogEvents, event{Timestamp: lines[0].At.UnixMilli(), Message: lines[0].Text})
			lines = lines[1:]
		}
		if len(in.LogEvents) == 0 { // a line that is too long by itself
			lines[0].Text = lines[0].Text[:mostBytes/2]
			continue
		}
		if _, err := l.put(ctx, call, in); err != nil {
			return err
		}
	}
	return nil
}

// HasGroup says whether a log group is there.
func (l *Logs) HasGroup(ctx context.Context, region, name string) (bool, error) {
	_, err := l.groups.Get(ctx, groupKey(region, name))
	if problem.CodeOf(err) == problem.NotFound {
		return false, nil
	}
	return err == nil, err
}

// filled has what writes into a group by itself write what it has.
func (l *Logs) filled(ctx context.Context, region, groupName string) error {
	if l.Fill == nil {
		return nil
	}
	return l.Fill(ctx, region, groupName)
}
