package gameday

import (
	"fmt"
	"time"

	"showrunner/internal/span"
	"showrunner/problem"
)

// Summary is a report without its events and its timeline.
type Summary struct {
	ID      string    `json:"id"`
	By      string    `json:"by,omitempty"`
	Began   time.Time `json:"began"`
	Took    Seconds   `json:"tookSeconds"`
	Seed    uint64    `json:"seed"`
	Passed  bool      `json:"passed"`
	Verdict string    `json:"verdict"`
	All     Stretch   `json:"all"`
	Events  int       `json:"events"`
	Missing int       `json:"missing"` // events that were not carried out, or not recovered from
}

// Summary sums the report up.
func (r *Report) Summary(id, by string) Summary {
	return Summary{ID: id, By: by, Began: r.Began, Took: r.Took, Seed: r.Seed, Passed: r.Passed, Verdict: r.Verdict(), All: r.All, Events: len(r.Events), Missing: r.missing()}
}

// ID names a report by its time and seed.
func (r *Report) ID() string {
	return fmt.Sprintf("%s-%d", r.Began.UTC().Format("20060102t150405"), r.Seed)
}

// Bounds of a report that is kept.
const (
	mostEvents  = 10_000
	mostPoints  = 90_000 // a day has 86,400 seconds
	mostReasons = 1000
)

// Check refuses a report that no game day can have made. Errors: invalid.
func (r *Report) Check() error {
	bad := func(format string, args ...any) error {
		return problem.New(problem.Invalid, "gameday", "this is no report of a game day: "+format, args...)
	}
	switch {
	case r.Began.IsZero():
		return bad("it has not begun")
	case r.Took < 0 || r.Took.Duration() > 25*time.Hour:
		return bad("it took %s", r.Took.Duration())
	case len(r.Events) > mostEvents || len(r.Timeline) > mostPoints || len(r.Failures)+len(r.OthersFailures) > mostReasons:
		return bad("it has %d events, %d seconds and %d reasons of failures", len(r.Events), len(r.Timeline), len(r.Failures)+len(r.OthersFailures))
	}
	return nil
}

// Stretches are the parts of the day with their names, in their order.
func (r *Report) Stretches() []NamedStretch {
	return []NamedStretch{{"before", r.Before}, {"during", r.During}, {"after", r.After}, {"all", r.All}}
}

// NamedStretch is a part of the day.
type NamedStretch struct {
	Name string
	Stretch
}

// AvailabilityText is the availability in percent, for people; it never rounds up to 100.
func (s Stretch) AvailabilityText() string { return percent(s.Availability()) }

// Text is a length of time for people: to the hundredth of a second below a minute.
func (s Seconds) Text() string {
	if s.Duration() < time.Minute {
		return seconds(s)
	}
	return span.Text(s.Duration())
}

// Milliseconds is a length of time in milliseconds, for people.
func (s Seconds) Milliseconds() string { return milliseconds(s) }

// RecoveryText says how long the recovery took, or why there was none.
func (h Happened) RecoveryText() string { return recoveryText(h) }
