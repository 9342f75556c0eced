package build

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
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
	dir    string
}

// startContainer starts the container that holds the build; its shells come and
// go inside. Errors: precondition when no engine is there or it does not answer.
func startContainer(ctx context.Context, b *run) (*container, error) {
	engine, err := findEngine(ctx)
	if err != nil {
		return nil, err
	}
	c := &container{engine: engine, name: containerName(b.req.ID), shell: "/bin/sh", dir: b.src}
	if b.spec.Env.Shell == buildspec.ShellBash {
		c.shell = "bash"
	}
	b.log.say("Starting a container of %s", b.req.Image)
	if out, err := exec.CommandContext(ctx, engine, c.runArguments(b)...).CombinedOutput(); err != nil {
		c.remove(context.WithoutCancel(ctx))
		return nil, problem.Wrap(err, problem.Precondition, "build.container", "the container of image %s does not start: %s", b.req.Image, strings.TrimSpace(string(out))).
			WithHelp("Check the image's name and that the engine can pull it.")
	}
	return c, nil
}

// containerName follows from the build, so that it is found after a crash.
func containerName(id string) string {
	_, uuid, _ := strings.Cut(id, ":")
	return "showrunner-" + uuid
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
		cmd := exec.CommandContext(limit, engine, "info", "--format", "{{.ID}}")
		if name == "podman" {
			cmd = exec.CommandContext(limit, engine, "info", "--format", "{{.Host.Os}}")
		}
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
	args := []string{"run", "--detach", "--rm", "--init", "--name", c.name, "--workdir", b.src, "--entrypoint", "/bin/sh"}
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

// inheritsEnv is false: values must not stand on the engine's command line, so
// the shell reads them from its state.
func (c *container) inheritsEnv() bool { return false }

func (c *container) command(user account, _ []string, script, out *os.File) (*exec.Cmd, error) {
	args := []string{"exec", "--interactive", "--workdir", c.dir}
	if user.name != "" {
		args = append(args, "--user", user.name)
	}
	// The program comes through standard input and is moved away from there, so
	// that no command reads it.
	start := fmt.Sprintf(`exec %s /dev/fd/3 3<&0 </dev/null 2>&1`, c.shell)
	cmd := exec.Command(c.engine, append(args, c.name, "/bin/sh", "-c", start)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = script, out, out
	cmd.SysProcAttr = attributes(account{})
	return cmd, nil
}

// remove ends the container and all that runs in it.
func (c *container) remove(ctx context.Context) {
	limit, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	exec.CommandContext(limit, c.engine, "rm", "--force", c.name).Run() //nolint:errcheck // gone is what we want
}
