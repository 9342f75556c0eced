package rollout_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/rollout"
	"showrunner/stage"
)

var regions = []string{"us-west-2", "us-east-1", "eu-west-1"}

func strategies() map[string]pipeline.Strategy {
	return map[string]pipeline.Strategy{
		"none":       {None: &struct{}{}},
		"highlander": {Highlander: &struct{}{}},
		"red-black":  {RedBlack: &pipeline.RedBlack{Keep: 2, ScaleDown: true, Validate: "http://hook"}},
		"rolling":    {Rolling: &pipeline.Rolling{Keep: 1, Steps: []int{10, 50}, Pause: pipeline.Duration(3 * time.Second)}},
		"canary":     {Canary: &pipeline.Canary{Keep: 1, Steps: []float64{1, 5, 25}, Pause: pipeline.Duration(5 * time.Second), Validate: "http://hook"}},
		"baseline":   {Canary: &pipeline.Canary{Keep: 1, Steps: []float64{1, 5, 25, 50}, Pause: pipeline.Duration(5 * time.Second), Judge: &pipeline.Judge{MinRequests: 1, WhenNoData: "pass"}}},
	}
}

func drawSpec(t *rapid.T) (rollout.Spec, pipeline.Capacity, string) {
	names := []string{"none", "highlander", "red-black", "rolling", "canary", "baseline"}
	name := rapid.SampledFrom(names).Draw(t, "strategy")
	desired := rapid.IntRange(1, 24).Draw(t, "desired")
	waves := []pipeline.Wave{{Regions: regions}}
	if rapid.Bool().Draw(t, "waves") {
		waves = []pipeline.Wave{{Regions: regions[:1], Bake: pipeline.Duration(10 * time.Second)}, {Regions: regions[1:]}}
	}
	old := pipeline.Capacity{}
	if n := rapid.IntRange(0, 24).Draw(t, "old"); n > 0 {
		old = pipeline.Capacity{Min: 1, Desired: n, Max: 40}
	}
	return rollout.Spec{
		Group:    cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: pipeline.Capacity{Min: 1, Desired: desired, Max: 40}},
		Strategy: strategies()[name], Waves: waves, Undo: "all", Timeout: 5 * time.Minute,
	}, old, name
}

func newSimOf(t *rapid.T, old pipeline.Capacity) *sim {
	seed := rapid.Uint64().Draw(t, "seed")
	return newSim(rand.New(rand.NewPCG(seed, 1)), regions, old)
}

// A good version takes over everywhere. At no moment do fewer instances serve
// than before, or than the new version is meant to have, whichever is fewer.
func TestGoodVersionTakesOverWithoutLosingCapacity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec, old, name := drawSpec(t)
		s := newSimOf(t, old)
		s.flaky = rapid.Bool().Draw(t, "flaky")
		promise := min(old.Desired, needed(max(spec.Group.Capacity.Desired, old.Desired)))
		st, failure, done := s.run(spec, rapid.Bool().Draw(t, "crashes"), func(rollout.State) {
			for region, r := range s.regions {
				if n := r.serving(nowWeight, nowSize); n < promise {
					t.Fatalf("%s: %d instances serve in %s, the promise is %d", name, n, region, promise)
				}
			}
		})
		if !done || failure != nil {
			t.Fatalf("%s: done %v, failure %+v", name, done, failure)
		}
		for region, r := range s.regions {
			for _, g := range r.groups {
				if want := g.Name == st.Regions[region].New || name == "none"; g.Enabled() != want {
					t.Errorf("%s: %s in %s has weight %g", name, g.Name, region, g.Weight)
				}
			}
		}
		if name == "highlander" {
			for region, r := range s.regions {
				if len(r.groups) != 1 {
					t.Errorf("highlander left %d groups in %s", len(r.groups), region)
				}
			}
		}
	})
}

// needed is the documented rule for how many instances have to serve.
func needed(desired int) int {
	switch {
	case desired < 10:
		return desired
	case desired < 20:
		return (desired*90 + 99) / 100
	default:
		return (desired*95 + 99) / 100
	}
}

