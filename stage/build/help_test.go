package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"showrunner/build"
	"showrunner/internal/filelock"
	"showrunner/pipeline"
	"showrunner/stage"
)

// helpers are hosts that see each other's waiting tasks, with one place each.
type helpers struct {
	*testing.T
	now   *time.Time
	hosts []*fixture
	wakes woken

	mu    sync.Mutex
	waits map[stage.Key]*stage.Input // tasks that have answered Again
}

func newHelpers(t *testing.T, names ...string) *helpers {
	t.Helper()
	now, fleets := fleetOf(names...)
	h := &helpers{T: t, now: now, wakes: make(woken, 1000), waits: map[stage.Key]*stage.Input{}}
	for _, f := range fleets {
		host := newFixture(t, nil)
		f.Logs = func(stage.Key) (io.WriteCloser, error) { return nopCloser{newLog()}, nil }
		host.b.Fleet, host.b.Waker = f, h.wakes
		host.b.Places = NewPlaces(t.TempDir(), 1, time.Now)
		host.b.Waiting = h.waiting
		h.hosts = append(h.hosts, host)
	}
	looks(t, fleets...)
	looks(t, fleets...)
	return h
}

// waiting is Builder.Waiting over the tasks that wait here.
func (h *helpers) waiting(context.Context, string) (func(stage.Key) (*stage.Input, bool), error) {
	return func(k stage.Key) (*stage.Input, bool) {
		h.mu.Lock()
		defer h.mu.Unlock()
		in, ok := h.waits[k]
		if !ok {
			return nil, false
		}
		own := *in
		return &own, true
	}, nil
}

// run calls a stage's task on a host, as the owner of its execution does.
func (h *helpers) run(host int, in *stage.Input) (stage.Result, error) {
	k := stage.Kind(runKind{h.hosts[host].b})
	if in.Stage.Kind == "build" {
		k = buildKind{h.hosts[host].b}
	}
	res, err := task(k, "execute").Run(h.Context(), in)
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waits, in.Key)
	if in.State = res.State; err == nil && res.Outcome == stage.Again {
		own := *in
		h.waits[in.Key] = &own
	}
	return res, err
}

// input is a stage with one command.
func (h *helpers) input(execution, command string) (*stage.Input, *log) {
	w := newLog()
	in := h.hosts[0].input(pipeline.Run{Commands: []string{command}}, w)
	in.Key.Execution, in.Stage.Kind, in.Now = execution, "run", time.Now()
	return in, w
}

// fill takes the place of a host; the answer gives it back.
func (h *helpers) fill(host int) (giveBack func()) {
	h.Helper()
	place, _, err := h.hosts[host].b.Places.take(waiting("other", "filler", 0))
	if err != nil || place == nil {
		h.Fatal(place, err)
	}
	return func() { h.hosts[host].b.giveBack(place) }
}

// waitsOn has a stage wait for the place of its owner, which offers it.
func (h *helpers) waitsOn(host int, in *stage.Input) {
	h.Helper()
	if res, err := h.run(host, in); err != nil || res.Outcome != stage.Again || !strings.HasPrefix(res.Waits, "waits for a place") {
		h.Fatalf("%+v, %v", res, err)
	}
	h.offer(host)
}

func (h *helpers) offer(host int) {
	var o offers
	h.hosts[host].b.offer(h.Context(), &o)
}

// help has a host help until nothing that it began runs.
func (h *helpers) help(host int) {
	h.Helper()
	x := &helper{Builder: h.hosts[host].b, executions: map[string]waitingTasks{}, refused: map[stage.Key]time.Time{}}
	if _, err := x.help(h.Context()); err != nil {
		h.Fatal(err)
	}
	x.building.Wait()
}

func (h *helpers) woken(want stage.Key) {
	h.Helper()
	for {
		select {
		case k := <-h.wakes:
			if k == want {
				return
			}
		default:
			h.Fatalf("%s was not woken", want)
		}
	}
}

