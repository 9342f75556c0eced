package fleet

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"showrunner/cloud/driver"
	"showrunner/pipeline"
	"showrunner/problem"
)

const (
	defaultHookTimeout = time.Minute
	hookContinue       = "continue"
	// However many heartbeats come, a hook waits at most this many times its
	// timeout, and at most longestHook: the bounds of Auto Scaling.
	hookTimeouts = 100
	longestHook  = 48 * time.Hour
)

// runningHook is a running lifecycle hook. Guarded by Fleet.mu.
type runningHook struct {
	name               string // launch, terminate
	lifecycle          driver.Lifecycle
	spec               pipeline.LifecycleHook
	timeout            time.Duration
	since, until, last time.Time // until is the deadline; a heartbeat moves it, up to last
	heartbeat          time.Time // time of the last heartbeat
	answer             driver.HookAnswer
	over               bool          // answers come too late
	news               chan struct{} // signals an answer or a heartbeat; has room for one
}

// beginHook starts one of an instance's hooks. Called with the lock held.
func (f *Fleet) beginHook(i *instance, name string, lifecycle driver.Lifecycle, spec pipeline.LifecycleHook) *runningHook {
	i.hook = newRunningHook(name, lifecycle, spec, f.config.Now())
	f.bump(i.group.cluster)
	return i.hook
}

func newRunningHook(name string, lifecycle driver.Lifecycle, spec pipeline.LifecycleHook, now time.Time) *runningHook {
	timeout := min(cmp.Or(time.Duration(spec.Timeout), defaultHookTimeout), longestHook)
	h := &runningHook{name: name, lifecycle: lifecycle, spec: spec, timeout: timeout, since: now, news: make(chan struct{}, 1)}
	h.last = now.Add(longestHook)
	if timeout < longestHook/hookTimeouts {
		h.last = now.Add(timeout * hookTimeouts)
	}
	h.extend(now)
	return h
}

// state is the hook as it is shown; nil once its instance has gone on without it.
func (h *runningHook) state(lifecycle driver.Lifecycle) *driver.HookState {
	if h == nil || !strings.HasPrefix(string(h.lifecycle), string(lifecycle)+":") {
		return nil
	}
	return &driver.HookState{Name: h.name, Wait: h.spec.Wait, Since: h.since, Until: h.until, Heartbeat: h.heartbeat}
}

// passLaunchHook runs the launch hook of an instance that is ready for the first
// time, if it has one, and says whether the instance may go on. An instance that
// may not is ended, and counts as a failed launch, which delays the launches
// after it.
func (f *Fleet) passLaunchHook(ctx context.Context, i *instance) (ran, ok bool) {
	f.mu.Lock()
	hooks := f.doc.Groups[i.group.name].Spec.Hooks
	if hooks == nil || hooks.Launch == nil || i.served || i.launchHookPassed || i.lifecycle != driver.Pending || !i.running {
		f.mu.Unlock()
		return false, true
	}
	h := f.beginHook(i, "launch", driver.PendingWait, *hooks.Launch)
	f.mu.Unlock()
	failure := f.runHook(ctx, i, h)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endHook(i, h)
	i.launchHookPassed = true
	if failure == nil || ctx.Err() != nil || i.lifecycle != driver.Pending || !i.running {
		return true, true // putIntoService checks whether the instance is still wanted
	}
	if hooks.Launch.DefaultResult == hookContinue && h.answer != driver.HookAbandon {
		f.config.Log.Warn("a launch hook failed; the instance serves nevertheless", "instance", i.id, "group", i.group.name, "cause", failure.Cause)
		return true, true
	}
	i.failure = failure
	f.failed(i, false)
	f.end(i, "its launch hook failed", false)
	f.requestPass()
	return true, false
}

// terminateHook runs the terminate hook of an instance whose requests have ended.
// The instance ends whatever the result.
func (f *Fleet) terminateHook(i *instance, hooks *pipeline.LifecycleHooks) {
	f.mu.Lock()
	if hooks == nil || hooks.Terminate == nil || !i.served || !i.running || f.closing {
		f.mu.Unlock()
		return
	}
	h := f.beginHook(i, "terminate", driver.TerminatingWait, *hooks.Terminate)
	f.mu.Unlock()
	failure := f.runHook(i.ctx, i, h)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endHook(i, h)
	if failure != nil && i.failure == nil && i.ctx.Err() == nil && !f.closing {
		i.failure = failure
		f.config.Log.Warn("a terminate hook failed", "instance", i.id, "group", i.group.name, "cause", failure.Cause)
	}
}

func (f *Fleet) endHook(i *instance, h *runningHook) {
	i.hook, h.over = nil, true
	if h.answer != "" {
		i.answered = h
	}
	f.bump(i.group.cluster)
}

// runHook runs one hook. The hook ends when its command has ended and its answer
// has come, when one of them fails it, at its timeout, when its instance has
// ended, when ctx ends, or when the region stops. Its command has always ended
// when runHook returns; the command's output goes to the instance's output.
func (f *Fleet) runHook(ctx context.Context, i *instance, h *runningHook) *driver.InstanceFailure {
	ctx, cancel := context.WithCancel(ctx)
	var command chan string // why the hook failed, "" if it did not
	if len(h.spec.Command) > 0 {
		command = make(chan string, 1)
		go func() { command <- f.hookCommand(ctx, i, h) }()
	}
	cause := f.awaitHook(ctx, h, &command)
	cancel()
	if command != nil {
		<-command
	}
	if cause == "" {
		return nil
	}
	return &driver.InstanceFailure{Code: "HOOK_FAILED", At: f.config.Now(), LastLog: lastLines(f.output(i.group.name, i.id)), Cause: "its " + h.name + " hook" + cause}
}

