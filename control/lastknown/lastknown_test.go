package lastknown_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"showrunner/control"
	"showrunner/control/lastknown"
	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
)

// database is one that can be unreachable, or hang.
type database struct {
	control.Engine
	control.Records
	unreachable, hangs atomic.Bool
	slow               time.Duration // of a list
}

func (d *database) answer(ctx context.Context) error {
	if d.hangs.Load() {
		<-ctx.Done()
		return problem.Wrap(ctx.Err(), problem.Unavailable, "test", "given up")
	}
	if d.unreachable.Load() {
		return problem.New(problem.Unavailable, "test", "refused")
	}
	return nil
}

func (d *database) Get(ctx context.Context, id string) (execution.Execution, error) {
	if err := d.answer(ctx); err != nil {
		return execution.Execution{}, err
	}
	if id == "none" {
		return execution.Execution{}, problem.New(problem.NotFound, "test", "none")
	}
	return execution.Execution{ID: id}, nil
}

func (d *database) List(ctx context.Context, _ execution.Query) (execution.Page, error) {
	select {
	case <-time.After(d.slow):
	case <-ctx.Done():
		return execution.Page{}, problem.Wrap(ctx.Err(), problem.Unavailable, "test", "given up")
	}
	return execution.Page{Executions: []execution.Execution{{ID: "a"}, {ID: "b"}}}, d.answer(ctx)
}

func (d *database) End(ctx context.Context) (int64, error) { return 3, d.answer(ctx) }

func (d *database) Events(ctx context.Context, from int64, f record.Filter, limit int) (record.Slice, error) {
	s := record.Slice{Next: 3}
	for i := from + 1; i <= 3; i++ {
		s.Events = append(s.Events, record.Event{Position: i, Type: "execution.started"})
	}
	return s, d.answer(ctx)
}

func (d *database) PutRecord(ctx context.Context, r record.Record, _ ...record.Event) (record.Record, error) {
	return r, d.answer(ctx)
}

func TestReadsAnswerWithWhatWasKnownAndWritesAreRefused(t *testing.T) {
	for name, goAway := range map[string]func(*database){"refuses": func(d *database) { d.unreachable.Store(true) }, "hangs": func(d *database) { d.hangs.Store(true) }} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testUnreachable(t, goAway) })
		})
	}
}

func testUnreachable(t *testing.T, goAway func(*database)) {
	d := &database{}
	m := lastknown.New(time.Now)
	e, r := lastknown.Engine{Engine: d, Memory: m}, lastknown.Records{Records: d, Memory: m}
	run, stop := context.WithCancel(t.Context())
	go e.Run(run, func(ctx context.Context) { _, _ = e.List(ctx, execution.Query{Limit: 50}) })
	defer stop()
	known := time.Now()
	if x, err := e.Get(t.Context(), "x"); err != nil || x.ID != "x" {
		t.Fatal(x, err)
	}
	<-time.After(10 * time.Second) // the bubble's clock
	goAway(d)
	began := time.Now()
	ctx := lastknown.Track(t.Context())
	if x, err := e.Get(ctx, "x"); err != nil || x.ID != "x" {
		t.Fatal(x, err)
	}
	if at, old := lastknown.AsOf(ctx); !old || !at.Equal(known) {
		t.Errorf("as of %v, %v; want %v", at, old, known)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the first answer took %s", took)
	}
	page, err := e.List(ctx, execution.Query{Limit: 50, Parameters: map[string]string{}}) // which only Run has read
	if err != nil || len(page.Executions) != 2 {
		t.Error(page, err)
	}
	if s, err := e.Events(ctx, 1, record.Filter{Types: []string{"execution."}}, 10); err != nil || len(s.Events) != 2 || s.Next != 3 {
		t.Error(s, err)
	}
	if _, err := e.Get(ctx, "unknown"); problem.CodeOf(err) != problem.Unavailable || time.Since(began) > 4*time.Second {
		t.Error(err, time.Since(began))
	}
	began = time.Now()
	_, err = r.PutRecord(ctx, record.Record{})
	if p, ok := problem.Of(err); !ok || p.Code != problem.Unavailable || p.RetryAfter <= 0 || time.Since(began) > 0 {
		t.Errorf("a write was answered %v after %s", err, time.Since(began))
	}
	d.unreachable.Store(false)
	d.hangs.Store(false)
	<-time.After(4 * time.Second) // the bubble's clock
	ctx = lastknown.Track(t.Context())
	if _, err := e.Get(ctx, "unknown"); err != nil {
		t.Error(err)
	}
	if _, old := lastknown.AsOf(ctx); old {
		t.Error("an answer of now is marked as old")
	}
	if _, err := r.PutRecord(ctx, record.Record{}); err != nil {
		t.Error(err)
	}
}

