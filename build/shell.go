package build

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"showrunner/problem"
)

// launcher starts the process of a shell: one that reads its program from
// script and writes to out.
type launcher interface {
	// command returns the process, not yet started. Env nil is a minimal one.
	command(user account, env []string, script, out *os.File) (*exec.Cmd, error)
	// firstState is a program that sets the environment, for a shell that cannot
	// be handed one; else "".
	firstState(env []string) string
	// scriptIsInput says that the shell reads its program as standard input, so
	// that commands need another.
	scriptIsInput() bool
	// give hands a folder over to whom commands run as.
	give(ctx context.Context, user account, dir string) error
}

// shell runs commands one after the other in one process, and in another that
// continues it when a command ends the first.
type shell struct {
	launch launcher
	ctl    string // folder of the commands' files and the shell's state
	out    *os.File
	in     *os.File // our end of the output pipe
	nonce  string
	events chan event
	reader chan struct{}

	user   account
	env    []string
	n      int      // number of the last command
	script *os.File // where the program of the living shell is written; nil when none lives
	pids   []int    // of all shells started: each leads a session
}

// newShell prepares a shell; its process starts with the first command.
func newShell(l launcher, ctl string, env []string, output io.Writer) (*shell, error) {
	in, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // never fails
	s := &shell{launch: l, ctl: ctl, in: in, out: out, nonce: hex.EncodeToString(b[:]), env: env,
		events: make(chan event), reader: make(chan struct{})}
	if state := l.firstState(env); state != "" {
		if err := os.WriteFile(s.state(0), []byte(state+stateEnd), 0o600); err != nil {
			return nil, err
		}
	}
	st := &stream{w: output, prefix: []byte(string(rune(rs)) + s.nonce + " "), events: s.events}
	go func() {
		defer close(s.reader)
		buf := make([]byte, 64<<10)
		for {
			n, err := in.Read(buf)
			st.Write(buf[:n]) //nolint:errcheck // never fails
			if err != nil {
				return
			}
		}
	}()
	return s, nil
}

func (s *shell) state(n int) string { return filepath.Join(s.ctl, fmt.Sprintf("state-%d", n)) }

// stateEnd ends a state that was written whole.
const stateEnd = "\n# whole\n"

// exports writes an environment as a shell reads it.
func exports(env []string) string {
	var b strings.Builder
	for _, e := range env {
		if name, value, ok := strings.Cut(e, "="); ok && identifier(name) {
			fmt.Fprintf(&b, "export %s=%s\n", name, quote(value))
		}
	}
	return b.String()
}

