package promapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"showrunner/telemetry"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// filled serves a store with a counter of two zones, a sample every ten seconds.
func filled(t *testing.T) *httptest.Server {
	t.Helper()
	s, err := telemetry.Open(t.TempDir(), telemetry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	var batch []telemetry.Sample
	for i := range 61 {
		for zone, rate := range map[string]float64{"a": 1, "b": 2} {
			batch = append(batch, telemetry.Sample{Labels: telemetry.Labels{telemetry.MetricName: "requests_total", "zone": zone, "cluster": "shop"}, Time: noon.Add(time.Duration(i-60) * 10 * time.Second), Value: rate * float64(10*i)})
		}
	}
	if err := s.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	s.Describe("requests_total", telemetry.Meta{Type: "counter", Help: "requests"})
	server := httptest.NewServer(New(s, "test", func() time.Time { return noon }))
	t.Cleanup(server.Close)
	return server
}

// The client that promtool and many others use understands every answer.
func TestPrometheusClientsReadIt(t *testing.T) {
	server := filled(t)
	client, err := api.NewClient(api.Config{Address: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	c, ctx := promv1.NewAPI(client), context.Background()
	v, warnings, err := c.Query(ctx, `sum by (zone) (rate(requests_total{cluster="shop"}[1m]))`, noon)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	got := map[string]float64{}
	for _, s := range v.(model.Vector) {
		got[string(s.Metric["zone"])] = float64(s.Value)
	}
	if got["a"] != 1 || got["b"] != 2 || len(got) != 2 {
		t.Errorf("rates %v", got)
	}
	r := promv1.Range{Start: noon.Add(-5 * time.Minute), End: noon, Step: time.Minute}
	if v, _, err := c.QueryRange(ctx, `requests_total{zone="a"}`, r); err != nil || len(v.(model.Matrix)) != 1 || len(v.(model.Matrix)[0].Values) != 6 {
		t.Errorf("range: %v, %v", v, err)
	}
	if v, _, err := c.Query(ctx, `absent(requests_total)`, noon); err != nil || len(v.(model.Vector)) != 0 {
		t.Errorf("an empty answer: %v, %v", v, err)
	}
	if rules, err := c.Rules(ctx); err != nil || len(rules.Groups) != 0 {
		t.Errorf("rules: %v, %v", rules, err)
	}
	if alerts, err := c.Alerts(ctx); err != nil || len(alerts.Alerts) != 0 {
		t.Errorf("alerts: %v, %v", alerts, err)
	}
	if exemplars, err := c.QueryExemplars(ctx, "requests_total", r.Start, r.End); err != nil || len(exemplars) != 0 {
		t.Errorf("exemplars: %v, %v", exemplars, err)
	}
	if res, err := http.Get(server.URL + "/api/v1/format_query?query=" + url.QueryEscape(`sum  by(zone)(requests_total)`)); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("format: %v, %v", res, err)
	} else {
		var answer struct{ Data string }
		err := json.NewDecoder(res.Body).Decode(&answer)
		_ = res.Body.Close()
		if err != nil || answer.Data != "sum by (zone) (requests_total)" {
			t.Errorf("format: %q, %v", answer.Data, err)
		}
	}
	if v, _, err := c.Query(ctx, `2+2`, noon); err != nil || v.(*model.Scalar).Value != 4 {
		t.Errorf("a scalar: %v, %v", v, err)
	}
	if names, _, err := c.LabelNames(ctx, nil, noon.Add(-time.Hour), noon); err != nil || strings.Join(names, " ") != "__name__ cluster zone" {
		t.Errorf("labels: %v, %v", names, err)
	}
	if values, _, err := c.LabelValues(ctx, "zone", []string{`requests_total{zone!="a"}`}, noon.Add(-time.Hour), noon); err != nil || len(values) != 1 || values[0] != "b" {
		t.Errorf("values: %v, %v", values, err)
	}
	if series, _, err := c.Series(ctx, []string{`{cluster="shop"}`, `requests_total`}, noon.Add(-time.Hour), noon); err != nil || len(series) != 2 || series[0]["zone"] != "a" {
		t.Errorf("series: %v, %v", series, err)
	}
	if known, err := c.Metadata(ctx, "", ""); err != nil || known["requests_total"][0].Type != "counter" {
		t.Errorf("metadata: %v, %v", known, err)
	}
	if info, err := c.Buildinfo(ctx); err != nil || info.Version == "" {
		t.Errorf("build: %v, %v", info, err)
	}
}

// What cannot be answered says so as Prometheus does, with what is wrong.
func TestRefusals(t *testing.T) {
	server := filled(t)
	for path, want := range map[string]struct {
		status     int
		kind, says string
	}{
		"/api/v1/query":                                             {400, "bad_data", "query"},
		"/api/v1/query?query=sum(":                                  {400, "bad_data", "unclosed left parenthesis"},
		"/api/v1/query?query=up&time=soon":                          {400, "bad_data", "no time"},
		"/api/v1/query?query=up&timeout=never":                      {400, "bad_data", "no duration"},
		"/api/v1/query?query=up%20%2B%20on()%20(a%7C)":              {400, "bad_data", ""},
		"/api/v1/query_range?query=up":                              {400, "bad_data", "step"},
		"/api/v1/query_range?query=up&step=1":                       {400, "bad_data", "start and end"},
		"/api/v1/query_range?query=up&start=2&end=1&step=1":         {400, "bad_data", "before start"},
		"/api/v1/query_range?query=up&start=0&end=100000000&step=1": {400, "bad_data", "raise the step"},
		"/api/v1/query_range?query=up&start=0&end=9&step=0":         {400, "bad_data", "above 0"},
		"/api/v1/series":                                            {400, "bad_data", "match[]"},
		"/api/v1/series?match[]=%7B":                                {400, "bad_data", "match[]"},
		"/api/v1/labels?limit=few":                                  {400, "bad_data", "limit"},
		"/api/v1/query?query=" + url.QueryEscape(`label_replace(requests_total, "zone", "same", "", "")`): {422, "execution", "labelset"},
	} {
		res, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		var e envelope
		err = json.NewDecoder(res.Body).Decode(&e)
		res.Body.Close()
		if err != nil || res.StatusCode != want.status || e.ErrorType != want.kind || !strings.Contains(e.Error, want.says) {
			t.Errorf("%s: %d %+v, %v; want %+v", path, res.StatusCode, e, err, want)
		}
	}
}

// A query that takes too long ends at its limit, and a form may be posted.
func TestQueriesArePostedAndEnd(t *testing.T) {
	server := filled(t)
	for query, want := range map[string]struct {
		timeout string
		status  int
	}{`count_over_time(requests_total[10m])`: {"", 200}, `sum_over_time(sum_over_time(requests_total[5m:1s])[10m:1s])`: {"0.000000001", 503}} {
		res, err := http.PostForm(server.URL+"/api/v1/query", url.Values{"query": {query}, "timeout": {want.timeout}, "time": {noon.Format(time.RFC3339)}})
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want.status {
			t.Errorf("%s: %d, want %d", query, res.StatusCode, want.status)
		}
	}
}
