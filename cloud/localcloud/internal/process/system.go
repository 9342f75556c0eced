package process

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// System runs real processes. Each is the leader of its own process group and
// dies with this process, by two means. The kernel kills the leader when the
// thread that started it ends (Linux). A guard, a small shell that briefly
// outlives this process, kills the whole groups when it reads the end of a pipe.
// Processes that escape their process group are found by their environment at the
// next start.
type System struct {
	work chan func()
	done chan struct{}
	guard

	sweeping sync.Mutex // one scan of the machine at a time
	batching sync.Mutex
	batch    *batch // marks for the next scan
}

// batch is shared by sweeps that run at the same time: one scan of all processes
// serves all of them.
type batch struct {
	marks []string
	once  sync.Once
	found int
}

// Sweep kills every process of the machine that has the mark, NAME=value, in its
// environment, and returns their number. It waits for a scan of the machine's processes that began after the call.
func (s *System) Sweep(mark string) int {
	s.batching.Lock()
	if s.batch == nil {
		s.batch = &batch{}
	}
	mine := s.batch
	mine.marks = append(mine.marks, mark)
	s.batching.Unlock()
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	mine.once.Do(func() {
		s.batching.Lock()
		s.batch = nil // closed: later calls need a later scan
		s.batching.Unlock()
		mine.found = KillMarked(mine.marks)
	})
	return mine.found
}

// NewSystem returns a runner whose starting thread lives until Close. The
// kernel's parent-death signal depends on the thread, not on the process.
func NewSystem(log *slog.Logger) *System {
	s := &System{work: make(chan func()), done: make(chan struct{}), guard: guard{log: log, live: map[int]bool{}}}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		defer close(s.done)
		for do := range s.work {
			do()
		}
	}()
	return s
}

func (s *System) Close() {
	close(s.work)
	<-s.done
	s.guard.close()
}

func (s *System) Start(p Program) (*Process, error) {
	path, err := resolve(p.Command[0], p.Dir)
	if err != nil {
		return nil, err
	}
	args := p.Command
	if p.Files > 0 {
		// The shell lowers its own limit and then becomes the program. A limit
		// set from outside could come after the program has raised it.
		args = append([]string{"sh", "-c", `ulimit -n "$0" && exec "$@"`, strconv.Itoa(p.Files), path}, p.Command[1:]...)
		if path, err = exec.LookPath("sh"); err != nil {
			return nil, err
		}
	}
	cmd := &exec.Cmd{Path: path, Args: args, Dir: p.Dir, Env: p.Env, Stdout: p.Output, Stderr: p.Output}
	pidfd := -1
	cmd.SysProcAttr = attributes(&pidfd)
	result := make(chan error, 1)
	s.work <- func() { result <- cmd.Start() }
	if err := <-result; err != nil {
		return nil, startError(err, p.Command[0])
	}
	if p.Nice != 0 {
		_ = unix.Setpriority(unix.PRIO_PGRP, cmd.Process.Pid, p.Nice) // a refusal only leaves the priority unchanged
	}
	s.guard.add(cmd.Process.Pid)
	return &Process{cmd: cmd, pidfd: pidfd, guard: &s.guard}, nil
}

// resolve finds a command as a shell in dir would, with a better error message.
func resolve(name, dir string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return "", fmt.Errorf("the artifact has no file %s", name)
		case info.IsDir():
			return "", fmt.Errorf("%s is a folder", name)
		case info.Mode()&0o111 == 0:
			return "", fmt.Errorf("%s is not executable: set its executable bit before it becomes an artifact", name)
		}
		return path, nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		if _, e := os.Stat(filepath.Join(dir, name)); e == nil {
			return "", fmt.Errorf("no program %s on this machine; the artifact has a file of that name: write ./%s", name, name)
		}
		return "", fmt.Errorf("no program %s on this machine, and no such file in the artifact", name)
	}
	return path, nil
}

func startError(err error, name string) error {
	if errors.Is(err, syscall.ENOEXEC) {
		return fmt.Errorf("%s is not a program for this machine: a script needs #! in its first line", name)
	}
	if errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("%s needs an interpreter or a loader that this machine lacks: %w", name, err)
	}
	return err
}

// Process is a started program with all processes it starts, as one process group.
type Process struct {
	cmd   *exec.Cmd
	pidfd int
	guard *guard

	mu   sync.Mutex
	gone bool // waited for: its process id may now belong to another process
}

func (c *Process) PID() int { return c.cmd.Process.Pid }

func (c *Process) Signal(s syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gone {
		_ = syscall.Kill(-c.PID(), s) // signaling a group that is gone is not an error
	}
}

func (c *Process) Wait() Exit {
	if awaitEnd(c.pidfd) {
		c.mu.Lock()
		_ = syscall.Kill(-c.PID(), syscall.SIGKILL) // processes that the program left in its group
		_ = c.cmd.Wait()                            // its state has all details
	} else {
		_ = c.cmd.Wait()
		c.mu.Lock()
		_ = syscall.Kill(-c.PID(), syscall.SIGKILL)
	}
	c.gone = true
	c.mu.Unlock()
	c.guard.drop(c.PID())
	status, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return Exit{Code: -1, Signal: status.Signal()}
	}
	return Exit{Code: c.cmd.ProcessState.ExitCode()}
}

func (c *Process) Usage() (time.Duration, int64, bool) { return treeUsage(c.PID()) }

// guard is a shell that keeps a list of living process groups and kills them when
// its input ends, which happens when this process ends.
type guard struct {
	log *slog.Logger

	mu   sync.Mutex
	live map[int]bool
	in   *os.File
	cmd  *exec.Cmd
}

// The shell only maintains the list; %% and # remove a number from it.
const guardScript = `live=" "
while read -r op pg; do
	case $op in
	+) live="$live$pg " ;;
	-) live="${live%% $pg *} ${live#* $pg }" ;;
	esac
done
for pg in $live; do kill -s KILL -- "-$pg" 2>/dev/null; done`

func (g *guard) add(pid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.live[pid] = true
	if g.in != nil {
		if _, err := fmt.Fprintf(g.in, "+ %d\n", pid); err == nil {
			return
		}
		g.end()
	}
	if err := g.begin(); err != nil {
		g.log.Warn("children of instances may outlive a killed region", "err", err)
	}
}

func (g *guard) drop(pid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.live, pid)
	if g.in != nil {
		fmt.Fprintf(g.in, "- %d\n", pid) // the next add replaces a guard that has ended
	}
}

func (g *guard) begin() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	// A session of its own: signals to the terminal's group do not reach it.
	cmd := exec.Command("sh", "-c", guardScript, "showrunner-guard")
	cmd.Stdin, cmd.Env, cmd.Dir = r, []string{"PATH=" + os.Getenv("PATH")}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		w.Close()
		return err
	}
	g.in, g.cmd = w, cmd
	for pid := range g.live {
		if _, err := fmt.Fprintf(w, "+ %d\n", pid); err != nil {
			return err
		}
	}
	return nil
}

func (g *guard) end() {
	g.in.Close()
	_ = g.cmd.Wait()
	g.in, g.cmd = nil, nil
}

func (g *guard) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.in != nil {
		g.end()
	}
}
