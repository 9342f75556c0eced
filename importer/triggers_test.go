package importer_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"showrunner/importer"
	"showrunner/pipeline"
)

// imported is the only pipeline of a document, and its notes.
func imported(t *testing.T, kind, src string, opts importer.Options) (pipeline.Pipeline, string) {
	t.Helper()
	opts.File = "in.json"
	res, err := run(kind, []byte(src), opts)
	if err != nil {
		t.Fatal(err)
	}
	doc, diags := pipeline.Parse("out.yaml", res.YAML)
	if diags.HasErrors() {
		t.Fatalf("%v\n%s", diags, res.YAML)
	}
	return doc.Pipelines[0], string(res.YAML)
}

// triggersOf describes a document's triggers by the fields that matter.
func triggersOf(t *testing.T, p pipeline.Pipeline) string {
	t.Helper()
	var list []string
	for _, tr := range p.Triggers {
		switch {
		case tr.Push != nil:
			list = append(list, fmt.Sprintf("push %s%v%v%v", tr.Push.Repository, tr.Push.Branches, tr.Push.Tags, tr.Push.Paths))
		case tr.Poll != nil:
			list = append(list, fmt.Sprintf("poll %s%v%v%v", tr.Poll.URL, tr.Poll.Branches, tr.Poll.Tags, tr.Poll.Paths))
		case tr.Webhook != nil:
			list = append(list, "webhook "+tr.Webhook.When)
		}
	}
	return strings.Join(list, "\n")
}

func v2(triggers string) string {
	source := `"actionTypeId":{"category":"Source","owner":"AWS","provider":"CodeStarSourceConnection","version":"1"}`
	return `{"pipeline":{"name":"web","pipelineType":"V2","triggers":[` + triggers + `],"stages":[{"name":"Source","actions":[
		{"name":"Web",` + source + `,"configuration":{"ConnectionArn":"arn:x","FullRepositoryId":"acme/web","BranchName":"main"},"outputArtifacts":[{"name":"S"}]},
		{"name":"Lib",` + source + `,"configuration":{"ConnectionArn":"arn:x","FullRepositoryId":"acme/lib","BranchName":"stable"},"outputArtifacts":[{"name":"L"}]}]},
		{"name":"Ask","actions":[{"name":"Ask","actionTypeId":{"category":"Approval","owner":"AWS","provider":"Manual","version":"1"}}]}]}}`
}

func onSource(name, rest string) string {
	return `{"providerType":"CodeStarSourceConnection","gitConfiguration":{"sourceActionName":"` + name + `"` + rest + `}}`
}

func TestCodePipelineTriggers(t *testing.T) {
	here := importer.Options{SourceOverrides: map[string]string{"Web": "/srv/web"}}
	for name, c := range map[string]struct {
		triggers, want, noted string
		opts                  importer.Options
	}{
		"excludes win": {triggers: onSource("Web", `,"push":[{"branches":{"includes":["release/*"],"excludes":["release/0*"]}}]`), want: "push acme/web[release/* !release/0*][][]"},
		// A trigger without a filter starts at every push to the branch of the
		// action.
		"no filter":                  {triggers: onSource("Lib", ""), want: "push acme/lib[stable][][]"},
		"no filter, here":            {triggers: onSource("Web", ""), want: "poll /srv/web[main][][]", opts: here},
		"nobody's":                   {triggers: onSource("Wbe", `,"push":[{"branches":{"includes":["main"]}}]`), noted: "no source action of that name"},
		"pull requests":              {triggers: onSource("Web", `,"pullRequest":[{"events":["OPEN"]}]`), noted: "pull requests do not start pipelines here"},
		"paths alone, of any branch": {triggers: onSource("Web", `,"push":[{"filePaths":{"includes":["web/**"]}}]`), want: "poll /srv/web[**][][web/**]", opts: here},
	} {
		p, text := imported(t, "codepipeline", v2(c.triggers), c.opts)
		if got := triggersOf(t, p); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if !strings.Contains(text, c.noted) {
			t.Errorf("%s: nothing says %q:\n%s", name, c.noted, text)
		}
	}
}

