package cloudwatch

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/telemetry"
)

// Metrics is the store that metrics are kept in.
type Metrics interface {
	Append(ctx context.Context, samples []telemetry.Sample) error
	Select(ctx context.Context, from, to time.Time, matches ...telemetry.Match) ([]telemetry.Series, error)
	Names(ctx context.Context, from, to time.Time, matches ...telemetry.Match) ([]telemetry.Labels, error)
}

type dimension struct{ Name, Value string }

// metric is the identity of a metric: every combination of dimensions is one of its own.
type metric struct {
	region     string
	namespace  string
	name       string
	dimensions []dimension // by name
}

// The labels of a metric's series. A dimension's label has a prefix before its name.
const (
	seriesName      = "cloudwatch"
	labelRegion     = "region"
	labelNamespace  = "namespace"
	labelMetric     = "metric"
	labelDimensions = "dimensions" // all of them, so that a metric with fewer is another
	labelUnit       = "unit"
	labelPart       = "part"
	dimensionLabel  = "dimension_"
	noUnit          = "None"
	partValue       = "value"
	partCount       = "count"
	partSum         = "sum"
	partMinimum     = "minimum"
	partMaximum     = "maximum"
)

func (m metric) dimensionsText() string {
	var b strings.Builder
	for _, d := range m.dimensions {
		b.WriteString(strconv.Quote(d.Name) + "=" + strconv.Quote(d.Value) + ",")
	}
	return b.String()
}

func (m metric) key() string {
	return strings.Join([]string{m.region, m.namespace, m.name, m.dimensionsText()}, "\x00")
}

func sortedDimensions(list []dimension) []dimension {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b dimension) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func (m metric) labels(unit, part string) telemetry.Labels {
	l := telemetry.Labels{telemetry.MetricName: seriesName, labelRegion: m.region, labelNamespace: m.namespace, labelMetric: m.name,
		labelDimensions: m.dimensionsText(), labelUnit: unit, labelPart: part}
	for _, d := range m.dimensions {
		l[dimensionLabel+d.Name] = d.Value
	}
	return l
}

func (m metric) matches() []telemetry.Match {
	list := []telemetry.Match{{Name: telemetry.MetricName, Value: seriesName}, {Name: labelRegion, Value: m.region}, {Name: labelNamespace, Value: m.namespace},
		{Name: labelMetric, Value: m.name}}
	if len(m.dimensions) == 0 {
		return append(list, telemetry.Match{Name: labelDimensions}) // an empty label is one that is not there
	}
	return append(list, telemetry.Match{Name: labelDimensions, Value: m.dimensionsText()})
}

func metricOf(l telemetry.Labels) metric {
	m := metric{region: l[labelRegion], namespace: l[labelNamespace], name: l[labelMetric]}
	for name, value := range l {
		if d, ok := strings.CutPrefix(name, dimensionLabel); ok {
			m.dimensions = append(m.dimensions, dimension{d, value})
		}
	}
	m.dimensions = sortedDimensions(m.dimensions)
	return m
}

// datum is observations of a metric at one time.
type datum struct {
	metric       metric
	unit         string
	at           time.Time
	high         bool // of seconds, not of minutes
	observations []observation
}

// keeper writes observations. Two of one metric and time are both kept: each gets a
// millisecond of its own within the second, or the minute, that they are of.
type keeper struct {
	metrics Metrics

	mu    sync.Mutex
	slots map[string]map[int64]int64 // by series: the next free millisecond of a second or minute
}

const (
	mostSlots   = 10_000 // series whose milliseconds are remembered
	slotsOfEach = 8      // seconds or minutes of each
)

// put keeps data. Errors: throttling when a second is full.
func (k *keeper) put(ctx context.Context, data []datum) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var samples []telemetry.Sample
	for _, d := range data {
		width := time.Minute
		if d.high {
			width = time.Second
		}
		start := d.at.Truncate(width)
		key := d.metric.key() + "\x00" + d.unit
		for _, o := range d.observations {
			slot, err := k.slot(ctx, d, key, start, width)
			if err != nil {
				return err
			}
			samples = append(samples, o.samples(d.metric, d.unit, slot)...)
		}
	}
	return k.metrics.Append(ctx, samples)
}