// Traffic shifts by the strategy's own steps, each once and in order, and
// afterwards the strategy's number of old groups is left. Other systems took all
// of the traffic away at the first step of a rolling update, and forgot to resize
// the old version at the end.
func TestTrafficFollowsTheSteps(t *testing.T) {
	for name, want := range map[string]struct {
		shares []float64 // percent of the new version's traffic, step by step
		kept   int       // number of groups besides the new one
		sized  int       // instances of each of them
	}{
		"none":       {[]float64{50}, 1, 6},
		"highlander": {[]float64{100}, 0, 0},
		"red-black":  {[]float64{100}, 1, 0},
		"rolling":    {[]float64{10, 50, 100}, 1, 0},
		"canary":     {[]float64{1, 5, 25, 100}, 1, 0},
	} {
		rapid.Check(t, func(t *rapid.T) {
			capacity := pipeline.Capacity{Min: 1, Desired: 6, Max: 9}
			s := newSimOf(t, capacity)
			s.flaky = rapid.Bool().Draw(t, "flaky")
			spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: capacity}, Strategy: strategies()[name],
				Waves: []pipeline.Wave{{Regions: regions[:1]}, {Regions: regions[1:]}}, Undo: "all", Timeout: time.Hour}
			seen := map[string][]float64{}
			_, failure, done := s.run(spec, rapid.Bool().Draw(t, "crashes"), func(rollout.State) {
				for region, r := range s.regions {
					fresh, all := 0.0, 0.0
					for _, g := range r.groups {
						if all += g.Weight; g.Spec.Version == "new" {
							fresh += g.Weight
						}
					}
					share := 100 * fresh / all
					if had := seen[region]; share > 0 && (len(had) == 0 || had[len(had)-1] != share) {
						seen[region] = append(had, share)
					}
				}
			})
			if !done || failure != nil {
				t.Fatalf("%s: done %v, failure %+v", name, done, failure)
			}
			for region, r := range s.regions {
				if !slices.Equal(seen[region], want.shares) {
					t.Errorf("%s: the new version's shares in %s were %v, want %v", name, region, seen[region], want.shares)
				}
				if len(r.groups) != want.kept+1 {
					t.Errorf("%s: %d groups are left in %s", name, len(r.groups), region)
				}
				for _, g := range r.groups {
					if g.Spec.Version == "old" && g.Capacity.Desired != want.sized {
						t.Errorf("%s: the old version is left with %d instances in %s, want %d", name, g.Capacity.Desired, region, want.sized)
					}
				}
			}
		})
	}
}

// A version that never becomes healthy gets no traffic and leaves nothing behind,
// and the old version serves unchanged.
func TestBadVersionIsUndoneEverywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec, old, name := drawSpec(t)
		s := newSimOf(t, old)
		s.bad, s.flaky = true, rapid.Bool().Draw(t, "flaky")
		_, failure, done := s.run(spec, rapid.Bool().Draw(t, "crashes"), func(rollout.State) {
			for region, r := range s.regions {
				for _, g := range r.groups {
					if g.Spec.Version == "new" && g.Enabled() {
						t.Fatalf("%s: traffic on a version that never served, in %s", name, region)
					}
				}
				if n := r.serving(nowWeight, nowSize); n < old.Desired {
					t.Fatalf("%s: %d of %d old instances serve in %s", name, n, old.Desired, region)
				}
			}
		})
		if !done || failure == nil {
			t.Fatalf("%s: done %v, failure %+v", name, done, failure)
		}
		if len(failure.Evidence) == 0 {
			t.Errorf("%s: no evidence in %+v", name, failure)
		}
		assertOnlyOld(t, s, old)
	})
}

