package execution

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestALateApplicationFindsAPermit: one application wants all permits for calls that
// never end, and another comes after it.
func TestALateApplicationFindsAPermit(t *testing.T) {
	s := newCallLimit(512)
	held := 0
	for range 1000 {
		if s.acquire("greedy", func() {}) {
			held++
		}
	}
	if held < 400 {
		t.Errorf("alone, an application gets %d of 512 permits", held)
	}
	for _, late := range []string{"modest", "third", "fourth"} {
		if !s.acquire(late, func() {}) {
			t.Errorf("%s waits behind calls that never end", late)
		}
	}
	few := newCallLimit(2)
	for i := range 3 {
		if got := few.acquire("a", func() {}); got != (i < 2) {
			t.Errorf("of 2 permits, an application alone gets number %d: %v", i+1, got)
		}
	}
}

// TestPermitsNeverStarve: whatever is taken and given back, no more is held than
// there is, and once all that is held has been given back nobody waits.
func TestPermitsNeverStarve(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "permits")
		s := newCallLimit(n)
		granted := make(chan string, 1000)
		var held []string
		waiting := 0
		collect := func() { // what a release granted is counted at once, and called soon
			s.mu.Lock()
			want := 0
			for _, h := range s.held {
				want += h
			}
			s.mu.Unlock()
			for len(held) < want {
				held = append(held, <-granted)
				waiting--
			}
			if len(held) != want || want > n {
				t.Fatalf("%d held, %d known to be, of %d", want, len(held), n)
			}
		}
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			if len(held) > 0 && rapid.Bool().Draw(t, "release") {
				i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
				app := held[i]
				held = append(held[:i], held[i+1:]...)
				s.release(app)
				collect()
				continue
			}
			app := fmt.Sprint(rapid.IntRange(0, 4).Draw(t, "application"))
			if s.acquire(app, func() { granted <- app }) {
				held = append(held, app)
			} else {
				waiting++
			}
		}
		for len(held) > 0 {
			app := held[0]
			held = held[1:]
			s.release(app)
			collect()
		}
		if waiting != 0 || s.free != n {
			t.Fatalf("%d wait and %d of %d are free when nothing is held", waiting, s.free, n)
		}
	})
}
