package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/cloud/cloudtest/memcloud"
	"showrunner/cloud/driver"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/store/record/recordtest"
)

// stage of these tests: one application with a cluster of three in region a, whose
// instances end at the first minute of each draw.
type monkeyStage struct {
	t       *testing.T
	records *recordtest.Records
	cloud   *endings
	now     time.Time
	mu      sync.Mutex
}

// endings is a cloud that remembers which instances were ended on request.
type endings struct {
	*memcloud.Cloud
	mu    sync.Mutex
	ended map[string]int
	fail  error // of Terminate, after it has acted
}

func (c *endings) Terminate(ctx context.Context, region, id string, opts driver.TerminateOptions, key string) error {
	if err := c.Cloud.Terminate(ctx, region, id, opts, key); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended[id]++
	return c.fail
}

func (c *endings) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ended)
}

// sessions are control planes of which some live.
type sessions struct {
	own  string
	dead map[string]bool
}

func (r sessions) Owner() string { return r.own }

func (r sessions) Lives(_ context.Context, owner string) (bool, error) { return !r.dead[owner], nil }

var ada = Principal{Name: "ada", Owner: true}

func newMonkeyStage(t *testing.T, desired int, block string) *monkeyStage {
	t.Helper()
	st := &monkeyStage{t: t, records: &recordtest.Records{}, now: time.Date(2026, 12, 9, 8, 0, 0, 0, time.UTC)} // a Wednesday
	st.cloud = &endings{Cloud: memcloud.New(memcloud.Config{Regions: []string{"a"}}), ended: map[string]int{}}
	_, err := st.cloud.CreateServerGroup(t.Context(), "a", cloud.ServerGroupSpec{Application: "shop", Cluster: "shop-web", Version: "1", Weight: 100,
		Workload: cloud.Workload{Process: &cloud.Process{Artifact: "sha256:1", Command: []string{"./shop"}}}, Health: pipeline.Health{Path: "/"}, Capacity: pipeline.Capacity{Min: 1, Desired: desired, Max: 19}}, "key")
	if err != nil {
		t.Fatal(err)
	}
	file := "application: shop\nchaos: { enabled: true, meanTimeBetweenKillsInWorkDays: 1" + block + " }\npipelines: { p: { stages: { s: { wait: { for: 1s } } } } }\n"
	if _, err := st.plane("setup").Apply(t.Context(), ada, File{Name: "showrunner.yaml", Source: []byte(file)}, 0); err != nil {
		t.Fatal(err)
	}
	return st
}

// plane is a control plane of the stage.
func (st *monkeyStage) plane(session string, dead ...string) *Service {
	gone := map[string]bool{}
	for _, d := range dead {
		gone[d] = true
	}
	return New(Deps{Records: st.records, Engine: ran{}, Accounts: one{cloud.NewAccount("local", st.cloud, cloud.Options{Now: st.clock})}, Now: st.clock, Replicas: sessions{session, gone}})
}

func (st *monkeyStage) clock() time.Time {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.now
}

func (st *monkeyStage) set(now time.Time) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.now = now
}

// kills are the application's kills.
func (st *monkeyStage) kills() []ChaosKill {
	st.t.Helper()
	state, _, err := st.plane("reader").monkeyState(st.t.Context(), "shop")
	if err != nil {
		st.t.Fatal(err)
	}
	return state.Kills
}

// toDue draws the day, and passes the time to the kill's minute.
func (st *monkeyStage) toDue(s *Service) ChaosKill {
	st.t.Helper()
	if _, err := s.monkeyTurn(st.t.Context()); err != nil {
		st.t.Fatal(err)
	}
	kills := st.kills()
	if len(kills) != 1 || kills[0].Outcome != KillScheduled {
		st.t.Fatalf("drawn: %+v", kills)
	}
	st.set(kills[0].Due)
	return kills[0]
}

func (st *monkeyStage) events(prefix string) (types []string) {
	for _, e := range st.records.Events() {
		if strings.HasPrefix(e.Type, prefix) {
			types = append(types, e.Type)
		}
	}
	return types
}

