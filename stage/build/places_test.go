package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
		for _, w := range inOrder(test.running, test.waiting) {
			got = append(got, w.Key.Execution)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %v, want %s", name, got, test.want)
		}
	}
}

func TestPlacesAreThoseOfEveryProcess(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	open := func(n int) *Places { return NewPlaces(dir, n, func() time.Time { return now }) }
	take := func(p *Places, w ticket, want string) *os.File {
		t.Helper()
		f, s, err := p.take(w)
		if got := s.String(); err != nil || (f == nil) != (want != "") || f == nil && got != want {
			t.Fatalf("%v, %q, %v; want %q", f, got, err, want)
		}
		return f
	}
	one, two := open(2), open(2)
	a, b := take(one, waiting("a", "1", 1), ""), take(two, waiting("a", "2", 2), "")
	take(two, waiting("a", "3", 3), "waits for a place: 2 builds run here")
	take(one, waiting("a", "4", 4), "waits for a place: 2 builds run here, 1 waits before it")
	take(one, waiting("b", "5", 5), "waits for a place: 2 builds run here") // the first of its application
	if keys, err := one.turns(); err != nil || len(keys) != 0 {
		t.Fatalf("%v, %v", keys, err)
	}
	a.Close()
	if keys, err := one.turns(); err != nil || fmt.Sprint(keys) != "[5/s/1/execute]" {
		t.Fatalf("%v, %v", keys, err)
	}
	take(two, waiting("a", "3", 3), "waits for a place: 1 build runs here, 1 waits before it")
	if err := one.leave(waiting("b", "5", 5).Key); err != nil {
		t.Fatal(err)
	}
	c := take(two, waiting("a", "3", 3), "")
	fewer := open(1) // with two running
	b.Close()
	take(fewer, waiting("a", "4", 4), "waits for a place: 1 build runs here")
	c.Close()

	// Who has not asked again for long holds nobody up, unless nobody could ask.
	now = now.Add(waitsNoMore + time.Minute)
	back := open(1)
	take(back, waiting("a", "6", 6), "waits for a place: 0 builds run here, 1 waits before it")
	for range 3 { // however often a control plane is started meanwhile
		now = now.Add(waitsAgain)
		take(open(1), waiting("a", "6", 6), "waits for a place: 0 builds run here, 1 waits before it")
	}
	now = now.Add(waitsAgain)
	take(open(1), waiting("a", "6", 6), "")
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
		if err != nil || res.Outcome != stage.Again || res.After <= 0 || res.State == nil || !strings.HasPrefix(res.Waits, "waits for a place: 1 build runs here") {
			t.Fatalf("%+v, %v", res, err)
		}
		in.State = res.State
	}
	if got := log2.text(); got != "waits for a place: 1 build runs here, 1 waits before it\n" {
		t.Errorf("the log says %q", got)
	}
	if err := execute.Cancel(t.Context(), canceled); err != nil {
		t.Fatal(err)
	}
	if res, err := execute.Run(t.Context(), second); err != nil || res.Outcome != stage.Again || strings.Count(log2.text(), "\n") != 1 {
		t.Fatalf("%+v, %v\n%s", res, err, log2.text())
	}
	ghost := ticket{Key: first.Key, Application: "a"} // it asked while its supervisor was coming up
	if err := f.b.Places.write(ghost.file(), ghost); err != nil {
		t.Fatal(err)
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
	if running, _, left, err := f.b.Places.read(); err != nil || len(running)+len(left) > 0 {
		t.Errorf("%v run and %v wait, %v", running, left, err)
	}
}
