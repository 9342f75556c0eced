package pipeline

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"showrunner/problem"
)

func scopeForTest() Scope {
	return Scope{
		Parameters: map[string]string{"count": "3", "count-1": "odd", "name": "web", "max-size": "7"},
		Trigger:    map[string]any{"branch": "main", "payload": map[string]any{"n": 2.0, "list": []any{"a", "b"}, "f": 1.5}},
		Execution:  ExecutionScope{ID: "e1", Number: 41, Application: "shop", Pipeline: "release", StartedBy: "me"},
		Stages: map[string]StageScope{
			"deploy-site": {Kind: "deploy-site", Status: "Succeeded", Outputs: map[string]any{"url": "http://x", "uploaded": 12.0}},
			"2nd":         {Kind: "run", Status: "Skipped"},
			"build":       {Kind: "build", Status: "Succeeded", Outputs: map[string]any{"variables": map[string]any{"V": "1"}, "reports": map[string]any{"failed": 0.0}}},
		},
		Artifacts: map[string]string{"build": "sha256:1", "build.web-app": "sha256:2"},
	}
}

func TestEvaluate(t *testing.T) {
	s := scopeForTest()
	for text, want := range map[string]any{
		`parameters.name`:                                           "web",
		`int(parameters.count) - 1`:                                 2,
		`int(parameters.count)-1`:                                   2,
		`parameters.count-1`:                                        "odd",
		`int(parameters.max-size)-int(parameters.count)`:            4,
		`stages.deploy-site.outputs.url`:                            "http://x",
		`stages["deploy-site"].outputs.uploaded + 1`:                13,
		`stages.deploy-site.outputs.deployment`:                     "",
		`stages.2nd.status == "Skipped"`:                            true,
		`stages.2nd.outputs.exitCode`:                               0,
		`stages.build.outputs.variables.V`:                          "1",
		`stages.build.outputs.reports.failed == 0`:                  true,
		`stages.gone.outputs.anything == nil`:                       true,
		`artifacts.build`:                                           "sha256:1",
		`artifacts.build.web-app`:                                   "sha256:2",
		`artifacts["build.web-app"] != artifacts.build`:             true,
		`execution.number % 2`:                                      1,
		`trigger.tag`:                                               "",
		`trigger.payload.n + 1`:                                     3,
		`trigger.payload.missing?.deep`:                             nil,
		`trigger.payload.missing ?? "x"`:                            "x",
		`upper(parameters.name) + "!"`:                              "WEB!",
		`replace("a.b.c", ".", "-")`:                                "a-b-c",
		`join(map(trigger.payload.list, # + "1"), ",")`:             "a1,b1",
		`join(filter(["x", "yy"], len(#) > 1))`:                     "yy",
		`any(trigger.payload.list, # == "b")`:                       true,
		`"stages.deploy-site" contains "-"`:                         true,
		`toJSON({"a": [1, "x"]})`:                                   `{"a":[1,"x"]}`,
		`fromJSON("[1]")[0]`:                                        1.0,
		`parameters.name startsWith "w" ? "yes" : "no"`:             "yes",
		`{"a": {"b": 1}}.a.b`:                                       1,
		`"${{" + "}}"`:                                              "${{}}",
		`trigger.payload.f * 2`:                                     3.0,
		`split("a,b", ",")[1]`:                                      "b",
		`parameters.name matches "^w"`:                              true,
		`len(parameters) > 3 and not (execution.application in [])`: true,
	} {
		got, err := evaluate(text, &s)
		if err != nil || got != want {
			t.Errorf("%s: %#v (%v), not %#v", text, got, err, want)
		}
	}
}

