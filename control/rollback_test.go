package control

import (
	"context"
	"strings"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/cloud/cloudtest/memcloud"
	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/store/record"
)

// one is the account "local" alone.
type one struct{ account *cloud.Account }

func (o one) Account(string) (*cloud.Account, error) { return o.account, nil }
func (o one) Names() []string                        { return []string{"local"} }

// held says that an execution changes a cluster in one region.
type held struct{ execution, region string }

func (h held) Holder(_ context.Context, _, _ string, regions []string) (string, string, error) {
	for _, r := range regions {
		if r == h.region {
			return h.execution, r, nil
		}
	}
	return "", "", nil
}

// started is an engine that keeps what it is asked to start.
type started struct {
	Engine
	requests []execution.StartRequest
	pipeline string // of any execution
}

func (s *started) Start(_ context.Context, r execution.StartRequest) (execution.Execution, bool, error) {
	s.requests = append(s.requests, r)
	return execution.Execution{}, true, nil
}

// List has what was started, as the executions of a cluster's rollbacks.
func (s *started) List(context.Context, execution.Query) (execution.Page, error) {
	var page execution.Page
	for _, r := range s.requests {
		page.Executions = append(page.Executions, execution.Execution{ID: "earlier", TriggerID: r.TriggerID, EventID: r.EventID})
	}
	return page, nil
}

func (s *started) Get(context.Context, string) (execution.Execution, error) {
	return execution.Execution{Pipeline: s.pipeline}, nil
}

// A rollback while a deployment changes the cluster is refused with what to do
// instead, and the preview says so too; one in other regions is not, nor one that
// is asked for again.
func TestARollbackIsRefusedWhileADeploymentIsUnderWay(t *testing.T) {
	m := memcloud.New(memcloud.Config{Regions: []string{"a", "b"}})
	keep(t, m, "a", "1", "2")
	keep(t, m, "b", "1", "2")
	for name, tt := range map[string]struct {
		regions  []string
		pipeline string
		refused  bool
	}{
		"everywhere":   {nil, "release", true},
		"there":        {[]string{"a"}, "release", true},
		"elsewhere":    {[]string{"b"}, "release", false},
		"asked again":  {nil, RollbackPipeline, false},
		"its own name": {[]string{"a"}, RollbackPipeline, false},
	} {
		engine := &started{pipeline: tt.pipeline}
		s := New(Deps{Engine: engine, Accounts: one{cloud.NewAccount("local", m, cloud.Options{})}, Claims: held{"e-1", "a"}, Records: noEvents{}, Now: time.Now})
		r := RollbackRequest{Cluster: "shop", Regions: tt.regions}
		_, err := s.Rollback(t.Context(), owner, r)
		if code := problem.CodeOf(err); (code == problem.Conflict) != tt.refused || err != nil && code != problem.Conflict || (len(engine.requests) == 0) != tt.refused {
			t.Errorf("%s: %v, %d started", name, err, len(engine.requests))
		}
		if tt.refused && !strings.Contains(problem.HelpOf(err), "executions cancel e-1") {
			t.Errorf("%s: help is %q", name, problem.HelpOf(err))
		}
		_, refused, err := s.PreviewRollback(t.Context(), owner, r)
		if err != nil || strings.Contains(refused, "e-1 is changing shop in a") != tt.refused {
			t.Errorf("%s: the preview says %q, %v", name, refused, err)
		}
	}
}

// keep makes server groups of the cluster shop in a region, one for each version. The
// last version has the traffic.
func keep(t *testing.T, m *memcloud.Cloud, region string, versions ...string) {
	t.Helper()
	for i, version := range versions {
		spec := cloud.ServerGroupSpec{Cluster: "shop", Version: version, Workload: cloud.Workload{Process: &cloud.Process{Artifact: "sha256:1", Command: []string{"./shop"}}}, Health: pipeline.Health{Path: "/"}, Capacity: pipeline.Capacity{Desired: 1}}
		if i == len(versions)-1 {
			spec.Weight = 100
		}
		if _, err := m.CreateServerGroup(t.Context(), region, spec, region+version); err != nil {
			t.Fatal(err)
		}
	}
}

