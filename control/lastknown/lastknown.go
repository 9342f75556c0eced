package lastknown

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"

	"showrunner/problem"
)

const (
	// readLimit is how long the database may take to say where its log ends before
	// it counts as unreachable: one that hangs refuses nothing. No read with an answer that
	// is remembered waits longer.
	readLimit = 3 * time.Second
	// patience is how long a read may take that nothing is remembered for: slow is
	// not away.
	patience = 15 * time.Second
	// writeLimit is the same for a change of a record.
	writeLimit = 5 * time.Second
	// probeEvery is how often the database is asked whether it is there.
	probeEvery = 500 * time.Millisecond
	// warmEvery is how often what people look at first is read, where something has changed.
	warmEvery = 5 * time.Second
	// keep is how many answers are remembered.
	keep = 256
)

// Memory holds answers, the most recently used ones.
type Memory struct {
	now func() time.Time

	mu          sync.Mutex
	answers     map[string]*list.Element
	order       list.List // of *answer, the most recently used first
	unreachable bool
	present     context.Context // ends when the database goes away
	gone        context.CancelFunc
}

type answer struct {
	key   string
	at    time.Time
	value any
}

// New makes an empty memory.
func New(now func() time.Time) *Memory {
	m := &Memory{now: now, answers: map[string]*list.Element{}}
	m.present, m.gone = context.WithCancel(context.Background())
	return m
}

type trackerKey struct{}

// tracker is the age of the oldest answer that a request was given.
type tracker struct {
	mu sync.Mutex
	at time.Time
}

// Track returns a context whose reads are noted for AsOf.
func Track(ctx context.Context) context.Context {
	return context.WithValue(ctx, trackerKey{}, &tracker{})
}

// AsOf says of when the oldest answer is that was remembered; false: all of them
// are of now.
func AsOf(ctx context.Context) (time.Time, bool) {
	t, _ := ctx.Value(trackerKey{}).(*tracker)
	if t == nil {
		return time.Time{}, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at, !t.at.IsZero()
}

func note(ctx context.Context, at time.Time) {
	t, _ := ctx.Value(trackerKey{}).(*tracker)
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.at.IsZero() || at.Before(t.at) {
		t.at = at
	}
}

// Unreachable tells whether the database was unreachable when it was asked last.
func (m *Memory) Unreachable() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.unreachable
}

// set says how it stands.
func (m *Memory) set(unreachable bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case unreachable:
		m.gone()
	case m.unreachable:
		m.present, m.gone = context.WithCancel(context.Background())
	}
	m.unreachable = unreachable
}

// whilePresent returns a context that also ends when the database goes away.
func (m *Memory) whilePresent(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	m.mu.Lock()
	present := m.present
	m.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, limit)
	stop := context.AfterFunc(present, cancel)
	return limited, func() { stop(); cancel() }
}

func (m *Memory) remember(key string, value any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.answers[key]; ok {
		e.Value = &answer{key, m.now(), value}
		m.order.MoveToFront(e)
		return
	}
	m.answers[key] = m.order.PushFront(&answer{key, m.now(), value})
	for m.order.Len() > keep {
		e := m.order.Back()
		delete(m.answers, e.Value.(*answer).key)
		m.order.Remove(e)
	}
}

func (m *Memory) recall(key string) (*answer, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.answers[key]
	if !ok {
		return nil, false
	}
	m.order.MoveToFront(e)
	return e.Value.(*answer), true
}

// read asks the database, and where it is unreachable, the memory. What is returned is
// shared: it must not be changed. An empty key is not remembered.
func read[T any](ctx context.Context, m *Memory, key string, ask func(context.Context) (T, error)) (T, error) {
	if !m.Unreachable() {
		limit := readLimit
		if _, known := m.recall(key); !known {
			limit = patience
		}
		limited, cancel := m.whilePresent(ctx, limit)
		v, err := ask(limited)
		slow := limited.Err() != nil
		cancel()
		if err == nil {
			if key != "" {
				m.remember(key, v)
			}
			return v, nil
		}
		if problem.CodeOf(err) != problem.Unavailable || ctx.Err() != nil {
			return v, err
		}
		if !slow { // whether it is unreachable or only slow, Run finds out
			m.set(true)
		}
	}
	var none T
	a, ok := m.recall(key)
	if !ok && !m.Unreachable() {
		return none, unavailable("read", "the database does not answer in time")
	}
	if !ok {
		return none, unavailable("read", "the database is unreachable, and this was not read before it went")
	}
	v, ok := a.value.(T)
	if !ok {
		return none, problem.New(problem.Internal, "read", "%s is remembered as %s", key, fmt.Sprintf("%T", a.value))
	}
	note(ctx, a.at)
	return v, nil
}

// write refuses changes while the database is unreachable, and does not wait for one that hangs.
func write[T any](ctx context.Context, m *Memory, do func(context.Context) (T, error)) (T, error) {
	var none T
	if m.Unreachable() {
		return none, unavailable("write", "the database is unreachable; nothing was changed")
	}
	limited, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	v, err := do(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return none, unavailable("write", "the database does not answer, and it is not known whether this has been recorded")
	}
	return v, err
}

func unavailable(op, message string) *problem.Error {
	p := problem.New(problem.Unavailable, op, "%s", message)
	p.RetryAfter = 2 * time.Second
	return p
}
