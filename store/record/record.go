// Package record owns the two forms of durable data outside an execution: small
// documents with compare-and-set, and the entries of the one append-only event
// log. It imports nothing but the standard library, so that every package may use
// it. Package store decides how records are kept.
package record

import (
	"encoding/json"
	"time"
)

// Record is a small JSON document (an application, a delivery, a schedule).
type Record struct {
	Collection string          `json:"collection"`
	Key        string          `json:"key"`
	Version    int64           `json:"version"` // 1 when created, +1 with every change
	Data       json.RawMessage `json:"data"`
	Updated    time.Time       `json:"updated"`
}

// Event is one entry of the event log: something that happened, in the order
// in which it became durable.
type Event struct {
	Position    int64           `json:"position"` // assigned by the store, rising; readers keep it to resume later
	Time        time.Time       `json:"time"`
	Type        string          `json:"type"` // "execution.started", "stage.succeeded", …
	Application string          `json:"application,omitempty"`
	Pipeline    string          `json:"pipeline,omitempty"`
	Execution   string          `json:"execution,omitempty"`
	Stage       string          `json:"stage,omitempty"`
	By          string          `json:"by,omitempty"` // the principal, when a person or program asked for the change
	Data        json.RawMessage `json:"data,omitempty"`
}

// Filter selects events; a zero field selects all.
type Filter struct {
	Application string
	Pipeline    string
	Execution   string
	// Types are exact types or prefixes that end with "." ("execution.").
	Types []string
}

// Match tells whether the filter selects e.
func (f Filter) Match(e Event) bool {
	if f.Application != "" && f.Application != e.Application ||
		f.Pipeline != "" && f.Pipeline != e.Pipeline ||
		f.Execution != "" && f.Execution != e.Execution {
		return false
	}
	if len(f.Types) == 0 {
		return true
	}
	for _, t := range f.Types {
		if t == e.Type || len(t) > 0 && t[len(t)-1] == '.' && len(e.Type) > len(t) && e.Type[:len(t)] == t {
			return true
		}
	}
	return false
}

// Slice is a part of the event log.
type Slice struct {
	Events []Event
	// Next is the position to read from next time: every selected event before it
	// is in Events.
	Next int64
	// Reset says that events after the requested position have been archived or
	// removed: the reader has to load the current state again before it goes on
	// at Next.
	Reset bool
}
