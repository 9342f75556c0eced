package build

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"showrunner/stage"
)

// waitState is the state of a task that waits.
type waitState struct {
	// Arrived is when it came for a place; zero: it never has.
	Arrived time.Time `json:"arrived,omitzero"`
	// After is the start of the build, by number, that was known to be lost when the
	// task came for a place; 0: none was.
	After int `json:"after,omitempty"`
	// Elsewhere says that it waits for another host's build, not for a place.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

// waitsFor reads the state of a task; place says that it waits for a place.
func waitsFor(in *stage.Input) (w waitState, place bool) {
	err := json.Unmarshal(in.State, &w)
	return w, err == nil && !w.Arrived.IsZero() && !w.Elsewhere
}

// place gives a build that begins after another start a place, nil when none is
// needed; otherwise the answer of the task is that it waits.
func (b *Builder) place(in *stage.Input, after int) (place *os.File, waits *stage.Result, err error) {
	if b.Places == nil {
		return nil, nil, nil
	}
	w, waited := waitsFor(in)
	if w.Arrived.IsZero() {
		w.Arrived = in.Now
	}
	w.After, w.Elsewhere = after, false
	place, s, err := b.Places.take(ticket{Key: in.Key, Application: in.Application, Arrived: w.Arrived})
	if err != nil || place != nil {
		return place, nil, err
	}
	if !waited {
		fmt.Fprintln(in.Log, s.Arrival())
	}
	state, err := json.Marshal(w)
	return nil, &stage.Result{Outcome: stage.Again, State: state, Waits: s.String()}, err
}

// leaveQueue has a build wait no longer: one that runs may have queued while a
// supervisor of it, started by a control plane before, was coming up.
func (b *Builder) leaveQueue(k stage.Key) {
	if b.Places != nil {
		b.Places.leave(k)
	}
}

// giveBack gives back a place in which nothing was begun.
func (b *Builder) giveBack(place *os.File) {
	if place != nil {
		place.Close()
		b.wakeNext()
	}
}

// KeepQueue looks for free places until ctx ends, for builds of this process that
// nobody told of their turn: the process that would have, and shares the folder, may
// have died. It offers those that go on waiting to other hosts.
func (b *Builder) KeepQueue(ctx context.Context) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	var offers offers
	for {
		select {
		case <-t.C:
			if b.Places.waits() > 0 {
				b.wakeNext()
			}
			if b.Fleet != nil {
				b.offer(ctx, &offers)
			}
		case <-ctx.Done():
			return
		}
	}
}

// wakeNext has those called for whom there is a place now. What it cannot find out
// now, KeepQueue does. A place that no build here waits for may be another host's.
func (b *Builder) wakeNext() {
	if b.Places == nil {
		return
	}
	keys, err := b.Places.turns()
	select {
	case b.Places.freed <- struct{}{}:
	default:
	}
	if err != nil {
		return
	}
	for _, k := range keys {
		b.Waker.Wake(k)
	}
}
