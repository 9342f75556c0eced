package lastknown

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"showrunner/control"
	"showrunner/execution"
	"showrunner/store/record"
)

// Engine is the engine with reads that the memory answers for.
type Engine struct {
	control.Engine
	*Memory
}

// Get implements control.Engine.
func (e Engine) Get(ctx context.Context, id string) (execution.Execution, error) {
	x, err := read(ctx, e.Memory, "execution "+id, func(ctx context.Context) (execution.Execution, error) { return e.Engine.Get(ctx, id) })
	x.Stages = slices.Clone(x.Stages) // what is remembered is not the caller's
	return x, err
}

// listLimit is how large a page may be to be remembered.
const listLimit = 100

// List implements control.Engine. Pages further down are not remembered.
func (e Engine) List(ctx context.Context, q execution.Query) (execution.Page, error) {
	key := ""
	if q.After == "" && q.Limit <= listLimit {
		named := q
		if len(named.Parameters) == 0 {
			named.Parameters = nil
		}
		raw, _ := json.Marshal(named) // plain fields
		key = "list " + string(raw)
	}
	page, err := read(ctx, e.Memory, key, func(ctx context.Context) (execution.Page, error) { return e.Engine.List(ctx, q) })
	page.Executions = slices.Clone(page.Executions)
	return page, err
}

// newest is how many of the last events are remembered.
const newest = 2000

// tail is the end of the event log.
type tail struct {
	from, end int64
	events    []record.Event
}

// Events implements control.Engine. While the database is unreachable it answers for the
// newest events only.
func (e Engine) Events(ctx context.Context, from int64, f record.Filter, limit int) (record.Slice, error) {
	s, err := read(ctx, e.Memory, "", func(ctx context.Context) (record.Slice, error) { return e.Engine.Events(ctx, from, f, limit) })
	if err == nil || !e.Unreachable() {
		return s, err
	}
	a, ok := e.recall("tail")
	if !ok {
		return s, err
	}
	t := a.value.(tail)
	if from < t.from || f.Execution != "" {
		return s, err
	}
	note(ctx, a.at)
	out := record.Slice{Next: max(t.end, from)}
	for _, x := range t.events {
		if x.Position > from && f.Match(x) && len(out.Events) < limit {
			out.Events = append(out.Events, x)
		}
	}
	if n := len(out.Events); n > 0 && n == limit {
		out.Next = out.Events[n-1].Position
	}
	return out, nil
}

// End implements control.Engine.
func (e Engine) End(ctx context.Context) (int64, error) {
	return read(ctx, e.Memory, "end", e.Engine.End)
}

// Records are the records with reads that the memory answers for.
type Records struct {
	control.Records
	*Memory
}

// GetRecord implements control.Records.
func (r Records) GetRecord(ctx context.Context, collection, key string) (record.Record, error) {
	return read(ctx, r.Memory, "record "+collection+" "+key, func(ctx context.Context) (record.Record, error) {
		return r.Records.GetRecord(ctx, collection, key)
	})
}

// ListRecords implements control.Records.
func (r Records) ListRecords(ctx context.Context, collection, prefix, after string, limit int) ([]record.Record, error) {
	raw, _ := json.Marshal([]any{collection, prefix, after, limit}) // texts and a number
	list, err := read(ctx, r.Memory, "records "+string(raw), func(ctx context.Context) ([]record.Record, error) {
		return r.Records.ListRecords(ctx, collection, prefix, after, limit)
	})
	return slices.Clone(list), err
}

// PutRecord implements control.Records.
func (r Records) PutRecord(ctx context.Context, x record.Record, events ...record.Event) (record.Record, error) {
	return write(ctx, r.Memory, func(ctx context.Context) (record.Record, error) { return r.Records.PutRecord(ctx, x, events...) })
}

// DeleteRecord implements control.Records.
func (r Records) DeleteRecord(ctx context.Context, collection, key string, version int64, events ...record.Event) error {
	_, err := write(ctx, r.Memory, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, r.Records.DeleteRecord(ctx, collection, key, version, events...)
	})
	return err
}

// AppendEvents implements control.Records.
func (r Records) AppendEvents(ctx context.Context, events ...record.Event) error {
	_, err := write(ctx, r.Memory, func(ctx context.Context) (struct{}, error) { return struct{}{}, r.Records.AppendEvents(ctx, events...) })
	return err
}

// Run keeps what people look at first in memory until ctx ends, and asks for a
// database that is unreachable. Warm reads through this Engine, as people do, so
// that the same answers are remembered.
func (e Engine) Run(ctx context.Context, warm func(context.Context)) {
	t := time.NewTimer(0)
	defer t.Stop()
	seen, warmed := int64(-1), time.Time{}
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		limited, cancel := context.WithTimeout(ctx, readLimit)
		end, err := e.Engine.End(limited)
		cancel()
		e.set(err != nil && ctx.Err() == nil)
		if err == nil {
			e.remember("end", end)
		}
		if err == nil && end != seen && e.now().Sub(warmed) >= warmEvery {
			seen, warmed = end, e.now()
			e.readTail(ctx, end)
			warm(ctx)
		}
		t.Reset(probeEvery)
	}
}

func (e Engine) readTail(ctx context.Context, end int64) {
	t := tail{from: max(end-newest, 0), end: end}
	for from := t.from; from < end; {
		s, err := e.Engine.Events(ctx, from, record.Filter{}, newest)
		if err != nil {
			return
		}
		t.events = append(t.events, s.Events...)
		if s.Next <= from {
			break
		}
		from = s.Next
	}
	e.remember("tail", t)
}
