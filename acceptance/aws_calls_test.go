package acceptance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// call is a call of the aws command and what has to be in its answer.
type call struct {
	line     int
	words    []string
	out      []string // of its output
	failures []string // of the error that it ends with; none: it succeeds
}

// calls reads testdata/calls.txt, which says how it is written.
func calls(t *testing.T) map[string][]call {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "calls.txt"))
	if err != nil {
		t.Fatal(err)
	}
	blocks, name := map[string][]call{}, ""
	for n, line := range strings.Split(string(text), "\n") {
		mark, rest, _ := strings.Cut(line, " ")
		list := blocks[name]
		switch mark {
		case ":":
			name = rest
		case "$":
			blocks[name] = append(list, call{line: n + 1, words: strings.Split(rest, " ")})
		case "=":
			list[len(list)-1].out = append(list[len(list)-1].out, rest)
		case "!":
			list[len(list)-1].failures = append(list[len(list)-1].failures, rest)
		case "", "#":
		default:
			t.Fatalf("calls.txt:%d: %s", n+1, line)
		}
	}
	return blocks
}

// What a reader of AWS's documents types is answered as it is there, or refused by name.
func TestCallsOfTheAWSCommand(t *testing.T) {
	t.Parallel()
	w := newAWSWorld(t, "us-east-1", "eu-west-1")
	env, aws := os.Environ(), sharedAWS.ready(t).program
	for line := range strings.Lines(w.must("aws", "env")) {
		if setting, ok := strings.CutPrefix(strings.TrimSpace(line), "export "); ok {
			env = append(env, strings.ReplaceAll(setting, "'", ""))
		}
	}
	for name, list := range calls(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, c := range list {
				cmd := exec.CommandContext(t.Context(), aws, c.words...)
				cmd.Env, cmd.Dir = env, t.TempDir()
				var out, errs strings.Builder
				cmd.Stdout, cmd.Stderr = &out, &errs
				err := cmd.Run()
				if (err != nil) != (len(c.failures) > 0) {
					t.Errorf("calls.txt:%d: aws %s: %v %s", c.line, strings.Join(c.words, " "), err, errs.String())
					continue
				}
				for _, want := range c.out {
					if !strings.Contains(out.String(), want) {
						t.Errorf("calls.txt:%d: aws %s printed\n%s\nwithout %s", c.line, strings.Join(c.words, " "), out.String(), want)
					}
				}
				for _, want := range c.failures {
					if !strings.Contains(errs.String(), want) {
						t.Errorf("calls.txt:%d: aws %s failed with\n%s\nnot with %s", c.line, strings.Join(c.words, " "), errs.String(), want)
					}
				}
			}
		})
	}
}
