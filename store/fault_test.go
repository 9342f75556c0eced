package store_test

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store"
	"showrunner/store/record"
)

// TestEveryCallIsHit: a fault refuses every call of a store and of its session that
// reaches the database, so that none added later is forgotten.
func TestEveryCallIsHit(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "a.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f := store.NewFaulty(s, time.Now)
	session, err := f.Join(t.Context(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	f.Begin(store.Fault{ID: "away", Away: true, Until: time.Now().Add(time.Hour)})
	exempt := []string{"Close", "Owner", "Notices", "Leave"}
	for _, on := range []struct {
		value any
		as    reflect.Type
	}{{f, reflect.TypeFor[store.Store]()}, {session, reflect.TypeFor[execution.Session]()}} {
		for n := range on.as.NumMethod() {
			m := on.as.Method(n)
			if slices.Contains(exempt, m.Name) {
				continue
			}
			args := []reflect.Value{reflect.ValueOf(t.Context())}
			for i := 1; i < m.Type.NumIn(); i++ {
				if m.Type.IsVariadic() && i == m.Type.NumIn()-1 {
					break
				}
				args = append(args, reflect.Zero(m.Type.In(i)))
			}
			out := reflect.ValueOf(on.value).MethodByName(m.Name).Call(args)
			err, _ := out[len(out)-1].Interface().(error)
			if problem.CodeOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "fault away") {
				t.Errorf("%s: %v", m.Name, err)
			}
		}
	}
	if _, err := f.ListRecords(f.Direct(t.Context()), "c", "", "", 1); err != nil {
		t.Errorf("a direct call: %v", err)
	}
	f.End("away")
	if _, err := f.ListRecords(t.Context(), "c", "", "", 1); err != nil || f.Has("away") {
		t.Errorf("after the end: %v", err)
	}
	if err := session.Leave(t.Context()); err != nil {
		t.Error(err)
	}
}

// emptyStore answers that nothing is there.
type emptyStore struct {
	store.Store
	puts atomic.Int64
}

func (*emptyStore) GetRecord(context.Context, string, string) (record.Record, error) {
	return record.Record{}, nil
}

func (s *emptyStore) PutRecord(_ context.Context, r record.Record, _ ...record.Event) (record.Record, error) {
	s.puts.Add(1)
	return r, nil
}

// TestSlowDisk: changes take longer, reads do not; the end of the fault and of its time
// let go of what waits, without the store.
func TestSlowDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := &emptyStore{}
		f := store.NewFaulty(inner, time.Now)
		slow := store.Fault{ID: "slow", Latency: 300 * time.Millisecond, Jitter: 100 * time.Millisecond, Until: time.Now().Add(time.Minute)}
		f.Begin(slow)
		took := func(do func() error) time.Duration {
			began := time.Now()
			if err := do(); err != nil {
				t.Error(err)
			}
			return time.Since(began)
		}
		put := func() error { _, err := f.PutRecord(t.Context(), record.Record{}); return err }
		for range 50 {
			if d := took(put); d < 200*time.Millisecond || d >= 400*time.Millisecond {
				t.Fatalf("a change took %s", d)
			}
		}
		if d := took(func() error { _, err := f.GetRecord(t.Context(), "c", "k"); return err }); d != 0 {
			t.Errorf("a read took %s", d)
		}
		slow.Latency, slow.Jitter = time.Hour, 0
		f.Begin(slow)
		if d := took(put); d > time.Minute {
			t.Errorf("a change waited for %s, longer than the fault", d)
		}
		if f.Has("slow") {
			t.Error("it outlives its time")
		}
		slow.Until = time.Now().Add(time.Hour)
		f.Begin(slow)
		done := make(chan time.Duration, 1)
		go func() { done <- took(put) }()
		synctest.Wait()
		f.End("slow")
		if d := <-done; d != 0 {
			t.Errorf("a change waited for %s after the end", d)
		}
		f.Begin(slow)
		before := inner.puts.Load()
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("gave up"))
		if _, err := f.PutRecord(ctx, record.Record{}); problem.CodeOf(err) != problem.Unavailable || inner.puts.Load() != before {
			t.Errorf("a call that was given up: %v", err)
		}
	})
}
