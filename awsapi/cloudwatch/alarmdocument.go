package cloudwatch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/problem"
	"showrunner/telemetry/alarm"
)

// alarmDocument is what is kept of one alarm; Rule is set for a composite one.
type alarmDocument struct {
	Name             string
	ARN              string
	Description      *string
	ActionsEnabled   bool
	AlarmActions     []string
	OKActions        []string
	InsufficientData []string
	Configured       time.Time
	Tags             []tagValue
	State            alarm.State
	Reason           string
	ReasonData       string
	Updated          time.Time
	Transitioned     time.Time
	// Due says that the actions of the last transition are not carried out yet, also after
	// a restart; Acted is when some were last.
	Due   bool
	Acted time.Time
	Old   alarm.State // before the last transition
	// Breach is how far the metric was beyond the threshold at the last transition.
	Breach float64

	Rule   string `json:",omitempty"` // of a composite alarm
	Metric *metricAlarm
}

// metricAlarm is how an alarm watches a metric, or metric maths over several.
type metricAlarm struct {
	Namespace         string
	MetricName        string
	Dimensions        []dimension
	Statistic         string
	ExtendedStatistic string
	Period            int64
	Unit              string
	Queries           []query
	Periods           int64
	Datapoints        *int64
	Threshold         float64
	Comparison        string
	Missing           string
	LowSamples        string
}

type tagValue struct{ Key, Value string }

func alarmKey(region, name string) string { return region + "/" + name }

func alarmARN(call *wire.Call, name string) string {
	return fmt.Sprintf("arn:aws:cloudwatch:%s:%s:alarm:%s", call.Region, call.Account, name)
}

const initialReason = "Unchecked: Initial alarm creation"

// configure puts an alarm in place of the one of that name, whose state stays.
func (c *CloudWatch) configure(ctx context.Context, call *wire.Call, doc alarmDocument, tags []tagValue) error {
	doc.ARN, doc.Configured = alarmARN(call, doc.Name), c.now().UTC()
	made := false
	kept, err := c.alarms.Put(ctx, alarmKey(call.Region, doc.Name), func(d *alarmDocument) error {
		made = d.Name == ""
		if !made && (d.Rule == "") != (doc.Rule == "") {
			return wire.Errorf("ValidationError", "An alarm of another type has the name %s.", doc.Name)
		}
		next := doc
		next.Tags, next.State, next.Reason, next.ReasonData, next.Updated, next.Transitioned, next.Due, next.Acted, next.Old, next.Breach =
			d.Tags, d.State, d.Reason, d.ReasonData, d.Updated, d.Transitioned, d.Due, d.Acted, d.Old, d.Breach
		if made {
			next.Tags, next.State, next.Reason = tags, alarm.InsufficientData, initialReason
			next.Updated, next.Transitioned = doc.Configured, doc.Configured
		}
		*d = next
		return nil
	})
	if err != nil {
		return err
	}
	summary := "Alarm \"" + doc.Name + "\" updated"
	if made {
		summary = "Alarm \"" + doc.Name + "\" created"
	}
	return c.note(ctx, call.Region, kept, "ConfigurationUpdate", summary, "")
}

// actionsOf are the actions of a state.
func (d alarmDocument) actionsOf(s alarm.State) []string {
	switch s {
	case alarm.Alarm:
		return d.AlarmActions
	case alarm.OK:
		return d.OKActions
	}
	return d.InsufficientData
}

// find is an alarm. Errors: ResourceNotFound, whose message AWS leaves empty.
func (c *CloudWatch) find(ctx context.Context, region, name string) (alarmDocument, error) {
	doc, err := c.alarms.Get(ctx, alarmKey(region, name))
	if problem.CodeOf(err) == problem.NotFound {
		return doc, &wire.Error{Code: "ResourceNotFound"}
	}
	return doc, err
}

type deleteInput struct{ AlarmNames []string }

// deleteAlarms removes alarms; a name that no alarm has is no error, as on AWS.
func (c *CloudWatch) deleteAlarms(ctx context.Context, call *wire.Call, in *deleteInput) (*nothing, error) {
	for _, name := range in.AlarmNames {
		if err := c.alarms.Delete(ctx, alarmKey(call.Region, name), nil); err != nil && problem.CodeOf(err) != problem.NotFound {
			return nil, err
		}
	}
	return &nothing{}, nil
}

type actionsInput struct{ AlarmNames []string }

func (c *CloudWatch) enableActions(ctx context.Context, call *wire.Call, in *actionsInput) (*nothing, error) {
	return c.setActions(ctx, call, in.AlarmNames, true)
}

func (c *CloudWatch) disableActions(ctx context.Context, call *wire.Call, in *actionsInput) (*nothing, error) {
	return c.setActions(ctx, call, in.AlarmNames, false)
}

func (c *CloudWatch) setActions(ctx context.Context, call *wire.Call, names []string, enabled bool) (*nothing, error) {
	for _, name := range names {
		doc, err := c.alarms.Update(ctx, alarmKey(call.Region, name), func(d *alarmDocument) error {
			d.ActionsEnabled, d.Configured = enabled, c.now().UTC()
			return nil
		})
		if problem.CodeOf(err) == problem.NotFound {
			continue // as on AWS
		}
		if err == nil {
			err = c.note(ctx, call.Region, doc, "ConfigurationUpdate", "Alarm \""+name+"\" updated", "")
		}
		if err != nil {
			return nil, err
		}
	}
	return &nothing{}, nil
}

// nameOfARN is the alarm's name in its ARN.
func nameOfARN(arn string) string {
	_, name, _ := strings.Cut(arn, ":alarm:")
	return name
}

type tagInput struct {
	ResourceARN string
	Tags        []tagValue
}

func (c *CloudWatch) tag(ctx context.Context, call *wire.Call, in *tagInput) (*nothing, error) {
	return c.retag(ctx, call, in.ResourceARN, func(d *alarmDocument) {
		for _, t := range in.Tags {
			i := slices.IndexFunc(d.Tags, func(x tagValue) bool { return x.Key == t.Key })
			if i < 0 {
				d.Tags = append(d.Tags, t)
			} else {
				d.Tags[i] = t
			}
		}
	})
}

type untagInput struct {
	ResourceARN string
	TagKeys     []string
}

func (c *CloudWatch) untag(ctx context.Context, call *wire.Call, in *untagInput) (*nothing, error) {
	return c.retag(ctx, call, in.ResourceARN, func(d *alarmDocument) {
		d.Tags = slices.DeleteFunc(d.Tags, func(t tagValue) bool { return slices.Contains(in.TagKeys, t.Key) })
	})
}

func (c *CloudWatch) retag(ctx context.Context, call *wire.Call, arn string, change func(*alarmDocument)) (*nothing, error) {
	_, err := c.alarms.Update(ctx, alarmKey(call.Region, nameOfARN(arn)), func(d *alarmDocument) error { change(d); return nil })
	if problem.CodeOf(err) == problem.NotFound {
		return nil, wire.Errorf("ResourceNotFoundException", "There is no alarm %s", arn)
	}
	return &nothing{}, err
}

type tagsInput struct{ ResourceARN string }
type tagsOutput struct{ Tags []tagValue }

func (c *CloudWatch) tags(ctx context.Context, call *wire.Call, in *tagsInput) (*tagsOutput, error) {
	doc, err := c.alarms.Get(ctx, alarmKey(call.Region, nameOfARN(in.ResourceARN)))
	if err != nil && problem.CodeOf(err) != problem.NotFound {
		return nil, err
	}
	return &tagsOutput{Tags: append([]tagValue{}, doc.Tags...)}, nil
}
