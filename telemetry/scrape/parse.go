package scrape

import (
	"errors"
	"io"
	"math"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"showrunner/problem"
	"showrunner/telemetry"
)

// The bounds of the labels of one series.
const (
	mostLabels     = 40
	longestLabel   = 200
	longestContent = 1024
)

// series is one line of an answer.
type series struct {
	labels telemetry.Labels
	value  float64
}

// answer is what a target told.
type answer struct {
	series    []series
	left      int // lines without a value that is kept: NaN, infinite, native histograms
	described map[string]telemetry.Meta
}

// parse reads an answer, whole or not at all. Without a known content type it is read as
// Prometheus's text. Times in the answer are not used: a sample is of the time of the
// question. Errors: invalid.
func parse(body []byte, contentType string) (answer, error) {
	const op = "metrics.scrape"
	got := answer{described: map[string]telemetry.Meta{}}
	p, err := textparse.New(body, contentType, nil, textparse.ParserOptions{FallbackContentType: "text/plain", IgnoreNativeHistograms: true, OpenMetricsSkipSTSeries: true})
	if p == nil {
		return answer{}, problem.Wrap(err, problem.Invalid, op, "the content type %q", contentType)
	}
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return answer{}, problem.Wrap(err, problem.Invalid, op, "reading metrics")
		}
		switch entry {
		case textparse.EntryType:
			name, kind := p.Type()
			m := got.described[string(name)]
			m.Type = string(kind)
			got.described[string(name)] = m
		case textparse.EntryHelp:
			name, help := p.Help()
			m := got.described[string(name)]
			m.Help = string(help)
			got.described[string(name)] = m
		case textparse.EntryUnit:
			name, unit := p.Unit()
			m := got.described[string(name)]
			m.Unit = string(unit)
			got.described[string(name)] = m
		case textparse.EntryHistogram:
			got.left++
		case textparse.EntrySeries:
			if err := got.add(p); err != nil {
				return answer{}, err
			}
		}
	}
}

// add adds the parser's present line.
func (a *answer) add(p textparse.Parser) error {
	const op = "metrics.scrape"
	_, _, v := p.Series()
	if math.IsNaN(v) || math.IsInf(v, 0) {
		a.left++
		return nil
	}
	if len(a.series) >= mostSeries {
		return problem.New(problem.Invalid, op, "the answer has more than %d series", mostSeries)
	}
	var l labels.Labels
	p.Labels(&l)
	if l.Len() > mostLabels {
		return problem.New(problem.Invalid, op, "a series has more than %d labels", mostLabels)
	}
	names := telemetry.Labels{}
	var err error
	l.Range(func(x labels.Label) {
		if len(x.Name) > longestLabel || len(x.Value) > longestContent || !model.LegacyValidation.IsValidLabelName(x.Name) {
			err = problem.New(problem.Invalid, op, "the label %.60q is no name, or is longer than is kept", x.Name)
		}
		names[x.Name] = x.Value
	})
	if !model.LegacyValidation.IsValidMetricName(names[telemetry.MetricName]) {
		err = problem.New(problem.Invalid, op, "%.60q is no name of a metric", names[telemetry.MetricName])
	}
	a.series = append(a.series, series{names, v})
	return err
}

// samples are the lines with the target's labels. A label of the answer that has the name
// of one of the target's is kept as exported_NAME, as Prometheus does. A series that is
// there twice counts once, with its last value. ids tell the series apart.
func (a answer) samples(t Target, at time.Time) (list []telemetry.Sample, ids map[string]telemetry.Labels) {
	ids = make(map[string]telemetry.Labels, len(a.series))
	values := make(map[string]float64, len(a.series))
	for _, one := range a.series {
		all := make(telemetry.Labels, len(one.labels)+len(t.Labels))
		for name, v := range one.labels {
			if _, taken := t.Labels[name]; taken {
				name = "exported_" + name
			}
			if v != "" {
				all[name] = v
			}
		}
		for name, v := range t.Labels {
			all[name] = v
		}
		id := labels.FromMap(all).String()
		ids[id], values[id] = all, one.value
	}
	for id, all := range ids {
		list = append(list, telemetry.Sample{Labels: all, Time: at, Value: values[id]})
	}
	return list, ids
}
