package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"
)

const (
	head  = "application: a\npipelines:\n  p:\n    stages:\n"
	stage = head + "      s: "
	built = head + "      g: {git: {url: .}}\n      b: {needs: [g], build: {}}\n      s: {needs: [b], deploy: {cluster: c, command: [x], artifact: b, health: {path: /h}, %s}}\n"
)

// service is a file with a deploy stage in which one setting is invalid.
func service(old, with string) string {
	text := fmt.Sprintf(built, "strategy: red-black, capacity: {min: 1, desired: 2, max: 3}, waves: [{regions: [us-west-2]}]")
	return strings.Replace(text, old, with, 1)
}

func times(n int, f func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(f(i))
	}
	return b.String()
}

// hostileFiles are files that must be refused, with the text of the refusal.
func hostileFiles() map[string]struct{ text, says string } {
	return map[string]struct{ text, says string }{
		"alias bomb": {"x-0: &x0 [a, a]\n" + times(12, func(i int) string {
			return fmt.Sprintf("x-%d: &x%d [%s*x%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*x%d, ", i), 8), i)
		}) + stage + "{run: {commands: *x12}}\n", "must be a text"},
		"merge bomb": {"x-0: &m0 {k: 1}\n" + times(12, func(i int) string {
			return fmt.Sprintf("x-%d: &m%d {<<: [%s*m%d]}\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*m%d, ", i), 19), i)
		}) + stage + "{<<: *m12}\n", "error"},
		"alias to itself":              {head + "      s: &s {wait: *s}\n", "error"},
		"20,000 lists":                 {stage + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), "deep"},
		"20,000 mappings":              {stage + strings.Repeat("{a: ", 20_000) + "1" + strings.Repeat("}", 20_000), "deep"},
		"20,000 indents":               {times(20_000, func(i int) string { return strings.Repeat(" ", min(i, 180)) + "a:\n" }), "error"},
		"20,000 parentheses":           {stage + "{run: {commands: ['${{ " + strings.Repeat("(", 20_000) + "1" + strings.Repeat(")", 20_000) + " }}']}}", "error"},
		"20,000 times not":             {stage + "{when: '" + strings.Repeat("!", 20_000) + "true', wait: {for: 1s}}", "error"},
		"50 MB":                        {head + strings.Repeat("# comment\n", 5<<20), "larger than"},
		"50 MB on a line":              {strings.Repeat("x", 50<<20), "larger than"},
		"NUL":                          {strings.Replace(stage, "pipe", "pi\x00pe", 1) + "{wait: {for: 1s}}", "NUL"},
		"escaped NUL":                  {stage + `{run: {commands: ["echo \0"]}}`, "NUL"},
		"Latin-1":                      {strings.Replace(stage, "application: a", "application: caf\xe9", 1), "UTF-8"},
		"half a surrogate":             {stage + `{run: {commands: ["\ud800"]}}`, "error"},
		"duplicate stage":              {stage + "{wait: {for: 1s}}\n      s: {wait: {for: 2s}}\n", "twice"},
		"duplicate field":              {stage + "{wait: {for: 1s}, wait: {for: 2s}}", "twice"},
		"duplicate with CRLF":          {strings.ReplaceAll(stage+"{wait: {for: 1s}}\n      s: {wait: {for: 2s}}\n", "\n", "\r\n"), "twice"},
		"needs itself":                 {stage + "{needs: [s], wait: {for: 1s}}", "itself"},
		"a ring of 500 stages":         {head + times(500, func(i int) string { return fmt.Sprintf("      s%d: {needs: [s%d], wait: {for: 1s}}\n", i, (i+1)%500) }), "needs"},
		"pipelines start each other":   {stage + "{pipeline: {pipeline: q}}\n  q: {stages: {s: {pipeline: {pipeline: p}}}}\n", "starts itself"},
		"unknown need":                 {stage + "{needs: [biuld], wait: {for: 1s}}\n      build: {wait: {for: 1s}}\n", `did you mean "build"`},
		"unknown artifact":             {stage + "{deploy-site: {site: x, artifact: nope}}", "nope"},
		"unknown output":               {stage + "{wait: {for: 1s}}\n      t: {needs: [s], run: {commands: ['${{ stages.s.outputs.url }}']}}\n", "url"},
		"output of what comes later":   {stage + "{run: {commands: ['${{ stages.t.outputs.commit }}']}}\n      t: {needs: [s], git: {url: .}}\n", "error"},
		"unknown parameter":            {stage + "{when: parameters.x == 'y', wait: {for: 1s}}", "parameter"},
		"unknown function":             {stage + "{run: {commands: ['${{ exec(\"id\") }}']}}", "exec"},
		"unknown trigger":              {"application: a\npipelines: {p: {triggers: [{psuh: {}}], stages: {s: {wait: {for: 1s}}}}}\n", "push"},
		"two kinds":                    {stage + "{wait: {for: 1s}, approval: {}}", "2 kinds"},
		"two kinds by a merge":         {stage + "{<<: {wait: {for: 1s}}, approval: {}}", "2 kinds"},
		"no kind":                      {stage + "{needs: []}", "kind"},
		"two strategies":               {service("red-black", "{canary: {steps: [5]}, rolling: {}}"), "only one"},
		"steps that fall":              {service("red-black", "{canary: {steps: [50, 5]}}"), "rise"},
		"min above desired":            {service("min: 1", "min: 9"), "above"},
		"no finite capacity":           {service("max: 3", "max: .inf"), "whole number"},
		"capacity past an integer":     {service("max: 3", "max: 99999999999999999999"), "whole number"},
		"a region twice":               {service("waves: [", "waves: [{regions: [us-west-2]}, "), "us-west-2"},
		"a negative wait":              {stage + "{wait: {for: -1s}}", "negative"},
		"a wait past all time":         {stage + "{wait: {for: 99999999999h}}", "duration"},
		"a billion retries":            {stage + "{retry: {attempts: 1000000000}, wait: {for: 1s}}", "at most"},
		"a cron line that never comes": {"application: a\npipelines: {p: {triggers: [{schedule: {cron: '0 0 30 2 *'}}], stages: {s: {wait: {for: 1s}}}}}\n", "never"},
		"a zone that is a path":        {"application: a\npipelines: {p: {triggers: [{schedule: {cron: '0 0 1 1 *', zone: ../../etc/passwd}}], stages: {s: {wait: {for: 1s}}}}}\n", "zone"},
		"a glob bomb":                  {"application: a\npipelines: {p: {triggers: [{push: {paths: ['" + strings.Repeat("{a,aa}", 40) + "']}}], stages: {s: {wait: {for: 1s}}}}}\n", "braces"},
		"loops in loops":               {stage + "{when: 'all(1..1000, all(1..1000, all(1..1000, # > 0)))', wait: {for: 1s}}", "inside each other"},
		"a secret that is compared":    {stage + "{when: secrets.X == 'a', wait: {for: 1s}}", "secret"},
		"a default beside its options": {"application: a\npipelines: {p: {parameters: {v: {default: c, options: [a, b]}}, stages: {s: {wait: {for: 1s}}}}}\n", "options"},
		"a site that climbs":           {stage + "{deploy-site: {site: ../../x, artifact: b}}", "host name"},
		"a git remote helper":          {stage + `{git: {url: "ext::sh -c id"}}`, "url"},
		"a git option":                 {stage + `{git: {url: "--upload-pack=id"}}`, "url"},
		"a call to a file":             {stage + "{webhook: {url: 'file:///etc/passwd'}}", "http"},
		"a tag that makes objects":     {stage + "!!python/object/apply:os.system {wait: {for: 1s}}", "tag"},
		"a tag of its own":             {"%TAG ! tag:example.org,2000:\n---\n" + stage + "!evil {wait: {for: 1s}}", "tag"},
		"two documents":                {stage + "{wait: {for: 1s}}\n---\n" + stage + "{wait: {for: 1s}}\n", "document"},
		"nothing":                      {"", "empty"},
		"a web page":                   {"<!doctype html><html><body>404 Not Found</body></html>", "mapping"},
		"a program":                    {"\x7fELF\x02\x01\x01\x00\x00", "NUL"},
		"a colour that paints the tty": {stage + "{\"\x1b]0;owned\x07\": 1}", "U+001B"},
		"an error at the end of 3 MB":  {stage + "{run: {commands: ['" + strings.Repeat("x", 3<<20) + "']}, nope: 1}", "nope"},
		"a hundred thousand errors":    {head + times(100_000, func(i int) string { return fmt.Sprintf("      s%d: {}\n", i) }), "error"},
		"a million needs":              {stage + "{needs: [" + strings.Repeat("x,", 1_000_000) + "]}", "at most"},
		"every stage needs all earlier": {head + times(600, func(i int) string {
			return fmt.Sprintf("      s%d: {needs: [%s], wait: {for: 1s}}\n", i, times(i, func(j int) string { return fmt.Sprintf("s%d,", j) }))
		}) + "      z: {needs: [nope]}\n", "nope"},
	}
}