// A version that becomes healthy and then crashes is caught in its wave, and the
// earlier waves are undone as well.
func TestCrashingVersionIsUndoneEverywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec, old, name := drawSpec(t)
		spec.Waves = []pipeline.Wave{{Regions: regions[:1]}, {Regions: regions[1:], Bake: pipeline.Duration(10 * time.Minute)}}
		s := newSimOf(t, old)
		s.crashing, s.ends = true, rapid.SampledFrom([]string{"EXITED", "UNHEALTHY", "OVER_LIMIT"}).Draw(t, "ends")
		_, failure, done := s.run(spec, false, func(rollout.State) {})
		if !done || failure == nil {
			t.Fatalf("%s: done %v, failure %+v", name, done, failure)
		}
		assertOnlyOld(t, s, old)
	})
}

// A failure during a step restarts the step's pause: a version that fails every
// few seconds must not advance between two failures.
func TestAFailureStartsThePauseAnew(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	capacity := pipeline.Capacity{Min: 4, Desired: 4, Max: 4}
	serving := func(n int) (list []cloud.Instance) {
		for range n {
			list = append(list, cloud.Instance{Lifecycle: cloud.InService, Healthy: true})
		}
		return list
	}
	spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: capacity}, Undo: "all", Timeout: time.Minute,
		Strategy: pipeline.Strategy{Canary: &pipeline.Canary{Steps: []float64{50}, Pause: pipeline.Duration(5 * time.Second)}},
		Waves:    []pipeline.Wave{{Regions: regions[:1], Bake: pipeline.Duration(10 * time.Second)}}}
	old := cloud.ServerGroup{Name: "api-v000", Weight: 50, Capacity: capacity, Instances: serving(4), Spec: cloud.ServerGroupSpec{Version: "old"}}
	fresh := cloud.ServerGroup{Name: "api-v001", Weight: 50, Capacity: pipeline.Capacity{Min: 2, Desired: 2, Max: 4}, Instances: serving(2), Spec: cloud.ServerGroupSpec{Version: "new"},
		Ended: []cloud.Instance{{ID: "i-1", ServingSince: at(1), Failure: &cloud.InstanceFailure{Code: "UNHEALTHY", Cause: "3 checks failed", At: at(3)}}}}
	st := rollout.State{Version: 1, Regions: map[string]*rollout.RegionState{regions[0]: {Phase: rollout.Stepping, New: "api-v001", Entered: at(0), WeightsSetAt: at(0), FinalCapacity: capacity,
		PreviousGroups: []rollout.Snapshot{{Name: "api-v000", Weight: 100, Capacity: capacity, Serving: 4}}}}}
	look := func(st rollout.State, seconds int) rollout.Decision {
		return rollout.Decide(spec, st, rollout.Observed{Regions: map[string]rollout.Region{regions[0]: {Groups: []cloud.ServerGroup{old, fresh}}}}, at(seconds))
	}
	d := look(st, 6)
	if rs := d.State.Regions[regions[0]]; rs.Step != 0 || rs.Crashes != 1 {
		t.Fatalf("three seconds after a failure: step %d, %d failures counted", rs.Step, rs.Crashes)
	}
	if d = look(d.State, 8); d.State.Regions[regions[0]].Step != 1 {
		t.Fatal("the rollout does not advance after a whole pause without a failure")
	}
	// The same holds for the bake, with all traffic on the new version.
	old.Weight, fresh.Weight, fresh.Capacity, fresh.Instances = 0, 100, capacity, serving(4)
	d = look(look(d.State, 9).State, 10)
	if d.State.BakeSince.IsZero() || !d.State.Finished.IsZero() {
		t.Fatalf("it does not bake: %+v", d.State)
	}
	fresh.Ended = append([]cloud.Instance{{ID: "i-2", ServingSince: at(9), Failure: &cloud.InstanceFailure{Code: "OVER_LIMIT", Cause: "97 MiB", At: at(15)}}}, fresh.Ended...)
	if d = look(d.State, 21); !d.State.Finished.IsZero() {
		t.Fatal("the bake ended six seconds after a failure")
	}
	if d = look(d.State, 25); d.State.Finished.IsZero() {
		t.Fatal("the bake does not end after ten seconds without a failure")
	}
}

