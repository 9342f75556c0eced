package execution

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"showrunner/store/record"
)

// reader does what Follow does, a step at a time.
type reader struct {
	l      *followers
	me     *follower
	log    *[]record.Event
	got    []record.Event
	under  []record.Event // what the reading under way will answer
	next   int64
	isRead bool
}

func (r *reader) woken() bool {
	select {
	case <-r.me.grown:
		return true
	default:
		return false
	}
}

// step takes what was handed over, or begins to read; and ends a reading.
func (r *reader) step() (again bool) {
	if r.isRead {
		r.isRead = false
		r.got = append(r.got, r.under...)
		r.l.advance(r.me, r.next, len(r.under) > 0)
		return len(r.under) > 0
	}
	events, at, read := r.l.take(r.me, false)
	r.got = append(r.got, events...)
	if !read {
		return len(events) > 0
	}
	r.isRead, r.under, r.next = true, nil, int64(len(*r.log))
	for _, e := range (*r.log)[at:] {
		if r.me.filter.Match(e) {
			r.under = append(r.under, e)
		}
	}
	if len(r.under) > 2 { // a reading has a limit
		r.under = r.under[:2]
		r.next = r.under[1].Position
	}
	return true
}

// TestFollowersMissNothing: whatever is told of the log, in which order and
// however late, a follower gets every event that it has selected, once, in
// order, when it looks whenever it is woken; and it is not woken for others.
func TestFollowersMissNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var log []record.Event // the event at i has position i+1
		appendOne := func() record.Event {
			log = append(log, record.Event{Type: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "type"), Position: int64(len(log) + 1)})
			e := log[len(log)-1]
			e.Position = 0 // whoever committed it knows where it ended
			return e
		}
		for range rapid.IntRange(0, 5).Draw(rt, "before") {
			appendOne()
		}
		from := int64(rapid.IntRange(0, len(log)).Draw(rt, "from"))
		l := &followers{}
		r := &reader{l: l, log: &log, me: l.join(from, record.Filter{Types: []string{"a"}})}
		awake := true
		var untold []func()
		for range rapid.IntRange(0, 40).Draw(rt, "steps") {
			switch rapid.IntRange(0, 4).Draw(rt, "what") {
			case 0: // a transition of this replica
				c := &Change{}
				for range rapid.IntRange(0, 3).Draw(rt, "events") {
					c.Events = append(c.Events, appendOne())
				}
				c.Last = int64(len(log))
				untold = append(untold, func() { l.committed([]*Change{c}) })
			case 1: // somebody else's
				appendOne()
				at := int64(len(log))
				untold = append(untold, func() { l.grewTo(at) })
			case 2:
				if len(untold) > 0 {
					i := rapid.IntRange(0, len(untold)-1).Draw(rt, "which")
					untold[i]()
					untold = slices.Delete(untold, i, i+1)
				}
			default:
				awake = (awake || r.woken()) && r.step()
			}
		}
		for _, tell := range untold {
			tell()
		}
		for awake || r.woken() {
			awake = r.step()
		}
		var want []record.Event
		for _, e := range log[from:] {
			if r.me.filter.Match(e) {
				want = append(want, e)
			}
		}
		same := func(a, b record.Event) bool { return a.Position == b.Position && a.Type == b.Type }
		if !slices.EqualFunc(r.got, want, same) {
			rt.Fatalf("got %v of %v", r.got, want)
		}
		l.committed([]*Change{{Events: []record.Event{{Type: "b"}}, Last: int64(len(log) + 1)}, {Err: ErrFenced, Events: []record.Event{{Type: "a"}}, Last: int64(len(log) + 2)}})
		if r.woken() {
			rt.Fatal("woken for an event that it has not selected")
		}
		if l.leave(r.me); len(l.all) > 0 {
			rt.Fatal("who has left is still there")
		}
	})
}
