package codebuild_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"showrunner/awsapi/awstest"
	"showrunner/awsapi/codebuild"
	"showrunner/awsapi/delivery"
	"showrunner/awsapi/delivery/deliverytest"
	"showrunner/awsapi/logs"
	"showrunner/control"
	"showrunner/execution"
	"showrunner/internal/execid"
	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store/record/recordtest"
)

type object = map[string]any

// builds are how far builds are, by execution.
type builds map[string]codebuild.State

func (builds) ID(project string, k stage.Key, mark uint32) string {
	text, _ := execid.UUID(k.Execution, mark<<16|uint32(k.Attempt))
	return project + ":" + text
}

func (b builds) State(_ context.Context, k stage.Key) (codebuild.State, error) {
	if s, ok := b[k.Execution]; ok {
		return s, nil
	}
	return codebuild.State{}, problem.New(problem.NotFound, "build", "it has not begun")
}

type world struct {
	*awstest.Client
	t       *testing.T
	control *deliverytest.Control
	builds  builds
	service *codebuild.Service
	changed []string
	lines   []string // that were appended to log groups
}

// Append implements codebuild.Logs.
func (w *world) Append(_ context.Context, region, group, stream string, lines []logs.Line) error {
	for _, l := range lines {
		w.lines = append(w.lines, fmt.Sprintf("%s %s %s %s %s", region, group, stream, l.At.UTC().Format(time.TimeOnly), l.Text))
	}
	return nil
}

func open(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, builds: builds{}, control: deliverytest.New(map[string]string{"uploads": awstest.Region, "results": "eu-west-1"})}
	w.control.Names["acme/shop"] = "/srv/shop.git"
	w.service = codebuild.New(codebuild.Config{Records: &recordtest.Records{}, Logs: w, Control: w.control, Principal: control.Principal{Name: "owner", Owner: true}, Builds: w.builds,
		Renderer: delivery.Renderer{Buckets: w.control, Repositories: w.control, Secrets: w.control}, URL: "http://pages", Now: time.Now,
		Changed: func(_ context.Context, region, name string) { w.changed = append(w.changed, region+"/"+name) }})
	w.Client = awstest.New(t, w.service.Service())
	return w
}

const spec = "version: 0.2\nphases:\n  build:\n    commands:\n      - make\n"

func project(change object) object {
	p := object{"name": "shop", "source": object{"type": "NO_SOURCE", "buildspec": spec}, "artifacts": object{"type": "NO_ARTIFACTS"},
		"environment": object{"type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0", "computeType": "BUILD_GENERAL1_SMALL",
			"environmentVariables": []any{object{"name": "A", "value": "one"}, object{"name": "S", "value": "/shop/key", "type": "PARAMETER_STORE"}}},
		"serviceRole": "arn:aws:iam::000000000000:role/build"}
	for k, v := range change {
		p[k] = v
	}
	return p
}

func TestProjects(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.Call("codebuild", "CreateProject", project(object{"tags": []any{object{"key": "k", "value": "v"}}}))["project"].(object)
	if p["arn"] != "arn:aws:codebuild:us-west-2:000000000000:project/shop" || p["timeoutInMinutes"] != 60.0 || p["cache"].(object)["type"] != "NO_CACHE" ||
		p["encryptionKey"] != "arn:aws:kms:us-west-2:000000000000:alias/aws/s3" || p["badge"].(object)["badgeEnabled"] != false {
		t.Errorf("%v", p)
	}
	w.Refused("codebuild", "CreateProject", project(nil), "ResourceAlreadyExistsException", "Project already exists: arn:aws:codebuild:us-west-2:000000000000:project/shop")
	p = w.Call("codebuild", "UpdateProject", object{"name": "shop", "description": "the shop", "timeoutInMinutes": 5})["project"].(object)
	if p["description"] != "the shop" || p["timeoutInMinutes"] != 5.0 || p["source"].(object)["buildspec"] != spec {
		t.Errorf("updated %v", p)
	}
	w.Refused("codebuild", "UpdateProject", object{"name": "none"}, "ResourceNotFoundException", "Project cannot be found: arn:aws:codebuild:us-west-2:000000000000:project/none")
	w.Call("codebuild", "CreateProject", project(object{"name": "another"}))
	if names := w.Call("codebuild", "ListProjects", object{"sortOrder": "DESCENDING"})["projects"]; !slices.Equal(names.([]any), []any{"shop", "another"}) {
		t.Errorf("projects %v", names)
	}
	got := w.Call("codebuild", "BatchGetProjects", object{"names": []any{"arn:aws:codebuild:us-west-2:000000000000:project/shop", "none"}})
	if len(got["projects"].([]any)) != 1 || !slices.Equal(got["projectsNotFound"].([]any), []any{"none"}) {
		t.Errorf("%v", got)
	}
	w.Refused("codebuild", "ListProjects", object{"nextToken": "bm9uZQ=="}, "InvalidInputException", "Invalid next token")
	w.Call("codebuild", "DeleteProject", object{"name": "shop"})
	w.Call("codebuild", "DeleteProject", object{"name": "shop"})
	if !slices.Equal(w.changed, []string{"us-west-2/shop", "us-west-2/shop", "us-west-2/another", "us-west-2/shop", "us-west-2/shop"}) {
		t.Errorf("told of %v", w.changed)
	}
}

