package ingest

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"

	"showrunner/problem"
	"showrunner/telemetry"
)

// OTLP answers OTLP over HTTP, in protobuf or JSON. Gauges, cumulative sums, histograms
// with buckets and summaries are kept, under Prometheus's names for them; service.name is
// the label job, service.instance.id the label instance. What is not kept, such as deltas
// and exponential histograms, is counted and named in the answer.
func (in *Ingest) OTLP(w http.ResponseWriter, r *http.Request) {
	asJSON := strings.HasPrefix(r.Header.Get("Content-Type"), "application/json")
	answer, err := in.otlp(w, r, asJSON)
	if err != nil {
		http.Error(w, problem.Text(err), statusOf(err))
		return
	}
	raw, err := answer.MarshalProto()
	kind := "application/x-protobuf"
	if asJSON {
		raw, err = answer.MarshalJSON()
		kind = "application/json"
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(raw) // the sender has gone when this fails
}

func (in *Ingest) otlp(w http.ResponseWriter, r *http.Request, asJSON bool) (pmetricotlp.ExportResponse, error) {
	const op = "metrics.otlp"
	answer := pmetricotlp.NewExportResponse()
	body, done, err := in.read(w, r)
	if err != nil {
		return answer, err
	}
	defer done()
	if r.Header.Get("Content-Encoding") == "gzip" {
		if body, err = unzipped(body); err != nil {
			return answer, err
		}
	}
	request := pmetricotlp.NewExportRequest()
	if asJSON {
		err = request.UnmarshalJSON(body)
	} else {
		err = request.UnmarshalProto(body)
	}
	if err != nil {
		return answer, problem.Wrap(err, problem.Invalid, op, "reading the request")
	}
	t := translation{now: in.now(), described: map[string]telemetry.Meta{}}
	t.all(request.Metrics())
	left, err := in.store.AppendSome(r.Context(), t.samples)
	if err != nil {
		return answer, err
	}
	if left > 0 {
		t.rejected += left
		t.why = cmp.Or(t.why, tooMany(left, len(t.samples)).Message)
	}
	for name, m := range t.described {
		in.store.Describe(name, m)
	}
	if t.rejected > 0 {
		answer.PartialSuccess().SetRejectedDataPoints(int64(t.rejected))
		answer.PartialSuccess().SetErrorMessage(t.why)
	}
	return answer, nil
}

func unzipped(body []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "metrics.otlp", "unpacking the request")
	}
	raw, err := io.ReadAll(io.LimitReader(z, mostUnpacked+1))
	if err != nil || len(raw) > mostUnpacked {
		return nil, problem.New(problem.Invalid, "metrics.otlp", "the request does not unpack to at most %d bytes: %v", mostUnpacked, err)
	}
	return raw, nil
}

// translation turns OTLP's points into samples.
type translation struct {
	now       time.Time
	samples   []telemetry.Sample
	described map[string]telemetry.Meta
	rejected  int
	why       string // of the first that was rejected
}

func (t *translation) all(metrics pmetric.Metrics) {
	for _, resource := range metrics.ResourceMetrics().All() {
		base := telemetry.Labels{}
		attributes := resource.Resource().Attributes()
		for attribute, label := range map[string]string{"service.name": "job", "service.instance.id": "instance"} {
			if v, ok := attributes.Get(attribute); ok {
				base[label] = v.AsString()
			}
		}
		if v, ok := attributes.Get("service.namespace"); ok && base["job"] != "" {
			base["job"] = v.AsString() + "/" + base["job"]
		}
		for _, scope := range resource.ScopeMetrics().All() {
			for _, m := range scope.Metrics().All() {
				t.metric(base, m)
			}
		}
	}
}

func (t *translation) reject(n int, format string, args ...any) {
	if t.rejected += n; t.why == "" {
		t.why = fmt.Sprintf(format, args...)
	}
}

