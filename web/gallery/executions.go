package gallery

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"showrunner/control"
	"showrunner/execution"
	"showrunner/execution/stagelog"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
	"showrunner/stage/gate"
)

// errAway is what every question gets in the error state.
func errAway(s State) error {
	return problem.New(problem.Unavailable, "", "the database is unreachable: %s", text(s, 0, "connection refused")).WithHelp("run `showrunner doctor`")
}

func (c *canned) ago(d time.Duration) *time.Time { return new(c.now().Add(-d)) }

func (c *canned) definition() *pipeline.Pipeline {
	s := c.state
	with := []byte(`{"instructions":"Is the **canary** good? The dashboards are at https://grafana.example/d/checkout <b>raw</b>"}`)
	p := &pipeline.Pipeline{Name: "release", Description: text(s, 1, "Delivers the shop to three regions"),
		Parameters: []pipeline.Parameter{
			{Name: "version", Description: text(s, 2, "What to deliver; empty is the newest commit"), Default: new("")},
			{Name: "channel", Description: "Who gets it", Required: true, Options: []string{"stable", "beta", text(s, 3, "nightly")}}},
		Stages: []pipeline.Stage{
			{Name: "source", Kind: "git"}, {Name: "build", Kind: "build", Needs: []string{"source"}}, {Name: "lint", Kind: "run", Needs: []string{"source"}},
			{Name: stageName(s, "canary"), Kind: "deploy", Needs: []string{"build"}, With: []byte(`{"cluster":"storefront-prod","command":["./storefront"],"capacity":{"min":2,"desired":4,"max":10},"strategy":{"canary":{"steps":[5,25,50]}}}`)}, {Name: "smoke", Kind: "run", Needs: []string{"build"}},
			{Name: stageName(s, "approve"), Kind: "approval", Needs: []string{stageName(s, "canary"), "lint"}, With: with},
			{Name: "everywhere", Kind: "deploy", Needs: []string{stageName(s, "approve")}}, {Name: "announce", Kind: "notify", Needs: []string{"everywhere", "smoke", "source"}},
		}}
	if s == Huge {
		for i := range 1000 {
			p.Stages = append(p.Stages, pipeline.Stage{Name: fmt.Sprintf("check-%04d", i), Kind: "run", Needs: []string{"source"}})
		}
	}
	return p
}

func (c *canned) revision(n int) *execution.Revision {
	return &execution.Revision{Commit: fmt.Sprintf("%010x%030x", 0x4f1c2ab9e0+n*0x1b873593, n), Message: text(c.state, n, []string{"Give the checkout a retry budget", "Show prices with tax", "Cache the cart for a second", "Say hello to returning customers"}[n%4]), Author: text(c.state, n+1, []string{"Ada Lovelace", "Grace Hopper", "Mia"}[n%3])}
}

func (c *canned) failure(n int) *stage.Failure {
	s := c.state
	return &stage.Failure{Code: "HEALTH_TIMEOUT", Cause: text(s, n, "us-east-1 v008: 1 of 8 instances never became healthy (waited 60 s)"),
		Evidence: []string{`i-000123 pid 41877  GET http://127.0.0.1:31877/health -> 503 {"db":"pool exhausted"}`, text(s, n+1, "12:03:58 FATAL too many connections")},
		Undone:   []string{text(s, n+2, "traffic returned to v007; v008 kept for inspection, 0 %")}, Help: text(s, n+3, "read `showrunner logs i-000123`, then restart from this stage")}
}

// rules are those of the approval: in the partial state it is somebody else's to give.
func (c *canned) rules() json.RawMessage {
	rules := gate.State{Minimum: 2, Expires: c.now().Add(24 * time.Hour), Approvals: []gate.Decision{{By: text(c.state, 1, "ana"), At: *c.ago(30 * time.Second), Comment: text(c.state, 0, "looks good")}}}
	if c.state == Partial || c.state == Hostile {
		rules.Approvers = []string{text(c.state, 2, "ana"), "bob"}
	}
	raw, err := json.Marshal(rules)
	if err != nil {
		panic(err) // it is made of texts and times
	}
	return raw
}