// What builds here cannot do is refused by its name.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w := open(t)
	env := func(k, v string) object {
		e := object{"type": "LINUX_CONTAINER", "image": "x", "computeType": "BUILD_GENERAL1_SMALL"}
		e[k] = v
		return e
	}
	for mentions, change := range map[string]object{
		"The source type BITBUCKET is not served here":                     {"source": object{"type": "BITBUCKET", "location": "https://bitbucket.org/a/b"}},
		"The source type CODECOMMIT is not served here":                    {"source": object{"type": "CODECOMMIT", "location": "x"}},
		"Invalid GitHub source location":                                   {"source": object{"type": "GITHUB", "location": "https://example.com/a/b"}},
		"Invalid S3 source location":                                       {"source": object{"type": "S3", "location": "uploads"}},
		"requires a buildspec":                                             {"source": object{"type": "NO_SOURCE"}},
		"Secondary artifacts are not served here":                          {"secondaryArtifacts": []any{object{"type": "S3", "location": "results", "artifactIdentifier": "a"}}},
		"File systems (fileSystemLocations) are not served here":           {"fileSystemLocations": []any{object{"type": "EFS", "identifier": "a"}}},
		"The environment type WINDOWS_SERVER_2019_CONTAINER is not served": {"environment": env("type", "WINDOWS_SERVER_2019_CONTAINER")},
		"Invalid project artifacts":                                        {"artifacts": object{"type": "CODEPIPELINE"}},
		"satisfy enum value set":                                           {"environment": env("computeType", "HUGE")},
	} {
		if _, code, message := w.Try("codebuild", "CreateProject", project(change)); code != "InvalidInputException" || !strings.Contains(message, mentions) {
			t.Errorf("%s: %s\nwant %q", code, message, mentions)
		}
	}
	w.Call("codebuild", "CreateProject", project(object{"name": "github", "source": object{"type": "GITHUB", "location": "https://github.com/acme/other.git"}}))
	w.Call("codebuild", "CreateProject", project(object{"name": "pipe", "source": object{"type": "CODEPIPELINE"}, "artifacts": object{"type": "CODEPIPELINE"}}))
	w.Call("codebuild", "CreateProject", project(object{"name": "nobucket", "source": object{"type": "S3", "location": "nowhere/a.zip"}}))
	for mentions, in := range map[string]object{
		"showrunner aws repository acme/other=PATH-OR-URL": {"projectName": "github"},
		"is built by a pipeline":                           {"projectName": "pipe"},
		"there is no bucket nowhere":                       {"projectName": "nobucket"},
		"Debug sessions are not served here":               {"projectName": "github", "debugSessionEnabled": true},
	} {
		if _, code, message := w.Try("codebuild", "StartBuild", in); code != "InvalidInputException" || !strings.Contains(message, mentions) {
			t.Errorf("%s: %s\nwant %q", code, message, mentions)
		}
	}
	if calls := w.control.Called(); len(calls) > 0 {
		t.Errorf("refusals did %v", calls)
	}
}

func (w *world) newest() execution.Execution {
	w.t.Helper()
	page, err := w.control.Executions(w.t.Context(), control.Principal{}, execution.Query{Application: codebuild.Application})
	if err != nil || len(page.Executions) == 0 {
		w.t.Fatal("no build was started", err)
	}
	return page.Executions[0]
}

