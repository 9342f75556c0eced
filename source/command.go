package source

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// keptStderr is how many bytes of git's standard error are kept for the error.
const keptStderr = 16 << 10

// command is one call of git.
type command struct {
	dir      string // the repository; empty for none
	args     []string
	env      []string
	access   access
	lock     *os.File // a file that git's process inherits, so that its lock outlives this process
	progress func(line string)
	remote   bool // talks to a remote, so it gets a time limit
	most     int  // bytes of the standard output that are kept; 0: all
}

// run calls git and returns its standard output. Errors are classified.
func (f *Fetcher) run(ctx context.Context, c command) (string, error) {
	if c.remote {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, f.o.Timeout, errTooLong)
		defer cancel()
	}
	git, err := exec.LookPath("git")
	if err != nil {
		return "", gitMissing(err)
	}
	cmd := exec.CommandContext(ctx, git, c.args...)
	cmd.Dir = c.dir
	if cmd.Dir == "" {
		cmd.Dir = f.home
	}
	cmd.Env = append(f.environment(), c.access.env...)
	cmd.Env = append(cmd.Env, c.env...)
	if c.lock != nil {
		cmd.ExtraFiles = []*os.File{c.lock}
	}
	// git runs in a process group of its own, since git's transports are
	// processes too.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	stdout := &bounded{most: c.most}
	stderr := &lines{each: func(line string) {
		if c.progress != nil {
			c.progress(c.access.hide(line))
		}
	}}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err = cmd.Run()
	stderr.flush()
	if err == nil {
		return stdout.String(), nil
	}
	if ctx.Err() != nil && cmd.Process != nil {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) //nolint:errcheck // nolint:errcheck // processes of the group that ignored SIGTERM
	}
	return stdout.String(), classify(ctx, err, c.access.hide(string(stderr.kept)))
}

var errTooLong = errors.New("git took too long")

// environment is the whole environment of git. It leaves out every variable that
// configures git, and keeps the proxy variables and the user's ssh agent.
func (f *Fetcher) environment() []string {
	env := []string{
		"HOME=" + f.home, "LC_ALL=C", "LANGUAGE=C", "TZ=UTC",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + f.config, "GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=", "SSH_ASKPASS_REQUIRE=never",
		"GIT_ALLOW_PROTOCOL=" + allowedProtocols, "GIT_OPTIONAL_LOCKS=0", "GIT_ADVICE=0", "GIT_PAGER=cat",
		"GIT_CEILING_DIRECTORIES=" + filepath.Dir(f.o.Dir),
	}
	for _, name := range []string{"PATH", "TMPDIR", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO",
		"http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// lines cuts git's output into lines. Carriage returns end a line too, since git
// redraws its progress with them.
type lines struct {
	each    func(string)
	partial []byte
	kept    []byte
	redrawn string // the last line that a carriage return ended; ssh ends its lines with both characters
}

func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexAny(p, "\r\n")
		if i < 0 {
			l.partial = append(l.partial, p...)
			if len(l.partial) > keptStderr {
				l.flush()
			}
			return n, nil
		}
		l.partial = append(l.partial, p[:i]...)
		l.end(p[i] == '\n')
		p = p[i+1:]
	}
	return n, nil
}

func (l *lines) flush() { l.end(true) }

func (l *lines) end(keep bool) {
	if len(l.partial) == 0 {
		if keep && l.redrawn != "" {
			l.keep(l.redrawn)
		}
		return
	}
	line := strings.ToValidUTF8(strings.TrimRight(string(l.partial), " \x1b[K"), "�")
	l.partial = l.partial[:0]
	if l.redrawn = line; keep {
		l.keep(line)
	}
	l.each(line)
}

func (l *lines) keep(line string) {
	l.redrawn = ""
	l.kept = append(append(l.kept, line...), '\n')
	if over := len(l.kept) - keptStderr; over > 0 {
		l.kept = l.kept[over:]
	}
}

var _ io.Writer = (*lines)(nil)