// What is not kept is refused before anything is started, with the versions that are.
func TestARollbackToWhatIsNotKeptStartsNothing(t *testing.T) {
	m := memcloud.New(memcloud.Config{Regions: []string{"a", "b", "empty"}})
	keep(t, m, "b", "first")
	keep(t, m, "a", "first", "second")
	for name, tt := range map[string]struct {
		r          RollbackRequest
		code       problem.Code
		says, help string
	}{
		"unknown":         {RollbackRequest{To: "v9"}, problem.NotFound, `cluster shop keeps no version "v9" in a, b`, "shop-v000 (first) in a, b"},
		"a typo":          {RollbackRequest{To: "frist"}, problem.NotFound, `no version "frist"`, "did you mean first?"},
		"in one region":   {RollbackRequest{To: "second"}, problem.Precondition, `keeps version "second" in a, and not in b`, "--region a"},
		"nothing earlier": {RollbackRequest{Regions: []string{"b"}}, problem.Precondition, "keeps no earlier version in b", "at that commit"},
		"not there":       {RollbackRequest{Regions: []string{"empty"}}, problem.NotFound, "cluster shop is not in empty", "it is in a, b"},
		"kept":            {RollbackRequest{To: "second", Regions: []string{"a"}}, "", "", ""},
		"by group":        {RollbackRequest{To: "shop-v000"}, "", "", ""},
		"the one before":  {RollbackRequest{}, "", "", ""},
	} {
		engine := &started{pipeline: "release"}
		s := New(Deps{Engine: engine, Accounts: one{cloud.NewAccount("local", m, cloud.Options{})}, Records: noEvents{}, Now: time.Now})
		tt.r.Cluster, tt.r.Key = "shop", "k"
		_, err := s.Rollback(t.Context(), owner, tt.r)
		if problem.CodeOf(err) != tt.code || (len(engine.requests) == 0) != (tt.code != "") {
			t.Errorf("%s: %v, %d started", name, err, len(engine.requests))
		}
		if err != nil && (!strings.Contains(err.Error(), tt.says) || !strings.Contains(problem.HelpOf(err), tt.help)) {
			t.Errorf("%s: %v (%s)", name, err, problem.HelpOf(err))
		}
		_, refused, err := s.PreviewRollback(t.Context(), owner, tt.r)
		if err != nil || !strings.Contains(refused, tt.says) || (refused == "") != (tt.code == "") {
			t.Errorf("%s: the preview says %q, %v", name, refused, err)
		}
	}
}

// A rollback that is asked for again after it was carried out, when nothing earlier is
// left, is the same rollback.
func TestARollbackAskedForAgainIsTheSame(t *testing.T) {
	m := memcloud.New(memcloud.Config{Regions: []string{"a"}})
	keep(t, m, "a", "1")
	engine := &started{requests: []execution.StartRequest{{TriggerID: "rollback/shop", EventID: "k"}}}
	s := New(Deps{Engine: engine, Accounts: one{cloud.NewAccount("local", m, cloud.Options{})}, Records: noEvents{}, Now: time.Now})
	if e, err := s.Rollback(t.Context(), owner, RollbackRequest{Cluster: "shop", Key: "k"}); err != nil || e.ID != "earlier" {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := s.Rollback(t.Context(), owner, RollbackRequest{Cluster: "shop", Key: "another"}); problem.CodeOf(err) != problem.Precondition {
		t.Errorf("another request: %v", err)
	}
}

// noEvents is records whose audit events go nowhere.
type noEvents struct{ Records }

func (noEvents) AppendEvents(context.Context, ...record.Event) error { return nil }

// What a website's rollback would do is said by region, as its stage chooses.
func TestWhatASiteRollbackWouldDo(t *testing.T) {
	older := cloud.SiteDeployment{ID: "d0", Version: "0123456789", Execution: "e0"}
	now := cloud.SiteDeployment{ID: "d1", Version: "abc", Current: true, Previous: "d0"}
	first := cloud.SiteDeployment{ID: "d1", Version: "abc", Current: true}
	for name, tt := range map[string]struct {
		history []cloud.SiteDeployment
		to      string
		want    string
		ok      bool
	}{
		"the one before": {[]cloud.SiteDeployment{now, older}, "", "serves d0 (0123456789) in place of d1 (abc), at once", true},
		"by commit":      {[]cloud.SiteDeployment{now, older}, "0123456", "serves d0 (0123456789) in place of d1 (abc), at once", true},
		"by run":         {[]cloud.SiteDeployment{now, older}, "e0", "serves d0 (0123456789) in place of d1 (abc), at once", true},
		"the current":    {[]cloud.SiteDeployment{now, older}, "d1", "serves d1 (abc) already", true},
		"unknown":        {[]cloud.SiteDeployment{now, older}, "012", "keeps nothing to return to, and goes on serving d1 (abc)", false},
		"the first":      {[]cloud.SiteDeployment{first}, "", "keeps nothing to return to, and goes on serving d1 (abc)", false},
		"not served":     {[]cloud.SiteDeployment{older}, "d0", "serves d0 (0123456789), at once", true},
		"nothing":        {nil, "", "serves nothing of it", false},
	} {
		if line, ok := returningSite(tt.history, tt.to); line != tt.want || ok != tt.ok {
			t.Errorf("%s: %q, %t", name, line, ok)
		}
	}
}
