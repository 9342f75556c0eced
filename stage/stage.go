// Package stage owns the contract between the engine and the kinds of stages:
// what a task is, what it is given and what it may answer. It refuses to know
// how executions are stored or scheduled (package execution) and what any one
// kind does (the packages below this one).
package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"showrunner/artifact"
	"showrunner/pipeline"
)

// Key names one attempt at one task. Its string form is the idempotency key
// that the outside world sees: the same key never has a second effect.
type Key struct {
	Execution string
	Stage     string
	Attempt   int // 1 for the first run of the stage, +1 for each retry or restart
	Task      string
}

// String returns "execution/stage/attempt/task".
func (k Key) String() string {
	return fmt.Sprintf("%s/%s/%d/%s", k.Execution, k.Stage, k.Attempt, k.Task)
}

// Kind carries out the stages of one kind of the language.
type Kind interface {
	// Name is the key in the pipeline file, such as "deploy-site".
	Name() string
	// Version is stored with every execution; raise it when the meaning of
	// Tasks or of their state changes.
	Version() int
	// Tasks lists the tasks in order. It must depend on nothing but the version.
	Tasks() []Task
}

// Task is one idempotent act. The engine commits the intent before Run is
// called, and Run's result together with the next task's intent.
type Task struct {
	Name string
	// Run acts. It may block while the act is under way (a build, an upload);
	// for anything that merely waits it answers Again, which holds no goroutine.
	// When ctx ends Run returns soon; the cause (context.Cause) tells why:
	// ErrCanceled and ErrTimedOut mean the outside work has to stop too,
	// ErrDetached means this process is going away and the outside work goes on.
	Run func(ctx context.Context, in *Input) (Result, error)
	// Resume is asked instead of Run when an intent was recorded but no result
	// (the process died in between): it finds out what became of the act, and
	// answers as Run would, or with NotStarted to have Run called. A task whose
	// Run may be repeated freely sets Resume to Repeat; without one the task is
	// in doubt and goes to a person.
	Resume func(ctx context.Context, in *Input) (Result, error)
	// Cancel stops the outside work of a task that is running, waiting or in
	// doubt, and confirms that it has stopped. Nil when Run's ctx is enough. While
	// the outside work takes its time to stop, Cancel returns a *Stopping.
	Cancel func(ctx context.Context, in *Input) error
	// Watches says that a waiting task counts on being woken by what this process
	// watches for it. Such a task is called once when an engine takes its execution
	// over, so that it is watched again.
	Watches bool
}

// Stopping is Cancel's answer that the outside work has been told to stop and has
// not stopped yet. Cancel is called again with State after After, or at a wake-up.
// It is not counted as an attempt that failed.
type Stopping struct {
	State      json.RawMessage
	After      time.Duration // more than zero
	Waits      string        // what it waits for, for people
	WaitsUntil time.Time     // when that will be over, if it is known
}

// Error implements error.
func (s *Stopping) Error() string { return "it has not stopped yet: " + s.Waits }

// Causes with which the engine ends a task's context.
var (
	ErrCanceled = fmt.Errorf("canceled")
	ErrTimedOut = fmt.Errorf("timed out")
	ErrDetached = fmt.Errorf("detached: this process stops, the work goes on")
)

// ErrInDoubt is part of the error of a task that nobody can find out about: it
// may have taken effect, and asking again will not tell. The stage goes to a
// person; when they have it retried, Run is called with no State.
var ErrInDoubt = fmt.Errorf("in doubt")

// Repeat is the Resume of tasks that may be run again freely.
func Repeat(context.Context, *Input) (Result, error) { return Result{Outcome: NotStarted}, nil }

