package rollout_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/rollout"
	"showrunner/stage"
)

// One property covers the ordering bugs of red/black and rolling in other
// systems. With failures, crashes, stale reads, cancels and changes by others,
// only a shift of weights takes serving instances away, and it leaves as many as
// the strategy promises. A group that serves is never shrunk or destroyed.
func TestNoChangeTakesMoreThanThePromise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec, old, name := drawSpec(t)
		spec.Undo = rapid.SampledFrom([]string{"all", "wave", "none"}).Draw(t, "undo")
		s := newSimOf(t, old)
		s.bad, s.crashing = rapid.Bool().Draw(t, "bad"), rapid.Bool().Draw(t, "crashing")
		s.chaos, s.flaky, s.stale = rapid.Bool().Draw(t, "chaos"), rapid.Bool().Draw(t, "flaky"), rapid.Bool().Draw(t, "stale")
		s.scaled = rapid.Bool().Draw(t, "scaled")
		crashes := rapid.Bool().Draw(t, "crashes")
		cancelAt := rapid.IntRange(0, 60).Draw(t, "cancel")
		full := max(spec.Group.Capacity.Desired, old.Desired)
		seen, checks := 0, 0
		check := func(now rollout.State) {
			for ; seen < len(s.reductions); seen++ {
				lost := s.reductions[seen]
				if lost.change.Kind != rollout.Shift {
					if lost.change.Kind == rollout.Destroy && now.Failure != nil && lost.after >= needed(old.Desired) {
						continue // the new version, seen in a stale picture: the old one serves; a first version leaves nothing
					}
					t.Fatalf("%s: %s took %d serving instances away", name, lost.change, lost.before-lost.after)
				}
				promise := min(old.Desired, needed(full))
				if now.Failure != nil {
					promise = 1
				}
				if s.scaled {
					promise = min(promise, 1) // scaling itself may have shrunk either group
				}
				if lost.after < promise {
					t.Fatalf("%s: %s took %d to %d, the promise is %d", name, lost.change, lost.before, lost.after, promise)
				}
			}
			if checks++; checks == cancelAt*5 {
				s.canceled = true
			}
		}
		s.run(spec, crashes, check)
	})
}

// killPoints are the moments around a change at which a process is killed.
var killPoints = map[string]func(s *sim, c rollout.Change, apply func()) (recorded bool){
	"control, before the change":                  func(*sim, rollout.Change, func()) bool { return false },
	"control, after it and before it is recorded": func(_ *sim, _ rollout.Change, apply func()) bool { apply(); return false },
	"the region, before the change": func(s *sim, c rollout.Change, apply func()) bool {
		s.killRegion(c.Region)
		apply()
		return true
	},
	"the region, after it": func(s *sim, c rollout.Change, apply func()) bool {
		apply()
		s.killRegion(c.Region)
		return true
	},
}

// Control and the region's process are killed at every change of every strategy:
// the rollout still ends with the same result, nothing is lost and nothing is
// left over.
func TestKilledAtEveryChange(t *testing.T) {
	for name, strategy := range strategies() {
		for _, bad := range []bool{false, true} {
			for way, die := range killPoints {
				t.Run(fmt.Sprintf("%s/bad=%v/%s", name, bad, way), func(t *testing.T) {
					changes := killedAt(t, strategy, bad, -1, die)
					for k := range changes {
						killedAt(t, strategy, bad, k, die)
					}
					if changes < 2 {
						t.Errorf("only %d changes were tried", changes)
					}
				})
			}
		}
	}
}

// killedAt runs a rollout, kills a process at its k-th change, and returns the
// number of changes.
func killedAt(t *testing.T, strategy pipeline.Strategy, bad bool, k int, die func(*sim, rollout.Change, func()) bool) int {
	t.Helper()
	capacity := pipeline.Capacity{Min: 1, Desired: 3, Max: 6}
	s := newSim(rand.New(rand.NewPCG(uint64(k+1), 3)), regions, capacity)
	s.bad = bad
	spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: capacity}, Strategy: strategy,
		Waves: []pipeline.Wave{{Regions: regions[:1], Bake: pipeline.Duration(4 * time.Second)}, {Regions: regions[1:]}}, Undo: "all", Timeout: 5 * time.Minute}
	n := 0
	var st rollout.State
	var failure *stage.Failure
	done := false
	for range 2000 {
		d := rollout.Decide(spec, st, s.observe(), s.now)
		recorded := true
		for _, c := range d.Changes {
			apply := func() {
				made, err := s.apply(c)
				rollout.Record(&d.State, c, made, err)
			}
			if n == k {
				recorded = die(s, c, apply)
			} else {
				apply()
			}
			if n++; !recorded {
				break
			}
		}
		if recorded {
			if st = d.State; d.Done {
				failure, done = d.Failure, true
				break
			}
		}
		s.live()
	}
	if !done || (failure != nil) != bad {
		t.Fatalf("killed at change %d: done %v, failure %+v", k, done, failure)
	}
	for _, lost := range s.reductions {
		if lost.change.Kind != rollout.Shift {
			t.Errorf("killed at change %d: %s took %d serving instances away", k, lost.change, lost.before-lost.after)
		}
	}
	for region, r := range s.regions {
		for _, g := range r.groups {
			want := g.Name == st.Regions[region].New || strategy.None != nil
			if bad {
				want = g.Spec.Version == "old"
			}
			if g.Enabled() != want || bad && g.Spec.Version == "new" || g.Enabled() && g.Capacity != capacity {
				t.Errorf("killed at change %d: %s in %s is left with weight %g and %+v", k, g.Name, region, g.Weight, g.Capacity)
			}
		}
		if made := 2 + order(strategy.Canary != nil && strategy.Canary.Judge != nil); r.next > made {
			t.Errorf("killed at change %d: %d groups were made in %s", k, r.next, region)
		}
	}
	return n
}

