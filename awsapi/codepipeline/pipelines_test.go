package codepipeline_test

import (
	"slices"
	"strings"
	"testing"

	"showrunner/awsapi/awstest"
	"showrunner/control"
	"showrunner/execution"
)

func TestDisabledTransitionsHoldWhatWouldEnter(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.create(shop(nil))
	e := w.runs()[0]
	allows := func(stageName string) bool {
		w.gate.Read(t.Context())
		for i := range e.Definition.Stages {
			if st := &e.Definition.Stages[i]; st.Name == stageName {
				open, _, _ := w.gate.Allows(t.Context(), execution.Head{ID: e.ID, Application: "shop"}, st)
				return open
			}
		}
		t.Fatalf("no stage %s", stageName)
		return false
	}
	w.Call("codepipeline", "DisableStageTransition", object{"pipelineName": "shop", "stageName": "Build", "transitionType": "Outbound", "reason": "weekend"})
	if !allows("compile") || allows("look") || !allows("site") {
		t.Errorf("build %v, look %v, site %v", allows("compile"), allows("look"), allows("site"))
	}
	in := w.Call("codepipeline", "GetPipelineState", object{"name": "shop"})["stageStates"].([]any)[2].(object)["inboundTransitionState"].(object)
	if in["enabled"] != false || in["disabledReason"] != "weekend" {
		t.Errorf("the transition is %v", in)
	}
	w.Call("codepipeline", "EnableStageTransition", object{"pipelineName": "shop", "stageName": "Deploy", "transitionType": "Inbound"})
	if !allows("look") {
		t.Error("the transition is still disabled")
	}
	for stageName, code := range map[string]string{"Nowhere": "StageNotFoundException", "Deploy": "ValidationException"} {
		if _, got, _ := w.Try("codepipeline", "DisableStageTransition", object{"pipelineName": "shop", "stageName": stageName, "transitionType": "Outbound", "reason": "x"}); got != code {
			t.Errorf("%s: %s", stageName, got)
		}
	}
}

// Pipelines that a person has applied are there too, and stay theirs.
func TestPipelinesOfOthers(t *testing.T) {
	t.Parallel()
	w := open(t)
	file := "application: web\npipelines:\n  release:\n    stages:\n      source: { git: { url: /srv/web.git, branch: main } }\n      rest: { needs: [source], wait: { for: 1m } }\n"
	if _, err := w.control.Apply(t.Context(), control.Principal{}, control.File{Name: "web.yaml", Source: []byte(file)}, 0); err != nil {
		t.Fatal(err)
	}
	w.create(shop(nil))
	var names []any
	for _, p := range w.Call("codepipeline", "ListPipelines", object{})["pipelines"].([]any) {
		names = append(names, p.(object)["name"])
	}
	if !slices.Equal(names, []any{"release@web", "shop"}) {
		t.Errorf("pipelines %v", names)
	}
	got := w.Call("codepipeline", "GetPipeline", object{"name": "release@web"})["pipeline"].(object)
	if stages := got["stages"].([]any); len(stages) != 2 || got["executionMode"] != "QUEUED" {
		t.Errorf("%s", jsonOf(got))
	}
	id := w.Call("codepipeline", "StartPipelineExecution", object{"name": "release@web"})["pipelineExecutionId"]
	if list := w.Call("codepipeline", "ListPipelineExecutions", object{"pipelineName": "release@web"})["pipelineExecutionSummaries"].([]any); len(list) != 1 || list[0].(object)["pipelineExecutionId"] != id {
		t.Errorf("executions %v", list)
	}
	for operation, in := range map[string]object{"UpdatePipeline": {"pipeline": got}, "DeletePipeline": {"name": "release@web"}} {
		if _, code, _ := w.Try("codepipeline", operation, in); code != "ValidationException" {
			t.Errorf("%s: %s", operation, code)
		}
	}
}

