package cloudwatch

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"showrunner/awsapi/wire"
)

// metricStat asks for one statistic of a metric.
type metricStat struct {
	Metric struct {
		Namespace, MetricName string
		Dimensions            []dimension
	}
	Period int64
	Stat   string
	Unit   string
}

// query is one of GetMetricData's or of an alarm's: a metric or an expression over others.
type query struct {
	ID         string `wire:"Id" json:"id"`
	MetricStat *metricStat
	Expression string
	Label      string
	ReturnData *bool
	Period     *int64
}

type getInput struct {
	MetricDataQueries  []query
	StartTime, EndTime time.Time
	NextToken          string
	ScanBy             string
	MaxDatapoints      *int64
}

type message struct{ Code, Value string }

type metricResult struct {
	ID         string `wire:"Id"`
	Label      string
	Timestamps []time.Time
	Values     []float64
	StatusCode string
	Messages   []message
}

type getOutput struct {
	MetricDataResults []metricResult
	NextToken         string
	Messages          []message
}

// The bounds of GetMetricData.
const (
	mostQueries = 500
	mostPoints  = 100_800
)

var validID = regexp.MustCompile(`^[a-z][a-zA-Z0-9_]*$`)

func (c *CloudWatch) getData(ctx context.Context, call *wire.Call, in *getInput) (*getOutput, error) {
	if len(in.MetricDataQueries) > mostQueries {
		return nil, wire.Errorf("ValidationError", "The collection MetricDataQueries must not have a size greater than %d.", mostQueries)
	}
	if !in.StartTime.Before(in.EndTime) {
		return nil, wire.Errorf("ValidationError", "The parameter StartTime must be less than the parameter EndTime.")
	}
	set, err := readQueries(in.MetricDataQueries)
	if err != nil {
		return nil, err
	}
	from, to := roundedRange(in.StartTime, in.EndTime, set.least())
	results, err := c.evaluate(ctx, call.Region, set, from, to)
	if err != nil {
		return nil, err
	}
	out := &getOutput{Messages: []message{}, MetricDataResults: []metricResult{}}
	for _, r := range results {
		if q := set.byID[r.id]; q.ReturnData != nil && !*q.ReturnData {
			continue
		}
		out.MetricDataResults = append(out.MetricDataResults, r.shown(set.label(r.id), in.ScanBy != "TimestampAscending")...)
	}
	return out, out.cut(in)
}

// cut leaves the points of one page.
func (out *getOutput) cut(in *getInput) error {
	most := mostPoints
	if in.MaxDatapoints != nil && *in.MaxDatapoints > 0 {
		most = min(most, int(*in.MaxDatapoints))
	}
	text, ok := wire.OpenToken(in.NextToken)
	skip, err := strconv.Atoi("0" + text)
	if !ok || err != nil {
		return wire.Errorf("InvalidNextToken", "The token is not one that was given.")
	}
	begin, end, seen := skip, skip+most, 0
	for i := range out.MetricDataResults {
		r := &out.MetricDataResults[i]
		n := len(r.Values)
		low, high := min(max(begin-seen, 0), n), min(max(end-seen, 0), n)
		r.Values, r.Timestamps = r.Values[low:high], r.Timestamps[low:high]
		if high < n {
			r.StatusCode = "PartialData"
		}
		seen += n
	}
	if seen > end {
		out.NextToken = wire.Token(strconv.Itoa(end))
	}
	return nil
}

// queries are what was asked for, in an order in which each can be computed.
type queries struct {
	list  []query
	byID  map[string]query
	maths map[string]expression
	order []string
}

func readQueries(list []query) (queries, error) {
	set := queries{list: list, byID: map[string]query{}, maths: map[string]expression{}}
	for _, q := range list {
		refuse := func(format string, args ...any) error {
			return wire.Errorf("ValidationError", "The query %s: "+format, append([]any{q.ID}, args...)...)
		}
		switch {
		case !validID.MatchString(q.ID):
			return set, wire.Errorf("ValidationError", "The value %s for the id is invalid: it begins with a lower case letter and has letters, digits and underscores", q.ID)
		case set.byID[q.ID].ID != "":
			return set, refuse("the id is used twice")
		case (q.MetricStat == nil) == (q.Expression == ""):
			return set, refuse("it has either MetricStat or Expression")
		case q.MetricStat != nil:
			if err := checkStatistic(q.MetricStat.Stat); err != nil {
				return set, err
			}
			if err := checkPeriod(q.MetricStat.Period); err != nil {
				return set, err
			}
		default:
			e, err := parseMath(q.Expression)
			if err != nil {
				return set, refuse("the expression cannot be used: %v", err)
			}
			set.maths[q.ID] = e
		}
		set.byID[q.ID] = q
	}
	return set, set.sort()
}