// Input is what a task may see.
type Input struct {
	Key         Key
	Application string
	Pipeline    string
	Number      int    // the execution's number within its pipeline
	StartedBy   string // the principal that started the execution
	// Version is what people call what this execution delivers: the short commit of
	// its source, else the trigger's, else "#" and the execution's number.
	Version string
	Trigger map[string]any
	// Traceparent is the W3C trace context of this attempt, for what the task calls.
	Traceparent string
	Stage       pipeline.Stage
	// Mark is 16 bits that no other stage of the execution has, for identifiers that
	// have no room for the stage's name.
	Mark uint32
	// Config is the stage's configuration with every expression resolved but
	// references to secrets, which Secrets.Expand resolves at the last moment.
	Config pipeline.Config
	// Artifacts holds what earlier stages produced, by the name used in the file
	// ("build", "build.service").
	Artifacts map[string]artifact.Ref
	// Upstream holds what complete stages put out, by stage and name.
	Upstream map[string]map[string]any
	// Outputs holds what earlier tasks of this stage put out.
	Outputs map[string]any
	// State is what this task last answered with Again; nil the first time.
	State json.RawMessage
	// Signals are the messages sent to this stage so far (approvals, call-backs), oldest first.
	Signals []Signal
	// StageStarted is when this attempt of the stage started; Now is the present.
	StageStarted time.Time
	Now          time.Time
	// Log is the stage's log, kept and followed live. Writes never fail the task.
	// It is the only output in which the values of secrets are masked: a failure,
	// an output, a State or a Waits that may hold one is masked by the task.
	Log io.Writer
	// Secrets resolves secret references and masks their values in Log from then on.
	Secrets Secrets
	// Progress replaces the one line that watchers see beside the stage ("wave 1/2: 14 of 20 objects")
	// until this call returns; what a waiting task shows is Result.Waits.
	Progress func(format string, args ...any)
}

// Secrets resolves references to secrets.
type Secrets interface {
	// Expand replaces every ${{ secrets.NAME }} in text. Errors: not_found.
	Expand(ctx context.Context, text string) (string, error)
}

// Signal is a message from outside to a waiting stage.
type Signal struct {
	ID   string          `json:"id"`
	Name string          `json:"name"` // "approve", "reject", "callback", …
	By   string          `json:"by"`
	At   time.Time       `json:"at"`
	Data json.RawMessage `json:"data,omitempty"`
}

// Outcome is what became of an act. An error beside it means that we could not
// find out; the engine then repeats by its policy.
type Outcome string

const (
	Done       Outcome = "done"
	Again      Outcome = "again"  // not finished: call again after Result.After, or at the next signal or wake-up
	Failed     Outcome = "failed" // Result.Failure says why
	Skipped    Outcome = "skipped"
	NotStarted Outcome = "not_started" // from Resume only: the act never began
)

// Result is a task's answer.
type Result struct {
	Outcome Outcome
	// Outputs are merged into the stage's outputs; values are JSON-compatible.
	Outputs map[string]any
	// Artifacts are merged into the execution's artifacts under the stage's name
	// (key "") or "stage.key".
	Artifacts map[string]artifact.Ref
	// State is kept for the next call; only with Again.
	State json.RawMessage
	// After is how long to wait at most before the next call; only with Again.
	// Zero means until a signal or wake-up comes, or until another process has taken
	// the execution over: a wake-up does not outlive the process that promised it.
	After time.Duration
	// Waits says, for people, what it waits for, as long as it does; WaitsUntil is
	// when that will be over, if it is known. Only with Again. Each change of the two
	// is an event. Without Waits, people are shown the time of the next call as the
	// end of the wait.
	Waits      string
	WaitsUntil time.Time
	Failure    *Failure
}

// Failure tells a person all four things they need.
type Failure struct {
	Code     string   `json:"code"`               // HEALTH_TIMEOUT, BUILD_FAILED, …; `showrunner explain CODE` knows each
	Cause    string   `json:"cause"`              // one sentence
	Evidence []string `json:"evidence,omitempty"` // exit code, probe answer, last log lines
	Undone   []string `json:"undone,omitempty"`   // what has already been put back
	Help     string   `json:"help,omitempty"`     // what to do
	// Retryable tells the stage's retry policy that another attempt may help.
	Retryable bool `json:"retryable,omitempty"`
}

// Fail is a Result for a failure.
func Fail(f Failure) Result { return Result{Outcome: Failed, Failure: &f} }

// FailIf is a Result for a failure; nil is none, beside an error.
func FailIf(f *Failure) Result {
	if f == nil {
		return Result{}
	}
	return Fail(*f)
}

// OrNone is the Result; nil is none, beside an error.
func (r *Result) OrNone() Result {
	if r == nil {
		return Result{}
	}
	return *r
}

// Waker lets a kind have a waiting task called at once, when something it
// watches has happened. Waking a task that does not wait does nothing.
type Waker interface{ Wake(Key) }
