package fleet

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/internal/process"
)

const (
	killSignal         = syscall.SIGKILL
	limitedNice        = 10
	defaultDrain       = 10 * time.Second
	defaultStopTimeout = 10 * time.Second
)

// end takes an instance out of service permanently. With kill it ends at once;
// otherwise its requests in flight end first. Called with the lock held.
func (f *Fleet) end(i *instance, why string, kill bool) {
	if i.lifecycle == driver.Terminating || i.lifecycle == driver.Terminated {
		if kill && i.process != nil {
			i.process.Signal(killSignal)
		}
		return
	}
	f.config.Log.Info("ending an instance", "instance", i.id, "group", i.group.name, "why", why)
	i.draining = i.registered && i.running && !kill
	i.lifecycle, i.why = driver.Terminating, why
	if !i.running {
		f.finalize(i)
		return
	}
	f.push(i.group.cluster)
	f.bump(i.group.cluster)
	drain := i.draining
	f.work.Go(func() { f.stop(i, drain, kill) })
}

// stop ends an instance's process: drain, SIGTERM, and SIGKILL after the stop
// timeout, for the whole process group. run notices the end of the process.
func (f *Fleet) stop(i *instance, drain, kill bool) {
	f.mu.Lock()
	spec := f.doc.Groups[i.group.name].Spec
	f.mu.Unlock()
	if drain {
		ctx, cancel := context.WithTimeout(i.ctx, cmp.Or(spec.Drain, defaultDrain))
		if err := f.config.Balancer.Drain(ctx, i.id); err != nil && i.ctx.Err() == nil {
			f.config.Log.Warn("requests were still in flight at the end of the drain", "instance", i.id, "err", err)
		}
		cancel()
	}
	f.mu.Lock()
	i.draining, i.registered = false, false
	f.push(i.group.cluster)
	started := i.process
	f.mu.Unlock()
	if started != nil && !kill {
		f.terminateHook(i, spec.Hooks)
	}
	if started == nil {
		i.cancel() // run returns before it starts a process, or kills the process that it started
		return
	}
	if kill {
		started.Signal(killSignal)
		return
	}
	started.Signal(syscall.SIGTERM)
	started.Signal(syscall.SIGCONT) // SIGCONT, so that a process stopped by SIGSTOP receives the signal too
	timeout := time.NewTimer(cmp.Or(spec.StopTimeout, defaultStopTimeout))
	defer timeout.Stop()
	select {
	case <-i.done:
	case <-timeout.C:
		f.mu.Lock()
		i.stopTimedOut = true
		f.mu.Unlock()
		started.Signal(killSignal)
	}
}

// exited records that an instance's process has ended, or never started.
func (f *Fleet) exited(i *instance, end *process.Exit, failure *driver.InstanceFailure) {
	lines := lastLines(f.output(i.group.name, i.id))
	f.mu.Lock()
	defer f.mu.Unlock()
	defer close(i.done)
	now := f.config.Now()
	i.running, i.registered, i.draining, i.ready = false, false, false, false
	i.cpu, i.memory = 0, 0
	asked := i.lifecycle == driver.Terminating || i.outage || f.closing
	switch {
	case !asked && i.failure != nil && i.failure.Code == "OVER_LIMIT":
		failure = i.failure
	case asked && i.stopTimedOut:
		spec := f.doc.Groups[i.group.name].Spec
		cause := fmt.Sprintf("it did not end within %s of SIGTERM and was killed", cmp.Or(spec.StopTimeout, defaultStopTimeout))
		failure = &driver.InstanceFailure{Code: "STOP_TIMEOUT", Cause: cause}
		if i.failure != nil { // the reason of the end says more
			ill := *i.failure
			ill.Cause += "; " + cause
			failure = &ill
		}
	case !asked && end != nil:
		failure = &driver.InstanceFailure{Code: "EXITED", Cause: f.endCause(i, *end, now)}
	case asked:
		failure = i.failure // the reason of the end, if it was ill health
	}
	if failure != nil {
		described := *failure
		described.At, described.LastLog, described.Probe = now, lines, cmp.Or(described.Probe, i.probeDetail)
		switch {
		case end != nil && end.Signal != 0:
			described.Signal = end.Signal.String()
		case end != nil:
			described.ExitCode = &end.Code
		}
		i.failure = &described
	}
	if !asked && i.failure != nil {
		// SIGKILL comes from outside. It does not show that the version is bad,
		// so there is no back-off.
		killed := end != nil && end.Signal == killSignal && i.served && i.failure.Code == "EXITED"
		f.failed(i, killed || i.served && now.Sub(i.launched) > 2*stable)
	}
	if i.lifecycle == driver.Terminating {
		f.finalize(i)
	}
	f.push(i.group.cluster)
	f.bump(i.group.cluster)
	f.requestPass()
}

func (f *Fleet) endCause(i *instance, end process.Exit, now time.Time) string {
	how := fmt.Sprintf("it exited with code %d", end.Code)
	if end.Signal != 0 {
		how = "it was ended by " + unix.SignalName(end.Signal)
		if end.Signal == killSignal {
			how += " from outside (a person, another program, or the kernel for lack of memory)"
		}
	}
	age := now.Sub(i.launched).Round(time.Millisecond)
	if i.served {
		return fmt.Sprintf("%s %s after its launch; it had served", how, age)
	}
	return fmt.Sprintf("%s %s after its launch, before it was ever healthy", how, age)
}

// failed counts an instance's failure for its group, once: the end of an instance
// that was killed for failing checks is not counted again. Spared failures are
// replaced without back-off.
func (f *Fleet) failed(i *instance, spared bool) {
	g := i.group
	g.lastFailure = i.failure
	switch {
	case i.counted:
	case i.served:
		g.crashes++
	default:
		g.failures++
		f.launchFailed(g)
	}
	i.counted = true
	if !spared {
		g.backoff.bump(i.launched, f.config.Now())
	}
	f.config.Log.Warn("an instance failed", "instance", i.id, "group", g.name, "code", i.failure.Code, "cause", i.failure.Cause)
}

// finalize forgets an instance except its description and its output. Called with
// the lock held, after its process is gone.
func (f *Fleet) finalize(i *instance) {
	g := i.group
	i.lifecycle, i.ended = driver.Terminated, f.config.Now()
	f.addresses.give(i.host)
	delete(g.instances, i.id)
	delete(f.instances, i.id)
	described := f.describe(i)
	f.remember(g.name, described)
	g.ended = slices.Insert(g.ended, 0, described)
	g.ended = g.ended[:min(len(g.ended), endedKept)]
	f.dropStandby(i)
	f.bump(g.cluster)
	f.requestPass()
}

// prune removes the output of ended instances, except the last endedKept.
func (f *Fleet) prune(g *group) {
	all := filepath.Join(f.folder.group(g.name), "instances")
	entries, err := os.ReadDir(all)
	if err != nil {
		return
	}
	type old struct {
		name string
		at   time.Time
	}
	var gone []old
	f.mu.Lock()
	for _, e := range entries {
		if g.instances[e.Name()] == nil {
			if info, err := e.Info(); err == nil {
				gone = append(gone, old{e.Name(), info.ModTime()})
			}
		}
	}
	f.mu.Unlock()
	slices.SortFunc(gone, func(a, b old) int { return b.at.Compare(a.at) })
	for _, o := range gone[min(len(gone), endedKept):] {
		_ = os.RemoveAll(filepath.Join(all, o.name))
	}
}
