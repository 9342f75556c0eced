package experiment

import (
	"slices"
	"time"
)

// Status is how a run stands.
type Status string

// The values of Status.
const (
	Running     Status = "running"
	Completed   Status = "completed"   // the method ended; Deviated says whether the steady state held
	Stopped     Status = "stopped"     // by a stop condition, a person or the lever
	Failed      Status = "failed"      // the steady state did not hold before, or an action could not be carried out
	Interrupted Status = "interrupted" // what carried it out is gone; of an own one: another control plane undid it
)

// Run is the record of a run: its journal.
type Run struct {
	ID          string    `json:"id"`
	Name        string    `json:"experiment"`
	Application string    `json:"application,omitempty"`
	By          string    `json:"by"`
	Owner       string    `json:"owner,omitempty"` // the session of the control plane that carries it out
	Status      Status    `json:"status"`
	Deviated    bool      `json:"deviated"`         // the steady state did not hold
	Reason      string    `json:"reason,omitempty"` // why it did not complete, or deviated
	Began       time.Time `json:"began"`
	Ended       time.Time `json:"ended,omitzero"`
	StopAsked   string    `json:"stopAsked,omitempty"` // who asked for its end
	// Methodical says that the method has begun: from then on the rollbacks run.
	Methodical bool        `json:"methodBegan,omitempty"`
	Before     []Look      `json:"before,omitempty"`
	After      []Look      `json:"after,omitempty"`
	Actions    []ActionRun `json:"actions"`
	Rollbacks  []ActionRun `json:"rollbacks,omitempty"`
	Source     string      `json:"source"`
	// Format is "" for a run of an own experiment, which a control plane carries out, and
	// ChaosToolkit for one that a command carries out and reports.
	Format string    `json:"format,omitempty"`
	Seen   time.Time `json:"seen,omitzero"`    // the last report of the command
	During []Look    `json:"during,omitempty"` // looks during the method that a command reported
	Notes  []string  `json:"notes,omitempty"`
}

// ChaosToolkit is the format of a run that a command reports.
const ChaosToolkit = "chaostoolkit"

// Look is one look at a condition.
type Look struct {
	Condition string    `json:"condition"`
	At        time.Time `json:"at"`
	Wrong     string    `json:"wrong,omitempty"` // why it does not hold
}

// State is how an action stands.
type State string

// The values of State.
const (
	Waiting State = "waiting"
	Under   State = "running"
	Done    State = "done"
	Broken  State = "failed"
	Skipped State = "skipped"
)

// ActionRun is what became of an action.
type ActionRun struct {
	Name  string    `json:"name"`
	Kind  string    `json:"kind"`
	State State     `json:"state"`
	Began time.Time `json:"began,omitzero"`
	Ended time.Time `json:"ended,omitzero"`
	What  string    `json:"what,omitempty"`  // such as the instances that were hit
	Fault string    `json:"fault,omitempty"` // that the action began
}

// NewRun is the record of a run before anything was done.
func (e *Experiment) NewRun(id, by, owner string, now time.Time) Run {
	r := Run{ID: id, Name: e.Name, Application: e.Application, By: by, Owner: owner, Status: Running, Began: now, Source: e.Source, Actions: []ActionRun{}}
	for _, a := range e.Actions {
		r.Actions = append(r.Actions, ActionRun{Name: a.Name, Kind: a.Kind(), State: Waiting})
	}
	return r
}

// Ready are the actions that wait, and whose predecessors are all done.
func (e *Experiment) Ready(r Run) (ready []int) {
	for i, a := range e.Actions {
		blocked := slices.ContainsFunc(a.After, func(k int) bool { return r.Actions[k].State != Done })
		if r.Actions[i].State == Waiting && !blocked {
			ready = append(ready, i)
		}
	}
	return ready
}

// Over says whether every action has ended.
func (r Run) Over() bool {
	return !slices.ContainsFunc(r.Actions, func(a ActionRun) bool { return a.State == Waiting || a.State == Under })
}

// Skip ends what has not ended.
func (r *Run) Skip(now time.Time) {
	for i := range r.Actions {
		switch a := &r.Actions[i]; a.State {
		case Waiting:
			a.State = Skipped
		case Under:
			a.State, a.Ended = Skipped, now
			a.What += " (ended early)"
		}
	}
}
