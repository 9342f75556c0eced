package build

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"showrunner/build/buildspec"
	"showrunner/problem"
)

// container runs the shell inside a container, with docker or podman. The
// build's folders have the same paths inside as outside.
type container struct {
	engine string // path of docker or podman
	name   string
	shell  string
	dir    string // where commands begin
	bin    string // of the build's own programs
}

// startContainer starts the container that holds the build; its shells come and
// go inside. Errors: precondition when no engine is there or it does not answer.
func startContainer(ctx context.Context, b *run) (*container, error) {
	engine, err := findEngine(ctx)
	if err != nil {
		return nil, err
	}
	c := &container{engine: engine, name: containerName(b.req.ID), shell: "/bin/sh", dir: b.src, bin: b.bin}
	if b.spec.Env.Shell == buildspec.ShellBash {
		c.shell = "bash"
	}
	b.log.say("Starting a container of %s", b.req.Image)
	if out, err := exec.CommandContext(ctx, engine, c.runArguments(b)...).CombinedOutput(); err != nil {
		c.remove(context.WithoutCancel(ctx))
		return nil, problem.Wrap(err, problem.Precondition, "build.container", "the container of image %s does not start: %s", b.req.Image, first(lastLines(string(out), 1))).
			WithHelp("Check the image's name and that the engine can pull it.")
	}
	return c, nil
}

// containerName follows from the build, so that it is found after a crash.
func containerName(id string) string {
	_, uuid, _ := strings.Cut(id, ":")
	sum := sha256.Sum256([]byte(id)) // the UUID has the last bits of the attempt alone
	return "showrunner-" + uuid + "-" + hex.EncodeToString(sum[:4])
}

// findEngine returns the first of docker and podman that answers.
func findEngine(ctx context.Context) (string, error) {
	const op = "build.container"
	var said []string
	for _, name := range []string{"docker", "podman"} {
		engine, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		limit, cancel := context.WithTimeout(ctx, 20*time.Second)
		var stderr bytes.Buffer
		// Podman's client is the engine; docker's also answers without one, so it
		// is asked for the server.
		args := []string{"info"}
		if name == "docker" {
			args = []string{"version", "--format", "{{.Server.Version}}"}
		}
		cmd := exec.CommandContext(limit, engine, args...)
		cmd.Stderr = &stderr
		err = cmd.Run()
		cancel()
		if err == nil {
			return engine, nil
		}
		said = append(said, fmt.Sprintf("%s does not answer (%s)", name, first(lastLines(stderr.String(), 1))))
	}
	if said == nil {
		return "", problem.New(problem.Precondition, op, "an image is asked for, and neither docker nor podman is on this machine").
			WithHelp("Install docker or podman, or remove image to run the build as processes of this machine.")
	}
	return "", problem.New(problem.Precondition, op, "an image is asked for, but %s", strings.Join(said, "; ")).
		WithHelp("Start the container engine, or remove image to run the build as processes of this machine.")
}

// runArguments start a container that does nothing until its shells come.
func (c *container) runArguments(b *run) []string {
	args := []string{"run", "--detach", "--rm", "--name", c.name, "--user", "0", "--workdir", b.src, "--entrypoint", "/bin/sh"}
	if filepath.Base(c.engine) == "docker" {
		args = append(args, "--init") // podman's needs a package that may be missing
	}
	for _, dir := range []string{b.host.Dir, b.ctl} {
		args = append(args, "--volume", dir+":"+dir)
	}
	if b.req.Privileged {
		args = append(args, "--privileged")
	}
	if b.req.Memory > 0 {
		args = append(args, "--memory", strconv.FormatInt(b.req.Memory, 10))
	}
	if b.req.CPUs > 0 {
		args = append(args, "--cpus", strconv.FormatFloat(b.req.CPUs, 'f', -1, 64))
	}
	return append(args, b.req.Image, "-c", "while :; do sleep 3600; done")
}

// firstState holds the environment, since values must not stand on the engine's
// command line. PATH is the image's own, and the build's programs before it.
func (c *container) firstState(env []string) string {
	return exports(env) + "export PATH=" + quote(c.bin) + `:"$PATH"` + "\n"
}

// scriptIsInput is true: what reaches a container is standard input, and only
// root could open that again by a name.
func (c *container) scriptIsInput() bool { return true }

func (c *container) command(user account, _ []string, script, out *os.File) (*exec.Cmd, error) {
	start := fmt.Sprintf("exec %s -s 2>&1", c.shell)
	cmd := exec.Command(c.engine, c.execArguments(cmp.Or(user.name, root), "--interactive", "--workdir", c.dir)...)
	cmd.Args = append(cmd.Args, "/bin/sh", "-c", start)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = script, out, out
	cmd.SysProcAttr = attributes(account{})
	return cmd, nil
}

// root is the user that commands run as in a container unless run-as names another,
// whatever the image says: as CodeBuild does.
const root = "0"

func (c *container) execArguments(user string, options ...string) []string {
	return append(append([]string{"exec"}, options...), "--user", user, c.name)
}

// sh runs a script of ours inside, as root, with arguments from $1 on, and
// returns what it prints.
func (c *container) sh(ctx context.Context, script string, arguments ...string) (string, error) {
	args := append(c.execArguments(root), "/bin/sh", "-c", script, "sh")
	out, err := exec.CommandContext(ctx, c.engine, append(args, arguments...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// account finds a user of the image. Errors: precondition.
func (c *container) account(ctx context.Context, name string) (account, error) {
	if name == "" {
		return account{}, nil
	}
	home, err := c.sh(ctx, `id -u "$1" >/dev/null && IFS=: && while read -r name _ _ _ _ home _; do [ "$name" != "$1" ] || echo "$home"; done </etc/passwd`, name)
	if err != nil {
		return account{}, problem.Wrap(err, problem.Precondition, "build.run-as", "run-as: %s is no user of the image", name).
			WithHelp("Take an image that has the user, or remove run-as.")
	}
	return account{name: name, home: cmp.Or(home, "/")}, nil
}

// give hands a folder over to a user of the image.
func (c *container) give(ctx context.Context, user account, dir string) error {
	if user.name == "" {
		return nil
	}
	if out, err := c.sh(ctx, `chown -R "$1" "$2"`, user.name, dir); err != nil {
		return fmt.Errorf("%s: %w", out, err)
	}
	return nil
}

// takeBack makes what the build wrote as somebody else this process's own, so
// that it can be read and removed: root inside is root outside with docker, and
// this process need not be root. The first folder was made outside and shows
// inside how its owner is called there.
func (c *container) takeBack(ctx context.Context, dirs ...string) {
	if os.Geteuid() != 0 {
		c.sh(ctx, `owner=$(stat -c %u "$1") && chown -R "$owner" "$@"`, dirs...) //nolint:errcheck // then a folder may stay; Prune tries again
	}
}

// remove ends the container and all that runs in it.
func (c *container) remove(ctx context.Context) {
	limit, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	// Killed first, since podman's rm gives it ten seconds to end by itself.
	exec.CommandContext(limit, c.engine, "kill", c.name).Run()          //nolint:errcheck // it may have ended
	exec.CommandContext(limit, c.engine, "rm", "--force", c.name).Run() //nolint:errcheck // gone is what we want
}
