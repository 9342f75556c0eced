package aws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"showrunner/bench/environment"
)

// endpoint is a running server of AWS's API, and the environment that leads the
// aws command to it.
type endpoint struct {
	url, key, secret string
	env              []string
	stop             func()
}

const region = "us-east-1"

// startOurs starts `showrunner up` with a data folder in dir.
func startOurs(ctx context.Context, exe, dir string) (*endpoint, error) {
	w, err := environment.Start(ctx, exe, filepath.Join(dir, "ours"))
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, w.Exe, "--data", w.Data, "aws", "env").Output()
	if err != nil {
		w.Stop()
		return nil, fmt.Errorf("showrunner aws env: %w", err)
	}
	vars := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if ok {
			vars[name] = strings.Trim(value, `'"`)
		}
	}
	e := &endpoint{url: vars["AWS_ENDPOINT_URL"], key: vars["AWS_ACCESS_KEY_ID"], secret: vars["AWS_SECRET_ACCESS_KEY"], stop: w.Stop}
	if e.url == "" || e.key == "" || e.secret == "" {
		w.Stop()
		return nil, fmt.Errorf("showrunner aws env prints no endpoint or key:\n%s", out)
	}
	e.env = clientEnv(dir, e)
	return e, nil
}

// startMoto starts the moto_server of the PATH on a free port.
func startMoto(ctx context.Context, dir string) (*endpoint, error) {
	program, err := exec.LookPath("moto_server")
	if err != nil {
		return nil, fmt.Errorf("moto_server is not installed: %w", err)
	}
	address, _, err := environment.FreePorts()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	e := &endpoint{url: "http://" + address, key: "AKIAIOSFODNN7EXAMPLE", secret: "worthless"}
	e.env = clientEnv(dir, e)
	var said bytes.Buffer
	cmd := exec.Command(program, "-H", host, "-p", port)
	cmd.Env, cmd.Stdout, cmd.Stderr = e.env, &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	e.stop = func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // its own group: a Python launcher has a child
		_ = cmd.Wait()
	}
	err = environment.Until(ctx, time.Minute, "moto listens", func() error {
		c, err := net.Dial("tcp", address)
		if err == nil {
			err = c.Close()
		}
		return err
	})
	if err != nil {
		e.stop()
		return nil, errors.Join(err, errors.New(said.String()))
	}
	return e, nil
}

// clientEnv is the environment of the aws command: this endpoint, a home of its
// own, no telemetry, and no proxy in between.
func clientEnv(dir string, e *endpoint) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "LANG=C.UTF-8",
		"AWS_ENDPOINT_URL=" + e.url, "AWS_ACCESS_KEY_ID=" + e.key, "AWS_SECRET_ACCESS_KEY=" + e.secret,
		"AWS_DEFAULT_REGION=" + region, "AWS_REGION=" + region, "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "NO_PROXY=*"}
}
