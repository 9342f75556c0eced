package ingest

import (
	"bytes"
	"compress/gzip"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"

	"showrunner/telemetry"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func open(t *testing.T) (*Ingest, *telemetry.Store) {
	t.Helper()
	s, err := telemetry.Open(t.TempDir(), telemetry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return New(s, func() time.Time { return noon }), s
}

func post(f http.HandlerFunc, body []byte, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f(w, r)
	return w
}

// values are the newest value of each series, by name and the named label.
func values(t *testing.T, s *telemetry.Store, label string) map[string]float64 {
	t.Helper()
	list, err := s.Select(t.Context(), noon.Add(-time.Hour), noon.Add(time.Hour), telemetry.Match{Name: telemetry.MetricName, Present: true})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, one := range list {
		got[one.Labels[telemetry.MetricName]+"/"+one.Labels[label]] = one.Values[len(one.Values)-1]
	}
	return got
}

func written(t *testing.T, request prompb.WriteRequest) []byte {
	t.Helper()
	raw, err := request.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, raw)
}

func TestRemoteWriteIsKept(t *testing.T) {
	in, s := open(t)
	series := func(value float64, labels ...string) prompb.TimeSeries {
		one := prompb.TimeSeries{Samples: []prompb.Sample{{Value: value, Timestamp: noon.UnixMilli()}}}
		for i := 0; i+1 < len(labels); i += 2 {
			one.Labels = append(one.Labels, prompb.Label{Name: labels[i], Value: labels[i+1]})
		}
		return one
	}
	body := written(t, prompb.WriteRequest{Timeseries: []prompb.TimeSeries{series(3, "__name__", "up", "job", "shop"), series(math.NaN(), "__name__", "gone", "job", "shop")},
		Metadata: []prompb.MetricMetadata{{Type: prompb.MetricMetadata_GAUGE, MetricFamilyName: "up", Help: "whether it is up"}}})
	for range 2 { // a sender that has lost the answer sends the same again
		if w := post(in.RemoteWrite, body); w.Code != http.StatusNoContent {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if got := values(t, s, "job"); len(got) != 1 || got["up/shop"] != 3 {
		t.Errorf("%v", got)
	}
	if m := s.Described()["up"]; m.Type != "gauge" || m.Help == "" {
		t.Errorf("%+v", m)
	}
	for what, body := range map[string][]byte{
		"no snappy":          []byte("hello"),
		"no request":         snappy.Encode(nil, []byte("hello")),
		"no name":            written(t, prompb.WriteRequest{Timeseries: []prompb.TimeSeries{series(1, "job", "shop")}}),
		"a bad label":        written(t, prompb.WriteRequest{Timeseries: []prompb.TimeSeries{series(1, "__name__", "x", "", "shop")}}),
		"a label twice":      written(t, prompb.WriteRequest{Timeseries: []prompb.TimeSeries{series(1, "__name__", "x", "a", "1", "a", "2")}}),
		"a native histogram": written(t, prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{Labels: []prompb.Label{{Name: "__name__", Value: "h"}}, Histograms: []prompb.Histogram{{}}}}}),
		"a bomb":             append([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, 0),
	} {
		if w := post(in.RemoteWrite, body); w.Code != http.StatusBadRequest || w.Body.Len() == 0 {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		}
	}
	if w := post(in.RemoteWrite, body, "Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"); w.Code != http.StatusBadRequest {
		t.Errorf("remote write 2.0: %d", w.Code)
	}
}

func sent(t *testing.T, build func(pmetric.MetricSlice)) pmetricotlp.ExportRequest {
	t.Helper()
	m := pmetric.NewMetrics()
	r := m.ResourceMetrics().AppendEmpty()
	r.Resource().Attributes().PutStr("service.name", "shop")
	r.Resource().Attributes().PutStr("service.instance.id", "i-1")
	build(r.ScopeMetrics().AppendEmpty().Metrics())
	return pmetricotlp.NewExportRequestFromMetrics(m)
}

func TestOTLPIsKept(t *testing.T) {
	at := pcommon.NewTimestampFromTime(noon)
	request := sent(t, func(list pmetric.MetricSlice) {
		sum := list.AppendEmpty()
		sum.SetName("http.requests")
		sum.SetDescription("requests")
		sum.SetEmptySum().SetIsMonotonic(true)
		sum.Sum().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		p := sum.Sum().DataPoints().AppendEmpty()
		p.SetIntValue(7)
		p.SetTimestamp(at)
		p.Attributes().PutStr("http.route", "/cart")
		h := list.AppendEmpty()
		h.SetName("latency")
		h.SetUnit("s")
		h.SetEmptyHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		b := h.Histogram().DataPoints().AppendEmpty()
		b.SetTimestamp(at)
		b.SetCount(5)
		b.SetSum(2.5)
		b.ExplicitBounds().FromRaw([]float64{.1, 1})
		b.BucketCounts().FromRaw([]uint64{1, 3, 1})
		delta := list.AppendEmpty()
		delta.SetName("delta")
		delta.SetEmptySum().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		delta.Sum().DataPoints().AppendEmpty()
		delta.Sum().DataPoints().AppendEmpty()
	})
	proto, err := request.MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := request.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := io.Copy(z, bytes.NewReader(proto)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	for what, send := range map[string]struct {
		body   []byte
		header []string
	}{"protobuf": {proto, []string{"Content-Type", "application/x-protobuf"}}, "JSON": {asJSON, []string{"Content-Type", "application/json"}},
		"gzip": {zipped.Bytes(), []string{"Content-Type", "application/x-protobuf", "Content-Encoding", "gzip"}}} {
		in, s := open(t)
		w := post(in.OTLP, send.body, send.header...)
		answer := pmetricotlp.NewExportResponse()
		if what == "JSON" {
			err = answer.UnmarshalJSON(w.Body.Bytes())
		} else {
			err = answer.UnmarshalProto(w.Body.Bytes())
		}
		if w.Code != http.StatusOK || err != nil || answer.PartialSuccess().RejectedDataPoints() != 2 || !strings.Contains(answer.PartialSuccess().ErrorMessage(), "deltas") {
			t.Errorf("%s: %d %s, %v", what, w.Code, w.Body, err)
		}
		got := values(t, s, "le")
		for name, want := range map[string]float64{"http_requests_total/": 7, "latency_seconds_bucket/0.1": 1, "latency_seconds_bucket/1": 4, "latency_seconds_bucket/+Inf": 5, "latency_seconds_count/": 5, "latency_seconds_sum/": 2.5} {
			if got[name] != want {
				t.Errorf("%s: %s is %v, want %v", what, name, got[name], want)
			}
		}
		if jobs := values(t, s, "job"); jobs["http_requests_total/shop"] != 7 {
			t.Errorf("%s: %v", what, jobs)
		}
	}
	in, _ := open(t)
	for what, body := range map[string][]byte{"protobuf": []byte("{"), "gzip": []byte("x")} {
		if w := post(in.OTLP, body, "Content-Encoding", map[string]string{"gzip": "gzip"}[what]); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", what, w.Code)
		}
	}
}
