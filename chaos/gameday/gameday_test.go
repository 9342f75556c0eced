package gameday_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"showrunner/chaos/gameday"
	"showrunner/problem"
)

const minute = gameday.Seconds(time.Minute)

// The same settings give the same plan; everything is within the time, in order, and no
// two outages are at once, and no kill comes while a region is out.
func TestAPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := gameday.Settings{Seed: rapid.Uint64().Draw(t, "seed"), Length: gameday.Seconds(rapid.Int64Range(int64(20*time.Second), int64(time.Hour)).Draw(t, "length")), Rate: 1,
			Kills: rapid.IntRange(0, 100).Draw(t, "kills"), Deployments: rapid.IntRange(0, 20).Draw(t, "deployments"), Zones: rapid.IntRange(0, 5).Draw(t, "zones"), Regions: rapid.IntRange(0, 5).Draw(t, "regions"),
			Faults: rapid.SliceOfN(rapid.SampledFrom([]string{"latency", "region-outage", "partition", "restart"}), 0, 5).Draw(t, "faults")}
		plan, err := s.Plan()
		if err != nil {
			t.Fatal(err)
		}
		again, _ := s.Plan()
		if !reflect.DeepEqual(plan, again) {
			t.Fatal("the same seed gives another plan")
		}
		counts := map[gameday.Kind]int{}
		var last, outageEnds, regionEnds gameday.Seconds
		for _, e := range plan {
			counts[e.Kind]++
			if e.At < last || e.At < s.Length/10 || e.At+e.Lasts > s.Length*9/10+gameday.Seconds(time.Millisecond) {
				t.Fatalf("%+v in %s", e, s.Length.Duration())
			}
			if last = e.At; e.Lasts > 0 {
				if e.At < outageEnds {
					t.Fatalf("two outages at once: %+v", plan)
				}
				outageEnds = e.At + e.Lasts
			}
			switch {
			case e.Kind == gameday.RegionOutage, e.Fault == "region-outage", e.Fault == "partition":
				regionEnds = e.At + e.Lasts
			case e.Kind == gameday.Kill && e.At <= regionEnds:
				t.Fatalf("a kill while a region is out, which is refused: %+v", plan)
			}
		}
		if counts[gameday.Kill] != s.Kills || counts[gameday.Deployment] != s.Deployments || counts[gameday.ZoneOutage] != s.Zones || counts[gameday.RegionOutage] != s.Regions || counts[gameday.Fault] != len(s.Faults) {
			t.Fatalf("%v of %+v", counts, s)
		}
	})
	for _, s := range []gameday.Settings{{Length: gameday.Seconds(time.Second), Rate: 1}, {Length: minute}, {Length: minute, Rate: 1, Kills: -1}, {Length: minute, Rate: 1, Regions: 21}} {
		if _, err := s.Plan(); problem.CodeOf(err) != problem.Invalid {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

// fake is a system whose instances come back after two seconds, when it heals.
type fake struct {
	mu        sync.Mutex
	until     time.Time // when it is whole again
	heals     bool
	failing   bool // requests fail while it is not whole
	refusals  atomic.Int64
	deployed  atomic.Int64
	healCalls []bool
}

func (f *fake) broken() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Now().Before(f.until)
}

func (f *fake) breaks(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.heals {
		d = 24 * time.Hour
	}
	if end := time.Now().Add(d); end.After(f.until) {
		f.until = end
	}
}

func (f *fake) Requests(ctx context.Context, rate int, answered func(gameday.Answer)) {
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			bad := f.failing && f.broken()
			answered(gameday.Answer{Due: now, Took: 2 * time.Millisecond, OK: !bad, Repeatable: n%10 != 0, Why: "503"})
		}
	}
}

func (f *fake) Deploy(ctx context.Context, n int) (string, error) {
	<-time.After(3 * time.Second)
	f.deployed.Add(1)
	return fmt.Sprintf("v%d", n), nil
}

func (f *fake) Kill(context.Context, float64) (gameday.Effect, error) {
	if f.refusals.Add(-1) >= 0 {
		return gameday.Effect{}, problem.New(problem.Precondition, "fake", "a rollout is under way")
	}
	f.breaks(2 * time.Second)
	return gameday.Effect{What: "i-1", Since: time.Now()}, nil
}

func (f *fake) Zone(ctx context.Context, _ float64, lasts time.Duration, gone func(gameday.Effect)) error {
	gone(gameday.Effect{What: "zone a", Since: time.Now()})
	f.breaks(4 * time.Second)
	<-time.After(lasts)
	return nil
}

func (f *fake) Region(ctx context.Context, _ float64, lasts time.Duration, gone func(gameday.Effect)) error {
	return errors.New("no such region")
}

func (f *fake) Fault(_ context.Context, kind string, _ float64, lasts time.Duration, gone func(gameday.Effect)) error {
	if kind == "unknown" {
		return problem.New(problem.Invalid, "fake", "there is no such fault")
	}
	gone(gameday.Effect{What: kind, Since: time.Now()})
	<-time.After(lasts)
	f.breaks(3 * time.Second) // it is noticed late
	return nil
}

func (f *fake) Whole(context.Context, string) error {
	if f.broken() {
		return errors.New("an instance is missing")
	}
	return nil
}

func (f *fake) Heal(_ context.Context, on bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heals = on
	f.healCalls = append(f.healCalls, on)
	return nil
}

func quietly(string, ...any) {}

