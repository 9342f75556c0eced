package rollout_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/rollout"
	"showrunner/stage"
)

// The undoing of a canceled rollout is refused, interrupted and killed half-way,
// any number of times, and is each time resumed from the saved state. It ends
// with the original groups, with their own bounds and as many instances.
func TestUndoingIsKilledHalfWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec, _, name := drawSpec(t)
		old := pipeline.Capacity{Min: 1, Desired: rapid.IntRange(2, 12).Draw(t, "had"), Max: 40}
		s := newSimOf(t, old)
		s.scaled, s.flaky = true, rapid.Bool().Draw(t, "flaky")
		at := rapid.IntRange(1, 60).Draw(t, "cancel")
		st, ok := s.until(spec, at)
		if !ok {
			return // the rollout had finished by then
		}
		for try := 0; ; try++ {
			kill := -1
			if try < 4 {
				kill = rapid.IntRange(0, 6).Draw(t, "kill")
			}
			undone, ended := s.abort(spec, st, kill)
			if !ended {
				continue // from the saved state: the engine calls Cancel again
			}
			for region, rs := range undone.Regions {
				if rs.Phase != rollout.Undone && rs.Phase != rollout.Waiting {
					t.Errorf("%s: %s ends as %q", name, region, rs.Phase)
				}
				for _, g := range s.regions[region].groups {
					if g.Spec.Version != "old" || g.Weight != 100 || g.Capacity.Min != old.Min || g.Capacity.Max != old.Max {
						t.Errorf("%s: %s in %s is left with version %s, weight %g, %+v", name, g.Name, region, g.Spec.Version, g.Weight, g.Capacity)
					}
				}
			}
			return
		}
	})
}

// until runs a rollout for some ticks; the last tick is interrupted after its
// changes, before they are saved. ok is false when the rollout had finished
// before.
func (s *sim) until(spec rollout.Spec, ticks int) (st rollout.State, ok bool) {
	for n := 1; ; n++ {
		d := rollout.Decide(spec, st, s.observe(), s.now)
		if !d.State.Finished.IsZero() {
			return st, false
		}
		s.carryOut(&d)
		if n == ticks {
			return st, true
		}
		st = d.State
		s.live()
	}
}

func (s *sim) carryOut(d *rollout.Decision) {
	for _, c := range d.Changes {
		made, err := s.apply(c)
		if s.flaky && s.rng.IntN(10) == 0 {
			err = problem.New(problem.Unavailable, "sim", "the answer was lost")
		}
		rollout.Record(&d.State, c, made, err)
	}
}

// abort undoes as Cancel does, keeping the state in memory, for a number of
// ticks; -1 runs to the end.
func (s *sim) abort(spec rollout.Spec, st rollout.State, ticks int) (rollout.State, bool) {
	st = rollout.Abort(st, stage.Failure{Code: "CANCELED"})
	for n := 0; n != ticks; n++ {
		d := rollout.Decide(spec, st, s.observe(), s.now)
		s.carryOut(&d)
		if st = d.State; d.Done {
			return st, true
		}
		s.live()
	}
	return st, false
}

// Undoing restores the old version's bounds even when its last change is refused.
func TestUndoingEndsOnceTheOldVersionIsRestored(t *testing.T) {
	capacity := pipeline.Capacity{Min: 1, Desired: 3, Max: 6}
	now := time.Unix(1000, 0)
	old := cloud.ServerGroup{Name: "api-v000", Weight: 100, Capacity: pipeline.Capacity{Min: 3, Desired: 3, Max: 6},
		Spec: cloud.ServerGroupSpec{Version: "old", Scaling: []pipeline.ScalingPolicy{{Name: "requests"}}}}
	for i := range 3 {
		old.Instances = append(old.Instances, cloud.Instance{ID: fmt.Sprint(i), Lifecycle: cloud.InService, Healthy: true})
	}
	spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: capacity}, Undo: "all", Timeout: time.Minute,
		Waves: []pipeline.Wave{{Regions: regions[:1]}}}
	st := rollout.State{Version: 1, Failure: &stage.Failure{Code: "CANCELED"}, Regions: map[string]*rollout.RegionState{regions[0]: {Phase: rollout.Undoing, Entered: now, New: "api-v001",
		PreviousGroups: []rollout.Snapshot{{Name: "api-v000", Version: "old", Weight: 100, Capacity: capacity, Pinned: true}}}}}
	look := func() rollout.Decision {
		return rollout.Decide(spec, st, rollout.Observed{Regions: map[string]rollout.Region{regions[0]: {Groups: []cloud.ServerGroup{old}}}}, now)
	}
	d := look()
	if d.Done || len(d.Changes) != 1 || d.Changes[0].Capacity != capacity {
		t.Fatalf("the old version is pinned: done %v, changes %v", d.Done, d.Changes)
	}
	key := d.Changes[0].Key
	old.Capacity, now = pipeline.Capacity{Min: 2, Desired: 2, Max: 6}, now.Add(time.Second) // by hand
	if d := look(); len(d.Changes) != 1 || d.Changes[0].Key == key {
		t.Fatalf("changed meanwhile, it would be refused or ignored as a repetition: %v", d.Changes)
	}
	old.Capacity = capacity
	if d := look(); !d.Done || len(d.Changes) != 0 {
		t.Fatalf("the old version is as it was: done %v, changes %v", d.Done, d.Changes)
	}
}