// TestBounded holds expressions that must end soon, without an answer.
func TestBounded(t *testing.T) {
	big := strings.Repeat("ab,", 200_000)
	s := Scope{Parameters: map[string]string{"big": big, "x": "x"}, Trigger: map[string]any{"payload": big}}
	for name, text := range map[string]string{
		"repeat":            `repeat("x", 1000000000)`,
		"now":               `now()`,
		"clock type":        `date("2020-01-01")`,
		"environment":       `$env`,
		"let":               `let a = "xx"; a + a`,
		"reduce":            `reduce(1..100, #acc + #acc, "x")`,
		"nested loops":      `all(1..1000, all(1..1000, true))`,
		"many loops":        `all([1], true) and all([1], true) and all([1], true) and all([1], true)`,
		"range":             `len(1..100000000)`,
		"join square":       `join(map(split(parameters.big, ","), parameters.big), ",")`,
		"replace square":    `replace(parameters.big, "", parameters.big)`,
		"replace unknown":   `replace(trigger.payload, "", trigger.payload)`,
		"sum of texts":      `map(split(parameters.big, ","), # + parameters.big + parameters.big + parameters.big)`,
		"scan of texts":     `all(split(parameters.big, ","), indexOf(parameters.big, "zz") < 0)`,
		"nested JSON":       strings.Repeat("toJSON(", 60) + `"\""` + strings.Repeat(")", 60),
		"many nodes":        strings.Repeat("1+", 1000) + "1",
		"method":            `parameters.x.String()`,
		"secret in text":    `"x" + secrets.TOKEN`,
		"secret by index":   `secrets["TOKEN"]`,
		"computed name":     `parameters[parameters.x]`,
		"computed stage":    `stages[parameters.x].status`,
		"no such status":    `stages.build.status == "SUCCEEDED"`,
		"bare stages":       `stages`,
		"not an expression": `}}`,
	} {
		if got, err := evaluate(text, &s); err == nil {
			t.Errorf("%s: yields %.80v", name, got)
		}
	}
}

func resolveStage(t *testing.T, kind, with string) (Config, error) {
	t.Helper()
	return Resolve(Stage{Name: "s", Kind: kind, With: []byte(with)}, scopeForTest())
}

func TestResolve(t *testing.T) {
	c, err := resolveStage(t, "deploy", `{"cluster":"shop-${{ parameters.name }}","artifact":"build","command":["./x","${{ execution.number }}"],
		"env":{"A":"${{ trigger.branch }}/${{ secrets.TOKEN }}"},"health":{"path":"/"},
		"capacity":{"min":1,"desired":"${{ int(parameters.count) }}","max":"${{ 5 }}"},"strategy":{"canary":{"steps":[5,50]}}}`)
	if err != nil {
		t.Fatal(err)
	}
	d := c.(Deploy)
	if d.Cluster != "shop-web" || d.Command[1] != "41" || d.Env["A"] != "main/${{ secrets.TOKEN }}" || d.Capacity != (Capacity{1, 3, 5}) {
		t.Errorf("%+v", d)
	}
	if s := d.Strategy.Canary.Steps; len(s) != 3 || s[2] != 100 || d.Strategy.Canary.Keep != 1 || d.Account != "local" || d.Liveness.Path != "/" || d.Drain.String() != "10s" {
		t.Errorf("defaults: %+v %+v", d, d.Strategy.Canary)
	}
	for with, want := range map[string]string{
		`{"cluster":"${{ \"../x\" }}"}`:                       "cluster",
		`{"capacity":{"min":"${{ trigger.payload.f }}"}}`:     "capacity.min",
		`{"drain":"${{ parameters.name }}"}`:                  "duration",
		`{"command":"${{ parameters.name }}"}`:                "command",
		`{"env":{"A":"${{ trigger.payload.list }}"}}`:         "toJSON",
		`{"cluster":"${{ secrets.TOKEN }}"}`:                  "secret",
		`{"nonsense":1}`:                                      "nonsense",
		`{"cluster":"${{ parameters.gone }}"}`:                "gone",
		`{"capacity":{"min":5,"desired":"${{ 1 }}","max":2}}`: "capacity",
		`{"command":["${{ trigger.payload.list[7] }}"]}`:      "command.1",
	} {
		_, err := resolveStage(t, "deploy", with)
		if problem.CodeOf(err) != problem.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", with, err)
		}
	}
}

// TestInjectedReferences proves that what an expression yields is never read as
// a reference to a secret.
func TestInjectedReferences(t *testing.T) {
	s := Scope{Trigger: map[string]any{"message": "${{ secrets.TOKEN }} ${{ 1"}}
	c, err := Resolve(Stage{Name: "s", Kind: "run", With: []byte(`{"commands":["x"],"env":{"M":"${{ trigger.message }}|${{ secrets.OWN }}"}}`)}, s)
	if err != nil {
		t.Fatal(err)
	}
	asked := ""
	got, err := ExpandSecrets(c.(Run).Env["M"], func(name string) (string, error) { asked += name; return "v${{ secrets.TOKEN }}", nil })
	if err != nil || got != "${{ secrets.TOKEN }} ${{ 1|v${{ secrets.TOKEN }}" || asked != "OWN" {
		t.Errorf("%q, asked for %q: %v", got, asked, err)
	}
	failure := errors.New("unreachable")
	if _, err := ExpandSecrets("${{ secrets.A }}", func(string) (string, error) { return "", failure }); !errors.Is(err, failure) {
		t.Error(err)
	}
	if n := SecretNames("a ${{ secrets.A }} ${{ upper('x') }} ${{secrets.b-2}}"); len(n) != 2 || n[1] != "b-2" {
		t.Error(n)
	}
}

