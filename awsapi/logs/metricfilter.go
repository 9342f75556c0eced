package logs

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"showrunner/awsapi/wire"
)

// metricFilter makes values of a metric of the events of its group.
type metricFilter struct {
	Name, Pattern string
	Created       int64
	Metric        transformation
}

// transformation is the metric of a filter, and what each matching event adds to it.
type transformation struct {
	MetricName, MetricNamespace string
	MetricValue                 string // a number, $.MEMBER of an event in JSON, or $FIELD of one divided by spaces
	DefaultValue                *float64
	Unit                        string
	Dimensions                  map[string]string
}

// Value is a value of a metric that a filter has made.
type Value struct {
	Namespace, Name, Unit string
	Dimensions            []string // names and values, in turn
	Value                 float64
	At                    time.Time
}

// mostFilters is how many metric filters a group may have, as at AWS.
const mostFilters = 100

type putFilterInput struct {
	LogGroupName, FilterName, FilterPattern string
	MetricTransformations                   []transformation
}

func (l *Logs) putMetricFilter(ctx context.Context, call *wire.Call, in *putFilterInput) (*nothing, error) {
	if _, err := parsePattern(in.FilterPattern); err != nil {
		return nil, err
	}
	if len(in.MetricTransformations) != 1 {
		return nil, invalid("A metric filter has one metric transformation.")
	}
	m := in.MetricTransformations[0]
	if err := m.check(); err != nil {
		return nil, err
	}
	_, err := l.groups.Update(ctx, groupKey(call.Region, in.LogGroupName), func(g *group) error {
		f := metricFilter{in.FilterName, in.FilterPattern, l.now().UnixMilli(), m}
		at := slices.IndexFunc(g.Filters, func(have metricFilter) bool { return have.Name == in.FilterName })
		switch {
		case at >= 0:
			f.Created = g.Filters[at].Created
			g.Filters[at] = f
		case len(g.Filters) == mostFilters:
			return wire.Errorf("LimitExceededException", "Resource limit exceeded.")
		default:
			g.Filters = append(g.Filters, f)
		}
		return nil
	})
	return &nothing{}, absent(err, errNoGroup)
}

func (m transformation) check() error {
	if strings.HasPrefix(m.MetricNamespace, "AWS/") {
		return invalid("Invalid metric transformation: the namespace %s is AWS's own", m.MetricNamespace)
	}
	if _, err := strconv.ParseFloat(m.MetricValue, 64); err != nil && !strings.HasPrefix(m.MetricValue, "$") {
		return invalid("Invalid metric transformation: metricValue must be a number, $.MEMBER or $FIELD")
	}
	switch {
	case m.DefaultValue != nil && len(m.Dimensions) > 0:
		return invalid("Invalid metric transformation: dimensions and default value are mutually exclusive properties.")
	case m.DefaultValue != nil && *m.DefaultValue != 0:
		return invalid("Invalid metric transformation: a default value other than 0 cannot be had here")
	case len(m.Dimensions) > 3:
		return invalid("Invalid metric transformation: there are at most 3 dimensions")
	}
	for _, v := range m.Dimensions {
		if !strings.HasPrefix(v, "$") {
			return invalid("Invalid metric transformation: the value of a dimension must be $.MEMBER or $FIELD")
		}
	}
	return nil
}

type filterName struct{ LogGroupName, FilterName string }

func (l *Logs) deleteMetricFilter(ctx context.Context, call *wire.Call, in *filterName) (*nothing, error) {
	_, err := l.groups.Update(ctx, groupKey(call.Region, in.LogGroupName), func(g *group) error {
		left := slices.DeleteFunc(slices.Clone(g.Filters), func(f metricFilter) bool { return f.Name == in.FilterName })
		if len(left) == len(g.Filters) {
			return wire.Errorf("ResourceNotFoundException", "The specified metric filter does not exist.")
		}
		g.Filters = left
		return nil
	})
	return &nothing{}, absent(err, errNoGroup)
}

