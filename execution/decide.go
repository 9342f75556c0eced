package execution

import (
	"fmt"
	"time"

	"showrunner/problem"
	"showrunner/stage"
)

// event is something that happened to an execution. The set is closed; see decide.
type event any

type (
	// started: the execution is new, or its owner has just loaded it. taken: another
	// session had it before, or this one has lost sight of it meanwhile.
	started struct{ taken bool }
	// entered: every check allows it and there is a permit; the stage begins an attempt.
	entered struct{ stage int }
	// held: a check holds the stage; it is checked again at until (zero: when told).
	held struct {
		stage  int
		reason string
		until  time.Time
	}
	// passedOver: the stage's condition is false.
	passedOver struct {
		stage  int
		reason string
	}
	// refused: the stage cannot begin; its configuration does not resolve.
	refused struct {
		stage   int
		failure stage.Failure
	}
	// answered: a task's call has returned. seen counts the signals it was given.
	answered struct {
		stage, attempt, cursor, seen int
		result                       stage.Result
		err                          error
	}
	// doubted: a task has an intent, no result, and nothing to ask.
	doubted struct {
		stage  int
		reason string
	}
	// stopped: the outside work of a stage being canceled has ended; with err, it may not have.
	stopped struct {
		stage, attempt int
		err            error
	}
	// due: the time may have come for a stage.
	due struct{ stage int }
	// reconsider: what held the stage may have changed.
	reconsider struct{ stage int }
	// woken: Wake was called for a task.
	woken struct {
		stage, attempt int
		task           string
	}
	// signaled: a stage has mail.
	signaled struct{ mail Mail }
	// canceled: a person, a parent or a newer execution wants the end.
	canceled struct {
		by, reason   string
		supersededBy int
	}
	// restarted: a person wants an ended execution to go on from a stage.
	restarted struct {
		stage int
		by    string
	}
)

// Limits on repetition, and the waits between. Waits double from the first to the last.
const (
	askTries     = 12 // calls that could not be found out, before the stage is parked
	askFirst     = 200 * time.Millisecond
	askLast      = 30 * time.Second
	stopTries    = 8
	stopPatience = 30 * time.Second // for a call to return after its context has ended
	retryFirst   = time.Second
	retryLast    = 5 * time.Minute
	historyKept  = 50 // attempts
)

// decide changes s by what happened and says what has to be written and done.
// It is deterministic; now is the only time it knows. Its cost is that of what
// changes, not of the size of the execution, except for the one event that
// halts, cancels, ends or restarts it.
func decide(s *state, ev event, now time.Time) *changes {
	c := &changes{}
	decideInto(s, ev, now, c)
	return c
}

// decideInto is decide for a further event of the same commit.
func decideInto(s *state, ev event, now time.Time, c *changes) {
	if s.head.Status.Complete() {
		if r, ok := ev.(restarted); ok {
			s.restart(r, now, c)
			s.settle(now, c)
		}
		return // terminal never becomes live but by a restart
	}
	switch ev := ev.(type) {
	case started:
		s.begin(ev.taken, now, c)
	case entered:
		s.enter(ev.stage, now, c)
	case held:
		s.hold(ev, now, c)
	case passedOver:
		if s.enterable(ev.stage) {
			r := s.take(ev.stage, now, c)
			r.Reason = ev.reason
			s.finish(ev.stage, Skipped, now, c)
		}
	case refused:
		if s.enterable(ev.stage) {
			r := s.take(ev.stage, now, c)
			r.Failure = &ev.failure
			s.settleFailure(ev.stage, now, c)
		}
	case answered:
		s.answer(ev, now, c)
	case doubted:
		s.doubt(ev, now, c)
	case stopped:
		s.confirm(ev, now, c)
	case due:
		s.due(ev.stage, now, c)
	case reconsider:
		if r := s.rows[ev.stage]; r != nil && r.Phase == PhaseHeld {
			c.do = append(c.do, action{kind: doEnter, stage: ev.stage})
		}
	case woken:
		s.wake(ev, now, c)
	case signaled:
		s.signal(ev.mail, now, c)
	case canceled:
		s.cancel(ev, now, c)
	default:
		panic(fmt.Sprintf("execution: decide does not know %T", ev))
	}
	s.settle(now, c)
}

