package web

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"showrunner/chaos/monkey"
	"showrunner/cloud"
	"showrunner/control"
	"showrunner/execution"
	"showrunner/execution/stagelog"
	"showrunner/pipeline"
	"showrunner/stage"
	"showrunner/store/record"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// hostile is text from outside as it may come.
const hostile = `<script>alert("x")</script>`

func sampleExecution() execution.Execution {
	started, ended := now.Add(-time.Minute), now
	return execution.Execution{ID: "ex1", Application: "shop", Pipeline: "release", Number: 7, Status: execution.Terminal, Cause: hostile, By: "mia", Created: started, Started: &started, Ended: &ended,
		Revision:   &execution.Revision{Message: hostile, Commit: "4f1c2ab9e0", Author: hostile},
		Definition: &pipeline.Pipeline{Stages: []pipeline.Stage{{Name: "build", Kind: "build"}, {Name: "ask", Kind: "approval", Needs: []string{"build"}, With: []byte(`{"instructions":"**Look** <script>alert(1)</script>"}`)}}},
		Stages: []execution.StageState{
			{Name: "build", Kind: "build", Status: execution.Terminal, Attempt: 2, Started: &started, Ended: &ended, Outputs: map[string]any{"buildId": hostile},
				Failure: &stage.Failure{Code: "BUILD_FAILED", Cause: hostile, Evidence: []string{hostile}, Undone: []string{hostile}, Help: hostile}},
			{Name: "ask", Kind: "approval", Status: execution.Running, Phase: execution.PhaseWaiting, Activity: execution.WaitingForApproval, Attempt: 1, Started: &started, Reason: hostile},
		}}
}

