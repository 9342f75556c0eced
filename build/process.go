package build

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"showrunner/build/buildspec"
	"showrunner/problem"
)

// processes runs the shell as a process of this machine.
type processes struct {
	shell string // path of the program
	dir   string
	path  string // PATH of a shell that restores its environment
	// memory bounds the data of each process, in bytes; 0 is no limit. It is a
	// limit on each, not on their sum, which takes a container.
	memory int64
	mark   string
}

// newProcesses finds the shell. Errors: precondition.
func newProcesses(want buildspec.Shell, dir string, env []string) (processes, error) {
	p := processes{dir: dir, path: os.Getenv("PATH")}
	names := []string{"bash", "/bin/sh"}
	switch want {
	case buildspec.ShellBash:
		names = names[:1]
	case buildspec.ShellSh:
		names = names[1:]
	}
	for _, name := range names {
		if found, err := exec.LookPath(name); err == nil {
			if p.shell, err = filepath.Abs(found); err == nil {
				return p, nil
			}
		}
	}
	return p, problem.New(problem.Precondition, "build.shell", "%s is not on this machine", strings.Join(names, " or ")).
		WithHelp("Install it, or set env.shell in the buildspec to one that is there.")
}

func (p processes) firstState([]string) string { return "" }

func (p processes) scriptIsInput() bool { return false }

func (p processes) give(_ context.Context, user account, dir string) error { return user.ownTree(dir) }

func (p processes) command(user account, env []string, script, out *os.File) (*exec.Cmd, error) {
	args := []string{p.shell, "/dev/fd/3"}
	if strings.HasSuffix(p.shell, "bash") {
		args = []string{p.shell, "--noprofile", "--norc", "/dev/fd/3"}
	}
	if p.memory > 0 {
		limit := "ulimit -d " + strconv.FormatInt((p.memory+1023)/1024, 10) + ` && exec "$@"`
		args = append([]string{"/bin/sh", "-c", limit, "sh"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = p.dir
	if cmd.Env = env; env == nil {
		cmd.Env = []string{"PATH=" + p.path, markVariable + "=" + p.mark}
	} else {
		cmd.Env = append(append([]string(nil), env...), user.env()...)
	}
	cmd.ExtraFiles = []*os.File{script}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = attributes(user)
	return cmd, nil
}
