package cloudwatch

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// historyItem is something that happened to an alarm.
type historyItem struct {
	Alarm, Type, Item, Summary, Data string
	At                               time.Time
}

// historyKept is how long history is kept.
const historyKept = 14 * 24 * time.Hour

// note adds to an alarm's history. Keys sort by time within an alarm.
func (c *CloudWatch) note(ctx context.Context, region string, d alarmDocument, item, summary, data string) error {
	now := c.now().UTC()
	if data == "" {
		raw, _ := json.Marshal(map[string]string{"version": "1.0", "type": item}) // texts
		data = string(raw)
	}
	for n := 0; ; n++ {
		key := fmt.Sprintf("%s/%s\x01%020d.%03d", region, d.Name, now.UnixNano(), n)
		err := c.history.Create(ctx, key, historyItem{Alarm: d.Name, Type: d.kind(), Item: item, Summary: summary, Data: data, At: now})
		if problem.CodeOf(err) != problem.Conflict || ctx.Err() != nil {
			return err
		}
	}
}

// sweep removes history that is older than it is kept.
func (c *CloudWatch) sweep(ctx context.Context) error {
	limit := c.now().Add(-historyKept)
	for e, err := range c.history.All(ctx, "") {
		if err != nil {
			return err
		}
		if e.Doc.At.Before(limit) {
			if err := c.history.Delete(ctx, e.Key, nil); err != nil && problem.CodeOf(err) != problem.NotFound {
				return err
			}
		}
	}
	return nil
}

type historyInput struct {
	AlarmName          string
	AlarmTypes         []string
	HistoryItemType    string
	StartDate, EndDate time.Time
	MaxRecords         *int64
	NextToken          string
	ScanBy             string
}

type shownHistory struct {
	AlarmName, AlarmType        string
	Timestamp                   time.Time
	HistoryItemType             string
	HistorySummary, HistoryData string
}

type historyOutput struct {
	AlarmHistoryItems []shownHistory
	NextToken         string
}

func (c *CloudWatch) describeHistory(ctx context.Context, call *wire.Call, in *historyInput) (*historyOutput, error) {
	prefix := call.Region + "/"
	if in.AlarmName != "" {
		prefix += in.AlarmName + "\x01"
	}
	entries, err := c.history.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(entries, func(a, b state.Entry[historyItem]) int { return a.Doc.At.Compare(b.Doc.At) })
	if in.ScanBy != "TimestampAscending" {
		slices.Reverse(entries)
	}
	after, ok := wire.OpenToken(in.NextToken)
	if !ok {
		return nil, wire.Errorf("InvalidNextToken", "The token is not one that was given.")
	}
	out := &historyOutput{AlarmHistoryItems: []shownHistory{}}
	begun := after == ""
	for _, e := range entries {
		h := e.Doc
		if !begun {
			begun = e.Key == after
			continue
		}
		if in.HistoryItemType != "" && h.Item != in.HistoryItemType || len(in.AlarmTypes) > 0 && !slices.Contains(in.AlarmTypes, h.Type) ||
			!in.StartDate.IsZero() && h.At.Before(in.StartDate) || !in.EndDate.IsZero() && h.At.After(in.EndDate) {
			continue
		}
		if len(out.AlarmHistoryItems) == wire.Page(in.MaxRecords, 50) {
			out.NextToken = wire.Token(after)
			break
		}
		after = e.Key
		out.AlarmHistoryItems = append(out.AlarmHistoryItems, shownHistory{h.Alarm, h.Type, h.At, h.Item, h.Summary, h.Data})
	}
	return out, nil
}
