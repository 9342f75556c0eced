package chaos

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"showrunner/artifact"
	"showrunner/cloud"
	"showrunner/cloud/cloudtest/memcloud"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// world is a cloud with a cluster that serves, a service that it calls, and faults
// that only say what they would do.
type world struct {
	t     *testing.T
	cloud *memcloud.Cloud
	now   time.Time
	kind  Experiment
	in    *stage.Input

	held    string
	stops   func(pipeline.ExperimentStop) string // why a stop condition is met
	refuse  error
	begun   []Fault
	active  map[string]bool
	over    string // why every fault has ended
	yielded int
	fails   bool // instances of the new version never become healthy

	// What the two groups have done so far, and do in each second.
	control, test         cloud.Counts
	perSecond             uint64
	testFails, testAnswer bool
}

func (w *world) Account(string) (*cloud.Account, error) {
	return cloud.NewAccount("local", w.cloud, cloud.Options{Now: func() time.Time { return w.now }}), nil
}

func (w *world) Take(context.Context, string, string, []string, stage.Key) (bool, *stage.Key, error) {
	return false, nil, nil
}

func (w *world) Yield(context.Context, string, string, []string, stage.Key) error {
	w.yielded++
	return nil
}

func (w *world) Held(context.Context, string) string { return w.held }

func (w *world) StopMet(_ context.Context, c pipeline.ExperimentStop) string {
	if w.stops == nil {
		return ""
	}
	return w.stops(c)
}

func (w *world) Begin(_ context.Context, _, _ string, f Fault) error {
	if w.refuse != nil {
		return w.refuse
	}
	if !w.active[f.ID] {
		w.begun = append(w.begun, f)
	}
	w.active[f.ID] = true
	return nil
}

func (w *world) Over(context.Context, string) (string, error) { return w.over, nil }

func (w *world) Undo(_ context.Context, _, id string) error {
	delete(w.active, id)
	return nil
}

type noSecrets struct{}

