package importer_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"showrunner/importer"
	"showrunner/pipeline"
)

// project is a template with one pipeline, whose build has a buildspec.
func project(action, spec string) string {
	raw, _ := json.Marshal(spec)
	return `{"Resources":{
		"Pipe":{"Type":"AWS::CodePipeline::Pipeline","Properties":{"Stages":[
			{"Name":"Source","Actions":[{"Name":"Src","ActionTypeId":{"Category":"Source","Owner":"AWS","Provider":"CodeCommit","Version":"1"},"Configuration":{"RepositoryName":"app","BranchName":"main"},"OutputArtifacts":[{"Name":"S"}]}]},
			{"Name":"Build","Actions":[{"Name":"Old","ActionTypeId":{"Category":"Build","Owner":"AWS","Provider":"CodeBuild","Version":"1"},"Configuration":{"ProjectName":{"Ref":"Old"}` + action + `},"InputArtifacts":[{"Name":"S"}]}]}]}},
		"Old":{"Type":"AWS::CodeBuild::Project","Properties":{"Source":{"Type":"CODEPIPELINE","BuildSpec":` + string(raw) + `}}}}}`
}

// A buildspec in the document is checked. Parts that builds refuse are rewritten
// or left out, and each is noted at its place.
func TestInlineBuildspecs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		action, spec    string
		severity        importer.Severity
		noted, inline   string
		leftOut, noFile bool
	}{
		"as it is":      {spec: "version: 0.2\nphases: {build: {commands: [make]}}\n", inline: "phases: {build: {commands: [make]}}"},
		"version 0.1":   {spec: "version: 0.1\nenvironment_variables: {plaintext: {A: b}}\nphases: {build: {commands: [cd x, make]}}\n", severity: importer.Warning, noted: "shell of its own", inline: "(\n                  cd x\n                  )"},
		"batch":         {spec: "version: 0.2\nbatch: {build-list: [{identifier: a}]}\nphases: {build: {commands: [make]}}\n", severity: importer.Warning, noted: "batch builds are not run", inline: "- make"},
		"batch asked":   {action: `,"BatchEnabled":"true"`, spec: "version: 0.2\nbatch: {fast-fail: true}\nphases: {build: {commands: [make]}}\n", severity: importer.Error, noted: "give each build of the batch a stage", inline: "- make"},
		"unknown key":   {spec: "version: 0.2\nphases:\n  build: {command: [make], commands: [make]}\n", severity: importer.Error, noted: `line 3, column 11: phases.build has no key "command"`, leftOut: true},
		"no YAML":       {spec: "version: 0.2\nphases: [\n", severity: importer.Error, noted: "nothing closes the [", leftOut: true},
		"JSON":          {spec: `{"version":"0.2","phases":{"build":{"commands":["make"]}}}`, inline: "- make"},
		"JSON, version": {spec: `{"version":"0.3","phases":{"build":{"commands":["make"]}}}`, severity: importer.Error, noted: `there is no version "0.3"`, leftOut: true},
	} {
		r, err := importer.CDK([]byte(project(c.action, c.spec)), importer.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		checkSound(t, r)
		if got := strings.Contains(string(r.YAML), "\n      old:"); got == c.leftOut {
			t.Errorf("%s: the stage is there: %v\n%s", name, got, r.YAML)
		}
		if !strings.Contains(string(r.YAML), c.inline) {
			t.Errorf("%s: the file lacks %q:\n%s", name, c.inline, r.YAML)
		}
		if _, ok := r.Files["buildspecs/old.yml"]; !ok {
			t.Errorf("%s: no copy of the buildspec to correct: %v", name, r.Files)
		}
		found := c.noted == ""
		for _, n := range r.NotCarried {
			found = found || n.Path == "/Resources/Old/Properties/Source/BuildSpec" && n.Severity == c.severity && strings.Contains(n.Why, c.noted)
		}
		if !found {
			t.Errorf("%s: no note says %q: %+v", name, c.noted, r.NotCarried)
		}
	}
}

func source(provider, configuration string) string {
	return `{"name":"Src","namespace":"SV","actionTypeId":{"category":"Source","owner":"AWS","provider":"` + provider + `","version":"1"},"configuration":` + configuration + `,"outputArtifacts":[{"name":"A"}]}`
}

