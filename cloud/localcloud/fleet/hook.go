package fleet

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"showrunner/cloud"
	"showrunner/pipeline"
)

const (
	defaultHookTimeout = time.Minute
	hookContinue       = "continue"
)

// passLaunchHook runs the launch hook of an instance that is ready for the first
// time, and says whether it may serve. One that may not is ended, and counts as
// a failed launch, which spaces the launches after it.
func (f *Fleet) passLaunchHook(ctx context.Context, i *instance) bool {
	f.mu.Lock()
	hooks := f.doc.Groups[i.group.name].Spec.Hooks
	if hooks == nil || hooks.Launch == nil || i.served || i.lifecycle != cloud.Pending || !i.running {
		f.mu.Unlock()
		return true
	}
	i.hook = cloud.PendingWait
	f.bump(i.group.cluster)
	f.mu.Unlock()
	failure := f.runHook(ctx, i, "launch", *hooks.Launch)
	f.mu.Lock()
	defer f.mu.Unlock()
	i.hook = ""
	f.bump(i.group.cluster)
	if failure == nil || ctx.Err() != nil || i.lifecycle != cloud.Pending || !i.running {
		return true // enter looks whether it is still wanted
	}
	if hooks.Launch.DefaultResult == hookContinue {
		f.config.Log.Warn("a launch hook failed; the instance serves all the same", "instance", i.id, "group", i.group.name, "cause", failure.Cause)
		return true
	}
	i.failure = failure
	f.failed(i, false)
	f.end(i, "its launch hook failed", false)
	f.kick()
	return false
}

// terminateHook runs the terminate hook of an instance whose requests have
// ended. Its end goes on whatever comes of it.
func (f *Fleet) terminateHook(i *instance, hooks *pipeline.LifecycleHooks) {
	f.mu.Lock()
	if hooks == nil || hooks.Terminate == nil || !i.served || !i.running || f.closing {
		f.mu.Unlock()
		return
	}
	i.hook = cloud.TerminatingWait
	f.bump(i.group.cluster)
	f.mu.Unlock()
	failure := f.runHook(i.ctx, i, "terminate", *hooks.Terminate)
	f.mu.Lock()
	defer f.mu.Unlock()
	i.hook = ""
	if failure != nil && i.failure == nil && i.running {
		i.failure = failure
		f.config.Log.Warn("a terminate hook failed", "instance", i.id, "group", i.group.name, "cause", failure.Cause)
	}
	f.bump(i.group.cluster)
}

// runHook runs one hook until it ends, its time is up, its instance has ended,
// ctx ends or the region stops. What it writes goes to the instance's output.
func (f *Fleet) runHook(ctx context.Context, i *instance, name string, hook pipeline.LifecycleHook) *cloud.InstanceFailure {
	timeout := cmp.Or(time.Duration(hook.Timeout), defaultHookTimeout)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	fail := func(format string, args ...any) *cloud.InstanceFailure {
		return &cloud.InstanceFailure{Code: "HOOK_FAILED", At: f.config.Now(), LastLog: lastLines(f.output(i.group.name, i.id)),
			Cause: "its " + name + " hook " + fmt.Sprintf(format, args...)}
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fail("could not be started: %v", err)
	}
	defer r.Close()
	job := i.program
	job.Command, job.Output = hook.Command, w
	job.Env = append(job.Env[:len(job.Env):len(job.Env)], "SHOWRUNNER_HOOK="+name)
	running, err := f.runner.start(job)
	w.Close()
	if err != nil {
		return fail("could not be started: %v", err)
	}
	var said bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.CopyN(io.MultiWriter(&said, i.output), r, probeBody)
		_, _ = io.Copy(i.output, r)
		_, _ = io.Copy(io.Discard, r) // once the output is closed, or it would block
	}()
	stop := make(chan struct{})
	go func() {
		select {
		case <-ctx.Done():
		case <-i.done:
		case <-f.quit: // the region stops
		case <-stop:
			return
		}
		running.signal(syscall.SIGKILL)
	}()
	end := running.wait()
	close(stop)
	_ = r.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // what escaped its group may hold the other end
	<-read
	switch {
	case end.Code == 0:
		return nil
	case ctx.Err() != nil:
		return fail("did not end within %s", timeout)
	case end.Signal != 0:
		return fail("was ended by %s", unix.SignalName(end.Signal))
	}
	return fail("%s", strings.TrimSpace(fmt.Sprintf("exited with code %d: %s", end.Code, strings.TrimSpace(strings.ToValidUTF8(said.String(), "\uFFFD")))))
}