// gallery is every page in its states, from canned data.
func gallery() map[string]view {
	e := sampleExecution()
	group := cloud.ServerGroup{Name: "shop-v001", Region: "us-west-2", Weight: 100, Spec: cloud.ServerGroupSpec{Cluster: "shop", Version: hostile}, Capacity: pipeline.Capacity{Desired: 14},
		LastFailure: &cloud.InstanceFailure{Code: "EXITED", Cause: hostile}}
	for range 13 {
		group.Instances = append(group.Instances, cloud.Instance{ID: "i", Lifecycle: cloud.InService, Healthy: true})
	}
	group.Instances = append(group.Instances, cloud.Instance{ID: "i-bad", Zone: "us-west-2a", Lifecycle: cloud.InService, Failure: &cloud.InstanceFailure{Cause: hostile}})
	cluster := control.Cluster{Name: "shop", Account: "local", Groups: []cloud.ServerGroup{group, {Name: "shop-v000", Region: "eu-west-1"}}, Unreachable: map[string]string{"us-east-1": hostile}}
	clusters := clustersView{More: 2}
	clusters.add(cluster)
	site := control.SiteStatus{Name: "shop", URL: "http://shop.localhost:8080", Current: []cloud.SiteDeployment{{Region: "us-west-2", Version: hostile}}}
	failed := control.TriggerStatus{Application: "shop", Pipeline: "release", Kind: "poll", Trigger: hostile, Next: now.Add(time.Minute), Last: now, Execution: "ex1", Error: hostile, Failures: 3, Failing: now}
	review := control.Review{Revision: e.Revision, Warnings: []string{hostile}, Next: []control.ReviewStage{{PreviewStage: control.PreviewStage{Name: hostile, Kind: hostile, When: hostile, Held: hostile, Refused: hostile, Unknown: hostile, Changes: []string{hostile}},
		Target: hostile, Live: []control.Live{{Deployed: control.Deployed{Region: hostile, Version: hostile, At: now}, Revision: e.Revision}, {Deployed: control.Deployed{Execution: hostile}, Number: 7}}}}}
	starts := []control.TriggerStatus{failed, {Kind: "schedule", Trigger: hostile, Next: now}, {Kind: "webhook", Trigger: "x"}}
	return map[string]view{
		"overview": {Data: map[string]any{"Apps": []overviewApp{{Name: "shop", Pipelines: []overviewPipeline{{Name: "release", Runs: []execution.Execution{e}, Failing: []control.TriggerStatus{failed, {Kind: "push", Trigger: hostile, Blocked: hostile}}}, {Name: "never", Asks: true}}}},
			"Waiting": []execution.Execution{e}, "Regions": []control.RegionStatus{{Region: cloud.Region{Name: "us-west-2", Healthy: true}}, {Region: cloud.Region{Name: "eu-west-1"}}},
			"Sites": []control.SiteStatus{site}, "Clusters": []control.Cluster{cluster}, "Unreachable": hostile, "Unknown": hostile}},
		"overview empty":   {Data: map[string]any{}},
		"executions":       {Data: map[string]any{"Page": execution.Page{Executions: []execution.Execution{e}}, "Query": execution.Query{Text: hostile}, "Status": "Running", "More": "/executions?after=x", "Starts": starts, "Statuses": execution.Listed()}},
		"executions empty": {Data: map[string]any{"Page": execution.Page{}, "Query": execution.Query{}}},
		"execution": {Data: map[string]any{"Views": runViews(e.ID), "View": "waterfall", "Waterfall": waterfallOf(e, now), "Targets": []rollbackTarget{{hostile, "/x", ""}, {hostile, "/x", hostile}}, "E": e, "Graph": graphOf(e), "Rollbacks": []execution.Execution{e}, "Counts": countStages(e), "Stages": stagesShown(e, url.Values{"status": {hostile}}),
			"Asking": []asked{{StageState: e.Stages[1], Instructions: hostile, Review: &review}, {StageState: e.Stages[1], Unknown: hostile}, {StageState: e.Stages[0]}}}},
		"execution definition": {Data: map[string]any{"View": "definition", "Defined": []definedStage{{Name: hostile, Kind: hostile, When: hostile, Settings: []output{{Name: hostile, Value: hostile}}, Policy: hostile}}, "E": e, "Stages": stagesShown(e, nil)}},
		"execution events":     {Data: map[string]any{"View": "events", "Events": []record.Event{{Time: now, Type: hostile, Stage: hostile, By: hostile}}, "E": e, "Stages": stagesShown(e, nil)}},
		"cancel":               {Title: hostile, Data: endingOf(e)},
		"restart":              {Title: hostile, Data: restartView{control.RestartPlan{Execution: "ex1", Stages: []control.RestartStage{{Name: hostile, Kind: hostile, Status: execution.Terminal, Target: hostile, Version: hostile}}}, hostile}},
		"log": {Data: logView{E: e, Stage: e.Stages[0], Attempt: 1, HTML: "x", At: 7, Same: "/x?attempt=1", Follow: true, Rest: true, Search: hostile,
			Found: control.LogMatches{Total: 3, Matches: []stagelog.Match{{Line: 7, Offset: 99, Text: hostile}}}}},
		"log empty":            {Data: logView{E: e, Stage: e.Stages[0], Same: "/x?attempt=1", Search: "x"}},
		"clusters":             {Data: clusters},
		"clusters empty":       {Data: clustersView{}},
		"clusters filtered":    {Data: clustersView{Query: hostile, Hidden: 3}},
		"clusters unreachable": {Data: clustersView{Unreachable: hostile, Help: hostile}},
		"change":               {Title: hostile, Data: change{Cluster: "shop", Do: "disable", Title: hostile, Verb: "Disable", Lines: []string{hostile}, Refused: hostile}},
		"change rollback":      {Title: hostile, Data: change{Cluster: "shop", Do: "rollback", Title: hostile, To: hostile, Kept: []control.KeptVersion{{Name: hostile, Version: hostile, Created: now, Regions: []string{hostile, "b"}, Live: []string{hostile}, Number: 3, Revision: e.Revision}, {Name: "plain"}}}},
		"sites": {Data: []siteView{siteViewOf(site, []cloud.SiteDeployment{{ID: "d1", Region: "us-west-2", At: now.Format(time.RFC3339Nano), Current: true},
			{ID: "d0", Region: "eu-west-1", Version: hostile, Execution: hostile}})}},
		"sites empty": {Data: []siteView(nil)},
		"chaos": {Data: chaosView{Lever: control.ChaosLever{Stopped: true, Reason: hostile, By: hostile, At: now}, Faults: []control.ChaosFault{{Fault: cloud.Fault{ID: hostile, Kind: hostile, Cluster: hostile, Instances: []string{hostile}}, State: control.FaultActive, By: hostile, Region: hostile, Reason: hostile}, {State: control.FaultFailed}},
			Due:     []control.ChaosKill{{Application: hostile, Group: hostile, Due: now.Add(time.Hour)}},
			Days:    []control.MonkeyDay{{Application: hostile, Zone: hostile, Drawn: now, Groups: 3}},
			History: []control.ChaosKill{{Application: hostile, Outcome: control.Killed, Victim: monkey.Instance{ID: hostile}, Begun: now, OnDemand: true, By: hostile, Eligible: 3}, {Outcome: control.KillRefused, Reason: hostile, Ended: now}}}},
		"chaos released": {Data: chaosView{Lever: control.ChaosLever{By: hostile, At: now}}},
		"chaos never":    {Data: chaosView{}},
		"verdicts":       {Title: hostile, Data: sampleVerdicts()},
		"verdicts empty": {Data: verdictsData("shop", 7, control.CanaryVerdicts{Execution: "ex1", Stage: "service"})},
		"activity":       {Data: activityView{Entries: []control.AuditEntry{{At: now, By: hostile, Operation: "apply", Subject: control.Subject{Kind: hostile, Name: hostile}, Outcome: hostile, Error: hostile}, {At: now, Outcome: control.NoOutcome}}, Operations: []string{hostile}, Query: activityQuery{Who: hostile, Subject: hostile}, Older: "/activity?before=7"}},
		"activity empty": {Data: activityView{}},
		"error":          {Title: "Not Found", Data: errorPage{Message: hostile, Help: hostile, Leads: []lead{{"/", hostile}}}},
		"error plain":    {Title: "Conflict", Data: errorPage{Message: hostile}},
		"run": {Title: hostile, Data: map[string]any{"Application": hostile, "Pipeline": hostile, "Description": hostile,
			"Fields": fieldsOf(pipeline.Pipeline{Parameters: []pipeline.Parameter{{Name: hostile, Required: true, Description: hostile}, {Name: "o", Options: []string{hostile, "b"}, Default: new(hostile)}}})}},
		"application": {Data: applicationView{Application: control.Application{Name: "shop", By: hostile, Version: 3, Updated: now}, Applied: hostile, Unknown: []string{hostile}, Waiting: []execution.Execution{e},
			Pipelines: []overviewPipeline{{Name: "release", Runs: []execution.Execution{e}, Failing: []control.TriggerStatus{failed}}}, Dora: doraStrip{Deployments: 3, Failed: 1, Frequency: hostile, Failure: hostile, Lead: hostile, Restore: hostile, Failing: 1, Restored: 1},
			Clusters: []clusterView{viewOf(cluster)}, Troubles: troublesOf(cluster), Sites: []control.SiteStatus{site}, Triggers: starts, Freezes: []freezeRow{{control.Freeze{Name: hostile, Reason: hostile, To: now}, true, false}}, Windows: []windowRow{{Pipeline: hostile, Windows: []string{hostile, "b"}}}}},
		"application empty": {Data: applicationView{Application: control.Application{Name: "shop"}}},
		"editor": {Title: hostile, Data: editorView{Application: "shop", Text: "</textarea>" + hostile, Version: 3, Notice: hostile, Repository: &repositoryCompared{RepositoryFile: control.RepositoryFile{Repository: hostile, Commit: hostile}, Diff: diffLines("a\n", hostile)},
			Checked: checkedFile{Errors: 1, Warnings: 2, Diff: diffLines("a\nb\n", hostile+"\nb"), Graphs: []pipelineGraph{{Name: hostile, Graph: previewGraph(*e.Definition)}, {Name: "b", Many: 300}},
				Findings: pipeline.Diagnostics{{Severity: pipeline.SeverityError, Code: hostile, Message: hostile, Suggestion: hostile, Help: hostile, Source: hostile, SourceColumn: 3, Length: 2, Position: pipeline.Position{Line: 3, Column: 3}}, {Severity: pipeline.SeverityWarning, Message: "w"}}}}},
		"editor new": {Data: editorView{Text: newFile, Repository: &repositoryCompared{Unknown: hostile}}},
		"signin":     {Title: "Sign in"},
	}
}