// begin makes every stage whose needs are met ready, and says what has to be
// asked or looked at for those that an earlier owner left under way. Whoever would
// have woken a task that waits for nothing else may have gone with that owner, so
// such a task is called.
func (s *state) begin(taken bool, now time.Time, c *changes) {
	for i := range s.plan.stages {
		r := s.rows[i]
		switch {
		case r == nil || r.Phase == "" && r.Status == NotStarted:
			if s.unmet[i] == 0 && !s.ready[i] && !s.stopping() {
				s.makeReady(i, c)
			}
		case r.Phase == PhaseRunning:
			c.do = append(c.do, action{doResume, i, s.intents[i]}) // the one there is
		case r.Phase == PhaseCanceling:
			c.do = append(c.do, action{kind: doStop, stage: i})
		case r.Phase == PhaseHeld:
			c.do = append(c.do, action{kind: doEnter, stage: i})
		case r.Phase == PhaseWaiting && (taken && r.Until == nil || len(s.mail[i]) > r.Seen):
			s.call(i, now, c)
		case r.Phase == PhaseParked:
			for _, m := range s.mail[i][min(r.Seen, len(s.mail[i])):] {
				if s.resolve(i, m, now, c) {
					break
				}
			}
		}
	}
}

func (s *state) makeReady(i int, c *changes) {
	s.ready[i] = true
	s.active++
	c.do = append(c.do, action{kind: doEnter, stage: i})
}

// enterable tells whether a stage waits to be entered.
func (s *state) enterable(i int) bool {
	r := s.rows[i]
	return s.ready[i] || r != nil && r.Phase == PhaseHeld
}

// take turns a stage that waits to be entered into one with a row of its own.
func (s *state) take(i int, now time.Time, c *changes) *StageState {
	s.ready[i] = false
	r := s.touch(i, c)
	r.Phase, r.Reason, r.Until = PhaseHeld, "", nil
	if s.head.Status == NotStarted {
		s.head.Status = Running
		s.head.Started = &now
		c.head = true
	}
	return r
}

func (s *state) hold(ev held, now time.Time, c *changes) {
	if !s.enterable(ev.stage) {
		return
	}
	var until *time.Time
	if !ev.until.IsZero() {
		until = &ev.until
	}
	old := s.rows[ev.stage]
	if old != nil && old.Phase == PhaseHeld && old.Reason == ev.reason {
		if !equalTimes(old.Until, until) { // the next look alone is no news
			s.touch(ev.stage, c).Until = until
		}
		return
	}
	s.ready[ev.stage] = false
	r := s.touch(ev.stage, c)
	r.Phase, r.Reason, r.Until = PhaseHeld, ev.reason, until
	s.emit(c, now, "stage.held", ev.stage, "", map[string]any{"reason": ev.reason, "until": until})
}

func equalTimes(a, b *time.Time) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Equal(*b)
}

// enter begins an attempt at a stage.
func (s *state) enter(i int, now time.Time, c *changes) {
	if !s.enterable(i) {
		return
	}
	s.take(i, now, c)
	s.attempt(i, now, c)
}

// attempt begins the next attempt at a stage with its first task.
func (s *state) attempt(i int, now time.Time, c *changes) {
	r := s.touch(i, c)
	n := r.Attempt + 1
	*r = StageState{Status: Running, Attempt: n, Started: &now, History: r.History, Phase: PhaseRunning, Retries: r.Retries}
	s.beginTask(i, 0, now, c)
	s.emit(c, now, "stage.started", i, "", eventData{Attempt: n, Task: r.Task})
}

// eventData is what most events of a stage carry.
type eventData struct {
	Attempt int            `json:"attempt,omitempty"`
	Kind    string         `json:"kind,omitempty"` // of the stage, when it has ended
	Task    string         `json:"task,omitempty"`
	Outcome stage.Outcome  `json:"outcome,omitempty"`
	Next    string         `json:"next,omitempty"`
	Reason  string         `json:"reason,omitempty"`
	Until   *time.Time     `json:"until,omitempty"`
	Failure *stage.Failure `json:"failure,omitempty"`
}

