package web

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"showrunner/api"
	"showrunner/control"
	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// askingControl has one execution with an approval that waits and a stage that failed.
type askingControl struct {
	Control
	review error
}

func (askingControl) Execution(context.Context, control.Principal, string) (execution.Execution, error) {
	return execution.Execution{ID: "ex1", Application: "shop", Pipeline: "release", Number: 7, Status: execution.Terminal,
		Definition: &pipeline.Pipeline{Stages: []pipeline.Stage{{Name: "ask", Kind: "approval"}, {Name: "build", Kind: "build"}}},
		Stages: []execution.StageState{
			{Name: "ask", Kind: "approval", Status: execution.Running, Activity: execution.WaitingForApproval, Attempt: 1},
			{Name: "build", Kind: "build", Status: execution.Terminal, Attempt: 1, Failure: &stage.Failure{Code: "BUILD_FAILED"}},
		}}, nil
}

func (askingControl) Executions(context.Context, control.Principal, execution.Query) (execution.Page, error) {
	return execution.Page{}, nil
}

func (askingControl) End(context.Context) (int64, error) { return 0, nil }

func (a askingControl) ReviewApproval(_ context.Context, _ control.Principal, id, stage string) (control.Review, error) {
	return control.Review{Execution: id, Stage: stage, Revision: &execution.Revision{Commit: "4f1c2ab9e0", Message: "Say hello", Author: "Ada"},
		Warnings: []string{"shop-prod runs v2, which execution ex9 put there"},
		Commits: []control.ReviewCommits{
			{CommitsBetween: control.CommitsBetween{From: "0da74ed000", Added: []control.Commit{{Commit: "4f1c2ab9e0", Subject: "Say hello", Author: "Ada"}, {Commit: "77aa11bb22", Subject: "Say more", Author: "Bob"}}}, Where: []string{"shop-prod in us-west-2"}},
			{CommitsBetween: control.CommitsBetween{From: "99cc88dd77", Removed: []control.Commit{{Commit: "99cc88dd77", Subject: "Say newer things", Author: "Eve"}}}, Where: []string{"shop-prod in us-east-1"}},
			{CommitsBetween: control.CommitsBetween{From: "55ee55ee55"}, Where: []string{"shop-prod in eu-west-1"}, Unknown: "the repository cannot be reached"}},
		Next: []control.ReviewStage{{PreviewStage: control.PreviewStage{Name: "service", Kind: "deploy", Changes: []string{"wave 1, us-west-2: create shop-prod-v003"}}, Target: "shop-prod",
			Live: []control.Live{{Deployed: control.Deployed{Region: "us-west-2", Version: "v2", Execution: "ex9"}, Number: 9, Pipeline: "release", Revision: &execution.Revision{Message: "Say goodbye"}}}}}}, a.review
}

func (askingControl) PlanRestart(_ context.Context, _ control.Principal, id, _ string) (control.RestartPlan, error) {
	return control.RestartPlan{Execution: id, Stages: []control.RestartStage{{Name: "build", Kind: "build", Status: execution.Terminal}, {Name: "service", Kind: "deploy", Target: "shop-prod", Version: "v2"}}}, nil
}

// pageOf answers a page's status and its document.
func pageOf(t *testing.T, c Control, path string) (int, *html.Node) {
	t.Helper()
	clock := func() time.Time { return now }
	p := New(Config{Control: c, Auth: api.NewAuth("secret", "owner", nil, clock, nil), Log: slog.New(slog.DiscardHandler), Now: clock})
	r := httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil)
	r.Header.Set("Authorization", "Bearer secret")
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	doc, err := html.Parse(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, doc
}