func (noSecrets) Expand(_ context.Context, text string) (string, error) { return text, nil }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC), active: map[string]bool{}, perSecond: 50, testAnswer: true}
	w.cloud = memcloud.New(memcloud.Config{Regions: []string{"a", "b"}, Now: func() time.Time { return w.now }, Fails: func(s cloud.ServerGroupSpec) *cloud.InstanceFailure {
		if w.fails && s.Version == "2" {
			return &cloud.InstanceFailure{Code: "EXITED", Cause: "exit code 1"}
		}
		return nil
	}})
	for _, name := range []string{"shop-web", "catalog"} {
		for _, region := range []string{"a", "b"} {
			if _, err := w.cloud.CreateServerGroup(t.Context(), region, cloud.ServerGroupSpec{Application: "shop", Cluster: name, Version: "1", Weight: 100,
				Workload: cloud.Workload{Process: &cloud.Process{Artifact: "sha256:1", Command: []string{"./x"}}}, Health: pipeline.Health{Path: "/"}, Capacity: pipeline.Capacity{Min: 1, Desired: 2, Max: 4}}, "setup "+name); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.kind = Experiment{Accounts: w, Claims: w, Faults: w, HTTP: http.DefaultClient, Now: func() time.Time { return w.now }}
	w.in = &stage.Input{Key: stage.Key{Execution: "e1", Stage: "chaos", Attempt: 1, Task: "experiment"}, Application: "shop", Version: "2", StartedBy: "ada", Log: io.Discard, Secrets: noSecrets{},
		Artifacts: map[string]artifact.Ref{"build": "sha256:2"}, Progress: func(string, ...any) {},
		Config: pipeline.Experiment{Cluster: "shop-web", Artifact: "build", Command: []string{"./x"}, Health: pipeline.Health{Path: "/", Grace: pipeline.Duration(time.Second)}, Instances: 1, Share: 5, For: pipeline.Duration(30 * time.Second),
			Faults: []pipeline.ExperimentFault{{Kind: "latency", To: "catalog", Latency: pipeline.Duration(5 * time.Second)}}}}
	return w
}

// second has both groups serve for a second.
func (w *world) second() {
	groups := w.groups()
	add := func(c *cloud.Counts, name string, fails, answers bool) {
		if c.Buckets == nil {
			c.Buckets, c.Epoch = make([]uint64, len(cloud.LatencyBounds)+1), "1"
		}
		c.ServerGroup = name
		if !answers {
			c.InFlight += int(w.perSecond)
			return
		}
		c.Requests += w.perSecond
		if c.Buckets[4] += w.perSecond; fails {
			c.Errors += w.perSecond / 2
		}
	}
	if len(groups) == 3 {
		add(&w.control, groups[1].Name, false, true)
		add(&w.test, groups[2].Name, w.testFails, w.testAnswer)
		if w.names() { // the map's order decides which is which
			w.control.ServerGroup, w.test.ServerGroup = w.test.ServerGroup, w.control.ServerGroup
		}
		w.cloud.SetCounts("a", "shop-web", []cloud.Counts{w.control, w.test})
	}
	w.now = w.now.Add(time.Second)
}

// names says whether the experiment group is the older one of both.
func (w *world) names() bool {
	var st state
	return json.Unmarshal(w.in.State, &st) == nil && st.Test == w.groups()[1].Name
}

func (w *world) groups() []cloud.ServerGroup {
	w.t.Helper()
	groups, err := w.cloud.ServerGroups(w.t.Context(), "a", "shop-web")
	if err != nil {
		w.t.Fatal(err)
	}
	return groups
}

// call makes one call of the task and keeps its state. done is nil while it goes on.
func (w *world) call() (done *stage.Result) {
	w.t.Helper()
	r, err := w.kind.Tasks()[0].Run(w.t.Context(), w.in)
	if err != nil {
		w.t.Fatal(err)
	}
	if r.Outcome != stage.Again {
		return &r
	}
	w.in.State = r.State
	if r.After >= look {
		w.second()
	}
	return nil
}

// finish calls the task until it ends.
func (w *world) finish() stage.Result {
	w.t.Helper()
	for range 500 {
		if r := w.call(); r != nil {
			return *r
		}
	}
	w.t.Fatal("it does not end")
	return stage.Result{}
}

// clean says whether nothing of the experiment is left.
func (w *world) clean() {
	w.t.Helper()
	groups := w.groups()
	if len(w.active) != 0 || len(groups) != 1 || groups[0].Weight != 100 || w.yielded == 0 {
		w.t.Errorf("left: faults %v, groups %+v, claims yielded %d times", w.active, groups, w.yielded)
	}
}

func TestSurvived(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.finish()
	if r.Outcome != stage.Done || r.Outputs["region"] != "a" || r.Outputs["verdict"] == nil {
		t.Errorf("%+v, %+v", r, r.Failure)
	}
	if len(w.begun) != 2 || w.begun[0].Region != "a" || w.begun[1].Region != "b" || w.begun[0].Cluster != "catalog" || w.begun[0].At != cloud.FaultAtBalancer || w.begun[0].ID == w.begun[1].ID {
		t.Errorf("faults: %+v", w.begun)
	}
	w.clean()
}

// TestEnds: whatever ends an experiment, the reason is said and nothing of it is left.
func TestEnds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		prepare func(*world, *pipeline.Experiment)
		code    string
		says    string
		begun   int
	}{
		"it fails its users":          {func(w *world, _ *pipeline.Experiment) { w.testFails = true }, "CHAOS_NOT_SURVIVED", "latency of 5s of its calls to catalog", 2},
		"its requests pile up":        {func(w *world, _ *pipeline.Experiment) { w.testAnswer = false }, "CHAOS_NOT_SURVIVED", "pile up", 2},
		"there is no traffic":         {func(w *world, _ *pipeline.Experiment) { w.perSecond = 0 }, "CHAOS_NO_DATA", "too few requests", 2},
		"it is never healthy":         {func(w *world, _ *pipeline.Experiment) { w.fails = true }, "HEALTH_TIMEOUT", "did not become healthy", 0},
		"a check refuses the fault":   {func(w *world, _ *pipeline.Experiment) { w.refuse = problem.New(problem.Precondition, "x", "not today") }, "CHAOS_REFUSED", "not today", 0},
		"all chaos is stopped before": {func(w *world, _ *pipeline.Experiment) { w.held = "incident 7" }, "CHAOS_HELD", "incident 7", 0},
		"all chaos is stopped":        {func(w *world, _ *pipeline.Experiment) { w.over = "all chaos is stopped: incident 7" }, "CHAOS_STOPPED", "incident 7", 2},
		"a stop condition is met": {func(w *world, c *pipeline.Experiment) {
			c.Stops = []pipeline.ExperimentStop{{Alarm: "late"}}
			w.stops = func(s pipeline.ExperimentStop) string {
				if len(w.begun) == 0 {
					return ""
				}
				return "alarm " + s.Alarm + " is open"
			}
		}, "CHAOS_STOPPED", "alarm late is open", 2},
		"a stop condition is met before": {func(w *world, c *pipeline.Experiment) {
			c.Stops = []pipeline.ExperimentStop{{Alarm: "late"}}
			w.stops = func(s pipeline.ExperimentStop) string { return "alarm " + s.Alarm + " is open" }
		}, "CHAOS_HELD", "alarm late is open", 0},
		"there is no such service": {func(_ *world, c *pipeline.Experiment) { c.Faults[0].To = "catlog" }, "CHAOS_NO_DEPENDENCY", "catlog", 0},
		"there is no artifact":     {func(_ *world, c *pipeline.Experiment) { c.Artifact = "other" }, "NO_ARTIFACT", "other", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := w.in.Config.(pipeline.Experiment)
			tt.prepare(w, &c)
			w.in.Config = c
			r := w.finish()
			if r.Outcome != stage.Failed || r.Failure.Code != tt.code || !strings.Contains(r.Failure.Cause, tt.says) || r.Failure.Help == "" || len(w.begun) != tt.begun {
				t.Errorf("%+v, %+v, %d faults", r, r.Failure, len(w.begun))
			}
			if tt.code != "CHAOS_NO_DEPENDENCY" || w.yielded > 0 {
				w.clean()
			}
		})
	}
}

