package execution

import (
	"encoding/json"
	"maps"
	"time"

	"showrunner/artifact"
	"showrunner/stage"
	"showrunner/store/record"
)

// state is all that decisions about one execution depend on. Only decide
// changes it.
type state struct {
	plan *plan
	head Head
	rows []*StageState // by index in the plan; nil: never touched
	// unmet counts the needs of a stage that have not passed; ready marks the
	// stages that wait to be entered and have no row yet.
	unmet  []int32
	ready  []bool
	rewake map[int]bool // woken while a call was under way
	mail   map[int][]stage.Signal
	// intents counts, by stage, the intents to call its task since the state was loaded.
	intents map[int]int
	made    map[int]struct{} // stages with artifacts
	// active counts the stages that are ready or begun and not complete; the
	// execution ends when it reaches zero. halting: a stage failed under Halt.
	active  int
	halting bool
}

// changes is what one decision, or several in a row, want written and done.
type changes struct {
	touched map[int]struct{}
	order   []int // touched, in order of first touch
	head    bool
	events  []record.Event
	do      []action
	ended   bool
}

type actionKind int

const (
	doEnter     actionKind = iota // check whether it may begin; answer with entered, held, passedOver or refused
	doRun                         // call the current task's Run
	doResume                      // ask the current task what became of it
	doRepeat                      // as doResume where the task can be asked, else run it again: a person said so
	doInterrupt                   // end the context of the call under way
	doStop                        // have the outside work stopped and confirmed
)

type action struct {
	kind  actionKind
	stage int
	// intent is which of the stage's intents to call its task a call follows.
	intent int
}

func newState(p *plan, h Head) *state {
	s := &state{plan: p, head: h, rows: make([]*StageState, len(p.stages)),
		unmet: make([]int32, len(p.stages)), ready: make([]bool, len(p.stages))}
	s.recount()
	return s
}

// loadState makes the state from what is kept.
func loadState(p *plan, snap Snapshot) (*state, error) {
	s := newState(p, snap.Head)
	for _, r := range snap.Stages {
		row, err := decodeStage(r.Data)
		if err != nil {
			return nil, err
		}
		if r.Index < len(s.rows) {
			s.rows[r.Index] = row
		}
	}
	for _, m := range snap.Mail {
		s.receive(m)
	}
	s.recount()
	return s, nil
}

// receive keeps a signal for its stage and returns the stage's index, -1 when
// it is for the execution itself or for no stage of it.
func (s *state) receive(m Mail) int {
	i, ok := s.plan.index[m.Stage]
	if !ok {
		return -1
	}
	if s.mail == nil {
		s.mail = map[int][]stage.Signal{}
	}
	s.mail[i] = append(s.mail[i], m.Signal)
	return i
}

// recount derives unmet, active and halting from the rows.
func (s *state) recount() {
	s.active, s.halting, s.made = 0, false, map[int]struct{}{}
	for i := range s.plan.stages {
		s.ready[i] = false
		s.unmet[i] = 0
		for _, n := range s.plan.stages[i].needs {
			if r := s.rows[n]; r == nil || !r.Status.passes() {
				s.unmet[i]++
			}
		}
		r := s.rows[i]
		if r == nil {
			continue
		}
		if r.Phase != "" {
			s.active++
		}
		if len(r.Artifacts) > 0 {
			s.made[i] = struct{}{}
		}
		if r.Status == Terminal {
			s.halting = true
		}
	}
}

// stopping tells whether no further stage may start.
func (s *state) stopping() bool { return s.halting || s.head.State.Canceling != nil }

func (s *state) name(i int) string { return s.plan.stages[i].def.Name }

// touch returns the row of a stage to be changed.
func (s *state) touch(i int, c *changes) *StageState {
	if c.touched == nil {
		c.touched = map[int]struct{}{}
	}
	if _, ok := c.touched[i]; !ok {
		c.touched[i] = struct{}{}
		c.order = append(c.order, i)
	}
	if s.rows[i] == nil {
		s.rows[i] = &StageState{Status: NotStarted}
	}
	return s.rows[i]
}

// wakeAt is when a stage has to be looked at although nothing happens; zero: never.
func (s *state) wakeAt(i int) time.Time {
	r := s.rows[i]
	if r == nil {
		return time.Time{}
	}
	var at time.Time
	switch r.Phase {
	case PhaseHeld, PhaseBackoff, PhaseRetry, PhaseCanceling, PhaseWaiting:
		if r.Until != nil {
			at = *r.Until
		}
	}
	switch r.Phase {
	case PhaseRunning, PhaseWaiting, PhaseBackoff:
		if d := s.deadline(i); at.IsZero() || d.Before(at) {
			at = d
		}
	}
	return at
}

// deadline is when the current attempt times out.
func (s *state) deadline(i int) time.Time {
	r := s.rows[i]
	if r == nil || r.Started == nil {
		return time.Time{}
	}
	return r.Started.Add(s.plan.stages[i].timeout)
}

// artifacts returns everything that complete stages have produced, by name. The
// language has checked that a stage names only what stages before it make.
func (s *state) artifacts() map[string]artifact.Ref {
	all := map[string]artifact.Ref{}
	for i := range s.made {
		if r := s.rows[i]; r.Status.Complete() {
			maps.Copy(all, r.Artifacts)
		}
	}
	return all
}

// outputs returns what complete stages have put out, by stage.
func (s *state) outputs() map[string]map[string]any {
	all := map[string]map[string]any{}
	for i, r := range s.rows {
		if r != nil && r.Status.Complete() && len(r.Outputs) > 0 {
			all[s.name(i)] = r.Outputs
		}
	}
	return all
}

// stageVersion is the version of the persisted form of stages.
const stageVersion = 1

type storedStage struct {
	V int `json:"v"`
	StageState
}

func (s *state) emit(c *changes, now time.Time, typ string, i int, by string, data any) {
	e := record.Event{Time: now, Type: typ, Application: s.head.Application, Pipeline: s.head.Pipeline, Execution: s.head.ID, By: by}
	if i >= 0 {
		e.Stage = s.name(i)
	}
	switch d := data.(type) { // our own small structs and maps of JSON values; they always marshal
	case nil:
	case eventData:
		e.Data, _ = d.encode()
	default:
		e.Data, _ = json.Marshal(data)
	}
	c.events = append(c.events, e)
}
