package acceptance

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write docs/article.md anew, with what its commands print")

const articlePage = "../docs/article.md"

// pagePart is a text of the page, or one of its commands.
type pagePart struct {
	text string
	step *pageStep
}

// pageStep is a block of commands with what they printed.
type pageStep struct {
	name   string // of the comment before it; most have none
	script string
	output []string
}

const (
	shellBegins, outputBegins, blockEnds = "```sh", "```text", "```"
	stepBegins, stepEnds                 = "<!-- step: ", " -->"
)

// readPage takes the page apart: the text between commands stays as it is.
func readPage(t *testing.T) []pagePart {
	t.Helper()
	source, err := os.ReadFile(articlePage)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(string(source), "\n"), "\n")
	var parts []pagePart
	var text []string
	name := ""
	block := func(from int) (body []string, next int) {
		for i := from; i < len(lines); i++ {
			if lines[i] == blockEnds {
				return lines[from:i], i + 1
			}
		}
		t.Fatalf("%s:%d: the block does not end", articlePage, from)
		return nil, 0
	}
	for i := 0; i < len(lines); {
		if rest, ok := strings.CutPrefix(lines[i], stepBegins); ok {
			name = strings.TrimSuffix(rest, stepEnds)
		}
		if lines[i] != shellBegins {
			text = append(text, lines[i])
			i++
			continue
		}
		step := &pageStep{name: name}
		body, next := block(i + 1)
		step.script, name = strings.Join(body, "\n"), ""
		if next+1 < len(lines) && lines[next] == "" && lines[next+1] == outputBegins {
			step.output, next = block(next + 2)
		}
		parts = append(parts, pagePart{text: strings.Join(text, "\n")}, pagePart{step: step})
		text, i = nil, next
	}
	return append(parts, pagePart{text: strings.Join(text, "\n")})
}

