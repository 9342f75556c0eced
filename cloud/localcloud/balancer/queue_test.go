package balancer

import (
	"errors"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"showrunner/cloud/localcloud/proxy"
)

// crowded is a cluster of one target with one place, which is taken.
func crowded(t *testing.T, patience time.Duration) (b *Balancer, held *target) {
	b = New(Config{Patience: patience})
	b.SetCluster(Cluster{Name: "shop", MaxInFlight: 1, Groups: []Group{{Name: "g", Weight: 1, Targets: []Target{{ID: "a", Address: "127.0.0.1:1"}}}}})
	held, _, err := b.choose("shop", &proxy.Call{Request: &http.Request{}}, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return b, held
}

// Places go to those that wait in the order in which they came, and to nobody
// who came later.
func TestPlacesAreHandedOverInOrder(t *testing.T) {
	b, held := crowded(t, time.Hour)
	const waiters = 5
	got := make(chan int, waiters)
	for i := range waiters {
		go func() {
			if _, _, err := b.wait(t.Context(), "shop", &proxy.Call{Request: &http.Request{}}, nil); err != nil {
				t.Error(err)
			}
			got <- i
		}()
		for held.queue.length.Load() != int64(i+1) {
			runtime.Gosched()
		}
	}
	for i := range waiters {
		held.release()
		if _, _, err := b.choose("shop", &proxy.Call{Request: &http.Request{}}, nil, time.Now()); !errors.Is(err, errFull) {
			t.Fatalf("a later request took the place: %v", err)
		}
		if n := <-got; n != i {
			t.Errorf("number %d was next, not %d", n, i)
		}
	}
	held.release()
	if !held.quiet() {
		t.Error("a place is lost")
	}
}

// A request that stops waiting leaves no trace, even when a place comes with its end.
func TestWhoLeavesTakesNoPlace(t *testing.T) {
	b, held := crowded(t, time.Nanosecond)
	for range 1000 {
		ended := make(chan *target)
		go func() {
			got, _, _ := b.wait(t.Context(), "shop", &proxy.Call{Request: &http.Request{}}, nil)
			ended <- got
		}()
		held.release()
		if got := <-ended; got == nil {
			if got, _, _ = b.choose("shop", &proxy.Call{Request: &http.Request{}}, nil, time.Now()); got == nil {
				t.Fatal("the place is lost")
			}
		}
		if n := held.queue.length.Load(); n != 0 {
			t.Fatalf("%d wait", n)
		}
	}
}

// A target that is left alone is not chosen while one that is well is only full.
func TestAFullTargetIsBetterThanASickOne(t *testing.T) {
	b := New(Config{})
	b.SetCluster(Cluster{Name: "shop", MaxInFlight: 1, Groups: []Group{{Name: "g", Weight: 1, Targets: []Target{{ID: "a", Address: "127.0.0.1:1"}, {ID: "b", Address: "127.0.0.1:2"}}}}})
	now := time.Now()
	b.targets["b"].until = now.Add(time.Hour)
	for _, want := range []error{nil, errFull} {
		if _, _, err := b.choose("shop", &proxy.Call{Request: &http.Request{}}, nil, now); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	b.targets["a"].until = now.Add(time.Hour) // none is well: trying is better than failing
	if got, _, err := b.choose("shop", &proxy.Call{Request: &http.Request{}}, nil, now); err != nil || got.id != "b" {
		t.Errorf("%v %v", got, err)
	}
}

func TestTheClockOfAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = time.Minute
		late := 0
		var in, out, early deadline
		in.begin(limit, func() { late++ })
		<-time.After(limit - 1) // of the test's own clock
		if in.answered() || late != 0 {
			t.Error("an answer in time is late")
		}
		out.begin(limit, func() { late++ })
		out.begin(limit, func() { late++ }) // sent anew
		<-time.After(limit + 1)
		if !out.answered() || late != 1 {
			t.Errorf("late %d times", late)
		}
		if early.answered() {
			t.Error("late before the request was sent")
		}
		early.begin(limit, func() { late++ })
		<-time.After(2 * limit)
		if late != 1 {
			t.Error("the clock runs after the answer")
		}
	})
}

// Options that are off cost nothing: the choice of a target and its release allocate nothing.
func TestWithoutLimitsNothingIsAllocated(t *testing.T) {
	b := New(Config{})
	b.SetCluster(Cluster{Name: "shop", Groups: []Group{{Name: "g", Weight: 1, Targets: []Target{{ID: "a", Address: "127.0.0.1:1"}, {ID: "b", Address: "127.0.0.1:2"}}}}})
	r := &proxy.Call{Request: &http.Request{}}
	if n := testing.AllocsPerRun(100, func() {
		if got, _, err := b.wait(t.Context(), "shop", r, nil); err == nil {
			got.release()
		}
	}); n > 1 { // t.Context() has one at most
		t.Errorf("%v allocations", n)
	}
}