// sort orders the queries so that those an expression uses come before it.
func (set *queries) sort() error {
	states := map[string]int{} // 1 is being visited, 2 is done
	var visit func(id string) error
	visit = func(id string) error {
		q, ok := set.byID[id]
		switch {
		case !ok:
			return wire.Errorf("ValidationError", "An expression uses the id %s, which no query has", id)
		case states[id] == 1:
			return wire.Errorf("ValidationError", "The expression of %s uses itself", id)
		case states[id] == 2:
			return nil
		}
		states[id] = 1
		e := set.maths[q.ID]
		uses := slices.Clone(e.ids)
		if e.all {
			for _, other := range set.list {
				if other.MetricStat != nil {
					uses = append(uses, other.ID)
				}
			}
		}
		for _, used := range uses {
			if err := visit(used); err != nil {
				return err
			}
		}
		states[id] = 2
		set.order = append(set.order, id)
		return nil
	}
	for _, q := range set.list {
		if err := visit(q.ID); err != nil {
			return err
		}
	}
	return nil
}

// least is the shortest period that is asked for, in seconds.
func (set queries) least() int64 {
	least := int64(0)
	for _, q := range set.list {
		period := int64(0)
		switch {
		case q.MetricStat != nil:
			period = q.MetricStat.Period
		case q.Period != nil:
			period = *q.Period
		}
		if period > 0 && (least == 0 || period < least) {
			least = period
		}
	}
	if least == 0 {
		return 60
	}
	return least
}

// label is a query's own label, or the metric's name with what tells it from the others.
func (set queries) label(id string) string {
	q := set.byID[id]
	if q.Label != "" {
		return q.Label
	}
	if q.MetricStat == nil {
		return q.ID
	}
	stats, periods := map[string]bool{}, map[int64]bool{}
	for _, other := range set.list {
		if other.MetricStat != nil {
			stats[other.MetricStat.Stat], periods[other.MetricStat.Period] = true, true
		}
	}
	text := q.MetricStat.Metric.MetricName
	if len(stats) > 1 {
		text += " " + q.MetricStat.Stat
	}
	if len(periods) > 1 {
		text += " " + strconv.FormatInt(q.MetricStat.Period, 10)
	}
	return text
}

// result is what a query came to.
type result struct {
	id       string
	value    value
	grid     []int64
	messages []message
}

// evaluate computes every query, in the order that they were asked in.
func (c *CloudWatch) evaluate(ctx context.Context, region string, set queries, from, to time.Time) ([]result, error) {
	computed := map[string]result{}
	s := scope{series: map[string]series{}, period: set.least()}
	s.grid = grid(from, to, s.period)
	for _, id := range set.order {
		q := set.byID[id]
		r := result{id: id, grid: s.grid}
		if q.MetricStat != nil {
			one, messages, err := c.fetch(ctx, region, *q.MetricStat, from, to)
			if err != nil {
				return nil, err
			}
			r.value, r.messages = value{one: one}, messages
			s.series[id] = one
		} else {
			v, err := set.maths[id].compute(s)
			if err != nil {
				return nil, wire.Errorf("ValidationError", "The expression of %s: %v", id, err)
			}
			r.value = v
			if v.one != nil {
				s.series[id] = v.one
			} else if v.isNumber() {
				s.series[id] = constant(v.number, s.grid)
			}
		}
		computed[id] = r
	}
	var list []result
	for _, q := range set.list {
		list = append(list, computed[q.ID])
	}
	return list, nil
}

func grid(from, to time.Time, period int64) (list []int64) {
	for t := from.Unix() - mod(from.Unix(), period); t < to.Unix() && len(list) < mostPoints; t += period {
		list = append(list, t)
	}
	return list
}

// fetch reads one statistic. Without a unit, and where there are several, the first one
// counts, and a message names them.
func (c *CloudWatch) fetch(ctx context.Context, region string, m metricStat, from, to time.Time) (series, []message, error) {
	if err := checkUnit(m.Unit, "Unit"); err != nil {
		return nil, nil, err
	}
	byUnit, err := c.keeper.read(ctx, metric{region, m.Metric.Namespace, m.Metric.MetricName, sortedDimensions(m.Metric.Dimensions)}, from, to)
	if err != nil {
		return nil, nil, err
	}
	unit := m.Unit
	var messages []message
	if unit == "" {
		units := slices.Sorted(maps.Keys(byUnit))
		if len(units) > 0 {
			unit = units[0]
		}
		if len(units) > 1 {
			messages = []message{{"MultipleUnits", fmt.Sprintf("Multiple units returned: '[%s]'", strings.Join(units, ", "))}}
		}
	}
	out := series{}
	for _, b := range divide(byUnit[unit], m.Period) {
		if v, ok := b.statistic(m.Stat); ok {
			out[b.start/1000] = v
		}
	}
	return out, messages, nil
}

// shown are the results of one query: one for each series it came to.
func (r result) shown(label string, descending bool) []metricResult {
	list := []series{r.value.one}
	switch {
	case r.value.many != nil:
		list = r.value.many
	case r.value.isNumber():
		list = []series{constant(r.value.number, r.grid)}
	}
	var out []metricResult
	for _, s := range list {
		one := metricResult{ID: r.id, Label: label, StatusCode: "Complete", Timestamps: []time.Time{}, Values: []float64{}, Messages: r.messages}
		times := s.times()
		if descending {
			slices.Reverse(times)
		}
		for _, t := range times {
			one.Timestamps, one.Values = append(one.Timestamps, time.Unix(t, 0).UTC()), append(one.Values, s[t])
		}
		out = append(out, one)
	}
	return out
}
