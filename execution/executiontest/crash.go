package executiontest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/stage"
)

// Fault is what happens at a write.
type Fault int

const (
	// CrashBefore: the process dies and the write never happened.
	CrashBefore Fault = iota
	// CrashAfter: the write is durable, and the process dies before it knows.
	CrashAfter
	// Stall: the process stops at the write and wakes when others have done its work.
	Stall
)

func (f Fault) String() string { return [...]string{"crash before", "crash after", "stall at"}[f] }

// faulty is a store in which one write goes wrong.
type faulty struct {
	execution.Store
	fault Fault
	at    int
	hit   chan struct{} // closed when the write is reached
	wake  chan struct{} // closed when a stalled process may go on

	mu     sync.Mutex
	writes int
	dead   bool
	woken  error // what a stalled write was answered once it woke
	onHit  func()
}

func (f *faulty) Join(ctx context.Context, now func() time.Time) (execution.Session, error) {
	f.mu.Lock()
	dead := f.dead
	f.mu.Unlock()
	if dead {
		return nil, problem.New(problem.Unavailable, "executiontest", "this process is dead")
	}
	s, err := f.Store.Join(ctx, now)
	return &faultySession{Session: s, f: f}, err
}

type faultySession struct {
	execution.Session
	f *faulty
}

func (s *faultySession) Commit(ctx context.Context, batch []*execution.Change) error {
	f := s.f
	f.mu.Lock()
	f.writes++
	here, dead := f.writes == f.at, f.dead
	if here {
		f.dead = true
	}
	f.mu.Unlock()
	if dead {
		return execution.ErrLost
	}
	if !here {
		return s.Session.Commit(ctx, batch)
	}
	if f.fault == CrashAfter {
		if err := s.Session.Commit(ctx, batch); err != nil {
			return err
		}
	}
	f.onHit()
	close(f.hit)
	if f.fault == Stall {
		<-f.wake
		err := s.Session.Commit(ctx, batch)
		f.mu.Lock()
		f.woken = err
		f.mu.Unlock()
		return err
	}
	return execution.ErrLost
}

// Leave does nothing for the dead.
func (s *faultySession) Leave(ctx context.Context) error {
	s.f.mu.Lock()
	dead := s.f.dead
	s.f.mu.Unlock()
	if dead {
		return nil
	}
	return s.Session.Leave(ctx)
}

// Simulate runs the scenario once for every write in it, letting the process
// die before or after that write or stall at it; another process then goes on.
// Every run has to come to the same outcome with every effect exactly once, and
// a process that stalled must not be able to write when it wakes.
func Simulate(t *testing.T, open func(t *testing.T) execution.Store, faults ...Fault) {
	want := ""
	for _, fault := range faults {
		for at := 1; ; at++ {
			got, reached := simulateOne(t, open, want, fault, at)
			want = got
			if !reached {
				t.Logf("%v: %d writes, each survived", fault, at-1)
				break
			}
		}
	}
}

// SimulateTwice is Simulate for a process whose successor dies too, at each of the
// given ones of its writes; a third process then goes on.
func SimulateTwice(t *testing.T, open func(t *testing.T) execution.Store, fault Fault, seconds ...int) {
	want := ""
	for at := 1; ; at++ {
		for n, second := range seconds {
			got, reached := simulateOne(t, open, want, fault, at, second)
			if reached || n > 0 {
				want = got
				continue
			}
			t.Logf("%v: %d writes, each survived", fault, at-1)
			return
		}
	}
}

// simulateOne is one run, in a test of its own, whose end closes its store. Its
// outcome has to be want, unless that is empty.
func simulateOne(t *testing.T, open func(t *testing.T) execution.Store, want string, fault Fault, at ...int) (got string, reached bool) {
	t.Helper()
	name := fmt.Sprint(fault, " write")
	for _, n := range at {
		name += fmt.Sprint(" ", n)
	}
	if !t.Run(name, func(t *testing.T) { got, reached = simulate(t, open(t), fault, at) }) {
		t.FailNow()
	}
	if want != "" && got != want {
		t.Fatalf("%s: the outcome is\n%s, want\n%s", name, got, want)
	}
	return got, reached
}

// simulate runs the scenario with one process for each of the writes at which
// one goes wrong, each the successor of the one before, and a sound one at last.
// It tells whether all the writes were reached.
func simulate(t *testing.T, st execution.Store, fault Fault, at []int) (got string, reached bool) {
	t.Helper()
	w := &World{}
	id := ""
	var wakes []func()
	for _, n := range at {
		w.at = n
		f := &faulty{Store: st, fault: fault, at: n, hit: make(chan struct{}), wake: make(chan struct{})}
		f.onHit = w.Kill // a stalled process's calls are stalled too
		var wake func()
		if id, reached, wake = f.live(t, w, id); !reached {
			return verdictOf(t, w, st, id), false
		}
		wakes = append(wakes, wake)
	}
	last, stop := Start(t, execution.Config{Store: st, Kinds: w.Kinds(w.Live())})
	id, _ = drive(t, last, w, id, nil)
	stop()
	for _, wake := range wakes {
		wake()
	}
	return verdictOf(t, w, st, id), true
}

