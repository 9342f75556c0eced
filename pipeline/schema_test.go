package pipeline

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

var update = flag.Bool("update", false, "rewrite generated files and goldens")

// golden compares with a committed file, or rewrites it.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is stale: go test ./pipeline -update", path)
	}
}

func TestCommentsAreCurrent(t *testing.T) {
	golden(t, "comments.json", sourceComments(t))
}

// sourceComments reads the comments of every type of the language.
func sourceComments(t *testing.T) []byte {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for typ := range shapes() {
		known[typ.Name()] = true
	}
	found := map[string]string{}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			g, ok := decl.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, spec := range g.Specs {
				ts := spec.(*ast.TypeSpec)
				if st, ok := ts.Type.(*ast.StructType); ok && known[ts.Name.Name] {
					typeComments(found, ts.Name.Name, g.Doc, st)
				}
			}
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(found); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func typeComments(found map[string]string, name string, doc *ast.CommentGroup, st *ast.StructType) {
	found[name] = sentence(strings.TrimPrefix(strings.TrimPrefix(oneLine(doc), name+" "), "is "))
	for _, f := range st.Fields.List {
		text := oneLine(f.Doc)
		if text == "" {
			text = oneLine(f.Comment)
		}
		for _, n := range f.Names {
			if text != "" {
				found[name+"."+n.Name] = strings.TrimPrefix(text, n.Name+" ")
			}
		}
	}
}

func oneLine(g *ast.CommentGroup) string {
	if g == nil {
		return ""
	}
	return strings.Join(strings.Fields(g.Text()), " ")
}

func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	raw, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("showrunner.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("showrunner.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bySchema validates a YAML text as an editor would.
func bySchema(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	var v any
	if err := yaml.Load(text, &v); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc)
}

func TestExamplesAreValid(t *testing.T) {
	s := compiledSchema(t)
	files, err := filepath.Glob("../examples/pipelines/*.yaml")
	if err != nil || len(files) < 8 {
		t.Fatalf("found %d examples: %v", len(files), err)
	}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		doc, ds := Parse(filepath.Base(name), src)
		if len(ds) > 0 {
			t.Errorf("%s", ds)
			continue
		}
		if err := bySchema(t, s, src); err != nil {
			t.Errorf("%s by the schema: %v", name, err)
		}
		out, err := Format(doc)
		if err != nil {
			t.Fatal(err)
		}
		again, ds := Parse("formatted.yaml", out)
		if len(ds) > 0 || !reflect.DeepEqual(doc, again) {
			t.Errorf("%s does not survive Format:\n%s%s", name, out, ds)
		}
		if err := bySchema(t, s, out); err != nil {
			t.Errorf("%s formatted, by the schema: %v", name, err)
		}
	}
}

// TestSchemaRefuses holds what a schema can express: Parse refuses it too.
func TestSchemaRefuses(t *testing.T) {
	s := compiledSchema(t)
	for name, stage := range map[string]string{
		"no kind":             `{}`,
		"two kinds":           `{wait: {for: 1s}, git: {url: x}}`,
		"unknown kind":        `{bake: {}}`,
		"unknown field":       `{wait: {for: 1s}, tmeout: 3s}`,
		"unknown field below": `{git: {url: x, brunch: main}}`,
		"required":            `{git: {branch: main}}`,
		"empty required list": `{run: {commands: []}}`,
		"type":                `{git: {url: x, lfs: sometimes}}`,
		"number for duration": `{wait: {for: 30}}`,
		"bad duration":        `{wait: {for: 30 seconds}}`,
		"neither":             `{wait: {}}`,
		"both":                `{wait: {for: 1s, until: "2030-01-01T00:00:00Z"}}`,
		"at most one":         `{git: {url: x, branch: a, tag: b}}`,
		"enum":                `{wait: {for: 1s}, onFailure: explode}`,
		"minimum":             `{approval: {minimum: 0}}`,
		"fraction":            `{approval: {minimum: 1.5}}`,
		"list for text":       `{git: {url: [x]}}`,
		"text for mapping":    `{git: https://example.com}`,
		"env name":            `{run: {commands: [x], env: {a-b: c}}}`,
		"strategy":            `{deploy: {cluster: a, artifact: b, command: [x], health: {tcp: true}, capacity: {min: 1, desired: 1, max: 1}, strategy: bluegreen}}`,
		"two probes":          `{deploy: {cluster: a, artifact: b, command: [x], health: {tcp: true, path: /}, capacity: {min: 1, desired: 1, max: 1}, strategy: none}}`,
		"negative limit":      `{deploy: {cluster: a, artifact: b, command: [x], health: {tcp: true}, capacity: {min: 1, desired: 1, max: 1}, strategy: none, traffic: {maxInFlight: -1}}}`,
		"maintenance":         `{deploy: {cluster: a, artifact: b, command: [x], health: {tcp: true}, capacity: {min: 1, desired: 1, max: 1}, strategy: none, maintenance: {minHealthy: 90}}}`,
		"site":                `{deploy-site: {site: "../etc", artifact: b}}`,
	} {
		src := []byte("application: a\npipelines: {p: {stages: {s: " + stage + "}}}\n")
		if _, ds := Parse("x.yaml", src); !ds.HasErrors() {
			t.Errorf("%s: Parse accepts %s", name, stage)
		}
		if bySchema(t, s, src) == nil {
			t.Errorf("%s: the schema accepts %s", name, stage)
		}
	}
}
