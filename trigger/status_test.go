package trigger

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
)

// told are the log's events about the status of triggers, in order.
func (w *fixture) told() string {
	var list []string
	for _, e := range w.records.Events() {
		if strings.HasPrefix(e.Type, "trigger.") {
			list = append(list, e.Type+" "+e.Application+"/"+e.Pipeline)
		}
	}
	return strings.Join(list, ", ")
}

// The status shows why a trigger starts nothing, since when, and that it works
// again. Each change is logged once, however often it is tried in between.
func TestStatusOfWhatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, polled(pipeline.PollTrigger{Branches: []string{"main"}}), hourly(""),
			def("shop", "smoke", pipeline.Trigger{Pipeline: &pipeline.PipelineTrigger{Pipeline: "release"}}, pipeline.Trigger{Webhook: &pipeline.WebhookTrigger{Name: "deploy"}}))
		w.remote.err = problem.New(problem.Denied, "source", "the repository refuses access").WithHelp("set its credentials")
		stop := w.running(time.Now)
		pass(time.Second)
		w.engine.setFail(problem.New(problem.Unavailable, "execution.start", "too much is in flight"))
		pass(time.Hour + time.Minute)
		by := func(kind string) Status {
			t.Helper()
			list, err := w.statuses()
			if err != nil || len(list) != 4 {
				t.Fatalf("%+v, %v", list, err)
			}
			for _, st := range list {
				if st.Kind == kind {
					return st
				}
			}
			t.Fatalf("no %s in %+v", kind, list)
			return Status{}
		}
		if st := by("poll"); !strings.Contains(st.Error, "refuses access (set its credentials)") || st.Failures < 5 || !st.Failing.Equal(epoch) || !st.Next.After(time.Now()) ||
			st.Trigger != "https://git.example.com/shop/storefront.git branches main" {
			t.Errorf("poll: %+v", st)
		}
		if st := by("schedule"); !strings.Contains(st.Error, "too much is in flight") || st.Failures < 2 || !st.Failing.Equal(epoch.Add(time.Hour)) || !st.Next.Equal(epoch.Add(time.Hour)) {
			t.Errorf("schedule: %+v", st)
		}
		w.engine.setFail(problem.New(problem.Invalid, "execution.start", `parameter "of" is required`))
		w.events.add("execution.succeeded", "shop", "release", "e1")
		w.events.add("execution.succeeded", "shop", "release", "e2")
		pass(time.Second)
		if st := by("pipeline"); !strings.Contains(st.Error, `"of" is required`) || st.Failures != 2 || st.Trigger != "shop/release succeeded" {
			t.Errorf("pipeline: %+v", st)
		}
		if st := by("webhook"); st.Trigger != "deploy" || st.Error != "" {
			t.Errorf("webhook: %+v", st)
		}
		if got, want := w.told(), "trigger.failed shop/release, trigger.failed shop/nightly, trigger.failed shop/smoke"; got != want {
			t.Errorf("the log was told %s, want %s", got, want)
		}
		w.engine.setFail(nil)
		w.remote.mu.Lock()
		w.remote.err = nil
		w.remote.mu.Unlock()
		w.remote.set("main", map[string]string{"main": commitA})
		pass(time.Hour)
		w.events.add("execution.succeeded", "shop", "release", "e3")
		pass(time.Second)
		stop()
		for _, kind := range []string{"poll", "schedule", "pipeline"} {
			if st := by(kind); st.Error != "" || st.Failures != 0 || !st.Failing.IsZero() {
				t.Errorf("after it works again: %+v", st)
			}
		}
		if st := by("pipeline"); st.Last.IsZero() || st.Execution == "" {
			t.Errorf("what started: %+v", st)
		}
		if n := strings.Count(w.told(), "trigger.recovered"); n != 3 {
			t.Errorf("the log was told %s", w.told())
		}
		w.defs.set() // mismatch service runs that would forget the state
		if list, err := w.statuses(); err != nil || len(list) != 0 {
			t.Errorf("statuses of removed triggers: %+v, %v", list, err)
		}
	})
}

// epoch is when a synctest bubble begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// The description of a trigger leaves out credentials.
func TestAbout(t *testing.T) {
	for want, tr := range map[string]pipeline.Trigger{
		"push any repository tags v*":                           {Push: &pipeline.PushTrigger{Tags: []string{"v*"}}},
		"push acme/shop branches main,!next paths web/**":       {Push: &pipeline.PushTrigger{Repository: "acme/shop", Branches: []string{"main", "!next"}, Paths: []string{"web/**"}}},
		"schedule 0 3 * * * Europe/Berlin":                      {Schedule: &pipeline.ScheduleTrigger{Cron: "0 3 * * *", Zone: "Europe/Berlin"}},
		"pipeline core/release failed,canceled":                 {Pipeline: &pipeline.PipelineTrigger{Application: "core", Pipeline: "release", Status: []string{"failed", "canceled"}}},
		"webhook deploy":                                        {Webhook: &pipeline.WebhookTrigger{Name: "deploy"}},
		"poll https://***@git.example.com/shop.git branches **": {Poll: &pipeline.PollTrigger{URL: "https://mia:hunter2@git.example.com/shop.git", Branches: []string{"**"}}},
	} {
		kind, what := describe(def("shop", "release"), tr)
		if got := fmt.Sprint(kind, " ", what); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