// live runs one process on the faulty store until its write is reached or the
// scenario has ended. A stalled process stays; wake lets it go on and makes sure
// that it is told that its session is lost.
func (f *faulty) live(t *testing.T, w *World, id string) (_ string, reached bool, wake func()) {
	t.Helper()
	e, err := execution.New(execution.Config{Store: f, Kinds: w.Kinds(w.Live()), Resolver: Plain{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, kill := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	select {
	case <-e.Ready():
	case err := <-ended:
		kill()
		t.Fatalf("the engine did not start: %v", err)
	}
	id, reached = drive(t, e, w, id, f.hit)
	if reached && f.fault == Stall {
		return id, true, func() {
			close(f.wake)
			kill()
			<-ended
			if !errors.Is(f.woken, execution.ErrLost) {
				t.Fatalf("write %d: a process that had stalled was answered %v when it woke, not that its session is lost", f.at, f.woken)
			}
		}
	}
	kill()
	if err := <-ended; err != nil && !reached { // a process that died may end with any error
		t.Fatal(err)
	}
	return id, reached, func() {}
}

// drive starts the scenario (again, by the same event) and is its person, until
// it has ended or the process is dead.
func drive(t *testing.T, e *execution.Engine, w *World, id string, dead <-chan struct{}) (string, bool) {
	t.Helper()
	w.Start(e)
	ctx, cancel := context.WithTimeout(t.Context(), WaitTime)
	defer cancel()
	go func() {
		select {
		case <-dead:
			cancel()
		case <-ctx.Done():
		}
	}()
	isDead := func() bool {
		select {
		case <-dead:
			return true
		default:
			return false
		}
	}
	for try := 0; ; try++ {
		x, _, err := e.Start(ctx, execution.StartRequest{Application: "app", Definition: Scenario(), TriggerID: "test", EventID: "one"})
		if isDead() {
			return id, true
		}
		if err == nil {
			id = x.ID
			break
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	var seen execution.Execution
	for {
		x, err := e.Get(ctx, id)
		if err == nil {
			seen = x
		}
		if isDead() {
			return id, true
		}
		if ctx.Err() != nil {
			t.Fatalf("write %d: stuck at %s, canceling %v, restarts %v (%v)", w.at, outcome(seen), seen.Canceling, seen.Restarts, err)
		}
		if err == nil && person(ctx, e, w, x) {
			return id, false
		}
		timer := time.NewTimer(time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// person does what people do to the scenario, again whenever it has not taken
// effect: settles what is parked, cancels it while it asks, restarts it from
// there, answers. It tells when nothing is left to do.
func person(ctx context.Context, e *execution.Engine, w *World, x execution.Execution) bool {
	restarted := len(x.Restarts) > 0
	if x.Status.Complete() {
		if !restarted {
			_ = e.Restart(ctx, x.ID, "ask", "test")
		}
		return restarted
	}
	for _, s := range x.Stages {
		if s.Phase != execution.PhaseParked {
			continue
		}
		key := stage.Key{Execution: x.ID, Stage: s.Name, Attempt: s.Attempt, Task: s.Task}
		say := execution.SignalDone
		if s.Kind == "blind" && !w.did(key.String()) {
			say = execution.SignalRetry
		}
		// A stage that is parked again has seen the answer to the first time: it is asked for another one.
		id := fmt.Sprint(say, " ", key, " ", s.Seen)
		_ = e.Signal(ctx, x.ID, s.Name, stage.Signal{ID: id, Name: say, By: "test"})
	}
	if s, _ := x.Stage("ask"); s.Phase == execution.PhaseWaiting {
		if restarted {
			_ = e.Signal(ctx, x.ID, "ask", stage.Signal{ID: "the one", Name: "go", By: "test"})
		} else {
			_ = e.Cancel(ctx, x.ID, "test", "to see it restarted")
		}
	}
	return false
}

// scenarioEffects is how many effects the scenario has, its child's included.
const scenarioEffects = 11

// verdictOf returns the outcome, having checked the effects.
func verdictOf(t *testing.T, w *World, st execution.Store, id string) string {
	t.Helper()
	e, err := execution.New(execution.Config{Store: st, Resolver: Plain{}})
	if err != nil {
		t.Fatal(err)
	}
	x, err := e.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	effects := w.Effects()
	if len(effects) != scenarioEffects {
		t.Errorf("there were %d effects, not %d: %v", len(effects), scenarioEffects, effects)
	}
	for key, n := range effects {
		if n != 1 {
			t.Errorf("effect %s happened %d times", key, n)
		}
	}
	return outcome(x)
}
