// Package state keeps the documents of AWS's services: one JSON document a
// resource, in the control plane's records, changed by compare-and-set, so that
// they survive kill -9 and are the same for every replica.
package state

import (
	"context"
	"encoding/json"
	"iter"

	"showrunner/problem"
	"showrunner/store/record"
)

// Records keeps documents. GetRecord's error is not_found for what is not there;
// PutRecord's and DeleteRecord's is conflict when the version does not match.
type Records interface {
	GetRecord(ctx context.Context, collection, key string) (record.Record, error)
	PutRecord(ctx context.Context, r record.Record, events ...record.Event) (record.Record, error)
	DeleteRecord(ctx context.Context, collection, key string, version int64, events ...record.Event) error
	ListRecords(ctx context.Context, collection, prefix, after string, limit int) ([]record.Record, error)
}

// Collection is the documents of one kind. Keys are REGION/NAME by convention, so
// that a region's documents are listed by a prefix.
type Collection[T any] struct {
	records Records
	name    string
	page    int // how many records are read at once
}

// New is a collection; its name begins with "aws.".
func New[T any](records Records, name string) Collection[T] {
	return Collection[T]{records, name, 200}
}

// Paged is the collection with another number of documents read at once: few of
// large ones.
func (c Collection[T]) Paged(n int) Collection[T] {
	c.page = n
	return c
}

// Get is a document. Errors: not_found.
func (c Collection[T]) Get(ctx context.Context, key string) (T, error) {
	doc, _, err := c.get(ctx, key)
	return doc, err
}

func (c Collection[T]) get(ctx context.Context, key string) (doc T, version int64, err error) {
	r, err := c.records.GetRecord(ctx, c.name, key)
	if err != nil {
		return doc, 0, err
	}
	if err := json.Unmarshal(r.Data, &doc); err != nil {
		return doc, 0, problem.Wrap(err, problem.Internal, c.name, "the document %s cannot be read", key)
	}
	return doc, r.Version, nil
}

// Create adds a document. Errors: conflict when there is one.
func (c Collection[T]) Create(ctx context.Context, key string, doc T) error {
	return c.put(ctx, key, doc, 0)
}

func (c Collection[T]) put(ctx context.Context, key string, doc T, version int64) error {
	data, err := json.Marshal(doc)
	if err != nil {
		return problem.Wrap(err, problem.Internal, c.name, "writing %s", key)
	}
	_, err = c.records.PutRecord(ctx, record.Record{Collection: c.name, Key: key, Version: version, Data: data})
	return err
}

// Update changes a document with change, which may be called more than once and
// whose error leaves it as it is. It returns the document as it is then. Errors:
// not_found, or change's.
func (c Collection[T]) Update(ctx context.Context, key string, change func(*T) error) (T, error) {
	return c.update(ctx, key, change, false)
}

// Put is Update for a document that may not be there: change then begins with
// the zero one.
func (c Collection[T]) Put(ctx context.Context, key string, change func(*T) error) (T, error) {
	return c.update(ctx, key, change, true)
}

func (c Collection[T]) update(ctx context.Context, key string, change func(*T) error, make bool) (T, error) {
	for {
		doc, version, err := c.get(ctx, key)
		if err != nil && (!make || problem.CodeOf(err) != problem.NotFound) {
			return doc, err
		}
		if err := change(&doc); err != nil {
			return doc, err
		}
		if err = c.put(ctx, key, doc, version); problem.CodeOf(err) != problem.Conflict || ctx.Err() != nil {
			return doc, err
		}
	}
}

// Delete removes a document when allow says so of it; allow may be called more
// than once. Errors: not_found, or allow's.
func (c Collection[T]) Delete(ctx context.Context, key string, allow func(T) error) error {
	for {
		doc, version, err := c.get(ctx, key)
		if err != nil {
			return err
		}
		if allow != nil {
			if err := allow(doc); err != nil {
				return err
			}
		}
		if err = c.records.DeleteRecord(ctx, c.name, key, version); problem.CodeOf(err) != problem.Conflict || ctx.Err() != nil {
			return err
		}
	}
}

// All are the documents whose keys begin with prefix, by key. An error ends them.
func (c Collection[T]) All(ctx context.Context, prefix string) iter.Seq2[Entry[T], error] {
	return c.From(ctx, prefix, "")
}

// From is All for the keys that are greater than after.
func (c Collection[T]) From(ctx context.Context, prefix, after string) iter.Seq2[Entry[T], error] {
	return func(yield func(Entry[T], error) bool) {
		for after := after; ; {
			list, err := c.records.ListRecords(ctx, c.name, prefix, after, c.page)
			if err != nil {
				yield(Entry[T]{}, err)
				return
			}
			for _, r := range list {
				e := Entry[T]{Key: r.Key}
				if err := json.Unmarshal(r.Data, &e.Doc); err != nil {
					yield(e, problem.Wrap(err, problem.Internal, c.name, "the document %s cannot be read", r.Key))
					return
				}
				if !yield(e, nil) {
					return
				}
				after = r.Key
			}
			if len(list) < c.page {
				return
			}
		}
	}
}

// Entry is a document with its key.
type Entry[T any] struct {
	Key string
	Doc T
}

// List is All in a slice.
func (c Collection[T]) List(ctx context.Context, prefix string) ([]Entry[T], error) {
	var out []Entry[T]
	for e, err := range c.All(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}
