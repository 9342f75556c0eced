package fleet

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"showrunner/artifact"
	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/internal/process"
)

// markName is the environment variable by which a later region process finds the
// processes that this one left.
const markName = "SHOWRUNNER_FLEET"

// inherited are the variables of the region process that instances inherit, in
// addition to those that the configuration names.
var inherited = []string{"PATH", "LANG", "LC_ALL", "TZ"}

func (f *Fleet) newGroup(name string, r record, env map[string]string) *group {
	g := &group{name: name, cluster: r.Spec.Cluster, env: env, instances: map[string]*instance{}}
	if r.Spec.Limits != nil && r.Spec.Limits.CPUs > 0 {
		g.unenforced = append(g.unenforced, fmt.Sprintf("cpus: %v is not enforced; instances run at nice %d instead", r.Spec.Limits.CPUs, limitedNice))
	}
	g.scaler = newScaler(r.Spec.Scaling, f.config.Now())
	return g
}

// launch starts one instance; slow work happens in the background. Called with
// the lock held.
func (f *Fleet) launch(g *group, l launch) error {
	host, port, err := f.addresses.take(l.Zone)
	if err != nil {
		return err
	}
	r := f.doc.Groups[g.name]
	id := r.Spec.Instance
	if id == "" || f.instances[id] != nil {
		id = newID("i-")
	}
	i := &instance{
		id: id, version: r.Spec.Version, zone: l.Zone, host: host, address: fmt.Sprintf("%s:%d", host, port), group: g, lifecycle: driver.Pending,
		launched: f.config.Now(), running: true, live: true, rebalancing: l.Rebalance,
		checkNow: make(chan string, 1), returned: make(chan struct{}, 1), done: make(chan struct{}),
	}
	i.ctx, i.cancel = context.WithCancel(f.ctx)
	g.instances[i.id], f.instances[i.id] = i, i
	f.bump(g.cluster)
	env := g.env
	f.work.Go(func() { f.run(i, r, env, port) })
	return nil
}

// run is the whole life of an instance, from its artifact to its last process.
func (f *Fleet) run(i *instance, r record, env map[string]string, port int) {
	defer f.prune(i.group)
	defer i.cancel()
	defer os.RemoveAll(f.temp(i))
	job, err := f.prepare(i, r, env, port)
	var pump chan struct{}
	if err == nil {
		pump, err = f.begin(i, job)
	}
	if err != nil {
		f.exited(i, nil, &driver.InstanceFailure{Code: "START_FAILED", Cause: err.Error()})
		return
	}
	f.work.Go(func() { f.watch(i, r.Spec, job) })
	end, outputs, err := f.live(i, job, pump)
	i.cancel() // a process that removed the mark from its environment may hold the output open, so its end is not awaited
	// Processes that the program started and left in another process group are
	// killed too, and those of hooks.
	f.runner.Sweep("SHOWRUNNER_INSTANCE=" + i.id)
	for _, stored := range outputs {
		<-stored
	}
	i.output.Close()
	if err != nil {
		f.exited(i, nil, &driver.InstanceFailure{Code: "START_FAILED", Cause: err.Error()})
		return
	}
	f.exited(i, &end, nil)
}

// prepare unpacks the group's artifact, once per group, and makes the instance's
// folder. r and env are the group's when the instance was launched.
func (f *Fleet) prepare(i *instance, r record, env map[string]string, port int) (process.Program, error) {
	g, spec, root := i.group, r.Spec, f.folder.root(i.group.name, r.Copies)
	g.prepared.Lock()
	err := f.unpack(i.ctx, spec.Workload.Artifact(), root)
	g.prepared.Unlock()
	if err != nil {
		return process.Program{}, err
	}
	home, tmp := f.folder.instance(g.name, i.id), f.temp(i)
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return process.Program{}, err
	}
	job := process.Program{Command: spec.Workload.Process.Command, Dir: root}
	if spec.Limits != nil {
		job.Files = spec.Limits.Files
		if spec.Limits.CPUs > 0 {
			job.Nice = limitedNice
		}
	}
	for _, name := range slices.Concat(inherited, f.config.PassEnv) {
		if value, ok := os.LookupEnv(name); ok {
			job.Env = append(job.Env, name+"="+value)
		}
	}
	job.Env = append(job.Env, "HOME="+home, "TMPDIR="+tmp)
	for name, value := range env {
		job.Env = append(job.Env, name+"="+value)
	}
	job.Env = append(job.Env, // last, so that nothing overrides them
		"HOST="+i.host, "PORT="+strconv.Itoa(port),
		"SHOWRUNNER_REGION="+f.config.Region, "SHOWRUNNER_ZONE="+i.zone, "SHOWRUNNER_INSTANCE="+i.id,
		"SHOWRUNNER_SERVER_GROUP="+g.name, "SHOWRUNNER_VERSION="+spec.Version, markName+"="+f.mark)
	return job, nil
}

// unpack makes the region's own copy of an artifact. An existing copy is
// complete.
func (f *Fleet) unpack(ctx context.Context, ref artifact.Ref, root string) error {
	if _, err := os.Stat(root); err == nil {
		return nil
	}
	part := root + ".part"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(root), 0o700); err != nil {
		return err
	}
	if err := f.config.Artifacts.Extract(ctx, ref, part); err != nil {
		return err
	}
	return os.Rename(part, root)
}

// begin starts the process; pump closes when all of its output is stored.
func (f *Fleet) begin(i *instance, job process.Program) (pump chan struct{}, err error) {
	if i.ctx.Err() != nil {
		return nil, fmt.Errorf("stopped before it started")
	}
	out := i.output // of the process before a restart
	if out == nil {
		if out, err = openOutput(f.output(i.group.name, i.id), outputSize); err != nil {
			return nil, err
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		out.Close()
		return nil, err
	}
	job.Output = w
	started, err := f.runner.Start(job)
	w.Close()
	if err != nil {
		r.Close()
		out.Close()
		return nil, err
	}
	f.mu.Lock()
	i.process, i.output, i.program, i.sampled = started, out, job, f.config.Now()
	if i.lifecycle == driver.Terminating || i.ctx.Err() != nil {
		started.Signal(killSignal) // it was ended while it started, so no requests are lost
	}
	f.bump(i.group.cluster)
	f.mu.Unlock()
	pump = make(chan struct{})
	go func() {
		defer close(pump)
		defer r.Close()
		stop := context.AfterFunc(i.ctx, func() { _ = r.SetReadDeadline(time.Now().Add(time.Second)) })
		defer stop()
		if _, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{r}, make([]byte, 8<<10)); err != nil && i.ctx.Err() == nil {
			f.config.Log.Warn("an instance's output is no longer stored", "instance", i.id, "err", err)
			_, _ = io.Copy(io.Discard, r) // otherwise the program would block
		}
	}()
	return pump, nil
}

func (f *Fleet) output(group, id string) string {
	return filepath.Join(f.folder.instance(group, id), "output.log")
}

func (f *Fleet) temp(i *instance) string {
	return filepath.Join(f.folder.instance(i.group.name, i.id), "tmp")
}
