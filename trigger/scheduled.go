package trigger

import (
	"context"
	"encoding/json"
	"reflect"
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/store/record"
)

// load reads a trigger's record into v; a missing record has version 0.
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

// save writes a trigger's record; a conflict means that another replica wrote it
// first.
func (s *Service) save(ctx context.Context, collection, key string, version int64, v any, events ...record.Event) (int64, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return 0, problem.Wrap(err, problem.Internal, "trigger.save", "encoding %s", key)
	}
	r, err := s.o.Records.PutRecord(ctx, record.Record{Collection: collection, Key: key, Version: version, Data: data}, events...)
	return r.Version, err
}

// scheduleState is the record of a schedule.
type scheduleState struct {
	Format int    `json:"format"` // 1
	Status Status `json:"status"`
}

// schedule fires a schedule that is due, and returns when to check again. The
// start comes before the record, so after a crash the same event is started
// again, and the engine recognises it.
func (s *Service) schedule(ctx context.Context, id string, def Definition, t pipeline.Trigger) (time.Time, error) {
	key := recordKey(def, id)
	var state scheduleState
	version, err := s.load(ctx, schedules, key, &state)
	if err != nil {
		return time.Time{}, err
	}
	now := s.o.Now()
	before := state
	state.Format = 1
	state.Status.Application, state.Status.Pipeline = def.Application, def.Pipeline.Name
	state.Status.Kind, state.Status.Trigger = describe(def, t)
	next, err := s.fire(ctx, id, def, t, &state.Status, now)
	if ctx.Err() != nil {
		return time.Time{}, ctx.Err()
	}
	if err != nil {
		state.Status.recordFailure(now, err) // retried soon, since the time is still due
	} else {
		state.Status.Next = next.UTC()
	}
	if reflect.DeepEqual(state, before) {
		return next, nil
	}
	_, saved := s.save(ctx, schedules, key, version, state, state.Status.event(now, before.Status)...)
	if err != nil {
		return time.Time{}, err
	}
	if problem.CodeOf(saved) == problem.Conflict {
		return now, nil // another replica was faster: use the record that it wrote
	}
	return next, saved
}

// fire starts the execution that is due and returns the next due time. An error
// means that the start has to be tried again; a start that can never succeed is
// recorded in st.
func (s *Service) fire(ctx context.Context, id string, def Definition, t pipeline.Trigger, st *Status, now time.Time) (time.Time, error) {
	sched, err := ParseSchedule(t.Schedule.Cron, t.Schedule.Zone)
	if err != nil {
		return time.Time{}, err
	}
	fire, next := sched.due(st.Next, now, t.Schedule.Missed == "skip")
	if fire.IsZero() {
		return next, nil
	}
	due := fire.UTC().Format(time.RFC3339)
	values := map[string]any{"kind": "schedule", "id": due, "scheduled": due}
	started, err := begin(ctx, s.o.Starter, t, values, Start{Definition: def, TriggerID: id, EventID: due, By: "schedule"})
	if err == nil {
		st.Last, st.Execution = now.UTC(), started.Execution
		st.recordSuccess()
		return next, nil
	}
	if _, final := failedOutcome(err); !final {
		return time.Time{}, err
	}
	st.recordFailure(now, err)
	return next, nil
}