func order(b bool) int {
	if b {
		return 1
	}
	return 0
}

// A rollout that is canceled at any moment restores the state from before.
func TestCanceledAtEveryTick(t *testing.T) {
	capacity := pipeline.Capacity{Min: 1, Desired: 3, Max: 6}
	for name, strategy := range strategies() {
		t.Run(name, func(t *testing.T) {
			for at := 1; ; at++ {
				s := newSim(rand.New(rand.NewPCG(uint64(at), 5)), regions, capacity)
				s.scaled = true
				spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: capacity}, Strategy: strategy,
					Waves: []pipeline.Wave{{Regions: regions[:1]}, {Regions: regions[1:]}}, Undo: "all", Timeout: 5 * time.Minute}
				ticks := 0
				st, failure, done := s.run(spec, false, func(st rollout.State) {
					if ticks++; ticks == at && st.Finished.IsZero() {
						s.canceled = true
					}
				})
				if !done || s.canceled != (failure != nil) {
					t.Fatalf("canceled at %d: done %v, failure %+v", at, done, failure)
				}
				if !s.canceled {
					if at < 10 {
						t.Errorf("it was canceled at %d moments only", at)
					}
					return
				}
				for region, r := range s.regions {
					for _, g := range r.groups {
						if g.Spec.Version != "old" || g.Weight != 100 || g.Capacity.Desired < capacity.Min || g.Capacity.Min != capacity.Min || st.Regions[region].Phase == rollout.Shifted {
							t.Fatalf("canceled at %d: %s in %s: version %s, weight %g, %+v", at, g.Name, region, g.Spec.Version, g.Weight, g.Capacity)
						}
					}
				}
			}
		})
	}
}

// A version that was rolled back is newer than the version in traffic. When it is
// delivered again, it starts with the first step, in a group of its own.
func TestARolledBackVersionProvesItselfAgain(t *testing.T) {
	capacity := pipeline.Capacity{Min: 1, Desired: 3, Max: 6}
	group := func(name, version string, weight float64) cloud.ServerGroup {
		g := cloud.ServerGroup{Name: name, Spec: cloud.ServerGroupSpec{Cluster: "api", Version: version, Fingerprint: version}, Capacity: capacity, Weight: weight}
		for i := range 3 {
			g.Instances = append(g.Instances, cloud.Instance{ID: fmt.Sprint(name, i), Lifecycle: cloud.InService, Healthy: true})
		}
		return g
	}
	groups := []cloud.ServerGroup{group("api-v000", "a", 0), group("api-v001", "b", 100), group("api-v002", "c", 0)}
	for version, reused := range map[string]string{"a": "api-v000", "b": "api-v001", "c": "", "d": ""} {
		spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: version, Fingerprint: version, Capacity: capacity},
			Strategy: pipeline.Strategy{Canary: &pipeline.Canary{Steps: []float64{10}}}, Waves: []pipeline.Wave{{Regions: regions[:1]}}, Undo: "all", Timeout: time.Minute}
		d := rollout.Decide(spec, rollout.State{}, rollout.Observed{Regions: map[string]rollout.Region{regions[0]: {Groups: groups}}}, time.Unix(1, 0))
		if rs := d.State.Regions[regions[0]]; rs.New != reused || (rs.Step == 0) == rs.Reused {
			t.Errorf("version %s: returns to %q at step %d, want %q", version, rs.New, rs.Step, reused)
		}
	}
}

// A refusal of the validation hook undoes the rollout, both before and after the
// shift.
func TestTheHookIsAskedBeforeAndAfter(t *testing.T) {
	capacity := pipeline.Capacity{Min: 1, Desired: 3, Max: 6}
	for _, after := range []bool{false, true} {
		s := newSim(rand.New(rand.NewPCG(7, 7)), regions, capacity)
		spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: "api", Version: "new", Capacity: capacity},
			Strategy: pipeline.Strategy{RedBlack: &pipeline.RedBlack{Keep: 1, Validate: "http://hook"}}, Waves: []pipeline.Wave{{Regions: regions}}, Undo: "all", Timeout: time.Minute}
		asked := 0
		s.hook = func(c rollout.Change) error {
			asked++
			if c.After == after {
				return problem.New(problem.Invalid, "hook", "no")
			}
			return nil
		}
		_, failure, done := s.run(spec, false, func(rollout.State) {})
		if !done || failure == nil || failure.Code != "VALIDATION_FAILED" || asked == 0 {
			t.Fatalf("after %v: done %v, asked %d times, failure %+v", after, done, asked, failure)
		}
		for region, r := range s.regions {
			if len(r.groups) != 1 || r.groups[0].Weight != 100 {
				t.Errorf("after %v: %s is left with %+v", after, region, r.groups)
			}
		}
	}
}
