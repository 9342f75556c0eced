package pipeline

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

func TestReferenceIsCurrent(t *testing.T) {
	golden(t, "../docs/pipeline.md", Reference())
}

// TestKindsAreComplete is the place that a new kind fails first.
func TestKindsAreComplete(t *testing.T) {
	known := compiledSchema(t)
	seen := map[string]bool{}
	for _, k := range Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			if k.Config == nil || k.Config.Kind() != k.Name || seen[k.Name] {
				t.Fatalf("the kind of %T is not %q, or it is listed twice", k.Config, k.Name)
			}
			seen[k.Name] = true
			if k.Summary == "" || k.Doc == "" || k.Example == "" || k.Timeout <= 0 {
				t.Error("summary, doc, example and timeout are needed")
			}
			for _, o := range k.Outputs {
				if o.Name == "" || o.Type == "" || o.Doc == "" || !patterns[identPattern].MatchString(o.Name) {
					t.Errorf("output %+v is not complete", o)
				}
			}
			if k.Declares {
				if _, ok := shapeOf(reflect.TypeOf(k.Config)).byName["outputs"]; !ok {
					t.Error("declares outputs without a field for them")
				}
			}
			comment := comments()
			for _, f := range shapeOf(reflect.TypeOf(k.Config)).fields {
				if f.required && f.def != "" {
					t.Errorf("%s is required and has a default", f.name)
				}
			}
			if comment[reflect.TypeOf(k.Config).Name()] == "" {
				t.Error("its type has no comment")
			}
			exampleIsValid(t, k)
			if err := bySchema(t, known, exampleFile(t, k)); err != nil {
				t.Errorf("example by the schema: %v", err)
			}
		})
	}
	for typ := range shapes() {
		if reflect.PointerTo(typ).Implements(reflect.TypeFor[Config]()) && !seen[reflect.New(typ).Interface().(Config).Kind()] {
			t.Errorf("%s is no kind of the table", typ)
		}
	}
}

// exampleFile puts a kind's example into a file with what it may refer to.
func exampleFile(t *testing.T, k Kind) []byte {
	t.Helper()
	var stage map[string]any
	if err := yaml.Load([]byte(k.Example), &stage); err != nil {
		t.Fatal(err)
	}
	stage["needs"] = []string{"build"}
	file := map[string]any{"application": "storefront", "pipelines": map[string]any{
		"smoke-test": map[string]any{"parameters": map[string]any{"target": "staging"}, "stages": map[string]any{"w": map[string]any{"wait": map[string]any{"for": "1s"}}}},
		"p": map[string]any{"stages": map[string]any{
			"source": map[string]any{"git": map[string]any{"url": "."}},
			"build":  map[string]any{"needs": []string{"source"}, "build": map[string]any{}},
			"it":     stage,
		}}}}
	out, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func exampleIsValid(t *testing.T, k Kind) {
	t.Helper()
	doc, ds := Parse("example.yaml", exampleFile(t, k))
	if len(ds) > 0 {
		t.Fatalf("%s", ds)
	}
	for _, p := range doc.Pipelines {
		for _, s := range p.Stages {
			if s.Name != "it" {
				continue
			}
			c, err := Resolve(s, Scope{Execution: ExecutionScope{Application: "storefront", StartedBy: "me"}, Artifacts: map[string]string{"build": "sha256:x"}})
			if err != nil || c.Kind() != k.Name {
				t.Errorf("resolved: %v, %v", c, err)
			}
		}
	}
}

// TestDefaultsDecode proves that every default in the struct tags fits its field.
func TestDefaultsDecode(t *testing.T) {
	n := 0
	for _, s := range shapes() {
		for _, f := range s.fields {
			if f.def == "" {
				continue
			}
			n++
			if v := f.defaultOf(); v.IsZero() && f.def != "0" {
				t.Errorf("%s.%s: the default %q is zero", s.typ, f.goName, f.def)
			}
			if len(f.enum) > 0 && f.typ.Kind() == reflect.String && !contains(f.enum, f.def) {
				t.Errorf("%s.%s: the default %q is none of %v", s.typ, f.goName, f.def, f.enum)
			}
		}
	}
	if n < 20 {
		t.Fatalf("only %d defaults found", n)
	}
}

func TestEveryCheckIsKnown(t *testing.T) {
	whole := []string{"globs", "regions", "identifiers", "artifacts", "pointers", "env", "headers", "steps", "holidays", "mails"}
	for _, s := range shapes() {
		for _, f := range s.fields {
			if _, ok := formats[f.check]; f.check != "" && !ok && !contains(whole, f.check) {
				t.Errorf("%s.%s: no check is named %q", s.typ, f.goName, f.check)
			}
		}
	}
}

// TestServicePageNamesEveryVariable: the page that newcomers read is complete.
func TestServicePageNamesEveryVariable(t *testing.T) {
	page, err := os.ReadFile("../docs/service.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range InstanceVariables() {
		if !strings.Contains(string(page), "`"+v.Name+"`") {
			t.Errorf("docs/service.md does not name %s", v.Name)
		}
	}
}
