package rollout_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/rollout"
)

func baselineSpec(steps []float64, capacity pipeline.Capacity) rollout.Spec {
	return rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Execution: "e1", Capacity: capacity}, Undo: "all", Timeout: 5 * time.Minute,
		Strategy: pipeline.Strategy{Canary: &pipeline.Canary{Keep: 1, Steps: steps, Pause: pipeline.Duration(5 * time.Second), Judge: &pipeline.Judge{MinRequests: 1, WhenNoData: "pass"}}},
		Waves:    []pipeline.Wave{{Regions: regions[:1]}, {Regions: regions[1:]}}}
}

// The baseline begins with the canary, is as large, and has as much of the traffic as
// long as some is left for the version that serves.
func TestABaselineIsLikeTheCanary(t *testing.T) {
	capacity := pipeline.Capacity{Min: 1, Desired: 20, Max: 40}
	s := newSim(rand.New(rand.NewPCG(1, 1)), regions, capacity)
	steps := []float64{5, 20, 45, 50, 80}
	spec := baselineSpec(steps, capacity)
	shares := map[float64]float64{}
	s.run(spec, false, func(st rollout.State) {
		r := s.regions[regions[0]]
		for _, canary := range r.groups {
			if canary.Spec.Version != "new" || canary.Weight == 0 || canary.Weight == 100 {
				continue
			}
			for _, g := range r.groups {
				if _, seen := shares[canary.Weight]; !g.IsBaseline() || seen {
					continue // the canary grows for the next step before the baseline does
				}
				shares[canary.Weight] = g.Weight
				if canary.Weight < 50 && g.Capacity != canary.Capacity {
					t.Errorf("at %g %% the canary has %+v and the baseline %+v", canary.Weight, canary.Capacity, g.Capacity)
				}
				if g.Spec.Version != "old" || g.Spec.CopyOf != "api-v000" || g.Created.Sub(canary.Created) > 4*time.Second {
					t.Errorf("the baseline is %+v, made %s after the canary", g.Spec, g.Created.Sub(canary.Created))
				}
			}
		}
	})
	for canary, want := range map[float64]float64{5: 5, 20: 20, 45: 45, 50: 25, 80: 10} {
		if math.Abs(shares[canary]-want) > 1e-9 {
			t.Errorf("beside a canary of %g %% the baseline has %g %%, want %g", canary, shares[canary], want)
		}
	}
	assertNoBaseline(t, s)
}

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func assertNoBaseline(t failer, s *sim) {
	t.Helper()
	for region, r := range s.regions {
		for _, g := range r.groups {
			if g.IsBaseline() {
				t.Fatalf("%s is left in %s with weight %g", g.Name, region, g.Weight)
			}
		}
	}
}

