package trigger

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
)

// running runs a service inside a synctest bubble until stop is called.
func (w *fixture) running(now func() time.Time) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.service(now).Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	}
}

// pass lets time pass in a bubble, and waits until all goroutines are idle.
func pass(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}

func (w *fixture) eventIDs() string {
	var ids []string
	for _, s := range w.engine.seen() {
		ids = append(ids, s.EventID)
	}
	return strings.Join(ids, ", ")
}

func hourly(missed string) Definition {
	return def("shop", "nightly", pipeline.Trigger{Schedule: &pipeline.ScheduleTrigger{Cron: "0 * * * *", Missed: missed,
		Parameters: map[string]string{"when": "${{ trigger.scheduled }}"}}})
}

func TestScheduleFiresOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // starts at 2000-01-01T00:00:00Z
		w := newFixture(t, hourly(""))
		stopA, stopB := w.running(time.Now), w.running(time.Now) // two replicas
		pass(3*time.Hour + time.Minute)
		stopA()
		stopB()
		if got, want := w.eventIDs(), "2000-01-01T01:00:00Z, 2000-01-01T02:00:00Z, 2000-01-01T03:00:00Z"; got != want {
			t.Errorf("events %s, want %s", got, want)
		}
		if s := w.engine.seen()[0]; s.Parameters["when"] != "2000-01-01T01:00:00Z" || s.TriggerID != "shop/nightly/schedule/0 * * * */" || s.Trigger["kind"] != "schedule" {
			t.Errorf("start: %+v", s)
		}
	})
}

func TestScheduleMissed(t *testing.T) {
	for missed, want := range map[string]string{
		"latest": "2000-01-01T01:00:00Z, 2000-01-01T06:00:00Z",
		"skip":   "2000-01-01T01:00:00Z",
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newFixture(t, hourly(missed))
			stop := w.running(time.Now)
			pass(90 * time.Minute)
			stop()
			pass(5 * time.Hour) // down
			stop = w.running(time.Now)
			pass(time.Minute)
			stop()
			if got := w.eventIDs(); got != want {
				t.Errorf("%s: events %s, want %s", missed, got, want)
			}
		})
	}
}

func TestScheduleClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, hourly(""))
		var mu sync.Mutex
		var offset time.Duration
		now := func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(offset)
		}
		stop := w.running(now)
		pass(2*time.Hour + time.Minute)
		mu.Lock()
		offset = -90 * time.Minute
		mu.Unlock()
		pass(2 * time.Hour)
		stop()
		if got, want := w.eventIDs(), "2000-01-01T01:00:00Z, 2000-01-01T02:00:00Z"; got != want {
			t.Errorf("events %s, want %s", got, want)
		}
	})
}

// A start that is refused temporarily is made later; nothing is lost or doubled.
func TestScheduleWhileTheEngineIsUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, hourly(""))
		w.engine.setFail(problem.New(problem.Unavailable, "execution.start", "unreachable"))
		stop := w.running(time.Now)
		pass(time.Hour + time.Minute)
		w.engine.setFail(nil)
		pass(5 * time.Minute)
		if got, want := w.eventIDs(), "2000-01-01T01:00:00Z"; got != want {
			t.Errorf("events %s, want %s", got, want)
		}
		w.engine.setFail(problem.New(problem.Invalid, "execution.start", "parameter \"x\" is required"))
		pass(time.Hour)
		stop()
		list, err := w.statuses()
		if err != nil || len(list) != 1 || !strings.Contains(list[0].Error, "is required") || list[0].Next.Format(time.RFC3339) != "2000-01-01T03:00:00Z" {
			t.Errorf("statuses: %+v, %v", list, err)
		}
	})
}

func TestDefinitionsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t)
		stop := w.running(time.Now)
		pass(30 * time.Minute)
		w.defs.set(hourly(""))
		pass(time.Hour)
		w.defs.set()
		pass(3 * time.Hour)
		w.defs.set(hourly("")) // as new: nothing was missed
		pass(time.Hour)
		stop()
		if got, want := w.eventIDs(), "2000-01-01T01:00:00Z, 2000-01-01T05:00:00Z"; got != want {
			t.Errorf("events %s, want %s", got, want)
		}
	})
}

