package control

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"showrunner/chaos/experiment"
	"showrunner/chaos/gameday"
	"showrunner/problem"
)

const toolkitJournal = `{"chaoslib-version":"1","status":%q,"deviated":%v,"start":"2026-12-01T08:00:00.000000","experiment":{"title":"t","secrets":{"a":{"b":"hidden-value"}},
"method":[{"type":"action","name":"one"},{"type":"probe","name":"two"}]},
"steady_states":{"before":{"steady_state_met":true,"probes":[{"activity":{"name":"page","type":"probe"},"output":{"status":200,"body":"long"},"status":"succeeded","tolerance_met":true,"start":"2026-12-01T08:00:00.000000","end":"2026-12-01T08:00:00.100000"}]},"after":null,"during":[]},
"run":[{"activity":{"name":"one","type":"action","arguments":{"password":"hidden-value"}},"output":null,"status":"failed","exception":["Traceback\n","boom\n"],"start":"2026-12-01T08:00:01.000000","end":"2026-12-01T08:00:02.000000"}],"rollbacks":[]}`

// TestJournalsOfOthersAreKept: the journal of a run that a command carries out is beside
// those of own experiments, its end can be asked for, and it is not undone here. What has
// ended stays; what reports nothing for long is said to be interrupted, until it reports.
func TestJournalsOfOthersAreKept(t *testing.T) {
	t.Parallel()
	st := newRunStage(t)
	at := time.Date(2026, 12, 1, 8, 0, 5, 0, time.UTC)
	st.Now = func() time.Time { return at }
	send := func(id, status string) experiment.Run {
		t.Helper()
		run, err := st.RecordJournal(t.Context(), ada, id, fmt.Appendf(nil, toolkitJournal, status, false))
		if err != nil {
			t.Fatal(err)
		}
		return run
	}
	run := send("tk-1", "running")
	if run.Status != experiment.Running || run.Format != experiment.ChaosToolkit || run.By != ada.Name || len(run.Before) != 1 || run.Before[0].Wrong != "" || len(run.Actions) != 2 || run.Actions[0].State != experiment.Broken || run.Actions[0].What != "boom" || run.Actions[1].State != experiment.Waiting {
		t.Errorf("%+v", run)
	}
	if text, _ := json.Marshal(run); strings.Contains(string(text), "hidden-value") {
		t.Errorf("a secret is kept: %s", text)
	}
	if err := st.experimentsTurn(t.Context(), func(func()) { t.Error("it is carried out here") }); err != nil {
		t.Fatal(err)
	}
	if _, err := st.StopExperiment(t.Context(), ada, "tk-1"); err != nil {
		t.Fatal(err)
	}
	if run = send("tk-1", "running"); run.StopAsked != ada.Name {
		t.Errorf("its command is not told: %+v", run)
	}
	at = at.Add(reportedWithin + time.Second)
	if err := st.experimentsTurn(t.Context(), func(func()) {}); err != nil {
		t.Fatal(err)
	}
	if run, _ = st.Experiment(t.Context(), ada, "tk-1"); run.Status != experiment.Interrupted || !strings.Contains(run.Reason, "rollback JOURNAL") || run.Actions[1].State != experiment.Skipped {
		t.Errorf("%+v", run)
	}
	if run = send("tk-1", "completed"); run.Status != experiment.Completed || run.Actions[1].State != experiment.Skipped {
		t.Errorf("%+v", run)
	}
	if run = send("tk-1", "failed"); run.Status != experiment.Completed {
		t.Errorf("a run that had ended changed: %+v", run)
	}
	for _, bad := range []struct {
		id, journal string
		code        problem.Code
	}{{"../x", "{}", problem.Invalid}, {"x", "[", problem.Invalid}, {"x", `{"status":"running"}`, problem.Invalid}} {
		if _, err := st.RecordJournal(t.Context(), ada, bad.id, []byte(bad.journal)); problem.CodeOf(err) != bad.code {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	own := st.start(slowed("1h", ""))
	if _, err := st.RecordJournal(t.Context(), ada, own.ID, fmt.Appendf(nil, toolkitJournal, "running", false)); problem.CodeOf(err) != problem.Conflict {
		t.Errorf("an own run is overwritten: %v", err)
	}
}

// TestAPlanSaysWhatARunDoes: and how the steady state is now, and why nothing would be
// begun; it begins nothing. A query that is none is found with its line.
func TestAPlanSaysWhatARunDoes(t *testing.T) {
	t.Parallel()
	st := newRunStage(t)
	source := strings.ReplaceAll(slowed("2m", ""), "PAGE", st.page.URL)
	st.status.Store(500)
	plan, err := st.PlanExperiment(t.Context(), ada, source)
	if err != nil {
		t.Fatal(err)
	}
	if plan.Held != "" || plan.Lasts != "2m" || !strings.Contains(plan.SteadyState[0].Wrong, "500") || plan.Actions[0].Does != "latency 5ms on shop-web in a for 2m" || len(plan.Actions[1].After) != 1 || len(plan.Rollbacks) != 3 {
		t.Errorf("%+v", plan)
	}
	if list, err := st.Experiments(t.Context(), ada); err != nil || len(list) > 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := st.StopChaos(t.Context(), ada, "incident"); err != nil {
		t.Fatal(err)
	}
	if plan, err = st.PlanExperiment(t.Context(), ada, source); err != nil || !strings.Contains(plan.Held, "incident") {
		t.Errorf("%+v, %v", plan, err)
	}
	st.CheckQuery = func(string) error { return fmt.Errorf("unexpected end of input") }
	if _, err = st.PlanExperiment(t.Context(), ada, "experiment: x\nsteadyState:\n  - { promql: 'sum(', below: 1 }\nmethod: [{ wait: 1s }]\n"); problem.CodeOf(err) != problem.Invalid || !strings.Contains(err.Error(), "line 3") {
		t.Error(err)
	}
}

// TestReportsOfGameDaysAreKept: the newest hundred, each with its summary.
func TestReportsOfGameDaysAreKept(t *testing.T) {
	t.Parallel()
	st := newRunStage(t)
	began := time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)
	for i := range gamedaysKept + 3 {
		r := gameday.Report{Settings: gameday.Settings{Seed: uint64(i)}, Began: began.Add(time.Duration(i) * time.Minute), Events: []gameday.Happened{{What: "i-1"}}}
		for range 2 { // the same again is the same
			if _, err := st.RecordGameday(t.Context(), ada, r); err != nil {
				t.Fatal(err)
			}
		}
	}
	list, err := st.Gamedays(t.Context(), ada)
	if err != nil || len(list) != gamedaysKept || list[0].Seed != gamedaysKept+2 || list[0].By != ada.Name || list[0].Events != 1 {
		t.Fatalf("%d, %+v, %v", len(list), list[0], err)
	}
	if r, err := st.Gameday(t.Context(), ada, list[0].ID); err != nil || len(r.Events) != 1 || r.Seed != list[0].Seed {
		t.Errorf("%+v, %v", r, err)
	}
	first := gameday.Report{Began: began}
	if _, err := st.Gameday(t.Context(), ada, first.ID()); problem.CodeOf(err) != problem.NotFound {
		t.Error(err)
	}
	if _, err := st.RecordGameday(t.Context(), ada, gameday.Report{}); problem.CodeOf(err) != problem.Invalid {
		t.Error(err)
	}
}
