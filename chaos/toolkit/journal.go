package toolkit

import (
	"slices"
	"time"
)

// Journal is what happened, in Chaos Toolkit's shape.
type Journal struct {
	Version    string         `json:"chaoslib-version"` // of this program
	Platform   string         `json:"platform"`
	Node       string         `json:"node"`
	Experiment map[string]any `json:"experiment"`
	Start      Time           `json:"start"`
	Status     Status         `json:"status"`
	Deviated   bool           `json:"deviated"`
	States     States         `json:"steady_states"`
	Run        []Result       `json:"run"`
	Rollbacks  []Result       `json:"rollbacks"`
	End        *Time          `json:"end,omitempty"`
	Duration   float64        `json:"duration"` // seconds

	// Notes say what of the file was not carried out, and why the run ended early.
	Notes []string `json:"notes,omitempty"`
}

// Undone says that every rollback succeeded.
func (j *Journal) Undone() bool { return !slices.ContainsFunc(j.Rollbacks, Result.failed) }

// Status is how an experiment ended.
type Status string

// The values of Status. A run that found a deviation is completed; Deviated says so.
const (
	Running     Status = "running" // the process died, when nothing runs any more
	Completed   Status = "completed"
	Failed      Status = "failed"      // a probe of the hypothesis could not be made
	Aborted     Status = "aborted"     // the hypothesis did not hold during the method, with fail_fast
	Interrupted Status = "interrupted" // by a person, a signal or the lever
)

// States are the looks at the hypothesis; nil: it was not looked at.
type States struct {
	Before *State  `json:"before"`
	After  *State  `json:"after"`
	During []State `json:"during"`
}

// State is one look at the hypothesis. It ends with the first probe that is not met.
type State struct {
	Met    bool     `json:"steady_state_met"`
	Probes []Result `json:"probes"`
}

// Result is one activity.
type Result struct {
	Activity  map[string]any `json:"activity"`
	Output    any            `json:"output"`
	Status    string         `json:"status"` // succeeded or failed
	Exception []string       `json:"exception,omitempty"`
	Start     Time           `json:"start"`
	End       Time           `json:"end"`
	Duration  float64        `json:"duration"` // seconds

	ToleranceMet *bool  `json:"tolerance_met,omitempty"`
	Deviation    string `json:"deviation,omitempty"` // why the tolerance is not met
}

func (r Result) failed() bool { return r.Status != succeeded }

// The values of Result.Status.
const (
	succeeded = "succeeded"
	failed    = "failed"
)

// Time is written as Chaos Toolkit does: UTC, without a zone.
type Time struct{ time.Time }

const timeFormat = "2006-01-02T15:04:05.000000"

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(t.UTC().Format(`"` + timeFormat + `"`)), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(text []byte) (err error) {
	t.Time, err = time.Parse(`"`+timeFormat+`"`, string(text))
	return err
}
