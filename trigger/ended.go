package trigger

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"showrunner/internal/pause"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/store/record"
)

// ends maps the event types for the end of an execution to the words that
// triggers use.
var ends = map[string]string{"execution.succeeded": "succeeded", "execution.failed": "failed", "execution.canceled": "canceled"}

const (
	positions   = "positions"
	endsKey     = "trigger-ends"
	savedEvery  = time.Second
	endedFormat = 1
)

// endsState is the position up to which the event log has been read.
type endsState struct {
	Format   int   `json:"format"`
	Position int64 `json:"position"`
}

// followEnds starts the pipelines that follow the ends of executions, until ctx
// ends. It begins where an earlier process stopped, or at the present when that
// is unknown.
func (s *Service) followEnds(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; failures++ {
		err := s.readEnds(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.o.Log.Warn("the ends of executions could not be followed", "error", err)
		}
		_ = pause.For(ctx, retryAfter(failures)) // the loop ends with ctx
	}
}

func (s *Service) readEnds(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var state endsState
	version, err := s.load(ctx, positions, endsKey, &state)
	if err != nil {
		return err
	}
	if version == 0 {
		if state.Position, err = s.o.Events.Last(ctx); err != nil {
			return err
		}
		if version, err = s.save(ctx, positions, endsKey, 0, endsState{endedFormat, state.Position}); err != nil {
			return err // when another replica saved first, its position counts
		}
	}
	types := make([]string, 0, len(ends))
	for t := range ends {
		types = append(types, t)
	}
	saved := s.o.Now()
	for slice := range s.o.Events.Follow(ctx, state.Position, record.Filter{Types: types}) {
		count := 0
		for _, e := range slice.Events {
			n, err := s.ended(ctx, e)
			if err != nil {
				return err // read again from the saved position; the engine recognises repeated starts
			}
			count += n
		}
		state.Position = max(state.Position, slice.Next)
		// While no trigger follows a pipeline, the saved position may lag behind
		// without harm.
		if now := s.o.Now(); count > 0 || now.Sub(saved) >= savedEvery {
			if version, err = s.savePosition(ctx, version, state.Position); err != nil {
				return err
			}
			saved = now
		}
	}
	return nil
}

// savePosition saves the position unless another replica has saved a later one.
func (s *Service) savePosition(ctx context.Context, version, position int64) (int64, error) {
	next, err := s.save(ctx, positions, endsKey, version, endsState{endedFormat, position})
	if problem.CodeOf(err) != problem.Conflict {
		return next, err
	}
	var theirs endsState
	if version, err = s.load(ctx, positions, endsKey, &theirs); err != nil || theirs.Position >= position {
		return version, err
	}
	next, err = s.save(ctx, positions, endsKey, version, endsState{endedFormat, position})
	if problem.CodeOf(err) == problem.Conflict {
		return version, nil // a later save will succeed
	}
	return next, err
}

// ended starts every pipeline that follows this end, and returns how many
// pipelines follow.
func (s *Service) ended(ctx context.Context, e record.Event) (int, error) {
	defs, err := s.o.Definitions.All(ctx)
	if err != nil {
		return 0, err
	}
	status := ends[e.Type]
	count := 0
	for _, def := range defs {
		for _, w := range triggersWithID(def) {
			if w.trigger.Pipeline == nil || !follows(def, w.trigger.Pipeline, e, status) {
				continue
			}
			count++
			if err := s.follow(ctx, w, def, e, status); err != nil {
				return count, err
			}
		}
	}
	return count, nil
}

// followerState is the record of a trigger that follows a pipeline.
type followerState struct {
	Format   int    `json:"format"`   // 1
	Position int64  `json:"position"` // of the end that Status describes
	Status   Status `json:"status"`
}

// follow starts one pipeline that follows an end, and records the result. An
// error means that the start has to be tried again.
func (s *Service) follow(ctx context.Context, w triggerWithID, def Definition, e record.Event, status string) error {
	event := strconv.FormatInt(e.Position, 10)
	values := map[string]any{"kind": "pipeline", "id": event, "application": e.Application, "pipeline": e.Pipeline, "execution": e.Execution, "status": status}
	started, err := begin(ctx, s.o.Starter, w.trigger, values, Start{Definition: def, TriggerID: w.id, EventID: event, By: "pipeline " + e.Application + "/" + e.Pipeline})
	if err != nil {
		reason, final := failedOutcome(err)
		if !final {
			return err
		}
		s.o.Log.Error("a pipeline that follows another was not started", "trigger", w.id, "execution", e.Execution, "reason", reason)
	}
	key, now := recordKey(def, w.id), s.o.Now()
	var state followerState
	version, failure := s.load(ctx, followers, key, &state)
	if failure != nil || state.Position >= e.Position {
		return failure
	}
	before := state.Status
	state.Format, state.Position = endedFormat, e.Position
	state.Status.Application, state.Status.Pipeline = def.Application, def.Pipeline.Name
	state.Status.Kind, state.Status.Trigger = describe(def, w.trigger)
	if err != nil {
		state.Status.recordFailure(now, err)
	} else {
		state.Status.recordSuccess()
		state.Status.Last, state.Status.Execution = now.UTC(), started.Execution
	}
	_, failure = s.save(ctx, followers, key, version, state, state.Status.event(now, before)...)
	if problem.CodeOf(failure) == problem.Conflict {
		return nil // another replica read the same end
	}
	return failure
}

// followID is the identity of a trigger that follows a pipeline.
func followID(def Definition, t *pipeline.PipelineTrigger) string {
	return ident(def, "pipeline", cmp.Or(t.Application, def.Application), t.Pipeline)
}

func follows(def Definition, t *pipeline.PipelineTrigger, e record.Event, status string) bool {
	return cmp.Or(t.Application, def.Application) == e.Application && t.Pipeline == e.Pipeline && slices.Contains(statusesOf(t), status)
}

// statusesOf returns the final statuses that a trigger follows.
func statusesOf(t *pipeline.PipelineTrigger) []string {
	if len(t.Status) == 0 {
		return []string{"succeeded"}
	}
	return t.Status
}
