package ingest

import (
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/prompb"

	"showrunner/problem"
	"showrunner/telemetry"
)

// RemoteWrite answers Prometheus's remote write. Marks of staleness end a series; exemplars
// are left out; native histograms are refused by name. A request is taken whole or not
// at all, apart from new series when there are too many.
func (in *Ingest) RemoteWrite(w http.ResponseWriter, r *http.Request) {
	if err := in.remoteWrite(w, r); err != nil {
		http.Error(w, problem.Text(err), statusOf(err))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (in *Ingest) remoteWrite(w http.ResponseWriter, r *http.Request) error {
	const op = "metrics.remote-write"
	if kind := r.Header.Get("Content-Type"); strings.Contains(kind, "proto=") && !strings.Contains(kind, "prometheus.WriteRequest") {
		return problem.New(problem.Invalid, op, "%s is not understood", kind).WithHelp("remote write 1.0 is: prometheus.WriteRequest")
	}
	packed, done, err := in.read(w, r)
	if err != nil {
		return err
	}
	defer done()
	if size, err := snappy.DecodedLen(packed); err != nil || size > mostUnpacked {
		return problem.New(problem.Invalid, op, "the request is no snappy block of at most %d bytes", mostUnpacked)
	}
	raw, err := snappy.Decode(nil, packed)
	if err != nil {
		return problem.Wrap(err, problem.Invalid, op, "unpacking the request")
	}
	var request prompb.WriteRequest
	if err := request.Unmarshal(raw); err != nil {
		return problem.Wrap(err, problem.Invalid, op, "reading the request")
	}
	samples, err := samplesOf(request)
	if err != nil {
		return err
	}
	for _, m := range request.Metadata {
		in.store.Describe(m.MetricFamilyName, telemetry.Meta{Type: strings.ToLower(m.Type.String()), Help: m.Help, Unit: m.Unit})
	}
	left, err := in.store.AppendSome(r.Context(), samples)
	if err == nil && left > 0 {
		return tooMany(left, len(samples))
	}
	return err
}

func samplesOf(request prompb.WriteRequest) ([]telemetry.Sample, error) {
	const op = "metrics.remote-write"
	var samples []telemetry.Sample
	for _, series := range request.Timeseries {
		labels := telemetry.Labels{}
		for _, l := range series.Labels {
			if _, twice := labels[l.Name]; twice || !model.LegacyValidation.IsValidLabelName(l.Name) {
				return nil, problem.New(problem.Invalid, op, "the label %q of a series is no name, or is there twice", l.Name)
			}
			labels[l.Name] = l.Value
		}
		if labels[telemetry.MetricName] == "" {
			return nil, problem.New(problem.Invalid, op, "a series has no %s", telemetry.MetricName)
		}
		if len(series.Histograms) > 0 {
			return nil, problem.New(problem.Invalid, op, "%s is a native histogram, which is not kept", labels[telemetry.MetricName]).WithHelp("send its classic form: send_native_histograms: false")
		}
		for _, s := range series.Samples {
			if (math.IsNaN(s.Value) || math.IsInf(s.Value, 0)) && !telemetry.IsStale(s.Value) {
				continue // no value
			}
			samples = append(samples, telemetry.Sample{Labels: labels, Time: time.UnixMilli(s.Timestamp), Value: s.Value})
		}
	}
	return samples, nil
}
