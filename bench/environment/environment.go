package environment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"showrunner/bench/command"
	"showrunner/cloud/localcloud"
	"showrunner/cloud/localcloud/edge"
	"showrunner/server"
)

// Regions are the regions of every environment, in the order of their waves.
func Regions() []string { return []string{"us-west-2", "us-east-1", "eu-west-1"} }

// World is one `showrunner up` with a data folder of its own.
type World struct {
	Exe, Dir   string // the program; a folder for the benchmark's own files
	Data, Edge string // the data folder; the edge's address
	Cloud      *localcloud.Client
	up         *exec.Cmd
	said       bytes.Buffer
	supervisor *server.Supervisor
	keys       int
}

// Start starts the program exe (empty: a program built from this tree) with all
// its data in dir, which the caller removes. It waits until the program is ready,
// and makes the edge send a share of requests to every region.
func Start(ctx context.Context, exe, dir string) (*World, error) {
	exe, err := command.Program(ctx, exe, dir)
	if err != nil {
		return nil, err
	}
	w := &World{Exe: exe, Dir: dir, Data: filepath.Join(dir, "data")}
	listen, front, err := FreePorts()
	if err != nil {
		return nil, err
	}
	w.Edge = front
	w.up = exec.Command(exe, "up", "--data", w.Data, "--listen", listen, "--edge", front, "--regions", strings.Join(Regions(), ","))
	w.up.Stdout, w.up.Stderr = &w.said, &w.said
	w.up.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt is for this program, which stops the process cleanly
	if err := w.up.Start(); err != nil {
		return nil, err
	}
	if err := w.open(ctx); err != nil {
		w.Stop()
		return nil, fmt.Errorf("%w; it said:\n%s", err, w.said.String())
	}
	return w, nil
}

func (w *World) open(ctx context.Context) (err error) {
	if w.supervisor, err = server.NewSupervisor(w.Data); err != nil {
		return err
	}
	config := localcloud.ClientConfig{Edge: w.Edge}
	for _, r := range Regions() {
		config.Regions = append(config.Regions, localcloud.Endpoint{Region: r, Data: w.Data})
	}
	if w.Cloud, err = localcloud.NewClient(config); err != nil {
		return err
	}
	if err := w.Ready(ctx); err != nil {
		return err
	}
	// Every region takes a share, so that failures in any region are noticed.
	client, err := edge.NewClient(w.Data)
	if err != nil {
		return err
	}
	weights, one := map[string]*float64{}, 1.0
	for _, r := range Regions() {
		weights[r] = &one
	}
	return client.SetWeights(ctx, weights)
}

// Ready waits until every process of up is ready.
func (w *World) Ready(ctx context.Context) error {
	return Until(ctx, time.Minute, "everything is up", func() error {
		list, err := w.supervisor.Processes(ctx)
		for _, p := range list {
			if p.State != server.Ready {
				return fmt.Errorf("%s is %s", p.Process, p.State)
			}
		}
		return err
	})
}

// Stop ends everything cleanly; Left then lists leftovers.
func (w *World) Stop() {
	_ = w.up.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(time.Minute, func() { _ = w.up.Process.Kill() })
	defer kill.Stop()
	_ = w.up.Wait() // it was told to end
	if w.Cloud != nil {
		w.Cloud.Close()
	}
}

// Process is the process id of a process of up, 0 when it does not run.
func (w *World) Process(ctx context.Context, name string) int {
	list, err := w.supervisor.Processes(ctx)
	if err != nil {
		return 0
	}
	for _, p := range list {
		if p.Process == name && p.State == server.Ready {
			return p.PID
		}
	}
	return 0
}

// Kill ends a process of up as a crash does, and waits until up has restarted it.
func (w *World) Kill(ctx context.Context, name string) error {
	pid := w.Process(ctx, name)
	if pid == 0 {
		return fmt.Errorf("%s does not run", name)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	return Until(ctx, time.Minute, name+" runs again", func() error {
		if now := w.Process(ctx, name); now == 0 || now == pid {
			return fmt.Errorf("its process is %d", now)
		}
		return nil
	})
}

// Key is a new idempotency key.
func (w *World) Key() string {
	w.keys++
	return fmt.Sprint("environment/", w.keys)
}

// Said is the output of a command.
type Said struct {
	Out, Err string
	Exit     int
}

// CLI runs the program's command line against this environment. An exit code other than
// 0 is a result, not an error.
func (w *World) CLI(ctx context.Context, args ...string) (Said, error) {
	return w.CLIWith(ctx, "", args...)
}

// CLIWith is CLI with a standard input.
func (w *World) CLIWith(ctx context.Context, in string, args ...string) (Said, error) {
	cmd := exec.CommandContext(ctx, w.Exe, append(args, "--data", w.Data)...)
	var out, err bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &out, &err
	failed := cmd.Run()
	said := Said{Out: out.String(), Err: err.String(), Exit: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if failed != nil && (!errors.As(failed, &exit) || ctx.Err() != nil) {
		return said, fmt.Errorf("showrunner %s: %w", strings.Join(args, " "), failed)
	}
	return said, nil
}

// Read runs a command that has to succeed and decodes its JSON into out.
func (w *World) Read(ctx context.Context, out any, args ...string) error {
	said, err := w.CLI(ctx, append(args, "-o", "json")...)
	if err != nil {
		return err
	}
	if said.Exit != 0 {
		return fmt.Errorf("showrunner %s: exit %d: %s", strings.Join(args, " "), said.Exit, said.Err)
	}
	return json.Unmarshal([]byte(said.Out), out)
}

// Apply applies a pipeline file.
func (w *World) Apply(ctx context.Context, text string) error {
	name := filepath.Join(w.Dir, "showrunner.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		return err
	}
	said, err := w.CLI(ctx, "apply", "-f", name)
	if err == nil && said.Exit != 0 {
		err = fmt.Errorf("apply: exit %d: %s%s", said.Exit, said.Out, said.Err)
	}
	return err
}

// Until repeats f until it returns no error.
func Until(ctx context.Context, limit time.Duration, what string, ask func() error) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return fmt.Errorf("%s: not within %s: %w", what, limit, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// FreePorts returns two unused addresses of this machine.
func FreePorts() (a, b string, err error) {
	x, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer x.Close()
	y, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer y.Close()
	return x.Addr().String(), y.Addr().String(), nil
}