// The names of a repository are in the document; the page of a commit is on the
// repository's host.
func TestVariablesOfSources(t *testing.T) {
	t.Parallel()
	const commit = "${{ stages.src.outputs.commit }}"
	connection := `{"ConnectionArn":"arn:c","FullRepositoryId":"acme/shop","BranchName":"main"}`
	for _, c := range []struct{ provider, configuration, text, want, override string }{
		{"CodeStarSourceConnection", connection, "#{SV.FullRepositoryName}@#{SV.CommitId}", "acme/shop@" + commit, ""},
		{"CodeStarSourceConnection", connection, "#{SV.RepositoryName} #{SV.CommitUrl}", "shop https://github.com/acme/shop/commit/" + commit, ""},
		{"CodeStarSourceConnection", connection, "#{SV.FullRepositoryName} #{SV.CommitUrl}", "acme/shop https://git.example.com/x/commit/" + commit, "https://git.example.com/x.git"},
		{"CodeStarSourceConnection", connection, "#{SV.FullRepositoryName} #{SV.CommitUrl}", "acme/shop #{SV.CommitUrl}", "/srv/git"},
		{"GitHub", `{"Owner":"acme","Repo":"shop","Branch":"main"}`, "#{SV.RepositoryName} #{SV.CommitUrl}", "shop https://github.com/acme/shop/commit/" + commit, ""},
		{"CodeCommit", `{"RepositoryName":"cfg","BranchName":"main"}`, "#{SV.RepositoryName} #{SV.BranchName}", "cfg ${{ stages.src.outputs.branch }}", ""},
		{"CodeCommit", `{"RepositoryName":"cfg","BranchName":"main"}`, "#{SV.FullRepositoryName}", "#{SV.FullRepositoryName}", ""},
	} {
		doc := `{"name":"p","stages":[{"name":"S","actions":[` + source(c.provider, c.configuration) + `]},
			{"name":"D","actions":[{"name":"Ok","actionTypeId":{"category":"Approval","owner":"AWS","provider":"Manual","version":"1"},"configuration":{"CustomData":"` + c.text + `"}}]}]}`
		opts := importer.Options{}
		if c.override != "" {
			opts.SourceOverrides = map[string]string{"Src": c.override}
		}
		p, text := imported(t, "codepipeline", doc, opts)
		var a pipeline.Approval
		if err := json.Unmarshal(p.Stages[1].With, &a); err != nil {
			t.Fatal(err)
		}
		if a.Instructions != c.want {
			t.Errorf("%s: %q is %q, want %q", c.provider, c.text, a.Instructions, c.want)
		}
		if strings.Contains(a.Instructions, "#{") && !strings.Contains(text, "the text stays as it is") {
			t.Errorf("%s: nothing says that %s stays", c.provider, c.text)
		}
	}
}

// A repository or branch that is known only when a run starts cannot be watched,
// so no trigger is written.
func TestRepositoriesThatAreParameters(t *testing.T) {
	t.Parallel()
	for provider, configuration := range map[string]string{
		"CodeCommit":               `{"RepositoryName":{"Ref":"Repo"},"BranchName":"main"}`,
		"CodeStarSourceConnection": `{"ConnectionArn":"arn:c","FullRepositoryId":{"Ref":"Repo"},"BranchName":"main"}`,
		"GitHub":                   `{"Owner":"acme","Repo":{"Ref":"Repo"},"Branch":"main","OAuthToken":"{{resolve:ssm:t}}"}`,
	} {
		for _, triggers := range []string{"", `,"triggers":[` + onSource("Src", `,"push":[{"tags":{"includes":["v*"]}}]`) + `]`} {
			doc := `{"Parameters":{"Repo":{"Type":"String"}},"Resources":{"P":{"Type":"AWS::CodePipeline::Pipeline","Properties":{"name":"p"` + triggers + `,"stages":[
				{"name":"S","actions":[` + source(provider, configuration) + `]},
				{"name":"D","actions":[{"name":"Ok","actionTypeId":{"category":"Approval","owner":"AWS","provider":"Manual","version":"1"}}]}]}}}}`
			r, err := importer.CDK([]byte(doc), importer.Options{})
			if err != nil {
				t.Fatal(err)
			}
			checkSound(t, r)
			if n := len(r.Document.Pipelines[0].Triggers); n != 0 || !hasNote(r, "change detection of Src") && !hasNote(r, "trigger of Src") {
				t.Errorf("%s: %d triggers, notes %+v", provider, n, r.NotCarried)
			}
		}
	}
}

