package rollout_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/rollout"
)

// canary is a rollout of one region whose new version is at its first step, with
// 10 % of the traffic; the test sets the counts.
type canary struct {
	spec   rollout.Spec
	st     rollout.State
	now    time.Time
	counts []cloud.Counts
	facts  *cloud.Facts
	groups []cloud.ServerGroup
}

func newCanary(j pipeline.Judge) *canary {
	capacity := pipeline.Capacity{Min: 1, Desired: 2, Max: 4}
	group := func(name, version string, weight float64) cloud.ServerGroup {
		g := cloud.ServerGroup{Name: name, Spec: cloud.ServerGroupSpec{Cluster: "api", Version: version}, Capacity: capacity, Weight: weight}
		for i := range capacity.Desired {
			g.Instances = append(g.Instances, cloud.Instance{ID: fmt.Sprint(name, i), Lifecycle: cloud.InService, Healthy: true})
		}
		return g
	}
	c := &canary{now: time.Unix(1000, 0), groups: []cloud.ServerGroup{group("api-v000", "old", 100)}}
	c.spec = rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: capacity}, Undo: "all", Timeout: time.Minute,
		Strategy: pipeline.Strategy{Canary: &pipeline.Canary{Steps: []float64{10}, Pause: pipeline.Duration(10 * time.Second), Judge: &j}},
		Waves:    []pipeline.Wave{{Regions: []string{"r"}}}}
	c.decide() // the rollout takes its snapshot
	c.decide()
	c.st.Regions["r"].New = "api-v001"
	fresh := group("api-v001", "new", 10)
	c.groups[0].Weight = 90
	c.groups = append(c.groups, fresh)
	c.count("epoch", 0, 0, 0, 0)
	return c
}

func (c *canary) decide() rollout.Decision {
	d := rollout.Decide(c.spec, c.st, rollout.Observed{Regions: map[string]rollout.Region{"r": {Groups: c.groups, Counts: c.counts, Facts: c.facts}}}, c.now)
	c.st = d.State
	return d
}

// count sets the counts since the counters began.
func (c *canary) count(epoch string, newRequests, newErrors, oldRequests, oldErrors uint64) {
	c.counts = []cloud.Counts{
		{ServerGroup: "api-v000", Epoch: epoch, Requests: oldRequests, Errors: oldErrors, Buckets: make([]uint64, len(cloud.LatencyBounds)+1)},
		{ServerGroup: "api-v001", Epoch: epoch, Requests: newRequests, Errors: newErrors, Buckets: make([]uint64, len(cloud.LatencyBounds)+1)},
	}
	c.counts[0].Buckets[5], c.counts[1].Buckets[5] = oldRequests, newRequests
}

func (c *canary) passes(after time.Duration) bool {
	c.now = c.now.Add(after)
	c.decide()
	return c.st.Failure == nil && c.st.Regions["r"].Step == 1
}

func (c *canary) code() string {
	if c.st.Failure == nil {
		return ""
	}
	return c.st.Failure.Code
}

