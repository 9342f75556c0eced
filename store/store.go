package store

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"time"

	"showrunner/cloud/journal"
	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
)

// Store is what a database offers beyond the engine's port.
type Store interface {
	execution.Store
	journal.Store
	// GetRecord returns a record. Errors: not_found, unavailable.
	GetRecord(ctx context.Context, collection, key string) (record.Record, error)
	// PutRecord creates (Version 0) or replaces a record of exactly the Version
	// given, with events in the same transaction. Errors: conflict, unavailable.
	PutRecord(ctx context.Context, r record.Record, events ...record.Event) (record.Record, error)
	// DeleteRecord removes a record of exactly the version given. Errors:
	// not_found, conflict, unavailable.
	DeleteRecord(ctx context.Context, collection, key string, version int64, events ...record.Event) error
	// ListRecords returns records whose keys begin with prefix and follow after, by key.
	ListRecords(ctx context.Context, collection, prefix, after string, limit int) ([]record.Record, error)
	// AppendEvents adds events to the log on their own.
	AppendEvents(ctx context.Context, events ...record.Event) error
	// Peers says how many other sessions live in the database.
	Peers(ctx context.Context) (int, error)
	// Lives tells whether a session goes on, by its Owner. Errors: unavailable.
	Lives(ctx context.Context, owner string) (bool, error)
	// Backup writes everything durable, as of one moment, while work goes on.
	Backup(ctx context.Context, w io.Writer) error
	Close() error
}

// Options are common to both stores. All may be zero.
type Options struct {
	Now func() time.Time
	// Lease is how long a replica that has stopped answering keeps its work
	// (PostgreSQL only); default 5s.
	Lease time.Duration
	// Direct is the address for a replica's own session when the database's
	// address leads through a connection pooler (PostgreSQL only).
	Direct string
}

// Open opens the store that an address names: postgres://… or the path of a SQLite file.
func Open(ctx context.Context, address string, o Options) (Store, error) {
	if IsPostgres(address) {
		p, err := OpenPostgres(ctx, address, o)
		if err != nil {
			return nil, err // not a store that holds a nil pointer
		}
		return p, nil
	}
	s, err := OpenSQLite(ctx, address, o)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// IsPostgres tells whether an address is that of a PostgreSQL database.
func IsPostgres(address string) bool {
	return strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://")
}

func (o Options) now() time.Time {
	if o.Now == nil {
		return time.Now().UTC()
	}
	return o.Now().UTC()
}

// schemaVersion is that of the newest migration.
const schemaVersion = 7

func newerSchema(found int) error {
	return problem.New(problem.Precondition, "store.open", "the database has schema version %d, and this program knows only up to %d", found, schemaVersion).
		WithHelp("It was written by a newer version of showrunner. Run that version, or restore a backup made before the upgrade.")
}

// allStatuses in the order in which lists ask for them.
var allStatuses = []execution.Status{execution.NotStarted, execution.Running, execution.Paused, execution.Succeeded,
	execution.FailedContinue, execution.Terminal, execution.Canceled, execution.Stopped, execution.Skipped}

// headJSON encodes the parts of a head that are kept as JSON.
func headJSON(h *execution.Head) (request, state []byte, err error) {
	if request, err = json.Marshal(h.Request); err != nil {
		return nil, nil, problem.Wrap(err, problem.Invalid, "store.commit", "the request of execution %s cannot be kept", h.ID)
	}
	if state, err = json.Marshal(h.State); err != nil {
		return nil, nil, problem.Wrap(err, problem.Internal, "store.commit", "the state of execution %s cannot be kept", h.ID)
	}
	return request, state, nil
}

func headFromJSON(h *execution.Head, request, state []byte) error {
	if err := json.Unmarshal(request, &h.Request); err != nil {
		return problem.Wrap(err, problem.Internal, "store.load", "the request of execution %s is damaged", h.ID)
	}
	if err := json.Unmarshal(state, &h.State); err != nil {
		return problem.Wrap(err, problem.Internal, "store.load", "the state of execution %s is damaged", h.ID)
	}
	return nil
}

// millis is how times are kept: milliseconds since 1970, nil for none.
func millis(t *time.Time) any {
	if t == nil || t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func fromMillisPtr(ms *int64) *time.Time {
	if ms == nil {
		return nil
	}
	t := fromMillis(*ms)
	return &t
}

func notFound(op, id string) error {
	return problem.New(problem.NotFound, op, "there is no execution %s", id)
}

func ended(op, id string) error {
	return problem.New(problem.Precondition, op, "execution %s has ended", id)
}
