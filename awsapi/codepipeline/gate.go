package codepipeline

import (
	"bytes"
	"context"
	"slices"
	"sync/atomic"
	"time"

	"showrunner/awsapi/state"
	"showrunner/control"
	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/store/record"
)

// Gate answers the engine's question whether a stage may begin, from memory: not
// behind a disabled transition, and not in an execution that is being stopped. It is
// made before the engine, and follows its log once that runs.
type Gate struct {
	docs  state.Collection[document]
	stops state.Collection[stop]
	now   func() time.Time
	known atomic.Pointer[knownHolds]
}

// knownHolds is the last reading.
type knownHolds struct {
	disabled map[[2]string]string // reason by application and stage of ours
	stopping map[string]string    // reason by execution
	err      error
}

// NewGate makes a Gate that has not read anything yet.
func NewGate(records state.Records, now func() time.Time) *Gate {
	return &Gate{docs: documents(records), stops: stopRecords(records), now: now}
}

// recheck is how soon a stage that is held back looks again.
const recheck = 2 * time.Second

// Watch keeps what Allows knows in step with the calls of AWS's clients until ctx
// ends. Until the first reading, and while it cannot be read, everything is held back.
func (g *Gate) Watch(ctx context.Context, log control.EventLog) {
	for ctx.Err() == nil {
		from, err := log.End(ctx)
		if err == nil {
			g.Read(ctx)
			for some := range log.Follow(ctx, from, record.Filter{Types: []string{"audit.aws.call"}}) {
				if some.Reset || slices.ContainsFunc(some.Events, ofCodePipeline) {
					g.Read(ctx)
				}
			}
			continue
		}
		g.known.Store(&knownHolds{err: err})
		select {
		case <-ctx.Done():
		case <-time.After(recheck):
		}
	}
}

// ofCodePipeline says whether an event may be of a call of CodePipeline.
func ofCodePipeline(e record.Event) bool { return bytes.Contains(e.Data, []byte("codepipeline")) }

// Read reads the holds anew.
func (g *Gate) Read(ctx context.Context) {
	k := &knownHolds{disabled: map[[2]string]string{}, stopping: map[string]string{}}
	for e, err := range g.docs.All(ctx, "") {
		if k.err = err; err != nil {
			break
		}
		for _, t := range e.Doc.Disabled {
			for _, name := range t.Entries {
				k.disabled[[2]string{e.Doc.Application, name}] = t.Reason
			}
		}
	}
	for e, err := range g.stops.All(ctx, "") {
		if err != nil {
			k.err = err
			break
		}
		k.stopping[e.Key] = e.Doc.Reason
	}
	if ctx.Err() == nil {
		g.known.Store(k)
	}
}

// Allows is the engine's gate.
func (g *Gate) Allows(_ context.Context, e execution.Head, st *pipeline.Stage) (open bool, reason string, until time.Time) {
	until = g.now().Add(recheck)
	k := g.known.Load()
	switch {
	case k == nil:
		return false, "the disabled transitions have not been read yet", until
	case k.err != nil:
		return false, "the disabled transitions cannot be read: " + k.err.Error(), until
	}
	if why, ok := k.stopping[e.ID]; ok {
		return false, "the execution is being stopped: " + why, until
	}
	if why, ok := k.disabled[[2]string{e.Application, st.Name}]; ok {
		return false, "the transition is disabled: " + why, until
	}
	return true, "", time.Time{}
}
