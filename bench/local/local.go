// Package local runs one region of the local cloud for a benchmark: the built
// program as a separate process, with a temporary data folder, and the
// benchmark's own program as the service in it.
package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"showrunner/artifact"
	"showrunner/bench/command"
	"showrunner/cloud"
	"showrunner/cloud/localcloud"
	"showrunner/internal/ready"
)

// Name is the region's name.
const Name = "us-west-2"

// Region is a running region process.
type Region struct {
	Cloud *localcloud.Client
	Front string // host:port of its load balancer
	PID   int

	data    string
	process *Process
	keys    int
}

// Process is a child process that has reported that it is ready.
type Process struct {
	PID     int
	Listens map[string]string // purpose → address

	cmd  *exec.Cmd
	said bytes.Buffer
}

// Spawn starts exe and returns once it is ready.
func Spawn(ctx context.Context, exe string, args ...string) (*Process, error) {
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &Process{cmd: exec.Command(exe, args...)}
	p.cmd.Env = append(os.Environ(), ready.Env+"=3")
	p.cmd.ExtraFiles = []*os.File{in}
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt is for this program, which stops the process cleanly
	err = p.cmd.Start()
	in.Close()
	if err != nil {
		return nil, err
	}
	p.PID = p.cmd.Process.Pid
	stop := context.AfterFunc(ctx, func() { out.Close() })
	defer stop()
	var m ready.Message
	if err := json.NewDecoder(out).Decode(&m); err != nil {
		p.Stop()
		return nil, fmt.Errorf("%s did not become ready: %w; it said:\n%s", args[0], err, p.said.String())
	}
	p.Listens = m.Listens
	return p, nil
}

// Stop asks the process to end and waits for it.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(time.Minute, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	_ = p.cmd.Wait() // it was told to end
}

// Start runs exe (empty: the program built from this tree) as a region and returns once it is ready.
func Start(ctx context.Context, exe string) (*Region, error) {
	data, err := os.MkdirTemp("", "bench-region-")
	if err != nil {
		return nil, err
	}
	r := &Region{data: data}
	if exe, err = command.Program(ctx, exe, data); err == nil {
		err = r.start(ctx, exe)
	}
	if err != nil {
		r.Stop()
		return nil, err
	}
	return r, nil
}

func (r *Region) start(ctx context.Context, exe string) error {
	p, err := Spawn(ctx, exe, "region", "--data", r.data, "--name", Name)
	if err != nil {
		return err
	}
	r.process, r.PID, r.Front = p, p.PID, p.Listens["http"]
	r.Cloud, err = localcloud.NewClient(localcloud.ClientConfig{Regions: []localcloud.Endpoint{{Region: Name, Data: r.data}}})
	return err
}

// Stop ends the region and everything in it.
func (r *Region) Stop() {
	if r.process != nil {
		r.process.Stop()
	}
	if r.Cloud != nil {
		r.Cloud.Close()
	}
	os.RemoveAll(r.data)
}

// Deploy installs this program in the region as ./service, starts it with the
// given spec, whose artifact Deploy fills in, and waits until it serves.
func (r *Region) Deploy(ctx context.Context, spec cloud.ServerGroupSpec) (string, error) {
	dir, err := os.MkdirTemp("", "bench-service-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	program, err := os.ReadFile(self)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "service"), program, 0o755); err != nil {
		return "", err
	}
	store, err := artifact.Open(filepath.Join(r.data, "artifacts"))
	if err != nil {
		return "", err
	}
	ref, _, err := store.PutDir(ctx, dir, nil)
	if err != nil {
		return "", err
	}
	spec.Workload.Process.Artifact = ref
	group, err := r.Cloud.CreateServerGroup(ctx, Name, spec, r.Key())
	if err != nil {
		return "", err
	}
	_, err = r.Whole(ctx, spec.Cluster, 2*time.Minute)
	return group.Name, err
}

// Folder is the region's part of the data folder.
func (r *Region) Folder() string { return filepath.Join(r.data, "regions", Name) }

// Key is a new idempotency key.
func (r *Region) Key() string {
	r.keys++
	return fmt.Sprint("bench/", r.keys)
}

// Whole waits until every group of the cluster has its full capacity in service.
func (r *Region) Whole(ctx context.Context, cluster string, limit time.Duration) ([]cloud.ServerGroup, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last cloud.Changes
	for {
		groups, err := r.Cloud.ServerGroups(ctx, Name, cluster)
		if err != nil {
			return nil, err
		}
		missing := ""
		for _, g := range groups {
			if g.Serving() != g.Capacity.Desired {
				missing = fmt.Sprintf("%d of %d instances serve; last failure %+v", g.Serving(), g.Capacity.Desired, g.LastFailure)
			}
		}
		if missing == "" && len(groups) > 0 {
			return groups, nil
		}
		if last, err = r.Cloud.WaitChanges(ctx, Name, last.Revision); err != nil {
			return nil, fmt.Errorf("%s: not within %s: %w", missing, limit, err)
		}
	}
}

// CPU is the processor time of processes, user and system.
func CPU(pids ...int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		fields, err := stat(pid)
		if err != nil {
			return 0, err
		}
		for _, f := range fields[11:13] { // utime, stime, in hundredths of a second
			var ticks int
			if _, err := fmt.Sscan(f, &ticks); err != nil {
				return 0, err
			}
			sum += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return sum, nil
}

// Children lists the living child processes of pid.
func Children(pid int) ([]int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil, err
	}
	var list []int
	for _, f := range strings.Fields(string(text)) {
		var n int
		if _, err := fmt.Sscan(f, &n); err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, nil
}

// Resident is the resident memory of a process, in bytes.
func Resident(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(text), "VmRSS:")
	if !ok {
		return 0, errors.New("no VmRSS")
	}
	var kib int64
	_, err = fmt.Sscan(rest, &kib)
	return kib << 10, err
}

// stat is the content of /proc/PID/stat after the program's name.
func stat(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])), nil
}
