package build

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"showrunner/internal/sockpath"
	"showrunner/problem"
)

// Launcher starts supervisors.
type Launcher struct {
	// Command is the program and its arguments; the build's folder is added.
	Command []string
}

// SelfLauncher starts supervisors with this program.
func SelfLauncher() (Launcher, error) {
	self, err := os.Executable()
	if err != nil {
		return Launcher{}, problem.Wrap(err, problem.Internal, "build.launcher", "this program's path")
	}
	return Launcher{Command: []string{self, "build-supervisor", "--dir"}}, nil
}

// Handle is a build that a supervisor has, or had.
type Handle struct{ dir string }

// ErrNotStarted says that nothing of a build has happened, so it may be started.
var ErrNotStarted = problem.New(problem.NotFound, "build.attach", "the build has not been started")

// ErrGivenUp says that a build has not begun and never will in this folder.
var ErrGivenUp = problem.New(problem.Conflict, "build.attach", "the build was given up before it began")

// GiveUp sees to it that a build that has not begun never does; false: it has
// begun, or is about to.
func GiveUp(dir string) (bool, error) {
	h := &Handle{dir}
	lock, err := lockBuild(dir)
	if problem.CodeOf(err) == problem.Conflict {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer lock.Close()
	if h.has(fileState) || h.has(fileResult) {
		return false, nil
	}
	if err := os.WriteFile(filepath.Join(dir, fileGivenUp), nil, 0o600); err != nil {
		return false, problem.Wrap(err, problem.Unavailable, "build.give-up", "folder %s", dir)
	}
	return true, nil
}

// Start starts the build in a process of its own, in its own session, that
// lives on when this one ends. It returns once the build can be reached. A
// build that was started before in this folder is attached to instead.
func (l Launcher) Start(ctx context.Context, dir string, job Job, secrets map[string]string) (*Handle, error) {
	const op = "build.start"
	h, err := Attach(dir)
	if err == nil || !errors.Is(err, ErrNotStarted) {
		return h, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, op, "folder %s", dir)
	}
	job.Placed = job.Place != nil
	if err := writeJSON(filepath.Join(dir, fileJob), job); err != nil {
		return nil, err
	}
	errs, err := os.OpenFile(filepath.Join(dir, fileErrors), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, op, "folder %s", dir)
	}
	defer errs.Close()
	cmd := exec.Command(l.Command[0], append(append([]string(nil), l.Command[1:]...), dir)...)
	cmd.Dir = "/" // so that it holds no folder of whoever started this program
	cmd.Stderr = errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if job.Place != nil {
		cmd.ExtraFiles = []*os.File{job.Place} // placeDescriptor
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, op, "pipe")
	}
	ready, out, err := os.Pipe()
	if err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, op, "pipe")
	}
	defer ready.Close()
	cmd.Stdout = out
	err = cmd.Start()
	out.Close()
	if err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, op, "the supervisor does not start")
	}
	go cmd.Wait() //nolint:errcheck // its folder tells how it went
	if secrets == nil {
		secrets = map[string]string{}
	}
	json.NewEncoder(stdin).Encode(secrets) //nolint:errcheck // then it does not become ready
	stdin.Close()
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(ready).ReadString('\n')
		line <- text
	}()
	select {
	case text := <-line:
		if text == "ready\n" {
			return &Handle{dir}, nil
		}
	case <-ctx.Done(): // it goes on, and can be attached to
		return nil, context.Cause(ctx)
	}
	if h, err := Attach(dir); err == nil || errors.Is(err, ErrGivenUp) { // another process was faster
		return h, err
	}
	said, _ := os.ReadFile(filepath.Join(dir, fileErrors))
	return nil, problem.New(problem.Unavailable, op, "the supervisor of the build ended at once: %s", strings.Join(lastLines(string(said), 3), "; "))
}

// Attach finds the build of a folder. Errors: ErrNotStarted (not_found),
// ErrGivenUp (conflict).
func Attach(dir string) (*Handle, error) {
	h := &Handle{dir}
	if h.has(fileResult) || h.has(fileState) {
		return h, nil
	}
	if h.has(fileGivenUp) {
		return nil, ErrGivenUp
	}
	if !h.has(fileJob) {
		return nil, ErrNotStarted
	}
	lock, err := lockBuild(dir)
	if err == nil {
		// No supervisor has it, and nothing has happened. A supervisor that is still
		// on its way to the lock finds out there whether it may begin.
		defer lock.Close()
		if h.has(fileState) || h.has(fileResult) {
			return h, nil
		}
		return nil, ErrNotStarted
	}
	if problem.CodeOf(err) == problem.Conflict {
		return h, nil
	}
	return nil, err
}

func (h *Handle) has(name string) bool { return exists(filepath.Join(h.dir, name)) }

// Begun tells whether a supervisor has the build, or had it.
func (h *Handle) Begun() bool { return h.has(fileState) || h.has(fileResult) }

// Result returns the result of a build that has ended; not_found before.
func (h *Handle) Result() (Result, error) {
	var r Result
	err := readJSON(filepath.Join(h.dir, fileResult), &r)
	if errors.Is(err, os.ErrNotExist) {
		return r, problem.New(problem.NotFound, "build.result", "the build has not ended")
	}
	if err != nil {
		return r, problem.Wrap(err, problem.Internal, "build.result", "the result in %s", h.dir)
	}
	return r, nil
}

// State returns how far the build is.
func (h *Handle) State() (State, error) {
	var s State
	err := readJSON(filepath.Join(h.dir, fileState), &s)
	if errors.Is(err, os.ErrNotExist) {
		return s, problem.New(problem.NotFound, "build.state", "the build has not begun")
	}
	if err != nil {
		return s, problem.Wrap(err, problem.Internal, "build.state", "the state in %s", h.dir)
	}
	return s, nil
}

