package build

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"showrunner/problem"
)

// Guard is a process that cleans up after the process that runs a build, when
// that one is killed before it can do so itself. It is for builds in the
// foreground; a supervised build is cleaned up by the process that attaches to it next.
type Guard struct {
	cmd  *exec.Cmd
	tell io.WriteCloser
}

// guardDone is what a guard hears when there is nothing left to clean up.
const guardDone = "done\n"

// StartGuard starts a guard for the build of a host. Command is a program that
// calls Stand with the two arguments that are added. The host is told which
// process is the guard's, so that the build's end does not end it.
func StartGuard(command []string, host *Host) (*Guard, error) {
	host.Mark = newMark()
	cmd := exec.Command(command[0], append(append([]string(nil), command[1:]...), host.Dir, host.Mark)...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // what kills the build's group is not to reach it
	tell, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, "build.guard", "the guard of the build does not start")
	}
	host.spare = cmd.Process.Pid
	return &Guard{cmd, tell}, nil
}

// Dismiss ends the guard, once the build has cleaned up after itself.
func (g *Guard) Dismiss() {
	io.WriteString(g.tell, guardDone) //nolint:errcheck // a guard that is gone cleans up nothing
	g.tell.Close()
	g.cmd.Wait() //nolint:errcheck // it has nothing to say
}

// Stand is the guard's own process: it returns when it is dismissed, or, when
// in ends without that, after nothing of the build is left. A guard must
// outlive the signals that are sent to all processes of a terminal.
func Stand(in io.Reader, dir, markValue string) {
	heard, _ := io.ReadAll(io.LimitReader(in, int64(len(guardDone))))
	if strings.HasPrefix(string(heard), guardDone) || markValue == "" {
		return
	}
	mark{value: markValue}.end(0)    // whoever killed the build did not ask it to end, either
	os.RemoveAll(ControlFolder(dir)) //nolint:errcheck // in memory, and closed to others
	RemoveAll(dir)                   //nolint:errcheck // a temporary folder
}