// A version never passes without data: not with none, not with too little, and
// not without data of the old version when the judge compares with it.
func TestNoDataNeverPasses(t *testing.T) {
	for what, test := range map[string]struct {
		judge    pipeline.Judge
		new, old uint64
		passes   bool
	}{
		"nothing, and a minimum of 0":      {pipeline.Judge{MaxErrorRate: 0.1}, 0, 0, false},
		"one, and a minimum of 0":          {pipeline.Judge{MaxErrorRate: 0.1}, 1, 0, true},
		"too few":                          {pipeline.Judge{MaxErrorRate: 0.1, MinRequests: 20}, 19, 500, false},
		"enough":                           {pipeline.Judge{MaxErrorRate: 0.1, MinRequests: 20}, 20, 0, true},
		"no old ones to compare with":      {pipeline.Judge{MinRequests: 20}, 100, 0, false},
		"old ones to compare with":         {pipeline.Judge{MinRequests: 20}, 100, 20, true},
		"too few for a p99":                {pipeline.Judge{MaxErrorRate: 0.1, MinRequests: 20, MaxP99: pipeline.Duration(time.Second)}, 99, 99, false},
		"enough for a p99":                 {pipeline.Judge{MaxErrorRate: 0.1, MinRequests: 20, MaxP99: pipeline.Duration(time.Second)}, 100, 0, true},
		"nothing, and the file says to go": {pipeline.Judge{MaxErrorRate: 0.1, MinRequests: 20, WhenNoData: "pass"}, 0, 0, true},
	} {
		t.Run(what, func(t *testing.T) {
			c := newCanary(test.judge)
			c.decide() // the weights are observed
			c.count("epoch", test.new, 0, test.old, 0)
			if c.passes(9*time.Second) || !c.st.Regions["r"].Entered.Before(c.now) {
				t.Fatal("it passed before its pause was over")
			}
			if got := c.passes(time.Second); got != test.passes {
				t.Fatalf("passes: %v, want %v (%s)", got, test.passes, c.code())
			}
			if told := len(c.st.Regions["r"].Unjudged) > 0; told != (test.judge.WhenNoData == "pass") {
				t.Errorf("steps without a verdict: %v", c.st.Regions["r"].Unjudged)
			}
			if test.passes {
				return
			}
			if c.passes(time.Minute); c.code() != "CANARY_NO_DATA" || !strings.Contains(c.st.Failure.Cause, "counted") {
				t.Errorf("in the end: %+v", c.st.Failure)
			}
			for _, way := range []string{"send traffic to r (`showrunner edge weights`", "judge.minRequests", "judge.whenNoData: pass"} {
				if !strings.Contains(c.st.Failure.Help, way) {
					t.Errorf("the help does not name %q: %s", way, c.st.Failure.Help)
				}
			}
		})
	}
}

// Restarted counters are not guessed: old errors are not forgotten in the
// version's favour, and new errors are not charged twice. The judge starts again.
func TestTheJudgeSeesRestartedCounters(t *testing.T) {
	c := newCanary(pipeline.Judge{MaxErrorRate: 0.1, MinRequests: 20})
	c.count("one", 1000, 0, 9000, 0)
	c.decide()
	c.count("one", 1030, 0, 9300, 0)
	c.now = c.now.Add(5 * time.Second)
	c.decide()
	// The region restarts; by chance its new counters are at first higher than
	// those at base.
	c.count("two", 2000, 1900, 9500, 0)
	if c.passes(5 * time.Second); c.code() != "" || c.st.Regions["r"].Step != 0 {
		t.Fatalf("counts from before the restart were compared: step %d, %q", c.st.Regions["r"].Step, c.code())
	}
	c.count("two", 2010, 1900, 9900, 0)
	if c.passes(10 * time.Second) {
		t.Fatal("it passed with 10 requests since the restart")
	}
	c.count("two", 2040, 1940, 9950, 0)
	if c.passes(time.Second); c.code() != "CANARY_ERRORS" {
		t.Fatalf("40 errors in 40 requests: %q", c.code())
	}
}

// Where counts are late and traffic settles late, the judge ignores earlier
// counts, and a step does not end before its whole pause has been counted.
func TestTheJudgeWaitsForLateCounts(t *testing.T) {
	c := newCanary(pipeline.Judge{MaxErrorRate: 0.1, MinRequests: 20})
	c.facts = &cloud.Facts{Settle: 2 * time.Second, Counts: &cloud.CountFacts{Delay: 3 * time.Minute}}
	c.decide()
	c.count("one", 500, 500, 500, 0) // counts from before the weights had settled
	if c.passes(3 * time.Minute); c.code() != "" {
		t.Fatalf("it judged counts from before: %+v", c.st.Failure)
	}
	if c.passes(2 * time.Second) { // counting begins
		t.Fatal("it passed without a pause")
	}
	c.count("one", 600, 500, 1500, 0)
	if c.passes(10*time.Second - 1) {
		t.Fatal("it passed before its pause was over")
	}
	if c.passes(1); c.st.Regions["r"].Step != 1 {
		t.Fatalf("the pause has been counted whole, and it is at step %d, %q", c.st.Regions["r"].Step, c.code())
	}
}

