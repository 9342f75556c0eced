package rollout_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/rollout"
	"showrunner/stage"
)

// A person takes the new version out of traffic at any moment: the version does
// not come back, the rollout is undone everywhere, and no other wave begins.
func TestARolloutDoesNotFightWithAPerson(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec, old, name := drawSpec(t)
		if old.Desired == 0 {
			old = pipeline.Capacity{Min: 1, Desired: 3, Max: 40}
		}
		spec.Waves = []pipeline.Wave{{Regions: regions[:1], Bake: pipeline.Duration(30 * time.Second)}, {Regions: regions[1:], Bake: pipeline.Duration(30 * time.Second)}}
		s := newSimOf(t, old)
		at := rapid.IntRange(1, 80).Draw(t, "at")
		checks, by, wave := 0, "", 0
		st, failure, done := s.run(spec, false, func(st rollout.State) {
			checks++
			for region, r := range s.regions {
				for i := range r.groups {
					g := &r.groups[i]
					if by == "" && checks >= at && st.Finished.IsZero() && g.Spec.Version == "new" && g.Enabled() {
						g.Weight, r.groups[0].Weight = 0, 100
						by, wave = region, st.Wave
					}
					if by == region && g.Spec.Version == "new" && g.Enabled() {
						t.Fatalf("%s: the new version is back in traffic, in %s", name, region)
					}
				}
			}
		})
		if by == "" {
			return // the rollout had ended by then
		}
		if !done || failure == nil || st.Wave != wave {
			t.Fatalf("%s: done %v, wave %d after %d, failure %+v", name, done, st.Wave, wave, failure)
		}
		assertOnlyOld(t, s, old)
	})
}

// A stale observation is not taken for a change by others.
func TestAStaleObservationIsNotAChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec, old, name := drawSpec(t)
		s := newSimOf(t, old)
		s.stale, s.flaky = true, rapid.Bool().Draw(t, "flaky")
		if _, failure, done := s.run(spec, rapid.Bool().Draw(t, "crashes"), func(rollout.State) {}); failure != nil && failure.Code == "TRAFFIC_CHANGED" || !done {
			t.Fatalf("%s: done %v, failure %+v", name, done, failure)
		}
	})
}

// Two rollouts change one cluster and do not know of each other (two control
// planes, or a rollback by hand). They never take the last instances out of
// traffic, leave alone what the other has begun later, and do not leave two
// versions in traffic.
func TestTwoRolloutsOfOneCluster(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := pipeline.Capacity{Min: 1, Desired: rapid.IntRange(1, 6).Draw(t, "old"), Max: 12}
		s := newSimOf(t, old)
		names := []string{"highlander", "red-black", "rolling", "canary"}
		type party struct {
			spec rollout.Spec
			st   rollout.State
			done bool
			fail *stage.Failure
		}
		var parties []*party
		for _, version := range []string{"new", "other"} {
			parties = append(parties, &party{spec: rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: version, Capacity: old},
				Strategy: strategies()[rapid.SampledFrom(names).Draw(t, version)], Waves: []pipeline.Wave{{Regions: regions[:1]}, {Regions: regions[1:]}}, Undo: "all", Timeout: 5 * time.Minute}})
		}
		for range 3000 {
			p := parties[s.rng.IntN(2)]
			if p.done {
				if p = parties[0]; p.done {
					p = parties[1]
				}
			}
			if p.done {
				break
			}
			d := rollout.Decide(p.spec, p.st, s.observe(), s.now)
			for _, c := range d.Changes {
				asked := c
				asked.Key = p.spec.Group.Version + "/" + c.Key
				mine := p.st.Regions[c.Region]
				if g := s.find(c.Region, c.ServerGroup); c.Kind != rollout.Shift && g != nil && mine != nil && g.Spec.Version != "old" && g.Name > mine.New && g.TrafficUntil.IsZero() {
					t.Fatalf("the rollout of %s does this to what the other makes: %s", p.spec.Group.Version, c)
				}
				made, err := s.apply(asked)
				rollout.Record(&d.State, c, made, err)
				for region, r := range s.regions {
					if n := r.serving(nowWeight, nowSize); n < 1 {
						t.Fatalf("%s: nothing serves in %s", c, region)
					}
				}
			}
			p.st, p.done, p.fail = d.State, d.Done, d.Failure
			s.live()
		}
		for _, p := range parties {
			if !p.done {
				t.Fatalf("the rollout of %s never ends: %+v", p.spec.Group.Version, p.st)
			}
		}
		for region, r := range s.regions {
			var traffic []string
			for _, g := range r.groups {
				if g.Enabled() {
					traffic = append(traffic, g.Spec.Version)
				}
			}
			if len(traffic) != 1 {
				t.Errorf("%v have traffic in %s; %+v, %+v", traffic, region, parties[0].fail, parties[1].fail)
			}
		}
	})
}

func (s *sim) find(region, name string) *cloud.ServerGroup {
	for i, g := range s.regions[region].groups {
		if g.Name == name {
			return &s.regions[region].groups[i]
		}
	}
	return nil
}

// Groups that others put into traffic stay in traffic when a rollout is undone.
func TestUndoingLeavesWhatOthersPutIntoTraffic(t *testing.T) {
	capacity := pipeline.Capacity{Min: 1, Desired: 3, Max: 6}
	s := newSim(rand.New(rand.NewPCG(1, 8)), regions[:1], capacity)
	r := s.regions[regions[0]]
	spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: capacity}, Undo: "all", Timeout: time.Minute,
		Strategy: strategies()["canary"], Waves: []pipeline.Wave{{Regions: regions[:1]}}}
	moved := false
	_, failure, done := s.run(spec, false, func(st rollout.State) {
		if rs := st.Regions[regions[0]]; !moved && rs != nil && !rs.WeightsSetAt.IsZero() {
			moved = true
			r.create(s, cloud.ServerGroupSpec{Cluster: "api", Version: "hotfix", Capacity: capacity})
			for i := range r.groups[2].Instances {
				r.groups[2].Instances[i].Healthy = true
			}
			r.groups[0].Weight, r.groups[2].Weight = 0, 100
		}
	})
	if !done || failure == nil || failure.Code != "TRAFFIC_CHANGED" || !moved {
		t.Fatalf("done %v, failure %+v", done, failure)
	}
	for _, g := range r.groups {
		if g.Enabled() != (g.Spec.Version == "hotfix") {
			t.Errorf("%s (%s) has weight %g", g.Name, g.Spec.Version, g.Weight)
		}
	}
}