// However a rollout ends, and whatever is killed or lost meanwhile, no baseline is left
// once the regions are back and the recorded clean-up has been carried out; the version
// that serves has its traffic back.
func TestNoBaselineIsLeft(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := pipeline.Capacity{Min: 1, Desired: rapid.IntRange(1, 8).Draw(t, "desired"), Max: 12}
		s := newSimOf(t, capacity)
		spec := baselineSpec([]float64{5, 30, 50}, capacity)
		spec.Undo = rapid.SampledFrom([]string{"all", "wave", "none"}).Draw(t, "undo")
		spec.Timeout = 30 * time.Second
		s.bad, s.crashing, s.flaky, s.stale = rapid.Bool().Draw(t, "bad"), rapid.Bool().Draw(t, "crashing"), rapid.Bool().Draw(t, "flaky"), rapid.Bool().Draw(t, "stale")
		cancelAt, lostAt, checks := rapid.IntRange(0, 200).Draw(t, "cancel"), rapid.IntRange(0, 100).Draw(t, "lost"), 0
		lost := rapid.SampledFrom(regions).Draw(t, "region")
		steady := !s.flaky && !s.stale
		st, _, done := s.run(spec, rapid.Bool().Draw(t, "crashes"), func(st rollout.State) {
			for region, rs := range st.Regions {
				if rs.Phase == rollout.Shifted && s.find(region, rs.Baseline) != nil {
					t.Fatalf("%s has ended in %s with a baseline", spec.Group.Version, region)
				}
			}
			if checks++; checks == cancelAt {
				s.canceled = true
			}
			if checks == lostAt && s.flaky {
				s.outage = true
				s.killRegion(lost)
			}
		})
		if left := rollout.BaselinesLeft(st); steady && len(left) > 0 {
			t.Fatalf("the rollout itself has not removed the baselines in %v", left)
		}
		s.outage, s.flaky = false, false
		for range 100 {
			s.live()
		}
		if !done && s.regions[lost].unreachable {
			t.Fatalf("%s is not back", lost)
		}
		for _, region := range rollout.BaselinesLeft(st) {
			left := rollout.Leftovers{Keep: -1}
			for range 100 {
				changes, _ := left.CleanUp(region, s.observe().Regions[region].Groups, s.now)
				for _, c := range changes {
					_, _ = s.apply(c) // a refused change is planned again
				}
				s.live()
			}
		}
		if !done && st.Finished.IsZero() { // a region that is lost after the end only delays the clean-up
			t.Fatalf("it never ended: %+v", st.Failure)
		}
		assertNoBaseline(t, s)
	})
}

// compared is a canary at its first step with a baseline beside it, both with 10 % of the
// traffic; the test sets the counts of canary, baseline and production.
func compared(j pipeline.Judge) *canary {
	c := newCanary(j)
	c.spec.Strategy.Canary.Baseline, c.spec.Group.Execution = "fresh", "e1"
	c.st, c.counts = rollout.State{}, nil
	c.groups = c.groups[:1]
	c.groups[0].Weight = 100
	made := func(d rollout.Decision) {
		for _, change := range d.Changes {
			g := c.groups[0]
			g.Name, g.Spec, g.Weight, g.Capacity = fmt.Sprintf("api-v%03d", len(c.groups)), *change.Spec, 0, change.Spec.Capacity
			g.Spec.Version = "new"
			if g.IsBaseline() {
				g.Spec.Version = "old"
			}
			g.Instances = []cloud.Instance{{ID: g.Name, Lifecycle: cloud.InService, Healthy: true}}
			c.groups = append(c.groups, g)
			rollout.Record(&c.st, change, g.Name, nil)
		}
	}
	c.decide()       // its turn comes
	made(c.decide()) // the canary
	made(c.decide()) // the baseline
	d := c.decide()  // the traffic
	for i, g := range c.groups {
		c.groups[i].Weight = d.Changes[0].Weights[g.Name]
	}
	c.compare(0, 0, 0, 0, 0, 0)
	c.decide() // the weights are observed
	return c
}

// compare lets a second pass with so many requests and errors of each group.
func (c *canary) compare(canary, canaryErrors, baseline, baselineErrors, production, productionErrors uint64) {
	if c.counts == nil {
		for _, g := range c.groups {
			c.counts = append(c.counts, cloud.Counts{ServerGroup: g.Name, Epoch: "epoch", Buckets: make([]uint64, len(cloud.LatencyBounds)+1)})
		}
	}
	next := make([]cloud.Counts, len(c.counts))
	for i, n := range [][2]uint64{{production, productionErrors}, {canary, canaryErrors}, {baseline, baselineErrors}} {
		next[i] = c.counts[i]
		next[i].Requests, next[i].Errors = next[i].Requests+n[0], next[i].Errors+n[1]
	}
	c.counts = next
	c.now = c.now.Add(time.Second)
	c.decide()
}

