package cli_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"showrunner/cli"
)

// TestMain makes this program the command line itself when a session, or a
// process that the command line starts, calls it as such.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"showrunner": func() { os.Exit(cli.Main(os.Args[1:], cli.System())) },
	})
}

// servicePage is read where the tests begin, before a session has a folder of its own.
var servicePage = func() string {
	path, err := filepath.Abs("../docs/service.md")
	if err != nil {
		panic(err) // there is no working directory
	}
	return path
}()

// TestSessions runs the sessions of testdata/script. Each begins with what it
// shows, and is an example of the documentation at the same time.
func TestSessions(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:             "testdata/script",
		ContinueOnError: true,
		Setup: func(env *testscript.Env) error {
			env.Values["running"] = &running{}
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_DATA_HOME", "")
			env.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
			for _, who := range []string{"AUTHOR", "COMMITTER"} {
				env.Setenv("GIT_"+who+"_NAME", "Ada")
				env.Setenv("GIT_"+who+"_EMAIL", "ada@example.com")
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"up": up, "demo": demo, "says": says, "stop": stop, "exits": exits, "get": get, "service": service},
	})
}

// exits runs a command that has to end with a code: exits CODE COMMAND ARGS…
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARGS…")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		code = ended.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("%s ended with exit code %d, not %s", args[1], code, args[0])
	}
}

// up starts `showrunner up` with the flags given, on free ports and the data
// folder $WORK/data, and returns once it says that it is up. The session's end
// interrupts it and waits.
func up(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("up cannot be negated")
	}
	start(ts, "up", "Showrunner is up.", args)
}

// demo starts `showrunner demo` in the same way, and returns once it tells what happens.
func demo(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("demo cannot be negated")
	}
	began := time.Now()
	start(ts, "demo", "What happens from now on is told here.", args)
	ts.Logf("demo took %s", time.Since(began).Round(time.Millisecond))
}

// process is a command that runs beside the session.
type process struct {
	cmd *exec.Cmd
	end chan struct{} // closed once everything that it said was read

	mu   sync.Mutex
	said []byte
	more chan struct{} // closed, and made anew, when it says more
}

func newProcess(cmd *exec.Cmd) *process {
	return &process{cmd: cmd, end: make(chan struct{}), more: make(chan struct{})}
}

func (p *process) start() error {
	p.cmd.Stderr = p
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = p.cmd.Wait() // it is interrupted
		close(p.end)
	}()
	return nil
}

func (p *process) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = append(p.said, text...)
	close(p.more)
	p.more = make(chan struct{})
	return len(text), nil
}

// until waits until what it has said matches, or answers with all of it when it
// ends or a minute has passed before.
func (p *process) until(what *regexp.Regexp) (said string, found bool) {
	limit := time.After(time.Minute)
	for {
		p.mu.Lock()
		text, more := string(p.said), p.more
		p.mu.Unlock()
		if what.MatchString(text) {
			return text, true
		}
		select {
		case <-more:
		case <-p.end:
			p.mu.Lock()
			defer p.mu.Unlock()
			return string(p.said), what.Match(p.said)
		case <-limit:
			return text, false
		}
	}
}

func (p *process) interrupt() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	<-p.end
}

// running is where a session keeps its process.
type running struct{ process *process }

func start(ts *testscript.TestScript, command, ready string, args []string) {
	self, err := exec.LookPath("showrunner")
	ts.Check(err)
	data := ts.MkAbs("data")
	p := newProcess(exec.Command(self, append([]string{command, "--data", data, "--listen", "127.0.0.1:0", "--edge", "127.0.0.1:0"}, args...)...))
	p.cmd.Dir = ts.MkAbs(".")
	p.cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "TMPDIR=" + os.TempDir()}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOFLAGS"} { // what is compiled already is used again
		if value, err := exec.Command("go", "env", name).Output(); err == nil {
			p.cmd.Env = append(p.cmd.Env, name+"="+strings.TrimSpace(string(value)))
		}
	}
	ts.Check(p.start())
	ts.Value("running").(*running).process = p
	ts.Defer(p.interrupt)
	text, found := p.until(regexp.MustCompile("(?m)^" + regexp.QuoteMeta(ready)))
	if !found {
		ts.Fatalf("%s did not become ready:\n%s", command, text)
	}
	ts.Setenv("SHOWRUNNER_DATA", data)
	edge := regexp.MustCompile(`(?m)^edge .*ready in \S+  (\S+)$`).FindStringSubmatch(text)
	if edge == nil {
		ts.Fatalf("%s does not say where the edge is:\n%s", command, text)
	}
	ts.Setenv("EDGE", edge[1])
}

// says waits until the process beside the session has said something: says REGEXP.
func says(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: says REGEXP")
	}
	what, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	if text, found := ts.Value("running").(*running).process.until(what); !found {
		ts.Fatalf("it does not say %q:\n%s", args[0], text)
	}
}

// stop interrupts the process beside the session, waits for its end, and has
// everything that it said for stdout to match.
func stop(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: stop")
	}
	p := ts.Value("running").(*running).process
	p.interrupt()
	_, err := ts.Stdout().Write(p.said)
	ts.Check(err)
}

// get prints what the edge answers for a site or a cluster: get NAME PATH.
func get(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: get NAME PATH")
	}
	request, err := http.NewRequest(http.MethodGet, ts.Getenv("EDGE")+args[1], nil)
	ts.Check(err)
	request.Host = args[0] + ".localhost"
	answer, err := http.DefaultClient.Do(request)
	ts.Check(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	ts.Check(err)
	if answer.StatusCode != http.StatusOK {
		ts.Fatalf("%s answers %s: %s", args[0], answer.Status, body)
	}
	_, err = ts.Stdout().Write(body)
	ts.Check(err)
}

// service writes an example of docs/service.md into a file: service LANGUAGE FILE.
func service(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: service LANGUAGE FILE")
	}
	page, err := os.ReadFile(servicePage)
	ts.Check(err)
	_, rest, found := strings.Cut(string(page), "```"+args[0]+"\n")
	code, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		ts.Fatalf("docs/service.md has no example in %s", args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(code), 0o644))
}
