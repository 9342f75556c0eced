package build

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"showrunner/build"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store/record/recordtest"
)

// fleetOf makes hosts that see each other, and the time they have in common.
func fleetOf(names ...string) (now *time.Time, list []*Fleet) {
	at := time.Now()
	records := &recordtest.Records{}
	for _, name := range names {
		list = append(list, &Fleet{Records: records, ID: name, Name: name, Patience: time.Minute, Now: func() time.Time { return at }, Log: slog.New(slog.DiscardHandler)})
	}
	return &at, list
}

func looks(t *testing.T, list ...*Fleet) {
	t.Helper()
	for _, f := range list {
		if err := f.look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAHostIsLostByItsSilenceAlone(t *testing.T) {
	now, hosts := fleetOf("a", "b")
	a, b := hosts[0], hosts[1]
	looks(t, a, b)
	for range 100 { // both live
		*now = now.Add(a.every())
		looks(t, a, b)
	}
	if b.lost("a") || b.lost("b") {
		t.Fatal("a host that lives is lost")
	}
	// Everybody is unreachable for an hour, as with the database, and b is back first.
	*now = now.Add(time.Hour)
	looks(t, b)
	if b.lost("a") {
		t.Fatal("time in which nobody could be heard counted as silence")
	}
	for range 40 {
		*now = now.Add(a.every())
		looks(t, b)
	}
	if !b.lost("a") {
		t.Error("a host that has been silent for longer than the others' patience is not lost")
	}
	looks(t, a, b)
	if b.lost("a") {
		t.Error("a host that is back is lost")
	}
	if b.lost("nobody") {
		t.Error("a host that was never heard of is lost at once")
	}
}

// Two attempts with one claim would have one build: the second would have the first's
// result without having run.
func TestEachAttemptHasItsOwnClaim(t *testing.T) {
	seen := map[string]stage.Key{}
	for i := range 20_000 {
		for attempt := 1; attempt <= 2; attempt++ {
			k := stage.Key{Execution: "06h2t51kvhdb9gkac0", Stage: fmt.Sprint("s", i), Attempt: attempt, Task: "execute"}
			if other, there := seen[claimKey(k)]; there {
				t.Fatalf("%s and %s have the same claim", k, other)
			}
			seen[claimKey(k)] = k
		}
	}
	k := stage.Key{Execution: "06h2t51kvhdb9gkac0", Stage: "s", Attempt: 1, Task: "execute"}
	again := k
	again.Attempt += 1 << 10
	if claimKey(k) == claimKey(again) {
		t.Error("a later attempt has the claim of an earlier one")
	}
}

func TestALateResultIsRefused(t *testing.T) {
	_, hosts := fleetOf("a", "b")
	a, b := hosts[0], hosts[1]
	f := newFixture(t, nil)
	in := f.input(pipeline.Build{}, newLog())
	first, err := a.take(t.Context(), in, claim{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.take(t.Context(), in, claim{}); problem.CodeOf(err) != problem.Conflict {
		t.Fatalf("two hosts took the first start: %v", err)
	}
	second, err := b.take(t.Context(), in, first)
	if err != nil || second.Start != 2 {
		t.Fatalf("%+v, %v", second, err)
	}
	if err := a.keep(t.Context(), first, build.Result{ID: "late"}); problem.CodeOf(err) != problem.Unavailable {
		t.Errorf("the late result: %v", err)
	}
	if err := b.keep(t.Context(), second, build.Result{ID: "good", Status: build.Succeeded}); err != nil {
		t.Fatal(err)
	}
	if err := a.keep(t.Context(), first, build.Result{ID: "later"}); problem.CodeOf(err) != problem.Unavailable {
		t.Errorf("the later result: %v", err)
	}
	c, err := a.claim(t.Context(), in.Key)
	if err != nil || c.Result == nil || c.Result.ID != "good" {
		t.Errorf("%+v, %v", c, err)
	}
	f.b.Fleet = a // and whoever asks from then on, on any host, is told of that one
	if res, err := task(buildKind{f.b}, "execute").Resume(t.Context(), in); err != nil || res.Outcome != stage.Done || res.Outputs["buildId"] != "good" {
		t.Errorf("%+v, %v", res, err)
	}
	if err := a.Prune(t.Context(), time.Now().Add(time.Hour), func(string) (bool, error) { return false, nil }); err != nil {
		t.Fatal(err)
	}
	if c, _ := a.claim(t.Context(), in.Key); c.Start == 0 {
		t.Error("the claim of an execution under way was forgotten")
	}
	if err := a.Prune(t.Context(), time.Now().Add(time.Hour), func(string) (bool, error) { return true, nil }); err != nil {
		t.Fatal(err)
	}
	if c, _ := a.claim(t.Context(), in.Key); c.Start != 0 {
		t.Errorf("the claim was kept: %+v", c)
	}
}

// TestABuildThatTakesItsHostsDown is started anew on so many, and then fails.
func TestABuildThatTakesItsHostsDown(t *testing.T) {
	now, hosts := fleetOf("own", "a", "b", "c", "d")
	f := newFixture(t, nil)
	f.b.Fleet = hosts[0]
	w := newLog()
	in := f.input(pipeline.Build{}, w)
	execute := task(buildKind{f.b}, "execute")
	var c claim
	var err error
	for i, h := range hosts[1:] {
		if c, err = h.take(t.Context(), in, c); err != nil || c.Start != i+1 {
			t.Fatalf("%+v, %v", c, err)
		}
	}
	looks(t, hosts...)
	res, err := execute.Resume(t.Context(), in)
	if err != nil || res.Outcome != stage.Again || res.After <= 0 {
		t.Fatalf("the last host lives, and the answer is %+v, %v", res, err)
	}
	for range 40 {
		*now = now.Add(hosts[0].every())
		looks(t, hosts[0])
	}
	in.State = res.State
	res, err = execute.Run(t.Context(), in)
	if err != nil || res.Outcome != stage.Failed || res.Failure.Code != "BUILD_HOST_LOST" || !res.Failure.Retryable {
		t.Fatalf("%+v, %v", res, err)
	}
	if strings.Count(w.text(), "is started anew on") != 3 {
		t.Error(w.text())
	}
	// Commands are a person's to repeat, however often they were lost.
	if _, err := task(runKind{f.b}, "execute").Run(t.Context(), in); !errors.Is(err, stage.ErrInDoubt) {
		t.Errorf("%v", err)
	}
}

// TestABuildThatItsHostNeverBegan: a control plane is killed between taking a
// build and beginning it, and is back at once, while another one has the
// execution. The build is begun there, also one whose commands nobody may repeat.
func TestABuildThatItsHostNeverBegan(t *testing.T) {
	for name, beginsFirst := range map[string]bool{"given up": false, "begun meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			_, hosts := fleetOf("a", "b")
			a, b := newFixture(t, nil).b, newFixture(t, nil)
			a.Fleet, b.b.Fleet = hosts[0], hosts[1]
			w := newLog()
			a.Fleet.Logs = func(stage.Key) (io.WriteCloser, error) { return nopCloser{w}, nil }
			in := b.input(pipeline.Run{Commands: []string{"echo here"}}, w)
			own, err := a.take(t.Context(), in, claim{})
			if err != nil {
				t.Fatal(err)
			}
			dir := a.folder(own.Key, own.Start)
			settle := func() {
				t.Helper()
				for _, c := range a.unsettled() {
					if err := a.settle(t.Context(), c); err != nil {
						t.Fatal(err)
					}
				}
			}
			looks(t, hosts...)
			settle()
			if _, err := build.Attach(dir); !errors.Is(err, build.ErrNotStarted) {
				t.Fatalf("given up before anybody asked: %v", err)
			}
			execute := task(runKind{b.b}, "execute")
			res, err := execute.Resume(t.Context(), in)
			if err != nil || res.Outcome != stage.Again {
				t.Fatalf("%+v, %v", res, err)
			}
			if beginsFirst {
				if _, err := a.here(t.Context(), in, own, runKind{a}.work()); err != nil {
					t.Fatal(err)
				}
			}
			settle()
			in.State = res.State
			res, err = execute.Run(t.Context(), in)
			if err != nil || res.Outcome != stage.Done {
				t.Fatalf("%+v, %v\n%s", res, err, w.text())
			}
			if n := strings.Count(w.text(), "\nhere\n"); n != 1 {
				t.Errorf("the commands ran %d times:\n%s", n, w.text())
			}
			if gone := strings.Contains(w.text(), "before this build had begun"); gone == beginsFirst {
				t.Error(w.text())
			}
			if beginsFirst {
				return
			}
			if _, err := a.Launcher.Start(t.Context(), dir, build.Job{}, nil); !errors.Is(err, build.ErrGivenUp) {
				t.Errorf("the start that was given up: %v", err)
			}
			if left := a.unsettled(); len(left) > 0 {
				t.Errorf("%+v are not settled", left)
			}
		})
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
