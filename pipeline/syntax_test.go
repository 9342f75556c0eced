package pipeline

import (
	"fmt"
	"strings"
	"testing"
)

// plain is a valid file in the form that newcomers write; each case spoils one place.
const plain = `application: shop
pipelines:
  release:
    stages:
      source:
        git:
          url: https://example.com/shop.git
          branch: main
      build:
        needs: [source]
        build:
          spec: buildspec.yml
      check:
        run:
          commands:
            - make check
`

// What is no YAML, and what YAML understands in another way than its writer, is
// answered with the place of the mistake, not where the library noticed it, with what
// stands there and what to write.
func TestWhatIsNoYAML(t *testing.T) {
	t.Parallel()
	if _, ds := Parse("showrunner.yaml", []byte(plain)); len(ds) > 0 {
		t.Fatalf("%v", ds)
	}
	for _, tt := range []struct {
		right, wrong string
		place        string // line:column
		says, help   string
	}{
		{"      source:\n", "\t  source:\n", "5:1", "a tab in the indentation", "two spaces for each level"},
		{"  ", "\t", "3:1", "a tab in the indentation", "two spaces"},
		{"        needs", "      \t  needs", "10:7", "a tab in the indentation", "two spaces"},
		{"          branch", "\u00a0\u00a0        branch", "8:1", "a blank that is no space (U+00A0)", "spaces"},
		{"          branch", "           branch", "8:12", `"branch" is indented by 11 spaces, deeper than "url"`, `indent "branch" by 10`},
		{"          branch", "         branch", "8:10", "indented by 9 spaces, and no level that is open here is", `by 10 to stand beside "url" (line 7), or by 8`},
		{"      source:\n", "      source: git\n", "6:9", `"git" is indented by 8 spaces`, `remove the value git above`},
		{"branch: main", "branch:main", "8:17", `no space follows the colon of "branch"`, "write branch: main"},
		{"branch: main", "branch = main", "8:18", "an equals sign", "write branch: main"},
		{"branch: main", "branch main", "8:11", `no colon follows "branch"`, "write branch: main"},
		{"branch: main", "branch： main", "8:17", "the colon is U+FF1A", "write branch: main"},
		{"        git:\n", "        git\n", "6:9", `no colon follows "git"`, "write git: and what belongs to it below"},
		{"pipelines:\n", "pipelines\n", "2:1", `no colon follows "pipelines"`, "write pipelines:"},
		{"branch: main\n", "branch: main\n          branch: dev\n", "9:11", `"branch" is set twice; the first is on line 8`, "keep one"},
		{"[source]", "[source", "10:16", "nothing closes the [", "write ]"},
		{"[source]", "[source]]", "10:24", "the ] closes nothing", "remove it"},
		{"[source]", "[\n", "10:16", "nothing closes the [", "write ]"},
		{"branch: main", `branch: "main`, "8:19", `nothing closes the quote "`, `write " at the end`},
		{"branch: main", "branch: 'it's'", "8:23", "text follows the quote", "'it''s'"},
		{"branch: main", `branch: "C:\path"`, "8:22", "there is no such sequence", `(\\)`},
		{"branch: main", "branch: @main", "8:19", "a value cannot begin with @", `"@main"`},
		{"branch: main", "branch: `main`", "8:19", "a value cannot begin with `", "in quotes"},
		{"branch: main", "branch: *main", "8:19", "*main stands for what is marked with &main", `"*main"`},
		{"branch: main", "branch: {{ x }}", "8:19", "must be a text, not a mapping", "${{ … }}"},
		{"branch: main", "branch: “main”", "8:19", "the quotes “ and ” are a part of the text", `write "main"`},
		{"branch: main", "branch: #main", "8:11", `"branch" has no value`, `branch: "#main"`},
		{"          branch: main\n", "<<<<<<< HEAD\n          branch: main\n=======\n          branch: dev\n>>>>>>> x\n", "8:1", "an unresolved merge conflict", "keep one side"},
		{"spec: buildspec.yml", "spec: build: it", "12:17", "has a colon with a space after it", `spec: "build: it"`},
		{"- make check", "- make: check", "16:15", "must be a text, not a mapping", `"make: check"`},
		{"[source]", "\n          -source", "11:11", `needs "-source"`, "- source"},
		{"      source:\n", "      - source:\n", "9:7", `a list begins on line 5, and "build" has no dash`, "leave the dash of line 5 out"},
		{"      check:\n        run", "    check:\n        run", "13:5", `has no field "check"`, "indent it and its fields by two spaces more"},
		{"      build:\n        needs", "    build:\n        needs", "13:7", "indented by 6 spaces, and no level that is open here is", `or indent "build" (line 9) by 6`},
		{"          spec: buildspec.yml", "          inline: |\n          version: 0.2", "13:11", `has no field "version"`, `indent its lines deeper than "inline"`},
	} {
		file := strings.Replace(plain, tt.right, tt.wrong, 1)
		if tt.right == "  " {
			file = strings.ReplaceAll(plain, tt.right, tt.wrong)
		}
		if file == plain {
			t.Fatalf("%q is not in the file", tt.right)
		}
		_, ds := Parse("showrunner.yaml", []byte(file))
		if len(ds) == 0 {
			t.Errorf("%s: nothing is said", tt.wrong)
			continue
		}
		d := ds[0]
		if place := fmt.Sprintf("%d:%d", d.Line, d.Column); place != tt.place || !strings.Contains(d.Message, tt.says) || !strings.Contains(d.Help, tt.help) || tt.help == "" {
			t.Errorf("%q: want %s %q %q, got\n%v", tt.wrong, tt.place, tt.says, tt.help, ds)
		}
	}
}

// A number sign that begins a comment, prose in quotes of its own and a tab behind a
// colon are what they seem, and nothing is said of them.
func TestWhatIsYAML(t *testing.T) {
	t.Parallel()
	for _, right := range []string{"branch: main # the trunk", "branch: # none\n          tag: v1", "branch:\tmain", "branch: main\n      # branch:main\n", `branch: "a: b"`} {
		if _, ds := Parse("showrunner.yaml", []byte(strings.Replace(plain, "branch: main", right, 1))); len(ds) > 0 && !strings.Contains(right, "a: b") {
			t.Errorf("%s: %v", right, ds)
		}
	}
}
