package execution

import (
	"encoding/json"
	"time"

	"showrunner/artifact"
	"showrunner/pipeline"
	"showrunner/stage"
)

// Status is where an execution or a stage stands. The words are Orca's.
type Status string

const (
	NotStarted     Status = "NotStarted"
	Running        Status = "Running"
	Paused         Status = "Paused" // parked: a person has to say how it goes on
	Succeeded      Status = "Succeeded"
	FailedContinue Status = "FailedContinue" // failed, and the policy says go on
	Terminal       Status = "Terminal"       // failed
	Canceled       Status = "Canceled"
	Stopped        Status = "Stopped" // failed; its branch ends here, the others decide
	Skipped        Status = "Skipped"
)

// Complete tells whether the status is an end.
func (s Status) Complete() bool {
	switch s {
	case Succeeded, FailedContinue, Terminal, Canceled, Stopped, Skipped:
		return true
	}
	return false
}

// passes tells whether a complete stage lets those that need it start.
func (s Status) passes() bool { return s == Succeeded || s == FailedContinue || s == Skipped }

// Valid tells whether s is one of the statuses.
func (s Status) Valid() bool { return s == NotStarted || s == Running || s == Paused || s.Complete() }

// Execution is one run of a pipeline. The value is a picture of durable state;
// changing it changes nothing.
type Execution struct {
	ID          string            `json:"id"`
	Application string            `json:"application"`
	Pipeline    string            `json:"pipeline"`
	Number      int               `json:"number"` // within its pipeline, from 1
	Status      Status            `json:"status"`
	Cause       string            `json:"cause,omitempty"` // why it was canceled or failed, one sentence
	Parameters  map[string]string `json:"parameters,omitempty"`
	Trigger     map[string]any    `json:"trigger,omitempty"`
	TriggerID   string            `json:"triggerId,omitempty"`
	EventID     string            `json:"eventId,omitempty"`
	By          string            `json:"by,omitempty"`
	Parent      *stage.Key        `json:"parent,omitempty"`
	RollbackOf  string            `json:"rollbackOf,omitempty"`
	// Traceparent is the W3C trace context that it was started in; TraceID is the trace of
	// its spans: that one, or its own.
	Traceparent string `json:"traceparent,omitempty"`
	TraceID     string `json:"traceId,omitempty"`
	// TraceURL is where people read the trace. Package control sets it; it is not stored.
	TraceURL  string        `json:"traceUrl,omitempty"`
	Restarts  []Restart     `json:"restarts,omitempty"`
	Canceling *Cancellation `json:"canceling,omitempty"` // asked for; confirmed once Status is Canceled
	Revision  *Revision     `json:"revision,omitempty"`  // what it delivers; nil while that is not known
	Created   time.Time     `json:"created"`
	Started   *time.Time    `json:"started,omitempty"`
	Ended     *time.Time    `json:"ended,omitempty"`
	// Activity is what an execution that has not ended is doing. Package control
	// sets it, in lists too; it is not stored.
	Activity Activity `json:"activity,omitempty"`
	// Definition is the pipeline as it was at the start, and Stages are in its
	// order; both are left out of lists.
	Definition *pipeline.Pipeline `json:"definition,omitempty"`
	Stages     []StageState       `json:"stages,omitempty"`
}

// Stage returns the state of a stage by its name.
func (e *Execution) Stage(name string) (StageState, bool) {
	for i := range e.Stages {
		if e.Stages[i].Name == name {
			return e.Stages[i], true
		}
	}
	return StageState{}, false
}

// Cancellation is the wish for an end: whose it is, and why.
type Cancellation struct {
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
	// SupersededBy is the number of the newer execution that took this one.
	SupersededBy int `json:"supersededBy,omitempty"`
}

// Restart says that an execution which had ended went on from a stage.
type Restart struct {
	Stage    string     `json:"stage"`
	By       string     `json:"by,omitempty"`
	At       time.Time  `json:"at"`
	Previous Status     `json:"previous"` // how the execution had ended
	Ended    *time.Time `json:"ended,omitempty"`
}

// Phase is what an incomplete stage is doing.
type Phase string

const (
	// PhaseHeld: its needs are met, and something holds it (Reason, Until).
	PhaseHeld Phase = "held"
	// PhaseRunning: a task has been called, or is about to be: its intent is recorded.
	PhaseRunning Phase = "running"
	// PhaseWaiting: the task answered Again; it is called at Until, or at a signal or wake-up.
	PhaseWaiting Phase = "waiting"
	// PhaseBackoff: we could not find out what became of the task; it is asked again at Until.
	PhaseBackoff Phase = "backoff"
	// PhaseRetry: this attempt failed; the next one starts at Until.
	PhaseRetry Phase = "retry"
	// PhaseCanceling: the outside work has been told to stop; that it has is not confirmed yet.
	PhaseCanceling Phase = "canceling"
	// PhaseParked: a person has to say how it goes on (signals "retry", "done", "fail").
	PhaseParked Phase = "parked"
)

