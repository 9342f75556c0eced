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

// Definitions are the pipelines there are.
type Definitions interface {
	// All returns every pipeline of every application. It is asked at every
	// delivery and should answer from memory.
	All(ctx context.Context) ([]Definition, error)
	// Changed returns a channel that is closed at the next change after the call.
	Changed() <-chan struct{}
}

// Start asks for an execution. TriggerID and EventID make it happen once.
type Start struct {
	Definition Definition
	Parameters map[string]string
	Trigger    map[string]any
	TriggerID  string
	EventID    string
	By         string
}

// Started is what became of a Start.
type Started struct {
	Execution string
	Number    int
	// New is false when this event had started it before.
	New bool
}

// Starter starts executions. Errors: invalid, precondition, unavailable.
type Starter interface {
	Start(ctx context.Context, s Start) (Started, error)
}

// Records keeps deliveries, what polls saw last, and when schedules are due.
type Records interface {
	GetRecord(ctx context.Context, collection, key string) (record.Record, error)
	PutRecord(ctx context.Context, r record.Record, events ...record.Event) (record.Record, error)
	DeleteRecord(ctx context.Context, collection, key string, version int64, events ...record.Event) error
	ListRecords(ctx context.Context, collection, prefix, after string, limit int) ([]record.Record, error)
}

// Secrets resolves secrets; *secret.Store is one. Errors: not_found.
type Secrets interface {
	Resolve(ctx context.Context, name string) (string, error)
}

// Repositories asks Git remotes; *source.Fetcher is one.
type Repositories interface {
	Refs(ctx context.Context, q source.Request) (source.Refs, error)
	Changed(ctx context.Context, q source.Request, from, to string) ([]string, error)
}

// Events is the event log. Follow sends what comes after a position, in order,
// until ctx ends, when it closes the channel.
type Events interface {
	Follow(ctx context.Context, from int64, f record.Filter) <-chan record.Slice
	// Last returns the position of the newest event.
	Last(ctx context.Context) (int64, error)
}

// ident joins the parts of a trigger's identity. It names the trigger by what it
// is, not by its place in the file, so that moving it changes nothing.
func ident(d Definition, parts ...string) string {
	return strings.Join(append([]string{d.Application, d.Pipeline.Name}, parts...), "/")
}

// recordKey is a trigger's identity as the key of a record.
func recordKey(d Definition, id string) string {
	sum := sha256.Sum256([]byte(id))
	return d.Application + "/" + d.Pipeline.Name + "/" + hex.EncodeToString(sum[:10])
}