// TestProbe: an answer to a probe that is not as expected, three times in a row, ends
// the experiment.
func TestProbe(t *testing.T) {
	t.Parallel()
	answers := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(answers) }))
	t.Cleanup(s.Close)
	for _, status := range []int{http.StatusOK, http.StatusTeapot} {
		w := newWorld(t)
		c := w.in.Config.(pipeline.Experiment)
		c.Probes = []pipeline.ExperimentProbe{{URL: s.URL}}
		w.in.Config = c
		answers = status
		r := w.finish()
		if (r.Outcome == stage.Done) != (status == http.StatusOK) || r.Failure != nil && !strings.Contains(r.Failure.Cause, "418") {
			t.Errorf("%d: %+v, %+v", status, r, r.Failure)
		}
		w.clean()
	}
}

// TestWithoutTraffic: a cluster that serves nowhere has no verdict, which the judge may
// let pass.
func TestWithoutTraffic(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]stage.Outcome{"fail": stage.Failed, "pass": stage.Done} {
		w := newWorld(t)
		c := w.in.Config.(pipeline.Experiment)
		c.Cluster, c.Judge = "shop-new", &pipeline.Judge{WhenNoData: policy}
		w.in.Config = c
		if r := w.finish(); r.Outcome != want || len(w.begun) != 0 {
			t.Errorf("%s: %+v, %+v", policy, r, r.Failure)
		}
	}
}

// TestCrashAndCancel: the process dies between an effect and its record, at each call in
// turn, and goes on; or the stage is canceled there. Each time nothing is left.
func TestCrashAndCancel(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		w := newWorld(t)
		ended := false
		for range n {
			if ended = w.call() != nil; ended {
				break
			}
		}
		if ended {
			if n < 10 {
				t.Fatalf("it ended after %d calls", n)
			}
			return
		}
		before := slices.Clone(w.in.State)
		if _, err := w.kind.Tasks()[0].Run(t.Context(), w.in); err != nil { // its result is lost
			t.Fatal(err)
		}
		w.in.State = before
		if n%2 == 0 {
			if r := w.finish(); r.Outcome != stage.Done {
				t.Errorf("crash at call %d: %+v, %+v", n, r, r.Failure)
			}
			w.clean()
			continue
		}
		for range 50 {
			err := w.kind.Tasks()[0].Cancel(t.Context(), w.in)
			if err == nil {
				break
			}
			stopping, ok := err.(*stage.Stopping)
			if !ok {
				t.Fatal(err)
			}
			w.in.State = stopping.State
			w.now = w.now.Add(stopping.After)
		}
		w.clean()
	}
}
