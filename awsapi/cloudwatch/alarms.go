package cloudwatch

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/telemetry/alarm"
)

type alarmInput struct {
	AlarmName                                    string
	AlarmDescription                             *string
	ActionsEnabled                               *bool
	OKActions, AlarmActions                      []string
	InsufficientDataActions                      []string
	MetricName, Namespace, Statistic, Unit       string
	ExtendedStatistic                            string
	ThresholdMetricID                            string `wire:"ThresholdMetricId"`
	Dimensions                                   []dimension
	Period, EvaluationPeriods, DatapointsToAlarm *int64
	Threshold                                    *float64
	ComparisonOperator                           string
	TreatMissingData                             string
	EvaluateLowSampleCountPercentile             string
	Metrics                                      []query
	Tags                                         []tagValue
}

// longest is what an alarm looks at: a day, or a week with periods of an hour or more.
func longest(period int64) int64 {
	if period >= 3600 {
		return 7 * 24 * 3600
	}
	return 24 * 3600
}

func validation(format string, args ...any) error {
	return wire.Errorf("ValidationError", format, args...)
}

func (c *CloudWatch) putAlarm(ctx context.Context, call *wire.Call, in *alarmInput) (*nothing, error) {
	m := metricAlarm{Namespace: in.Namespace, MetricName: in.MetricName, Dimensions: sortedDimensions(in.Dimensions), Statistic: in.Statistic,
		ExtendedStatistic: in.ExtendedStatistic, Unit: in.Unit, Queries: in.Metrics, Periods: *in.EvaluationPeriods, Datapoints: in.DatapointsToAlarm,
		Comparison: in.ComparisonOperator, Missing: in.TreatMissingData, LowSamples: in.EvaluateLowSampleCountPercentile}
	if in.Period != nil {
		m.Period = *in.Period
	}
	switch {
	case in.ThresholdMetricID != "" || strings.Contains(in.ComparisonOperator, "Upper") || strings.Contains(in.ComparisonOperator, "LowerThreshold"):
		return nil, validation("Alarms on anomaly detection bands are not served here.")
	case in.Threshold == nil:
		return nil, validation("The parameter Threshold is required.")
	}
	m.Threshold = *in.Threshold
	if err := m.check(); err != nil {
		return nil, err
	}
	doc := alarmDocument{Name: in.AlarmName, Description: in.AlarmDescription, ActionsEnabled: in.ActionsEnabled == nil || *in.ActionsEnabled,
		AlarmActions: in.AlarmActions, OKActions: in.OKActions, InsufficientData: in.InsufficientDataActions, Metric: &m}
	return &nothing{}, c.configure(ctx, call, doc, in.Tags)
}

func (m metricAlarm) check() error {
	if err := checkUnit(m.Unit, "Unit"); err != nil {
		return err
	}
	if !slices.Contains([]string{"", "missing", "ignore", "breaching", "notBreaching"}, m.Missing) {
		return validation("Value '%s' at 'treatMissingData' failed to satisfy constraint: Member must satisfy enum value set: [breaching, notBreaching, ignore, missing]", m.Missing)
	}
	if !slices.Contains([]string{"", "evaluate", "ignore"}, m.LowSamples) {
		return validation("Option %s is not supported. Supported options for parameter EvaluateLowSampleCountPercentile are evaluate and ignore.", m.LowSamples)
	}
	if m.Datapoints != nil && *m.Datapoints > m.Periods {
		return validation("DatapointsToAlarm must be no larger than EvaluationPeriods")
	}
	period := m.Period
	if len(m.Queries) > 0 {
		if m.MetricName != "" || m.Namespace != "" || m.Statistic != "" || m.ExtendedStatistic != "" || m.Period != 0 || len(m.Dimensions) > 0 {
			return validation("Metrics list cannot be combined with MetricName, Namespace, Dimensions, Period, Unit, Statistic or ExtendedStatistic")
		}
		set, err := readQueries(m.Queries)
		if err != nil {
			return err
		}
		if returned := m.returned(); returned == "" {
			return validation("Exactly one element of the metrics list should return data.")
		}
		period = set.least()
	} else {
		if (m.Statistic == "") == (m.ExtendedStatistic == "") {
			return validation("Must specify either Statistic or ExtendedStatistic.")
		}
		if m.MetricName == "" || m.Namespace == "" {
			return validation("The parameters MetricName and Namespace are required.")
		}
		if err := checkStatistic(cmp.Or(m.Statistic, m.ExtendedStatistic)); err != nil {
			return err
		}
	}
	if !slices.Contains([]int64{10, 20, 30}, period) && (period <= 0 || period%60 != 0) {
		return validation("Metric alarms can only have a period of 10, 20, 30 or a multiple of 60.")
	}
	if m.Periods*period > longest(period) {
		return validation("Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= %d).", longest(period))
	}
	return nil
}

