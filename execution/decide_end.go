package execution

import (
	"errors"
	"strconv"
	"time"

	"showrunner/pipeline"
	"showrunner/stage"
)

func itoa(n int) string { return strconv.Itoa(n) }

var stageEvents = map[Status]string{
	Succeeded: "stage.succeeded", FailedContinue: "stage.failed", Terminal: "stage.failed",
	Stopped: "stage.failed", Canceled: "stage.canceled", Skipped: "stage.skipped",
}

// finish ends a stage and lets those that waited for it go on.
func (s *state) finish(i int, as Status, now time.Time, c *changes) {
	r := s.touch(i, c)
	r.Status, r.Phase, r.Ended, r.Until, r.WaitsUntil, r.State = as, "", &now, nil, nil, nil
	if as != Skipped && as != Canceled {
		r.Reason = ""
	}
	s.active--
	if as == Succeeded && s.head.State.Revision == nil && s.plan.stages[i].def.Kind == "git" {
		s.head.State.Revision = revisionFrom(r.Outputs)
		c.head = c.head || s.head.State.Revision != nil
	}
	data := eventData{Attempt: r.Attempt, Kind: s.plan.stages[i].def.Kind, Reason: r.Reason, Failure: r.Failure}
	if as == FailedContinue || as == Stopped {
		data.Reason = "on failure: " + string(s.plan.stages[i].def.OnFailure)
	}
	s.emit(c, now, stageEvents[as], i, "", data)
	if as.passes() {
		for _, d := range s.plan.stages[i].dependents {
			if s.unmet[d]--; s.unmet[d] == 0 && !s.stopping() {
				s.makeReady(d, c)
			}
		}
		return
	}
	if as == Terminal && !s.halting {
		s.halting = true
		if s.head.State.Cause == "" {
			s.head.State.Cause = "stage " + s.name(i) + " failed"
			if r.Failure != nil && r.Failure.Cause != "" {
				s.head.State.Cause += ": " + r.Failure.Cause
			}
			c.head = true
		}
		s.stopAll(stopHalt, now, c)
	}
}

// cancel wants the end of the execution.
func (s *state) cancel(ev canceled, now time.Time, c *changes) {
	if s.head.State.Canceling != nil {
		return
	}
	s.head.State.Canceling = &Cancellation{By: ev.by, Reason: ev.reason, At: now, SupersededBy: ev.supersededBy}
	s.head.State.Cause = cancelCause(ev)
	c.head = true
	s.emit(c, now, "execution.canceling", -1, ev.by, map[string]any{"reason": ev.reason, "supersededBy": ev.supersededBy})
	s.stopAll(stopCancel, now, c)
}

func cancelCause(ev canceled) string {
	if ev.supersededBy > 0 {
		return "superseded by #" + itoa(ev.supersededBy)
	}
	cause := "canceled"
	if ev.by != "" {
		cause += " by " + ev.by
	}
	if ev.reason != "" {
		cause += ": " + ev.reason
	}
	return cause
}

// stopAll stops every stage that is not complete.
func (s *state) stopAll(why string, now time.Time, c *changes) {
	for i := range s.plan.stages {
		if s.ready[i] {
			s.ready[i] = false
			s.active--
		}
		if r := s.rows[i]; r != nil && r.Phase != "" {
			s.stop(i, why, now, c)
		}
	}
}

// stop ends one stage; where something may be under way outside, it has to be
// told, and the end is confirmed later.
func (s *state) stop(i int, why string, now time.Time, c *changes) {
	r := s.touch(i, c)
	phase := r.Phase
	if phase == PhaseParked && r.Stop != "" {
		return // it was told before, and a person has to say whether it has ended
	}
	if r.Stop == "" || r.Stop == stopTimeout {
		r.Stop = why
	}
	switch phase {
	case PhaseCanceling:
		return
	case PhaseHeld, PhaseRetry:
		r.Phase = PhaseCanceling
		s.confirm(stopped{stage: i, attempt: r.Attempt}, now, c)
		return
	}
	r.Phase, r.Status, r.Until, r.Tries = PhaseCanceling, Running, nil, 0
	if phase == PhaseRunning {
		// The call has to return first; one that does not is given up on.
		at := now.Add(stopPatience)
		r.Until = &at
		c.do = append(c.do, action{kind: doInterrupt, stage: i})
	} else {
		c.do = append(c.do, action{kind: doStop, stage: i})
	}
	s.emit(c, now, "stage.canceling", i, "", eventData{Attempt: r.Attempt, Task: r.Task, Reason: why})
}