// Wait waits for the build's end. When its supervisor has died, what is left of
// the build is ended, and the result says FAULT. When ctx ends, the build goes on.
func (h *Handle) Wait(ctx context.Context) (Result, error) {
	return h.ask(ctx, message{Op: "wait"})
}

// Cancel ends the build and returns its result once it has ended. The cause
// says whether it counts as timed out (ErrTimedOut) or as stopped.
func (h *Handle) Cancel(ctx context.Context, cause error) (Result, error) {
	reason := reasonStopped
	if errors.Is(cause, ErrTimedOut) {
		reason = reasonTimedOut
	}
	// For a supervisor that is only just starting.
	if err := os.WriteFile(filepath.Join(h.dir, fileCancel), []byte(reason), 0o600); err != nil {
		return Result{}, problem.Wrap(err, problem.Unavailable, "build.cancel", "folder %s", h.dir)
	}
	return h.ask(ctx, message{Op: "cancel", Reason: reason})
}

func (h *Handle) ask(ctx context.Context, m message) (Result, error) {
	for {
		if h.has(fileResult) {
			return h.Result()
		}
		if conn, err := h.dial(ctx); err == nil {
			var r Result
			err := exchange(ctx, conn, m, func(from io.Reader) error { return json.NewDecoder(from).Decode(&r) })
			if ctx.Err() != nil {
				return Result{}, context.Cause(ctx)
			}
			if err == nil {
				return r, nil
			}
		}
		if ctx.Err() != nil {
			return Result{}, context.Cause(ctx)
		}
		// It does not answer: it has ended, is about to begin, or has died. The
		// lock is free once it is gone, whichever of these it was.
		if err := h.afterSupervisor(ctx); err != nil {
			return Result{}, err
		}
	}
}

func (h *Handle) dial(ctx context.Context) (net.Conn, error) {
	path, err := sockpath.Path(h.dir, socketName)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", path)
}

// exchange sends one message and reads the answer; ctx's end closes the connection.
func exchange(ctx context.Context, conn net.Conn, m message, read func(io.Reader) error) error {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := json.NewEncoder(conn).Encode(m); err != nil {
		return err
	}
	return read(conn)
}

// startLimit is how long a supervisor may hold the lock without its socket.
const startLimit = 5 * time.Second

// afterSupervisor waits until the build has no supervisor, or one that can be
// reached, and when one has died without a result, writes it in its place.
func (h *Handle) afterSupervisor(ctx context.Context) error {
	lock, err := h.waitLock(ctx)
	if err != nil || lock == nil {
		return err
	}
	defer lock.Close()
	if h.has(fileResult) {
		return nil
	}
	if !h.has(fileState) {
		return ErrNotStarted
	}
	return h.recover(ctx)
}

// waitLock returns the build's lock once it is free, or nil when the socket
// answers or the result is there meanwhile.
func (h *Handle) waitLock(ctx context.Context) (*os.File, error) {
	deadline := time.Now().Add(startLimit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		lock, err := lockBuild(h.dir)
		if err == nil {
			return lock, nil
		}
		if problem.CodeOf(err) != problem.Conflict {
			return nil, err
		}
		if conn, err := h.dial(ctx); err == nil {
			conn.Close()
			return nil, nil
		}
		if h.has(fileResult) {
			return nil, nil
		}
		if time.Now().After(deadline) {
			return nil, problem.New(problem.Unavailable, "build.attach", "the supervisor of the build is there and does not answer")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// recover ends what a dead supervisor left behind and writes the result that
// it could not. The lock is held.
func (h *Handle) recover(ctx context.Context) error {
	state, err := h.State()
	if err != nil {
		return err
	}
	var job Job
	if err := readJSON(filepath.Join(h.dir, fileJob), &job); err != nil {
		return problem.Wrap(err, problem.Internal, "build.recover", "the job")
	}
	mark{value: state.Mark}.end(stopGrace)
	if job.Image != "" {
		if engine, err := findEngine(ctx); err == nil {
			c := &container{engine: engine, name: containerName(job.ID)}
			c.takeBack(ctx, state.Work)
			c.remove(ctx)
		}
	}
	os.RemoveAll(ControlFolder(state.Work)) //nolint:errcheck // in memory, and closed to others
	RemoveAll(state.Work)                   //nolint:errcheck // Prune tries again
	r := state.Result
	now := time.Now()
	r.ID, r.Number, r.Project = job.ID, job.Number, job.Project
	const message = "the process that ran the build died"
	r.Status, r.EndedAt = Fault, now
	if !r.StartedAt.IsZero() {
		r.DurationMs = now.Sub(r.StartedAt).Milliseconds()
	}
	failure := &Failure{Phase: Submitted, Message: message, Help: "Run the stage again; if it happens again, look for the system's messages about this process (out of memory, for one)."}
	for i := range r.Phases {
		if p := &r.Phases[i]; p.Status == InProgress {
			p.Status, p.EndedAt, p.Message = Fault, now, message
			p.DurationMs = now.Sub(p.StartedAt).Milliseconds()
			failure.Phase = p.Name
		}
	}
	if log, err := os.ReadFile(filepath.Join(h.dir, fileLog)); err == nil {
		failure.LastLines = lastLines(string(log[max(0, len(log)-keptTail):]), 20)
	}
	r.Failure = failure
	return writeJSON(filepath.Join(h.dir, fileResult), r)
}