// A database that is slow with one thing is not away for everything else.
func TestSlowIsNotUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{slow: 10 * time.Second}
		m := lastknown.New(time.Now)
		e, r := lastknown.Engine{Engine: d, Memory: m}, lastknown.Records{Records: d, Memory: m}
		run, stop := context.WithCancel(t.Context())
		defer stop()
		go e.Run(run, func(context.Context) {})
		if page, err := e.List(t.Context(), execution.Query{Limit: 5}); err != nil || len(page.Executions) != 2 {
			t.Error(page, err)
		}
		ctx := lastknown.Track(t.Context()) // it is remembered now, and three seconds are enough
		began := time.Now()
		if page, err := e.List(ctx, execution.Query{Limit: 5}); err != nil || len(page.Executions) != 2 || time.Since(began) > 4*time.Second {
			t.Error(page, err, time.Since(began))
		}
		if _, old := lastknown.AsOf(ctx); !old {
			t.Error("what was remembered is not marked")
		}
		d.slow = time.Minute
		if _, err := e.List(t.Context(), execution.Query{Limit: 6}); problem.CodeOf(err) != problem.Unavailable || e.Unreachable() {
			t.Error(err, e.Unreachable())
		}
		if _, err := r.PutRecord(t.Context(), record.Record{}); err != nil {
			t.Error(err)
		}
	})
}

// A read that waits does not wait on when the database goes away meanwhile.
func TestWaitingEndsWhenItGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{slow: time.Minute}
		e := lastknown.Engine{Engine: d, Memory: lastknown.New(time.Now)}
		run, stop := context.WithCancel(t.Context())
		defer stop()
		go e.Run(run, func(context.Context) {})
		synctest.Wait()
		d.unreachable.Store(true)
		began := time.Now()
		if _, err := e.List(t.Context(), execution.Query{Limit: 5}); problem.CodeOf(err) != problem.Unavailable || time.Since(began) > time.Second || !e.Unreachable() {
			t.Error(err, time.Since(began), e.Unreachable())
		}
	})
}

func TestOtherErrorsAreNoOutage(t *testing.T) {
	d := &database{}
	e := lastknown.Engine{Engine: d, Memory: lastknown.New(time.Now)}
	if _, err := e.Get(t.Context(), "none"); problem.CodeOf(err) != problem.NotFound || e.Unreachable() {
		t.Error(err, e.Unreachable())
	}
	given, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the caller has gone"))
	d.hangs.Store(true)
	if _, err := e.Get(given, "x"); err == nil || e.Unreachable() {
		t.Error(err, e.Unreachable())
	}
}

func TestAnswersThatAreOldSaySo(t *testing.T) {
	d := &database{}
	m := lastknown.New(time.Now)
	e := lastknown.Engine{Engine: d, Memory: m}
	h := lastknown.Mark(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := e.Get(r.Context(), "x"); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusOK)
	}), time.Now)
	for _, unreachable := range []bool{false, true} {
		d.unreachable.Store(unreachable)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		if marked := w.Header().Get(lastknown.AsOfHeader) != ""; marked != unreachable || (w.Header().Get("Warning") != "") != unreachable {
			t.Errorf("unreachable %t: %v", unreachable, w.Header())
		}
	}
}