// StageState is where one stage of an execution stands.
type StageState struct {
	Name    string `json:"name,omitempty"`
	Kind    string `json:"kind,omitempty"`
	Status  Status `json:"status"`
	Attempt int    `json:"attempt,omitempty"` // 0: never started
	Phase   Phase  `json:"phase,omitempty"`   // only while it is not complete
	// Reason says, for people, what the stage waits for, or why it was skipped or canceled.
	Reason string `json:"reason,omitempty"`
	// Until is when the engine looks at the stage again by itself.
	Until *time.Time `json:"until,omitempty"`
	// WaitsUntil is when what Reason names will be over, if that is known.
	WaitsUntil *time.Time `json:"waitsUntil,omitempty"`
	// Task is the current task; Tasks says what became of each one of this attempt.
	Task    string         `json:"task,omitempty"`
	Tasks   []TaskState    `json:"tasks,omitempty"`
	Outputs map[string]any `json:"outputs,omitempty"`
	// Artifacts holds what the stage produced under the names of the file: the
	// stage's own name, or "stage.key".
	Artifacts map[string]artifact.Ref `json:"artifacts,omitempty"`
	Failure   *stage.Failure          `json:"failure,omitempty"`
	Started   *time.Time              `json:"started,omitempty"` // this attempt
	Ended     *time.Time              `json:"ended,omitempty"`
	History   []Attempt               `json:"history,omitempty"` // earlier attempts, oldest first
	// Progress is the line last reported by the running task. It is not durable.
	Progress string `json:"progress,omitempty"`
	// Activity is what a stage that has not ended is doing. Package control sets it; it is not stored.
	Activity Activity `json:"activity,omitempty"`

	// What the engine needs to go on. State is what the task answered with
	// Again, Tries how often in a row it could not be found out, Seen how many
	// signals the task knew when it answered, Stop why it is being stopped.
	State json.RawMessage `json:"state,omitempty"`
	Tries int             `json:"tries,omitempty"`
	Seen  int             `json:"seen,omitempty"`
	Stop  string          `json:"stop,omitempty"`
	// Stopping says that the outside work was told to stop and takes its time.
	Stopping bool `json:"stopping,omitempty"`
	Cursor   int  `json:"cursor,omitempty"` // index of Task among the kind's tasks
	// Skips counts the tasks of this attempt that answered Skipped, Retries the
	// attempts that the retry policy has granted since the last (re)start.
	Skips   int `json:"skips,omitempty"`
	Retries int `json:"retries,omitempty"`
}

// TaskState is what became of one task of the current attempt.
type TaskState struct {
	Name    string        `json:"name"`
	Outcome stage.Outcome `json:"outcome,omitempty"` // empty: not finished
	Started time.Time     `json:"started"`
	Ended   *time.Time    `json:"ended,omitempty"`
}

// Attempt is the compact history of an earlier attempt at a stage.
type Attempt struct {
	Attempt int        `json:"attempt"`
	Status  Status     `json:"status"`
	Code    string     `json:"code,omitempty"`  // of its failure
	Cause   string     `json:"cause,omitempty"` // of its failure
	Started *time.Time `json:"started,omitempty"`
	Ended   *time.Time `json:"ended,omitempty"`
}

// StartRequest asks for an execution.
type StartRequest struct {
	Application string
	Pipeline    string
	Definition  pipeline.Pipeline
	Parameters  map[string]string
	// Trigger is what expressions see as trigger.*.
	Trigger map[string]any
	// TriggerID and EventID deduplicate durably: there is one start for each
	// pair, across replicas and restarts. An empty EventID starts always.
	TriggerID string
	EventID   string
	By        string
	Parent    *stage.Key
	// RollbackOf is the execution that this one undoes.
	RollbackOf string
	// Traceparent is the W3C trace context that it goes on with; empty begins a trace.
	Traceparent string
}

// Query selects executions, newest first. A zero field selects all.
type Query struct {
	Application string
	Pipeline    string
	Statuses    []Status
	// Text holds words; each must begin a word of the id, the number, the
	// starter or the trigger (branch, commit, message, …).
	Text string
	// Trigger is the kind of what started it: push, poll, schedule, webhook, pipeline, manual, rollback, repair.
	Trigger string
	// Parameters it has to have been started with, each with this value.
	Parameters map[string]string
	// Since and Until bound when it was created, Until excluded, by the clock of
	// the replica that created it.
	Since, Until time.Time
	// Parent is the execution whose children are asked for.
	Parent string
	// RollbackOf is the execution whose rollbacks are asked for.
	RollbackOf string
	After      string // Page.Next of the page before
	Limit      int    // 1 to 500; default 50
}

// Page is one page of a list. Next is empty on the last one; a search that has
// taken long gives a page that is not full, and Next to go on.
type Page struct {
	Executions []Execution `json:"executions"`
	Next       string      `json:"next,omitempty"`
}
