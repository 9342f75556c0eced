package rollout_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/rollout"
)

// The wait for an unreachable region is counted from the moment it went away,
// however long its step has lasted: a short interruption in a long pause is not
// an outage.
func TestAShortInterruptionIsNotAnOutage(t *testing.T) {
	capacity := pipeline.Capacity{Min: 1, Desired: 3, Max: 6}
	s := newSim(rand.New(rand.NewPCG(1, 2)), regions, capacity)
	spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: capacity}, Undo: "all", Timeout: time.Minute,
		Strategy: pipeline.Strategy{Canary: &pipeline.Canary{Steps: []float64{10}, Pause: pipeline.Duration(time.Hour)}}, Waves: []pipeline.Wave{{Regions: regions}}}
	blips := 0
	_, failure, done := s.run(spec, false, func(st rollout.State) {
		r, rs := s.regions[regions[0]], st.Regions[regions[0]]
		if rs == nil || rs.WeightsSetAt.IsZero() || blips == 3 {
			return
		}
		if r.unreachable = !r.unreachable && s.now.Sub(rs.WeightsSetAt) > time.Duration(blips+1)*10*time.Minute; r.unreachable {
			blips++
		}
	})
	if !done || failure != nil || blips != 3 {
		t.Fatalf("done %v, failure %+v, %d blips", done, failure, blips)
	}
}

// A wave ends when each of its regions has been observed for the whole bake and
// serves. A region that becomes unreachable during the bake, with its instances, is waited
// for, and starts its bake anew when it is back.
func TestABakeWaitsForARegionThatIsUnreachable(t *testing.T) {
	capacity := pipeline.Capacity{Min: 1, Desired: 3, Max: 6}
	bake := 30 * time.Second
	for name, outage := range map[string]time.Duration{"back in time": 45 * time.Second, "for good": time.Hour} {
		s := newSim(rand.New(rand.NewPCG(4, 2)), regions, capacity)
		s.outage = true
		spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: capacity}, Undo: "all", Timeout: time.Minute,
			Waves: []pipeline.Wave{{Regions: regions[:1], Bake: pipeline.Duration(bake)}, {Regions: regions[1:]}}}
		var went, back, full, next time.Time
		st, failure, done := s.run(spec, false, func(st rollout.State) {
			r := s.regions[regions[0]]
			switch {
			case st.BakeSince.IsZero() && went.IsZero():
			case went.IsZero():
				s.killRegion(regions[0])
				went = s.now
			case back.IsZero() && s.now.Sub(went) >= outage:
				r.unreachable, back = false, s.now
			case !back.IsZero() && full.IsZero() && r.serving(nowWeight, nowSize) == 3:
				full = s.now
			}
			if next.IsZero() && st.Wave == 1 {
				next = s.now
			}
		})
		if outage > bake+time.Minute {
			if !done || failure == nil || failure.Code != "REGION_UNAVAILABLE" || st.Wave != 0 {
				t.Errorf("%s: done %v, wave %d, failure %+v", name, done, st.Wave, failure)
			}
			continue
		}
		if !done || failure != nil || back.IsZero() || next.Sub(back) < bake || full.IsZero() || next.Before(full) {
			t.Errorf("%s: done %v, failure %+v; back at %v, whole at %v, next wave at %v", name, done, failure, back, full, next)
		}
	}
}

// A bake whose time is up does not end while too few instances serve.
func TestABakeDoesNotEndWhileTooFewServe(t *testing.T) {
	capacity := pipeline.Capacity{Min: 1, Desired: 3, Max: 6}
	s := newSim(rand.New(rand.NewPCG(4, 2)), regions[:1], capacity)
	spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: capacity}, Undo: "all", Timeout: time.Hour,
		Waves: []pipeline.Wave{{Regions: regions[:1], Bake: pipeline.Duration(10 * time.Second)}}}
	var ill time.Time
	_, failure, done := s.run(spec, false, func(st rollout.State) {
		g := s.regions[regions[0]].groups
		if st.BakeSince.IsZero() || !ill.IsZero() && s.now.Sub(ill) > time.Minute {
			return
		}
		if ill.IsZero() {
			ill = s.now
		}
		g[len(g)-1].Instances[0].Healthy = false // not a crash: the instance is replaced again and again
		if !st.Finished.IsZero() {
			t.Fatalf("finished with 2 of 3 instances, %s after the first was lost", s.now.Sub(ill))
		}
	})
	if !done || failure != nil || ill.IsZero() {
		t.Fatalf("done %v, failure %+v", done, failure)
	}
}

// The time that a region is unreachable does not count as time in which its instances
// failed to become healthy.
func TestAnOutageDoesNotCountAsUnhealthy(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	capacity := pipeline.Capacity{Min: 1, Desired: 1, Max: 1}
	spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: capacity}, Undo: "all", Timeout: time.Minute,
		Waves: []pipeline.Wave{{Regions: regions[:1]}}}
	groups := []cloud.ServerGroup{{Name: "api-v000", Capacity: capacity, Spec: cloud.ServerGroupSpec{Version: "new"}}}
	st := rollout.State{Version: 1, Regions: map[string]*rollout.RegionState{regions[0]: {Phase: rollout.Stepping, New: "api-v000", Entered: began, FinalCapacity: capacity}}}
	for _, look := range []struct {
		seconds     int
		unreachable string
		fails       bool
	}{{0, "", false}, {30, "", false}, {35, "refused", false}, {80, "refused", false}, {90, "", false}, {110, "", false}, {130, "", false}, {149, "", false}, {150, "", true}} {
		r := rollout.Region{Unreachable: look.unreachable}
		if look.unreachable == "" {
			r.Groups = groups
		}
		d := rollout.Decide(spec, st, rollout.Observed{Regions: map[string]rollout.Region{regions[0]: r}}, began.Add(time.Duration(look.seconds)*time.Second))
		if st = d.State; (st.Failure != nil) != look.fails {
			t.Fatalf("after %d seconds: failure %+v", look.seconds, st.Failure)
		}
	}
}
