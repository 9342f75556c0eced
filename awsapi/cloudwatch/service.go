package cloudwatch

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// Act carries an alarm's action out: the resource that its ARN names is told the new
// state. An error says why it could not.
type Act func(ctx context.Context, region, arn string, change Change) error

// Change is a transition of an alarm, as its actions are told.
type Change struct {
	Alarm    string
	Old, New string
	Reason   string
	At       time.Time
	// Breach is how far the newest point is beyond the threshold, for step scaling; 0 when not known.
	Breach float64
}

// CloudWatch is the service with its alarms.
type CloudWatch struct {
	keeper  *keeper
	alarms  state.Collection[alarmDocument]
	history state.Collection[historyItem]
	// dashboards are those of all regions, by name.
	dashboards state.Collection[dashboard]
	act        Act
	now        func() time.Time
}

// New makes the service over records and a metrics store; without act every action of
// an alarm fails, and its history says so.
func New(records state.Records, metrics Metrics, act Act, now func() time.Time) *CloudWatch {
	if act == nil {
		act = func(_ context.Context, _, arn string, _ Change) error {
			return problem.New(problem.Precondition, "cloudwatch.action", "nothing here carries out %s", arn)
		}
	}
	return &CloudWatch{keeper: &keeper{metrics: metrics}, alarms: state.New[alarmDocument](records, "aws.cloudwatch.alarms"),
		history: state.New[historyItem](records, "aws.cloudwatch.history"), dashboards: state.New[dashboard](records, "aws.cloudwatch.dashboards"), act: act, now: now}
}

// Service is the operations that are served.
func (c *CloudWatch) Service() wire.Service {
	return wire.Service{Name: "monitoring", Data: []string{"PutMetricData"}, Invalid: "ValidationError", Operations: map[string]wire.Handler{
		"PutMetricData":           wire.Handle(c.putData),
		"ListMetrics":             wire.Handle(c.list),
		"GetMetricStatistics":     wire.Handle(c.statistics),
		"GetMetricData":           wire.Handle(c.getData),
		"PutMetricAlarm":          wire.Handle(c.putAlarm),
		"PutCompositeAlarm":       wire.Handle(c.putComposite),
		"DescribeAlarms":          wire.Handle(c.describeAlarms),
		"DescribeAlarmsForMetric": wire.Handle(c.alarmsFor),
		"DeleteAlarms":            wire.Handle(c.deleteAlarms),
		"SetAlarmState":           wire.Handle(c.setState),
		"EnableAlarmActions":      wire.Handle(c.enableActions),
		"DisableAlarmActions":     wire.Handle(c.disableActions),
		"DescribeAlarmHistory":    wire.Handle(c.describeHistory),
		"TagResource":             wire.Handle(c.tag),
		"UntagResource":           wire.Handle(c.untag),
		"ListTagsForResource":     wire.Handle(c.tags),
		"PutDashboard":            wire.HandleObject(c.putDashboard),
		"GetDashboard":            wire.HandleObject(c.getDashboard),
		"ListDashboards":          wire.HandleObject(c.listDashboards),
		"DeleteDashboards":        wire.HandleObject(c.deleteDashboards),
		// None of these can be made here.
		"DescribeAnomalyDetectors": wire.Always(wire.Object{"AnomalyDetectors": []any{}}),
		"DescribeInsightRules":     wire.Always(wire.Object{"InsightRules": []any{}}),
		"ListMetricStreams":        wire.Always(wire.Object{"Entries": []any{}}),
	}}
}

// The bounds of PutMetricData.
const (
	mostData   = 1000
	mostValues = 150
	oldest     = 14 * 24 * time.Hour
	furthest   = 2 * time.Hour
)

var greatest = math.Pow(2, 360)

type statisticSet struct{ SampleCount, Sum, Minimum, Maximum float64 }

type metricDatum struct {
	MetricName        string
	Dimensions        []dimension
	Timestamp         time.Time
	Value             *float64
	Values, Counts    []float64
	StatisticValues   *statisticSet
	Unit              string
	StorageResolution *int64
}

type putInput struct {
	Namespace  string
	MetricData []metricDatum
}

type nothing struct{}

func (c *CloudWatch) putData(ctx context.Context, call *wire.Call, in *putInput) (*nothing, error) {
	if strings.HasPrefix(in.Namespace, "AWS/") {
		return nil, invalidValue("The value AWS/ for parameter Namespace is invalid.")
	}
	if len(in.MetricData) > mostData {
		return nil, invalidValue("The collection MetricData must not have a size greater than %d.", mostData)
	}
	data := make([]datum, len(in.MetricData))
	for i, d := range in.MetricData {
		var err error
		if data[i], err = c.datum(call.Region, in.Namespace, "MetricData.member."+strconv.Itoa(i+1), d); err != nil {
			return nil, err
		}
	}
	return &nothing{}, c.keeper.put(ctx, data)
}