func TestAnotherHostBeginsABuildThatWaits(t *testing.T) {
	h := newHelpers(t, "a", "b")
	giveBack := h.fill(0)
	defer giveBack()
	in, w := h.input("e1", "echo here")
	h.waitsOn(0, in)
	h.help(1)
	h.woken(in.Key)
	if res, err := h.run(0, in); err != nil || res.Outcome != stage.Done {
		t.Fatalf("%+v, %v\n%s", res, err, w.text())
	}
	if got := w.text(); strings.Count(got, "\nhere\n") != 1 || !strings.Contains(got, "begins on b, which has a place\n") {
		t.Error(got)
	}
	if n := h.hosts[0].b.Places.waits(); n != 0 {
		t.Errorf("%d builds go on waiting", n)
	}
	h.help(1) // by the same offer, which is old now
	if n := strings.Count(w.text(), "\nhere\n"); n != 1 {
		t.Errorf("it began %d times", n)
	}
	if _, free, err := h.hosts[1].b.Places.spare(); err != nil || free != 1 {
		t.Errorf("%d places are free, %v", free, err)
	}
}

func TestOwnBuildsComeFirst(t *testing.T) {
	h := newHelpers(t, "a", "b")
	defer h.fill(0)()
	giveBack := h.fill(1)
	foreign, foreignLog := h.input("e1", "echo foreign")
	h.waitsOn(0, foreign)
	own, _ := h.input("e2", "echo own")
	h.waitsOn(1, own)
	giveBack()
	h.help(1)
	if strings.Contains(foreignLog.text(), "foreign\n") {
		t.Error("another host's build took the place that one of this host waits for")
	}
	if res, err := h.run(1, own); err != nil || res.Outcome != stage.Done {
		t.Fatalf("%+v, %v", res, err)
	}
	h.help(1)
	if !strings.Contains(foreignLog.text(), "foreign\n") {
		t.Error("nobody helped")
	}
}

