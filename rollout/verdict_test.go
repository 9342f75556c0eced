package rollout_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"showrunner/canary/judge/sequential"
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
		Strategy: pipeline.Strategy{Canary: &pipeline.Canary{Baseline: "production", Steps: []float64{10}, Pause: pipeline.Duration(10 * time.Second), Judge: &j}},
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
	// As after a restart of the process: the state is only what was saved.
	text, err := json.Marshal(d.State)
	if err != nil {
		panic(err)
	}
	c.st = rollout.State{}
	if err := json.Unmarshal(text, &c.st); err != nil {
		panic(err)
	}
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

// serve lets time pass, second by second, with requests and errors of each version.
func (c *canary) serve(seconds int, newRequests, newErrors, oldRequests, oldErrors uint64) {
	for range seconds {
		if c.st.Failure != nil {
			return
		}
		old, fresh := c.counts[0], c.counts[1]
		c.count(old.Epoch, fresh.Requests+newRequests, fresh.Errors+newErrors, old.Requests+oldRequests, old.Errors+oldErrors)
		c.now = c.now.Add(time.Second)
		c.decide()
	}
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
	const nine = 9 // of ten requests are for the old version
	for what, test := range map[string]struct {
		judge    pipeline.Judge
		new, old uint64
		passes   bool
	}{
		"nothing, and a minimum of 0":      {pipeline.Judge{MaxErrorRate: 0.1}, 0, 0, false},
		"one, and a minimum of 0":          {pipeline.Judge{MaxErrorRate: 0.1}, 1, 0, true},
		"too few":                          {pipeline.Judge{MaxErrorRate: 0.1, MinRequests: 20}, 19, 19 * nine, false},
		"too few by its share":             {pipeline.Judge{MaxErrorRate: 0.1, MinRequests: 20}, 19, 5000, false},
		"enough":                           {pipeline.Judge{MaxErrorRate: 0.1, MinRequests: 20}, 20, 20 * nine, true},
		"no old ones to compare with":      {pipeline.Judge{MinRequests: 20}, 100, 0, false},
		"old ones to compare with":         {pipeline.Judge{MinRequests: 20}, 100, 100 * nine, true},
		"too few for a p99":                {pipeline.Judge{MaxErrorRate: 0.1, MinRequests: 20, MaxP99: pipeline.Duration(time.Second)}, 99, 99 * nine, false},
		"enough for a p99":                 {pipeline.Judge{MaxErrorRate: 0.1, MinRequests: 20, MaxP99: pipeline.Duration(time.Second)}, 100, 100 * nine, true},
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

// Restarted counters are not guessed: the requests around the restart are left out,
// errors before it are not forgotten in the version's favour, and none is charged
// twice.
func TestTheJudgeSeesRestartedCounters(t *testing.T) {
	c := newCanary(pipeline.Judge{MaxErrorRate: 0.1, MinRequests: 50})
	c.count("one", 1000, 0, 9000, 0)
	c.decide()
	c.serve(3, 10, 0, 90, 0)
	// The region restarts; by chance its new counters are at first higher than those
	// before.
	c.count("two", 2000, 1900, 9500, 0)
	if c.passes(10 * time.Second); c.code() != "" || c.st.Regions["r"].Step != 0 {
		t.Fatalf("counts from before the restart were compared: step %d, %q", c.st.Regions["r"].Step, c.code())
	}
	if got := c.st.Regions["r"].Analysis.Total.Canary.Requests; got != 30 {
		t.Fatalf("%d requests are counted, want the 30 from before the restart", got)
	}
	c.serve(20, 2, 2, 18, 0)
	if got := c.st.Regions["r"].Analysis.Total.Canary; c.code() != "CANARY_ERRORS" || got.Events != got.Requests-30 {
		t.Fatalf("%d errors in %d requests: %q", got.Events, got.Requests, c.code())
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

// Errors have to come one by one before they are a verdict: one burst proves nothing,
// nor do a few errors. The failure names effect, interval, numbers and guards.
func TestWhatFailsACanary(t *testing.T) {
	type serve struct {
		seconds                          int
		requests, errors, old, oldErrors uint64
	}
	limit, compared := pipeline.Judge{MaxErrorRate: 0.1, MinRequests: 20}, pipeline.Judge{MinRequests: 20}
	for what, test := range map[string]struct {
		judge  pipeline.Judge
		served []serve
		code   string
		says   []string
	}{
		"one error":                   {limit, []serve{{1, 1, 1, 9, 0}}, "", nil},
		"one burst":                   {limit, []serve{{3, 10, 0, 90, 0}, {1, 10, 10, 90, 0}}, "", nil},
		"within the limit":            {limit, []serve{{9, 10, 1, 90, 9}}, "", nil},
		"every request":               {limit, []serve{{9, 10, 10, 90, 0}}, "CANARY_ERRORS", []string{"100 % of requests", "limit 10 %", "guard dispersion"}},
		"more than the old one":       {compared, []serve{{9, 10, 4, 90, 1}}, "CANARY_ERRORS", []string{"times as often as the old one", "% interval", "limit 1;", "alpha 0.01", "evidence", "guard split"}},
		"as many as the old one":      {compared, []serve{{9, 10, 1, 90, 9}}, "", nil},
		"allowed to be ten times bad": {pipeline.Judge{MaxErrorRatio: 40, MinRequests: 20}, []serve{{9, 10, 3, 90, 1}}, "", nil},
		"only other requests":         {compared, []serve{{9, 60, 0, 40, 0}}, "CANARY_INCONCLUSIVE", []string{"at a weight of 10 %", "guard split"}},
	} {
		t.Run(what, func(t *testing.T) {
			c := newCanary(test.judge)
			c.decide()
			for _, s := range test.served {
				c.serve(s.seconds, s.requests, s.errors, s.old, s.oldErrors)
			}
			if c.code() != test.code {
				t.Fatalf("%q, want %q: %+v", c.code(), test.code, c.st.Failure)
			}
			if test.code == "" {
				return
			}
			text := c.st.Failure.Cause + "\n" + strings.Join(c.st.Failure.Evidence, "\n")
			for _, s := range test.says {
				if !strings.Contains(text, s) {
					t.Errorf("the failure does not say %q:\n%s", s, text)
				}
			}
			reports := rollout.Reports(c.st)
			if r := reports["r"]; r.Verdict.Decision == sequential.Continue || r.Weight != 10 || len(r.Series) == 0 || r.ServerGroup != "api-v001" {
				t.Errorf("the report: %+v", r)
			}
		})
	}
}

// A step without a verdict in time does what the file says, and never goes on when the
// version is worse already.
func TestAnUndecidedStep(t *testing.T) {
	proof := func(policy string) pipeline.Judge {
		return pipeline.Judge{MinRequests: 20, PassErrorRatio: 1.5, WhenInconclusive: policy}
	}
	for policy, want := range map[string]struct {
		code string
		step int
	}{"": {"CANARY_INCONCLUSIVE", 0}, "fail": {"CANARY_INCONCLUSIVE", 0}, "pass": {"", 1}, "wait": {"", 0}} {
		c := newCanary(proof(policy))
		c.decide()
		c.serve(90, 10, 0, 90, 0) // without errors nothing can be shown
		if c.code() != want.code || c.st.Regions["r"].Step != want.step {
			t.Errorf("%q: step %d, %q, want step %d, %q", policy, c.st.Regions["r"].Step, c.code(), want.step, want.code)
		}
		if told := len(c.st.Regions["r"].Unjudged) > 0; told != (policy == "pass") {
			t.Errorf("%q: steps without a verdict: %v", policy, c.st.Regions["r"].Unjudged)
		}
	}
	bursts := newCanary(pipeline.Judge{MinRequests: 20, WhenInconclusive: "pass"})
	bursts.decide()
	for range 10 {
		bursts.serve(9, 10, 0, 90, 0)
		bursts.serve(1, 10, 10, 90, 0)
	}
	if bursts.code() != "CANARY_INCONCLUSIVE" || !strings.Contains(bursts.st.Failure.Cause, "clusters") {
		t.Errorf("errors in bursts: step %d, %+v", bursts.st.Regions["r"].Step, bursts.st.Failure)
	}
	shown := newCanary(proof(""))
	shown.decide()
	shown.serve(59, 50, 2, 450, 45)
	if shown.code() != "" || shown.st.Regions["r"].Step != 1 {
		t.Errorf("shown to be no worse: step %d, %+v", shown.st.Regions["r"].Step, shown.st.Failure)
	}
}

// While an instance of the new version is replaced, others take its requests. That is
// no sign of a wrong division.
func TestAReplacedInstanceDoesNotDivideTraffic(t *testing.T) {
	c := newCanary(pipeline.Judge{MaxErrorRate: 0.5, MinRequests: 5000})
	c.decide()
	c.serve(5, 10, 0, 90, 0)
	instances := c.groups[1].Instances
	c.groups[1].Instances = nil
	c.serve(8, 0, 0, 100, 0)
	c.groups[1].Instances = instances
	c.serve(5, 10, 0, 90, 0)
	if c.code() != "" {
		t.Fatalf("%+v", c.st.Failure)
	}
	c.serve(40, 0, 0, 100, 0) // and this is one
	if a := c.st.Regions["r"].Analysis; a.Split.Most < 7 {
		t.Errorf("the split guard has %v", a.Split.Most)
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
	c.serve(9, 10, 10, 90, 0)
	c.groups = c.groups[:1]
	c.groups[0].Weight = 100
	c.decide()
	if want := "r: traffic is on api-v000, api-v001 destroyed"; len(c.st.Failure.Undone) != 1 || c.st.Failure.Undone[0] != want {
		t.Errorf("%q, want %q", c.st.Failure.Undone, want)
	}
}
