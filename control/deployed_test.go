package control

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/store/record"
	"showrunner/store/record/recordtest"
)

// history is an engine whose executions and events a test makes.
type history struct {
	Engine
	executions map[string]*execution.Execution
	log        []record.Event
	now        time.Time
}

func newHistory() *history {
	return &history{executions: map[string]*execution.Execution{}, now: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)}
}

func (h *history) Get(_ context.Context, id string) (execution.Execution, error) {
	e, ok := h.executions[id]
	if !ok {
		return execution.Execution{}, problem.New(problem.NotFound, "execution.get", "there is no execution %q", id)
	}
	x := *e
	x.Stages = slices.Clone(e.Stages)
	return x, nil
}

func (h *history) List(_ context.Context, q execution.Query) (execution.Page, error) {
	var page execution.Page
	for _, e := range h.executions {
		if len(q.Statuses) == 0 || slices.Contains(q.Statuses, e.Status) {
			page.Executions = append(page.Executions, *e)
		}
	}
	return page, nil
}

func (h *history) Events(_ context.Context, from int64, f record.Filter, limit int) (record.Slice, error) {
	s := record.Slice{Next: int64(len(h.log))}
	for _, e := range h.log[min(from, int64(len(h.log))):] {
		if f.Match(e) {
			s.Events = append(s.Events, e)
			if len(s.Events) == limit {
				s.Next = e.Position
				break
			}
		}
	}
	s.Next = max(s.Next, from)
	return s, nil
}

func (h *history) End(context.Context) (int64, error) { return int64(len(h.log)), nil }

func (h *history) Restart(_ context.Context, id, stageName, _ string) error {
	st := &h.executions[id].Stages[0]
	*st = execution.StageState{Name: st.Name, Kind: st.Kind, Status: execution.NotStarted, Attempt: st.Attempt}
	return nil
}

// start begins an execution with one stage.
func (h *history) start(id, kind string) {
	h.now = h.now.Add(time.Second)
	h.executions[id] = &execution.Execution{ID: id, Application: "shop", Pipeline: "release", Created: h.now, Status: execution.Running,
		Stages: []execution.StageState{{Name: "s", Kind: kind, Status: execution.Running, Attempt: 1}}}
}

// end ends its stage, with outputs or without.
func (h *history) end(id string, status execution.Status, outputs map[string]any) {
	h.now = h.now.Add(time.Second)
	e := h.executions[id]
	st := &e.Stages[0]
	at := h.now
	st.Status, st.Outputs, st.Ended = status, outputs, &at
	typ := "stage.succeeded"
	if status != execution.Succeeded {
		typ = "stage.failed"
	}
	data, _ := json.Marshal(map[string]any{"attempt": st.Attempt, "kind": st.Kind})
	h.log = append(h.log, record.Event{Position: int64(len(h.log) + 1), Type: typ, Execution: id, Stage: "s", Data: data})
}

func (h *history) group(id string, regions ...string) map[string]any {
	groups, capacity := map[string]any{}, map[string]any{}
	for _, r := range regions {
		groups[r] = "shop-" + id
		capacity[r] = pipeline.Capacity{Desired: 1}
	}
	return map[string]any{"cluster": "shop", "account": "local", "version": "v-" + id, "strategy": "red-black", "serverGroups": groups, "capacity": capacity}
}

func deployedGroups(t interface{ Fatal(...any) }, s *Service) map[string]string {
	list, err := s.deployed(context.Background(), KindCluster, "local", "shop")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, d := range list {
		got[d.Region] = d.ServerGroup
	}
	return got
}

// What counts is what was put into traffic last and finished, in whatever order
// executions started, ended, failed, were restarted and rolled back, however often
// control planes are started anew and whichever of two reads the log.
func TestWhatWasPutIntoTrafficLastCounts(t *testing.T) {
	regions := []string{"a", "b"}
	rapid.Check(t, func(t *rapid.T) {
		h, records := newHistory(), &recordtest.Records{}
		plane := func() *Service { return New(Deps{Engine: h, Records: records, Now: func() time.Time { return h.now }}) }
		planes := []*Service{plane(), plane()}
		if err := planes[0].readDeployed(context.Background()); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		var open, ended []string
		n := 0
		pick := func(list []string) string { return rapid.SampledFrom(list).Draw(t, "which") }
		t.Repeat(map[string]func(*rapid.T){
			"start": func(t *rapid.T) {
				n++
				id := fmt.Sprint("e", n)
				h.start(id, rapid.SampledFrom([]string{"deploy", "rollback"}).Draw(t, "kind"))
				open = append(open, id)
			},
			"succeed": func(t *rapid.T) {
				if len(open) == 0 {
					t.Skip("nothing to do it with")
				}
				id := pick(open)
				in := regions[:rapid.IntRange(1, 2).Draw(t, "regions")]
				h.end(id, execution.Succeeded, h.group(id, in...))
				for _, r := range in {
					want[r] = "shop-" + id
				}
				open, ended = slices.DeleteFunc(open, func(x string) bool { return x == id }), append(ended, id)
			},
			"fail and undo": func(t *rapid.T) {
				if len(open) == 0 {
					t.Skip("nothing to do it with")
				}
				id := pick(open)
				h.end(id, execution.Terminal, nil)
				open, ended = slices.DeleteFunc(open, func(x string) bool { return x == id }), append(ended, id)
			},
			"roll back where regions answer": func(t *rapid.T) {
				if len(open) == 0 {
					t.Skip("nothing to do it with")
				}
				id := pick(open)
				h.end(id, execution.Terminal, h.group(id, "a"))
				want["a"] = "shop-" + id
				open, ended = slices.DeleteFunc(open, func(x string) bool { return x == id }), append(ended, id)
			},
			"restart": func(t *rapid.T) {
				if len(ended) == 0 {
					t.Skip("nothing to do it with")
				}
				id := pick(ended)
				if err := planes[rapid.IntRange(0, 1).Draw(t, "plane")].Restart(context.Background(), owner, id, "s"); err != nil {
					t.Fatal(err)
				}
				h.executions[id].Stages[0].Attempt++
				h.executions[id].Stages[0].Status = execution.Running
				ended, open = slices.DeleteFunc(ended, func(x string) bool { return x == id }), append(open, id)
			},
			"read": func(t *rapid.T) {
				if err := planes[rapid.IntRange(0, 1).Draw(t, "plane")].readDeployed(context.Background()); err != nil {
					t.Fatal(err)
				}
			},
			"die": func(t *rapid.T) { planes[rapid.IntRange(0, 1).Draw(t, "plane")] = plane() },
		})
		for _, p := range planes {
			if err := p.readDeployed(context.Background()); err != nil {
				t.Fatal(err)
			}
			if got := deployedGroups(t, p); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("expected %v, kept %v", want, got)
			}
		}
	})
}