// TestHostileFilesAreRefused applies files that try to crash the program, to
// stall it, to fill the memory or the terminal, or to reach foreign data. Each is
// refused with exit code 2, a position and a reason, within bounds of time and
// text.
func TestHostileFilesAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var report bytes.Buffer
	table := tabwriter.NewWriter(&report, 0, 0, 2, ' ', 0)
	refused := 0
	var slowest time.Duration
	for name, c := range hostileFiles() {
		file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".yaml")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		took, first, err := refuse(t.Context(), file, c.says)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		refused++
		slowest = max(slowest, took)
		fmt.Fprintf(table, "%s\t%d ms\t%s\n", name, took.Milliseconds(), first)
	}
	table.Flush()
	t.Logf("%d of %d refused, the slowest after %d ms\n%s", refused, len(hostileFiles()), slowest.Milliseconds(), report.String())
}

// TestEndlessFilesAreRefused: an endless file is not read to its end, and reading
// from a pipe without a writer can be interrupted.
func TestEndlessFilesAreRefused(t *testing.T) {
	t.Parallel()
	if _, _, err := refuse(t.Context(), "/dev/zero", "larger than"); err != nil {
		t.Error(err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe.yaml")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(binary, "validate", pipe)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	// Opening for writing waits until the program reads.
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
		if code := cmd.ProcessState.ExitCode(); code != 2 {
			t.Errorf("exit code %d", code)
		}
	case <-time.After(30 * time.Second):
		cmd.Process.Kill()
		t.Error("an interrupt does not end it")
	}
}

// refuse validates a file that must be refused, and returns the duration and the
// first line of the refusal. Bounds: a minute, for a busy machine; 200 kB of
// text.
func refuse(ctx context.Context, file, says string) (took time.Duration, first string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "validate", file)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	err = cmd.Run()
	took = time.Since(start)
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		return took, "", err
	}
	text := errs.String()
	first, _, _ = strings.Cut(text, "\n")
	first = strings.ReplaceAll(first, filepath.Dir(file)+"/", "")
	switch {
	case ctx.Err() != nil:
		err = errors.New("it does not end")
	case cmd.ProcessState.ExitCode() != 2:
		err = fmt.Errorf("exit code %d:\n%.2000s", cmd.ProcessState.ExitCode(), text)
	case !strings.Contains(text, says):
		err = fmt.Errorf("it does not say %q:\n%.2000s", says, text)
	case !strings.Contains(text, filepath.Base(file)):
		err = fmt.Errorf("it does not name the file:\n%.2000s", text)
	case len(text) > 200_000:
		err = fmt.Errorf("it says %d bytes", len(text))
	case strings.ContainsAny(text, "\x00\x07\x1b"):
		err = fmt.Errorf("it writes control characters: %.2000q", text)
	default:
		err = nil
	}
	if err != nil {
		return took, first, err
	}
	// Programs get the same refusal as JSON.
	raw, _ := exec.CommandContext(ctx, binary, "validate", "-o", "json", file).Output()
	var files []struct {
		Valid       bool
		Diagnostics []struct{ Code, Message string }
	}
	if jsonErr := json.Unmarshal(raw, &files); jsonErr != nil || len(files) != 1 || files[0].Valid || len(files[0].Diagnostics) == 0 {
		err = fmt.Errorf("as JSON: %v: %.500s", jsonErr, raw)
	}
	return took, first, err
}
