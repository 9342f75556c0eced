package rollout_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/rollout"
)

// The preview of creations, shifts and removals matches the actions of the
// rollout.
func TestPreviewSaysWhatTheRolloutDoes(t *testing.T) {
	capacity := pipeline.Capacity{Min: 1, Desired: 3, Max: 5}
	for name, want := range map[string][]string{
		"none":       {"create the next version of api with 3 instances", "beside api-v000 (old, 3 instances)"},
		"highlander": {"shift traffic from api-v000 (old, 3 instances): highlander, 100 %", "destroy api-v000"},
		"red-black":  {"red-black, 100 %", "keep api-v000 with 0 instances"},
		"rolling":    {"create the next version of api with 1 instance (1 to 5 in the end)", "10 % for 3s, then 50 % for 3s, then 100 %"},
		"canary":     {"canary, 1 % for 5s, then 5 % for 5s, then 25 % for 5s, then 100 %, asking http://hook"},
	} {
		s := newSim(rand.New(rand.NewPCG(1, 1)), regions, capacity)
		spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: capacity}, Strategy: strategies()[name],
			Waves: []pipeline.Wave{{Regions: regions[:1], Bake: pipeline.Duration(time.Second)}, {Regions: regions[1:]}}, Undo: "all", Timeout: time.Minute}
		lines := strings.Join(rollout.Preview(spec, s.observe(), s.now), "\n")
		for _, part := range want {
			if !strings.Contains(lines, part) {
				t.Errorf("%s does not say %q:\n%s", name, part, lines)
			}
		}
		_, failure, done := s.run(spec, false, func(rollout.State) {})
		if !done || failure != nil {
			t.Fatalf("%s: %v %+v", name, done, failure)
		}
		for region, r := range s.regions {
			gone := r.groups[0].Name != "api-v000"
			if gone != strings.Contains(lines, region+": destroy api-v000") {
				t.Errorf("%s: api-v000 is gone from %s: %v; it said:\n%s", name, region, gone, lines)
			}
		}
	}
}

// A preview does not know whether a region has the version already: it says what
// happens then, where there is a version, and not for a first deployment.
func TestPreviewSaysThatAVersionIsUsedAgain(t *testing.T) {
	capacity := pipeline.Capacity{Min: 1, Desired: 3, Max: 5}
	for name, c := range map[string]struct {
		old  pipeline.Capacity
		want bool
	}{"first": {}, "next": {old: capacity, want: true}} {
		s := newSim(rand.New(rand.NewPCG(1, 1)), regions, c.old)
		spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: capacity}, Strategy: strategies()["red-black"], Waves: []pipeline.Wave{{Regions: regions}}}
		lines := strings.Join(rollout.Preview(spec, s.observe(), s.now), "\n")
		if strings.Contains(lines, "has this version already") != c.want {
			t.Errorf("%s:\n%s", name, lines)
		}
	}
}

// The preview of the judge matches its behaviour, with data and without.
func TestPreviewSaysHowEachStepIsJudged(t *testing.T) {
	for noData, want := range map[string]string{
		"fail": ", each judged by at least 20 requests",
		"pass": ", each judged where at least 20 requests come and going on without a verdict where fewer do (judge.whenNoData: pass)",
	} {
		c := newCanary(pipeline.Judge{MinRequests: 20, WhenNoData: noData})
		o := rollout.Observed{Regions: map[string]rollout.Region{"r": {Groups: c.groups[:1]}}}
		if lines := strings.Join(rollout.Preview(c.spec, o, c.now), "\n"); !strings.Contains(lines, want) {
			t.Errorf("%s: it does not say %q:\n%s", noData, want, lines)
		}
	}
}