func TestVariablesAndRevisions(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := shop(nil)
	p["pipelineType"], p["variables"] = "V2", []any{object{"name": "log-level", "defaultValue": "info"}, object{"name": "who"}}
	w.create(p)
	if len(w.runs()) != 0 {
		t.Error("an execution began without the value of a variable")
	}
	commit := strings.Repeat("c0ffee12", 5)
	in := object{"name": "shop", "variables": []any{object{"name": "log-level", "value": "debug"}, object{"name": "who", "value": "me"}},
		"sourceRevisions": []any{object{"actionName": "Git", "revisionType": "COMMIT_ID", "revisionValue": commit}}}
	w.Call("codepipeline", "StartPipelineExecution", in)
	e := w.runs()[0]
	if e.Parameters["log_level"] != "debug" || e.Parameters["who"] != "me" || !strings.Contains(string(e.Definition.Stages[0].With), commit) {
		t.Errorf("%v %s", e.Parameters, e.Definition.Stages[0].With)
	}
	for name, change := range map[string]object{
		"unknown variable": {"variables": []any{object{"name": "other", "value": "x"}}}, "missing variable": {"variables": []any{}},
		"no source": {"sourceRevisions": []any{object{"actionName": "Compile", "revisionType": "COMMIT_ID", "revisionValue": commit}}},
		"digest":    {"sourceRevisions": []any{object{"actionName": "Git", "revisionType": "IMAGE_DIGEST", "revisionValue": commit}}},
	} {
		bad := object{"name": "shop", "variables": in["variables"]}
		for k, v := range change {
			bad[k] = v
		}
		if _, code, message := w.Try("codepipeline", "StartPipelineExecution", bad); code != "ValidationException" {
			t.Errorf("%s: %s %s", name, code, message)
		}
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.Call("codepipeline", "CreatePipeline", object{"pipeline": shop(nil), "tags": []any{object{"key": "team", "value": "a"}}})
	arn := "arn:aws:codepipeline:" + awstest.Region + ":000000000000:shop"
	w.Call("codepipeline", "TagResource", object{"resourceArn": arn, "tags": []any{object{"key": "team", "value": "b"}, object{"key": "x", "value": "y"}}})
	w.Call("codepipeline", "UntagResource", object{"resourceArn": arn, "tagKeys": []any{"x"}})
	if tags := string(jsonOf(w.Call("codepipeline", "ListTagsForResource", object{"resourceArn": arn})["tags"])); tags != `[{"key":"team","value":"b"}]` {
		t.Errorf("tags %s", tags)
	}
	for resource, code := range map[string]string{arn + "x": "ResourceNotFoundException", "arn:aws:codepipeline:eu-west-1:000000000000:shop": "InvalidArnException"} {
		if _, got, _ := w.Try("codepipeline", "ListTagsForResource", object{"resourceArn": resource}); got != code {
			t.Errorf("%s: %s", resource, got)
		}
	}
}

// What newer clients of AWS say of a pipeline is understood too: commands, and
// retries of a stage.
func TestCommandsAndRetries(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := shop(func(stages []any) {
		stages[1] = object{"name": "Build", "onFailure": object{"result": "RETRY", "retryConfiguration": object{"retryMode": "FAILED_ACTIONS"}}, "actions": []any{
			action("Compute", "Commands", "Compile", object{"commands": []any{"make", "make test"}, "inputArtifacts": []any{object{"name": "src"}},
				"outputArtifacts": []any{object{"name": "out", "files": []any{"dist/**"}}}})}}
	})
	p["pipelineType"] = "V2"
	w.create(p)
	app, err := w.control.Application(t.Context(), control.Principal{}, "shop")
	if err != nil {
		t.Fatal(err)
	}
	st := app.Pipelines[0].Stages[1]
	if st.Kind != "build" || st.Retry == nil || st.Retry.Attempts != 1 || !strings.Contains(string(st.With), "make test") || !strings.Contains(string(st.With), "dist/**") {
		t.Errorf("the stage is %+v %s", st, st.With)
	}
	got := string(jsonOf(w.Call("codepipeline", "GetPipeline", object{"name": "shop"})))
	for _, want := range []string{`"commands":["make","make test"]`, `"retryMode":"FAILED_ACTIONS"`, `"files":["dist/**"]`} {
		if !strings.Contains(got, want) {
			t.Errorf("it is told without %s: %s", want, got)
		}
	}
}