// A launch hook that is extended by heartbeats does not fail a rollout whose time
// would be over without them.
func TestHeartbeatsKeepARolloutWaiting(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	capacity := pipeline.Capacity{Min: 1, Desired: 1, Max: 1}
	spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: capacity}, Undo: "all", Timeout: time.Minute,
		Strategy: pipeline.Strategy{None: &struct{}{}}, Waves: []pipeline.Wave{{Regions: regions[:1]}}}
	hook := &cloud.HookState{Name: "launch", Wait: true, Since: at(1)}
	fresh := cloud.ServerGroup{Name: "api-v001", Capacity: capacity, Spec: cloud.ServerGroupSpec{Version: "new"},
		Instances: []cloud.Instance{{ID: "i-1", Lifecycle: cloud.PendingWait, Hook: hook}}}
	st := rollout.State{Version: 1, Regions: map[string]*rollout.RegionState{regions[0]: {Phase: rollout.Stepping, New: "api-v001", Entered: at(0), FinalCapacity: capacity}}}
	look := func(seconds int) *stage.Failure {
		d := rollout.Decide(spec, st, rollout.Observed{Regions: map[string]rollout.Region{regions[0]: {Groups: []cloud.ServerGroup{fresh}}}}, at(seconds))
		st = d.State
		return st.Failure
	}
	for seconds := range 200 {
		if seconds%50 == 30 {
			hook.Heartbeat = at(seconds)
		}
		if f := look(seconds); f != nil {
			t.Fatalf("failed after %ds: %+v", seconds, f)
		}
	}
	hook.Heartbeat = at(10_000) // time of another clock
	for seconds := 200; seconds < 240; seconds++ {
		if f := look(seconds); f != nil {
			t.Fatalf("failed %ds after the last heartbeat: %+v", seconds-180, f)
		}
	}
	if f := look(240); f == nil || f.Code != "HEALTH_TIMEOUT" {
		t.Fatalf("a minute after the last heartbeat: %+v", f)
	}
}

func assertOnlyOld(t *rapid.T, s *sim, old pipeline.Capacity) {
	t.Helper()
	for region, r := range s.regions {
		want := 1
		if old.Desired == 0 {
			want = 0
		}
		if len(r.groups) != want {
			t.Fatalf("%d groups are left in %s, want %d", len(r.groups), region, want)
		}
		for _, g := range r.groups {
			if g.Spec.Version != "old" || g.Weight != 100 || g.Capacity != old {
				t.Errorf("%s in %s: version %s, weight %g, capacity %+v", g.Name, region, g.Spec.Version, g.Weight, g.Capacity)
			}
		}
	}
}

// A good version succeeds although instances are killed during its rollout.
func TestChaosDoesNotFailAGoodVersion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec, old, name := drawSpec(t)
		s := newSimOf(t, old)
		s.chaos = true
		_, failure, done := s.run(spec, false, func(rollout.State) {})
		if !done || failure != nil {
			t.Fatalf("%s: done %v, failure %+v", name, done, failure)
		}
	})
}

// A return to a kept version needs no steps and creates no group.
func TestRestoreShiftsToTheKeptGroup(t *testing.T) {
	for name, strategy := range strategies() {
		if name == "highlander" || name == "none" {
			continue // these strategies keep no old group, or leave both versions in traffic
		}
		t.Run(name, func(t *testing.T) {
			s := newSim(rand.New(rand.NewPCG(1, 2)), regions, pipeline.Capacity{Min: 1, Desired: 3, Max: 5})
			spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: pipeline.Capacity{Min: 1, Desired: 3, Max: 5}},
				Strategy: strategy, Waves: []pipeline.Wave{{Regions: regions}}, Undo: "all", Timeout: time.Minute}
			if _, failure, done := s.run(spec, false, func(rollout.State) {}); !done || failure != nil {
				t.Fatalf("forward: done %v, failure %+v", done, failure)
			}
			back := spec
			back.Group.Version = "old"
			back.Restore = map[string]string{}
			for _, r := range regions {
				back.Restore[r] = "api-v000"
			}
			_, failure, done := s.run(back, false, func(rollout.State) {
				for region, r := range s.regions {
					if n := r.serving(nowWeight, nowSize); n < 3 {
						t.Fatalf("%d instances serve in %s while returning", n, region)
					}
				}
			})
			if !done || failure != nil {
				t.Fatalf("back: done %v, failure %+v", done, failure)
			}
			for region, r := range s.regions {
				if want := 2 + order(name == "baseline"); r.next != want {
					t.Errorf("%d groups were created in %s, want %d", r.next, region, want)
				}
				for _, g := range r.groups {
					if g.Enabled() != (g.Name == "api-v000") {
						t.Errorf("%s in %s has weight %g", g.Name, region, g.Weight)
					}
				}
			}
		})
	}
}