// returned is the only query that returns data; empty when there is none or several.
func (m metricAlarm) returned() (id string) {
	for _, q := range m.Queries {
		if q.ReturnData == nil || *q.ReturnData {
			if id != "" {
				return ""
			}
			id = q.ID
		}
	}
	return id
}

type compositeInput struct {
	AlarmName, AlarmRule    string
	AlarmDescription        *string
	ActionsEnabled          *bool
	OKActions, AlarmActions []string
	InsufficientDataActions []string
	ActionsSuppressor       string
	Tags                    []tagValue
}

func (c *CloudWatch) putComposite(ctx context.Context, call *wire.Call, in *compositeInput) (*nothing, error) {
	if in.ActionsSuppressor != "" {
		return nil, validation("ActionsSuppressor is not served here.")
	}
	rule, err := parseRule(in.AlarmRule)
	if err != nil {
		return nil, validation("Error in alarm rule: %v", err)
	}
	for _, name := range rule.alarms {
		if _, err := c.find(ctx, call.Region, nameOrARN(name)); err != nil {
			return nil, validation("AlarmRule contains an invalid alarm: %s", name)
		}
		if name == in.AlarmName {
			return nil, validation("Could not save the composite alarm as it would create a cyclic dependency.")
		}
	}
	doc := alarmDocument{Name: in.AlarmName, Description: in.AlarmDescription, ActionsEnabled: in.ActionsEnabled == nil || *in.ActionsEnabled,
		AlarmActions: in.AlarmActions, OKActions: in.OKActions, InsufficientData: in.InsufficientDataActions, Rule: in.AlarmRule}
	if err := c.configure(ctx, call, doc, in.Tags); err != nil {
		return nil, err
	}
	return &nothing{}, c.evaluateComposites(ctx, call.Region)
}

func nameOrARN(text string) string {
	if strings.HasPrefix(text, "arn:") {
		return nameOfARN(text)
	}
	return text
}

type stateInput struct {
	AlarmName, StateValue, StateReason string
	StateReasonData                    string
}

// setState sets a state by hand; the next evaluation sets it again.
func (c *CloudWatch) setState(ctx context.Context, call *wire.Call, in *stateInput) (*nothing, error) {
	if _, err := c.find(ctx, call.Region, in.AlarmName); err != nil {
		return nil, err
	}
	if err := c.become(ctx, call.Region, in.AlarmName, alarm.State(in.StateValue), in.StateReason, in.StateReasonData, 0); err != nil {
		return nil, err
	}
	return &nothing{}, c.evaluateComposites(ctx, call.Region)
}

type describeInput struct {
	AlarmNames      []string
	AlarmNamePrefix string
	AlarmTypes      []string
	StateValue      string
	ActionPrefix    string
	MaxRecords      *int64
	NextToken       string
}

// shownAlarm is an alarm as it is answered; a composite one has a rule instead of a metric.
type shownAlarm struct {
	AlarmName, AlarmArn                                 string
	AlarmDescription                                    *string
	AlarmConfigurationUpdatedTimestamp                  time.Time
	ActionsEnabled                                      bool
	OKActions, AlarmActions, InsufficientDataActions    []string
	StateValue, StateReason, StateReasonData            string
	StateUpdatedTimestamp, StateTransitionedTimestamp   time.Time
	MetricName, Namespace, Statistic, ExtendedStatistic string
	Dimensions                                          []dimension
	Period, EvaluationPeriods, DatapointsToAlarm        *int64
	Unit                                                string
	Threshold                                           *float64
	ComparisonOperator, TreatMissingData                string
	EvaluateLowSampleCountPercentile                    string
	Metrics                                             []query
}

type shownComposite struct {
	AlarmName, AlarmArn                               string
	AlarmDescription                                  *string
	AlarmConfigurationUpdatedTimestamp                time.Time
	ActionsEnabled                                    bool
	OKActions, AlarmActions, InsufficientDataActions  []string
	StateValue, StateReason, StateReasonData          string
	StateUpdatedTimestamp, StateTransitionedTimestamp time.Time
	AlarmRule                                         string
}

type describeOutput struct {
	MetricAlarms    []shownAlarm
	CompositeAlarms []shownComposite
	NextToken       string
}

const (
	typeMetric    = "MetricAlarm"
	typeComposite = "CompositeAlarm"
)

