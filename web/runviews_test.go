package web

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/stage"
)

// A waterfall tells when a stage waited from when it worked, and keeps earlier attempts.
func TestAWaterfallTellsWaitingFromWorking(t *testing.T) {
	t.Parallel()
	at := func(s int) *time.Time { return new(now.Add(time.Duration(s) * time.Second)) }
	e := execution.Execution{Created: now, Started: at(0), Definition: &pipeline.Pipeline{Stages: []pipeline.Stage{{Name: "build"}, {Name: "late", Needs: []string{"build"}}, {Name: "never", Needs: []string{"late"}}}},
		Stages: []execution.StageState{
			{Name: "late", Status: execution.Running, Attempt: 1, Started: at(50)},
			{Name: "build", Status: execution.Succeeded, Attempt: 2, Started: at(10), Ended: at(25), History: []execution.Attempt{{Attempt: 1, Status: execution.Terminal, Started: at(0), Ended: at(5)}}},
			{Name: "never", Status: execution.NotStarted}}}
	w := waterfallOf(e, *at(100))
	if len(w.Rows) != 2 || w.Rows[0].Name != "build" || w.Rows[1].Name != "late" {
		t.Fatalf("rows %+v", w.Rows)
	}
	var got []string
	for _, r := range w.Rows {
		for _, b := range r.Bars {
			got = append(got, b.Class+" "+strconv.Itoa(b.X)+" "+strconv.Itoa(b.W))
		}
	}
	if want := "fail 0 32, ok 64 96, queue 160 160, run 320 320"; strings.Join(got, ", ") != want {
		t.Errorf("%s, want %s", strings.Join(got, ", "), want)
	}
	if w := waterfallOf(execution.Execution{Created: now}, now); len(w.Rows) != 0 {
		t.Errorf("a run that has not begun: %+v", w)
	}
}

// What canceling does is said stage by stage, and it is refused where it does nothing.
func TestCancelingSaysWhatItDoes(t *testing.T) {
	t.Parallel()
	e := execution.Execution{Status: execution.Running, Stages: []execution.StageState{
		{Name: "build", Kind: "build", Status: execution.Succeeded, Attempt: 1}, {Name: "canary", Kind: "deploy", Status: execution.Running, Attempt: 1}, {Name: "ask", Kind: "approval", Status: execution.Running, Attempt: 1}, {Name: "next", Kind: "deploy"}}}
	v := endingOf(e)
	if said := strings.Join(v.Lines, "\n"); !v.Undoes || v.Refused != "" || !strings.Contains(said, "canary: the rollout is undone") || !strings.Contains(said, "ask: nobody is asked") || !strings.Contains(said, "1 stage that has not begun") || strings.Contains(said, "build:") {
		t.Errorf("undoes %t, refused %q:\n%s", v.Undoes, v.Refused, said)
	}
	e.Status = execution.Succeeded
	if endingOf(e).Refused == "" {
		t.Error("a run that has ended can be canceled")
	}
	e.Status, e.Canceling = execution.Running, &execution.Cancellation{}
	if endingOf(e).Refused == "" {
		t.Error("it can be canceled twice")
	}
}

// In the middle of a canary there is nothing to roll back to by itself, and the page says
// what puts it back; once it has succeeded there is.
func TestARollbackIsOfferedWhereItCanBe(t *testing.T) {
	t.Parallel()
	e := execution.Execution{Definition: &pipeline.Pipeline{Stages: []pipeline.Stage{
		{Name: "a", Kind: "deploy", With: []byte(`{"cluster":"shop"}`)}, {Name: "b", Kind: "deploy", With: []byte(`{"cluster":"shop"}`)}, {Name: "c", Kind: "deploy-site", With: []byte(`{"site":"web","account":"other"}`)},
		{Name: "d", Kind: "deploy", With: []byte(`{"cluster":"${{ parameters.where }}"}`)}, {Name: "e", Kind: "deploy", With: []byte(`{"cluster":"later"}`)}}},
		Stages: []execution.StageState{{Name: "a", Status: execution.Running, Attempt: 1}, {Name: "b", Status: execution.Running, Attempt: 1}, {Name: "c", Status: execution.Succeeded, Attempt: 1}, {Name: "d", Status: execution.Succeeded, Attempt: 1}, {Name: "e"}}}
	list := rollbackTargets(e)
	if len(list) != 2 || !strings.Contains(list[0].Disabled, "under way") || list[1] != (rollbackTarget{"web", "/sites/web/rollback?account=other", ""}) {
		t.Errorf("%+v", list)
	}
	// What was not put back can be; a canceled deployment of a site leaves the regions that it had switched.
	for _, c := range []struct {
		kind   string
		status execution.Status
		undone []string
		free   bool
	}{
		{"deploy", execution.Canceled, nil, false}, {"deploy-site", execution.Canceled, nil, true}, {"deploy-site", execution.Terminal, nil, true},
		{"deploy", execution.Terminal, []string{"a is as before"}, false}, {"deploy-site", execution.Terminal, []string{"a is as before"}, false}, {"deploy", execution.Terminal, nil, true},
	} {
		e := execution.Execution{Definition: &pipeline.Pipeline{Stages: []pipeline.Stage{{Name: "a", Kind: c.kind, With: []byte(`{"cluster":"shop","site":"shop"}`)}}}, Stages: []execution.StageState{{Name: "a", Status: c.status, Attempt: 1}}}
		if c.status == execution.Terminal {
			e.Stages[0].Failure = &stage.Failure{Undone: c.undone}
		}
		if list := rollbackTargets(e); len(list) != 1 || (list[0].Disabled == "") != c.free {
			t.Errorf("%s %s, undone %v: %+v", c.kind, c.status, c.undone, list)
		}
	}
}

var (
	numbers = regexp.MustCompile(`\d+`)
	laneOf  = regexp.MustCompile(` (\d+) H\d+`) // where it turns: first out of its stage, then into its lane
)

// No edge passes behind a stage: it stays in the gap between two columns, or goes round
// below every stage.
func TestNoEdgePassesBehindAStage(t *testing.T) {
	t.Parallel()
	def := pipeline.Pipeline{Stages: []pipeline.Stage{{Name: "a"}, {Name: "b", Needs: []string{"a"}}, {Name: "c", Needs: []string{"b"}}, {Name: "d", Needs: []string{"a", "c"}}, {Name: "e", Needs: []string{"a"}}, {Name: "f", Needs: []string{"d", "e", "a"}}}}
	g := graphOf(execution.Execution{Definition: &def})
	bottom := 0
	for _, n := range g.Nodes {
		bottom = max(bottom, n.Y+n.H)
	}
	around := 0
	for _, e := range g.Edges {
		var v []int
		for _, s := range numbers.FindAllString(e.Path, -1) {
			n, _ := strconv.Atoi(s)
			v = append(v, n)
		}
		if !strings.Contains(e.Path, "H") {
			if from, to := v[0], v[len(v)-2]; to-from != gapX {
				t.Errorf("%s leaves its gap", e.Path)
			}
			continue
		}
		around++
		lane, _ := strconv.Atoi(laneOf.FindAllStringSubmatch(e.Path, 2)[1][1])
		if lane <= bottom || lane > g.Height {
			t.Errorf("%s does not go round below %d, within %d", e.Path, bottom, g.Height)
		}
	}
	if around != 3 {
		t.Errorf("%d edges go round, want 3 of %d", around, len(g.Edges))
	}
}
