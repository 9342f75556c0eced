package codepipeline_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"showrunner/awsapi/awstest"
	"showrunner/awsapi/codepipeline"
	"showrunner/awsapi/delivery"
	"showrunner/awsapi/delivery/deliverytest"
	"showrunner/control"
	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record/recordtest"
)

type object = map[string]any

// buildProject is every build project.
type buildProject struct{}

func (buildProject) Project(_ context.Context, _, name string) (delivery.Object, error) {
	return object{"name": name, "source": object{"type": "CODEPIPELINE"}}, nil
}

type world struct {
	*awstest.Client
	t       *testing.T
	control *deliverytest.Control
	records *recordtest.Records
	service *codepipeline.Service
	gate    *codepipeline.Gate
}

func open(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, records: &recordtest.Records{}}
	w.control = deliverytest.New(map[string]string{"artifacts": awstest.Region, "site": "eu-west-1", "uploads": awstest.Region, "dotted.site": awstest.Region})
	w.control.Names["acme/shop"] = "/srv/shop.git"
	w.start()
	return w
}

// start makes the service anew, as a restart does.
func (w *world) start() {
	w.gate = codepipeline.NewGate(w.records, time.Now)
	w.service = codepipeline.New(codepipeline.Config{Records: w.records, Control: w.control, Principal: control.Principal{Name: "owner", Owner: true}, Values: w.control,
		Renderer:  delivery.Renderer{Buckets: w.control, Repositories: w.control, Secrets: w.control, Projects: buildProject{}},
		MayDecide: mayDecide, Gate: w.gate, URL: "http://pages", Log: slog.New(slog.NewTextHandler(w.t.Output(), nil)), Now: time.Now})
	w.Client = awstest.New(w.t, w.service.Service())
}

func mayDecide(_ control.Principal, _ execution.Execution, st execution.StageState, _ control.Decision) error {
	if st.Status.Complete() {
		return problem.New(problem.Conflict, "decide", "decided already")
	}
	return nil
}

func action(category, provider, name string, more object) object {
	a := object{"name": name, "actionTypeId": object{"category": category, "owner": "AWS", "provider": provider, "version": "1"}}
	for k, v := range more {
		a[k] = v
	}
	return a
}

// shop is a pipeline: source, build, approval and deploy, and a site.
func shop(change func(stages []any)) object {
	named := func(n string) []any { return []any{object{"name": n}} }
	stages := []any{
		object{"name": "Source", "actions": []any{action("Source", "GitHub", "Git", object{"outputArtifacts": named("src"), "configuration": object{"Owner": "acme", "Repo": "shop", "Branch": "main", "OAuthToken": "topsecret"}})}},
		object{"name": "Build", "actions": []any{action("Build", "CodeBuild", "Compile", object{"inputArtifacts": named("src"), "outputArtifacts": named("out"), "configuration": object{"ProjectName": "build"}})}},
		object{"name": "Deploy", "actions": []any{
			action("Approval", "Manual", "Look", object{"configuration": object{"CustomData": "have a look"}}),
			action("Deploy", "S3", "Site", object{"runOrder": 2, "inputArtifacts": named("out"), "configuration": object{"BucketName": "site", "Extract": "true"}})}},
	}
	if change != nil {
		change(stages)
	}
	return object{"name": "shop", "roleArn": "arn:aws:iam::000000000000:role/pipeline", "artifactStore": object{"type": "S3", "location": "artifacts"}, "stages": stages}
}

func (w *world) create(p object) object {
	w.t.Helper()
	return w.Call("codepipeline", "CreatePipeline", object{"pipeline": p})
}

