package execution

import (
	"testing"

	"pgregory.net/rapid"

	"showrunner/store/record"
)

// TestFollowersMissNothing: whatever is told of the log in which order, a
// follower that has not been woken has nothing selected left to read, once
// everything has been told; and it is not woken for what it has not selected.
func TestFollowersMissNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var l followers
		var log []record.Event // the event at i has position i+1
		types := rapid.SampledFrom([]string{"a", "b", "c"})
		appendOne := func() record.Event {
			ev := record.Event{Type: types.Draw(rt, "type"), Position: int64(len(log) + 1)}
			log = append(log, ev)
			return ev
		}
		for range rapid.IntRange(0, 5).Draw(rt, "before") {
			appendOne()
		}
		f := record.Filter{Types: []string{"a"}}
		me := l.join(int64(rapid.IntRange(0, len(log)).Draw(rt, "from")), f)
		var read []int64
		from := me.at
		look := func() {
			at := l.place(me)
			for _, ev := range log[at:] {
				if f.Match(ev) {
					read = append(read, ev.Position)
				}
			}
			l.advance(me, int64(len(log)))
		}
		look()
		var told []func() // what is known to have been written and not told of yet
		for range rapid.IntRange(0, 30).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "what") {
			case 0: // a transition of this replica
				c := &Change{}
				for range rapid.IntRange(0, 3).Draw(rt, "events") {
					c.Events = append(c.Events, appendOne())
				}
				c.Last = int64(len(log))
				told = append(told, func() { l.raised([]*Change{c}) })
			case 1: // somebody else's
				at := appendOne().Position
				told = append(told, func() { l.raise(at) })
			case 2:
				if len(told) > 0 {
					i := rapid.IntRange(0, len(told)-1).Draw(rt, "which")
					told[i]()
					told = append(told[:i], told[i+1:]...)
				}
			case 3:
				select {
				case <-me.grown:
					look()
				default:
				}
			}
		}
		for _, tell := range told {
			tell()
		}
		select {
		case <-me.grown:
			look()
		default:
		}
		var want []int64
		for _, ev := range log[from:] {
			if f.Match(ev) {
				want = append(want, ev.Position)
			}
		}
		if len(read) != len(want) {
			rt.Fatalf("read %v of %v", read, want)
		}
		for i := range want {
			if read[i] != want[i] {
				rt.Fatalf("read %v of %v", read, want)
			}
		}
		l.raised([]*Change{{Events: []record.Event{{Type: "b"}}, Last: int64(len(log) + 1)}})
		select {
		case <-me.grown:
			rt.Fatal("woken for an event that it has not selected")
		default:
		}
		if l.leave(me); len(l.all) > 0 {
			rt.Fatal("who has left is still there")
		}
	})
}