func polled(p pipeline.PollTrigger) Definition {
	p.URL = "https://git.example.com/shop/storefront.git"
	return def("shop", "release", pipeline.Trigger{Poll: &p})
}

const (
	commitA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	commitB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	commitC = "cccccccccccccccccccccccccccccccccccccccc"
)

func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, polled(pipeline.PollTrigger{Branches: []string{"main", "release/*"}, Credentials: &pipeline.Credentials{Password: "${{ secrets.token }}"}}))
		w.remote.set("main", map[string]string{"main": commitA, "other": commitA})
		stopA, stopB := w.running(time.Now), w.running(time.Now)
		pass(5 * time.Minute)
		if len(w.engine.seen()) != 0 {
			t.Fatalf("the first look started %+v", w.engine.seen())
		}
		if w.remote.asked > 6 || w.remote.q.Credentials.Password != "hunter2" {
			t.Errorf("asked %d times with %+v", w.remote.asked, w.remote.q.Credentials)
		}
		for _, branches := range []map[string]string{
			{"main": commitB, "other": commitB},                       // the ref moves
			{"main": commitB, "other": commitB, "release/1": commitC}, // a new branch
			{"main": commitA, "other": commitB, "release/1": commitC}, // back to the earlier commit
			{"main": commitB, "other": commitB},                       // forward again, and one branch is gone
			{"main": commitB, "release/1": commitC},                   // the branch is back
		} {
			w.remote.set("main", branches)
			pass(2 * time.Minute)
		}
		stopA()
		stopB()
		var got []string
		for _, s := range w.engine.seen() {
			got = append(got, s.Trigger["branch"].(string)+" "+s.Trigger["commit"].(string)[:1])
		}
		if want := "main b, release/1 c, main a, main b, release/1 c"; strings.Join(got, ", ") != want {
			t.Errorf("started %q, want %s", got, want)
		}
	})
}

// Two schedules with one time, or two polls of one repository, each start with
// their own parameters; a trigger that is written twice starts once.
func TestTriggersAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		with := func(env string) map[string]string { return map[string]string{"env": env} }
		url := "https://git.example.com/shop/storefront.git"
		w := newFixture(t, def("shop", "release",
			pipeline.Trigger{Schedule: &pipeline.ScheduleTrigger{Cron: "0 * * * *", Parameters: with("hourly a")}},
			pipeline.Trigger{Schedule: &pipeline.ScheduleTrigger{Cron: "0 * * * *", Parameters: with("hourly b")}},
			pipeline.Trigger{Schedule: &pipeline.ScheduleTrigger{Cron: "0 * * * *", Parameters: with("hourly b")}},
			pipeline.Trigger{Poll: &pipeline.PollTrigger{URL: url, Branches: []string{"main"}, Parameters: with("production")}},
			pipeline.Trigger{Poll: &pipeline.PollTrigger{URL: url, Branches: []string{"next"}, Parameters: with("staging")}}))
		w.remote.set("main", map[string]string{"main": commitA, "next": commitA})
		stop := w.running(time.Now)
		pass(10 * time.Minute)
		w.remote.set("main", map[string]string{"main": commitB, "next": commitC})
		pass(time.Hour)
		stop()
		var got []string
		for _, s := range w.engine.seen() {
			got = append(got, s.Parameters["env"])
		}
		slices.Sort(got)
		if want := "hourly a, hourly b, production, staging"; strings.Join(got, ", ") != want {
			t.Errorf("started %q, want %s", got, want)
		}
	})
}

func TestPollFailsAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, polled(pipeline.PollTrigger{Every: pipeline.Duration(10 * time.Second)}))
		w.remote.set("main", map[string]string{"main": commitA})
		stop := w.running(time.Now)
		pass(time.Minute)
		w.remote.mu.Lock()
		w.remote.err = problem.New(problem.Denied, "source", "the repository refuses access")
		before := w.remote.asked
		w.remote.mu.Unlock()
		pass(10 * time.Minute)
		if asked := w.remote.asked - before; asked > 8 {
			t.Errorf("a remote that refuses was asked %d times in 10 minutes", asked)
		}
		list, err := w.statuses()
		if err != nil || len(list) != 1 || list[0].Kind != "poll" || !strings.Contains(list[0].Error, "refuses access") || list[0].Failures < 3 {
			t.Errorf("statuses: %+v, %v", list, err)
		}
		w.remote.mu.Lock()
		w.remote.err = nil
		w.remote.mu.Unlock()
		w.remote.set("main", map[string]string{"main": commitB})
		pass(15 * time.Minute)
		stop()
		if n := len(w.engine.seen()); n != 1 {
			t.Errorf("%d starts, want 1", n)
		}
	})
}

func TestPollPathsAndFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, polled(pipeline.PollTrigger{Paths: []string{"web/**"}}))
		w.remote.set("main", map[string]string{"main": commitA, "next": commitA})
		stop := w.running(time.Now)
		pass(2 * time.Minute)
		w.remote.paths = []string{"docs/x.md"}
		w.remote.set("main", map[string]string{"main": commitB, "next": commitA})
		pass(2 * time.Minute)
		if n := len(w.engine.seen()); n != 0 {
			t.Errorf("%d starts for another path", n)
		}
		w.remote.paths = []string{"web/index.html"}
		w.remote.set("main", map[string]string{"main": commitC, "next": commitA})
		pass(2 * time.Minute)
		// Branches that come into view through a changed filter are not new.
		w.defs.set(polled(pipeline.PollTrigger{Branches: []string{"**"}}))
		pass(2 * time.Minute)
		stop()
		if n := len(w.engine.seen()); n != 1 {
			t.Errorf("%d starts, want 1: %s", n, w.eventIDs())
		}
	})
}

func TestPipelineEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		follow := func(status ...string) pipeline.Trigger {
			return pipeline.Trigger{Pipeline: &pipeline.PipelineTrigger{Pipeline: "release", Status: status, Parameters: map[string]string{"of": "${{ trigger.execution }}"}}}
		}
		w := newFixture(t, def("shop", "smoke", follow()), def("shop", "alarm", follow("failed", "canceled")), def("other", "smoke", follow()))
		w.events.add("execution.succeeded", "shop", "release", "old") // before the service has run
		stop := w.running(time.Now)
		pass(time.Second)
		w.events.add("execution.succeeded", "shop", "release", "e1")
		w.events.add("execution.succeeded", "shop", "elsewhere", "e2")
		w.events.add("stage.succeeded", "shop", "release", "e3")
		pass(time.Second)
		stop()
		w.events.add("execution.failed", "shop", "release", "e4") // while no service runs
		stopA, stopB := w.running(time.Now), w.running(time.Now)
		pass(time.Minute)
		stopA()
		stopB()
		var got []string
		for _, s := range w.engine.seen() {
			got = append(got, s.Definition.Application+"/"+s.Definition.Pipeline.Name+" "+s.Parameters["of"])
		}
		if want := "shop/smoke e1, shop/alarm e4"; strings.Join(got, ", ") != want {
			t.Errorf("started %q, want %s", got, want)
		}
	})
}

func TestPipelineEndsWhileTheEngineIsUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, def("shop", "smoke", pipeline.Trigger{Pipeline: &pipeline.PipelineTrigger{Pipeline: "release"}}))
		stop := w.running(time.Now)
		pass(time.Second)
		w.engine.setFail(problem.New(problem.Unavailable, "execution.start", "unreachable"))
		w.events.add("execution.succeeded", "shop", "release", "e1")
		pass(time.Second)
		w.engine.setFail(nil)
		pass(time.Minute)
		stop()
		if got := w.eventIDs(); got != "1" {
			t.Errorf("events %q, want 1", got)
		}
	})
}
