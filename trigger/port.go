package trigger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"showrunner/pipeline"
	"showrunner/source"
	"showrunner/store/record"
)

// Definition is one pipeline of an application.
type Definition struct {
	Application string
	Pipeline    pipeline.Pipeline
}

// Definitions are the existing pipelines.
type Definitions interface {
	// All returns every pipeline of every application. It is called at every
	// delivery and should answer from memory.
	All(ctx context.Context) ([]Definition, error)
	// Changed returns a channel that is closed at the next change after the call.
	Changed() <-chan struct{}
}

// Start asks for an execution. An execution starts only once for a pair of
// TriggerID and EventID.
type Start struct {
	Definition Definition
	Parameters map[string]string
	Trigger    map[string]any
	TriggerID  string
	EventID    string
	By         string
	// Traceparent is the trace context of the delivery; empty when there is none.
	Traceparent string
}

// Started is the result of a Start.
type Started struct {
	Execution string
	Number    int
	// New is false when the same event had started the execution before.
	New bool
}

// Starter starts executions. Errors: invalid, precondition, unavailable.
type Starter interface {
	Start(ctx context.Context, s Start) (Started, error)
}

// Records keeps deliveries, the tips that polls have seen, and the due times of
// schedules.
type Records interface {
	GetRecord(ctx context.Context, collection, key string) (record.Record, error)
	PutRecord(ctx context.Context, r record.Record, events ...record.Event) (record.Record, error)
	DeleteRecord(ctx context.Context, collection, key string, version int64, events ...record.Event) error
	ListRecords(ctx context.Context, collection, prefix, after string, limit int) ([]record.Record, error)
}

// Secrets resolves secrets; *secret.Store implements it. Errors: not_found.
type Secrets interface {
	Resolve(ctx context.Context, name string) (string, error)
}

// Repositories reads Git remotes; *source.Fetcher implements it.
type Repositories interface {
	Refs(ctx context.Context, q source.Request) (source.Refs, error)
	Changed(ctx context.Context, q source.Request, from, to string) ([]string, error)
}

// Events is the event log. Follow sends the events after a position, in order,
// until ctx ends; then it closes the channel.
type Events interface {
	Follow(ctx context.Context, from int64, f record.Filter) <-chan record.Slice
	// Last returns the position of the newest event.
	Last(ctx context.Context) (int64, error)
}

// ident joins the parts of a trigger's identity. The identity comes from the
// trigger's content, not from its place in the file, so that moving the trigger
// changes nothing.
func ident(d Definition, parts ...string) string {
	return strings.Join(append([]string{d.Application, d.Pipeline.Name}, parts...), "/")
}

// recordKey is a trigger's identity as the key of a record.
func recordKey(d Definition, id string) string {
	sum := sha256.Sum256([]byte(id))
	return d.Application + "/" + d.Pipeline.Name + "/" + hex.EncodeToString(sum[:10])
}