// writePage is the reverse of readPage.
func writePage(t *testing.T, parts []pagePart) {
	t.Helper()
	var out []string
	for _, p := range parts {
		if p.step == nil {
			out = append(out, p.text)
			continue
		}
		out = append(out, shellBegins, p.step.script, blockEnds)
		if len(p.step.output) > 0 {
			out = append(append(append(out, "", outputBegins), p.step.output...), blockEnds)
		}
	}
	if err := os.WriteFile(articlePage, []byte(strings.TrimRight(strings.Join(out, "\n"), "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// setMeasured writes a sentence between the page's marks of that name.
func setMeasured(t *testing.T, parts []pagePart, name, sentence string) {
	t.Helper()
	begin, end := "<!-- measured: "+name+" -->", "<!-- end -->"
	for i, p := range parts {
		before, rest, found := strings.Cut(p.text, begin)
		if _, after, closed := strings.Cut(rest, end); found && closed {
			parts[i].text = before + begin + sentence + end + after
			return
		}
	}
	t.Fatalf("%s has no place for what was measured of %s", articlePage, name)
}

// reader is somebody who types the page's commands in one shell.
type reader struct {
	*world
	home  string
	state string // the shell's variables and folder, between two blocks
}

// newReader has an empty home and an empty data folder, in a clone.
func newReader(t *testing.T) *reader {
	t.Helper()
	for _, tool := range []string{"aws", "node", "npm", "git", "curl", "shuf"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not installed")
		}
	}
	modules := cdkModules(t)
	r := &reader{world: newAWSWorld(t, "us-west-2", "us-east-1", "eu-west-1"), home: t.TempDir()}
	r.state = filepath.Join(r.home, ".state")
	clone, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.state, []byte("cd "+clone+"\nMODULES="+modules+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

// given are the steps that are carried out in another way than they are written:
// up runs already, and the CDK is installed once for all tests.
var given = map[string]string{
	"start":   "true",
	"install": `ln -s "$MODULES" cdk/node_modules`,
}

// command is a block of the page as a command of this machine: ports are those of
// this world.
func (r *reader) command(ctx context.Context, s *pageStep) *exec.Cmd {
	script := s.script
	if other, ok := given[s.name]; ok {
		script = other
	}
	keep := "export -p > " + r.state + ".new; echo \"cd '$PWD'\" >> " + r.state + ".new; mv " + r.state + ".new " + r.state
	path, validation := os.Getenv("PATH"), "true"
	if !r.asInstalled {
		path, validation = sharedAWS.ready(r.t).path, "false"
	}
	path = filepath.Dir(binary) + string(os.PathListSeparator) + path
	cmd := exec.CommandContext(ctx, "sh", "-c", "set -ae\n. "+r.state+"\nPATH='"+path+"'\n"+cdkValidation+validation+"\n"+script+"\n"+keep)
	cmd.Env = []string{"HOME=" + r.home, "PATH=" + path, "TMPDIR=" + os.TempDir(), "USER=reader",
		"SHOWRUNNER_DATA=" + r.data, "NODE_NO_WARNINGS=1", "CDK_DISABLE_CLI_TELEMETRY=true", "npm_config_update_notifier=false", "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C.UTF-8",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com"}
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// run types a block and returns what it prints.
func (r *reader) run(s *pageStep) (string, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := r.command(ctx, s)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// shown is an output as the page shows it: the default addresses, the reader's home
// as ~, and the middle of what is long left out.
func (r *reader) shown(step, out string) []string {
	_, port, _ := strings.Cut(r.edge, ":")
	address, err := os.ReadFile(filepath.Join(r.data, "aws.addr"))
	if err != nil {
		r.t.Fatal(err)
	}
	out = strings.NewReplacer(":"+port, ":8080", strings.TrimSpace(string(address)), "127.0.0.1:4566", r.listen, "127.0.0.1:7070", r.home, "~").Replace(out)
	out = strings.TrimSpace(strings.ReplaceAll(out, "\r", ""))
	if out == "" {
		return nil
	}
	lines := strings.Split(out, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t")
	}
	const most, first, last = 24, 10, 12
	if len(lines) > most && step != "diff" {
		lines = append(append(append([]string{}, lines[:first]...), "…"), lines[len(lines)-last:]...)
	}
	return lines
}

// vary are the parts of outputs that differ from run to run.
var vary = []struct {
	pattern *regexp.Regexp
	as      string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)?`), "DATE"},
	{regexp.MustCompile(`\b\d{1,2}:\d\d:\d\d( [AP]M)?`), "TIME"},
	{regexp.MustCompile(`\b\d{10}\.\d+\b`), "DATE"},
	{regexp.MustCompile(`\bi-[0-9a-f]{17}\b`), "INSTANCE"},
	{regexp.MustCompile(`\bus-east-1[abc]\b`), "ZONE"},
	{regexp.MustCompile(`\b\d+(\.\d+)?m?s\b`), "TOOK"},
	{regexp.MustCompile(`\b\d+(\.\d+)? ?m(s|in)?( ago)?\b`), "TOOK"},
	{regexp.MustCompile(`github-token-[A-Za-z0-9]{6}`), "github-token-RANDOM"},
	{regexp.MustCompile(`(websitebucket[0-9a-f]{8})-[0-9a-z]{12}`), "$1-RANDOM"},
	{regexp.MustCompile(`\bd-[0-9a-z]{13}\b`), "DEPLOYMENT"},
	{regexp.MustCompile(`-[0-9A-Za-z]{12}\b`), "-RANDOM"},
	{regexp.MustCompile(`\b[0-9a-f]{7,64}\b`), "HASH"},
	{regexp.MustCompile(`\b[0-9a-z]{18}\b`), "ID"},
	{regexp.MustCompile(`\s+`), " "},
}

// forms are lines without what differs from run to run.
func forms(lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		for _, v := range vary {
			line = v.pattern.ReplaceAllString(line, v.as)
		}
		out[i] = strings.TrimSpace(line)
	}
	return out
}
