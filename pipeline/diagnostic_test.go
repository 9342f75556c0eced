package pipeline

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFindings compares everything that is found in testdata/findings, as
// people see it, with what was reviewed.
func TestFindings(t *testing.T) {
	files, err := filepath.Glob("testdata/findings/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		doc, ds := Parse(filepath.Base(name), src)
		if doc != nil {
			t.Errorf("%s is accepted", name)
		}
		golden(t, strings.TrimSuffix(name, ".yaml")+".txt", []byte(ds.String()))
	}
}

func TestDiagnosticForms(t *testing.T) {
	_, ds := Parse("pipeline.yaml", []byte("application: a\npipelines:\n  p:\n    stages:\n      s:\n\t tpye: x\n"))
	if len(ds) != 1 || ds[0].Code != CodeSyntax || ds[0].Line < 5 {
		t.Errorf("a tab as indentation: %s", ds)
	}
	_, ds = Parse("pipeline.yaml", []byte(stageFile+"\n        aproval: {}\n"))
	want := "error[UNKNOWN_FIELD]: pipeline.yaml:6:9: stage \"s\" has no field \"aproval\"\n" +
		" 5 |       s: \n 6 |         aproval: {}\n   |         ^^^^^^^ did you mean \"approval\"?\n" +
		"1 error in pipeline.yaml. Schema: showrunner schema\n"
	if ds.String() != want {
		t.Errorf("got\n%s\nwant\n%s", ds, want)
	}
	var back []map[string]any
	if err := json.Unmarshal(ds.JSON(), &back); err != nil || len(back) != 1 {
		t.Fatal(err, back)
	}
	for k, v := range map[string]any{"severity": "error", "code": "UNKNOWN_FIELD", "file": "pipeline.yaml", "line": 6.0, "column": 9.0, "length": 7.0, "suggestion": "approval"} {
		if back[0][k] != v {
			t.Errorf("%s is %v, not %v", k, back[0][k], v)
		}
	}
	var sent Diagnostics
	if err := json.Unmarshal(ds.JSON(), &sent); err != nil || sent.String() != want {
		t.Errorf("what the API sent reads\n%s\nwant\n%s (%v)", sent, want, err)
	}
	if string(Diagnostics(nil).JSON()) != "[]" || Diagnostics(nil).Err() != nil {
		t.Error("no findings are an empty list and no error")
	}
}

func TestCaret(t *testing.T) {
	for _, c := range []struct {
		line         string
		column, size int
		pad, carets  string
	}{
		{"ab cd", 4, 2, "   ", "^^"},
		{"\tab", 2, 1, "\t", "^"},
		{"日本x", 3, 1, "    ", "^"},
		{"a日b", 2, 1, " ", "^^"},
		{"a", 2, 1, " ", "^"},
	} {
		pad, carets := caret(c.line, c.column, c.size)
		if pad != c.pad || carets != c.carets {
			t.Errorf("%q %d: %q %q", c.line, c.column, pad, carets)
		}
	}
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{"tpye": "type", "biuld": "build", "deploysite": "deploy-site", "Git": "git", "xyzzy": "", "": ""} {
		if got := Nearest(name, []string{"type", "build", "deploy", "deploy-site", "git"}); got != want {
			t.Errorf("%q: %q, not %q", name, got, want)
		}
	}
}
