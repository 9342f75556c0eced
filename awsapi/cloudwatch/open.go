package cloudwatch

import (
	"context"
	"slices"
	"strings"

	"showrunner/telemetry/alarm"
)

// Open names the alarms of all regions that are open now: in the state ALARM. An
// alarm that scales a group is none: it is open whenever a group may shrink.
func (c *CloudWatch) Open(ctx context.Context) ([]string, error) {
	entries, err := c.alarms.List(ctx, "")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		scales := slices.ContainsFunc(e.Doc.AlarmActions, func(arn string) bool { return strings.Contains(arn, ":scalingPolicy:") })
		if e.Doc.State == alarm.Alarm && !scales {
			names = append(names, e.Doc.Name)
		}
	}
	return names, nil
}

// State tells whether an alarm of any region is open, and whether there is one of that
// name.
func (c *CloudWatch) State(ctx context.Context, name string) (open, known bool, err error) {
	entries, err := c.alarms.List(ctx, "")
	for _, e := range entries {
		if e.Doc.Name == name {
			open, known = open || e.Doc.State == alarm.Alarm, true
		}
	}
	return open, known, err
}