// awaitHook returns why a hook failed, "" when it did not. It sets command to nil
// once the command has ended.
func (f *Fleet) awaitHook(ctx context.Context, h *runningHook, command *chan string) (cause string) {
	timer := time.NewTimer(longestHook)
	defer timer.Stop()
	for {
		f.mu.Lock()
		answer, left := h.answer, h.until.Sub(f.config.Now())
		switch {
		case answer == driver.HookAbandon:
			cause = " was abandoned"
		case *command == nil && (!h.spec.Wait || answer == driver.HookContinue):
			f.mu.Unlock()
			return ""
		case left <= 0:
			cause = h.timeoutCause(*command != nil)
			h.over = true
		}
		f.mu.Unlock()
		if cause != "" {
			return cause
		}
		timer.Reset(left)
		select {
		case cause = <-*command:
			if *command = nil; cause != "" {
				return cause
			}
		case <-h.news:
		case <-timer.C:
		case <-ctx.Done():
			return " was cut off by the end of its instance"
		case <-f.quit:
			return " was cut off by the stop of its region"
		}
	}
}

// timeoutCause is the reason of a hook that failed because its time is up.
func (h *runningHook) timeoutCause(running bool) string {
	how := " was not completed within "
	if running {
		how = " did not end within "
	}
	switch {
	case h.heartbeat.IsZero():
		return how + h.timeout.String()
	case h.until.Equal(h.last):
		return how + h.last.Sub(h.since).String() + ", the longest that heartbeats can make it"
	}
	return how + h.timeout.String() + " of its last heartbeat"
}

// hookCommand runs a hook's command and returns why it failed, "" when it did not.
func (f *Fleet) hookCommand(ctx context.Context, i *instance, h *runningHook) string {
	job := i.program
	job.Command = h.spec.Command
	job.Env = append(job.Env[:len(job.Env):len(job.Env)], "SHOWRUNNER_HOOK="+h.name)
	said, end, err := f.runner.Run(ctx, job, i.output)
	switch {
	case err != nil:
		return fmt.Sprintf(" could not be started: %v", err)
	case end.Code == 0:
		return ""
	}
	return ": " + strings.TrimSuffix(end.How()+": "+said, ": ")
}

// AnswerHook implements driver.HookAnswerer. Repeating an answer succeeds until
// the hook has ended. Afterwards, and for an instance that does not wait, it is
// refused with precondition, and the message says how the hook ended.
func (f *Fleet) AnswerHook(_ context.Context, region, id string, answer driver.HookAnswer, key string) error {
	const op = "fleet.answer-hook"
	if err := driver.CheckHookAnswer(op, answer); err != nil {
		return err
	}
	_, err := f.mutate(op, region, key, []any{id, answer}, func(next *document) (func(), *madeOnce, error) {
		i, _, err := f.locate(next, op, id)
		if err != nil {
			if ended, ok := f.endedInstance(id); ok {
				err = problem.New(problem.Precondition, op, "instance %s has ended: %s", id, cmp.Or(ended.Why, "by itself"))
			}
			return nil, nil, err
		}
		h, now := i.hook, f.config.Now()
		if err := i.canAnswer(op, answer, now); err != nil {
			return nil, nil, err
		}
		return func() { h.accept(answer, now); f.bump(i.group.cluster) }, nil, nil
	})
	return err
}

func (h *runningHook) accept(answer driver.HookAnswer, now time.Time) {
	if answer == driver.HookHeartbeat {
		h.heartbeat = now
		h.extend(now)
	} else {
		h.answer = answer
	}
	select {
	case h.news <- struct{}{}:
	default: // the hook has not yet noticed the last one
	}
}

// extend restarts the timeout, within the bounds of the whole hook.
func (h *runningHook) extend(now time.Time) {
	h.until = now.Add(h.timeout)
	if h.until.After(h.last) {
		h.until = h.last
	}
}

// canAnswer refuses an answer that the instance does not wait for.
func (i *instance) canAnswer(op string, answer driver.HookAnswer, now time.Time) error {
	h := i.hook
	refuse := func(help, format string, args ...any) error {
		return problem.New(problem.Precondition, op, "instance %s "+format, append([]any{i.id}, args...)...).WithHelp("%s", help)
	}
	const whom = "showrunner instances shows which instances wait, and until when"
	switch state := h.state(i.lifecycle); {
	case state == nil && i.answered != nil:
		return refuse(whom, "is %s and does not wait; its %s hook was completed with %s", i.lifecycle, i.answered.name, i.answered.answer)
	case state == nil:
		return refuse(whom, "is %s and does not wait", i.lifecycle)
	case h.over || !now.Before(h.until):
		return refuse(whom, "no longer waits: the time of its %s hook is up", h.name)
	case !h.spec.Wait:
		return refuse("a hook with wait: true waits for an answer", "is %s, for the command of its %s hook alone", h.lifecycle, h.name)
	case h.answer != "" && h.answer != answer:
		return refuse(whom, "does not wait for it: its %s hook was completed with %s", h.name, h.answer)
	case answer == driver.HookHeartbeat && !h.until.Before(h.last):
		return refuse("complete its hook before", "waits until %s, and no heartbeat makes that longer", h.last.UTC().Format(time.RFC3339))
	}
	return nil
}