// A control plane that has kept nothing yet finds what was deployed in its
// executions, by when their stages ended.
func TestWhatWasDeployedBeforeAnythingWasKept(t *testing.T) {
	h := newHistory()
	for _, id := range []string{"older", "newer"} {
		h.start(id, "deploy")
	}
	h.end("newer", execution.Succeeded, h.group("newer", "a", "b"))
	h.end("older", execution.Succeeded, h.group("older", "a")) // approved later
	s := New(Deps{Engine: h, Records: &recordtest.Records{}, Now: time.Now})
	if err := s.readDeployed(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := deployedGroups(t, s); got["a"] != "shop-older" || got["b"] != "shop-newer" {
		t.Errorf("%v", got)
	}
}

// A restart runs the stage again and what needs it, by way of others too, and nothing beside it.
func TestWhatARestartRunsAgain(t *testing.T) {
	h := newHistory()
	h.start("e1", "git")
	e := h.executions["e1"]
	e.Definition = &pipeline.Pipeline{Stages: []pipeline.Stage{{Name: "s", Kind: "git"}, {Name: "build", Kind: "build", Needs: []string{"s"}}, {Name: "lint", Kind: "run", Needs: []string{"s"}},
		{Name: "service", Kind: "deploy", Needs: []string{"build"}, With: []byte(`{"cluster":"shop"}`)}}}
	e.Stages = []execution.StageState{{Name: "s", Kind: "git"}, {Name: "build", Kind: "build"}, {Name: "lint", Kind: "run"}, {Name: "service", Kind: "deploy"}}
	s := New(Deps{Engine: h, Records: &recordtest.Records{}, Now: time.Now})
	if _, err := s.PlanRestart(t.Context(), owner, "e1", "build"); problem.CodeOf(err) != problem.Precondition {
		t.Errorf("one that runs: %v", err)
	}
	e.Status = execution.Terminal
	plan, err := s.PlanRestart(t.Context(), owner, "e1", "build")
	if err != nil || fmt.Sprint(plan.Stages) != "[{build build   } {service deploy  shop }]" {
		t.Errorf("%v, %v", plan, err)
	}
	if _, err := s.PlanRestart(t.Context(), owner, "e1", "none"); problem.CodeOf(err) != problem.NotFound {
		t.Errorf("a stage that is none: %v", err)
	}
}

// Who approves sees the commit, what follows and what is live there, and is warned
// when a later run has put something newer there.
func TestReviewOfAnApproval(t *testing.T) {
	h := newHistory()
	h.start("older", "approval")
	e := h.executions["older"]
	e.Revision = &execution.Revision{Commit: "4f1c2ab9", Message: "Say it"}
	e.Definition = &pipeline.Pipeline{Stages: []pipeline.Stage{{Name: "s", Kind: "approval"}, {Name: "site", Kind: "deploy-site", Needs: []string{"s"}, With: []byte(`{"site":"shop","artifact":"${{ stages.none.outputs.x }}"}`)}}}
	h.start("newer", "deploy-site")
	h.end("newer", execution.Succeeded, map[string]any{"site": "shop", "account": "local", "deployment": "d1", "version": "v2", "regions": []string{"a"}})
	s := New(Deps{Engine: h, Records: &recordtest.Records{}, Now: time.Now, FreezeWatch: NewFreezeWatch(nil, time.Now)})
	r, err := s.ReviewApproval(t.Context(), owner, "older", "s")
	if err != nil || r.Revision.Commit != "4f1c2ab9" || len(r.Next) != 1 || r.Next[0].Target != "shop" || len(r.Next[0].Live) != 1 || r.Next[0].Live[0].Version != "v2" {
		t.Fatalf("%+v, %v", r, err)
	}
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "approving brings the older version back") {
		t.Errorf("%q", r.Warnings)
	}
	h.executions["newer"].Created = e.Created.Add(-time.Hour)
	if r, err = s.ReviewApproval(t.Context(), owner, "older", "s"); err != nil || len(r.Warnings) != 0 {
		t.Errorf("%q, %v", r.Warnings, err)
	}
}
