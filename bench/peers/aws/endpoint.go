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
	"syscall"
	"time"

	"showrunner/bench/environment"
)

// endpoint is a running server of AWS's API, and the environment that leads the
// aws command to it.
type endpoint struct {
	environment.AWS
	env  []string
	stop func()
}

const region = "us-east-1"

// startOurs starts `showrunner up` with a data folder in dir.
func startOurs(ctx context.Context, exe, dir string) (*endpoint, error) {
	w, err := environment.Start(ctx, exe, filepath.Join(dir, "ours"))
	if err != nil {
		return nil, err
	}
	api, err := environment.AWSOf(ctx, w.Exe, w.Data)
	if err != nil {
		w.Stop()
		return nil, err
	}
	e := &endpoint{AWS: api, stop: w.Stop}
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
	e := &endpoint{AWS: environment.AWS{URL: "http://" + address, Key: "AKIAIOSFODNN7EXAMPLE", Secret: "worthless"}}
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
		"AWS_ENDPOINT_URL=" + e.URL, "AWS_ACCESS_KEY_ID=" + e.Key, "AWS_SECRET_ACCESS_KEY=" + e.Secret,
		"AWS_DEFAULT_REGION=" + region, "AWS_REGION=" + region, "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "NO_PROXY=*"}
}