// units are those that a value may have.
var units = []string{"Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Bits", "Kilobits", "Megabits", "Gigabits", "Terabits", "Percent", "Count",
	"Bytes/Second", "Kilobytes/Second", "Megabytes/Second", "Gigabytes/Second", "Terabytes/Second", "Bits/Second", "Kilobits/Second", "Megabits/Second", "Gigabits/Second", "Terabits/Second", "Count/Second", "None"}

// checkUnit refuses a unit that there is not; none is one.
func checkUnit(unit, where string) error {
	if unit == "" || slices.Contains(units, unit) {
		return nil
	}
	return invalidValue("The parameter %s must be a value in the set [ %s ].", where, strings.Join(units, ", "))
}

func invalidValue(format string, args ...any) error {
	return wire.Errorf("InvalidParameterValue", format, args...)
}

func (c *CloudWatch) datum(region, namespace, where string, in metricDatum) (datum, error) {
	d := datum{metric: metric{region, namespace, in.MetricName, sortedDimensions(in.Dimensions)}, unit: in.Unit, at: in.Timestamp}
	if d.unit == "" {
		d.unit = noUnit
	}
	if err := checkUnit(d.unit, where+".Unit"); err != nil {
		return d, err
	}
	now := c.now()
	switch {
	case d.at.IsZero():
		d.at = now
	case d.at.Before(now.Add(-oldest)), d.at.After(now.Add(furthest)):
		return d, invalidValue("The parameter %s.Timestamp must specify a time within the past two weeks and no more than two hours in the future.", where)
	}
	if in.StorageResolution != nil {
		if *in.StorageResolution != 1 && *in.StorageResolution != 60 {
			return d, invalidValue("The parameter %s.StorageResolution must be 1 or 60.", where)
		}
		d.high = *in.StorageResolution == 1
	}
	seen := map[string]bool{}
	for _, x := range in.Dimensions {
		if seen[x.Name] {
			return d, invalidValue("No parameter %s.Dimensions with the same Name may be given twice: %s", where, x.Name)
		}
		seen[x.Name] = true
	}
	if err := observations(&d, where, in); err != nil {
		return d, err
	}
	for _, o := range d.observations {
		for _, v := range []float64{o.value, o.sum, o.minimum, o.maximum, o.count} {
			if math.IsNaN(v) || math.Abs(v) > greatest {
				return d, invalidValue("The value %v for parameter %s.Value is invalid.", v, where)
			}
		}
		if o.count < 0 {
			return d, invalidValue("The parameter %s.Counts must not be negative.", where)
		}
	}
	return d, nil
}

// observations are what the datum's one way of saying it holds.
func observations(d *datum, where string, in metricDatum) error {
	both := func(a, b string) error {
		return wire.Errorf("InvalidParameterCombination", "The parameters %[1]s.%[2]s and %[1]s.%[3]s are mutually exclusive and you have specified both.", where, a, b)
	}
	switch {
	case in.Value != nil && len(in.Values) > 0:
		return both("Value", "Values")
	case in.Value != nil && in.StatisticValues != nil:
		return both("Value", "StatisticValues")
	case len(in.Values) > 0 && in.StatisticValues != nil:
		return both("Values", "StatisticValues")
	case in.Value != nil:
		d.observations = []observation{single(*in.Value, 1)}
	case in.StatisticValues != nil:
		s := *in.StatisticValues
		d.observations = []observation{{set: true, count: s.SampleCount, sum: s.Sum, minimum: s.Minimum, maximum: s.Maximum}}
	case len(in.Values) == 0:
		return wire.Errorf("MissingParameter", "At least one of the parameters must be specified: %[1]s.Value, %[1]s.Values, %[1]s.StatisticValues.", where)
	case len(in.Values) > mostValues:
		return invalidValue("The collection %s.Values must not have a size greater than %d.", where, mostValues)
	case len(in.Counts) > 0 && len(in.Counts) != len(in.Values):
		return invalidValue("The parameters %[1]s.Values and %[1]s.Counts must be of the same size.", where)
	default:
		for i, v := range in.Values {
			count := 1.0
			if len(in.Counts) > 0 {
				count = in.Counts[i]
			}
			if count > 0 {
				d.observations = append(d.observations, single(v, count))
			}
		}
	}
	return nil
}
