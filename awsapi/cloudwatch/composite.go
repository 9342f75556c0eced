package cloudwatch

import (
	"context"
	"encoding/json"
	"fmt"

	"showrunner/telemetry/alarm"
)

// evaluateComposites sets the composite alarms of a region until none changes: one may
// be a function of another.
func (c *CloudWatch) evaluateComposites(ctx context.Context, region string) error {
	entries, err := c.alarms.List(ctx, region+"/")
	if err != nil {
		return err
	}
	states, since := map[string]alarm.State{}, map[string]alarmDocument{}
	for _, e := range entries {
		states[e.Doc.Name], states[e.Doc.ARN] = e.Doc.State, e.Doc.State
		since[e.Doc.Name], since[e.Doc.ARN] = e.Doc, e.Doc
	}
	for range entries {
		changed := false
		for _, e := range entries {
			if e.Doc.Rule == "" {
				continue
			}
			r, err := parseRule(e.Doc.Rule)
			if err != nil {
				continue // it was checked when it was put
			}
			next := alarm.OK
			if r.holds(states) {
				next = alarm.Alarm
			}
			if next == states[e.Doc.Name] {
				continue
			}
			changed = true
			states[e.Doc.Name], states[e.Doc.ARN] = next, next
			reason, data := triggered(r.alarms, since)
			if err := c.become(ctx, region, e.Doc.Name, next, reason, data, 0); err != nil {
				return err
			}
			now := e.Doc
			now.State, now.Transitioned = next, c.now().UTC()
			since[now.Name], since[now.ARN] = now, now
		}
		if !changed {
			break
		}
	}
	return nil
}

// triggered says in CloudWatch's words which of a rule's alarms has changed last, and
// the same as JSON; a rule that names none that is there has no reason.
func triggered(names []string, since map[string]alarmDocument) (reason, data string) {
	var last alarmDocument
	for _, name := range names {
		if d, ok := since[name]; ok && (last.Name == "" || d.Transitioned.After(last.Transitioned)) {
			last = d
		}
	}
	if last.Name == "" {
		return "", ""
	}
	type state struct {
		Value     string `json:"value"`
		Timestamp string `json:"timestamp"`
	}
	type trigger struct {
		ARN   string `json:"arn"`
		State state  `json:"state"`
	}
	at := last.Transitioned.UTC()
	raw, _ := json.Marshal(map[string][]trigger{"triggeringAlarms": {{last.ARN, state{string(last.State), at.Format("2006-01-02T15:04:05.000-0700")}}}}) // texts
	return fmt.Sprintf("%s transitioned to %s at %s", last.ARN, last.State, at.Format("Monday 02 January, 2006 15:04:05 MST")), string(raw)
}
