package execution

import (
	"sync"

	"showrunner/store/record"
)

// followers are those who follow the event log. One is woken when what it has
// selected may have come: of a transition that it has not selected, and most
// are that to most, it learns only that it need not read it.
type followers struct {
	mu  sync.Mutex
	all map[*follower]struct{}
}

type follower struct {
	filter record.Filter
	at     int64         // nothing selected is unread up to here; the lock is that of followers
	grown  chan struct{} // of one
}

func (l *followers) join(at int64, f record.Filter) *follower {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[*follower]struct{}{}
	}
	me := &follower{filter: f, at: at, grown: make(chan struct{}, 1)}
	l.all[me] = struct{}{}
	return me
}

func (l *followers) leave(me *follower) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, me)
}

// place is where the follower reads from.
func (l *followers) place(me *follower) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return me.at
}

// advance says that the follower has read up to a position.
func (l *followers) advance(me *follower, to int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	me.at = max(me.at, to)
}

// raise says that the log has grown to a position; by what is not known.
func (l *followers) raise(position int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for f := range l.all {
		if f.at < position {
			f.wake()
		}
	}
}

// raised says that the log has grown by the events of a batch. Those of one
// change have positions without a gap, up to its Last.
func (l *followers) raised(batch []*Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for f := range l.all {
		for _, c := range batch {
			f.take(c)
		}
	}
}

// take wakes the follower for a change with an event that it has selected, and
// else has it pass over the change when that follows on what it has read.
func (f *follower) take(c *Change) {
	if c.Last == 0 || c.Err != nil {
		return
	}
	for i := range c.Events {
		if f.filter.Match(c.Events[i]) {
			f.wake()
			return
		}
	}
	if f.at == c.Last-int64(len(c.Events)) {
		f.at = c.Last
	}
}

func (f *follower) wake() {
	select {
	case f.grown <- struct{}{}:
	default: // it is going to look
	}
}