// confirm takes in that the outside work of a stage has ended, or may not have.
func (s *state) confirm(ev stopped, now time.Time, c *changes) {
	r := s.rows[ev.stage]
	if r == nil || r.Phase != PhaseCanceling || r.Attempt != ev.attempt {
		return
	}
	r = s.touch(ev.stage, c)
	if still := (*stage.Stopping)(nil); errors.As(ev.err, &still) {
		s.stopsLater(ev.stage, still, now, c)
		return
	}
	if r.Stopping = false; ev.err != nil {
		r.Tries++
		if r.Tries >= stopTries {
			s.park(ev.stage, stage.Failure{Code: CodeStopUnconfirmed, Cause: "the work outside could not be stopped: " + ev.err.Error(),
				Help: "Stop it by hand, then signal done to this stage; or retry."}, now, c)
			return
		}
		at := now.Add(backoff(r.Tries, askFirst, askLast))
		r.Until, r.WaitsUntil, r.Reason = &at, nil, "the end is not confirmed: "+ev.err.Error()
		return
	}
	if r.Stop == stopTimeout {
		limit := s.plan.stages[ev.stage].timeout
		r.Stop = ""
		r.Failure = &stage.Failure{Code: CodeTimeout, Cause: "the stage did not end within " + limit.String(), Retryable: true,
			Undone: []string{"what it had under way was stopped"}, Help: "Raise the stage's timeout, or see its log for what it waited for."}
		s.settleFailure(ev.stage, now, c)
		return
	}
	r.Reason = s.head.State.Cause
	s.finish(ev.stage, Canceled, now, c)
}

// stopsLater lets a stage wait whose outside work takes its time to stop.
func (s *state) stopsLater(i int, still *stage.Stopping, now time.Time, c *changes) {
	r := s.touch(i, c)
	r.State, r.Tries, r.Stopping = still.State, 0, true
	s.waits(i, still.Waits, still.WaitsUntil, false, now, c)
	if s.rewake[i] {
		delete(s.rewake, i)
		c.do = append(c.do, action{kind: doStop, stage: i})
		return
	}
	at := now.Add(max(still.After, time.Millisecond))
	r.Until = &at
}

// settle ends the execution when nothing of it is under way any more.
func (s *state) settle(now time.Time, c *changes) {
	if s.active > 0 || s.head.Status.Complete() {
		return
	}
	s.head.Status = s.outcome()
	if s.head.Status == Succeeded {
		s.head.State.Cause, s.head.State.Canceling = "", nil
	}
	s.head.Ended = &now
	if s.head.Started == nil {
		s.head.Started = &now
	}
	c.head, c.ended = true, true
	names := map[Status]string{Succeeded: "execution.succeeded", Terminal: "execution.failed", Canceled: "execution.canceled"}
	s.emit(c, now, names[s.head.Status], -1, "", map[string]any{"number": s.head.Number, "cause": s.head.State.Cause})
}

// outcome is how the execution ends: any Terminal, then a cancel that stopped
// something, then branches whose policy is to fail at the end.
func (s *state) outcome() Status {
	var canceled, failed, open bool
	for i := range s.plan.stages {
		r := s.rows[i]
		if r == nil {
			open = true
			continue
		}
		switch r.Status {
		case Terminal:
			return Terminal
		case Canceled:
			canceled = true
		case Stopped:
			failed = failed || s.plan.stages[i].def.OnFailure == pipeline.FailAtEnd
		case NotStarted:
			open = true
		}
	}
	if s.head.State.Canceling != nil && (canceled || open) {
		return Canceled
	}
	switch {
	case failed:
		s.explainStopped(pipeline.FailAtEnd)
		return Terminal
	case canceled:
		return Canceled
	}
	return Succeeded
}

// explainStopped names the first stage that failed under a policy.
func (s *state) explainStopped(p pipeline.FailurePolicy) {
	for i := range s.plan.stages {
		if r := s.rows[i]; r != nil && r.Status == Stopped && s.plan.stages[i].def.OnFailure == p && s.head.State.Cause == "" {
			s.head.State.Cause = "stage " + s.name(i) + " failed"
			if r.Failure != nil {
				s.head.State.Cause += ": " + r.Failure.Cause
			}
		}
	}
}

// restart lets an execution that has ended go on: the stage named and what is
// downstream of it run again, and so does every stage that did not pass, since
// the execution could not succeed without it.
func (s *state) restart(ev restarted, now time.Time, c *changes) {
	s.head.State.Restarts = append(s.head.State.Restarts[:len(s.head.State.Restarts):len(s.head.State.Restarts)],
		Restart{Stage: s.name(ev.stage), By: ev.by, At: now, Previous: s.head.Status, Ended: s.head.Ended})
	s.head.Status, s.head.Ended = Running, nil
	s.head.State.Canceling, s.head.State.Cause = nil, ""
	c.head = true
	reset := make([]bool, len(s.rows))
	queue := []int{ev.stage}
	for i, r := range s.rows {
		if r != nil && r.Status.Complete() && !r.Status.passes() {
			queue = append(queue, i)
		}
	}
	for len(queue) > 0 {
		i := queue[0]
		queue = queue[1:]
		if reset[i] {
			continue
		}
		reset[i] = true
		if r := s.rows[i]; r != nil {
			r = s.touch(i, c)
			if r.Attempt > 0 && r.Status.Complete() && !s.remembered(r) {
				s.remember(r, r.Status, now)
			}
			*r = StageState{Status: NotStarted, Attempt: r.Attempt, History: r.History}
		}
		queue = append(queue, s.plan.stages[i].dependents...)
	}
	s.recount()
	s.emit(c, now, "execution.restarted", ev.stage, ev.by, nil)
	s.begin(false, now, c)
}

// remembered tells whether the current attempt is in the history already.
func (s *state) remembered(r *StageState) bool {
	n := len(r.History)
	return n > 0 && r.History[n-1].Attempt == r.Attempt
}
