package importer_test

import (
	"strings"
	"testing"

	"showrunner/importer"
)

// An approval is kept when its text refers to something that is not there: without
// it, what follows would run unasked.
func TestAnApprovalOutlivesItsText(t *testing.T) {
	t.Parallel()
	doc := `{"name":"p","variables":[{"name":"tag","defaultValue":"x"}],"stages":[
		{"name":"S","actions":[` + source("CodeCommit", `{"RepositoryName":"app","BranchName":"main"}`) + `]},
		{"name":"A","actions":[{"name":"Ok","actionTypeId":{"category":"Approval","owner":"AWS","provider":"Manual","version":"1"},
			"configuration":{"CustomData":"Approve #{variables.release_id} of #{variables.tag}"}}]}]}`
	p, text := imported(t, "codepipeline", doc, importer.Options{})
	if len(p.Stages) != 2 || p.Stages[1].Kind != "approval" {
		t.Fatalf("the approval is missing:\n%s", text)
	}
	for _, want := range []string{"Approve #{variables.release_id} of ${{ parameters.tag }}", "#{variables.release_id}: nothing that was carried over sets this variable"} {
		if !strings.Contains(text, want) {
			t.Errorf("the file lacks %q:\n%s", want, text)
		}
	}
}

// A stage that acts under a condition that cannot be carried over is left out; a
// stage that only holds the pipeline back stays.
func TestSpinnakerConditionsThatCannotBeCarriedOver(t *testing.T) {
	t.Parallel()
	const webhook, call = `"type":"webhook","url":"http://example.com/","method":"POST"`, `"type":"pipeline","pipeline":"p"`
	for _, c := range []struct {
		stage, condition string
		kept             bool
	}{
		{webhook, `${ #judgment('ask').equals('Continue') }`, false},
		{call, `${ trigger['artifacts'][0]['version'] matches 'v.*' }`, false},
		{`"type":"manualJudgment"`, `${ #judgment('ask') == 'Continue' }`, true},
		{`"type":"wait","waitTime":5`, `${ execution.stages[0].status == 'x' }`, true},
		{webhook, `${ parameters.env == 'prod' }`, true},
		{webhook, `\"${ parameters.env == 'prod' }\"`, true},
	} {
		p, r := spinnakerStage(t, c.stage+`,"stageEnabled":{"type":"expression","expression":"`+c.condition+`"}`)
		kept := p.Stages[0].Name == "it"
		if kept != c.kept {
			t.Errorf("%s when %s: kept %v, want %v", c.stage, c.condition, kept, c.kept)
		}
		if lost := kept && p.Stages[0].When == "" || !kept; lost && !errorAt(r, "the condition has no plain equivalent") {
			t.Errorf("%s when %s: no note of severity error: %+v", c.stage, c.condition, r.NotCarried)
		}
	}
}

// A condition over a stage that could not be carried over does not turn into none.
func TestSpinnakerStatusOfAStageThatWasLeftOut(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"after", "before"} {
		wait := `{"refId":"1","name":"pause","type":"wait","waitTime":"${unknown}"}`
		act := `{"refId":"2","requisiteStageRefIds":["1"],"name":"act","type":"webhook","url":"http://example.com/","method":"POST",
			"stageEnabled":{"type":"expression","expression":"${ #stage('pause').status == 'SUCCEEDED' }"}}`
		stages := wait + "," + act
		if order == "before" {
			stages = act + "," + wait
		}
		r, err := run("spinnaker", []byte(`{"name":"p","application":"a","stages":[`+stages+`,{"refId":"3","type":"manualJudgment","name":"ok"}]}`), importer.Options{File: "in.json"})
		if err != nil {
			t.Fatal(err)
		}
		checkSound(t, r)
		if p := r.Document.Pipelines[0]; len(p.Stages) != 1 || p.Stages[0].Name != "ok" {
			t.Errorf("%s: stages %+v:\n%s", order, p.Stages, r.YAML)
		}
	}
}

// Pipelines of a plan whose names are not known yet take those of their resources.
func TestTerraformNamesThatAreNotKnownYet(t *testing.T) {
	t.Parallel()
	pipe := func(name string) string {
		return `{"address":"aws_codepipeline.` + name + `","mode":"managed","type":"aws_codepipeline","name":"` + name + `","values":{"name":null,"stage":[
			{"name":"A","action":[{"name":"Ok","category":"Approval","owner":"AWS","provider":"Manual","version":"1"}]}]}}`
	}
	r, err := run("terraform", []byte(`{"format_version":"1.0","planned_values":{"root_module":{"resources":[`+pipe("front")+`,`+pipe("back")+`]}}}`), importer.Options{File: "in.json"})
	if err != nil {
		t.Fatal(err)
	}
	checkSound(t, r)
	if d := r.Document; d.Application != "front" || len(d.Pipelines) != 2 || d.Pipelines[0].Name != "front" || d.Pipelines[1].Name != "back" {
		t.Errorf("application %s, pipelines %+v", d.Application, d.Pipelines)
	}
	if !strings.Contains(string(r.YAML), "not known before `terraform apply`: taken as back") {
		t.Errorf("nothing says where the names come from:\n%s", r.YAML)
	}
}