// TestScheduledKill: the day is drawn once, the kill happens at its minute and not
// before, with its intent in the audit log and its steps among the events.
func TestScheduledKill(t *testing.T) {
	t.Parallel()
	st := newMonkeyStage(t, 3, "")
	s := st.plane("one")
	due := st.toDue(s)
	if hour := due.Due.Hour(); hour < 9 || hour >= 15 {
		t.Errorf("due at %s", due.Due)
	}
	st.set(due.Due.Add(-time.Second))
	if next, err := s.monkeyTurn(t.Context()); err != nil || !next.Equal(due.Due) || st.cloud.count() != 0 {
		t.Fatalf("before its minute: next %s, %d ended, %v", next, st.cloud.count(), err)
	}
	st.set(due.Due)
	for range 3 {
		if _, err := s.monkeyTurn(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	k := st.kills()[0]
	if st.cloud.count() != 1 || k.Outcome != Killed || st.cloud.ended[k.Victim.ID] != 1 || k.Eligible != 3 || k.Victim.Name != "shop-web" || len(st.kills()) != 1 {
		t.Fatalf("%d ended, %+v", st.cloud.count(), k)
	}
	if got := st.events("chaos."); !slices.Equal(got, []string{"chaos.scheduled", "chaos.begun", "chaos.killed"}) {
		t.Errorf("events %v", got)
	}
	entries := AuditEntries(st.records.Events())
	last := entries[len(entries)-1]
	if last.Operation != opChaosKill || last.Outcome != phaseDone || last.Subject.Name != k.Victim.ID || last.Via != ViaChaos || last.Details["group"] != k.Group {
		t.Errorf("audit %+v", last)
	}
	// The next day is drawn; the minimum of one working day lets it happen.
	st.set(time.Date(2026, 12, 10, 8, 0, 0, 0, time.UTC))
	if _, err := s.monkeyTurn(t.Context()); err != nil || len(st.kills()) != 2 {
		t.Fatalf("the next day: %d kills, %v", len(st.kills()), err)
	}
}

// TestCrashAtEveryWrite ends the control plane at each write of the records, before
// it and after it, and lets another go on: one instance ends, and the kill has its
// outcome.
func TestCrashAtEveryWrite(t *testing.T) {
	t.Parallel()
	crash := errors.New("crashed")
	for n := 1; ; n++ {
		st := newMonkeyStage(t, 3, "")
		st.toDue(st.plane("zero"))
		writes, died := 0, false
		st.records.Fail = func(op, _, _ string) error {
			if op == "put" || op == "append" {
				writes++
			}
			if died = died || writes == n; died {
				return crash
			}
			return nil
		}
		_, _ = st.plane("one").monkeyTurn(t.Context()) // it dies in the middle
		st.records.Fail = nil
		two := st.plane("two", "one")
		for range 2 {
			if _, err := two.monkeyTurn(t.Context()); err != nil {
				t.Fatalf("crash at write %d: %v", n, err)
			}
		}
		if k := st.kills()[0]; k.Outcome != Killed || st.cloud.count() != 1 || st.cloud.ended[k.Victim.ID] == 0 {
			t.Errorf("crash at write %d: %d ended, %+v", n, st.cloud.count(), k)
		}
		if !died {
			if n < 4 {
				t.Fatalf("only %d writes", n-1)
			}
			return
		}
	}
}

// TestAnotherPlaneWaitsForOneThatLives: what a living control plane has begun is its
// own to finish.
func TestAnotherPlaneWaitsForOneThatLives(t *testing.T) {
	t.Parallel()
	st := newMonkeyStage(t, 3, "")
	st.toDue(st.plane("zero"))
	st.cloud.fail = problem.New(problem.Unavailable, "cloud", "the answer was lost")
	if _, err := st.plane("one").monkeyTurn(t.Context()); err == nil {
		t.Fatal("a lost answer is no error")
	}
	st.cloud.fail = nil
	if _, err := st.plane("two").monkeyTurn(t.Context()); err != nil || st.kills()[0].Outcome != KillBegun {
		t.Fatalf("another finished it: %+v, %v", st.kills()[0], err)
	}
	if _, err := st.plane("one").monkeyTurn(t.Context()); err != nil || st.kills()[0].Outcome != Killed || st.cloud.count() != 1 {
		t.Fatalf("its own did not: %+v, %v", st.kills()[0], err)
	}
}

// TestManyPlanesKillOnce: control planes that look at the same moment end one
// instance.
func TestManyPlanesKillOnce(t *testing.T) {
	t.Parallel()
	st := newMonkeyStage(t, 5, "")
	var wg sync.WaitGroup
	turn := func() {
		for i := range 6 {
			s := st.plane(fmt.Sprint("plane ", i))
			wg.Go(func() { _, _ = s.monkeyTurn(t.Context()) })
		}
		wg.Wait()
	}
	turn() // they draw
	kills := st.kills()
	if len(kills) != 1 {
		t.Fatalf("drawn %d times", len(kills))
	}
	st.set(kills[0].Due)
	turn()
	if k := st.kills()[0]; st.cloud.count() != 1 || k.Outcome != Killed {
		t.Errorf("%d ended, %+v", st.cloud.count(), k)
	}
	if got := st.events("chaos.killed"); len(got) != 1 {
		t.Errorf("told %d times", len(got))
	}
}

// TestADayWithoutKillsIsNotDrawnAgain: also when the settings change, and after a
// restart.
func TestADayWithoutKillsIsNotDrawnAgain(t *testing.T) {
	t.Parallel()
	st := newMonkeyStage(t, 3, ", days: [sun]")
	s := st.plane("one")
	if _, err := s.monkeyTurn(t.Context()); err != nil || len(st.kills()) != 0 {
		t.Fatalf("%+v, %v", st.kills(), err)
	}
	file := "application: shop\nchaos: { enabled: true, meanTimeBetweenKillsInWorkDays: 1 }\npipelines: { p: { stages: { s: { wait: { for: 1s } } } } }\n"
	if _, err := s.Apply(t.Context(), ada, File{Name: "showrunner.yaml", Source: []byte(file)}, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := st.plane("two").monkeyTurn(t.Context()); err != nil || len(st.kills()) != 0 {
		t.Errorf("drawn again: %+v, %v", st.kills(), err)
	}
	days, err := s.MonkeySchedule(t.Context(), ada, "")
	if err != nil || len(days) != 1 || days[0].Day.String() != "2026-12-09" || len(days[0].Kills) != 0 {
		t.Errorf("%+v, %v", days, err)
	}
}

// TestMissedKills: a kill whose day is over, because no control plane ran, is
// skipped and says so; one that is late within its hours happens.
func TestMissedKills(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		late time.Duration
		want KillOutcome
	}{"late": {10 * time.Minute, Killed}, "the next day": {24 * time.Hour, KillSkipped}} {
		st := newMonkeyStage(t, 3, `, hours: { from: "09:00", to: "10:00" }`)
		due := st.toDue(st.plane("one"))
		at := due.Due.Add(tt.late)
		if tt.want == Killed && at.Hour() != 9 {
			at = due.Due // the last minutes of the hours
		}
		st.set(at)
		if _, err := st.plane("two", "one").monkeyTurn(t.Context()); err != nil {
			t.Fatal(err)
		}
		if k := st.kills()[0]; k.Outcome != tt.want {
			t.Errorf("%s: %+v", name, k)
		}
	}
}

// TestLever: while it is pulled nothing ends, scheduled or on demand; also a kill
// that was begun. Releasing it lets chaos start again.
func TestLever(t *testing.T) {
	t.Parallel()
	st := newMonkeyStage(t, 3, "")
	s := st.plane("one")
	if _, err := s.StopChaos(t.Context(), ada, "  "); problem.CodeOf(err) != problem.Invalid {
		t.Errorf("without a reason: %v", err)
	}
	if _, err := s.StopChaos(t.Context(), Principal{Name: "eve"}, "x"); problem.CodeOf(err) != problem.Denied {
		t.Errorf("by a stranger: %v", err)
	}
	st.toDue(s)
	if l, err := s.StopChaos(t.Context(), ada, "incident 7"); err != nil || !l.Stopped {
		t.Fatalf("%+v, %v", l, err)
	}
	if _, err := s.monkeyTurn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if k := st.kills()[0]; k.Outcome != KillSkipped || k.Check != "stop" || !strings.Contains(k.Reason, "incident 7 (ada, ") {
		t.Errorf("%+v", k)
	}
	if _, err := s.KillNow(t.Context(), ada, ChaosRequest{Application: "shop"}, "a"); problem.CodeOf(err) != problem.Precondition || !strings.Contains(err.Error(), "incident 7") {
		t.Errorf("on demand: %v", err)
	}
	if l, err := st.plane("two").ChaosLever(t.Context(), ada); err != nil || !l.Stopped || l.Reason != "incident 7" || l.By != "ada" {
		t.Errorf("another control plane reads %+v, %v", l, err)
	}
	if _, err := s.ReleaseChaos(t.Context(), ada); err != nil {
		t.Fatal(err)
	}
	if got, err := s.KillNow(t.Context(), ada, ChaosRequest{Application: "shop"}, "b"); err != nil || got.Kill.Outcome != Killed {
		t.Errorf("released: %+v, %v", got.Kill, err)
	}
	if n := st.cloud.count(); n != 1 {
		t.Errorf("%d ended", n)
	}
}

// TestLeverAfterTheIntent: a lever that is pulled between the intent and the act
// wins, unless the instance has ended already.
func TestLeverAfterTheIntent(t *testing.T) {
	t.Parallel()
	for _, ended := range []bool{false, true} {
		st := newMonkeyStage(t, 3, "")
		st.toDue(st.plane("zero"))
		one := st.plane("one")
		crash := errors.New("crashed")
		st.records.Fail = func(op, collection, _ string) error {
			// The intent is recorded; it dies before the act, or with the answer.
			if op == "append" && !ended || op == "put" && collection == monkeyRecords && st.cloud.count() > 0 {
				return crash
			}
			return nil
		}
		_, _ = one.monkeyTurn(t.Context()) // it dies
		st.records.Fail = nil
		if k := st.kills()[0]; k.Outcome != KillBegun {
			t.Fatalf("%+v", k)
		}
		two := st.plane("two", "one")
		if _, err := two.StopChaos(t.Context(), ada, "incident"); err != nil {
			t.Fatal(err)
		}
		if _, err := two.monkeyTurn(t.Context()); err != nil {
			t.Fatal(err)
		}
		k := st.kills()[0]
		if want := map[bool]KillOutcome{false: KillFailed, true: Killed}[ended]; k.Outcome != want || st.cloud.count() != map[bool]int{false: 0, true: 1}[ended] {
			t.Errorf("ended before: %v: %d ended, %+v", ended, st.cloud.count(), k)
		}
	}
}

// TestKillNow: a kill on demand explains its choice, happens once for its key, and
// never takes what cannot be spared.
func TestKillNow(t *testing.T) {
	t.Parallel()
	st := newMonkeyStage(t, 2, "")
	s := st.plane("one")
	dry, err := s.KillNow(t.Context(), ada, ChaosRequest{Application: "shop", DryRun: true}, "dry")
	if err != nil || dry.Kill.Outcome != KillDryRun || len(dry.Choices) != 2 || st.cloud.count() != 0 || len(st.kills()) != 0 {
		t.Fatalf("dry run: %+v, %v", dry, err)
	}
	for range 3 {
		got, err := s.KillNow(t.Context(), ada, ChaosRequest{Application: "shop", Cluster: "shop-web"}, "k")
		if err != nil && st.cloud.count() == 0 {
			t.Fatal(err)
		}
		if err == nil && (got.Kill.Outcome != Killed || got.Kill.By != "ada") {
			t.Errorf("%+v", got.Kill)
		}
	}
	if st.cloud.count() != 1 || len(st.kills()) != 1 {
		t.Errorf("%d ended, %d kept", st.cloud.count(), len(st.kills()))
	}
	if _, err := s.KillNow(t.Context(), ada, ChaosRequest{Application: "shp"}, "x"); problem.CodeOf(err) != problem.NotFound || !strings.Contains(problem.HelpOf(err), "shop") {
		t.Errorf("unknown application: %v, %s", err, problem.HelpOf(err))
	}
	if _, err := s.KillNow(t.Context(), ada, ChaosRequest{Application: "shop", Cluster: "shop-wb"}, "x"); problem.CodeOf(err) != problem.NotFound {
		t.Errorf("unknown cluster: %v", err)
	}
	if _, err := s.KillNow(t.Context(), Principal{Name: "eve"}, ChaosRequest{Application: "shop"}, "x"); problem.CodeOf(err) != problem.Denied {
		t.Errorf("a stranger: %v", err)
	}
	lone := newMonkeyStage(t, 1, "")
	if got, err := lone.plane("one").KillNow(t.Context(), ada, ChaosRequest{Application: "shop", Forced: true}, "x"); problem.CodeOf(err) != problem.Precondition || lone.cloud.count() != 0 || !strings.Contains(got.Choices[0].Why, "the last instance") {
		t.Errorf("the last one: %+v, %v", got, err)
	}
}

// TestFreezeAndAlarms hold kills back.
func TestFreezeAndAlarms(t *testing.T) {
	t.Parallel()
	st := newMonkeyStage(t, 3, "")
	s := st.plane("one")
	if _, err := s.PutFreeze(t.Context(), ada, Freeze{Name: "peak", Reason: "peak week", Applications: []string{"sh*"}}, false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.KillNow(t.Context(), ada, ChaosRequest{Application: "shop"}, "a"); err == nil || !strings.Contains(err.Error(), "peak week") {
		t.Errorf("frozen: %v", err)
	}
	if err := s.DeleteFreeze(t.Context(), ada, "peak"); err != nil {
		t.Fatal(err)
	}
	s.Alarms = openAlarms{names: []string{"errors"}}
	if _, err := s.KillNow(t.Context(), ada, ChaosRequest{Application: "shop"}, "b"); err == nil || !strings.Contains(err.Error(), "an alarm is open: errors") {
		t.Errorf("an alarm: %v", err)
	}
	s.Alarms = openAlarms{err: errors.New("no metrics")}
	if _, err := s.KillNow(t.Context(), ada, ChaosRequest{Application: "shop"}, "c"); err == nil || !strings.Contains(err.Error(), "no metrics") {
		t.Errorf("alarms that cannot be read: %v", err)
	}
	if st.cloud.count() != 0 {
		t.Errorf("%d ended", st.cloud.count())
	}
}

type openAlarms struct {
	names []string
	err   error
}

func (o openAlarms) OpenAlarms(context.Context) ([]string, error) { return o.names, o.err }
