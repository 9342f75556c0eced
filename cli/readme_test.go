package cli_test

import (
	"flag"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the session of README.md anew")

// readme is a session as README.md shows it.
type readme struct {
	before, after string // the text around it
	commands      []shown
}

// shown is a command with what it prints.
type shown struct {
	command string
	output  []string
}

const sessionBegins, sessionEnds = "```console\n", "```\n"

func readReadme(t *testing.T, path string) readme {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), sessionBegins)
	session, after, closed := strings.Cut(rest, sessionEnds)
	if !found || !closed {
		t.Fatalf("%s has no session", path)
	}
	r := readme{before: before + sessionBegins, after: sessionEnds + after}
	for _, line := range strings.Split(strings.TrimRight(session, "\n"), "\n") {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			r.commands = append(r.commands, shown{command: command})
		} else if line != "" {
			last := &r.commands[len(r.commands)-1]
			last.output = append(last.output, line)
		}
	}
	return r
}

// TestReadmeSession types the session of README.md as it stands there, and
// compares what is printed: what differs from run to run by its form alone.
func TestReadmeSession(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"git", "go", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s, which the session needs, is not installed", tool)
		}
	}
	page, err := filepath.Abs("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	r := readReadme(t, page)
	s := newShell(t, filepath.Dir(page))
	for i, c := range r.commands {
		got := s.run(c.command)
		if *update {
			r.commands[i].output = got
			continue
		}
		want, have := forms(c.output), forms(got)
		if !slices.Equal(want, have) {
			t.Errorf("$ %s\nREADME.md shows\n  %s\nit prints\n  %s", c.command, strings.Join(want, "\n  "), strings.Join(have, "\n  "))
		}
	}
	s.startsAProjectOfItsOwn()
	if *update {
		var b strings.Builder
		for i, c := range r.commands {
			if i > 0 {
				b.WriteString("\n")
			}
			b.WriteString("$ " + c.command + "\n" + strings.Join(append(c.output, ""), "\n"))
		}
		if err := os.WriteFile(page, []byte(r.before+b.String()+r.after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// shell is a person's terminal: a home of its own, and a folder that cd changes.
type shell struct {
	t            *testing.T
	dir          string
	home         string
	listen, edge string
	env          []string
}

func newShell(t *testing.T, dir string) *shell {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin, home := t.TempDir(), t.TempDir()
	// TestMain goes by the program's name, and so do the processes that up starts:
	// no symbolic link, since those find the program that it leads to.
	program, err := os.ReadFile(self)
	if err == nil {
		err = os.WriteFile(filepath.Join(bin, "showrunner"), program, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &shell{t: t, dir: dir, home: home, env: []string{"HOME=" + home, "PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(),
		"SHOWRUNNER_LISTEN=127.0.0.1:0", "SHOWRUNNER_EDGE=127.0.0.1:0", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com"}}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOFLAGS"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		s.env = append(s.env, name+"="+strings.TrimSpace(string(value)))
	}
	return s
}

// run types a command and answers with the lines that README.md shows of it.
func (s *shell) run(command string) []string {
	s.t.Helper()
	if background, ok := strings.CutSuffix(command, " &"); ok {
		return s.tidy(s.start(background))
	}
	line := strings.ReplaceAll(command, ":8080", ":"+port(s.edge))
	where := filepath.Join(s.t.TempDir(), "where")
	cmd := exec.Command("sh", "-c", line+"\nstatus=$?; pwd > "+where+"; exit $status")
	cmd.Dir, cmd.Env = s.dir, s.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("$ %s\n%s%v", command, out, err)
	}
	dir, err := os.ReadFile(where)
	if err != nil {
		s.t.Fatal(err)
	}
	s.dir = strings.TrimSpace(string(dir))
	return s.tidy(string(out))
}

// startsAProjectOfItsOwn types init in a folder beside what runs: its next steps
// name the port of that edge, and start no second one.
func (s *shell) startsAProjectOfItsOwn() {
	s.t.Helper()
	s.run("mkdir ~/shop && cd ~/shop && git init -q -b main && echo hello > index.html")
	out := strings.Join(s.run("showrunner init"), "\n")
	if !strings.Contains(out, "http://shop.localhost:8080/") || strings.Contains(out, "showrunner up") { // tidied: the edge's own port
		s.t.Errorf("beside a running control plane, init says\n%s", out)
	}
}

// start leaves `showrunner up` running until the test ends, and answers with
// what it says until it is ready.
func (s *shell) start(command string) string {
	s.t.Helper()
	p := newProcess(exec.Command("sh", "-c", "exec "+command))
	p.cmd.Dir, p.cmd.Env = s.dir, s.env
	if err := p.start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.interrupt)
	text, found := p.until(regexp.MustCompile(`(?m)^Showrunner is up\.`))
	if !found {
		s.t.Fatalf("$ %s\n%s", command, text)
	}
	address := func(process string) string {
		m := regexp.MustCompile(`(?m)^` + process + ` .*http://(\S+)$`).FindStringSubmatch(text)
		if m == nil {
			s.t.Fatalf("%s does not say where it is:\n%s", process, text)
		}
		return m[1]
	}
	s.listen, s.edge = address("control"), address("edge")
	ready, _, _ := strings.Cut(text, "\nShowrunner is up.")
	return ready
}

func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// underWay are lines of what has not ended, which README.md leaves out.
var underWay = regexp.MustCompile(`state=(Running|Baking|Queued|"|Waiting)|^waiting for `)

// tidy gives a session's output the names that everybody has.
func (s *shell) tidy(out string) []string {
	me := "root"
	if u, err := user.Current(); err == nil {
		me = u.Username
	}
	out = strings.NewReplacer(s.home, "~", s.edge, "127.0.0.1:8080", "localhost:"+port(s.edge), "localhost:8080", s.listen, "127.0.0.1:7070").Replace(out)
	out = regexp.MustCompile(`\b`+regexp.QuoteMeta(me)+`\b`).ReplaceAllString(out, "ada")
	var lines []string
	for _, line := range strings.Split(out, "\n") {
		if line = strings.TrimRight(line, " "); line != "" && !underWay.MatchString(line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// forms are lines with what differs from run to run taken out, sorted: stages
// beside each other end in any order.
func forms(lines []string) []string {
	var list []string
	for _, line := range lines {
		for _, f := range []struct {
			pattern *regexp.Regexp
			form    string
		}{
			{regexp.MustCompile(`\b\d\d:\d\d:\d\d\b`), "TIME"},
			{regexp.MustCompile(`\b\d+(\.\d+)?(ms|s|m|h|d)(\d\d[smh])?\b`), "SPAN"},
			{regexp.MustCompile(`\b0[0-9a-z]{17}\b`), "ID"},
			{regexp.MustCompile(`\bd-[0-9a-z]{13}\b`), "DEPLOYMENT"},
			{regexp.MustCompile(`\b[0-9a-f]{7}([0-9a-f]{33})?\b`), "COMMIT"},
			{regexp.MustCompile(`127\.0\.0\.1:\d+`), "ADDRESS"},
			{regexp.MustCompile(`(us|eu)-(west|east)-\d[a-c]?\b`), "REGION"},
			{regexp.MustCompile(`i-[0-9a-z]+`), "INSTANCE"},
			{regexp.MustCompile(`\s+`), " "},
		} {
			line = f.pattern.ReplaceAllString(line, f.form)
		}
		list = append(list, line)
	}
	slices.Sort(list)
	return list
}
