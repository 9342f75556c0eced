package cli_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

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
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_DATA_HOME", "")
			env.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
			for _, who := range []string{"AUTHOR", "COMMITTER"} {
				env.Setenv("GIT_"+who+"_NAME", "Ada")
				env.Setenv("GIT_"+who+"_EMAIL", "ada@example.com")
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"up": up, "exits": exits, "get": get, "service": service},
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
	self, err := exec.LookPath("showrunner")
	ts.Check(err)
	data := ts.MkAbs("data")
	cmd := exec.Command(self, append([]string{"up", "--data", data, "--listen", "127.0.0.1:0", "--edge", "127.0.0.1:0"}, args...)...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "TMPDIR=" + os.TempDir()}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOFLAGS"} { // what is compiled already is used again
		if value, err := exec.Command("go", "env", name).Output(); err == nil {
			cmd.Env = append(cmd.Env, name+"="+strings.TrimSpace(string(value)))
		}
	}
	out, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	said := make(chan string, 1)
	edge := make(chan string, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var all strings.Builder
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			fmt.Fprintln(&all, lines.Text())
			if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == "edge" {
				edge <- fields[len(fields)-1]
			}
			if strings.HasPrefix(lines.Text(), "Showrunner is up.") {
				said <- ""
				io.Copy(io.Discard, out) //nolint:errcheck // its end is what matters
				return
			}
		}
		said <- all.String()
	}()
	ts.Defer(func() {
		cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
		<-ended
		cmd.Wait() //nolint:errcheck // it was interrupted
	})
	if text := <-said; text != "" {
		ts.Fatalf("up ended:\n%s", text)
	}
	ts.Setenv("SHOWRUNNER_DATA", data)
	ts.Setenv("EDGE", <-edge)
	_, err = os.Stat(filepath.Join(data, "token"))
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