func TestAPipelineIsAnApplication(t *testing.T) {
	t.Parallel()
	w := open(t)
	made := w.create(shop(nil))["pipeline"].(object)
	if made["version"] != 1.0 || made["pipelineType"] != "V1" || made["executionMode"] != "SUPERSEDED" {
		t.Errorf("created %v", made)
	}
	if calls := w.control.Called(); !slices.Equal(calls, []string{"apply shop", "start shop/shop"}) {
		t.Errorf("it did %v", calls)
	}
	app, err := w.control.Application(t.Context(), control.Principal{}, "shop")
	if err != nil {
		t.Fatal(err)
	}
	p := app.Pipelines[0]
	if p.Name != "shop" || len(p.Stages) != 4 || p.Stages[1].Description != "Action Compile of stage Build" {
		t.Errorf("the pipeline is %+v", p)
	}
	site := string(p.Stages[3].With)
	if !strings.Contains(site, `"existing":true`) || !strings.Contains(site, "eu-west-1") || strings.Contains(app.Source, "topsecret") {
		t.Errorf("the site is %s in\n%s", site, app.Source)
	}
	got := w.Call("codepipeline", "GetPipeline", object{"name": "shop"})
	if token := string(jsonOf(got)); !strings.Contains(token, `"OAuthToken":"****"`) || strings.Contains(token, "topsecret") {
		t.Errorf("the token is told: %s", token)
	}
	if len(w.control.Secrets) != 1 {
		t.Errorf("secrets %v", w.control.Secrets)
	}
	if _, code, _ := w.Try("codepipeline", "CreatePipeline", object{"pipeline": shop(nil)}); code != "PipelineNameInUseException" {
		t.Errorf("the same name again: %s", code)
	}
	next := got["pipeline"].(object)
	next["stages"].([]any)[2].(object)["actions"].([]any)[0].(object)["configuration"].(object)["CustomData"] = "look again"
	if v := w.Call("codepipeline", "UpdatePipeline", object{"pipeline": next})["pipeline"].(object)["version"]; v != 2.0 {
		t.Errorf("version %v", v)
	}
	if old := string(jsonOf(w.Call("codepipeline", "GetPipeline", object{"name": "shop", "version": 1}))); !strings.Contains(old, "have a look") {
		t.Errorf("version 1 is %s", old)
	}
	if _, code, _ := w.Try("codepipeline", "GetPipeline", object{"name": "shop", "version": 9}); code != "PipelineVersionNotFoundException" {
		t.Errorf("version 9: %s", code)
	}
	if len(w.control.Secrets) != 1 {
		t.Errorf("the hidden token is not kept: %v", w.control.Secrets)
	}
	w.Call("codepipeline", "DeletePipeline", object{"name": "shop"})
	w.Call("codepipeline", "DeletePipeline", object{"name": "shop"})
	if _, code, message := w.Try("codepipeline", "GetPipeline", object{"name": "shop"}); code != "PipelineNotFoundException" || message != "Account '000000000000' does not have a pipeline with name 'shop'" {
		t.Errorf("%s: %s", code, message)
	}
	if apps, _ := w.control.Applications(t.Context(), control.Principal{}); len(apps)+len(w.control.Secrets) > 0 {
		t.Errorf("left: %v %v", apps, w.control.Secrets)
	}
}

