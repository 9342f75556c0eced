package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"showrunner/build"
	"showrunner/problem"
	"showrunner/stage"
)

// helper begins builds here that wait for a place on other hosts. The owner of their
// execution goes on as with any build that another host has: it is woken, and reads the
// result in the claim.
type helper struct {
	*Builder
	offers     []ticket // not looked at yet
	readAt     time.Time
	executions map[string]waitingTasks
	refused    map[stage.Key]time.Time // that could not be prepared here, until when
	building   sync.WaitGroup
}

// waitingTasks gives the inputs of an execution's tasks that wait, as of a time.
type waitingTasks struct {
	at    time.Time
	input func(stage.Key) (*stage.Input, bool)
}

const (
	// readOffersAgain is how soon offers are read again when those read last have
	// been looked at.
	readOffersAgain = 100 * time.Millisecond
	// offersKept is how long offers and executions that were read are relied on.
	offersKept = time.Second
	// helpAgain is when a build that could not be prepared here is tried again.
	helpAgain = time.Minute
	// tellAfter is how long a build runs here before its owner is told.
	tellAfter = time.Second
)

// Help begins builds here that wait for a place on other hosts, whenever a place is
// free that no build of this host waits for, until ctx ends. The builds go on then.
func (b *Builder) Help(ctx context.Context) {
	h := &helper{Builder: b, executions: map[string]waitingTasks{}, refused: map[stage.Key]time.Time{}}
	defer h.building.Wait()
	clock := time.NewTimer(lookEvery)
	defer clock.Stop()
	for {
		select {
		case <-clock.C:
		case <-b.Places.freed:
		case <-ctx.Done():
			return
		}
		more, err := h.help(ctx)
		if err != nil && ctx.Err() == nil {
			b.Fleet.Log.Warn("builds that wait on other hosts could not be looked at; it is tried again", "error", err)
		}
		clock.Reset(lookEvery)
		if more && err == nil {
			clock.Reset(readOffersAgain)
		}
	}
}

// help begins as many builds as there are places for. More says that others are
// offered, or were a moment ago.
func (h *helper) help(ctx context.Context) (more bool, err error) {
	if !h.Fleet.others() {
		return false, nil
	}
	for {
		running, free, err := h.Places.spare()
		if err != nil || free == 0 {
			return false, err // a place that is given back is told of
		}
		t, ok, err := h.next(ctx, running)
		if err != nil || !ok {
			return len(h.offers) > 0 || h.Fleet.Now().Sub(h.readAt) < readOffersAgain, err
		}
		if err := h.begin(ctx, t); err != nil {
			return false, err
		}
	}
}

// next takes one of the offers: of the application that has the fewest places here,
// and of its builds any, so that several hosts seldom reach for the same one.
func (h *helper) next(ctx context.Context, running []string) (t ticket, ok bool, err error) {
	now := h.Fleet.Now()
	if len(h.offers) == 0 && now.Sub(h.readAt) >= readOffersAgain || now.Sub(h.readAt) >= offersKept {
		if h.offers, err = h.offersOfOthers(ctx); err != nil {
			return t, false, err
		}
		h.readAt = now
		for i := range h.offers { // their order here
			h.offers[i].Arrived = time.Unix(rand.Int64N(1<<32), 0)
		}
		for k, until := range h.refused {
			if now.After(until) {
				delete(h.refused, k)
			}
		}
		h.offers = slices.DeleteFunc(h.offers, func(t ticket) bool { return !h.refused[t.Key].IsZero() })
	}
	first := inOrder(running, h.offers, 1)
	if len(first) == 0 {
		return t, false, nil
	}
	h.offers = slices.DeleteFunc(h.offers, func(o ticket) bool { return o.Key == first[0].Key })
	return first[0], true, nil
}

// begin begins a build that was offered, when no host has it.
func (h *helper) begin(ctx context.Context, t ticket) error {
	before, err := h.Fleet.claim(ctx, t.Key)
	if err != nil || before.Start != 0 && !before.GivenUp || before.closed() {
		return err
	}
	in, err := h.input(ctx, t.Key)
	if err != nil || in == nil {
		return err
	}
	w, ok := h.workOf(in)
	if !ok {
		return nil
	}
	job, secrets, err := w.prepare(ctx, in)
	if err != nil { // its owner finds that too, and says so
		h.refused[t.Key] = h.Fleet.Now().Add(helpAgain)
		return nil
	}
	place, err := h.Places.takeSpare(t)
	if err != nil || place == nil {
		return err
	}
	own, err := h.take(ctx, in, before)
	if err != nil {
		place.Close()
		if problem.CodeOf(err) == problem.Conflict { // another host was faster
			err = os.RemoveAll(h.folder(t.Key, before.Start+1))
		}
		return err
	}
	if before.Start == 0 {
		fmt.Fprintf(in.Log, "begins on %s, which has a place\n", h.Fleet.Name)
	}
	job.ID, job.Place = job.Project+":"+uuid(t.Key, in.Mark, own.Start), place
	h.building.Go(func() {
		defer closeLog(in.Log)
		err := h.carry(ctx, in, own, job, secrets)
		place.Close()
		if ctx.Err() == nil {
			if err != nil {
				h.Fleet.Log.Warn("a build of another host's execution could not be followed; it is tried again", "build", t.Key.String(), "error", err)
			}
			h.Waker.Wake(t.Key)
			h.wakeNext()
		}
	})
	return nil
}

// carry begins a build that this host has taken, and keeps its result.
func (h *helper) carry(ctx context.Context, in *stage.Input, own claim, job build.Job, secrets map[string]string) error {
	dir := h.folder(own.Key, own.Start)
	handle, err := h.Builder.begin(ctx, dir, job, secrets)
	if errors.Is(err, build.ErrGivenUp) {
		return h.Fleet.giveUp(ctx, own)
	}
	if err != nil {
		return err
	}
	if handle.Begun() {
		job.Place.Close() // the supervisor has it
	}
	tell := time.AfterFunc(tellAfter, func() { h.Waker.Wake(in.Key) })
	defer tell.Stop()
	result, err := h.wait(ctx, in.Log, handle, dir, func() error { return stage.ErrDetached })
	if err != nil {
		return err
	}
	if err := h.Fleet.keep(ctx, own, result); err != nil {
		return err
	}
	return settled(dir)
}

// input is that of a task that waits; nil: it does not wait any longer.
func (h *helper) input(ctx context.Context, k stage.Key) (*stage.Input, error) {
	now := h.Fleet.Now()
	e, read := h.executions[k.Execution]
	if !read || now.Sub(e.at) >= offersKept {
		for id, e := range h.executions {
			if now.Sub(e.at) >= offersKept {
				delete(h.executions, id)
			}
		}
		input, err := h.Waiting(ctx, k.Execution)
		if problem.CodeOf(err) == problem.NotFound {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		e = waitingTasks{now, input}
		h.executions[k.Execution] = e
	}
	in, ok := e.input(k)
	if !ok {
		return nil, nil
	}
	if _, forPlace := waitsFor(in); !forPlace {
		return nil, nil
	}
	return in, nil
}

// workOf is what the stage's kind builds.
func (b *Builder) workOf(in *stage.Input) (work, bool) {
	switch in.Stage.Kind {
	case buildKind{}.Name():
		return buildKind{b}.work(), true
	case runKind{}.Name():
		return runKind{b}.work(), true
	}
	return work{}, false
}

func closeLog(w io.Writer) {
	if c, ok := w.(io.Closer); ok {
		c.Close() //nolint:errcheck // a log never fails a stage
	}
}
