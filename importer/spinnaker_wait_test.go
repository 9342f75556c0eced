package importer_test

import (
	"encoding/json"
	"strings"
	"testing"

	"showrunner/importer"
	"showrunner/pipeline"
)

// spinnakerStage imports a pipeline with one stage and the parameters seconds and
// env, and an approval after it.
func spinnakerStage(t *testing.T, members string) (pipeline.Pipeline, importer.Result) {
	t.Helper()
	doc := `{"name":"p","application":"a","parameterConfig":[{"name":"seconds","default":"30"},{"name":"env","default":"test"}],"stages":[
		{"refId":"1","name":"it",` + members + `},{"refId":"2","requisiteStageRefIds":["1"],"name":"ok","type":"manualJudgment"}]}`
	r, err := run("spinnaker", []byte(doc), importer.Options{File: "in.json"})
	if err != nil {
		t.Fatal(err)
	}
	checkSound(t, r)
	return r.Document.Pipelines[0], r
}

// errorAt tells whether the result has a note of severity error that contains text.
func errorAt(r importer.Result, text string) bool {
	for _, n := range r.NotCarried {
		if n.Severity == importer.Error && strings.Contains(n.What+": "+n.Why, text) {
			return true
		}
	}
	return false
}

// The time of a wait is the original's, or the stage is left out: no time is made up.
func TestSpinnakerWaits(t *testing.T) {
	t.Parallel()
	for waitTime, want := range map[string]string{
		`300`:                                    "5m",
		`"45"`:                                   "45s",
		`0`:                                      "0s",
		`null`:                                   "0s",
		`1.5`:                                    "",
		`-5`:                                     "",
		`"5m"`:                                   "",
		`99e15`:                                  "",
		`"${parameters.seconds}"`:                `${{ string(int(parameters.seconds)) + "s" }}`,
		`"${ parameters['seconds'] }"`:           `${{ string(int(parameters.seconds)) + "s" }}`,
		`"${ #toInt(parameters.seconds) * 60 }"`: `${{ string(int(parameters.seconds) * 60) + "s" }}`,
		`"${ 2 * (#toInt(parameters.seconds) + 1) }"`:                              `${{ string(2 * (int(parameters.seconds) + 1)) + "s" }}`,
		`"${ T(java.lang.Integer).parseInt(parameters.seconds) }"`:                 `${{ string(int(parameters.seconds)) + "s" }}`,
		`"${ parameters.env == 'prod' ? 600 : 60 }"`:                               `${{ string((parameters.env == "prod" ? 600 : 60)) + "s" }}`,
		`"${ parameters.env == 'prod' ? parameters.seconds : 60 }"`:                `${{ string((parameters.env == "prod" ? int(parameters.seconds) : 60)) + "s" }}`,
		`"${ parameters.seconds ?: 90 }"`:                                          `${{ string((parameters.seconds != "" ? int(parameters.seconds) : 90)) + "s" }}`,
		`"${ parameters.seconds * 60 }"`:                                           "", // a text that is repeated
		`"${ parameters.unknown }"`:                                                "",
		`"${ templateVariables.waitTime }"`:                                        "",
		`"${ #stage('x').outputs.seconds }"`:                                       "",
		`"${ T(java.lang.Math).random() * 60 }"`:                                   "",
		`"1${parameters.seconds}"`:                                                 "",
		`"${parameters.seconds}${parameters.seconds}"`:                             "",
		`"${ ` + strings.Repeat("(", 300) + `1` + strings.Repeat(")", 300) + ` }"`: "",
	} {
		p, r := spinnakerStage(t, `"type":"wait","waitTime":`+waitTime)
		var got struct{ For string }
		if p.Stages[0].Kind == "wait" {
			if err := json.Unmarshal(p.Stages[0].With, &got); err != nil {
				t.Fatal(err)
			}
		}
		if got.For != want {
			t.Errorf("waitTime %s: waits for %q, want %q", waitTime, got.For, want)
		}
		if want == "" && !errorAt(r, "write a `wait` stage with its time") {
			t.Errorf("waitTime %s: no note of severity error: %+v", waitTime, r.NotCarried)
		}
		if want == "" && len(p.Stages[0].Needs) != 0 {
			t.Errorf("waitTime %s: needs %v of a stage that is not there", waitTime, p.Stages[0].Needs)
		}
	}
}

// A member that Spinnaker evaluates when it runs the stage is not taken for false.
func TestSpinnakerDecisionsThatAreExpressions(t *testing.T) {
	t.Parallel()
	const unknown = `"${parameters.env == 'prod'}"`
	for member, policy := range map[string]pipeline.FailurePolicy{
		`"failPipeline":` + unknown:                                       pipeline.Halt,
		`"continuePipeline":` + unknown:                                   pipeline.Halt,
		`"failPipeline":false,"completeOtherBranchesThenFail":` + unknown: pipeline.HaltBranch,
		`"restrictExecutionDuringTimeWindow":` + unknown:                  pipeline.Halt,
		`"failPipeline":"false","continuePipeline":"false"`:               pipeline.HaltBranch,
		`"failPipeline":"False","completeOtherBranchesThenFail":true`:     pipeline.FailAtEnd,
	} {
		p, r := spinnakerStage(t, `"type":"wait","waitTime":1,`+member)
		if got := p.Stages[0].OnFailure; got != policy && !(got == "" && policy == pipeline.Halt) {
			t.Errorf("%s: %q, want %q", member, got, policy)
		}
		if strings.Contains(member, "${") && !errorAt(r, "neither true nor false before the stage runs") {
			t.Errorf("%s: no note of severity error: %+v", member, r.NotCarried)
		}
	}
}

// A window whose hours or days cannot be read is left out, not widened or moved.
func TestSpinnakerWindowsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	const hours = `"whitelist":[{"startHour":9,"startMin":0,"endHour":17,"endMin":30}]`
	for window, want := range map[string]int{
		`{` + hours + `}`:              1,
		`{"days":[2,3],` + hours + `}`: 1,
		`{"days":["x"],` + hours + `}`: 0,
		`{"days":[0,9]}`:               0,
		`{"whitelist":[{"startHour":"${parameters.seconds}","endHour":17}]}`:         0,
		`{"days":[2],"whitelist":[{"startHour":25,"endHour":17}]}`:                   0,
		`{"whitelist":[{"startHour":25,"endHour":17},{"startHour":9,"endHour":17}]}`: 1,
	} {
		p, r := spinnakerStage(t, `"type":"wait","waitTime":1,"restrictExecutionDuringTimeWindow":true,"restrictedExecutionWindow":`+window)
		if got := len(p.Stages[0].Windows); got != want {
			t.Errorf("%s: %d windows, want %d: %+v", window, got, want, p.Stages[0].Windows)
		}
		if want == 0 && !errorAt(r, "it is left out") {
			t.Errorf("%s: no note of severity error: %+v", window, r.NotCarried)
		}
	}
}
