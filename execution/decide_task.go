package execution

import (
	"encoding/json"
	"errors"
	"maps"
	"time"

	"showrunner/artifact"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// Signals that the engine itself understands.
const (
	// SignalProceed lets a stage that a window or a freeze holds begin now.
	SignalProceed = "proceed"
	// SignalRetry, SignalDone and SignalFail settle a parked stage: repeat the
	// task, take it as done (the data may hold {"outputs": {…}}), or fail it.
	SignalRetry = "retry"
	SignalDone  = "done"
	SignalFail  = "fail"
)

// Codes of the failures that the engine itself finds.
const (
	CodeTimeout         = "TIMEOUT"
	CodeInDoubt         = "IN_DOUBT"
	CodeParked          = "TASK_PARKED"
	CodeTask            = "TASK_FAILED"
	CodeExpression      = "EXPRESSION_FAILED"
	CodeStopUnconfirmed = "CANCEL_UNCONFIRMED"
)

// Why a stage is being stopped.
const (
	stopCancel  = "cancel"  // the execution was canceled
	stopHalt    = "halt"    // another stage failed
	stopTimeout = "timeout" // its time is up
)

// answer takes in what a task's call has returned.
func (s *state) answer(ev answered, now time.Time, c *changes) {
	r := s.rows[ev.stage]
	if r == nil || r.Attempt != ev.attempt || r.Cursor != ev.cursor {
		return // of an attempt that is over
	}
	switch r.Phase {
	case PhaseRunning:
	case PhaseCanceling:
		if ev.err == nil && ev.result.Outcome == stage.Done {
			s.closeTask(ev.stage, ev.result, now, c)
			if r = s.touch(ev.stage, c); r.Stop == stopTimeout { // just in time
				r.Stop, r.Phase = "", PhaseRunning
				s.advance(ev.stage, stage.Done, now, c)
				return
			}
			s.confirm(stopped{stage: ev.stage, attempt: ev.attempt}, now, c)
			return
		}
		c.do = append(c.do, action{kind: doStop, stage: ev.stage})
		return
	default:
		return
	}
	if ev.err != nil {
		s.unknown(ev, now, c)
		return
	}
	switch ev.result.Outcome {
	case stage.Done, stage.Skipped:
		s.closeTask(ev.stage, ev.result, now, c)
		s.advance(ev.stage, ev.result.Outcome, now, c)
	case stage.Again:
		s.again(ev, now, c)
	case stage.Failed:
		s.closeTask(ev.stage, ev.result, now, c)
		r = s.touch(ev.stage, c)
		r.Failure = ev.result.Failure
		if r.Failure == nil {
			r.Failure = &stage.Failure{Code: CodeTask, Cause: "the task failed without saying why"}
		}
		s.settleFailure(ev.stage, now, c)
	default:
		s.park(ev.stage, stage.Failure{Code: CodeParked, Cause: "the task answered " + string(ev.result.Outcome) + ", which is no outcome",
			Help: "Signal retry, done or fail to this stage, and report the defect."}, now, c)
	}
}

// closeTask keeps what a finished task put out.
func (s *state) closeTask(i int, res stage.Result, now time.Time, c *changes) {
	r := s.touch(i, c)
	t := &r.Tasks[len(r.Tasks)-1]
	t.Outcome, t.Ended = res.Outcome, &now
	if len(res.Outputs) > 0 {
		out := make(map[string]any, len(r.Outputs)+len(res.Outputs))
		maps.Copy(out, r.Outputs)
		maps.Copy(out, res.Outputs)
		r.Outputs = out
	}
	if len(res.Artifacts) > 0 {
		all := make(map[string]artifact.Ref, len(r.Artifacts)+len(res.Artifacts))
		maps.Copy(all, r.Artifacts)
		for key, ref := range res.Artifacts {
			all[artifactName(s.name(i), key)] = ref
		}
		r.Artifacts = all
		s.made[i] = struct{}{}
	}
	if res.Outcome == stage.Skipped {
		r.Skips++
	}
}

func artifactName(stage, key string) string {
	if key == "" {
		return stage
	}
	return stage + "." + key
}

// advance goes on to the next task, or ends the stage.
func (s *state) advance(i int, outcome stage.Outcome, now time.Time, c *changes) {
	r := s.touch(i, c)
	done, next := r.Task, r.Cursor+1
	if next < len(s.plan.stages[i].tasks) {
		s.beginTask(i, next, now, c)
		s.emit(c, now, "stage.task", i, "", eventData{Attempt: r.Attempt, Task: done, Outcome: outcome, Next: r.Task})
		return
	}
	if r.Skips == len(r.Tasks) {
		s.finish(i, Skipped, now, c)
		return
	}
	s.finish(i, Succeeded, now, c)
}

// again lets a task wait, holding nothing but its row.
func (s *state) again(ev answered, now time.Time, c *changes) {
	r := s.touch(ev.stage, c)
	r.State, r.Seen, r.Tries = ev.result.State, ev.seen, 0
	t := &r.Tasks[len(r.Tasks)-1]
	first := t.Outcome != stage.Again
	t.Outcome = stage.Again
	s.waits(ev.stage, ev.result.Waits, ev.result.WaitsUntil, first, now, c)
	if s.rewake[ev.stage] || len(s.mail[ev.stage]) > ev.seen {
		s.call(ev.stage, now, c)
		return
	}
	r.Phase, r.Until = PhaseWaiting, nil
	if ev.result.After > 0 {
		at := now.Add(ev.result.After)
		r.Until = &at
	}
}

// waits takes in what a stage waits for; an event tells of it when that is news.
func (s *state) waits(i int, what string, until time.Time, news bool, now time.Time, c *changes) {
	r := s.touch(i, c)
	var end *time.Time
	if !until.IsZero() {
		end = &until
	}
	news = news || r.Reason != what || !equalTimes(r.WaitsUntil, end)
	if r.Reason, r.WaitsUntil = what, end; news {
		s.emit(c, now, "stage.waiting", i, "", eventData{Attempt: r.Attempt, Task: r.Task, Reason: what, Until: end})
	}
}

// unknown handles a call that could not find out what became of the act.
func (s *state) unknown(ev answered, now time.Time, c *changes) {
	r := s.touch(ev.stage, c)
	if errors.Is(ev.err, stage.ErrInDoubt) {
		r.State = nil
		s.doubt(doubted{stage: ev.stage, reason: ev.err.Error()}, now, c)
		return
	}
	if !uncertain(ev.err) {
		r.Failure = failureOf(ev.err)
		s.closeTask(ev.stage, stage.Result{Outcome: stage.Failed}, now, c)
		s.settleFailure(ev.stage, now, c)
		return
	}
	p, known := problem.Of(ev.err)
	if !known || !p.Busy { // who is told to slow down has done nothing wrong
		r.Tries++
	}
	if r.Tries >= askTries {
		f := *failureOf(ev.err)
		f.Code = CodeParked
		f.Evidence = append([]string{"asked " + itoa(r.Tries) + " times; the last answer: " + ev.err.Error()}, f.Evidence...)
		f.Help = "Mend what is unreachable, then signal retry to this stage; or done, or fail."
		s.park(ev.stage, f, now, c)
		return
	}
	wait := backoff(max(r.Tries, 1), askFirst, askLast)
	if known && p.RetryAfter > wait {
		wait = p.RetryAfter
	}
	at := now.Add(wait)
	r.Phase, r.Until, r.Reason, r.WaitsUntil = PhaseBackoff, &at, ev.err.Error(), nil
	s.emit(c, now, "stage.unknown", ev.stage, "", eventData{Attempt: r.Attempt, Task: r.Task, Reason: r.Reason, Until: &at})
}

// failureOf says an error as a failure.
func failureOf(err error) *stage.Failure {
	f := &stage.Failure{Code: CodeTask, Cause: err.Error(), Help: problem.HelpOf(err)}
	var p *problem.Error
	if errors.As(err, &p) {
		f.Retryable = p.Code == problem.Unavailable || p.Code == problem.Conflict
	}
	return f
}

// doubt parks a task that was begun, has no result, and cannot be asked.
func (s *state) doubt(ev doubted, now time.Time, c *changes) {
	r := s.rows[ev.stage]
	if r == nil || r.Phase != PhaseRunning && r.Phase != PhaseBackoff {
		return
	}
	s.park(ev.stage, stage.Failure{Code: CodeInDoubt, Cause: ev.reason, Help: "Find out whether the task took effect, then signal done, retry or fail to this stage."}, now, c)
}

// park leaves a stage to a person; signals from now on settle it.
func (s *state) park(i int, f stage.Failure, now time.Time, c *changes) {
	r := s.touch(i, c)
	r.Status, r.Phase, r.Until, r.WaitsUntil, r.Failure, r.Reason = Paused, PhaseParked, nil, nil, &f, f.Cause
	r.Seen = len(s.mail[i])
	s.emit(c, now, "stage.parked", i, "", eventData{Attempt: r.Attempt, Task: r.Task, Failure: &f})
}

// resolve settles a parked stage as a person says; false: not a word for it.
func (s *state) resolve(i int, sig stage.Signal, now time.Time, c *changes) bool {
	r := s.rows[i]
	if r.Stop != "" { // parked because its end could not be confirmed
		switch sig.Name {
		case SignalRetry:
			r = s.touch(i, c)
			r.Status, r.Phase, r.Tries, r.Until, r.Failure = Running, PhaseCanceling, 0, nil, nil
			c.do = append(c.do, action{kind: doStop, stage: i})
		case SignalDone, SignalFail:
			r = s.touch(i, c)
			r.Status, r.Phase, r.Failure = Running, PhaseCanceling, nil
			s.confirm(stopped{stage: i, attempt: r.Attempt}, now, c)
		default:
			return false
		}
		return true
	}
	switch sig.Name {
	case SignalRetry:
		r = s.touch(i, c)
		doubt := r.Failure != nil && r.Failure.Code == CodeInDoubt
		r.Status, r.Tries, r.Failure, r.Reason = Running, 0, nil, ""
		kind := doRepeat
		if doubt {
			kind = doRun
		}
		s.ask(i, kind, c)
	case SignalDone:
		var d struct {
			Outputs map[string]any `json:"outputs"`
		}
		_ = json.Unmarshal(sig.Data, &d) // without outputs there is nothing to add
		r = s.touch(i, c)
		r.Status, r.Phase, r.Failure, r.Reason = Running, PhaseRunning, nil, ""
		s.closeTask(i, stage.Result{Outcome: stage.Done, Outputs: d.Outputs}, now, c)
		s.advance(i, stage.Done, now, c)
	case SignalFail:
		r = s.touch(i, c)
		r.Status = Running
		s.closeTask(i, stage.Result{Outcome: stage.Failed}, now, c)
		s.finishFailed(i, now, c)
	default:
		return false
	}
	return true
}

// settleFailure lets the stage try again when its retry policy has attempts
// left, and ends it otherwise. Its row holds the failure.
func (s *state) settleFailure(i int, now time.Time, c *changes) {
	r := s.touch(i, c)
	retry := s.plan.stages[i].def.Retry
	if retry == nil || r.Retries >= retry.Attempts || s.stopping() || r.Attempt == 0 {
		s.finishFailed(i, now, c)
		return
	}
	first, last := time.Duration(retry.Backoff), time.Duration(retry.MaxBackoff)
	if first <= 0 {
		first = retryFirst
	}
	if last <= 0 {
		last = retryLast
	}
	r.Retries++
	at := now.Add(backoff(r.Retries, first, max(first, last)))
	s.remember(r, Terminal, now)
	r.Status, r.Phase, r.Until, r.Reason = Running, PhaseRetry, &at, "attempt "+itoa(r.Attempt)+" failed: "+r.Failure.Cause
	s.emit(c, now, "stage.retrying", i, "", eventData{Attempt: r.Attempt, Failure: r.Failure, Until: &at})
}

// remember adds the attempt that ends to the history.
func (s *state) remember(r *StageState, as Status, now time.Time) {
	a := Attempt{Attempt: r.Attempt, Status: as, Started: r.Started, Ended: &now}
	if r.Ended != nil {
		a.Ended = r.Ended
	}
	if r.Failure != nil {
		a.Code, a.Cause = r.Failure.Code, r.Failure.Cause
	}
	r.History = append(r.History[:len(r.History):len(r.History)], a)
	if n := len(r.History) - historyKept; n > 0 {
		r.History = r.History[n:]
	}
}

// finishFailed ends a failed stage by its policy.
func (s *state) finishFailed(i int, now time.Time, c *changes) {
	switch s.plan.stages[i].def.OnFailure {
	case pipeline.Continue:
		s.finish(i, FailedContinue, now, c)
	case pipeline.HaltBranch, pipeline.FailAtEnd:
		s.finish(i, Stopped, now, c)
	default:
		s.finish(i, Terminal, now, c)
	}
}
