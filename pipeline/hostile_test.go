package pipeline

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// bomb is the classic: nine levels of lists of nine aliases.
func bomb() string {
	var b strings.Builder
	b.WriteString("x-0: &a0 [lol, lol]\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "x-%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9), ","))
	}
	return b.String() + "application: a\npipelines: {p: {stages: {s: {run: {commands: *a9}}}}}\n"
}

// wideBomb uses one long list from many stages.
func wideBomb() string {
	var b strings.Builder
	b.WriteString("application: a\nx-c: &c {commands: [" + strings.Repeat("x,", 5_000) + "x]}\npipelines:\n  p:\n    stages:\n")
	for i := range 5000 {
		fmt.Fprintf(&b, "      s%d: {run: *c}\n", i)
	}
	return b.String()
}

func deepBlock(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", min(i, 150)) + "a:\n")
	}
	return b.String()
}

func manyStages(n int) string {
	var b strings.Builder
	b.WriteString("application: a\npipelines:\n  p:\n    stages:\n")
	for i := range n {
		fmt.Fprintf(&b, "      s%d: {wait: {for: 1s}}\n", i)
	}
	return b.String()
}

func ring(n int) string {
	var b strings.Builder
	b.WriteString("application: a\npipelines:\n  p:\n    stages:\n")
	for i := range n {
		fmt.Fprintf(&b, "      s%d: {needs: [s%d], wait: {for: 1s}}\n", i, (i+1)%n)
	}
	return b.String()
}

const stageFile = "application: a\npipelines:\n  p:\n    stages:\n      s: "

func hostile() map[string]struct{ src, code string } {
	return map[string]struct{ src, code string }{
		"empty":               {"", CodeEmpty},
		"only a comment":      {"# nothing\n", CodeEmpty},
		"null":                {"~\n", CodeEmpty},
		"a text":              {"hello", CodeType},
		"a list":              {"[a, b]", CodeType},
		"two documents":       {"application: a\n---\napplication: b\n", CodeManyDocuments},
		"NUL":                 {"application: a\x00b\n", CodeEncoding},
		"escaped NUL":         {stageFile + `{git: {url: "a\0b"}}`, CodeValue},
		"invalid UTF-8":       {"application: \xff\xfe\n", CodeEncoding},
		"UTF-16":              {"\xff\xfea\x00p\x00", CodeEncoding},
		"control character":   {"application: \x07\n", CodeEncoding},
		"50 MB":               {strings.Repeat("a", 50<<20), CodeTooLarge},
		"deep flow":           {strings.Repeat("[", 20_000), CodeTooDeep},
		"deep flow closed":    {"application: " + strings.Repeat("{a: ", 20_000) + strings.Repeat("}", 20_000), CodeTooDeep},
		"deep block":          {deepBlock(20_000), ""},
		"deep list block":     {strings.Repeat("- ", 20_000) + "a", CodeTooDeep},
		"alias bomb":          {bomb(), CodeType},
		"wide alias bomb":     {wideBomb(), ""},
		"alias to itself":     {"application: a\npipelines: &p {p: *p}\n", ""},
		"unknown alias":       {"application: *nobody\n", CodeSyntax},
		"duplicate key":       {"application: a\napplication: b\n", CodeDuplicateKey},
		"duplicate stage":     {stageFile + "{wait: {for: 1s}}\n      s: {wait: {for: 1s}}\n", CodeDuplicateKey},
		"two kinds":           {stageFile + "{wait: {for: 1s}, approval: {}}", CodeTwoKinds},
		"no kind":             {stageFile + "{needs: []}", CodeNoKind},
		"stage is null":       {stageFile + "\n", CodeNoKind},
		"self":                {stageFile + "{needs: [s], wait: {for: 1s}}", CodeCycle},
		"ring of 2":           {ring(2), CodeCycle},
		"ring of 10,000":      {ring(10_000), CodeCycle},
		"unknown need":        {stageFile + "{needs: [t], wait: {for: 1s}}", CodeUnknownStage},
		"100,000 stages":      {manyStages(100_000), CodeTooMany},
		"no pipelines":        {"application: a\npipelines: {}\n", CodeRequired},
		"pipelines is a list": {"application: a\npipelines: [x]\n", CodeType},
		"complex key":         {"? [a, b]\n: c\n", CodeType},
		"null name":           {"application: a\npipelines: {~: {stages: {s: {wait: {for: 1s}}}}}\n", CodeName},
		"path as name":        {"application: ../../etc/passwd\npipelines: {p: {stages: {s: {wait: {for: 1s}}}}}\n", CodeValue},
		"huge name":           {"application: a\npipelines: {" + strings.Repeat("p", 5000) + ": {stages: {s: {wait: {for: 1s}}}}}\n", CodeName},
		"huge key":            {"application: a\n" + strings.Repeat("k", 2<<20) + ": 1\n", ""},
		"huge text":           {stageFile + "{wait: {for: " + strings.Repeat("9", 2<<20) + "}}", CodeType},
		"huge expression":     {stageFile + "{run: {commands: ['${{ " + strings.Repeat("(", 1<<20) + " }}']}}", CodeExpression},
		"deep expression":     {stageFile + "{run: {commands: ['${{ " + strings.Repeat("(", 4000) + " }}']}}", CodeExpression},
		"open expression":     {stageFile + "{run: {commands: ['${{ 1']}}", CodeExpression},
		"many open":           {stageFile + "{run: {commands: ['" + strings.Repeat("${{", 100_000) + "']}}", CodeExpression},
		"escape to env":       {stageFile + `{run: {commands: ['${{ $env["HOME"] }}']}}`, CodeExpression},
		"unknown function":    {stageFile + `{run: {commands: ['${{ readFile("/etc/passwd") }}']}}`, CodeExpression},
		"the clock":           {stageFile + `{run: {commands: ['${{ now() }}']}}`, CodeExpression},
		"git remote helper":   {stageFile + `{git: {url: "ext::sh -c id"}}`, CodeValue},
		"git option":          {stageFile + `{git: {url: "--upload-pack=id"}}`, CodeValue},
		"binary tag":          {"application: !!binary aGVsbG8=\npipelines: {}\n", CodeType},
		"own tag":             {"application: !!python/object:os.system x\npipelines: {}\n", CodeType},
		"terminal escapes":    {stageFile + `{"\x1b[2J": 1}`, CodeUnknownField},
		"million brackets":    {strings.Repeat("[],", 1_000_000), CodeTooMany},
		"million anchors":     {"[" + strings.Repeat("&a x,", 700_000) + "]", CodeTooMany},
		"million tabs":        {"application:" + strings.Repeat("\t", 4_000_000), ""},
		"million comments":    {strings.Repeat("#\n", 2_000_000), CodeTooMany},
		"million keys":        {strings.Repeat("? \n", 1_300_000), CodeTooMany},
		"million unknown":     {manyKeys(300_000), CodeTooMany},
		"many on a line":      {"application: a\npipelines: {p: {stages: {" + strings.Repeat("s: {wait: {for: 1s}},", 100_000) + "}}}", CodeTooMany},
		"unknown needs":       {unknownNeeds(10_000), CodeUnknownStage},
		"glob bomb":           {pushPath(strings.Repeat("{a,aa}", 30)), CodeValue},
		"nested glob bomb":    {pushPath("{" + strings.Repeat("{a,aa}", 30) + ",b}"), CodeValue},
		"pipeline in a ring":  {stageFile + "{pipeline: {pipeline: p}}", CodeCycle},
		"tag on a stage":      {stageFile + "!evil {wait: {for: 1s}}", CodeType},
		"ordered map":         {"application: a\npipelines: !!omap {p: {stages: {s: {wait: {for: 1s}}}}}\n", CodeType},
		"long flow key":       {"{" + strings.Repeat("a", 1_000_000) + strings.Repeat(" a", 1_000_000) + ": b}", ""},
	}
}

