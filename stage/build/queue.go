package build

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"showrunner/stage"
)

// waitsForPlace is the state of a task that waits for a place.
type waitsForPlace struct {
	Arrived time.Time `json:"arrived"`
}

// waitsFor reads since when a task has waited for a place; false: it has not.
func waitsFor(in *stage.Input) (w waitsForPlace, ok bool) {
	err := json.Unmarshal(in.State, &w)
	return w, err == nil && !w.Arrived.IsZero()
}

// place gives a build a place, nil when none is needed; otherwise the answer of
// the task is that it waits.
func (b *Builder) place(in *stage.Input) (place *os.File, waits *stage.Result, err error) {
	if b.Places == nil {
		return nil, nil, nil
	}
	w, waited := waitsFor(in)
	if !waited {
		w.Arrived = in.Now
	}
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
// have died.
func (b *Builder) KeepQueue(ctx context.Context) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if b.Places.waits() > 0 {
				b.wakeNext()
			}
		case <-ctx.Done():
			return
		}
	}
}

// wakeNext has those called for whom there is a place now. What it cannot find out
// now, KeepQueue does.
func (b *Builder) wakeNext() {
	if b.Places == nil {
		return
	}
	keys, err := b.Places.turns()
	if err != nil {
		return
	}
	for _, k := range keys {
		b.Waker.Wake(k)
	}
}
