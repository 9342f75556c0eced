package execution

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"showrunner/problem"
)

// TestCommitsAreLedByOne: whoever adds, takes and ends when, every change is in
// one batch, in the order of the calls, never two batches are under way, and
// the committer is told when something is left to it.
func TestCommitsAreLedByOne(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		q := &commits{wakeup: make(chan struct{}, 1)}
		var added, taken int
		var batch []*pendingChange
		promised := 0 // callers that have said that they will lead
		take := func(committer bool) {
			got := q.take(committer)
			if got == nil {
				return
			}
			if batch != nil {
				rt.Fatal("two batches are under way")
			}
			batch = got
		}
		finish := func() {
			for _, p := range batch {
				if p.Epoch != int64(taken) {
					rt.Fatalf("change %d came after %d", p.Epoch, taken-1)
				}
				taken++
			}
			batch = nil
			q.done(nil)
		}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch rapid.IntRange(0, 4).Draw(rt, "what") {
			case 0:
				led := rapid.Bool().Draw(rt, "led")
				if !q.add(&pendingChange{Change: Change{Epoch: int64(added)}}, led) {
					rt.Fatal("the queue is over")
				}
				added++
				if led {
					promised++
				}
			case 1:
				if promised > 0 {
					promised--
					take(false)
				}
			case 2:
				select {
				case <-q.wakeup:
					take(true)
				default:
				}
			case 3:
				if batch != nil {
					finish()
				}
			case 4:
				if batch != nil {
					failed := batch
					batch = nil
					q.done(failed)
				}
			}
		}
		// From here on everybody does what they have promised, and no more.
		if batch != nil {
			finish()
		}
		for ; promised > 0; promised-- {
			if take(false); batch != nil {
				finish()
			}
		}
		for taken < added {
			select {
			case <-q.wakeup:
			default:
				rt.Fatalf("%d of %d are left, and nobody has been told", added-taken, added)
			}
			for take(true); batch != nil; take(true) {
				finish()
			}
		}
		if !q.end() || q.add(&pendingChange{}, false) {
			rt.Fatal("an empty queue does not end")
		}
	})
}

// flaky is a session that refuses every other batch for a moment, and writes
// down what it has committed.
type flaky struct {
	Session
	busy atomic.Int32

	mu        sync.Mutex
	tries     int
	committed map[string][]int64
}

func (f *flaky) Commit(_ context.Context, batch []*Change) error {
	if f.busy.Add(1) > 1 {
		panic("two batches at the same time")
	}
	defer f.busy.Add(-1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tries++; f.tries%2 == 0 {
		return problem.New(problem.Unavailable, "test", "not now")
	}
	for _, c := range batch {
		f.committed[c.ID] = append(f.committed[c.ID], c.Epoch)
	}
	return nil
}

// TestALeaderLeavesWhatFailsToTheCommitter: what the goroutine that brought it
// about could not commit is tried until it can be, and goes on from there.
func TestALeaderLeavesWhatFailsToTheCommitter(t *testing.T) {
	const producers, each = 4, 25
	f := &flaky{committed: map[string][]int64{}}
	e, err := New(Config{Store: struct{ Store }{}, Resolver: struct{ Resolver }{}})
	if err != nil {
		t.Fatal(err)
	}
	e.base = t.Context()
	m := &membership{Session: f, gone: make(chan struct{}), retry: make(chan struct{}, 1)}
	e.session.Store(m)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() { e.commitLoop(stop); close(ended) }()
	var wg sync.WaitGroup
	for i := range producers {
		id, led := itoa(i), i%2 == 0
		wg.Add(each)
		var next func(n int64) job
		next = func(n int64) job { // each change follows from the one before
			e.enqueue(&pendingChange{member: m, Change: Change{ID: id, Epoch: n}, after: func(c *Change) job {
				if c.Err != nil {
					t.Errorf("change %d of %s: %v", n, id, c.Err)
				}
				return func() job {
					defer wg.Done()
					if n+1 == each {
						return nil
					}
					return next(n + 1)
				}
			}}, led)
			if led {
				return e.lead()
			}
			return nil
		}
		e.begin(func() job { return next(0) })
	}
	wg.Wait()
	<-e.workers.AllDone()
	close(stop)
	e.commits.wake()
	<-ended
	for i := range producers {
		got := f.committed[itoa(i)]
		if len(got) != each {
			t.Fatalf("%d of %d changes of %d were committed", len(got), each, i)
		}
		for n, epoch := range got {
			if epoch != int64(n) {
				t.Fatalf("changes of %d in the order %v", i, got)
			}
		}
	}
	refused := make(chan error, 1)
	e.enqueue(&pendingChange{member: m, after: func(c *Change) job { refused <- c.Err; return nil }}, false)
	select {
	case err := <-refused:
		if !errors.Is(err, ErrLost) {
			t.Errorf("a change that came too late was answered %v", err)
		}
	default: // it is answered within the call
		t.Error("a change that came too late was not answered")
	}
}