// mayDecide judges as a control plane does.
func mayDecide(p control.Principal, _ execution.Execution, st execution.StageState, d control.Decision) error {
	state, err := gate.ParseState(st.State)
	if err != nil {
		return err
	}
	return gate.MayDecide(state, p.Name, d.Approve, time.Now())
}

// stages are where the definition's stages stand in the n-th newest run; the newest is under way.
func (c *canned) stages(n int) []execution.StageState {
	s := c.state
	list := []execution.StageState{
		{Name: "source", Kind: "git", Status: execution.Succeeded, Attempt: 1, Started: c.ago(9 * time.Minute), Ended: c.ago(8*time.Minute + 56*time.Second), Outputs: map[string]any{"commit": c.revision(0).Commit, "branch": text(s, 4, "main"), "url": text(s, 6, "https://git.example/shop")}},
		{Name: "build", Kind: "build", Status: execution.Succeeded, Attempt: 2, Started: c.ago(8 * time.Minute), Ended: c.ago(6 * time.Minute), Outputs: map[string]any{"artifact": "sha256:" + strings.Repeat("ab", 32), "phases": []any{map[string]any{"name": "BUILD", "status": "SUCCEEDED"}}},
			History: []execution.Attempt{{Attempt: 1, Status: execution.Terminal, Code: "BUILD_FAILED", Cause: text(s, 5, "exit code 1"), Started: c.ago(8*time.Minute + 50*time.Second), Ended: c.ago(8*time.Minute + 5*time.Second)}}},
		{Name: "lint", Kind: "run", Status: execution.Skipped, Reason: text(s, 1, "its condition is not met"), Started: c.ago(8 * time.Minute), Ended: c.ago(8 * time.Minute)},
		{Name: stageName(s, "canary"), Kind: "deploy", Status: execution.Running, Activity: execution.Baking, Attempt: 1, Started: c.ago(5 * time.Minute), Progress: text(s, 2, "us-west-2: step 2 of 5, 25 % of the traffic for 40 s more"), WaitsUntil: new(c.now().Add(40 * time.Second)), Outputs: map[string]any{"cluster": "storefront-prod"}},
		{Name: "smoke", Kind: "run", Status: execution.FailedContinue, Attempt: 1, Started: c.ago(6 * time.Minute), Ended: c.ago(5 * time.Minute), Failure: c.failure(0)},
		{Name: stageName(s, "approve"), Kind: "approval", Status: execution.Running, Activity: execution.WaitingForApproval, Attempt: 1, Started: c.ago(time.Minute), Reason: text(s, 3, "waits for the release team"), State: c.rules()},
		{Name: "everywhere", Kind: "deploy", Status: execution.NotStarted}, {Name: "announce", Kind: "notify", Status: execution.NotStarted},
	}
	switch succeeded := c.run("", "", n).Status == execution.Succeeded; {
	case n > 0 && succeeded:
		for i := range list {
			st := &list[i]
			st.Status, st.Activity, st.Attempt, st.Failure, st.Reason, st.WaitsUntil, st.Started, st.Ended = execution.Succeeded, "", 1, nil, "", nil, c.ago(9*time.Minute), c.ago(8*time.Minute)
		}
	case n > 0:
		list[3].Status, list[3].Activity, list[3].Ended, list[3].Failure, list[3].WaitsUntil = execution.Terminal, "", c.ago(2*time.Minute), c.failure(1), nil
		list[5].Status, list[5].Activity, list[5].Reason, list[5].Attempt, list[5].Started = execution.NotStarted, "", "", 0, nil
	}
	if s == Huge {
		for i := range 1000 {
			list = append(list, execution.StageState{Name: fmt.Sprintf("check-%04d", i), Kind: "run", Status: execution.Succeeded, Attempt: 1, Started: c.ago(8 * time.Minute), Ended: c.ago(time.Duration(i%400) * time.Second)})
		}
	}
	return list
}