func jsonOf(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// What cannot be carried out is refused by its name, and nothing is made.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w := open(t)
	deploy := func(a object) func([]any) {
		return func(stages []any) { stages[2].(object)["actions"] = []any{a} }
	}
	first := func(stages []any, i int) object { return stages[i].(object)["actions"].([]any)[0].(object) }
	for name, c := range map[string]struct {
		change         func(stages []any)
		code, mentions string
	}{
		"ECS":            {deploy(action("Deploy", "ECS", "Roll", object{"configuration": object{"ClusterName": "c"}})), "InvalidActionDeclarationException", "Action Roll of stage Deploy: Deploy action Roll (ECS)"},
		"CloudFormation": {deploy(action("Deploy", "CloudFormation", "Stack", nil)), "InvalidActionDeclarationException", "CloudFormation"},
		"Lambda":         {deploy(action("Invoke", "Lambda", "Call", nil)), "InvalidActionDeclarationException", "Lambda"},
		"custom":         {deploy(object{"name": "Own", "actionTypeId": object{"category": "Deploy", "owner": "Custom", "provider": "Mine", "version": "1"}}), "InvalidActionDeclarationException", "custom action types are not served here"},
		"no bucket":      {deploy(action("Deploy", "S3", "Site", object{"configuration": object{"BucketName": "nowhere", "Extract": "true"}})), "InvalidActionDeclarationException", "there is no bucket nowhere"},
		"dotted bucket":  {deploy(action("Deploy", "S3", "Site", object{"configuration": object{"BucketName": "dotted.site", "Extract": "true"}})), "InvalidActionDeclarationException", "has a dot in its name"},
		"no repository": {func(s []any) {
			first(s, 0)["configuration"] = object{"Owner": "acme", "Repo": "other", "Branch": "main"}
		}, "InvalidActionDeclarationException",
			"showrunner aws repository acme/other=PATH-OR-URL"},
		"CodeCommit": {func(s []any) {
			s[0].(object)["actions"] = []any{action("Source", "CodeCommit", "Git", object{"outputArtifacts": []any{object{"name": "src"}}, "configuration": object{"RepositoryName": "x"}})}
		}, "InvalidActionDeclarationException", "there is no CodeCommit here"},
		"artifact":        {func(s []any) { first(s, 1)["inputArtifacts"] = []any{object{"name": "other"}} }, "InvalidActionDeclarationException", "no action before it makes the input artifact other"},
		"source later":    {func(s []any) { first(s, 2)["actionTypeId"].(object)["category"] = "Source" }, "InvalidStructureException", "begin with a stage that contains nothing but source actions"},
		"stage twice":     {func(s []any) { s[2].(object)["name"] = "Build" }, "InvalidStageDeclarationException", "used twice"},
		"action twice":    {func(s []any) { first(s, 2)["name"] = "Site" }, "InvalidActionDeclarationException", "its name is used twice"},
		"no project name": {func(s []any) { first(s, 1)["configuration"] = object{} }, "InvalidActionDeclarationException", "ProjectName"},
		"condition": {func(s []any) {
			s[1].(object)["onSuccess"] = object{"conditions": []any{object{"result": "FAIL", "rules": []any{object{"name": "r", "ruleTypeId": object{"category": "Rule", "provider": "CloudWatchAlarm"}}}}}}
		}, "InvalidStructureException", "onSuccess"},
	} {
		_, code, message := w.Try("codepipeline", "CreatePipeline", object{"pipeline": shop(c.change)})
		if code != c.code || !strings.Contains(message, c.mentions) {
			t.Errorf("%s: %s: %s\nwant %s with %q", name, code, message, c.code, c.mentions)
		}
	}
	for name, c := range map[string]struct {
		change         func(p object)
		code, mentions string
	}{
		"artifact bucket": {func(p object) { p["artifactStore"].(object)["location"] = "missing-bucket" }, "InvalidStructureException", "The artifact bucket missing-bucket does not exist"},
		"one stage":       {func(p object) { p["stages"] = p["stages"].([]any)[:1] }, "InvalidStructureException", "at least two stages"},
		"V1 variables":    {func(p object) { p["variables"] = []any{object{"name": "v", "defaultValue": "x"}} }, "InvalidStructureException", "V1 cannot have variables"},
		"V1 mode":         {func(p object) { p["executionMode"] = "QUEUED" }, "InvalidStructureException", "V1 cannot have the execution mode QUEUED"},
		"no role":         {func(p object) { delete(p, "roleArn") }, "ValidationException", "pipeline.roleArn"},
	} {
		p := shop(nil)
		c.change(p)
		if _, code, message := w.Try("codepipeline", "CreatePipeline", object{"pipeline": p}); code != c.code || !strings.Contains(message, c.mentions) {
			t.Errorf("%s: %s: %s", name, code, message)
		}
	}
	if calls := w.control.Called(); len(calls) > 0 || len(w.control.Secrets) > 0 {
		t.Errorf("refusals did %v, and kept %v", calls, w.control.Secrets)
	}
	if list := w.Call("codepipeline", "ListPipelines", object{})["pipelines"].([]any); len(list) > 0 {
		t.Errorf("refusals left %v", list)
	}
}

// A control plane that dies while a pipeline is made or deleted carries that on.
func TestACrashIsCarriedOn(t *testing.T) {
	t.Parallel()
	unreachable := problem.New(problem.Unavailable, "test", "the process died")
	for _, dies := range []string{"apply", "start"} {
		w := open(t)
		w.control.Fail = func(op string) error {
			if op == dies {
				return unreachable
			}
			return nil
		}
		if _, code, _ := w.Try("codepipeline", "CreatePipeline", object{"pipeline": shop(nil)}); code == "" {
			t.Fatalf("%s: the creation was answered", dies)
		}
		w.control.Fail = nil
		w.start()
		w.settled()
		calls := w.control.Called()
		if n := len(calls); n < 2 || calls[n-1] != "start shop/shop" || len(w.runs()) != 1 {
			t.Errorf("%s: after the crash %v, %d executions", dies, calls, len(w.runs()))
		}
		w.control.Fail = func(op string) error {
			if op == "delete" {
				return unreachable
			}
			return nil
		}
		if _, code, _ := w.Try("codepipeline", "DeletePipeline", object{"name": "shop"}); code == "" {
			t.Fatal("the deletion was answered")
		}
		if _, code, _ := w.Try("codepipeline", "GetPipeline", object{"name": "shop"}); code != "PipelineNotFoundException" {
			t.Errorf("a pipeline that is being deleted: %s", code)
		}
		w.control.Fail = nil
		w.start()
		w.create(shop(nil)) // which sees to the deletion first
		if len(w.runs()) != 2 {
			t.Errorf("%d executions after it was made anew", len(w.runs()))
		}
	}
}

// settled runs the service until nothing waits.
func (w *world) settled() {
	w.t.Helper()
	if !w.service.SettleAll(w.t.Context()) {
		w.t.Fatal("something still waits")
	}
}

func (w *world) runs() []execution.Execution {
	w.t.Helper()
	page, err := w.control.Executions(w.t.Context(), control.Principal{}, execution.Query{Application: "shop"})
	if err != nil {
		w.t.Fatal(err)
	}
	return page.Executions
}
