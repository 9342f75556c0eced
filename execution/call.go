package execution

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"showrunner/internal/tracecontext"
	"showrunner/problem"
	"showrunner/stage"
)

// call is a call of a task that is under way.
type call struct {
	attempt int
	cancel  context.CancelCauseFunc
}

// startCall calls a stage's current task. The action's intent is durable. It does
// nothing when the stage has moved on since: a later intent to call it may not be
// durable yet, and is followed by an action of its own.
func (e *Engine) startCall(r *activeExecution, a action) {
	i := a.stage
	row := r.st.rows[i]
	if r.gone || row == nil || row.Phase != PhaseRunning || a.intent != r.st.intents[i] {
		return
	}
	if c := r.calls[i]; c != nil && c.attempt == row.Attempt {
		return
	} // a call of an earlier attempt never returned, and was given up on
	if !e.takePermit(r, i) {
		r.queued[i] = a
		return
	}
	task, ok := e.kinds.task(r.st.plan.stages[i].def.Kind, row.Cursor)
	if !ok {
		return // another replica may know it; checkEntry holds what is not known before it begins
	}
	if a.kind == doResume && task.Resume == nil {
		why := "this process was not there to see how the task ended, and the task cannot be asked"
		if row.Reason != "" {
			why = row.Reason
		}
		e.applyLocked(r, doubted{stage: i, reason: why})
		return
	}
	in, err := e.input(r, i)
	if err != nil {
		e.applyLocked(r, answered{stage: i, attempt: row.Attempt, cursor: row.Cursor, result: stage.Fail(*expressionFailure(err))})
		return
	}
	ctx, cancel := context.WithCancelCause(e.base)
	own := &call{attempt: row.Attempt, cancel: cancel}
	r.calls[i] = own
	cursor := row.Cursor
	ask := a.kind != doRun && task.Resume != nil
	turn := e.calling.enter(in.Key)
	e.beginJob(r, func() job {
		res, err := e.invokeAlone(ctx, turn, task, ask, in)
		e.finishCall(ctx, r, own, answered{stage: i, attempt: own.attempt, cursor: cursor, seen: len(in.Signals), result: res, err: err})
		cancel(nil)
		return e.lead()
	})
}

// callsByKey are the calls under way in this process. A call that was given up with a
// lost session may still have its effect when the same task is to be called again, so
// the next call of a key waits for the one before.
type callsByKey struct {
	mu   sync.Mutex
	last map[stage.Key]chan struct{} // closed when the call has returned
}

// turn orders a call after an earlier one of the same key.
type turn struct {
	before chan struct{} // nil: there is none
	own    chan struct{}
	key    stage.Key
}

func (c *callsByKey) enter(k stage.Key) turn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		c.last = map[stage.Key]chan struct{}{}
	}
	t := turn{before: c.last[k], own: make(chan struct{}), key: k}
	c.last[k] = t.own
	return t
}

func (c *callsByKey) leave(t turn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(t.own)
	if c.last[t.key] == t.own {
		delete(c.last, t.key)
	}
}

// invokeAlone calls the task once no earlier call of it is under way.
func (e *Engine) invokeAlone(ctx context.Context, t turn, task stage.Task, ask bool, in *stage.Input) (stage.Result, error) {
	if t.before != nil {
		clock := time.NewTimer(e.limits.Grace)
		defer clock.Stop()
		select {
		case <-t.before:
		case <-ctx.Done():
			go func() { <-t.before; e.calling.leave(t) }() // the next call waits for both
			return stage.Result{}, context.Cause(ctx)
		case <-clock.C:
			go func() { <-t.before; e.calling.leave(t) }()
			return stage.Result{}, unavailable("execution.call", "an earlier call of "+in.Key.String()+" has been told to return and has not")
		}
	}
	defer e.calling.leave(t)
	return e.invoke(ctx, task, ask, in)
}

func expressionFailure(err error) *stage.Failure {
	return &stage.Failure{Code: CodeExpression, Cause: err.Error(), Help: problem.HelpOf(err)}
}