// beginTask records the intent to run a task.
func (s *state) beginTask(i, cursor int, now time.Time, c *changes) {
	r := s.touch(i, c)
	r.Cursor, r.Task = cursor, s.plan.stages[i].tasks[cursor]
	r.State, r.Tries, r.Seen, r.Until, r.Reason, r.WaitsUntil = nil, 0, 0, nil, "", nil
	r.Phase = PhaseRunning
	r.Tasks = append(r.Tasks, TaskState{Name: r.Task, Started: now})
	delete(s.rewake, i)
	s.intend(doRun, i, c)
}

// call records the intent to call a waiting task again.
func (s *state) call(i int, now time.Time, c *changes) {
	r := s.touch(i, c) // Reason stays, to be compared with what it will wait for next
	r.Phase, r.Until = PhaseRunning, nil
	delete(s.rewake, i)
	s.intend(doRun, i, c)
}

// ask records that a task in doubt is asked again.
func (s *state) ask(i int, kind actionKind, c *changes) {
	r := s.touch(i, c)
	r.Phase, r.Until = PhaseRunning, nil
	s.intend(kind, i, c)
}

// intend has the task called once the present change is durable.
func (s *state) intend(kind actionKind, i int, c *changes) {
	if s.intents == nil {
		s.intents = map[int]int{}
	}
	s.intents[i]++
	c.do = append(c.do, action{kind, i, s.intents[i]})
}

// due acts on the time.
func (s *state) due(i int, now time.Time, c *changes) {
	at := s.wakeAt(i)
	if at.IsZero() || now.Before(at) {
		return
	}
	r := s.rows[i]
	if r.Phase == PhaseRunning || r.Phase == PhaseWaiting || r.Phase == PhaseBackoff {
		if !now.Before(s.deadline(i)) {
			s.stop(i, stopTimeout, now, c)
			return
		}
	}
	switch r.Phase {
	case PhaseHeld:
		c.do = append(c.do, action{kind: doEnter, stage: i})
	case PhaseRetry:
		s.attempt(i, now, c)
	case PhaseWaiting:
		s.call(i, now, c)
	case PhaseBackoff:
		s.ask(i, doResume, c)
	case PhaseCanceling:
		r = s.touch(i, c)
		r.Until = nil
		c.do = append(c.do, action{kind: doStop, stage: i})
	}
}

func (s *state) wake(ev woken, now time.Time, c *changes) {
	r := s.rows[ev.stage]
	if r == nil || r.Attempt != ev.attempt || ev.task != "" && r.Task != ev.task {
		return
	}
	switch r.Phase {
	case PhaseWaiting:
		s.call(ev.stage, now, c)
	case PhaseCanceling:
		if r.Until != nil && (r.Tries > 0 || r.Stopping) { // its end could not be confirmed the last time
			s.touch(ev.stage, c).Until = nil
			c.do = append(c.do, action{kind: doStop, stage: ev.stage})
			return
		}
		if r.Until == nil { // it is being asked to stop just now
			s.noteWake(ev.stage)
		}
	case PhaseRunning:
		s.noteWake(ev.stage)
	}
}

// noteWake remembers a wake-up that came while the task was under way.
func (s *state) noteWake(i int) {
	if s.rewake == nil {
		s.rewake = map[int]bool{}
	}
	s.rewake[i] = true
}

func (s *state) signal(m Mail, now time.Time, c *changes) {
	i := s.receive(m)
	if i < 0 || s.rows[i] == nil {
		return
	}
	switch s.rows[i].Phase {
	case PhaseWaiting:
		s.call(i, now, c)
	case PhaseHeld:
		if m.Signal.Name == SignalProceed {
			c.do = append(c.do, action{kind: doEnter, stage: i})
		}
	case PhaseParked:
		s.resolve(i, m.Signal, now, c)
	case PhaseCanceling:
		s.wake(woken{stage: i, attempt: s.rows[i].Attempt}, now, c)
	}
}

// backoff doubles from first, once for every try after the first, up to last.
func backoff(tries int, first, last time.Duration) time.Duration {
	d := first
	for ; tries > 1 && d < last; tries-- {
		d *= 2
	}
	return min(d, last)
}

// uncertain tells whether an error leaves open what became of an act.
func uncertain(err error) bool {
	switch problem.CodeOf(err) {
	case problem.Unavailable, problem.Internal:
		return true
	}
	return false
}