// A build is an execution that fetches, builds and uploads.
func TestABuildIsAnExecution(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.Call("codebuild", "CreateProject", project(object{"source": object{"type": "GITHUB", "location": "https://github.com/acme/shop"},
		"secondarySources": []any{object{"type": "S3", "location": "uploads/assets.zip", "sourceIdentifier": "assets"}},
		"artifacts":        object{"type": "S3", "location": "results", "path": "out", "namespaceType": "BUILD_ID", "packaging": "ZIP", "name": "shop.zip"}}))
	commit := strings.Repeat("c0ffee12", 5)
	in := object{"projectName": "shop", "sourceVersion": commit, "idempotencyToken": "one", "timeoutInMinutesOverride": 7,
		"environmentVariablesOverride": []any{object{"name": "A", "value": "two"}}}
	b := w.Call("codebuild", "StartBuild", in)["build"].(object)
	if again := w.Call("codebuild", "StartBuild", in)["build"].(object); again["id"] != b["id"] {
		t.Errorf("the same token started %v and %v", b["id"], again["id"])
	}
	if b["buildStatus"] != "IN_PROGRESS" || b["buildComplete"] != false || b["sourceVersion"] != commit || b["timeoutInMinutes"] != 7.0 {
		t.Errorf("%v", b)
	}
	def := w.newest().Definition
	var kinds []string
	text := ""
	for _, st := range def.Stages {
		kinds = append(kinds, st.Kind)
		text += string(st.With) + "\n"
	}
	if !slices.Equal(kinds, []string{"git", "object", "build", "deploy-site"}) && !slices.Equal(kinds, []string{"object", "git", "build", "deploy-site"}) {
		t.Errorf("stages %v", kinds)
	}
	for _, want := range []string{"/srv/shop.git", commit, `"A":"two"`, "secrets.shop-key", `"assets":"assets"`, `out/${{ split(stages.build.outputs.buildId, \":\")[1] }}/shop.zip`, "eu-west-1"} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing says %s:\n%s", want, text)
		}
	}
	if len(def.Triggers) > 0 {
		t.Errorf("a build has triggers: %v", def.Triggers)
	}
}

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }

// The status of a build and its phases are those of its stages.
func TestHowABuildGoes(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.Call("codebuild", "CreateProject", project(nil))
	id := w.Call("codebuild", "StartBuild", object{"projectName": "shop"})["build"].(object)["id"].(string)
	e := w.newest()
	status := func() (string, string, string) {
		b := w.Call("codebuild", "BatchGetBuilds", object{"ids": []any{id}})["builds"].([]any)[0].(object)
		phases, err := json.Marshal(b["phases"])
		if err != nil {
			t.Fatal(err)
		}
		return b["buildStatus"].(string), b["currentPhase"].(string), string(phases)
	}
	if s, phase, _ := status(); s != "IN_PROGRESS" || phase != "QUEUED" {
		t.Errorf("before it begins: %s %s", s, phase)
	}
	set := func(total execution.Status, st execution.StageState) {
		w.control.Change(e.ID, func(e *execution.Execution) {
			end := at(9)
			st.Name, st.Kind, st.Attempt, st.Started = "build", "build", 1, &began
			e.Stages[len(e.Stages)-1], e.Status = st, total
			if total.Complete() {
				e.Ended = &end
			}
		})
	}
	w.builds[e.ID] = codebuild.State{Status: "IN_PROGRESS", Phases: []codebuild.Phase{{Type: "INSTALL", Status: "SUCCEEDED", Started: at(0), Ended: at(2)}, {Type: "BUILD", Status: "IN_PROGRESS", Started: at(2)}}}
	set(execution.Running, execution.StageState{Status: execution.Running})
	if s, phase, phases := status(); s != "IN_PROGRESS" || phase != "BUILD" || !strings.Contains(phases, `"durationInSeconds":2`) {
		t.Errorf("while it runs: %s %s %s", s, phase, phases)
	}
	w.builds[e.ID] = codebuild.State{Status: "FAILED", Phases: []codebuild.Phase{{Type: "BUILD", Status: "FAILED", Started: at(2), Ended: at(5), Message: "exit 1"}, {Type: "COMPLETED", Status: "SUCCEEDED", Started: at(5), Ended: at(5)}}}
	set(execution.Terminal, execution.StageState{Status: execution.Terminal, Failure: &stage.Failure{Code: "COMMAND_FAILED"}})
	if s, phase, phases := status(); s != "FAILED" || phase != "COMPLETED" || !strings.Contains(phases, `"statusCode":"COMMAND_EXECUTION_ERROR"`) {
		t.Errorf("failed: %s %s %s", s, phase, phases)
	}
	delete(w.builds, e.ID) // the folder is no longer kept: the stage's outputs say it
	set(execution.Succeeded, execution.StageState{Status: execution.Succeeded, Outputs: map[string]any{"status": "SUCCEEDED",
		"phases": []any{map[string]any{"name": "BUILD", "status": "SUCCEEDED", "started": at(2).Format(time.RFC3339Nano), "ended": at(4).Format(time.RFC3339Nano)}}}})
	if s, _, phases := status(); s != "SUCCEEDED" || !strings.Contains(phases, `"phaseType":"BUILD"`) {
		t.Errorf("later: %s %s", s, phases)
	}
	for failure, want := range map[string]string{"TIMEOUT": "TIMED_OUT", "BUILD_FAILED": "FAILED"} {
		set(execution.Terminal, execution.StageState{Status: execution.Terminal, Failure: &stage.Failure{Code: failure}})
		if s, _, _ := status(); s != want {
			t.Errorf("%s: %s", failure, s)
		}
	}
	if _, code, _ := w.Try("codebuild", "StopBuild", object{"id": "shop:no"}); code != "ResourceNotFoundException" {
		t.Errorf("no build: %s", code)
	}
	retried := w.Call("codebuild", "RetryBuild", object{"id": id})["build"].(object)["id"]
	if retried == id {
		t.Error("a retry is the same build")
	}
	if b := w.Call("codebuild", "StopBuild", object{"id": retried})["build"].(object); b["buildStatus"] != "STOPPED" {
		t.Errorf("stopped: %v", b["buildStatus"])
	}
	if ids := w.Call("codebuild", "ListBuildsForProject", object{"projectName": "shop"})["ids"].([]any); !slices.Equal(ids, []any{retried, id}) {
		t.Errorf("builds %v", ids)
	}
	if ids := w.Call("codebuild", "ListBuilds", object{"sortOrder": "ASCENDING"})["ids"].([]any); !slices.Equal(ids, []any{id, retried}) {
		t.Errorf("builds %v", ids)
	}
	missing := w.Call("codebuild", "BatchGetBuilds", object{"ids": []any{"shop:00000000-0000-4000-8000-000000000000"}})["buildsNotFound"].([]any)
	if len(missing) != 1 {
		t.Errorf("not found: %v", missing)
	}
}

// What a build writes becomes log events when its group is read, each line once and
// only when it is whole.
func TestLinesBecomeLogEvents(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.Call("codebuild", "CreateProject", project(nil))
	id := w.Call("codebuild", "StartBuild", object{"projectName": "shop"})["build"].(object)["id"].(string)
	_, stream, _ := strings.Cut(id, ":")
	e := w.newest()
	fill := func(text string, status execution.Status) []string {
		w.control.Written[e.ID+"/build"] += text
		w.control.Change(e.ID, func(e *execution.Execution) {
			e.Created, e.Status = began, status
			e.Stages[0] = execution.StageState{Name: "build", Kind: "build", Attempt: 1, Status: status, Started: &began}
		})
		w.lines = nil
		for range 2 {
			if err := w.service.FillLogs(t.Context(), awstest.Region, "/aws/codebuild/shop"); err != nil {
				t.Fatal(err)
			}
		}
		return w.lines
	}
	prefix := "us-west-2 /aws/codebuild/shop " + stream + " "
	got := fill("early\n[Container] 2026/03/01 12:00:05.000000 Running command: make\nhalf a", execution.Running)
	if want := []string{prefix + "12:00:00 early", prefix + "12:00:05 [Container] 2026/03/01 12:00:05.000000 Running command: make"}; !slices.Equal(got, want) {
		t.Errorf("first %q", got)
	}
	if got := fill(" line\n\nrest", execution.Succeeded); !slices.Equal(got, []string{prefix + "12:00:05 half a line", prefix + "12:00:05 rest"}) {
		t.Errorf("then %q", got)
	}
	w.lines = nil
	if err := w.service.FillLogs(t.Context(), awstest.Region, "/other"); err != nil || len(w.lines) > 0 {
		t.Errorf("another group: %v %v", w.lines, err)
	}
}