// A rollback keeps the group that it leaves in the way that its target was kept:
// with instances, or without.
func TestARollbackLeavesWhatItFound(t *testing.T) {
	for name, want := range map[string]int{"red-black": 3, "canary": 0} {
		s := newSim(rand.New(rand.NewPCG(1, 2)), regions, pipeline.Capacity{Min: 1, Desired: 3, Max: 5})
		spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: pipeline.Capacity{Min: 1, Desired: 3, Max: 5}},
			Strategy: strategies()[name], Waves: []pipeline.Wave{{Regions: regions}}, Undo: "all", Timeout: time.Minute}
		if name == "red-black" {
			spec.Strategy = pipeline.Strategy{RedBlack: &pipeline.RedBlack{Keep: 1}}
		}
		if _, failure, done := s.run(spec, false, func(rollout.State) {}); !done || failure != nil {
			t.Fatalf("%s forward: done %v, failure %+v", name, done, failure)
		}
		back := spec
		back.Strategy = pipeline.Strategy{RedBlack: &pipeline.RedBlack{Keep: 1000}}
		back.Restore = map[string]string{}
		for _, r := range regions {
			back.Restore[r] = "api-v000"
		}
		if _, failure, done := s.run(back, false, func(rollout.State) {}); !done || failure != nil {
			t.Fatalf("%s back: done %v, failure %+v", name, done, failure)
		}
		for region, r := range s.regions {
			for _, g := range r.groups {
				if g.Name == "api-v001" && g.Capacity.Desired != want {
					t.Errorf("%s: %s in %s goes on with %d instances without traffic, want %d", name, g.Name, region, g.Capacity.Desired, want)
				}
			}
		}
	}
}

// Scaling or a person may raise the capacity while traffic shifts: the new
// version then takes over with as many instances as the old version has at that
// time.
func TestTheNewVersionKeepsUpWithTheOld(t *testing.T) {
	s := newSim(rand.New(rand.NewPCG(1, 2)), regions[:1], pipeline.Capacity{Min: 1, Desired: 3, Max: 10})
	spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: pipeline.Capacity{Min: 1, Desired: 3, Max: 10}},
		Strategy: strategies()["canary"], Waves: []pipeline.Wave{{Regions: regions[:1]}}, Undo: "all", Timeout: time.Minute}
	grown := false
	_, failure, done := s.run(spec, false, func(st rollout.State) {
		r := s.regions[regions[0]]
		if rs := st.Regions[regions[0]]; rs != nil && rs.Step == 1 && !grown {
			grown = true
			r.groups[0].Capacity.Desired = 7
			r.fill(s)
			for i := range r.groups[0].Instances {
				r.groups[0].Instances[i].Healthy = true
			}
		}
		if n := r.serving(nowWeight, nowSize); grown && n < 7 {
			t.Fatalf("%d instances serve, 7 did", n)
		}
	})
	if !done || failure != nil || !grown {
		t.Fatalf("done %v, failure %+v, grown %v", done, failure, grown)
	}
	for _, g := range s.regions[regions[0]].groups {
		if g.Enabled() && g.Capacity.Desired != 7 {
			t.Errorf("it goes on with %d instances, the old version had 7", g.Capacity.Desired)
		}
	}
}