// run is the n-th newest run of a pipeline, as lists show it.
func (c *canned) run(application, name string, n int) execution.Execution {
	e := execution.Execution{ID: fmt.Sprintf("ex%04d", n), Application: application, Pipeline: name, Number: 41 - n, By: text(c.state, n, []string{"mia", "push", "schedule"}[n%3]), Revision: c.revision(n),
		Trigger: map[string]any{"kind": []string{"manual", "push", "schedule"}[n%3], "branch": text(c.state, n, "main")},
		Status:  execution.Succeeded, Created: *c.ago(time.Duration(n) * 50 * time.Minute), Started: c.ago(time.Duration(n)*50*time.Minute + time.Second), Ended: c.ago(time.Duration(n)*50*time.Minute - time.Duration(2+n*n%9)*time.Minute)}
	switch {
	case n == 0:
		e.ID, e.Status, e.Activity, e.Ended, e.Created, e.Started = runID(c.state), execution.Running, execution.WaitingForApproval, nil, *c.ago(9 * time.Minute), c.ago(9*time.Minute)
	case n%7 == 3:
		e.Status, e.Cause = execution.Terminal, text(c.state, n, "the stage canary failed")
	case n%7 == 5:
		e.Status, e.Cause = execution.Canceled, text(c.state, n, "a newer run took its place")
	}
	if n == 3 {
		e.ID = "ended"
	}
	return e
}

func (c *canned) Execution(_ context.Context, _ control.Principal, id string) (execution.Execution, error) {
	if c.state == Error {
		return execution.Execution{}, errAway(c.state)
	}
	if c.state == Empty {
		return execution.Execution{}, problem.New(problem.NotFound, "", "there is no execution %q", id)
	}
	n := 0
	if _, err := fmt.Sscanf(id, "ex%d", &n); err != nil && id == "ended" {
		n = 3
	}
	e := c.run(appName(c.state, "storefront"), "release", n)
	e.Definition, e.Stages, e.Parameters = c.definition(), c.stages(n), map[string]string{"channel": text(c.state, 2, "stable")}
	return e, nil
}

func (c *canned) Executions(_ context.Context, _ control.Principal, q execution.Query) (execution.Page, error) {
	switch {
	case c.state == Error:
		return execution.Page{}, errAway(c.state)
	case c.state == Empty:
		return execution.Page{}, nil
	case q.RollbackOf != "":
		e := c.run("storefront", "rollback", 1)
		e.RollbackOf = q.RollbackOf
		return execution.Page{Executions: []execution.Execution{e}}, nil
	}
	application, name := q.Application, q.Pipeline
	if application == "" {
		application = appName(c.state, "storefront")
	}
	if name == "" {
		name = "release"
	}
	var page execution.Page
	if c.history > 0 {
		first, _ := strconv.Atoi(q.After) // anything else is the beginning
		for n := first; n < min(first+q.Limit, c.history); n++ {
			page.Executions = append(page.Executions, c.run(application, name, n))
		}
		if first+q.Limit < c.history {
			page.Next = strconv.Itoa(first + q.Limit)
		}
		return page, nil
	}
	for n := range min(q.Limit, 30) {
		page.Executions = append(page.Executions, c.run(application, name, n))
	}
	if c.state == Huge {
		page.Next = "more"
	}
	return page, nil
}

