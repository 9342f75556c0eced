package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

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
			Cause: "its " + name + " hook" + fmt.Sprintf(format, args...)}
	}
	go func() {
		select {
		case <-f.quit: // the region stops
			cancel()
		case <-ctx.Done():
		}
	}()
	job := i.program
	job.Command = hook.Command
	job.Env = append(job.Env[:len(job.Env):len(job.Env)], "SHOWRUNNER_HOOK="+name)
	said, end, err := runCommand(ctx, f.runner, job, i.output)
	switch {
	case err != nil:
		return fail(" could not be started: %v", err)
	case end.Code == 0:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fail(" did not end within %s", timeout)
	}
	return fail(": %s", strings.TrimSuffix(end.how()+": "+said, ": "))
}
