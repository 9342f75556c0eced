package cli_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
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
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"up": up, "exits": exits},
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
	out, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	said := make(chan string, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var all strings.Builder
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			fmt.Fprintln(&all, lines.Text())
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
	_, err = os.Stat(filepath.Join(data, "token"))
	ts.Check(err)
}