func (c *canned) ReviewApproval(_ context.Context, _ control.Principal, id, name string) (control.Review, error) {
	if c.state == Partial {
		return control.Review{}, problem.New(problem.Unavailable, "", "eu-west-1 does not answer")
	}
	s := c.state
	commit := func(n int) control.Commit {
		return control.Commit{Commit: c.revision(n).Commit, Subject: c.revision(n).Message, Author: c.revision(n).Author, Date: *c.ago(time.Duration(n+1) * time.Hour)}
	}
	between := control.CommitsBetween{From: c.revision(5).Commit, Added: []control.Commit{commit(0), commit(1), commit(2)}, Removed: []control.Commit{commit(6)}}
	between.Files = []control.FileChange{{Path: text(s, 2, "shop/cart/cart.go"), Added: 4, Removed: 1, Patch: "@@ -10,3 +10,6 @@ func total(c Cart) int {\n \tsum := 0\n-\tfor _, i := range c.Items {\n+\tfor _, i := range c.Items { " + text(s, 0, "// every item") + "\n+\t\tsum += i.Price\n+\t}\n+\treturn sum\n }\n"},
		{Path: "docs/cart.md", From: text(s, 1, "docs/basket.md"), Added: 0, Removed: 0}, {Path: "site/logo.png", Binary: true}, {Path: "go.sum", Added: 4000, Removed: 3000, Cut: true}}
	if s == Huge {
		for n := range 296 {
			between.Files = append(between.Files, control.FileChange{Path: fmt.Sprintf("shop/file-%03d.go", n), Added: n, Patch: "@@ -1 +1,400 @@\n" + strings.Repeat("+\tx()\n", 40)})
		}
		between.Partial, between.FilesMore = true, 700
		for n := range 100 {
			between.Added = append(between.Added, commit(n))
		}
	}
	live := control.Live{Deployed: control.Deployed{Region: "us-east-1", Version: text(s, 1, "v007"), At: *c.ago(26 * time.Hour), Execution: "ex0004"}, Number: 37, Pipeline: "release", Revision: c.revision(5)}
	west := live
	west.Region = "eu-west-1"
	return control.Review{Execution: id, Stage: name, Revision: c.revision(0), Started: *c.ago(9 * time.Minute), Warnings: []string{text(s, 0, "storefront-prod runs v009 in us-east-1, which is newer than this run")},
		Commits: []control.ReviewCommits{{CommitsBetween: between, Where: []string{"storefront-prod in us-east-1", "storefront-prod in eu-west-1"}}},
		Next: []control.ReviewStage{{PreviewStage: control.PreviewStage{Name: "everywhere", Kind: "deploy", Held: text(s, 4, "the freeze Black Friday holds it until Monday"), Changes: []string{"wave 1, us-east-1: create storefront-prod-v008 with 8 instances, shift 5, 25, 50, 100 %", text(s, 3, "wave 2, eu-west-1: create storefront-prod-v008 with 4 instances")}},
			Target: "storefront-prod", Live: []control.Live{live, west}}, {PreviewStage: control.PreviewStage{Name: "announce", Kind: "notify", When: "status == 'succeeded'"}}}}, nil
}

func (c *canned) PlanRestart(_ context.Context, _ control.Principal, id, _ string) (control.RestartPlan, error) {
	if c.state == Error {
		return control.RestartPlan{}, errAway(c.state)
	}
	return control.RestartPlan{Execution: id, Stages: []control.RestartStage{{Name: stageName(c.state, "canary"), Kind: "deploy", Status: execution.Terminal, Target: "storefront-prod", Version: text(c.state, 1, "v008")}, {Name: "everywhere", Kind: "deploy"}}}, nil
}

func (c *canned) StageLog(_ context.Context, _ control.Principal, r control.LogRequest, w io.Writer) error {
	if c.state == Error {
		return errAway(c.state)
	}
	all := logText(c.state)
	_, err := io.WriteString(w, all[min(int(r.From), len(all)):])
	return err
}

func (c *canned) LogTimes(_ context.Context, _ control.Principal, r control.LogRequest, to int64) ([]stagelog.Written, error) {
	var list []stagelog.Written
	for at := r.From; at < to; at += 4000 {
		list = append(list, stagelog.Written{Offset: at, At: c.now().Add(-time.Hour).Add(time.Duration(at) * time.Microsecond)})
	}
	return list, nil
}

func (c *canned) SearchLog(_ context.Context, _ control.Principal, r control.LogSearch) (control.LogMatches, error) {
	var m control.LogMatches
	offset := int64(0)
	for i, line := range strings.SplitAfter(logText(c.state), "\n") {
		if strings.Contains(strings.ToLower(line), strings.ToLower(r.Text)) {
			if m.Total++; len(m.Matches) < r.Limit {
				m.Matches = append(m.Matches, stagelog.Match{Line: int64(i + 1), Offset: offset, Text: line})
			}
		}
		offset += int64(len(line))
	}
	return m, nil
}
