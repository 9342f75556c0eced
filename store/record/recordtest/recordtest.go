// Package recordtest keeps records in memory, for tests of code that uses the
// records port. It behaves like package store.
package recordtest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"showrunner/problem"
	"showrunner/store/record"
)

// Records is an empty store when zero. Now may be set before it is used.
type Records struct {
	Now func() time.Time
	// Fail, when it returns an error, refuses the operation ("get", "put",
	// "delete", "list", "append") with it.
	Fail func(op, collection, key string) error

	mu     sync.Mutex
	kept   map[[2]string]record.Record
	events []record.Event
}

func (r *Records) refuse(op, collection, key string) error {
	if r.Fail == nil {
		return nil
	}
	return r.Fail(op, collection, key)
}

// GetRecord implements the port.
func (r *Records) GetRecord(_ context.Context, collection, key string) (record.Record, error) {
	if err := r.refuse("get", collection, key); err != nil {
		return record.Record{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	got, ok := r.kept[[2]string{collection, key}]
	if !ok {
		return record.Record{}, problem.New(problem.NotFound, "record.get", "no %s record %q", collection, key)
	}
	return got, nil
}

// PutRecord implements the port.
func (r *Records) PutRecord(_ context.Context, rec record.Record, events ...record.Event) (record.Record, error) {
	if err := r.refuse("put", rec.Collection, rec.Key); err != nil {
		return record.Record{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	id := [2]string{rec.Collection, rec.Key}
	if r.kept[id].Version != rec.Version {
		return record.Record{}, problem.New(problem.Conflict, "record.put", "%s record %q is at version %d, not %d", rec.Collection, rec.Key, r.kept[id].Version, rec.Version)
	}
	if r.kept == nil {
		r.kept = map[[2]string]record.Record{}
	}
	rec.Version++
	rec.Data = slices.Clone(rec.Data)
	rec.Updated = r.now()
	r.kept[id] = rec
	r.log(events)
	return rec, nil
}

// DeleteRecord implements the port.
func (r *Records) DeleteRecord(_ context.Context, collection, key string, version int64, events ...record.Event) error {
	if err := r.refuse("delete", collection, key); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	id := [2]string{collection, key}
	got, ok := r.kept[id]
	if !ok {
		return problem.New(problem.NotFound, "record.delete", "no %s record %q", collection, key)
	}
	if got.Version != version {
		return problem.New(problem.Conflict, "record.delete", "%s record %q is at version %d, not %d", collection, key, got.Version, version)
	}
	delete(r.kept, id)
	r.log(events)
	return nil
}

// ListRecords implements the port.
func (r *Records) ListRecords(_ context.Context, collection, prefix, after string, limit int) ([]record.Record, error) {
	if err := r.refuse("list", collection, prefix); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []record.Record
	for id, rec := range r.kept {
		if id[0] == collection && strings.HasPrefix(id[1], prefix) && id[1] > after {
			list = append(list, rec)
		}
	}
	slices.SortFunc(list, func(a, b record.Record) int { return strings.Compare(a.Key, b.Key) })
	return list[:min(limit, len(list))], nil
}

// AppendEvents implements the port; Fail is asked about "append".
func (r *Records) AppendEvents(_ context.Context, events ...record.Event) error {
	if err := r.refuse("append", "", ""); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log(events)
	return nil
}

// Events returns the events written so far.
func (r *Records) Events() []record.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

func (r *Records) log(events []record.Event) {
	for _, e := range events {
		e.Position = int64(len(r.events) + 1)
		r.events = append(r.events, e)
	}
}

func (r *Records) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}