func TestSpinnakerConcurrency(t *testing.T) {
	t.Parallel()
	for members, want := range map[string]pipeline.Concurrency{
		"": pipeline.Parallel, `,"limitConcurrent":false`: pipeline.Parallel, `,"limitConcurrent":null`: pipeline.Parallel,
		`,"limitConcurrent":true`: pipeline.Supersede, `,"limitConcurrent":true,"keepWaitingPipelines":true`: pipeline.Queue,
		`,"keepWaitingPipelines":true`: pipeline.Parallel,
	} {
		p, _ := imported(t, "spinnaker", `{"name":"p","application":"a","stages":[{"refId":"1","type":"wait","name":"w","waitTime":1}]`+members+`}`, importer.Options{})
		if p.Concurrency != want {
			t.Errorf("%s: %s, want %s", members, p.Concurrency, want)
		}
	}
}

// A precondition stops its branch or the execution, as failPipeline says; a
// stage with both kinds is two.
func TestPreconditions(t *testing.T) {
	t.Parallel()
	stages := func(preconditions string) string {
		return `{"name":"p","application":"a","parameterConfig":[{"name":"env"},{"name":"ok"}],"stages":[
			{"refId":"0","type":"wait","name":"before","waitTime":1},
			{"refId":"1","requisiteStageRefIds":["0"],"type":"checkPreconditions","name":"check","preconditions":[` + preconditions + `]},
			{"refId":"2","requisiteStageRefIds":["1"],"type":"wait","name":"after","waitTime":1}]}`
	}
	one := func(expression, more string) string {
		return `{"type":"expression","context":{"expression":"` + expression + `"}` + more + `}`
	}
	soft := `,"failPipeline":false`
	shape := func(p pipeline.Pipeline) string {
		var list []string
		for _, s := range p.Stages {
			list = append(list, s.Name+"("+strings.Join(s.Needs, " ")+")"+strings.TrimSuffix(string(s.OnFailure), "halt"))
		}
		return strings.Join(list, " ")
	}
	for preconditions, want := range map[string]string{
		one("${parameters.env == 'x'}", ""):                                              "before() check(before) after(check)",
		one("${parameters.env == 'x'}", `,"failPipeline":true`):                          "before() check(before) after(check)",
		one("${parameters.env == 'x'}", soft):                                            "before() check(before)halt-branch after(check)",
		one("${parameters.env == 'x'}", soft) + "," + one("${parameters.ok == 'y'}", ""): "before() check-required(before) check(check-required)halt-branch after(check)",
	} {
		p, _ := imported(t, "spinnaker", stages(preconditions), importer.Options{})
		if got := shape(p); got != want {
			t.Errorf("%s\n%s\nwant %s", preconditions, got, want)
		}
	}
	for expression, want := range map[string]string{
		"${ parameters.env == 'x' && (parameters['ok'] != 'y' or not parameters.ok == 'z') }": `parameters.env == "x" && (parameters.ok != "y" || !(parameters.ok == "z"))`,
		"${parameters.ok}":                                        `parameters.ok == "true"`,
		"'x' == parameters.env":                                   `"x" == parameters.env`,
		"${#stage('x')['status']=='OK'}":                          "",
		"${#stage('before')['status'].toString() == 'SUCCEEDED'}": `stages.before.status == "Succeeded"`,
		"true":                         "true",
		"${parameters.env == }":        "",
		"${parameters.env == 'x' 'y'}": "",
	} {
		p, text := imported(t, "spinnaker", stages(one(expression, "")), importer.Options{})
		if want == "" {
			if !strings.Contains(text, "compare parameters with texts, and how earlier stages ended") || shape(p) != "before() after(before)" {
				t.Errorf("%s: %s\n%s", expression, shape(p), text)
			}
			continue
		}
		var r pipeline.Run
		if err := json.Unmarshal(p.Stages[1].With, &r); err != nil {
			t.Fatal(err)
		}
		if got := r.Commands[0]; got != `test "${{ `+want+` }}" = true` {
			t.Errorf("%s: %s", expression, got)
		}
	}
}

