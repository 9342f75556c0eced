package control

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"showrunner/canary"
	"showrunner/canary/judge/sequential"
	"showrunner/pipeline"
	"showrunner/problem"
)

// waves are kept metrics: the canary's are half as much again.
type waves struct{}

func (waves) Range(_ context.Context, query string, start, end time.Time, step time.Duration) ([][]canary.Point, error) {
	by := 1.0
	if strings.Contains(query, "v002") {
		by = 1.5
	}
	var points []canary.Point
	for at := start; !at.After(end); at = at.Add(step) {
		points = append(points, canary.Point{At: at, Value: by * float64(100+at.Unix()%7)})
	}
	return [][]canary.Point{points}, nil
}

// Kept metrics are judged by any configuration, with the language's defaults; what cannot
// be judged, and an address that the caller chose, is refused.
func TestKeptMetricsAreJudgedAgain(t *testing.T) {
	s := New(Deps{Metrics: waves{}, Now: time.Now})
	start := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	request := func(config string) AnalysisRequest {
		q := AnalysisRequest{Start: start, End: start.Add(2 * time.Minute), Baseline: canary.Scope{Cluster: "shop", Groups: []string{"shop-v001"}}, Canary: canary.Scope{Cluster: "shop", Groups: []string{"shop-v002"}}}
		if err := json.Unmarshal([]byte(config), &q.Config); err != nil {
			t.Fatal(err)
		}
		return q
	}
	const metric = `{"metrics":[{"name":"m","query":"x{${scope}}"`
	for config, want := range map[string]canary.Decision{metric + "}]}": sequential.Fail, metric + `,"allowedIncrease":2}]}`: sequential.Pass, metric + `,"direction":"decrease"}]}`: sequential.Pass} {
		r, err := s.Analyze(t.Context(), Principal{Owner: true}, request(config))
		if err != nil || r.Decision != want || r.Pass != 95 || r.Window.Step != pipeline.Duration(5*time.Second) || len(r.Metrics) != 1 || r.Metrics[0].CanaryPoints != 25 {
			t.Errorf("%s: %+v, %v", config, r, err)
		}
	}
	late, none := request(metric+"}]}"), request(metric+"}]}")
	late.End, none.Canary.Groups = start, nil
	for what, q := range map[string]AnalysisRequest{
		"no metrics":        request(`{}`),
		"an unknown field":  request(`{"metric":[]}`),
		"two forms":         request(`{"metrics":[{"name":"m","query":"x","errors":"y","requests":"z"}]}`),
		"another address":   request(`{"source":{"url":"http://169.254.169.254"},"metrics":[{"name":"m","query":"x"}]}`),
		"no time":           late,
		"no groups":         none,
		"a step of nothing": request(`{"step":"0s","metrics":[{"name":"m","query":"x"}]}`),
	} {
		if r, err := s.Analyze(t.Context(), Principal{Owner: true}, q); problem.CodeOf(err) != problem.Invalid {
			t.Errorf("%s: %+v, %v", what, r, err)
		}
	}
}
