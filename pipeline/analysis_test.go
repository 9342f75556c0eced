package pipeline

import (
	"strings"
	"testing"
	"time"
)

// analysisFile is a file whose canary has an analysis.
func analysisFile(analysis string) []byte {
	return []byte(`application: shop
pipelines:
  release:
    stages:
      source: { git: { url: ., branch: main } }
      build: { needs: [source], build: {} }
      service:
        needs: [build]
        deploy:
          cluster: shop-prod
          artifact: build
          command: [./shop]
          health: { path: / }
          capacity: { min: 1, desired: 1, max: 1 }
          strategy: { canary: { steps: [10], analysis: ` + analysis + " } }\n")
}

func TestAnalysesAreChecked(t *testing.T) {
	t.Parallel()
	const good = `metrics: [ { name: m, query: "avg(x{${scope}})" } ]`
	for analysis, want := range map[string]string{
		"{ " + good + " }":                                                                       "",
		"{ lookback: 50s, " + good + " }":                                                        "",
		"{ lookback: 30s, " + good + " }":                                                        "fewer than the 10 points",
		"{ marginal: 60, " + good + " }":                                                         "",
		"{ pass: 60, " + good + " }":                                                             "marginal 75 is above pass 60",
		"{ step: 1m, " + good + " }":                                                             "longer than the interval 30s",
		"{ metrics: [] }":                                                                        "has no metrics",
		"{ pass: 50, marginal: 60, " + good + " }":                                               "marginal 60 is above pass 50",
		"{ step: 2m, interval: 1m, " + good + " }":                                               "longer than the interval",
		`{ metrics: [ { name: m } ] }`:                                                           "either a query, or requests and errors",
		`{ metrics: [ { name: m, requests: x } ] }`:                                              "either a query, or requests and errors",
		`{ metrics: [ { name: m, query: x, errors: y, requests: z } ] }`:                         "either a query, or requests and errors",
		`{ metrics: [ { name: m, query: x }, { name: m, query: y } ] }`:                          "two metrics named",
		`{ source: { url: "http://prom.example", token: plain }, ` + good + " }":                 "stands in the file",
		`{ source: { url: "http://prom.example", token: "${{ secrets.prom }}" }, ` + good + " }": "",
	} {
		_, ds := Parse("showrunner.yaml", analysisFile(analysis))
		var says []string
		for _, d := range ds {
			says = append(says, d.Message)
		}
		if got := strings.Join(says, "; "); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", analysis, got, want)
		}
	}
}

// Outside of a file an analysis has the same defaults, and is refused with its field.
func TestDecodeAnalysis(t *testing.T) {
	t.Parallel()
	a, err := DecodeAnalysis([]byte(`{"metrics":[{"name":"m","query":"x"}]}`))
	if err != nil || a.Pass != 95 || a.Marginal != 75 || a.MinPoints != 10 || time.Duration(a.Step) != 5*time.Second || a.Metrics[0].Group != "metrics" || a.Metrics[0].WhenNoData != "fail" {
		t.Errorf("%+v, %v", a, err)
	}
	for _, bad := range []string{`[]`, `{`, `{}`, `{"metrics":[{"name":"m"}]}`, `{"metrics":[{"name":"m","query":"x","colour":"red"}]}`, `{"alpha":0,"metrics":[{"name":"m","query":"x"}]}`} {
		if a, err := DecodeAnalysis([]byte(bad)); err == nil {
			t.Errorf("%s: %+v", bad, a)
		}
	}
}
