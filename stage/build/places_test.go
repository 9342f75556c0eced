package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"showrunner/build"
	"showrunner/pipeline"
	"showrunner/stage"
)

func waiting(application, execution string, arrived int) ticket {
	return ticket{Key: stage.Key{Execution: execution, Stage: "s", Attempt: 1, Task: "execute"}, Application: application, Arrived: time.Unix(int64(arrived), 0)}
}

func TestPlacesAreGivenFairly(t *testing.T) {
	for name, test := range map[string]struct {
		running []string
		waiting []ticket
		want    string
	}{
		"in the order of arrival":         {nil, []ticket{waiting("a", "2", 2), waiting("a", "1", 1), waiting("a", "3", 3)}, "1 2 3"},
		"to each application in turn":     {nil, []ticket{waiting("a", "1", 1), waiting("a", "2", 2), waiting("a", "3", 3), waiting("b", "4", 4)}, "1 4 2 3"},
		"to the application with fewer":   {[]string{"a", "a", "b"}, []ticket{waiting("a", "1", 1), waiting("b", "2", 2), waiting("c", "3", 3)}, "3 2 1"},
		"at the same moment by their key": {nil, []ticket{waiting("a", "2", 1), waiting("a", "1", 1)}, "1 2"},
	} {
		var got []string
		for _, w := range inOrder(test.running, test.waiting, len(test.waiting)) {
			got = append(got, w.Key.Execution)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %v, want %s", name, got, test.want)
		}
	}
}

// Two processes share a folder: its places are given by one order, whoever asks.
func TestPlacesAreThoseOfEveryProcess(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	open := func(n int) *Places { return NewPlaces(dir, n, func() time.Time { return now }) }
	take := func(p *Places, w ticket, want string) *os.File {
		t.Helper()
		f, s, err := p.take(w)
		if got := s.Arrival(); err != nil || (f == nil) != (want != "") || f == nil && got != want {
			t.Fatalf("%v, %q, %v; want %q", f, got, err, want)
		}
		return f
	}
	turns := func(p *Places, want string) {
		t.Helper()
		if keys, err := p.turns(); err != nil || fmt.Sprint(keys) != want {
			t.Fatalf("%v, %v; want %s", keys, err, want)
		}
	}
	one, two := open(2), open(2)
	a, b := take(one, waiting("a", "1", 1), ""), take(two, waiting("a", "2", 2), "")
	take(two, waiting("a", "3", 3), "waits for a place: 2 builds run here")
	take(one, waiting("a", "4", 4), "waits for a place: 2 builds run here")
	take(one, waiting("b", "5", 5), "waits for a place: 2 builds run here, 1 waits already")
	turns(one, "[]")
	a.Close()
	turns(two, "[5/s/1/execute]") // the first of its application, though it waits elsewhere
	turns(one, "[5/s/1/execute]")
	turns(one, "[]") // it was told a moment ago
	take(two, waiting("a", "3", 3), "waits for a place: 1 build runs here")
	one.leave(waiting("b", "5", 5).Key)
	turns(one, "[3/s/1/execute]")
	c := take(two, waiting("a", "3", 3), "")
	fewer := open(1) // with two running
	b.Close()
	take(fewer, waiting("a", "4", 4), "waits for a place: 1 build runs here")
	c.Close()

	// A process that says nothing, or is gone, holds nobody up.
	take(two, waiting("a", "6", 6), "waits for a place: 0 builds run here")
	now = now.Add(silentAfter)
	take(two, waiting("a", "6", 6), "").Close()
	take(one, waiting("a", "4", 4), "").Close()
	for _, p := range []*Places{one, two, fewer} {
		if p.queue != nil {
			p.queue.Close()
		}
	}
	take(open(1), waiting("a", "7", 7), "").Close()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 3 { // two places and the lock
		t.Fatalf("%v, %v", left, err)
	}
}

// A build that does not come for its place, and one whose execution another process
// has taken over, hold nobody up; the first queues again when it does come.
func TestWhoDoesNotComeWaitsNoLonger(t *testing.T) {
	now := time.Now()
	p := NewPlaces(t.TempDir(), 1, func() time.Time { return now })
	var gone atomic.Value
	p.Owns = func(execution string) bool { return execution != gone.Load() }
	place, _, err := p.take(waiting("a", "0", 0))
	if err != nil || place == nil {
		t.Fatal(err)
	}
	for n := 1; n <= 3; n++ {
		if place, _, err := p.take(waiting("a", fmt.Sprint(n), n)); err != nil || place != nil {
			t.Fatal(place, err)
		}
	}
	place.Close()
	for _, want := range []string{"[1/s/1/execute]", "[]"} {
		if keys, err := p.turns(); err != nil || fmt.Sprint(keys) != want {
			t.Fatal(keys, err)
		}
	}
	now = now.Add(lookEvery)
	if keys, err := p.turns(); err != nil || fmt.Sprint(keys) != "[1/s/1/execute]" {
		t.Fatal(keys, err)
	}
	gone.Store("2")
	now = now.Add(comesWithin)
	if keys, err := p.turns(); err != nil || fmt.Sprint(keys) != "[3/s/1/execute]" {
		t.Fatal(keys, err)
	}
	if place, _, err := p.take(waiting("a", "1", 1)); err != nil || place == nil {
		t.Fatal("one that comes late is refused its place", err)
	}
	if n := p.waits(); n != 1 {
		t.Errorf("%d wait", n)
	}
}