// A region that comes back during undoing gets the same time as the others to be
// restored.
func TestUndoingWaitsForARegionThatComesBack(t *testing.T) {
	capacity := pipeline.Capacity{Min: 1, Desired: 3, Max: 6}
	s := newSim(rand.New(rand.NewPCG(9, 2)), regions, capacity)
	s.outage = true
	spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: capacity}, Undo: "all", Timeout: time.Minute,
		Strategy: pipeline.Strategy{Canary: &pipeline.Canary{Steps: []float64{50}, Pause: pipeline.Duration(time.Hour)}}, Waves: []pipeline.Wave{{Regions: regions}}}
	var began time.Time
	_, failure, done := s.run(spec, false, func(st rollout.State) {
		r, rs := s.regions[regions[1]], st.Regions[regions[1]]
		switch {
		case rs == nil || rs.WeightsSetAt.IsZero():
		case began.IsZero():
			s.killRegion(regions[1])
			s.canceled, began = true, s.now
		case s.now.Sub(began) > 55*time.Second && r.unreachable:
			r.unreachable = false
			for i := range r.groups { // the old version starts slowly
				for j := range r.groups[i].Instances {
					if r.groups[i].Instances[j].Healthy = true; i == 0 {
						r.groups[i].Instances[j].Lifecycle = cloud.Pending
					}
				}
			}
		case s.now.Sub(began) > 80*time.Second:
			for i := range r.groups {
				for j := range r.groups[i].Instances {
					r.groups[i].Instances[j].Lifecycle = cloud.InService
				}
			}
		}
	})
	if !done || failure == nil || began.IsZero() {
		t.Fatalf("done %v, failure %+v", done, failure)
	}
	for region, r := range s.regions {
		if len(r.groups) != 1 || r.groups[0].Weight != 100 {
			t.Errorf("%s is left with %+v; undone: %v", region, r.groups, failure.Undone)
		}
	}
}

// The old version may grow while traffic shifts, and its scaling would shrink it
// again as its traffic goes: undoing needs it as large as it was with all of the
// traffic.
func TestTheOldVersionIsKeptAsLargeAsItBecame(t *testing.T) {
	capacity := pipeline.Capacity{Min: 1, Desired: 3, Max: 10}
	s := newSim(rand.New(rand.NewPCG(1, 2)), regions[:1], capacity)
	s.scaled = true
	spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: capacity}, Undo: "all", Timeout: time.Minute,
		Strategy: pipeline.Strategy{Canary: &pipeline.Canary{Steps: []float64{10, 50}, Pause: pipeline.Duration(time.Minute)}}, Waves: []pipeline.Wave{{Regions: regions[:1]}}}
	var grown time.Time
	_, failure, done := s.run(spec, false, func(st rollout.State) {
		r, rs := s.regions[regions[0]], st.Regions[regions[0]]
		if rs == nil || rs.Step == 0 || !rs.WeightsSetAt.IsZero() && grown.IsZero() {
			return
		}
		if grown.IsZero() { // by load, just before half of the traffic is shifted
			grown = s.now
			r.groups[0].Capacity.Desired = 7
			r.fill(s)
		}
		s.canceled = rs.Step == 1 && s.now.Sub(grown) > 50*time.Second
		if n := r.groups[0].Capacity.Desired; st.Failure == nil && n < 7 && s.now.Sub(grown) > 10*time.Second {
			t.Fatalf("the old version was allowed to shrink to %d although it may have to take all traffic back", n)
		}
	})
	if !done || failure == nil || grown.IsZero() {
		t.Fatalf("done %v, failure %+v", done, failure)
	}
	if g := s.regions[regions[0]].groups[0]; g.Capacity.Min != 1 {
		t.Errorf("it stays pinned: %+v", g.Capacity)
	}
}

// The control plane is down for an hour while a rollout is undone, or waits for
// instances or a region. It goes on from there, and gives up nothing that has not
// had its time.
func TestDowntimeDoesNotCountAgainstTimeLimits(t *testing.T) {
	capacity := pipeline.Capacity{Min: 1, Desired: 3, Max: 6}
	for name, way := range map[string]struct {
		bad  bool
		when func(s *sim, st rollout.State, rs *rollout.RegionState) bool
	}{
		"undoing": {true, func(_ *sim, _ rollout.State, rs *rollout.RegionState) bool { return rs.Phase == rollout.Undoing }},
		"ill":     {false, func(_ *sim, _ rollout.State, rs *rollout.RegionState) bool { return !rs.TooFewSince.IsZero() }},
		"unreachable": {false, func(s *sim, _ rollout.State, rs *rollout.RegionState) bool {
			if rs.Phase == rollout.Stepping && rs.Unreachable.IsZero() {
				s.killRegion(regions[0])
			}
			return !rs.Unreachable.IsZero()
		}},
	} {
		s := newSim(rand.New(rand.NewPCG(6, 2)), regions[:1], capacity)
		s.bad = way.bad
		spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: capacity}, Undo: "all", Timeout: time.Minute,
			Strategy: pipeline.Strategy{Canary: &pipeline.Canary{Steps: []float64{50}}}, Waves: []pipeline.Wave{{Regions: regions[:1]}}}
		slept := false
		_, failure, done := s.run(spec, false, func(st rollout.State) {
			if rs := st.Regions[regions[0]]; !slept && rs != nil && way.when(s, st, rs) {
				slept, s.now = true, s.now.Add(time.Hour)
				for _, g := range s.regions[regions[0]].groups[1:] {
					for i := range g.Instances { // the state is no better at the next look
						g.Instances[i].Healthy = false
					}
				}
			}
		})
		if !done || !slept || (failure != nil) != way.bad {
			t.Fatalf("%s: done %v, failure %+v", name, done, failure)
		}
		if groups := s.regions[regions[0]].groups; way.bad && (len(groups) != 1 || groups[0].Weight != 100 || strings.Contains(failure.Undone[0], "NOT undone")) {
			t.Errorf("%s: left with %+v, undone %v", name, groups, failure.Undone)
		}
	}
}
