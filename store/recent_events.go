package store

import (
	"sync"

	"showrunner/store/record"
)

// recentEventsKept is how many of the last events are kept in memory.
const recentEventsKept = 2048

// recentEvents keeps the end of the event log in memory. Readers that follow the
// log are served from it, without a query.
type recentEvents struct {
	mu     sync.RWMutex
	last   int64          // position of the last event
	events []record.Event // in order, without a gap, up to last
}

func (t *recentEvents) add(events []record.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(events) == 0 {
		return
	}
	t.last = events[len(events)-1].Position
	t.events = append(t.events, events...)
	if n := len(t.events) - recentEventsKept; n > recentEventsKept { // a copy now and then, not at every commit
		t.events = append([]record.Event(nil), t.events[n:]...)
	}
}

// read answers as ReadEvents does; false: some of it may no longer be here.
func (t *recentEvents) read(from int64, f record.Filter, limit int) (record.Slice, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if from < 0 || limit < 1 || from < t.last-int64(len(t.events)) {
		return record.Slice{}, false
	}
	out := record.Slice{Next: max(from, t.last)}
	if from >= t.last {
		return out, true
	}
	for _, e := range t.events[int64(len(t.events))-(t.last-from):] {
		if !f.Match(e) {
			continue
		}
		if out.Events = append(out.Events, e); len(out.Events) == limit {
			out.Next = e.Position
			break
		}
	}
	return out, true
}

// forget drops what has been removed from the database, up to a position.
func (t *recentEvents) forget(floor int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := int64(len(t.events)) - (t.last - floor); n > 0 {
		t.events = t.events[min(n, int64(len(t.events))):]
	}
}
