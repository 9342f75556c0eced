package notification

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/store/record"
)

// Collections of records.
const (
	runs   = "notifications"       // one for each run and channel
	leases = "notification-sender" // one: who sends, and how far the log was read
)

// Records keeps what was sent.
type Records interface {
	GetRecord(ctx context.Context, collection, key string) (record.Record, error)
	PutRecord(ctx context.Context, r record.Record, events ...record.Event) (record.Record, error)
	DeleteRecord(ctx context.Context, collection, key string, version int64, events ...record.Event) error
	ListRecords(ctx context.Context, collection, prefix, after string, limit int) ([]record.Record, error)
}

// kept is what was sent of one run in one channel. It is written before and after each
// call, so that a control plane that dies in between leaves a trace.
type kept struct {
	Run     Run                   `json:"run"`
	Channel pipeline.Notification `json:"channel"`
	// Changes counts the events of the run that were read, Seen those that were taken
	// into account by the last look at it. More changes than seen: it is due.
	Changes int `json:"changes"`
	Seen    int `json:"seen"`
	// Sent are the IDs of the steps that were told.
	Sent []string `json:"sent,omitempty"`
	// Shown is the text that the message shows; only of a channel that edits.
	Shown  string  `json:"shown,omitempty"`
	Posted *Posted `json:"posted,omitempty"`
	// Intent is when a new message was about to be posted; nil when it was, or was not.
	Intent *time.Time `json:"intent,omitempty"`
	// Error says why the last attempt failed, Failures how many in a row did, and Failing
	// since when. GaveUp: nothing is tried until the run changes.
	Error    string    `json:"error,omitempty"`
	Failures int       `json:"failures,omitempty"`
	Failing  time.Time `json:"failing,omitzero"`
	GaveUp   bool      `json:"gaveUp,omitempty"`
	// Ended is when the run was seen to have ended.
	Ended time.Time `json:"ended,omitzero"`
}

func (k kept) due() bool { return k.Changes > k.Seen }

// keyOf is the key of a run's record for one of its channels.
func keyOf(executionID string, channel int) string {
	return fmt.Sprintf("%s.%d", executionID, channel)
}

func executionOf(key string) string {
	id, _, _ := strings.Cut(key, ".")
	return id
}

// letter decides whether the message is to be sent for a run now, and which steps are told
// by it; nil for nothing. It is pure.
func (k kept) letter(key string, e execution.Execution, m Message, failedBefore, edits bool, now time.Time) (*letter, []string) {
	var fresh []Step
	for _, s := range stepsOf(e, failedBefore) {
		if wants(k.Channel.NotificationEvents(), s.Event) && !slices.Contains(k.Sent, s.ID) {
			fresh = append(fresh, s)
		}
	}
	l := &letter{ID: key, Thread: key, Run: runOf(e), Message: m, At: now, InDoubt: k.Intent != nil}
	if k.Intent != nil {
		l.Since = *k.Intent
	}
	if edits && k.Posted != nil {
		if k.Shown == m.text() {
			return nil, ids(fresh)
		}
		l.Edit = k.Posted
		return l, ids(fresh)
	}
	if len(fresh) == 0 {
		if edits && k.Intent != nil { // a message that may be there has to show this too
			l.OnlyFound = true
			return l, nil
		}
		return nil, nil
	}
	last := fresh[len(fresh)-1]
	l.Event = last.Event
	if !edits {
		l.ID = key + "." + strings.ReplaceAll(last.ID, "/", ".")
	}
	return l, ids(fresh)
}

func ids(steps []Step) (list []string) {
	for _, s := range steps {
		list = append(list, s.ID)
	}
	return list
}

func runOf(e execution.Execution) Run {
	return Run{Application: e.Application, Pipeline: e.Pipeline, Number: e.Number, Execution: e.ID, Status: string(e.Status)}
}

// Store keeps the records of this package.
type Store struct{ Records Records }

func (s Store) get(ctx context.Context, key string) (k kept, version int64, err error) {
	r, err := s.Records.GetRecord(ctx, runs, key)
	if err != nil {
		return k, 0, err
	}
	if err := json.Unmarshal(r.Data, &k); err != nil {
		return k, 0, problem.Wrap(err, problem.Internal, "notification", "the record of %s is damaged", key)
	}
	return k, r.Version, nil
}

// put writes a record. Errors: conflict when it was written since.
func (s Store) put(ctx context.Context, key string, version int64, k kept) error {
	data, err := json.Marshal(k)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "notification", "encoding")
	}
	_, err = s.Records.PutRecord(ctx, record.Record{Collection: runs, Key: key, Version: version, Data: data})
	return err
}

// change reads a record, edits it and writes it, again when somebody else has written it.
// edit returns false to leave it as it is.
func (s Store) change(ctx context.Context, key string, edit func(*kept) bool) (k kept, err error) {
	for range 20 {
		var version int64
		if k, version, err = s.get(ctx, key); err != nil {
			return k, err
		}
		if !edit(&k) {
			return k, nil
		}
		if err = s.put(ctx, key, version, k); problem.CodeOf(err) != problem.Conflict {
			return k, err
		}
	}
	return k, err
}

// all calls each for every record of the runs whose key begins with prefix.
func (s Store) all(ctx context.Context, prefix string, each func(key string, k kept) error) error {
	const page = 500
	for after := ""; ; {
		list, err := s.Records.ListRecords(ctx, runs, prefix, after, page)
		if err != nil {
			return err
		}
		for _, r := range list {
			after = r.Key
			var k kept
			if err := json.Unmarshal(r.Data, &k); err != nil {
				return problem.Wrap(err, problem.Internal, "notification", "the record of %s is damaged", r.Key)
			}
			if err := each(r.Key, k); err != nil {
				return err
			}
		}
		if len(list) < page {
			return nil
		}
	}
}

// Status is how telling of one run in one channel stands.
type Status struct {
	Run      Run       `json:"run"`
	Channel  string    `json:"channel"`
	Waiting  bool      `json:"waiting"` // something is still to be sent
	Error    string    `json:"error,omitempty"`
	Failures int       `json:"failures,omitempty"`
	Failing  time.Time `json:"failing,omitzero"`
	GaveUp   bool      `json:"gaveUp,omitempty"` // refused: nothing is tried until the run changes
}

// Unsent lists what could not be sent yet, or at all.
func (s Store) Unsent(ctx context.Context) ([]Status, error) {
	list := []Status{}
	err := s.all(ctx, "", func(_ string, k kept) error {
		if k.due() || k.Error != "" {
			list = append(list, Status{Run: k.Run, Channel: Name(k.Channel), Waiting: k.due(), Error: k.Error, Failures: k.Failures, Failing: k.Failing, GaveUp: k.GaveUp})
		}
		return nil
	})
	return list, err
}