func (k *keeper) slot(ctx context.Context, d datum, key string, start time.Time, width time.Duration) (time.Time, error) {
	first := start.UnixMilli()
	cells := k.slots[key]
	next, known := cells[first]
	if !known {
		var err error
		if next, err = k.nextFree(ctx, d, start, width); err != nil {
			return time.Time{}, err
		}
		if k.slots == nil || len(k.slots) >= mostSlots {
			k.slots = map[string]map[int64]int64{}
			cells = nil
		}
		if cells == nil || len(cells) >= slotsOfEach {
			cells = map[int64]int64{}
			k.slots[key] = cells
		}
	}
	if next >= first+width.Milliseconds() {
		return time.Time{}, wire.Errorf("Throttling", "Rate exceeded: %s has too many values at %s", d.metric.name, start.UTC().Format(time.RFC3339))
	}
	cells[first] = next + 1
	return time.UnixMilli(next), nil
}

// nextFree asks the store for the first millisecond that no observation has.
func (k *keeper) nextFree(ctx context.Context, d datum, start time.Time, width time.Duration) (int64, error) {
	next := start.UnixMilli()
	found, err := k.metrics.Select(ctx, start, start.Add(width), append(d.metric.matches(), telemetry.Match{Name: labelUnit, Value: d.unit})...)
	if err != nil {
		return 0, err
	}
	for _, s := range found {
		next = max(next, s.Times[len(s.Times)-1]+1)
	}
	return next, nil
}

// samples are how an observation is kept: its value, with the count when it is not 1;
// or the four numbers of a set.
func (o observation) samples(m metric, unit string, at time.Time) []telemetry.Sample {
	sample := func(part string, v float64) telemetry.Sample {
		return telemetry.Sample{Labels: m.labels(unit, part), Time: at, Value: v}
	}
	if o.set {
		return []telemetry.Sample{sample(partSum, o.sum), sample(partCount, o.count), sample(partMinimum, o.minimum), sample(partMaximum, o.maximum)}
	}
	list := []telemetry.Sample{sample(partValue, o.value)}
	if o.count != 1 {
		list = append(list, sample(partCount, o.count))
	}
	return list
}

// read returns the observations of a metric by unit, oldest first.
func (k *keeper) read(ctx context.Context, m metric, from, to time.Time) (map[string][]observation, error) {
	found, err := k.metrics.Select(ctx, from, to, m.matches()...)
	if err != nil {
		return nil, err
	}
	type parts map[string]float64
	byUnit := map[string]map[int64]parts{}
	for _, s := range found {
		unit := s.Labels[labelUnit]
		if byUnit[unit] == nil {
			byUnit[unit] = map[int64]parts{}
		}
		for i, t := range s.Times {
			if byUnit[unit][t] == nil {
				byUnit[unit][t] = parts{}
			}
			byUnit[unit][t][s.Labels[labelPart]] = s.Values[i]
		}
	}
	out := map[string][]observation{}
	for unit, at := range byUnit {
		for t, p := range at {
			o := observation{at: t, count: 1}
			if n, ok := p[partCount]; ok {
				o.count = n
			}
			if v, ok := p[partValue]; ok {
				o.value, o.minimum, o.maximum, o.sum = v, v, v, v*o.count
			} else {
				o.set, o.sum, o.minimum, o.maximum = true, p[partSum], p[partMinimum], p[partMaximum]
			}
			out[unit] = append(out[unit], o)
		}
		slices.SortFunc(out[unit], func(a, b observation) int { return int(a.at - b.at) })
	}
	return out, nil
}

func single(value, count float64) observation {
	return observation{value: value, count: count, sum: value * count, minimum: value, maximum: value}
}

func (m metric) String() string { return fmt.Sprintf("%s/%s", m.namespace, m.name) }
