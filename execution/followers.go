package execution

import (
	"sync"

	"showrunner/store/record"
)

// followers are those who follow the event log. What a transition of this
// replica writes is handed to them, when it follows on what they have; of one
// that they have not selected, and most are that to most, they learn nothing.
// They read the log itself for what others have written, and when they are new
// or have fallen behind.
type followers struct {
	mu  sync.Mutex
	all map[*follower]struct{}
}

// follower is one of them; all but grown is under the lock of followers.
type follower struct {
	filter  record.Filter
	at      int64          // everything selected up to here is read, or in events
	events  []record.Event // handed over and not taken yet
	behind  bool           // there may be something selected after at
	reading bool           // the log is being read from at on
	grown   chan struct{}  // of one
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

// take returns what has been handed over, and its end. Where nothing has been,
// read says that the log has to be read from there on; look wants it read.
func (l *followers) take(me *follower, look bool) (events []record.Event, at int64, read bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	events, me.events = me.events, nil
	if len(events) == 0 && (me.behind || look) {
		me.behind, me.reading = false, true
	}
	return events, me.at, me.reading
}

// advance says up to where the log has been read, and whether there may be more.
func (l *followers) advance(me *follower, to int64, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	me.at, me.reading = max(me.at, to), false
	me.behind = me.behind || more
}

// raise says that the log has grown to a position; by what is not known.
func (l *followers) raise(position int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for f := range l.all {
		if f.at < position {
			f.fallBehind()
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
			if c.Err == nil && !c.Existed && c.Last > f.at {
				f.hand(c)
			}
		}
	}
}

// hand gives the follower the events of a change that it has selected.
func (f *follower) hand(c *Change) {
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
	default: // it is going to look
	}
}
