package control

import (
	"context"
	"sync/atomic"
	"time"

	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/store/record"
)

// FreezeWatch answers the engine's question whether a stage may start, from memory.
// It is made before the engine, and follows the engine's log once that runs.
type FreezeWatch struct {
	records Records
	now     func() time.Time
	known   atomic.Pointer[knownFreezes]
}

// knownFreezes is the last reading.
type knownFreezes struct {
	list []Freeze
	err  error
}

// NewFreezeWatch makes a FreezeWatch that has not read anything yet.
func NewFreezeWatch(records Records, now func() time.Time) *FreezeWatch {
	return &FreezeWatch{records: records, now: now}
}

// EventLog is the engine's log as FreezeWatch follows it.
type EventLog interface {
	End(ctx context.Context) (int64, error)
	Follow(ctx context.Context, from int64, f record.Filter) <-chan record.Slice
}

// recheck is how soon a stage that is held back looks again.
const recheck = 2 * time.Second

// Watch keeps what Allows knows in step with the event log until ctx ends. Until
// the first reading, and while freezes cannot be read, Allows holds everything back.
func (f *FreezeWatch) Watch(ctx context.Context, log EventLog) {
	for ctx.Err() == nil {
		from, err := log.End(ctx)
		if err == nil {
			f.read(ctx)
			for range log.Follow(ctx, from, record.Filter{Types: []string{"audit." + opFreeze, "audit." + opThaw}}) {
				f.read(ctx)
			}
			continue
		}
		f.known.Store(&knownFreezes{err: err})
		select {
		case <-ctx.Done():
		case <-time.After(recheck):
		}
	}
}

func (f *FreezeWatch) read(ctx context.Context) {
	list, err := listFreezes(ctx, f.records)
	f.known.Store(&knownFreezes{list, err})
}

// Allows tells the engine whether a stage may start: what changes a cloud waits
// while a freeze holds. Rollbacks and repairs wait only for a freeze that says so.
func (f *FreezeWatch) Allows(_ context.Context, e execution.Head, st *pipeline.Stage) (open bool, reason string, until time.Time) {
	switch st.Kind {
	case "deploy", "deploy-site", "rollback":
	default:
		return true, "", time.Time{}
	}
	now := f.now()
	known := f.known.Load()
	if known == nil {
		return false, "the freezes have not been read yet", now.Add(recheck)
	}
	if known.err != nil {
		return false, "the freezes cannot be read: " + problem.Text(known.err), now.Add(recheck)
	}
	for _, freeze := range known.list {
		if st.Kind == "rollback" && !freeze.Rollbacks {
			continue
		}
		if freeze.held(e.Application, e.Pipeline, now) {
			until := now.Add(recheck)
			if !freeze.To.IsZero() && freeze.To.Before(until) {
				until = freeze.To
			}
			return false, execution.FrozenReason + freeze.By + " (" + freeze.Name + freeze.until() + "): " + freeze.Reason, until
		}
	}
	return true, "", time.Time{}
}
