package toolkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"showrunner/chaos/document"
)

type process struct {
	path      string
	arguments any // a text goes through the shell
	timeout   any
}

func (r *reader) processProvider(m map[string]any, place string) provider {
	p := process{path: r.text(m, place, "path"), arguments: m["arguments"], timeout: m["timeout"]}
	if p.path != "" && !variable.MatchString(p.path) {
		if _, err := exec.LookPath(home(p.path)); err != nil {
			r.problem(document.Member(place, "path"), "install it, or give its whole path", "there is no program %s", p.path)
		}
	}
	return p
}

func (p process) call(ctx context.Context, run *runner, extra map[string]any) (any, error) {
	ctx, stop := within(ctx, run.values.substitute(p.timeout))
	defer stop()
	path, err := exec.LookPath(home(run.values.text(p.path)))
	if err != nil {
		return nil, err
	}
	name, arguments := path, []string(nil)
	switch list := merged(run.values.substitute(p.arguments), extra).(type) {
	case string:
		name, arguments = "/bin/sh", []string{"-c", path + " " + list}
	case []any:
		for _, a := range list {
			arguments = appendArgument(arguments, a)
		}
	case map[string]any: // names and values, one after the other
		for _, k := range slices.Sorted(maps.Keys(list)) {
			arguments = appendArgument(append(arguments, k), list[k])
		}
	}
	return runProgram(ctx, run, name, arguments)
}

func appendArgument(list []string, a any) []string {
	if text := plain(a); text != "" {
		return append(list, text)
	}
	return list
}

// runProgram runs a program to its end, with all that it started when the time is over.
func runProgram(ctx context.Context, run *runner, name string, arguments []string) (any, error) {
	cmd := exec.CommandContext(ctx, name, arguments...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Dir, cmd.Env = &stdout, &stderr, run.options.Dir, run.environ()
	ownGroup(cmd)
	cmd.WaitDelay = 2 * time.Second // a child that left the group may hold the pipes open
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, errors.New("the program did not end within the time that the activity gives")
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay):
		return nil, fmt.Errorf("%s cannot be run: %w", name, err)
	}
	return map[string]any{"status": exitStatus(cmd), "stdout": stdout.String(), "stderr": stderr.String()}, nil
}

// exitStatus is negative for a program that a signal ended, as Python has it.
func exitStatus(cmd *exec.Cmd) int {
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return -int(s.Signal())
	}
	return cmd.ProcessState.ExitCode()
}

// ownGroup makes the program the head of a group, which ends with it.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

func (process) configured(output any) any {
	m, _ := output.(map[string]any)
	text, _ := m["stdout"].(string)
	return strings.TrimSpace(text)
}

// home puts the user's folder in the place of a leading ~.
func home(path string) string {
	rest, ok := strings.CutPrefix(path, "~/")
	dir, err := os.UserHomeDir()
	if !ok || err != nil {
		return path
	}
	return filepath.Join(dir, rest)
}