func (t *translation) metric(base telemetry.Labels, m pmetric.Metric) {
	var kind otlptranslator.MetricType = otlptranslator.MetricTypeGauge
	meta := "gauge"
	cumulative := true
	switch m.Type() {
	case pmetric.MetricTypeSum:
		cumulative = m.Sum().AggregationTemporality() == pmetric.AggregationTemporalityCumulative
		if m.Sum().IsMonotonic() {
			kind, meta = otlptranslator.MetricTypeMonotonicCounter, "counter"
		}
	case pmetric.MetricTypeHistogram:
		kind, meta = otlptranslator.MetricTypeHistogram, "histogram"
		cumulative = m.Histogram().AggregationTemporality() == pmetric.AggregationTemporalityCumulative
	case pmetric.MetricTypeSummary:
		kind, meta = otlptranslator.MetricTypeSummary, "summary"
	}
	namer := otlptranslator.MetricNamer{WithMetricSuffixes: true}
	name, err := namer.Build(otlptranslator.Metric{Name: m.Name(), Unit: m.Unit(), Type: kind})
	switch {
	case err != nil:
		t.reject(points(m), "%q is no name of a metric: %v", m.Name(), err)
		return
	case !cumulative:
		t.reject(points(m), "%s is sent as deltas, and only cumulative values are kept", m.Name())
		return
	}
	before := len(t.samples)
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		t.numbers(base, name, m.Gauge().DataPoints())
	case pmetric.MetricTypeSum:
		t.numbers(base, name, m.Sum().DataPoints())
	case pmetric.MetricTypeHistogram:
		t.histograms(base, name, m.Histogram().DataPoints())
	case pmetric.MetricTypeSummary:
		t.summaries(base, name, m.Summary().DataPoints())
	default:
		t.reject(points(m), "%s is of the kind %s, which is not kept", m.Name(), m.Type())
	}
	if len(t.samples) > before {
		t.described[name] = telemetry.Meta{Type: meta, Help: m.Description(), Unit: m.Unit()}
	}
}

// points is how many points a metric has.
func points(m pmetric.Metric) int {
	switch m.Type() {
	case pmetric.MetricTypeSum:
		return m.Sum().DataPoints().Len()
	case pmetric.MetricTypeHistogram:
		return m.Histogram().DataPoints().Len()
	case pmetric.MetricTypeExponentialHistogram:
		return m.ExponentialHistogram().DataPoints().Len()
	case pmetric.MetricTypeSummary:
		return m.Summary().DataPoints().Len()
	case pmetric.MetricTypeGauge:
		return m.Gauge().DataPoints().Len()
	}
	return 1
}

// labels are those of a point; one whose name cannot be written is left out.
func labelsOf(base telemetry.Labels, attributes pcommon.Map) telemetry.Labels {
	labels := telemetry.Labels{}
	namer := otlptranslator.LabelNamer{}
	for k, v := range attributes.All() {
		if name, err := namer.Build(k); err == nil {
			labels[name] = v.AsString()
		}
	}
	for k, v := range base {
		labels[k] = v
	}
	return labels
}

// add appends a sample; pairs are further labels. A value that is no number is none.
func (t *translation) add(name string, labels telemetry.Labels, at pcommon.Timestamp, v float64, pairs ...string) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	all := telemetry.Labels{telemetry.MetricName: name}
	for k, v := range labels {
		all[k] = v
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		all[pairs[i]] = pairs[i+1]
	}
	when := at.AsTime()
	if at == 0 {
		when = t.now
	}
	t.samples = append(t.samples, telemetry.Sample{Labels: all, Time: when, Value: v})
}

func (t *translation) numbers(base telemetry.Labels, name string, list pmetric.NumberDataPointSlice) {
	for _, p := range list.All() {
		if p.Flags().NoRecordedValue() {
			continue
		}
		v := p.DoubleValue()
		if p.ValueType() == pmetric.NumberDataPointValueTypeInt {
			v = float64(p.IntValue())
		}
		t.add(name, labelsOf(base, p.Attributes()), p.Timestamp(), v)
	}
}

func (t *translation) histograms(base telemetry.Labels, name string, list pmetric.HistogramDataPointSlice) {
	for _, p := range list.All() {
		bounds, counts := p.ExplicitBounds(), p.BucketCounts()
		if p.Flags().NoRecordedValue() {
			continue
		}
		if counts.Len() != 0 && counts.Len() != bounds.Len()+1 {
			t.reject(1, "%s has %d buckets for %d bounds", name, counts.Len(), bounds.Len())
			continue
		}
		labels, sum := labelsOf(base, p.Attributes()), uint64(0)
		for i := range bounds.Len() {
			if i < counts.Len() {
				sum += counts.At(i)
			}
			t.add(name+"_bucket", labels, p.Timestamp(), float64(sum), "le", strconv.FormatFloat(bounds.At(i), 'g', -1, 64))
		}
		t.add(name+"_bucket", labels, p.Timestamp(), float64(p.Count()), "le", "+Inf")
		t.add(name+"_count", labels, p.Timestamp(), float64(p.Count()))
		if p.HasSum() {
			t.add(name+"_sum", labels, p.Timestamp(), p.Sum())
		}
	}
}

func (t *translation) summaries(base telemetry.Labels, name string, list pmetric.SummaryDataPointSlice) {
	for _, p := range list.All() {
		if p.Flags().NoRecordedValue() {
			continue
		}
		labels := labelsOf(base, p.Attributes())
		for _, q := range p.QuantileValues().All() {
			t.add(name, labels, p.Timestamp(), q.Value(), "quantile", strconv.FormatFloat(q.Quantile(), 'g', -1, 64))
		}
		t.add(name+"_count", labels, p.Timestamp(), float64(p.Count()))
		t.add(name+"_sum", labels, p.Timestamp(), p.Sum())
	}
}