// The judge compares with the baseline alone: what it says does not depend on the version
// that serves, and without requests to the baseline no version passes.
func TestTheJudgeComparesWithTheBaseline(t *testing.T) {
	for what, test := range map[string]struct {
		canaryErrors, baseline, baselineErrors, productionErrors uint64
		code                                                     string
	}{
		"alike":                                       {1, 20, 1, 8, ""},
		"only production fails":                       {0, 20, 0, 40, ""},
		"both fresh groups fail more":                 {4, 20, 4, 0, ""},
		"the canary fails more":                       {4, 20, 0, 40, "CANARY_ERRORS"},
		"no requests to the baseline":                 {1, 0, 0, 8, "CANARY_NO_DATA"},
		"too few requests to the baseline":            {0, 1, 0, 0, "CANARY_NO_DATA"},
		"no requests to the baseline, canary failing": {10, 0, 0, 0, "CANARY_NO_DATA"},
	} {
		t.Run(strings.ReplaceAll(what, " ", "-"), func(t *testing.T) {
			c := compared(pipeline.Judge{MinRequests: 200})
			for range 120 {
				if c.st.Failure == nil && c.st.Regions["r"].Step == 0 {
					c.compare(20, test.canaryErrors, test.baseline, test.baselineErrors, 160, test.productionErrors)
				}
			}
			if c.code() != test.code || test.code == "" && c.st.Regions["r"].Step != 1 {
				t.Fatalf("%s at step %d: %+v", c.code(), c.st.Regions["r"].Step, c.st.Failure)
			}
			if report := rollout.Reports(c.st)["r"]; len(report.Against) != 1 || report.Against[0] != "api-v002" || report.BaselineOf != "api-v000" {
				t.Errorf("compared with %v, a copy of %s", report.Against, report.BaselineOf)
			}
		})
	}
}

// A baseline that does not serve holds the canary back, and fails the rollout in the end.
func TestABaselineThatDoesNotServe(t *testing.T) {
	for code, spoil := range map[string]func(c *canary){
		"BASELINE_UNHEALTHY": func(c *canary) { c.groups[2].Instances = nil },
		"SERVER_GROUP_GONE":  func(c *canary) { c.groups = c.groups[:2] },
	} {
		c := compared(pipeline.Judge{MinRequests: 1, WhenNoData: "pass"})
		spoil(c)
		for range 100 {
			if c.st.Failure == nil && c.st.Regions["r"].Step == 0 {
				c.compare(20, 0, 0, 0, 160, 0)
			}
		}
		if c.code() != code {
			t.Errorf("%s: %s %+v", code, c.code(), c.st.Failure)
		}
	}
}

// A baseline that an earlier rollout could not remove is no version: neither the version
// before, nor one to return to, nor one to use again.
func TestABaselineIsNoVersion(t *testing.T) {
	capacity := pipeline.Capacity{Min: 1, Desired: 2, Max: 4}
	s := newSim(rand.New(rand.NewPCG(1, 1)), regions[:1], capacity)
	r := s.regions[regions[0]]
	r.create(s, cloud.ServerGroupSpec{Cluster: "api", CopyOf: "api-v000", Role: cloud.RoleBaseline, Fingerprint: "new", Capacity: capacity, Weight: 5})
	spec := baselineSpec([]float64{10}, capacity)
	spec.Waves, spec.Group.Fingerprint = []pipeline.Wave{{Regions: regions[:1]}}, "new"
	if chosen, missing := rollout.Restorable(map[string][]cloud.ServerGroup{regions[0]: r.groups}, "", nil); len(chosen) > 0 || len(missing) != 1 {
		t.Errorf("a rollback would return to %v", chosen)
	}
	if chosen, _ := rollout.Restorable(map[string][]cloud.ServerGroup{regions[0]: r.groups}, "old", nil); chosen[regions[0]].Name != "api-v000" {
		t.Errorf("the version old is taken to be %s", chosen[regions[0]].Name)
	}
	st, failure, done := s.run(spec, false, func(rollout.State) {})
	if rs := st.Regions[regions[0]]; !done || failure != nil || rs.Reused || len(rs.PreviousGroups) != 1 || rs.BaselineOf != "api-v000" {
		t.Fatalf("done %v, %+v, %+v", done, failure, rs)
	}
	assertNoBaseline(t, s)
}
