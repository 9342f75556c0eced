package figures

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
)

// history is executions, oldest first.
type history []execution.Execution

func (h history) Get(_ context.Context, id string) (execution.Execution, error) {
	i := slices.IndexFunc(h, func(e execution.Execution) bool { return e.ID == id })
	if i < 0 {
		return execution.Execution{}, problem.New(problem.NotFound, "test", "no %s", id)
	}
	return h[i], nil
}

func (h history) List(_ context.Context, q execution.Query) (page execution.Page, err error) {
	for _, e := range slices.Backward(h) {
		if q.Application == e.Application && q.Pipeline == e.Pipeline && e.Created.Before(q.Until) || slices.Contains(q.Statuses, e.Status) {
			e.Stages = nil
			page.Executions = append(page.Executions, e)
		}
	}
	return page, nil
}

func (h history) Follow(context.Context, int64, record.Filter) <-chan record.Slice {
	out := make(chan record.Slice, 1)
	s := record.Slice{}
	for _, e := range h {
		s.Events = append(s.Events, record.Event{Execution: e.ID})
	}
	out <- s
	close(out)
	return out
}

func (history) End(context.Context) (int64, error) { return 0, nil }

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// deployed is a run of the pipeline that deploys, a minute long.
func deployed(id string, minute int, status execution.Status) execution.Execution {
	created := noon.Add(time.Duration(minute) * time.Minute)
	started, ended := created.Add(10*time.Second), created.Add(time.Minute)
	return execution.Execution{ID: id, Application: "shop", Pipeline: "release", Status: status, Created: created, Started: &started, Ended: &ended,
		Stages: []execution.StageState{
			{Name: "source", Kind: "git", Status: execution.Succeeded, Started: &started, Ended: &started, Outputs: map[string]any{"date": created.Add(-time.Hour).Format(time.RFC3339)}},
			{Name: "service", Kind: "deploy", Status: status, Started: &started, Ended: &ended, Outputs: map[string]any{"verdicts": map[string]any{"us-west-2": map[string]any{"verdict": map[string]any{"decision": "pass"}}}}},
		}}
}

// The four figures: a failure counts as one, the time to restore begins with the first
// of several failures in a row, canceled runs and runs that deploy nothing are neither.
func TestTheFourFigures(t *testing.T) {
	plain := deployed("plain", 3, execution.Terminal)
	plain.Stages = plain.Stages[:1]
	h := history{deployed("one", 0, execution.Succeeded), deployed("two", 10, execution.Terminal), deployed("gone", 20, execution.Canceled), deployed("three", 30, execution.Terminal), plain, deployed("four", 40, execution.Succeeded)}
	slices.SortFunc(h, func(a, b execution.Execution) int { return a.Created.Compare(b.Created) })
	r := prometheus.NewRegistry()
	f := New(h, r, slog.New(slog.DiscardHandler))
	for slice := range h.Follow(t.Context(), 0, record.Filter{}) {
		for _, e := range slice.Events {
			if err := f.take(t.Context(), e.Execution); err != nil {
				t.Fatal(err)
			}
		}
	}
	const want = `
# HELP showrunner_control_deployments_total Executions with a deployment, which is deployment frequency; the share of failed ones is the change failure rate.
# TYPE showrunner_control_deployments_total counter
showrunner_control_deployments_total{application="shop",outcome="failed"} 2
showrunner_control_deployments_total{application="shop",outcome="succeeded"} 2
# HELP showrunner_control_executions Executions that have not ended, at most 500 of each status.
# TYPE showrunner_control_executions gauge
showrunner_control_executions{status="NotStarted"} 0
showrunner_control_executions{status="Paused"} 0
showrunner_control_executions{status="Running"} 0
# HELP showrunner_control_verdicts_total Verdicts of canaries' judges, one for each region.
# TYPE showrunner_control_verdicts_total counter
showrunner_control_verdicts_total{application="shop",decision="pass"} 5
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "showrunner_control_deployments_total", "showrunner_control_executions", "showrunner_control_verdicts_total"); err != nil {
		t.Error(err)
	}
	sums := map[string]float64{}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.Metric {
			sums[family.GetName()] += m.GetHistogram().GetSampleSum()
		}
	}
	if got, want := sums["showrunner_control_restore_seconds"], (30 * time.Minute).Seconds(); got != want {
		t.Errorf("time to restore is %v s, want %v", got, want)
	}
	if got, want := sums["showrunner_control_lead_time_seconds"], 2*(61*time.Minute).Seconds(); got != want {
		t.Errorf("lead time is %v s, want %v", got, want)
	}
	if got := sums["showrunner_control_execution_queue_seconds"]; got != 60 {
		t.Errorf("queues are %v s, want 60", got)
	}
}