// What a build's wait costs does not grow with how many wait.
func TestManyWaitAtTheCostOfFew(t *testing.T) {
	p := NewPlaces(t.TempDir(), 1, time.Now)
	hold, _, err := p.take(waiting("a", "0", 0))
	if err != nil || hold == nil {
		t.Fatal(err)
	}
	const many = 20_000
	for n := 1; n <= many; n++ {
		if place, _, err := p.take(waiting("a", fmt.Sprintf("%06d", n), n)); err != nil || place != nil {
			t.Fatal(place, err)
		}
	}
	if files, err := os.ReadDir(p.dir); err != nil || len(files) != 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	hold.Close()
	for n := 1; n <= 100; n++ {
		want := waiting("a", fmt.Sprintf("%06d", n), n)
		if keys, err := p.turns(); err != nil || len(keys) != 1 || keys[0] != want.Key {
			t.Fatalf("%v, %v", keys, err)
		}
		place, _, err := p.take(want)
		if err != nil || place == nil {
			t.Fatal(err)
		}
		place.Close()
	}
	for n := many; n > 100; n-- {
		p.leave(waiting("a", fmt.Sprintf("%06d", n), n).Key)
	}
	if len(p.waiting.byKey)+len(p.waiting.apps) != 0 {
		t.Errorf("%d are left", len(p.waiting.byKey))
	}
}

// woken are the keys that were woken.
type woken chan stage.Key

func (w woken) Wake(k stage.Key) { w <- k }

// A build for which there is no place waits, and says so; it is woken when the one
// that runs has ended, also when that was started by a control plane before, and
// no longer waits when it is canceled.
func TestABuildWaitsForAPlace(t *testing.T) {
	f := newFixture(t, nil)
	dir := t.TempDir()
	wakes := make(woken, 100)
	restart := func() {
		b := *f.b
		b.Places, b.Waker = NewPlaces(dir, 1, time.Now), wakes
		f.b = &b
	}
	restart()
	gate := filepath.Join(t.TempDir(), "gate")
	input := func(execution, command string) (*stage.Input, *log) {
		w := newLog()
		in := f.input(pipeline.Run{Commands: []string{command}}, w)
		in.Key.Execution, in.Now = execution, time.Now()
		return in, w
	}
	first, log1 := input("e1", "mkfifo "+gate+" && echo waiting && read x < "+gate)
	done := make(chan error, 1)
	ctx, detach := context.WithCancelCause(t.Context())
	go func() {
		_, err := task(runKind{f.b}, "execute").Run(ctx, first)
		done <- err
	}()
	log1.wait(t, "\nwaiting")
	detach(stage.ErrDetached)
	if err := <-done; err != stage.ErrDetached {
		t.Fatal(err)
	}
	restart()

	execute := task(runKind{f.b}, "execute")
	canceled, _ := input("e2", "echo canceled")
	second, log2 := input("e3", "echo second")
	for _, in := range []*stage.Input{canceled, second} {
		res, err := execute.Run(t.Context(), in)
		if err != nil || res.Outcome != stage.Again || res.After != 0 || res.State == nil || !strings.HasPrefix(res.Waits, "waits for a place: 1 build runs here") {
			t.Fatalf("%+v, %v", res, err)
		}
		in.State = res.State
	}
	if got := log2.text(); got != "waits for a place: 1 build runs here, 1 waits already\n" {
		t.Errorf("the log says %q", got)
	}
	if err := execute.Cancel(t.Context(), canceled); err != nil {
		t.Fatal(err)
	}
	if res, err := execute.Run(t.Context(), second); err != nil || res.Outcome != stage.Again || strings.Count(log2.text(), "\n") != 1 {
		t.Fatalf("%+v, %v\n%s", res, err, log2.text())
	}
	if place, _, err := f.b.Places.take(ticket{Key: first.Key, Application: "a"}); place != nil || err != nil { // it asked while its supervisor was coming up
		t.Fatal(place, err)
	}
	go os.WriteFile(gate, []byte("go\n"), 0)
	if res, err := execute.Resume(t.Context(), first); err != nil || res.Outcome != stage.Done {
		t.Fatalf("%+v, %v", res, err)
	}
	if k := <-wakes; k != second.Key {
		t.Fatalf("%s was woken", k)
	}
	if res, err := execute.Run(t.Context(), second); err != nil || res.Outcome != stage.Done {
		t.Fatalf("%+v, %v\n%s", res, err, log2.text())
	}
	if _, err := build.Attach(f.b.folder(canceled.Key, 1)); err != build.ErrNotStarted {
		t.Errorf("the canceled one: %v", err)
	}
	if v, err := f.b.Places.look(); err != nil || len(v.running)+f.b.Places.waits() > 0 {
		t.Errorf("%v run and %d wait, %v", v.running, f.b.Places.waits(), err)
	}
}
