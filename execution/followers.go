package execution

import (
	"sync"

	"showrunner/store/record"
)

// followers are the readers that follow the event log. They are served from an
// in-memory tail: the events that this replica commits are pushed to every follower
// that selects them and has everything before them. A follower reads the log itself
// for what other replicas wrote, when it is new, and when it has fallen behind.
type followers struct {
	mu  sync.Mutex
	all map[*follower]struct{}
}

// follower is one reader. The lock of followers guards all but grown.
type follower struct {
	filter  record.Filter
	at      int64          // all selected events up to this position were read or are in events
	events  []record.Event // pushed and not taken yet
	behind  bool           // the log may hold selected events after at
	reading bool           // the follower is reading the log from at on
	grown   chan struct{}  // capacity 1: there is something to take or to read
}

func (l *followers) join(at int64, f record.Filter) *follower {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[*follower]struct{}{}
	}
	me := &follower{filter: f, at: at, behind: true, grown: make(chan struct{}, 1)}
	l.all[me] = struct{}{}
	return me
}

func (l *followers) leave(me *follower) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, me)
}

// take returns the events that were pushed, and the position that they reach. When
// there are none, read says that the follower has to read the log from that position
// on; look asks for that.
func (l *followers) take(me *follower, look bool) (events []record.Event, at int64, read bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	events, me.events = me.events, nil
	if len(events) == 0 && (me.behind || look) {
		me.behind, me.reading = false, true
	}
	return events, me.at, me.reading
}

// advance records up to which position a follower has read the log, and whether
// there may be more.
func (l *followers) advance(me *follower, to int64, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	me.at, me.reading = max(me.at, to), false
	me.behind = me.behind || more
}

// grewTo records that another replica has appended events up to a position.
func (l *followers) grewTo(position int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for f := range l.all {
		if f.at < position {
			f.fallBehind()
		}
	}
}

// committed pushes the events of a batch of this replica. The events of one change
// have positions without a gap, up to its Last.
func (l *followers) committed(batch []*Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for f := range l.all {
		for _, c := range batch {
			if c.Err == nil && !c.Existed && c.Last > f.at {
				f.push(c)
			}
		}
	}
}

// push gives the follower the events of a change that it selects.
func (f *follower) push(c *Change) {
	first := c.Last - int64(len(c.Events)) + 1
	follows := first == f.at+1 && !f.reading && len(f.events) < maxEvents
	for i := range c.Events {
		if !f.filter.Match(c.Events[i]) {
			continue
		}
		if !follows {
			f.fallBehind()
			return
		}
		e := c.Events[i]
		e.Position = first + int64(i)
		f.events = append(f.events, e)
		f.wake()
	}
	if follows {
		f.at = c.Last
	}
}

func (f *follower) fallBehind() {
	f.behind = true
	f.wake()
}

func (f *follower) wake() {
	select {
	case f.grown <- struct{}{}:
	default: // it was told already
	}
}
