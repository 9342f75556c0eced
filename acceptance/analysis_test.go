package acceptance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/control"
)

// gauged is a service whose metric comes from a file beside its source.
const gauged = `package main

import (
	_ "embed"
	"fmt"
	"math/rand"
	"net/http"
	"os"
	"strings"
)

//go:embed mode
var mode string

func main() {
	http.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		queue := 10 + rand.Float64()
		switch strings.TrimSpace(mode) {
		case "worse":
			queue *= 1.5
		case "nonsense":
			fmt.Fprintln(w, "<html>")
			return
		}
		fmt.Fprintf(w, "api_queue_length %g\n", queue)
	})
	http.ListenAndServe(os.Getenv("HOST")+":"+os.Getenv("PORT"), nil)
}
`

const gaugedPipeline = `application: api
pipelines:
  release:
    stages:
      source: { git: { url: ., branch: main } }
      build: { needs: [source], build: {} }
      service:
        needs: [build]
        deploy:
          cluster: api-prod
          artifact: build
          command: [./api]
          health: { path: /healthz, interval: 200ms, grace: 2s }
          capacity: { min: 2, desired: 2, max: 4 }
          metrics: { interval: 1s }
          strategy:
            canary:
              steps: [25]
              pause: 5s
              analysis: { interval: 12s, step: 1s, delay: 3s, metrics: [ { name: queue, query: "avg(api_queue_length{${scope}})" } ] }
`

func gaugedFiles(mode string) map[string]string {
	files := serviceFiles("red-black", mode, mode)
	files["main.go"], files["showrunner.yaml"] = gauged, gaugedPipeline
	files["buildspec.yml"] = strings.Replace(files["buildspec.yml"], "commands:\n", "commands:\n      - echo \"traceparent=$TRACEPARENT\"\n", 1)
	return files
}

// comparedGroups are the canary of a region and its baseline.
func comparedGroups(w *world, region string) (canary, baseline *cloud.ServerGroup) {
	for _, c := range w.clusters() {
		for _, g := range c.Groups {
			switch {
			case g.Region != region:
			case g.IsBaseline():
				baseline = &g
			case !strings.HasSuffix(g.Name, "v000"):
				canary = &g
			}
		}
	}
	return canary, baseline
}

// A canary is judged by its own metrics: a worse version is undone in both regions,
// although control is killed in the middle of the analysis, a version that tells nonsense
// never passes, and the next good one does. What was judged is kept, and can
// be judged again by another configuration. A collector has the whole of it as a trace.
func TestMetricsDecideACanary(t *testing.T) {
	t.Parallel()
	traces := newCollector(t)
	w := newWorldWith(t, []string{"--traces-to", traces.URL, "--trace-page", "http://traces.example/TRACE"}, "us-west-2", "us-east-1")
	r := newRepo(t, gaugedFiles("good"))
	if errs, code := w.deliver(r); code != 0 {
		t.Fatalf("exit %d\n%s", code, errs)
	}
	r.commit("worse", gaugedFiles("worse"))
	w.must("apply", "-f", filepath.Join(r.dir, "showrunner.yaml"))
	id := strings.TrimSpace(w.must("run", "api/release", "--traceparent", outer, "-o", "name"))
	w.eventually(60*time.Second, "the analysis has begun", func() error {
		out, _, _ := w.cli("executions", "show", id)
		if !strings.Contains(out, "first judgement of the metrics") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	if canary, baseline := comparedGroups(w, "us-west-2"); canary == nil || baseline == nil || baseline.Spec.CopyOf != "api-prod-v000" || baseline.Spec.Version == canary.Spec.Version ||
		baseline.Weight != canary.Weight || baseline.Capacity != canary.Capacity {
		t.Errorf("beside the canary %+v the baseline is %+v", canary, baseline)
	}
	if out := w.must("clusters", "api"); !strings.Contains(out, "baseline: a copy of api-prod-v000") {
		t.Errorf("the clusters do not say what the baseline is:\n%s", out)
	}
	w.kill("control")
	out, errs, code := w.cli("executions", "watch", id)
	if code != 4 || !strings.Contains(out+errs, "CANARY_METRICS") {
		t.Fatalf("exit %d, want 4 for what was rolled back\n%s%s", code, out, errs)
	}
	t.Logf("detected: %s", errs)
	for _, c := range w.clusters() {
		for _, g := range c.Groups {
			if g.IsBaseline() {
				t.Errorf("the baseline %s is left in %s", g.Name, g.Region)
			}
			if g.Weight > 0 && !strings.HasSuffix(g.Name, "v000") {
				t.Errorf("%s has traffic in %s", g.Name, g.Region)
			}
		}
	}
	w.checkTrace(traces, id)
	analyze := func(args ...string) (report control.AnalysisReport) {
		w.json(&report, append([]string{"canary", "analyze", id, "service"}, args...)...)
		return report
	}
	if again := analyze(); again.Decision != "Fail" || len(again.Metrics) != 1 || again.Metrics[0].Label != "High" {
		t.Errorf("judged again: %+v", again)
	}
	edited := filepath.Join(t.TempDir(), "analysis.yaml")
	config := "step: 1s\nmetrics: [ { name: queue, query: \"avg(api_queue_length{${scope}})\", allowedIncrease: 10 } ]\n"
	if err := os.WriteFile(edited, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if again := analyze("--config", edited); again.Decision != "Pass" {
		t.Errorf("judged by another configuration: %+v", again)
	}
	r.commit("nonsense", gaugedFiles("nonsense"))
	if errs, code := w.deliver(r); code != 4 || !strings.Contains(errs, "CANARY_NO_DATA") || !strings.Contains(errs, "queue: 0 points of the canary") {
		t.Errorf("exit %d\n%s", code, errs)
	}
	r.commit("good again", gaugedFiles("good "))
	if errs, code := w.deliver(r); code != 0 {
		t.Errorf("exit %d\n%s", code, errs)
	}
	var page struct{ Executions []struct{ ID string } }
	w.json(&page, "executions", "list", "--application", "api")
	raw := w.must("executions", "show", page.Executions[0].ID, "-o", "json")
	var run struct {
		Stages []struct {
			Name    string
			Outputs map[string]any
		}
	}
	if err := json.Unmarshal([]byte(raw), &run); err != nil {
		t.Fatal(err)
	}
	kept, _ := json.Marshal(run.Stages[len(run.Stages)-1].Outputs["verdicts"])
	if !strings.Contains(string(kept), `"decision":"Pass"`) || !strings.Contains(string(kept), `"canaryValues"`) {
		t.Errorf("kept: %s", kept)
	}
}