// What users had, what happened, and how long each recovery took.
func TestAGameDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := &fake{heals: true}
		env.refusals.Store(3)
		s := gameday.Settings{Seed: 7, Length: 2 * minute, Rate: 50, Kills: 5, Deployments: 3, Zones: 1, Faults: []string{"latency", "region-outage"}, Healing: true}
		r, err := gameday.Run(t.Context(), s, env, quietly)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Passed || r.All.Requests < 5300 || r.All.Failed != 0 || r.All.Availability() != 1 || env.deployed.Load() != 3 || len(r.Events) != 11 {
			t.Errorf("%s %+v", r.Verdict(), r.All)
		}
		if sum := r.Before.Requests + r.During.Requests + r.After.Requests; sum != r.All.Requests || r.Before.Requests == 0 || r.After.Requests == 0 {
			t.Errorf("%d in three parts, %d in all", sum, r.All.Requests)
		}
		for _, h := range r.Events {
			if h.What == "" || h.Recovery.Duration() < 2*time.Second || h.Recovery.Duration() > 8*time.Second {
				t.Errorf("%+v", h)
			}
		}
		if len(r.Timeline) < 119 || r.All.P99.Duration() != 2*time.Millisecond {
			t.Errorf("%d seconds, %+v", len(r.Timeline), r.All)
		}
		var page strings.Builder
		if err := r.Page(&page); err != nil || !strings.Contains(page.String(), "<polyline") || !strings.Contains(r.Markdown(), "| kill | 5 | 5 |") || !strings.Contains(r.Markdown(), "| fault | 2 | 2 |") {
			t.Errorf("%v\n%s", err, r.Markdown())
		}
	})
}

// The report can fail: without self-healing, and when something cannot be carried out.
func TestAGameDayThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := &fake{heals: true, failing: true}
		s := gameday.Settings{Seed: 7, Length: minute, Rate: 20, Kills: 2, Regions: 1}
		r, err := gameday.Run(t.Context(), s, env, quietly)
		if err != nil {
			t.Fatal(err)
		}
		if r.Passed || r.All.Failed == 0 || r.Before.Failed != 0 || r.After.Failed == 0 || len(r.Failures) != 1 || r.Failures[0].Requests != r.All.Failed || !reflect.DeepEqual(env.healCalls, []bool{false, true}) {
			t.Errorf("%s %+v %v", r.Verdict(), r.Failures, env.healCalls)
		}
		text := r.Markdown()
		for _, want := range []string{"not carried out or not recovered from", "no such region", "not until the end", "self-healing was off", "× 503"} {
			if !strings.Contains(text, want) {
				t.Errorf("without %q:\n%s", want, text)
			}
		}
	})
}

// A day that is interrupted reports what there was.
func TestAGameDayThatIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(30*time.Second, stop)
		r, err := gameday.Run(ctx, gameday.Settings{Seed: 1, Length: 10 * minute, Rate: 10, Kills: 50, Healing: true}, &fake{heals: true}, quietly)
		if err != nil || r.Passed || r.Took > minute || r.All.Requests == 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// Names from outside do not end a cell or an element.
func TestHostileNamesInTheReport(t *testing.T) {
	hostile := "<script>alert(1)</script> | x\n| y"
	r := gameday.Report{Events: []gameday.Happened{{Event: gameday.Event{Kind: gameday.Kill}, What: hostile}}, Failures: []gameday.Reason{{Why: hostile, Requests: 1}}, Took: minute}
	var page strings.Builder
	if err := r.Page(&page); err != nil || strings.Contains(page.String(), "<script>") {
		t.Error(err, page.String())
	}
	if text := r.Markdown(); strings.Contains(text, "<script>") || strings.Contains(text, "\n| y") {
		t.Error(text)
	}
}

// A report that is kept and read again is the same, and says the same.
func TestAReportIsKept(t *testing.T) {
	r := gameday.Report{Settings: gameday.Settings{Seed: 9, Length: minute, Rate: 10, Faults: []string{"latency"}}, Began: time.Unix(1_800_000_000, 0).UTC(), Took: minute + 5,
		All: gameday.Stretch{Requests: 100, Failed: 1, P99: gameday.Seconds(8200 * time.Microsecond)}, Failures: []gameday.Reason{{Why: "503", Requests: 1}},
		Events: []gameday.Happened{{Event: gameday.Event{At: 6, Kind: gameday.Fault, Fault: "latency", Lasts: minute / 2}, What: "i-1", Recovery: 4}}, Timeline: []gameday.Point{{Second: 3, Requests: 2, P99: 7}}}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var again gameday.Report
	if err := json.Unmarshal(text, &again); err != nil || !reflect.DeepEqual(r, again) {
		t.Fatalf("%v\n%+v\n%+v", err, r, again)
	}
	if s := again.Summary(again.ID(), "mia"); s.ID != "20270115t080000-9" || s.Passed || s.Missing != 0 || s.Events != 1 || again.Check() != nil {
		t.Errorf("%+v, %v", s, again.Check())
	}
	for _, bad := range []string{`{"began":"2026-01-01T00:00:00Z","tookSeconds":1e300}`, `{"tookSeconds":"x"}`, `{"events":[{"atSeconds":"NaN"}]}`} {
		if err := json.Unmarshal([]byte(bad), &gameday.Report{}); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
	if err := (&gameday.Report{}).Check(); problem.CodeOf(err) != problem.Invalid {
		t.Error(err)
	}
}