// A document that another program has to process before it is a pipeline is
// refused by its name.
func TestUnrenderedSpinnakerDocuments(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		`{"application":"a","pipelines":[{"name":"p","stages":[]}]}`:                                        "a dinghyfile",
		`{"application":"a","pipelines":[{{ module "x" }}]}`:                                                "a dinghyfile or a template",
		`{"schema":"v2","id":"t","metadata":{"name":"t"},"variables":[],"pipeline":{"stages":[]}}`:          "a pipeline template",
		`{"schema":"v2","application":"a","name":"n","template":{"reference":"spinnaker://t"},"stages":[]}`: "a pipeline made from a template",
		`{"type":"templatedPipeline","config":{"schema":"1"},"name":"n","stages":[]}`:                       "a pipeline made from a template",
	} {
		if _, err := importer.Spinnaker([]byte(src), importer.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", src, err, want)
		}
	}
}

// Required configuration is never made up: an action that lacks it is left out.
func TestActionsWithoutConfiguration(t *testing.T) {
	t.Parallel()
	for provider, c := range map[string]struct{ category, missing string }{
		"GitHub":                   {"Source", "Owner and no Repo"},
		"CodeStarSourceConnection": {"Source", "FullRepositoryId"},
		"CodeCommit":               {"Source", "RepositoryName"},
		"CodeBuild":                {"Build", "ProjectName"},
		"S3":                       {"Deploy", "BucketName"},
	} {
		r, err := importer.CodePipeline([]byte(`{"name":"p","stages":[{"name":"S","actions":[{"name":"a","actionTypeId":{"category":"`+c.category+`","owner":"AWS","provider":"`+provider+`","version":"1"}}]}]}`), importer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		checkSound(t, r)
		found := false
		for _, n := range r.NotCarried {
			found = found || n.Path == "/stages/0/actions/0" && n.Severity == importer.Error && strings.Contains(n.Why, "no "+c.missing)
		}
		if !found || !strings.Contains(string(r.YAML), "nothing-carried") {
			t.Errorf("%s: %+v\n%s", provider, r.NotCarried, r.YAML)
		}
	}
}

// A project whose name contains a parameter is found by the resulting name. A
// variable that the action sets again is noted.
func TestProjectsNamedByParameters(t *testing.T) {
	t.Parallel()
	name := `{"Fn::Sub":"${App}-build"}`
	r, err := importer.CDK([]byte(`{"Parameters":{"App":{"Type":"String"},"Unused":{"Type":"String","Default":"x"}},"Resources":{
		"Pipe":{"Type":"AWS::CodePipeline::Pipeline","Properties":{"Stages":[
			{"Name":"Source","Actions":[{"Name":"Src","ActionTypeId":{"Category":"Source","Owner":"AWS","Provider":"CodeCommit","Version":"1"},"Configuration":{"RepositoryName":"app","BranchName":"main"},"OutputArtifacts":[{"Name":"S"}]}]},
			{"Name":"Build","Actions":[{"Name":"B","ActionTypeId":{"Category":"Build","Owner":"AWS","Provider":"CodeBuild","Version":"1"},"Configuration":{"ProjectName":`+name+`,"EnvironmentVariables":"[{\"name\":\"A\",\"value\":\"2\"}]"},"InputArtifacts":[{"Name":"S"}]}]}]}},
		"Project":{"Type":"AWS::CodeBuild::Project","Properties":{"Name":`+name+`,"Environment":{"EnvironmentVariables":[{"Name":"A","Value":"1"}]},"Source":{"BuildSpec":"ci/spec.yml"}}}}}`), importer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	checkSound(t, r)
	if !strings.Contains(string(r.YAML), "spec: ci/spec.yml") || !strings.Contains(string(r.YAML), "env: {A: '2'}") {
		t.Errorf("the project's settings are lost:\n%s", r.YAML)
	}
	for _, what := range []string{"variable A", "parameter App", "parameter Unused"} {
		if !hasNote(r, what) {
			t.Errorf("nothing says %s: %+v", what, r.NotCarried)
		}
	}
}

// A name that the document does not have is not invented in silence.
func TestAnUnnamedSpinnakerPipeline(t *testing.T) {
	r, err := run("spinnaker", []byte(`{"stages": [{"type": "wait", "name": "w", "refId": "1", "waitTime": 1}]}`), importer.Options{File: "p.json"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Document.Application != "pipeline" || r.Document.Pipelines[0].Name != "pipeline" {
		t.Errorf("it is %s/%s", r.Document.Application, r.Document.Pipelines[0].Name)
	}
	if !slices.ContainsFunc(r.NotCarried, func(n importer.Note) bool {
		return n.Severity == importer.Warning && strings.Contains(n.Why, "taken as pipeline")
	}) {
		t.Errorf("nothing says that its name was invented: %+v", r.NotCarried)
	}
}
