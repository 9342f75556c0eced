package cloudwatch

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/telemetry"
)

type listInput struct {
	Namespace, MetricName string
	Dimensions            []dimension
	RecentlyActive        string
	NextToken             string
}

type shownMetric struct {
	Namespace, MetricName string
	Dimensions            []dimension
}

type listOutput struct {
	Metrics   []shownMetric
	NextToken string
}

// How long a metric without new data is listed, and how many are in an answer.
const (
	listedFor = 14 * 24 * time.Hour
	active    = 3 * time.Hour
	listPage  = 500
)

func (c *CloudWatch) list(ctx context.Context, call *wire.Call, in *listInput) (*listOutput, error) {
	matches := []telemetry.Match{{Name: telemetry.MetricName, Value: seriesName}, {Name: labelRegion, Value: call.Region}}
	if in.Namespace != "" {
		matches = append(matches, telemetry.Match{Name: labelNamespace, Value: in.Namespace})
	}
	if in.MetricName != "" {
		matches = append(matches, telemetry.Match{Name: labelMetric, Value: in.MetricName})
	}
	for _, d := range in.Dimensions {
		matches = append(matches, telemetry.Match{Name: dimensionLabel + d.Name, Value: d.Value, Present: d.Value == ""})
	}
	since := listedFor
	if in.RecentlyActive != "" {
		since = active
	}
	now := c.now()
	names, err := c.keeper.metrics.Names(ctx, now.Add(-since), now.Add(furthest), matches...)
	if err != nil {
		return nil, err
	}
	byKey := map[string]metric{}
	for _, l := range names {
		m := metricOf(l)
		byKey[m.key()] = m
	}
	after, ok := wire.OpenToken(in.NextToken)
	if !ok {
		return nil, invalidValue("Request parameter NextToken is invalid.")
	}
	out := &listOutput{Metrics: []shownMetric{}}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		if key <= after {
			continue
		}
		if len(out.Metrics) == listPage {
			break
		}
		m := byKey[key]
		out.Metrics = append(out.Metrics, shownMetric{m.namespace, m.name, shownDimensions(m.dimensions)})
		out.NextToken = key
	}
	if len(out.Metrics) < listPage {
		out.NextToken = ""
	}
	out.NextToken = wire.Token(out.NextToken)
	return out, nil
}

func shownDimensions(list []dimension) []dimension {
	if list == nil {
		return []dimension{}
	}
	return list
}

type statisticsInput struct {
	Namespace, MetricName          string
	Dimensions                     []dimension
	StartTime, EndTime             time.Time
	Period                         int64
	Statistics, ExtendedStatistics []string
	Unit                           string
}

type datapoint struct {
	Timestamp                                   time.Time
	Average, Maximum, Minimum, SampleCount, Sum *float64
	ExtendedStatistics                          map[string]float64
	Unit                                        string
}

type statisticsOutput struct {
	Label      string
	Datapoints []datapoint
}

// mostDatapoints is the bound of GetMetricStatistics.
const mostDatapoints = 1440

func checkPeriod(period int64) error {
	if !slices.Contains([]int64{1, 5, 10, 20, 30}, period) && (period <= 0 || period%60 != 0) {
		return invalidValue("The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60.")
	}
	return nil
}

// checkStatistic refuses a statistic that is not computed here, by name.
func checkStatistic(name string) error {
	if !knownStatistic(name) {
		return invalidValue("The value %s for the statistic is invalid or is not served here: there are %s, percentiles such as p99 and trimmed statistics such as tm90.", name, strings.Join(simpleStatistics, ", "))
	}
	return nil
}

func (c *CloudWatch) statistics(ctx context.Context, call *wire.Call, in *statisticsInput) (*statisticsOutput, error) {
	asked := slices.Concat(in.Statistics, in.ExtendedStatistics)
	if len(asked) == 0 {
		return nil, wire.Errorf("MissingParameter", "Must specify either Statistics or ExtendedStatistics")
	}
	for _, name := range asked {
		if err := checkStatistic(name); err != nil {
			return nil, err
		}
	}
	if err := checkPeriod(in.Period); err != nil {
		return nil, err
	}
	if err := checkUnit(in.Unit, "Unit"); err != nil {
		return nil, err
	}
	if !in.StartTime.Before(in.EndTime) {
		return nil, invalidValue("The parameter StartTime must be less than the parameter EndTime.")
	}
	from, to := roundedRange(in.StartTime, in.EndTime, in.Period)
	if n := (to.Unix() - from.Unix()) / in.Period; n > mostDatapoints {
		return nil, wire.Errorf("InvalidParameterCombination", "You have requested up to %d datapoints, which exceeds the limit of %d. You may reduce the datapoints requested by increasing Period, or decreasing the time range.", n, mostDatapoints)
	}
	m := metric{call.Region, in.Namespace, in.MetricName, sortedDimensions(in.Dimensions)}
	byUnit, err := c.keeper.read(ctx, m, from, to)
	if err != nil {
		return nil, err
	}
	out := &statisticsOutput{Label: in.MetricName, Datapoints: []datapoint{}}
	for _, unit := range slices.Sorted(maps.Keys(byUnit)) {
		if in.Unit != "" && unit != in.Unit {
			continue
		}
		for _, b := range divide(byUnit[unit], in.Period) {
			out.Datapoints = append(out.Datapoints, b.datapoint(unit, in.Statistics, in.ExtendedStatistics))
		}
	}
	return out, nil
}

// roundedRange is from the start of the period that a time is in. A range in minutes
// is rounded down to the minute.
func roundedRange(from, to time.Time, period int64) (time.Time, time.Time) {
	width := time.Minute
	if period < 60 {
		width = time.Second
	}
	return from.Truncate(width), to.Truncate(time.Second)
}

func (b bucket) datapoint(unit string, simple, extended []string) datapoint {
	d := datapoint{Timestamp: time.UnixMilli(b.start).UTC(), Unit: unit}
	for _, name := range simple {
		v, ok := b.statistic(name)
		if !ok {
			continue
		}
		switch name {
		case "Average":
			d.Average = &v
		case "Maximum":
			d.Maximum = &v
		case "Minimum":
			d.Minimum = &v
		case "SampleCount":
			d.SampleCount = &v
		case "Sum":
			d.Sum = &v
		}
	}
	for _, name := range extended {
		if v, ok := b.statistic(name); ok {
			if d.ExtendedStatistics == nil {
				d.ExtendedStatistics = map[string]float64{}
			}
			d.ExtendedStatistics[name] = v
		}
	}
	return d
}