func newPages() *Pages { return New(Config{Now: func() time.Time { return now }}) }

// Every page, full and empty, is made whole, closes what it opens, lets no
// foreign markup in, names its links and needs no inline script or style.
func TestEveryPageInEveryState(t *testing.T) {
	p := newPages()
	for name, v := range gallery() {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := p.templates.ExecuteTemplate(&b, strings.Fields(name)[0], v); err != nil {
				t.Fatal(err)
			}
			doc, err := html.Parse(bytes.NewReader(b.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			walk(doc, func(n *html.Node) {
				for _, a := range n.Attr {
					if a.Key == "style" || strings.HasPrefix(a.Key, "on") || strings.HasPrefix(a.Key, "hx-on") || strings.HasPrefix(a.Val, "js:") {
						t.Errorf("<%s %s=%q> needs more than the page's policy allows", n.Data, a.Key, a.Val)
					}
				}
				switch {
				case n.Data == "script" && n.FirstChild != nil, n.Data == "style":
					t.Errorf("inline <%s>", n.Data)
				case n.Data == "a" && text(n) == "" && attr(n, "aria-label") == "":
					t.Errorf("a link to %s has no name", attr(n, "href"))
				case n.Data == "form" && attr(n, "method") == "post" && !strings.HasPrefix(attr(n, "action"), "/"):
					t.Errorf("a form posts to %q", attr(n, "action"))
				}
			})
			if h1 := count(doc, "h1"); h1 != 1 {
				t.Errorf("%d headings of the first level", h1)
			}
		})
	}
}

func walk(n *html.Node, f func(*html.Node)) {
	if n.Type == html.ElementNode {
		f(n)
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		walk(c, f)
	}
}

func text(n *html.Node) string {
	if n.Type == html.TextNode {
		return strings.TrimSpace(n.Data)
	}
	var b strings.Builder
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		b.WriteString(text(c))
	}
	return b.String()
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func count(n *html.Node, tag string) int {
	total := 0
	walk(n, func(e *html.Node) {
		if e.Data == tag {
			total++
		}
	})
	return total
}

// The graph keeps its shape: the same pipeline is drawn the same way whatever its state.
func TestGraphDependsOnTheDefinitionAlone(t *testing.T) {
	done := sampleExecution()
	fresh := sampleExecution()
	fresh.Stages = nil
	a, b := graphOf(done), graphOf(fresh)
	if a.Width != b.Width || a.Height != b.Height || len(a.Edges) != 1 || a.Edges[0] != b.Edges[0] {
		t.Errorf("%+v\n%+v", a, b)
	}
	if a.Nodes[1].X <= a.Nodes[0].X {
		t.Errorf("what needs a stage stands left of it: %+v", a.Nodes)
	}
}
