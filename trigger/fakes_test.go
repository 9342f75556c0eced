package trigger

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/source"
	"showrunner/store/record"
	"showrunner/store/record/recordtest"
)

// engine starts once for each (trigger, event), as the real engine does.
type engine struct {
	mu     sync.Mutex
	starts []Start
	known  map[[2]string]Started
	fail   error
}

func (e *engine) Start(_ context.Context, s Start) (Started, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fail != nil {
		return Started{}, e.fail
	}
	key := [2]string{s.TriggerID, s.EventID}
	if got, ok := e.known[key]; ok {
		got.New = false
		return got, nil
	}
	e.starts = append(e.starts, s)
	got := Started{Execution: fmt.Sprintf("x%d", len(e.starts)), Number: len(e.starts), New: true}
	if e.known == nil {
		e.known = map[[2]string]Started{}
	}
	e.known[key] = got
	return got, nil
}

func (e *engine) setFail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fail = err
}

func (e *engine) seen() []Start {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Start(nil), e.starts...)
}

// definitions can be replaced.
type definitions struct {
	mu      sync.Mutex
	all     []Definition
	changed chan struct{}
}

func define(all ...Definition) *definitions {
	return &definitions{all: all, changed: make(chan struct{})}
}

func (d *definitions) All(context.Context) ([]Definition, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.all, nil
}

func (d *definitions) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

func (d *definitions) set(all ...Definition) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = all
	close(d.changed)
	d.changed = make(chan struct{})
}

func def(application, name string, triggers ...pipeline.Trigger) Definition {
	return Definition{application, pipeline.Pipeline{Name: name, Triggers: triggers}}
}

type secrets map[string]string

func (s secrets) Resolve(_ context.Context, name string) (string, error) {
	if v, ok := s[name]; ok {
		return v, nil
	}
	return "", problem.New(problem.NotFound, "secret.resolve", "there is no secret named %q", name)
}

// remote is a Git remote.
type remote struct {
	mu    sync.Mutex
	refs  source.Refs
	paths []string
	err   error
	asked int
	q     source.Request
}

func (r *remote) Refs(_ context.Context, q source.Request) (source.Refs, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	r.q = q
	return r.refs, r.err
}

func (r *remote) Changed(context.Context, source.Request, string, string) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.paths, r.err
}

func (r *remote) set(head string, branches map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refs = source.Refs{Head: head, HeadTip: branches[head], Branches: branches}
}

// events is an event log in memory.
type events struct {
	mu   sync.Mutex
	all  []record.Event
	more chan struct{}
}

func (e *events) add(typ, application, name, execution string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, record.Event{Position: int64(len(e.all) + 1), Type: typ, Application: application, Pipeline: name, Execution: execution})
	if e.more != nil {
		close(e.more)
		e.more = nil
	}
}

func (e *events) Last(context.Context) (int64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return int64(len(e.all)), nil
}

func (e *events) Follow(ctx context.Context, from int64, f record.Filter) <-chan record.Slice {
	out := make(chan record.Slice)
	go func() {
		defer close(out)
		for {
			e.mu.Lock()
			var s record.Slice
			for _, ev := range e.all[from:] {
				if f.Match(ev) {
					s.Events = append(s.Events, ev)
				}
			}
			from = int64(len(e.all))
			s.Next = from
			if e.more == nil {
				e.more = make(chan struct{})
			}
			more := e.more
			e.mu.Unlock()
			if len(s.Events) > 0 {
				select {
				case out <- s:
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-more:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// fixture holds the fakes around a Service.
type fixture struct {
	t       *testing.T
	defs    *definitions
	engine  *engine
	records *recordtest.Records
	remote  *remote
	events  *events
}

func newFixture(t *testing.T, all ...Definition) *fixture {
	return &fixture{t, define(all...), &engine{}, &recordtest.Records{}, &remote{}, &events{}}
}

func (w *fixture) service(now func() time.Time) *Service {
	return NewService(Options{Definitions: w.defs, Starter: w.engine, Records: w.records, Secrets: secrets{"token": "hunter2"},
		Repositories: w.remote, Events: w.events, Now: now, Rand: func() float64 { return 0 }})
}

func (w *fixture) statuses() ([]Status, error) {
	all, err := w.defs.All(w.t.Context())
	if err != nil {
		return nil, err
	}
	return Statuses(w.t.Context(), w.records, "", all, Surroundings{URL: "https://deploy.example", Now: epoch})
}