func TestWhen(t *testing.T) {
	for when, want := range map[string]bool{
		"": true, " ": true, "true": true, `parameters.name == "db"`: false,
		`${{ stages.2nd.status == "Skipped" }}`: true,
	} {
		got, err := EvalWhen(Stage{Name: "s", When: when}, scopeForTest())
		if err != nil || got != want {
			t.Errorf("%q: %v %v", when, got, err)
		}
	}
	if _, err := EvalWhen(Stage{Name: "s", When: "parameters.name"}, scopeForTest()); problem.CodeOf(err) != problem.Invalid {
		t.Error("a text is no condition:", err)
	}
}

func TestResolveParameters(t *testing.T) {
	def := "small"
	p := Pipeline{Name: "p", Parameters: []Parameter{{Name: "version", Required: true}, {Name: "size", Default: &def, Options: []string{"small", "large"}}, {Name: "note"}}}
	got, err := ResolveParameters(p, map[string]string{"version": "1"})
	if err != nil || got["version"] != "1" || got["size"] != "small" || len(got) != 3 {
		t.Error(got, err)
	}
	_, err = ResolveParameters(p, map[string]string{"size": "lrage", "nto": "x"})
	for _, want := range []string{`"version" is required`, `did you mean "large"`, `no parameter "nto"`, `did you mean "note"`} {
		if err == nil || problem.CodeOf(err) != problem.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
}

func TestTriggers(t *testing.T) {
	event := map[string]any{"payload": map[string]any{"tag": "v1", "n": 3.0}}
	w := WebhookTrigger{Name: "x", When: "trigger.payload.n > 2", Parameters: map[string]string{"a": "${{ trigger.payload.tag }}-${{ trigger.payload.n }}", "b": "fixed"}}
	if ok, err := EvalTriggerWhen(w, event); !ok || err != nil {
		t.Error(ok, err)
	}
	got, err := ResolveTrigger(Trigger{Webhook: &w}, event)
	if err != nil || got["a"] != "v1-3" || got["b"] != "fixed" {
		t.Error(got, err)
	}
	w.Parameters = map[string]string{"absent": "${{ trigger.payload.absent }}", "deep": "${{ trigger.payload?.absent?.deep }}", "text": "x${{ trigger.payload.absent }}", "empty": ""}
	got, err = ResolveTrigger(Trigger{Webhook: &w}, event)
	if _, ok := got["absent"]; ok || err != nil || len(got) != 2 || got["text"] != "x" {
		t.Error("a member that the payload lacks is given as a text:", got, err)
	}
	full := Trigger{Webhook: &w}.WithDefaults()
	if full.Webhook.Secret != "webhook" || w.Secret != "" {
		t.Error("defaults are filled in a copy")
	}
	if s := (Stage{Kind: "git", Retry: &Retry{Attempts: 1}}).WithDefaults(); s.Retry.MaxBackoff.String() != "5m" || s.Timeout.String() != "10m" || s.OnFailure != Halt {
		t.Errorf("%+v", s)
	}
}

func FuzzExpression(f *testing.F) {
	f.Add(`stages.deploy-site.outputs.url + parameters.count-1`)
	f.Add(`map(trigger.payload.list, {"a": #}) | toJSON()`)
	f.Add(`artifacts.build.web-app ?? "x"`)
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			t.Skip("Parse refuses what is not UTF-8")
		}
		s := scopeForTest()
		_, _ = evaluate(text, &s)
		if got := unmangle(mangle(text, func(string) bool { return true })); !strings.ContainsAny(text, "ーㅏㄱㄲㄳㄴㄵㄶㄷㄸㄹㄺ") && got != text {
			t.Fatalf("%q became %q", text, got)
		}
	})
}