func (c *CloudWatch) describeAlarms(ctx context.Context, call *wire.Call, in *describeInput) (*describeOutput, error) {
	if in.AlarmNamePrefix != "" && len(in.AlarmNames) > 0 {
		return nil, validation("AlarmNamePrefix and AlarmNames cannot be used together.")
	}
	after, ok := wire.OpenToken(in.NextToken)
	if !ok {
		return nil, wire.Errorf("InvalidNextToken", "The token is not one that was given.")
	}
	types := in.AlarmTypes
	if len(types) == 0 {
		types = []string{typeMetric}
	}
	out := &describeOutput{MetricAlarms: []shownAlarm{}, CompositeAlarms: []shownComposite{}}
	left := wire.Page(in.MaxRecords, 50)
	prefix := alarmKey(call.Region, in.AlarmNamePrefix)
	for e, err := range c.alarms.From(ctx, prefix, after) {
		if err != nil {
			return nil, err
		}
		d := e.Doc
		hasAction := func(a string) bool { return strings.HasPrefix(a, in.ActionPrefix) }
		if len(in.AlarmNames) > 0 && !slices.Contains(in.AlarmNames, d.Name) || in.StateValue != "" && string(d.State) != in.StateValue ||
			!slices.Contains(types, d.kind()) || in.ActionPrefix != "" && !slices.ContainsFunc(slices.Concat(d.AlarmActions, d.OKActions, d.InsufficientData), hasAction) {
			continue
		}
		if left == 0 {
			out.NextToken = wire.Token(after)
			return out, nil
		}
		left, after = left-1, e.Key
		if d.Rule != "" {
			out.CompositeAlarms = append(out.CompositeAlarms, d.composite())
		} else {
			out.MetricAlarms = append(out.MetricAlarms, d.shown())
		}
	}
	return out, nil
}

func (d alarmDocument) kind() string {
	if d.Rule != "" {
		return typeComposite
	}
	return typeMetric
}

func (d alarmDocument) composite() shownComposite {
	return shownComposite{AlarmName: d.Name, AlarmArn: d.ARN, AlarmDescription: d.Description, AlarmConfigurationUpdatedTimestamp: d.Configured, ActionsEnabled: d.ActionsEnabled,
		OKActions: list(d.OKActions), AlarmActions: list(d.AlarmActions), InsufficientDataActions: list(d.InsufficientData),
		StateValue: string(d.State), StateReason: d.Reason, StateReasonData: d.ReasonData, StateUpdatedTimestamp: d.Updated, StateTransitionedTimestamp: d.Transitioned, AlarmRule: d.Rule}
}

func list(names []string) []string { return append([]string{}, names...) }

func (d alarmDocument) shown() shownAlarm {
	m := d.Metric
	s := shownAlarm{AlarmName: d.Name, AlarmArn: d.ARN, AlarmDescription: d.Description, AlarmConfigurationUpdatedTimestamp: d.Configured, ActionsEnabled: d.ActionsEnabled,
		OKActions: list(d.OKActions), AlarmActions: list(d.AlarmActions), InsufficientDataActions: list(d.InsufficientData),
		StateValue: string(d.State), StateReason: d.Reason, StateReasonData: d.ReasonData, StateUpdatedTimestamp: d.Updated, StateTransitionedTimestamp: d.Transitioned,
		MetricName: m.MetricName, Namespace: m.Namespace, Statistic: m.Statistic, ExtendedStatistic: m.ExtendedStatistic, Dimensions: shownDimensions(m.Dimensions), Unit: m.Unit,
		EvaluationPeriods: &m.Periods, DatapointsToAlarm: m.Datapoints, Threshold: &m.Threshold, ComparisonOperator: m.Comparison, TreatMissingData: m.Missing,
		EvaluateLowSampleCountPercentile: m.LowSamples, Metrics: m.Queries}
	if m.Period != 0 {
		s.Period = &m.Period
	}
	return s
}

type forMetricInput struct {
	MetricName, Namespace        string
	Dimensions                   []dimension
	Statistic, ExtendedStatistic string
	Period                       *int64
	Unit                         string
}

type forMetricOutput struct{ MetricAlarms []shownAlarm }

func (c *CloudWatch) alarmsFor(ctx context.Context, call *wire.Call, in *forMetricInput) (*forMetricOutput, error) {
	out := &forMetricOutput{MetricAlarms: []shownAlarm{}}
	for e, err := range c.alarms.All(ctx, call.Region+"/") {
		if err != nil {
			return nil, err
		}
		m := e.Doc.Metric
		if m == nil || m.MetricName != in.MetricName || m.Namespace != in.Namespace || !slices.Equal(m.Dimensions, sortedDimensions(in.Dimensions)) ||
			in.Statistic != "" && m.Statistic != in.Statistic || in.ExtendedStatistic != "" && m.ExtendedStatistic != in.ExtendedStatistic ||
			in.Period != nil && m.Period != *in.Period || in.Unit != "" && m.Unit != in.Unit {
			continue
		}
		out.MetricAlarms = append(out.MetricAlarms, e.Doc.shown())
	}
	return out, nil
}