// Whoever approves on the page sees what the command line shows: the commit, the stages
// that follow, what they change, what is live there, and a warning. Where that cannot
// be had, the approval can still be given.
func TestAnApprovalShowsWhatItLetsHappen(t *testing.T) {
	t.Parallel()
	_, doc := pageOf(t, askingControl{}, "/executions/ex1")
	said := text(doc)
	for _, want := range []string{"4f1c2ab", "Say hello", "Ada", "▲ shop-prod runs v2, which execution ex9 put there", "service", "shop-prod", "wave 1, us-west-2: create shop-prod-v003", "Say goodbye", "release #9",
		"2 commits since0da74ed, live as shop-prod in us-west-2", "77aa11bSay moreBob", "Takes back 1 commit of99cc88d, live as shop-prod in us-east-1", "Say newer thingsEve",
		"what is live as shop-prod in eu-west-1 cannot be listed: the repository cannot be reached"} {
		if !strings.Contains(said, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	status, doc := pageOf(t, askingControl{review: problem.New(problem.Unavailable, "", "no region answers")}, "/executions/ex1")
	approve := false
	walk(doc, func(n *html.Node) { approve = approve || strings.HasSuffix(attr(n, "action"), "/stages/ask/approve") })
	if status != http.StatusOK || !strings.Contains(text(doc), "no region answers") || !approve {
		t.Errorf("%d; it can be approved: %t; it says %s", status, approve, text(doc))
	}
}

// Whoever may not decide is told so, and why, before they press a button that is refused.
func TestAnApprovalSaysWhyNotYou(t *testing.T) {
	t.Parallel()
	clock := func() time.Time { return now }
	for _, c := range []struct {
		may     error
		says    string
		enabled bool
	}{{nil, "", true}, {problem.New(problem.Denied, "", "owner is not one of the approvers").WithHelp("one of ana, bob has to decide"), "You may not approve: owner is not one of the approvers; one of ana, bob has to decide", false}} {
		p := New(Config{Control: askingControl{}, Auth: api.NewAuth("secret", "owner", nil, clock, nil), Log: slog.New(slog.DiscardHandler), Now: clock,
			MayDecide: func(control.Principal, execution.Execution, execution.StageState, control.Decision) error {
				return c.may
			}})
		_, _, doc := operate(t, p, "/executions/ex1", nil)
		enabled := false
		walk(doc, func(n *html.Node) {
			if n.Data == "button" && text(n) == "Approve" {
				enabled = !strings.Contains(attrs(n), "disabled")
			}
		})
		if said := text(doc); enabled != c.enabled || !strings.Contains(said, c.says) || (c.says == "") == strings.Contains(said, "You may not") {
			t.Errorf("%v: enabled %t; %s", c.may, enabled, said)
		}
	}
}

// attrs are the names of an element's attributes.
func attrs(n *html.Node) string {
	var names []string
	for _, a := range n.Attr {
		names = append(names, a.Key)
	}
	return strings.Join(names, " ")
}

// A restart on the page shows what it runs again before it does so.
func TestARestartIsShownBeforeItIsDone(t *testing.T) {
	t.Parallel()
	_, doc := pageOf(t, askingControl{}, "/executions/ex1")
	to := ""
	walk(doc, func(n *html.Node) {
		if a := attr(n, "href"); strings.HasSuffix(a, "/restart") {
			to = a
		}
		if strings.HasSuffix(attr(n, "action"), "/restart") {
			t.Error("a button of the execution's page restarts at once")
		}
	})
	if to != "/executions/ex1/stages/build/restart" {
		t.Fatalf("the page leads to %q", to)
	}
	status, doc := pageOf(t, askingControl{}, to)
	posts := false
	walk(doc, func(n *html.Node) {
		posts = posts || attr(n, "method") == "post" && attr(n, "action") == to
	})
	if said := text(doc); status != http.StatusOK || !posts || !strings.Contains(said, "service") || !strings.Contains(said, "it put v2 there") {
		t.Errorf("%d, it can be done: %t, it says %s", status, posts, said)
	}
}

// Text between backticks is code, and nothing of it is markup.
func TestTicks(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"write `a <b>` or <i>": "write <code>a &lt;b&gt;</code> or &lt;i&gt;",
		"a ` alone":            "a ` alone",
		"`x` and `y`":          "<code>x</code> and <code>y</code>",
		"":                     "",
	} {
		if got := string(ticks(in)); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