// invoke calls Run, or asks Resume first. A panic is an internal error.
func (e *Engine) invoke(ctx context.Context, t stage.Task, ask bool, in *stage.Input) (res stage.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			e.log.Error("a task panicked", "task", in.Key.String(), "panic", p, "stack", string(debug.Stack()))
			err = problem.New(problem.Internal, "stage."+in.Stage.Kind, "task %s panicked: %v", in.Key, p)
		}
		if c, ok := in.Log.(io.Closer); ok {
			if cerr := c.Close(); cerr != nil {
				e.log.Warn("a stage's log could not be closed", "task", in.Key.String(), "error", cerr)
			}
		}
	}()
	if ask {
		res, err = t.Resume(ctx, in)
		if err != nil || res.Outcome != stage.NotStarted {
			return res, err
		}
		if ctx.Err() != nil {
			return stage.Result{}, context.Cause(ctx)
		}
	}
	return t.Run(ctx, in)
}

// finishCall takes in a call's answer. The caller then leads a commit.
func (e *Engine) finishCall(ctx context.Context, r *activeExecution, own *call, ev answered) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls[ev.stage] == own {
		delete(r.calls, ev.stage)
		e.progress.clear(r.id, ev.stage)
	}
	if r.gone {
		return
	}
	if ev.err != nil && errors.Is(context.Cause(ctx), stage.ErrDetached) {
		return // its intent stays recorded; the next owner asks the task
	}
	r.leads = true
	e.applyLocked(r, ev)
	r.leads = false
	if row := r.st.rows[ev.stage]; row.Phase != PhaseRunning && r.calls[ev.stage] == nil {
		e.releasePermit(r, ev.stage)
	}
}

// input makes what a task may see. The execution is locked.
func (e *Engine) input(r *activeExecution, i int) (*stage.Input, error) {
	row, def := r.st.rows[i], r.st.plan.stages[i].def
	h := &r.st.head
	cfg, err := e.cfg.Resolver.Config(def, r.scope(i))
	if err != nil {
		return nil, err
	}
	key := stage.Key{Execution: r.id, Stage: def.Name, Attempt: row.Attempt, Task: row.Task}
	in := &stage.Input{Key: key, Application: h.Application, Pipeline: h.Pipeline, Number: h.Number,
		StartedBy: h.Request.By, Version: r.version(), Trigger: h.Request.Trigger, Stage: *def, Mark: r.st.plan.stages[i].mark, Config: cfg,
		Traceparent: tracecontext.Run(r.id, h.Request.Traceparent).At(tracecontext.StageSpan(r.id, def.Name, row.Attempt)).String(),
		Artifacts:   r.st.artifacts(), Upstream: r.st.outputs(), Outputs: row.Outputs, State: row.State,
		Signals: r.st.mail[i][:len(r.st.mail[i]):len(r.st.mail[i])], Now: e.now(),
		Progress: func(format string, args ...any) {
			e.progress.set(h, i, def.Name, key.Attempt, fmt.Sprintf(format, args...))
		},
		Log: io.Discard, Secrets: noSecrets{},
	}
	if row.Started != nil {
		in.StageStarted = *row.Started
	}
	if e.cfg.Logs != nil {
		in.Log = &lazyLog{open: func() (io.WriteCloser, error) { return e.cfg.Logs.Open(key) }}
	}
	if e.cfg.Secrets != nil {
		inner := in.Log
		var masked io.Writer
		in.Secrets, masked = e.cfg.Secrets(key, h.Application, inner)
		in.Log = &closing{Writer: masked, inner: inner}
	}
	return in, nil
}

// version is what people call what the execution delivers. The execution is locked.
func (r *activeExecution) version() string {
	for i := range r.st.plan.stages {
		if row := r.st.rows[i]; row != nil && r.st.plan.stages[i].def.Kind == "git" {
			if c, ok := row.Outputs["shortCommit"].(string); ok && c != "" {
				return c
			}
		}
	}
	if c, ok := r.st.head.Request.Trigger["commit"].(string); ok && c != "" {
		return c[:min(len(c), 7)]
	}
	return fmt.Sprintf("#%d", r.st.head.Number)
}