func identifier(s string) bool {
	for i, r := range s {
		if r != '_' && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// quote makes text one word of a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// prologue is the program that every shell begins with. The functions save the
// state of the shell after each command, and say how the command ended. The
// names are long so that no command meets them by chance.
//
// File descriptor 99 (8 where only one digit can be written) is the output
// pipe, so that a command which redirects the shell's own output does not cut
// us off. Errors of our own lines, and their traces under set -x, go nowhere.
const prologue = `{
exec 3<&-
__showrunner_ctl=%s
__showrunner_n=0
if [ -n "${BASH_VERSION-}" ]; then
  exec 99>&1
  __showrunner_say() { builtin printf '\036%s %%s%%s\036' "$1" "$2" >&99 || builtin printf '\036%s %%s%%s\036' "$1" "$2"; }
  __showrunner_save() {
    { declare -p; declare -f; alias -p; shopt -p; builtin printf 'cd -- %%q\n' "$PWD"; set +o; builtin printf '\n# whole\n'; } >| "$__showrunner_ctl/state-$__showrunner_n"
  }
else
  exec 8>&1
  __showrunner_say() { command printf '\036%s %%s%%s\036' "$1" "$2" >&8 || command printf '\036%s %%s%%s\036' "$1" "$2"; }
  __showrunner_save() {
    { set; export -p; alias | command sed 's/^/alias /'; command printf 'cd "$PWD"\n'; set +o; command printf '\n# whole\n'; } >| "$__showrunner_ctl/state-$__showrunner_n"
  }
fi
__showrunner_done() { __showrunner_save || :; __showrunner_say d "$1" || :; }
__showrunner_exit() { { __showrunner_save || :; __showrunner_say x "$1" || :; } 2>/dev/null; }
trap '__showrunner_exit "$?"' EXIT
umask 022
ulimit -c 0
} 2>/dev/null
`

// start starts a process for the shell, continuing the last one's state.
func (s *shell) start() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	if err := s.user.own(r); err != nil {
		return err
	}
	restore, env := s.lastState(), s.env
	if restore != "" {
		env = nil
	}
	cmd, err := s.launch.command(s.user, env, r, s.out)
	if err != nil {
		w.Close()
		return err
	}
	started := make(chan error, 1)
	go s.watch(cmd, started)
	if err := <-started; err != nil {
		w.Close()
		return err
	}
	s.pids = append(s.pids, cmd.Process.Pid)
	s.script = w
	program := ""
	if restore != "" {
		program += fmt.Sprintf("{ . %s; } 2>/dev/null\n", quote(restore))
		if s.user.name != "" {
			program += exports(s.user.env())
		}
	}
	// The state may restore set -e and the like, so what must not fail comes in
	// a context where that has no effect.
	program = fmt.Sprintf(prologue, quote(s.ctl), s.nonce, s.nonce, s.nonce, s.nonce) + program
	_, err = io.WriteString(w, program)
	return err
}

// watch starts the process, waits for its end, and says so in the output pipe.
// It keeps its thread, since a process dies with the thread that started it
// (see attributes).
func (s *shell) watch(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	started <- err
	if err != nil {
		return
	}
	if err := cmd.Wait(); cmd.ProcessState == nil {
		fmt.Fprintf(s.out, "the shell's end was lost: %v\n\036%s !%d\036", err, s.nonce, unknownExit)
		return
	}
	fmt.Fprintf(s.out, "\036%s !%d\036", s.nonce, exitCode(cmd.ProcessState))
}

// unknownExit stands for an exit code that the system did not tell.
const unknownExit = 255

func exitCode(st *os.ProcessState) int {
	if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return st.ExitCode()
}

// lastState is the newest state that was written whole, or "".
func (s *shell) lastState() string {
	for n := s.n; n >= 0; n-- {
		if data, err := os.ReadFile(s.state(n)); err == nil && strings.HasSuffix(string(data), stateEnd) {
			return s.state(n)
		}
	}
	return ""
}

// errShellGone is a shell that ended between two commands.
var errShellGone = errors.New("the shell has ended")

// run runs one command and returns its exit code. When ctx ends, the command
// is still running: the caller ends its processes. The error says that the
// command could not be run at all.
func (s *shell) run(ctx context.Context, text string, set map[string]string) (int, error) {
	code, err := s.try(ctx, text, set)
	if errors.Is(err, errShellGone) { // a background signal, or a trap: continue in a new one
		code, err = s.try(ctx, text, set)
	}
	return code, err
}

func (s *shell) try(ctx context.Context, text string, set map[string]string) (int, error) {
	if s.script != nil {
		select {
		case ev := <-s.events:
			s.ended(ev)
		default:
		}
	}
	if s.script == nil {
		if err := s.start(); err != nil {
			return 0, problem.Wrap(err, problem.Unavailable, "build.shell", "the shell does not start")
		}
	}
	s.n++
	name := filepath.Join(s.ctl, fmt.Sprintf("command-%d.sh", s.n))
	if err := os.WriteFile(name, []byte(text+"\n"), 0o644); err != nil {
		return 0, problem.Wrap(err, problem.Unavailable, "build.shell", "write the command")
	}
	defer os.Remove(name)
	var program strings.Builder
	// As in CodeBuild, a variable that a command assigns is exported without its
	// asking: set -a is on while a command runs.
	fmt.Fprintf(&program, "{ set +a; __showrunner_n=%d; ", s.n)
	for k, v := range set {
		fmt.Fprintf(&program, "export %s=%s; ", k, quote(v))
	}
	command := ". " + quote(name)
	if s.launch.scriptIsInput() {
		command = "{ " + command + "; } </dev/null"
	}
	fmt.Fprintf(&program, "set -a; } 2>/dev/null\n%s\n{ __showrunner_done \"$?\"; } 2>/dev/null\n", command)
	if _, err := io.WriteString(s.script, program.String()); err != nil {
		// The process ended before it read this: its last word is on the way.
		return s.waitEnd(ctx, errShellGone)
	}
	select {
	case ev := <-s.events:
		if ev.kind == 'd' { // its state is written, and an older one has been read
			os.Remove(s.state(s.n - 2))
			return ev.code, nil
		}
		code := ev.code
		if ev.kind == 'x' {
			if _, err := s.waitEnd(ctx, nil); err != nil {
				return code, err
			}
		} else {
			s.ended(ev)
		}
		return code, nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// waitEnd waits for the process to be gone.
func (s *shell) waitEnd(ctx context.Context, result error) (int, error) {
	for {
		select {
		case ev := <-s.events:
			if s.ended(ev); ev.kind == '!' {
				return ev.code, result
			}
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

func (s *shell) ended(ev event) {
	if ev.kind == '!' && s.script != nil {
		s.script.Close()
		s.script = nil
	}
}

// become makes the next command run as another user, in a shell that continues
// this one.
func (s *shell) become(ctx context.Context, user account) error {
	if user.name == s.user.name {
		return nil
	}
	if err := s.leave(ctx); err != nil {
		return err
	}
	s.user = user
	return s.launch.give(ctx, user, s.ctl)
}

// leave ends the shell as its input's end would, so that a trap of the build's
// own on EXIT runs.
func (s *shell) leave(ctx context.Context) error {
	if s.script == nil {
		return nil
	}
	io.WriteString(s.script, "{ set +e; exit 0; } 2>/dev/null\n") //nolint:errcheck // a dead shell has left
	_, err := s.waitEnd(ctx, nil)
	return err
}

// capture runs an internal command and returns what it prints. It changes
// nothing in the shell and does not show in the log.
func (s *shell) capture(ctx context.Context, text string) (string, error) {
	name := filepath.Join(s.ctl, "captured")
	os.Remove(name)
	code, err := s.run(ctx, fmt.Sprintf("( set +eux\n%s\n) >| %s 2>/dev/null", text, quote(name)), nil)
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	if code != 0 {
		return string(data), fmt.Errorf("exit code %d", code)
	}
	return string(data), nil
}

// expand evaluates $NAME, $(command) and the like in text, without splitting
// it into words and without matching file names.
func (s *shell) expand(ctx context.Context, text string) (string, error) {
	if !strings.ContainsAny(text, "$`") {
		return text, nil
	}
	out, err := s.capture(ctx, "command cat <<__SHOWRUNNER_"+s.nonce+"\n"+text+"\n__SHOWRUNNER_"+s.nonce)
	if err != nil {
		return "", fmt.Errorf("%q cannot be evaluated: %w", text, err)
	}
	return strings.TrimSuffix(out, "\n"), nil
}

// close gives the pipe back once every process is gone.
func (s *shell) close() {
	if s.script != nil {
		s.script.Close()
	}
	// The reader may be about to hand over a last event that nobody wants.
	go func() {
		for range s.events {
		}
	}()
	s.out.Close()
	s.in.Close()
	<-s.reader
	close(s.events)
}
