package web

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"showrunner/canary/judge/sequential"
	"showrunner/control"
)

// judged is the report of a canary with so many failures in each second's 20 requests.
func judged(region string, seconds int, canary, baseline uint64, deadline bool) control.CanaryReport {
	c := sequential.Config{Alpha: 0.01 / 3, Beta: 0.05, LeastRequests: 20, SplitAlpha: sequential.DefaultSplitAlpha, Bounds: []float64{.01, .1},
		Metrics: []sequential.Metric{{Name: hostile, Kind: sequential.ErrorRatio, Gate: true, Limit: 1, Accept: 2}, {Name: "error rate", Kind: sequential.ErrorRate, Gate: true, Limit: 0.5},
			{Name: "latency", Kind: sequential.Distribution}, {Name: "p95", Kind: sequential.Quantile, Q: 0.95}}}
	var a sequential.Analysis
	for at := range seconds {
		a.Add(c, sequential.Interval{Start: float64(at), End: float64(at + 1), Share: 0.2,
			Canary:   sequential.Side{Requests: 20, Started: 20, Failures: canary, Buckets: []uint64{18, 1, 1}},
			Baseline: sequential.Side{Requests: 80, Started: 80, Failures: baseline, Buckets: []uint64{72, 4, 4}}})
	}
	return control.CanaryReport{Region: region, ServerGroup: hostile, Against: []string{"shop-v000"}, Step: 1, Weight: 20, Verdict: a.Verdict(c, deadline), Series: a.Points}
}

func sampleVerdicts() map[string]any {
	return verdictsData(hostile, 7, control.CanaryVerdicts{Execution: "ex1", Stage: hostile, Regions: []control.CanaryReport{
		judged("us-west-2", 40, 6, 1, false), judged("us-east-1", 60, 1, 4, false), judged("eu-west-1", 0, 0, 0, false), judged("eu-north-1", 30, 0, 0, true)}})
}

// The page says the verdict before anything else, then the numbers behind it, and draws
// interval and stop line for each metric that decides.
func TestTheVerdictComesFirst(t *testing.T) {
	var b bytes.Buffer
	if err := newPages().templates.ExecuteTemplate(&b, "verdicts", view{Data: sampleVerdicts()}); err != nil {
		t.Fatal(err)
	}
	if out := os.Getenv("WEB_SHOW_VERDICTS"); out != "" { // to look at it
		if err := os.WriteFile(out, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	doc, err := html.Parse(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	var sections []*html.Node
	walk(doc, func(n *html.Node) {
		if n.Data == "section" && attr(n, "class") == "verdict" {
			sections = append(sections, n)
		}
	})
	for i, want := range []struct{ head, says string }{
		{"us-west-2: Fail", "times as often as the old one (99.83 % interval"}, {"us-east-1: Pass", "nothing speaks against"},
		{"eu-west-1: Continue", "0 of 20 requests to the new version"}, {"eu-north-1: Inconclusive", "not decided yet"},
	} {
		var first []string
		walk(sections[i], func(n *html.Node) {
			if n.Data == "h2" || n.Data == "strong" {
				first = append(first, text(n))
			}
		})
		if !strings.Contains(first[0], want.head) || !strings.Contains(first[1], want.says) {
			t.Errorf("it begins with %q, want %q and %q", first[:2], want.head, want.says)
		}
		drawn := map[string]int{}
		walk(sections[i], func(n *html.Node) {
			for _, class := range strings.Fields(attr(n, "class")) {
				drawn[class]++
			}
		})
		if drawn["band"] != 2 || drawn["limit"] != 4 || drawn["plot"] != 4 {
			t.Errorf("%s: drawn %v, want for two metrics an interval, two stop lines and two charts each", want.head, drawn)
		}
	}
	if all := text(sections[0]); !strings.Contains(all, "the variance of failures") || !strings.Contains(all, "Score 50") || !strings.Contains(all, "0.00167") {
		t.Errorf("guards, score or alpha are missing: %s", all)
	}
}

// A report survives the way through the outputs of a stage.
func TestReportsAreJSON(t *testing.T) {
	r := judged("us-west-2", 40, 6, 1, false)
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back control.CanaryReport
	if err := json.Unmarshal(raw, &back); err != nil || back.Verdict.Reason != r.Verdict.Reason || len(back.Series) != len(r.Series) || len(raw) > 32<<10 {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
}
