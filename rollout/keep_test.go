package rollout_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/rollout"
)

// A version that was rolled back is not kept instead of the good version that
// served after it.
func TestAVersionThatWasRolledBackIsNotKeptInsteadOfAGoodOne(t *testing.T) {
	for name, strategy := range map[string]pipeline.Strategy{
		"red-black": {RedBlack: &pipeline.RedBlack{Keep: 1}},
		"rolling":   {Rolling: &pipeline.Rolling{Keep: 1, Steps: []int{50}}},
		"canary":    {Canary: &pipeline.Canary{Keep: 1, Steps: []float64{10}}},
	} {
		t.Run(name, func(t *testing.T) {
			capacity := pipeline.Capacity{Min: 1, Desired: 3, Max: 5}
			s := newSim(rand.New(rand.NewPCG(1, 2)), regions[:1], capacity)
			r := s.regions[regions[0]]
			spec := rollout.Spec{Strategy: strategy, Waves: []pipeline.Wave{{Regions: regions[:1]}}, Undo: "all", Timeout: time.Minute}
			run := func(spec rollout.Spec, version string) {
				clear(r.made) // the keys of another execution
				spec.Group = cloud.ServerGroupSpec{Cluster: "api", Version: version, Capacity: capacity}
				if _, failure, done := s.run(spec, false, func(rollout.State) {}); !done || failure != nil {
					t.Fatalf("%s: done %v, failure %+v", version, done, failure)
				}
				s.live()
			}
			back := func(want string) {
				t.Helper()
				chosen, _ := rollout.Restorable(map[string][]cloud.ServerGroup{"r": r.groups}, "", nil)
				if got := chosen["r"].Spec.Version; got != want {
					t.Fatalf("a rollback returns to %q, want %q", got, want)
				}
				to := spec
				to.Restore = map[string]string{regions[0]: chosen["r"].Name}
				to.Strategy = pipeline.Strategy{RedBlack: &pipeline.RedBlack{Keep: 1000}}
				run(to, want)
			}
			run(spec, "bad")
			back("old")
			lines := strings.Join(rollout.Preview(spec, s.observe(), s.now), "\n")
			if !strings.Contains(lines, "destroy api-v001") || strings.Contains(lines, "destroy api-v000") {
				t.Errorf("it says:\n%s", lines)
			}
			run(spec, "mended")
			var versions []string
			for _, g := range r.groups {
				versions = append(versions, g.Spec.Version)
			}
			if !slices.Equal(versions, []string{"old", "mended"}) {
				t.Errorf("%v are kept", versions)
			}
			back("old")
		})
	}
}

// A region that is unreachable at clean-up time delays only its own clean-up, for as
// long as it takes: the actions are decided from the state at that time.
func TestCleaningUpLate(t *testing.T) {
	capacity := pipeline.Capacity{Min: 1, Desired: 3, Max: 5}
	s := newSim(rand.New(rand.NewPCG(1, 2)), regions, capacity)
	delay := time.Minute
	spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: capacity}, Undo: "all", Timeout: time.Minute,
		Strategy: pipeline.Strategy{RedBlack: &pipeline.RedBlack{ScaleDownDelay: pipeline.Duration(delay)}}, Waves: []pipeline.Wave{{Regions: regions}}}
	s.outage = true
	unreachable := false
	st, failure, done := s.run(spec, false, func(st rollout.State) {
		if !st.Finished.IsZero() && !unreachable {
			unreachable = true
			s.killRegion(regions[0])
		}
		if unreachable && s.now.Sub(st.Finished) > 20*time.Minute {
			s.regions[regions[0]].unreachable = false
		}
	})
	if !done || failure != nil || !unreachable {
		t.Fatalf("done %v, failure %+v", done, failure)
	}
	for region, r := range s.regions {
		if len(r.groups) != 1 {
			t.Errorf("%d groups are left in %s", len(r.groups), region)
		}
		if due := spec.Leftovers(st)[region].Due; !due.Equal(st.Finished.Add(delay)) {
			t.Errorf("%s is cleaned up from %s, want %s after the last wave", region, due, delay)
		}
	}
}