// One error proves little: below minRequests five errors are needed. The printed
// interval is the computed one.
func TestFewRequestsAreNoFailingVerdict(t *testing.T) {
	for what, test := range map[string]struct {
		requests, errors uint64
		fails            bool
	}{
		"one request, one error":      {1, 1, false},
		"four errors":                 {4, 4, false},
		"five errors":                 {5, 5, true},
		"five errors, within a limit": {50, 5, false},
		"enough requests":             {20, 20, true},
	} {
		c := newCanary(pipeline.Judge{MaxErrorRate: 0.1, MinRequests: 20})
		c.decide()
		c.count("epoch", test.requests, test.errors, 500, 0)
		c.decide()
		if got := c.code() == "CANARY_ERRORS"; got != test.fails {
			t.Errorf("%s: it fails: %v (%+v)", what, got, c.st.Failure)
		}
		if what == "five errors" && c.st.Failure != nil && !strings.Contains(c.st.Failure.Cause, "(99.8% interval 34.37% to 100.00%)") {
			t.Errorf("%s: %s", what, c.st.Failure.Cause)
		}
	}
}

// Only steps that have a judge are counted among the steps without a verdict.
func TestStepsWithoutAVerdictAreCounted(t *testing.T) {
	c := newCanary(pipeline.Judge{MaxErrorRate: 0.1, MinRequests: 20, WhenNoData: "pass"})
	c.decide()
	if got := rollout.WithoutVerdict(c.spec, c.st); got != "" {
		t.Errorf("before: %q", got)
	}
	if !c.passes(10 * time.Second) {
		t.Fatal("it did not go on")
	}
	if got := rollout.WithoutVerdict(c.spec, c.st); got != "1 of 1 steps without a verdict" {
		t.Errorf("after one: %q", got)
	}
}

// The answers to health checks are shown while the rollout waits for an instance.
// A program that does not listen yet is reported only after the usual start time.
func TestProgressTellsWhatFailingChecksAnswer(t *testing.T) {
	c := newCanary(pipeline.Judge{MinRequests: 20})
	fail := func(answer string) string {
		for i := range c.groups[1].Instances {
			c.groups[1].Instances[i].Healthy, c.groups[1].Instances[i].Launched, c.groups[1].Instances[i].Probe = false, time.Unix(1000, 0), answer
		}
		return c.decide().Progress
	}
	if got := fail("GET /healthzz: 404 Not Found"); !strings.Contains(got, "0/1 healthy (GET /healthzz: 404 Not Found)") {
		t.Errorf("wrong path: %q", got)
	}
	refused := "GET /healthz: connection refused at 127.0.0.1:4000"
	if got := fail(refused); strings.Contains(got, "refused") {
		t.Errorf("it has just begun: %q", got)
	}
	c.now = c.now.Add(5 * time.Second)
	if got := fail(refused); !strings.Contains(got, "refused") {
		t.Errorf("it should listen by now: %q", got)
	}
}

// The message of a failure says what was restored.
func TestMessageOfAnUndoing(t *testing.T) {
	c := newCanary(pipeline.Judge{MaxErrorRate: 0.1, MinRequests: 20})
	c.decide()
	c.count("epoch", 20, 20, 500, 0)
	c.decide()
	c.groups = c.groups[:1]
	c.groups[0].Weight = 100
	c.decide()
	if want := "r: traffic is on api-v000, api-v001 destroyed"; len(c.st.Failure.Undone) != 1 || c.st.Failure.Undone[0] != want {
		t.Errorf("%q, want %q", c.st.Failure.Undone, want)
	}
}
