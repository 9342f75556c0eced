package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"showrunner/artifact"
	"showrunner/balancer/loadtest"
	"showrunner/cloud"
	"showrunner/cloud/localcloud"
	"showrunner/edge"
	"showrunner/pipeline"
	"showrunner/server"
)

const cluster = "storm"

var regions = []string{"us-west-2", "us-east-1", "eu-west-1"}

// world is one `showrunner up` with a data folder of its own and the service in
// every region of it.
type world struct {
	data, edge string
	up         *exec.Cmd
	said       bytes.Buffer
	cloud      *localcloud.Client
	supervisor *server.Supervisor
	keys       int
}

func start(ctx context.Context, exe, dir string) (*world, error) {
	w := &world{data: filepath.Join(dir, "data")}
	listen, front, err := freePorts()
	if err != nil {
		return nil, err
	}
	w.edge = front
	w.up = exec.Command(exe, "up", "--data", w.data, "--listen", listen, "--edge", front, "--regions", strings.Join(regions, ","))
	w.up.Stdout, w.up.Stderr = &w.said, &w.said
	w.up.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt is for us; we stop it in order
	if err := w.up.Start(); err != nil {
		return nil, err
	}
	if err := w.open(ctx); err != nil {
		w.stop()
		return nil, fmt.Errorf("%w; it said:\n%s", err, w.said.String())
	}
	return w, nil
}

func (w *world) open(ctx context.Context) (err error) {
	if w.supervisor, err = server.NewSupervisor(w.data); err != nil {
		return err
	}
	config := localcloud.ClientConfig{Edge: w.edge}
	for _, r := range regions {
		config.Regions = append(config.Regions, localcloud.Endpoint{Region: r, Data: w.data})
	}
	if w.cloud, err = localcloud.NewClient(config); err != nil {
		return err
	}
	if err := until(ctx, time.Minute, "everything is up", func() error {
		list, err := w.supervisor.Processes(ctx)
		for _, p := range list {
			if p.State != server.Ready {
				return fmt.Errorf("%s is %s", p.Process, p.State)
			}
		}
		return err
	}); err != nil {
		return err
	}
	// Every region takes its share, so that every blow can be noticed.
	client, err := edge.NewClient(w.data)
	if err != nil {
		return err
	}
	weights, one := map[string]*float64{}, 1.0
	for _, r := range regions {
		weights[r] = &one
	}
	return client.SetWeights(ctx, weights)
}

func (w *world) stop() {
	_ = w.up.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(time.Minute, func() { _ = w.up.Process.Kill() })
	defer kill.Stop()
	_ = w.up.Wait() // it was told to end
	if w.cloud != nil {
		w.cloud.Close()
	}
}

// deploy puts the service into every region and waits until it serves.
func (w *world) deploy(ctx context.Context, capacity pipeline.Capacity, scaling []pipeline.ScalingPolicy) error {
	dir, err := os.MkdirTemp("", "storm-service-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "service"), program, 0o755); err != nil {
		return err
	}
	store, err := artifact.Open(filepath.Join(w.data, "artifacts"))
	if err != nil {
		return err
	}
	ref, _, err := store.PutDir(ctx, dir, nil)
	if err != nil {
		return err
	}
	for _, r := range regions {
		spec := cloud.ServerGroupSpec{Cluster: cluster, Version: "1", Artifact: ref, Command: []string{"./service"},
			Env:      map[string]string{instanceVariable: "1"},
			Health:   pipeline.Health{Path: "/healthz", Interval: pipeline.Duration(500 * time.Millisecond), Timeout: pipeline.Duration(time.Second)},
			Capacity: capacity, Scaling: scaling, Drain: 10 * time.Second, StopTimeout: 5 * time.Second, Weight: 100}
		if _, err := w.cloud.CreateServerGroup(ctx, r, spec, w.key()); err != nil {
			return err
		}
	}
	return w.whole(ctx, time.Minute)
}

func (w *world) key() string {
	w.keys++
	return fmt.Sprint("storm/", w.keys)
}

// groups are the service's server groups, one a region; a region that does not
// answer has none.
func (w *world) groups(ctx context.Context) []cloud.ServerGroup {
	var all []cloud.ServerGroup
	for _, r := range regions {
		if list, err := w.cloud.ServerGroups(ctx, r, cluster); err == nil {
			all = append(all, list...)
		}
	}
	return all
}

// whole waits until every region serves what it should, and no more.
func (w *world) whole(ctx context.Context, limit time.Duration) error {
	return until(ctx, limit, "every region serves", func() error {
		groups := w.groups(ctx)
		if len(groups) != len(regions) {
			return fmt.Errorf("%d regions of %d answer", len(groups), len(regions))
		}
		for _, g := range groups {
			if g.Serving() != g.Capacity.Desired || len(g.Instances) != g.Capacity.Desired {
				return fmt.Errorf("%s: %d of %d serve, %d exist; last failure %+v", g.Region, g.Serving(), g.Capacity.Desired, len(g.Instances), g.LastFailure)
			}
		}
		return nil
	})
}

// serving lists the instances that take requests.
func (w *world) serving(ctx context.Context) []cloud.Instance {
	var list []cloud.Instance
	for _, g := range w.groups(ctx) {
		for _, i := range g.Instances {
			if i.Serving() {
				list = append(list, i)
			}
		}
	}
	return list
}

// process is the number of a process of up, 0 when it does not run.
func (w *world) process(ctx context.Context, name string) int {
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

// attack makes retryable requests and, apart from them, others at a tenth of the rate.
func (w *world) attack(ctx context.Context, rate int, f func() error) (safe, unsafe loadtest.Report, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	target := func(method string) []loadtest.Target {
		return []loadtest.Target{{Method: method, URL: "http://" + w.edge + "/", Host: cluster + ".localhost",
			Accept: func(status int, body []byte) bool { return status == 200 && bytes.HasSuffix(body, []byte(method+"\n")) }}}
	}
	first, second := make(chan loadtest.Report), make(chan loadtest.Report)
	go func() { first <- loadtest.Attack(ctx, rate, time.Hour, target("GET")) }()
	go func() { second <- loadtest.Attack(ctx, max(1, rate/10), time.Hour, target("POST")) }()
	err = f()
	cancel()
	return <-first, <-second, err
}

// until asks until there is no error.
func until(ctx context.Context, limit time.Duration, what string, ask func() error) error {
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

func freePorts() (a, b string, err error) {
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
