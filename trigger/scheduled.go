package trigger

import (
	"context"
	"encoding/json"
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/store/record"
)

const (
	schedules = "schedules"
	polls     = "polls"
)

// Status is how a schedule or poll stands.
type Status struct {
	Application string    `json:"application"`
	Pipeline    string    `json:"pipeline"`
	Kind        string    `json:"kind"` // schedule or poll
	Trigger     string    `json:"trigger"`
	Next        time.Time `json:"next,omitzero"`
	Last        time.Time `json:"last,omitzero"` // that it started something
	Execution   string    `json:"execution,omitempty"`
	// Error says why the last look or start did not work; Failures how often in a row.
	Error    string `json:"error,omitempty"`
	Failures int    `json:"failures,omitempty"`
}

// Statuses lists the schedules and polls of an application, or of all when it
// is empty.
func (s *Service) Statuses(ctx context.Context, application string) ([]Status, error) {
	const page = 500
	prefix := ""
	if application != "" {
		prefix = application + "/"
	}
	list := []Status{}
	for _, collection := range []string{schedules, polls} {
		for after := ""; ; {
			records, err := s.o.Records.ListRecords(ctx, collection, prefix, after, page)
			if err != nil {
				return nil, problem.Wrap(err, "", "trigger.statuses", "listing %s", collection)
			}
			for _, r := range records {
				after = r.Key
				var kept struct {
					Status Status `json:"status"`
				}
				if err := json.Unmarshal(r.Data, &kept); err != nil {
					return nil, problem.Wrap(err, problem.Internal, "trigger.statuses", "the record %s is damaged", r.Key)
				}
				list = append(list, kept.Status)
			}
			if len(records) < page {
				break
			}
		}
	}
	return list, nil
}

// load reads a trigger's record into v; a record that is not there is version 0.
func (s *Service) load(ctx context.Context, collection, key string, v any) (int64, error) {
	r, err := s.o.Records.GetRecord(ctx, collection, key)
	if problem.CodeOf(err) == problem.NotFound {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(r.Data, v); err != nil {
		return 0, problem.Wrap(err, problem.Internal, "trigger.load", "the record %s is damaged", key)
	}
	return r.Version, nil
}

// save writes a trigger's record; a conflict means that another replica did.
func (s *Service) save(ctx context.Context, collection, key string, version int64, v any) (int64, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return 0, problem.Wrap(err, problem.Internal, "trigger.save", "encoding %s", key)
	}
	r, err := s.o.Records.PutRecord(ctx, record.Record{Collection: collection, Key: key, Version: version, Data: data})
	return r.Version, err
}

// scheduleState is the record of a schedule.
type scheduleState struct {
	Format int    `json:"format"` // 1
	Status Status `json:"status"`
}

// schedule fires a schedule when it is due and returns when to look again. The
// start comes before the record: repeated after a crash it is the same event.
func (s *Service) schedule(ctx context.Context, id string, def Definition, t pipeline.Trigger) (time.Time, error) {
	c := t.Schedule
	sched, err := ParseSchedule(c.Cron, c.Zone)
	if err != nil {
		return time.Time{}, err
	}
	key := recordKey(def, id)
	var state scheduleState
	version, err := s.load(ctx, schedules, key, &state)
	if err != nil {
		return time.Time{}, err
	}
	now := s.o.Now()
	before := state
	fire, next := sched.due(state.Status.Next, now, c.Missed == "skip")
	if !fire.IsZero() {
		due := fire.UTC().Format(time.RFC3339)
		values := map[string]any{"kind": "schedule", "id": due, "scheduled": due}
		started, err := begin(ctx, s.o.Starter, def, t, values, id, due, "schedule")
		switch {
		case err == nil:
			state.Status.Last, state.Status.Execution, state.Status.Error, state.Status.Failures = now.UTC(), started.Execution, "", 0
		default:
			reason, ok := failedOutcome(err)
			if !ok {
				return time.Time{}, err // looked at again soon: the time is still due
			}
			state.Status.Error, state.Status.Failures = reason, state.Status.Failures+1
		}
	}
	state.Format = 1
	state.Status.Application, state.Status.Pipeline, state.Status.Kind = def.Application, def.Pipeline.Name, "schedule"
	state.Status.Trigger, state.Status.Next = c.Cron, next.UTC()
	if c.Zone != "" {
		state.Status.Trigger += " " + c.Zone
	}
	if state == before {
		return next, nil
	}
	_, err = s.save(ctx, schedules, key, version, state)
	if problem.CodeOf(err) == problem.Conflict {
		return now, nil // another replica was faster: look at what it wrote
	}
	return next, err
}