// closing closes what it writes to through, the mask first.
type closing struct {
	io.Writer
	inner io.Writer
}

func (c *closing) Close() error {
	var errs []error
	for _, w := range []io.Writer{c.Writer, c.inner} {
		if cl, ok := w.(io.Closer); ok {
			errs = append(errs, cl.Close())
		}
	}
	return errors.Join(errs...)
}

// lazyLog opens a log at the first write: most tasks print nothing. Its writes
// never fail: a full disk must not fail a deployment.
type lazyLog struct {
	open   func() (io.WriteCloser, error)
	mu     sync.Mutex
	w      io.WriteCloser
	err    error
	closed bool
}

func (l *lazyLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.err != nil {
		return len(p), nil
	}
	if l.w == nil {
		if l.w, l.err = l.open(); l.err != nil {
			return len(p), nil
		}
	}
	if _, err := l.w.Write(p); err != nil {
		l.err = err
	}
	return len(p), nil
}

// Close returns the first error of the log, which its writes did not.
func (l *lazyLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	if l.w == nil {
		return l.err
	}
	return errors.Join(l.err, l.w.Close())
}

type noSecrets struct{}

func (noSecrets) Expand(_ context.Context, text string) (string, error) { return text, nil }

// startStop has the outside work of a stage stopped, and its children canceled.
func (e *Engine) startStop(r *activeExecution, i int) {
	row := r.st.rows[i]
	if r.gone || row == nil || row.Phase != PhaseCanceling || r.stops[i] {
		return
	}
	task, known := e.kinds.task(r.st.plan.stages[i].def.Kind, row.Cursor)
	ev := stopped{stage: i, attempt: row.Attempt}
	in, err := e.input(r, i)
	if err != nil { // then it never began
		e.applyLocked(r, ev)
		return
	}
	r.stops[i] = true
	reason := r.st.head.State.Cause
	e.spawn(func() {
		ev.err = e.cancelChildren(e.base, in.Key, reason)
		if ev.err == nil && known && task.Cancel != nil {
			ev.err = e.invokeCancel(task, in)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.stops, i)
		e.progress.clear(r.id, i)
		if r.gone || ev.err != nil && e.base.Err() != nil {
			return
		}
		e.applyLocked(r, ev)
	})
}

func (e *Engine) invokeCancel(t stage.Task, in *stage.Input) (err error) {
	defer func() {
		if p := recover(); p != nil {
			e.log.Error("a task's cancel panicked", "task", in.Key.String(), "panic", p, "stack", string(debug.Stack()))
			err = problem.New(problem.Internal, "stage."+in.Stage.Kind, "canceling task %s panicked: %v", in.Key, p)
		}
		if c, ok := in.Log.(io.Closer); ok {
			_ = c.Close()
		}
	}()
	return t.Cancel(e.base, in)
}

// cancelChildren cancels the live executions that a stage has started. While
// one of them lives the stage's end is not confirmed; its end wakes the stage.
func (e *Engine) cancelChildren(ctx context.Context, k stage.Key, reason string) error {
	children, _, err := e.store.List(ctx, Query{Parent: k.Execution, Statuses: []Status{NotStarted, Running, Paused}, Limit: 500})
	if err != nil {
		return err
	}
	live := 0
	for _, h := range children {
		if h.Request.Parent == nil || h.Request.Parent.Stage != k.Stage {
			continue
		}
		live++
		if err := e.Cancel(ctx, h.ID, "execution "+k.Execution, reason); err != nil && problem.CodeOf(err) != problem.Precondition {
			return err
		}
	}
	if live > 0 {
		return problem.New(problem.Unavailable, "execution.cancel", "%d executions that this stage started have not ended yet", live)
	}
	return nil
}