func (l *Logs) describeMetricFilters(ctx context.Context, call *wire.Call, in wire.Object) (wire.Object, error) {
	prefix, metric, namespace := in.Text("filterNamePrefix"), in.Text("metricName"), in.Text("metricNamespace")
	if (metric == "") != (namespace == "") {
		return nil, invalid("Both metricName and metricNamespace must be specified together.")
	}
	groups := groupPrefix(call.Region)
	if name := in.Text("logGroupName"); name != "" {
		groups = groupKey(call.Region, name)
		if _, err := l.groups.Get(ctx, groups); err != nil {
			return nil, absent(err, errNoGroup)
		}
	}
	var all []wire.Object
	for e, err := range l.groups.All(ctx, groups) {
		if err != nil {
			return nil, err
		}
		for _, f := range e.Doc.Filters {
			if strings.HasPrefix(f.Name, prefix) && (metric == "" || f.Metric.MetricName == metric && f.Metric.MetricNamespace == namespace) {
				all = append(all, f.told(e.Doc.Name))
			}
		}
	}
	key := func(o wire.Object) string { return o.Text("filterName") + separator + o.Text("logGroupName") }
	slices.SortFunc(all, func(a, b wire.Object) int { return strings.Compare(key(a), key(b)) })
	p := wire.Paging{Token: "nextToken", Most: "limit", Least: 1, Greatest: 50, Otherwise: 50,
		BadToken: func(string) error { return invalid("The specified nextToken is invalid.") },
		BadCount: func(string) error { return invalid("limit must be between 1 and 50.") }}
	out, next, err := wire.Cut(p, in, all, key)
	return wire.Object{"metricFilters": wire.List(out)}.With(wire.Object{"nextToken": next}), err
}

func (f metricFilter) told(group string) wire.Object {
	m := wire.Object{"metricName": f.Metric.MetricName, "metricNamespace": f.Metric.MetricNamespace, "metricValue": f.Metric.MetricValue}
	if f.Metric.DefaultValue != nil {
		m["defaultValue"] = *f.Metric.DefaultValue
	}
	if f.Metric.Unit != "" {
		m["unit"] = f.Metric.Unit
	}
	if len(f.Metric.Dimensions) > 0 {
		m["dimensions"] = f.Metric.Dimensions
	}
	return wire.Object{"filterName": f.Name, "filterPattern": f.Pattern, "logGroupName": group, "creationTime": f.Created, "applyOnTransformedLogs": false, "metricTransformations": []any{m}}
}

// measure has a group's filters make values of events that were kept.
func (l *Logs) measure(ctx context.Context, region string, g group, events []event) error {
	if l.Measure == nil || len(g.Filters) == 0 || len(events) == 0 {
		return nil
	}
	var all []Value
	for _, f := range g.Filters {
		match, err := parsePattern(f.Pattern)
		if err != nil {
			return err // not reached: it was read when the filter was put
		}
		made := len(all)
		for _, e := range events {
			if !match(e.Message) {
				continue
			}
			if v, ok := f.Metric.value(f.Pattern, e); ok {
				all = append(all, v)
			}
		}
		if len(all) == made && f.Metric.DefaultValue != nil {
			all = append(all, Value{Namespace: f.Metric.MetricNamespace, Name: f.Metric.MetricName, Unit: f.Metric.Unit, Value: *f.Metric.DefaultValue, At: time.UnixMilli(events[len(events)-1].Timestamp)})
		}
	}
	if len(all) == 0 {
		return nil
	}
	return l.Measure(ctx, region, all)
}

// value is what an event adds; false when it has no number, or not the dimensions.
func (m transformation) value(pattern string, e event) (Value, bool) {
	v := Value{Namespace: m.MetricNamespace, Name: m.MetricName, Unit: m.Unit, At: time.UnixMilli(e.Timestamp)}
	number, err := strconv.ParseFloat(m.MetricValue, 64)
	if err != nil {
		text, ok := partOf(pattern, e.Message, m.MetricValue)
		if number, err = strconv.ParseFloat(text, 64); !ok || err != nil {
			return v, false
		}
	}
	v.Value = number
	for name, at := range m.Dimensions {
		text, ok := partOf(pattern, e.Message, at)
		if !ok || text == "" {
			return v, false
		}
		v.Dimensions = append(v.Dimensions, name, text)
	}
	return v, true
}

// partOf is a part of a message: $.MEMBER of JSON, or $FIELD as the pattern names it.
func partOf(pattern, message, at string) (string, bool) {
	if strings.HasPrefix(at, "$.") {
		return memberOf(message, at)
	}
	text, ok := fieldsOf(pattern, message)[at]
	return text, ok
}

// memberOf is a member of a message in JSON, by $.NAME.NAME.
func memberOf(message, at string) (string, bool) {
	var v any
	d := json.NewDecoder(strings.NewReader(message))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return "", false
	}
	for name := range strings.SplitSeq(strings.TrimPrefix(at, "$."), ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return "", false
		}
		v = m[name]
	}
	switch x := v.(type) {
	case string:
		return x, true
	case json.Number:
		return x.String(), true
	}
	return "", false
}