// A build that is canceled while it waits is begun by no host, however old the offer
// is that the host goes by; one that another host has by then is ended there.
func TestACanceledBuildIsBegunNowhere(t *testing.T) {
	h := newHelpers(t, "a", "b")
	defer h.fill(0)()
	in, w := h.input("e1", "echo here")
	h.waitsOn(0, in)
	if err := task(runKind{h.hosts[0].b}, "execute").Cancel(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	h.help(1) // the task is still among those that wait
	if strings.Contains(w.text(), "\nhere\n") {
		t.Errorf("it ran:\n%s", w.text())
	}
	if _, err := h.run(0, in); err == nil {
		t.Error("an owner that has not heard of it begins it")
	}

	late, w := h.input("e2", "echo early; sleep 100; echo late")
	h.waitsOn(0, late)
	helped := make(chan struct{})
	go func() { defer close(helped); h.help(1) }()
	w.wait(t, "\nearly\n")
	cancel := task(runKind{h.hosts[0].b}, "execute").Cancel
	if err := cancel(t.Context(), late); err == nil {
		t.Fatal("its end was confirmed while it runs")
	}
	for _, own := range h.hosts[1].b.unsettled() { // as Keep does
		if err := h.hosts[1].b.settle(t.Context(), own); err != nil {
			t.Fatal(err)
		}
	}
	<-helped
	if err := cancel(t.Context(), late); err != nil {
		t.Error(err)
	}
	if strings.Contains(w.text(), "\nlate\n") {
		t.Errorf("it went on:\n%s", w.text())
	}
}

func TestWhatDoesNotWaitIsNotBegun(t *testing.T) {
	h := newHelpers(t, "a", "b")
	defer h.fill(0)()
	in, w := h.input("e1", "echo here")
	h.waitsOn(0, in)
	delete(h.waits, in.Key)
	h.help(1)
	if c, err := h.hosts[1].b.Fleet.claim(t.Context(), in.Key); err != nil || c.Start != 0 || strings.Contains(w.text(), "\nhere\n") {
		t.Errorf("%+v, %v\n%s", c, err, w.text())
	}
}

// A host takes a build and is lost for good. Its owner, which learns only then who had
// it, leaves commands to a person and starts a build anew.
func TestAHelpingHostIsLost(t *testing.T) {
	for _, kind := range []string{"run", "build"} {
		t.Run(kind, func(t *testing.T) {
			h := newHelpers(t, "a", "b")
			in, w := h.input("e1", "echo here")
			if in.Stage.Kind = kind; kind == "build" {
				in.Config = pipeline.Build{Inline: "version: 0.2\nphases: {build: {commands: [echo here]}}\n"}
			}
			giveBack := h.fill(0)
			h.waitsOn(0, in)
			before := in.State
			if _, err := h.hosts[1].b.take(t.Context(), in, claim{}); err != nil {
				t.Fatal(err)
			}
			for range 40 { // b is silent
				*h.now = h.now.Add(h.hosts[0].b.Fleet.every())
				looks(t, h.hosts[0].b.Fleet)
			}
			if h.offer(0); h.hosts[0].b.Fleet.others() {
				t.Error("a host that is lost counts")
			}
			giveBack()
			res, err := h.run(0, in)
			if err != nil || res.Outcome != stage.Again || res.Waits != "runs on b" {
				t.Fatalf("what the owner learns first: %+v, %v", res, err)
			}
			res, err = h.run(0, in)
			if kind == "build" {
				if err != nil || res.Outcome != stage.Done || strings.Count(w.text(), "\nhere\n") != 1 {
					t.Fatalf("%+v, %v\n%s", res, err, w.text())
				}
				return
			}
			if !errors.Is(err, stage.ErrInDoubt) {
				t.Fatalf("%+v, %v", res, err)
			}
			// A person has it run again: it comes for a place as after any doubt.
			giveBack = h.fill(0)
			in.State = nil
			h.waitsOn(0, in)
			if string(in.State) == string(before) {
				t.Error("the state does not say which start it comes after")
			}
			giveBack()
			if res, err = h.run(0, in); err != nil || res.Outcome != stage.Done || strings.Count(w.text(), "\nhere\n") != 1 {
				t.Fatalf("%+v, %v\n%s", res, err, w.text())
			}
		})
	}
}

// A control plane dies between taking another host's build and beginning it. Back, it
// gives the build up once the owner asks, which begins it, in its old place in the queue.
func TestAHelpingHostNeverBegan(t *testing.T) {
	h := newHelpers(t, "a", "b")
	giveBack := h.fill(0)
	in, w := h.input("e1", "echo here")
	h.waitsOn(0, in)
	arrived, _ := waitsFor(in)
	own, err := h.hosts[1].b.take(t.Context(), in, claim{})
	if err != nil {
		t.Fatal(err)
	}
	if res, err := h.run(0, in); err != nil || res.Waits != "runs on b" {
		t.Fatalf("%+v, %v", res, err)
	}
	if err := h.hosts[1].b.settle(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	h.waitsOn(0, in)
	if again, _ := waitsFor(in); !again.Arrived.Equal(arrived.Arrived) {
		t.Errorf("it came at %s, and comes at %s", arrived.Arrived, again.Arrived)
	}
	giveBack()
	if res, err := h.run(0, in); err != nil || res.Outcome != stage.Done || strings.Count(w.text(), "\nhere\n") != 1 {
		t.Fatalf("%+v, %v\n%s", res, err, w.text())
	}
	if _, err := build.Attach(h.hosts[1].b.folder(own.Key, own.Start)); !errors.Is(err, build.ErrGivenUp) {
		t.Errorf("the start that was given up: %v", err)
	}
}

// Three hosts reach for the same builds at the same time, and so does their owner.
func TestEachBuildBeginsOnce(t *testing.T) {
	h := newHelpers(t, "a", "b", "c", "d")
	effects := filepath.Join(t.TempDir(), "effects")
	giveBack := h.fill(0)
	var list []*stage.Input
	for i := range 12 {
		in, _ := h.input(fmt.Sprintf("e%d", i), fmt.Sprintf("echo effect-%02d >> %s", i, effects))
		h.waitsOn(0, in)
		list = append(list, in)
	}
	giveBack()
	var all sync.WaitGroup
	for host := range h.hosts[1:] {
		all.Go(func() {
			for range len(list) {
				h.help(host + 1)
			}
		})
	}
	left := list
	for len(left) > 0 {
		var again []*stage.Input
		for _, in := range left {
			res, err := h.run(0, in)
			switch {
			case err == nil && res.Outcome == stage.Done:
			case err == nil && res.Outcome == stage.Again, errors.Is(err, filelock.ErrHeld):
				again = append(again, in)
			default:
				t.Fatalf("%+v, %v", res, err)
			}
		}
		left = again
	}
	all.Wait()
	text, err := os.ReadFile(effects)
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if n := strings.Count(string(text), fmt.Sprintf("effect-%02d\n", i)); n != 1 {
			t.Errorf("%d had its effect %d times", i, n)
		}
	}
}