// With triggers, a run fetches the pushed commit. The action's branch is for the
// other runs, and for sources without a trigger.
func TestTheBranchOfATriggeredSource(t *testing.T) {
	branches := func(triggers string, opts importer.Options) string {
		p, _ := imported(t, "codepipeline", v2(triggers), opts)
		var list []string
		for _, s := range p.Stages[:2] {
			var g pipeline.Git
			if err := json.Unmarshal(s.With, &g); err != nil {
				t.Fatal(err)
			}
			list = append(list, g.Branch)
		}
		return strings.Join(list, "; ")
	}
	tags := onSource("Web", `,"push":[{"tags":{"includes":["v*"]}}]`)
	for want, got := range map[string]string{
		`${{ trigger.kind == "push" && trigger.repository == "acme/web" ? "" : "main" }}; stable`: branches(tags, importer.Options{}),
		`${{ trigger.kind == "poll" && trigger.url == "/srv/web" ? "" : "main" }}; stable`:        branches(tags, importer.Options{SourceOverrides: map[string]string{"Web": "/srv/web"}}),
		`${{ trigger.kind == "push" ? "" : "main" }}; stable`:                                     branches(tags, importer.Options{SourceOverrides: map[string]string{"Web": "https://git.example.com/web.git"}}),
		`main; stable`: branches("", importer.Options{}),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestSpinnakerTriggers(t *testing.T) {
	doc := func(disabled, trigger string) string {
		return `{"name":"p","application":"shop","disabled":` + disabled + `,"triggers":[` + trigger + `],"stages":[{"refId":"1","type":"wait","name":"w","waitTime":1}]}`
	}
	git := func(branch string) string {
		return `{"type":"git","enabled":true,"source":"github","project":"acme","slug":"api","branch":"` + branch + `"}`
	}
	hook := func(value string) string {
		return `{"type":"webhook","enabled":true,"source":"ci","payloadConstraints":{"status":"` + value + `"}}`
	}
	for name, c := range map[string]struct{ doc, want, noted string }{
		"a branch":       {doc: doc("false", git("main")), want: "push acme/api[main][][]"},
		"over slashes":   {doc: doc("false", git("^feature-.*$")), want: "push acme/api[feature-* feature-*/**][][]"},
		"below a folder": {doc: doc("false", git("release/.*")), want: "push acme/api[release/**][][]"},
		"every branch":   {doc: doc("false", git(".*")), want: "push acme/api[**][][]"},
		"no glob":        {doc: doc("false", git("v.*-rc")), want: "push acme/api[**][][]", noted: "cannot be written as a glob"},
		"a value":        {doc: doc("false", hook("ok")), want: `webhook trigger.payload["status"] != nil && string(trigger.payload["status"]) contains "ok"`},
		"an expression":  {doc: doc("false", hook("ok|done")), want: `webhook trigger.payload["status"] != nil && string(trigger.payload["status"]) matches "ok|done"`},
		"no expression":  {doc: doc("false", hook("(?<!x)y")), noted: "no regular expression that can be asked here"},
		// One source is one address, so two triggers of the source would become
		// two webhooks of one name.
		"two of one source": {doc: doc("false", hook("a")+","+hook("b")), want: `webhook (trigger.payload["status"] != nil && string(trigger.payload["status"]) contains "a") || (trigger.payload["status"] != nil && string(trigger.payload["status"]) contains "b")`},
		"one of all":        {doc: doc("false", hook("a")+`,{"type":"webhook","enabled":true,"source":"ci"}`), want: "webhook "},
		"pull requests":     {doc: doc("false", strings.Replace(git("main"), `"branch"`, `"events":["pr:opened"],"branch"`, 1)), noted: "only pushes start something here"},
		"of what is paused": {doc: doc("true", git("main")), noted: "its triggers are left out"},
	} {
		p, text := imported(t, "spinnaker", c.doc, importer.Options{})
		if got := triggersOf(t, p); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if !strings.Contains(text, c.noted) {
			t.Errorf("%s: nothing says %q:\n%s", name, c.noted, text)
		}
	}
	nightly, _ := imported(t, "spinnaker", strings.Replace(doc("false", `{"type":"cron","enabled":true,"cronExpression":"0 0 3 * * ?","parameters":{"env":"b"}}`),
		`"triggers"`, `"parameterConfig":[{"name":"env","default":"a"}],"triggers"`, 1), importer.Options{})
	if got := nightly.Triggers[0].Schedule.Parameters["env"]; got != "b" {
		t.Errorf("the schedule gives env %q", got)
	}
}

// A constraint holds as in Spinnaker: its value is searched for, a key that is
// not a member is a JSONPath, and an empty value asks only that the member
// exists.
func TestPayloadConstraints(t *testing.T) {
	payload := map[string]any{"ref": "refs/heads/main", "action": "x", "n": 3.0, "on": true, "none": nil, "a.b": "dotted",
		"repository": map[string]any{"name": "shop", "a b": "spaced"}, "pusher": map[string]any{"name": "bob"}, "commits": []any{map[string]any{"id": "abc"}}}
	for constraints, want := range map[string]bool{
		`"ref":"main","$.repository.name":"shop","pusher.name":"bo","action":""`: true,
		`"ref":"^refs/heads/(main|next)$"`:                                       true,
		`"ref":"^main$"`:                                                         false,
		`"ref":"trunk"`:                                                          false,
		`"missing":""`:                                                           false,
		`"none":""`:                                                              false,
		`"missing.name":"n"`:                                                     false,
		`"action.name":"x"`:                                                      false,
		`"n":"3"`:                                                                true,
		`"on":"true"`:                                                            true,
		`"a.b":"dotted"`:                                                         true,
		`"$['repository']['a b']":"spac"`:                                        true,
		`"$.commits[0].id":"ab"`:                                                 true,
		`"$.commits[1].id":"ab"`:                                                 false,
		`"missing":"nil"`:                                                        false,
	} {
		p, text := imported(t, "spinnaker", `{"name":"p","application":"shop","triggers":[{"type":"webhook","enabled":true,"source":"ci","payloadConstraints":{`+constraints+`}}],
			"stages":[{"refId":"1","type":"wait","name":"w","waitTime":1}]}`, importer.Options{})
		if len(p.Triggers) != 1 {
			t.Errorf("%s: no trigger:\n%s", constraints, text)
			continue
		}
		got, err := pipeline.EvalTriggerWhen(*p.Triggers[0].Webhook, map[string]any{"payload": payload})
		// A text where the path needs an object is reported as an error, and
		// starts nothing.
		if got != want || err != nil && !strings.Contains(constraints, "action.name") {
			t.Errorf("%s: %v, %v (%s)", constraints, got, err, p.Triggers[0].Webhook.When)
		}
	}
	_, text := imported(t, "spinnaker", `{"name":"p","application":"shop","triggers":[{"type":"webhook","enabled":true,"source":"ci","payloadConstraints":{"$..name":"x"}}],
			"stages":[{"refId":"1","type":"wait","name":"w","waitTime":1}]}`, importer.Options{})
	if !strings.Contains(text, "picks several members") {
		t.Error(text)
	}
}
