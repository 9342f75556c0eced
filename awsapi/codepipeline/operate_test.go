package codepipeline_test

import (
	"strings"
	"testing"
	"time"

	"showrunner/awsapi/delivery/deliverytest"
	"showrunner/execution"
	"showrunner/internal/execid"
	"showrunner/stage"
)

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// stages sets how stages of the newest execution stand.
func (w *world) stages(status execution.Status, change map[string]execution.StageState) string {
	w.t.Helper()
	id := w.runs()[0].ID
	w.control.Change(id, func(e *execution.Execution) {
		e.Status = status
		for i, st := range e.Stages {
			if c, ok := change[st.Name]; ok {
				c.Name, c.Kind = st.Name, st.Kind
				if c.Attempt == 0 && c.Status != execution.NotStarted && c.Status != execution.Canceled {
					c.Attempt = 1
				}
				if c.Started == nil && c.Attempt > 0 {
					c.Started = &began
				}
				e.Stages[i] = c
			}
		}
	})
	uuid, _ := execid.UUID(id, 0)
	return uuid
}

func TestStatesAreTheEngines(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.create(shop(nil))
	ok := execution.StageState{Status: execution.Succeeded, Ended: &began}
	source := ok
	source.Outputs = map[string]any{"commit": "c0ffee", "message": "Mend it", "branch": "main"}
	waits := execution.StageState{Status: execution.Running, Phase: execution.PhaseWaiting}
	id := w.stages(execution.Running, map[string]execution.StageState{"git": source, "compile": ok, "look": waits})
	states := w.Call("codepipeline", "GetPipelineState", object{"name": "shop"})["stageStates"].([]any)
	status := func(i int) any { return states[i].(object)["latestExecution"].(object)["status"] }
	if len(states) != 3 || status(0) != "Succeeded" || status(1) != "Succeeded" || status(2) != "InProgress" {
		t.Fatalf("stages %s", jsonOf(states))
	}
	git := states[0].(object)["actionStates"].([]any)[0].(object)
	if git["currentRevision"].(object)["revisionId"] != "c0ffee" || git["latestExecution"].(object)["summary"] != "Mend it" {
		t.Errorf("the source is %v", git)
	}
	look := states[2].(object)["actionStates"].([]any)[0].(object)["latestExecution"].(object)
	token := look["token"].(string)
	if site := states[2].(object)["actionStates"].([]any)[1].(object); site["latestExecution"] != nil {
		t.Errorf("the deployment has begun: %v", site)
	}
	approval := func(token, action string) object {
		return object{"pipelineName": "shop", "stageName": "Deploy", "actionName": action, "token": token, "result": object{"status": "Approved", "summary": "fine"}}
	}
	other, _ := execid.UUID(deliverytest.ID(1), 77)
	for name, c := range map[string]struct{ token, action, code string }{
		"no token": {"00000000-0000-4000-8000-000000000000", "Look", "InvalidApprovalTokenException"}, "another attempt": {other, "Look", "InvalidApprovalTokenException"},
		"no approval": {token, "Site", "InvalidApprovalTokenException"}, "no action": {token, "None", "ActionNotFoundException"},
	} {
		if _, code, _ := w.Try("codepipeline", "PutApprovalResult", approval(c.token, c.action)); code != c.code {
			t.Errorf("%s: %s, want %s", name, code, c.code)
		}
	}
	w.control.Called()
	w.Call("codepipeline", "PutApprovalResult", approval(token, "Look"))
	if calls := w.control.Called(); len(calls) != 1 || calls[0] != "decide "+deliverytest.ID(1)+" look true fine" {
		t.Errorf("the approval did %v", calls)
	}
	failed := execution.StageState{Status: execution.Terminal, Ended: &began, Failure: &stage.Failure{Code: "REJECTED", Cause: "no"}}
	w.stages(execution.Terminal, map[string]execution.StageState{"look": failed})
	if _, code, _ := w.Try("codepipeline", "PutApprovalResult", approval(token, "Look")); code != "ApprovalAlreadyCompletedException" {
		t.Errorf("decided twice: %s", code)
	}
	if e := w.Call("codepipeline", "GetPipelineExecution", object{"pipelineName": "shop", "pipelineExecutionId": id})["pipelineExecution"].(object); e["status"] != "Failed" || e["trigger"].(object)["triggerType"] != "CreatePipeline" {
		t.Errorf("the execution is %v", e)
	}
	list := w.Call("codepipeline", "ListActionExecutions", object{"pipelineName": "shop", "maxResults": 2})
	if len(list["actionExecutionDetails"].([]any)) != 2 || list["nextToken"] == nil {
		t.Errorf("a page of action executions: %s", jsonOf(list))
	}
	rest := w.Call("codepipeline", "ListActionExecutions", object{"pipelineName": "shop", "nextToken": list["nextToken"]})["actionExecutionDetails"].([]any)
	if len(rest) != 1 {
		t.Errorf("the rest: %s", jsonOf(rest))
	}
	for _, operation := range []string{"ListActionExecutions", "ListPipelineExecutions"} {
		if _, code, _ := w.Try("codepipeline", operation, object{"pipelineName": "shop", "nextToken": "no token"}); code != "InvalidNextTokenException" {
			t.Errorf("%s with another token: %s", operation, code)
		}
	}
}