func pushPath(glob string) string {
	return "application: a\npipelines: {p: {triggers: [{push: {paths: ['" + glob + "']}}], stages: {s: {wait: {for: 1s}}}}}\n"
}

func unknownNeeds(n int) string {
	var b strings.Builder
	b.WriteString("application: a\npipelines:\n  p:\n    stages:\n")
	for i := range n {
		fmt.Fprintf(&b, "      stage-%d: {needs: [stagee-%d], wait: {for: 1s}}\n", i, i)
	}
	return b.String()
}

func manyKeys(n int) string {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	return b.String()
}

func TestHostileFiles(t *testing.T) {
	for name, c := range hostile() {
		t.Run(name, func(t *testing.T) {
			doc, ds := Parse("hostile.yaml", []byte(c.src))
			if doc != nil || !ds.HasErrors() {
				t.Fatalf("accepted: %v", ds)
			}
			if c.code != "" && !slices.ContainsFunc(ds, func(d Diagnostic) bool { return d.Code == c.code }) {
				t.Errorf("no %s among %d findings: %s", c.code, len(ds), shorten(ds.String(), 600))
			}
			if text := ds.String(); strings.ContainsAny(text, "\x00\x07\x1b") || strings.Contains(ds[0].Message, "\n") {
				t.Errorf("control characters reach the terminal: %q", shorten(text, 400))
			}
			ds.JSON()
		})
	}
}

func BenchmarkHostile(b *testing.B) {
	for name, c := range hostile() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Parse("hostile.yaml", []byte(c.src))
			}
		})
	}
}

// large is a file of n stages in a wide graph, each with an expression.
func large(n int) []byte {
	var b bytes.Buffer
	b.WriteString("application: a\npipelines:\n  p:\n    parameters: {v: x}\n    stages:\n      s0: {git: {url: .}}\n")
	for i := 1; i < n; i++ {
		needs := fmt.Sprintf("s%d", i-1)
		if i/2 != i-1 {
			needs = fmt.Sprintf("s%d, s%d", i/2, i-1)
		}
		fmt.Fprintf(&b, "      s%d:\n        needs: [%s]\n        run: {commands: ['echo ${{ stages.s0.outputs.commit }} ${{ parameters.v }}']}\n", i, needs)
	}
	return b.Bytes()
}

func TestLargeFile(t *testing.T) {
	src := large(10_000)
	if _, ds := Parse("large.yaml", src); len(ds) > 0 {
		t.Fatal(shorten(ds.String(), 1000))
	}
}

func BenchmarkParse10000Stages(b *testing.B) {
	src := large(10_000)
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		Parse("large.yaml", src)
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range hostile() {
		if len(c.src) < 10_000 {
			f.Add([]byte(c.src))
		}
	}
	f.Add(large(3))
	f.Fuzz(func(t *testing.T, src []byte) {
		doc, ds := Parse("fuzz.yaml", src)
		if (doc == nil) != ds.HasErrors() {
			t.Fatalf("document %v with findings %v", doc, ds)
		}
		_ = ds.String()
		ds.JSON()
		if doc == nil {
			return
		}
		out, err := Format(doc)
		if err != nil {
			t.Fatal(err)
		}
		if _, ds := Parse("formatted.yaml", out); ds.HasErrors() {
			t.Fatalf("%s\n%s", out, ds)
		}
	})
}