func TestRetryAndStop(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.create(shop(nil))
	ok := execution.StageState{Status: execution.Succeeded, Ended: &began}
	failed := execution.StageState{Status: execution.Terminal, Ended: &began, Failure: &stage.Failure{Code: "COMMAND_FAILED", Cause: "exit 1"}}
	id := w.stages(execution.Running, map[string]execution.StageState{"git": ok, "compile": {Status: execution.Running, Phase: execution.PhaseRunning}})
	retry := object{"pipelineName": "shop", "stageName": "Build", "pipelineExecutionId": id, "retryMode": "FAILED_ACTIONS"}
	if _, code, _ := w.Try("codepipeline", "RetryStageExecution", retry); code != "StageNotRetryableException" {
		t.Errorf("a stage in progress: %s", code)
	}
	w.stages(execution.Terminal, map[string]execution.StageState{"compile": failed})
	w.control.Called()
	if out := w.Call("codepipeline", "RetryStageExecution", retry); out["pipelineExecutionId"] != id {
		t.Errorf("%v", out)
	}
	if calls := w.control.Called(); len(calls) != 1 || calls[0] != "restart "+deliverytest.ID(1)+" compile" {
		t.Errorf("the retry did %v", calls)
	}
	retry["stageName"] = "Nowhere"
	if _, code, _ := w.Try("codepipeline", "RetryStageExecution", retry); code != "StageNotFoundException" {
		t.Errorf("no stage: %s", code)
	}
	ask := object{"pipelineName": "shop", "pipelineExecutionId": id, "reason": "enough"}
	if _, code, _ := w.Try("codepipeline", "StopPipelineExecution", ask); code != "PipelineExecutionNotStoppableException" {
		t.Errorf("an execution that is over: %s", code)
	}
	start := object{"name": "shop", "clientRequestToken": "one"}
	second := w.Call("codepipeline", "StartPipelineExecution", start)["pipelineExecutionId"]
	if again := w.Call("codepipeline", "StartPipelineExecution", start)["pipelineExecutionId"]; again != second || second == id {
		t.Errorf("the same token started %v and %v after %v", second, again, id)
	}
	retry["stageName"] = "Build"
	w.stages(execution.Running, map[string]execution.StageState{"git": ok, "compile": {Status: execution.Running, Phase: execution.PhaseRunning}})
	if _, code, _ := w.Try("codepipeline", "RetryStageExecution", retry); code != "NotLatestPipelineExecutionException" {
		t.Errorf("not the latest: %s", code)
	}
	ask["pipelineExecutionId"] = second
	w.Call("codepipeline", "StopPipelineExecution", ask)
	if _, code, _ := w.Try("codepipeline", "StopPipelineExecution", ask); code != "DuplicatedStopRequestException" {
		t.Errorf("stopped twice: %s", code)
	}
	e := w.runs()[0]
	if open, why, _ := w.gate.Allows(t.Context(), execution.Head{ID: e.ID, Application: "shop"}, &e.Definition.Stages[2]); open || !strings.Contains(why, "being stopped: enough") {
		t.Errorf("a stage of it may begin: %v %q", open, why)
	}
	if done, err := w.service.TryStop(t.Context(), e.ID); done || err != nil || w.status(second) != "Stopping" {
		t.Errorf("while the build runs: %v %v %v", done, err, w.status(second))
	}
	w.start() // a crash loses no stop
	w.stages(execution.Running, map[string]execution.StageState{"compile": ok, "look": {Status: execution.NotStarted, Phase: execution.PhaseHeld}})
	if _, err := w.service.TryStop(t.Context(), e.ID); err != nil {
		t.Fatal(err)
	}
	if done, err := w.service.TryStop(t.Context(), e.ID); !done || err != nil || w.status(second) != "Stopped" {
		t.Errorf("after it: %v %v %v", done, err, w.status(second))
	}
	third := w.Call("codepipeline", "StartPipelineExecution", object{"name": "shop"})["pipelineExecutionId"]
	w.Call("codepipeline", "StopPipelineExecution", object{"pipelineName": "shop", "pipelineExecutionId": third, "abandon": true})
	if w.status(third) != "Stopped" {
		t.Errorf("abandoned: %v", w.status(third))
	}
}

func (w *world) status(id any) any {
	w.t.Helper()
	return w.Call("codepipeline", "GetPipelineExecution", object{"pipelineName": "shop", "pipelineExecutionId": id})["pipelineExecution"].(object)["status"]
}
