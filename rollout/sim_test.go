package rollout_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"showrunner/cloud"
	"showrunner/cloud/driver"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/rollout"
	"showrunner/stage"
)

// sim is a cloud in memory. It applies changes as a driver must; its instances
// become healthy, crash and recover at random.
type sim struct {
	rng     *rand.Rand
	now     time.Time
	regions map[string]*simRegion
	// bad versions never become healthy; crashing versions become healthy and
	// then exit.
	bad, crashing bool
	// ends is the code with which crashing versions end; empty is EXITED.
	ends string
	// chaos kills serving instances of any version, one at a time.
	chaos bool
	// flaky makes changes fail as unavailable, and makes regions unreachable for
	// a while.
	flaky bool
	// outage keeps regions unreachable until the test brings them back.
	outage bool
	// stale makes observations some changes old.
	stale bool
	seen  []rollout.Observed
	// scaled groups have scaling policies, which shrink a group with little
	// traffic.
	scaled bool
	// canceled makes the run abort the rollout.
	canceled bool
	hook     func(rollout.Change) error // nil: the hook agrees
	// reductions are the changes that reduced the number of serving instances.
	reductions []reduction
}

type simRegion struct {
	unreachable bool
	groups      []cloud.ServerGroup
	next        int
	made        map[string]string // idempotency key → answer
	asked       map[string]string // idempotency key → request
	killed      int               // serving instances that chaos killed and that are not yet replaced
}

func newSim(rng *rand.Rand, regions []string, old pipeline.Capacity) *sim {
	s := &sim{rng: rng, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), regions: map[string]*simRegion{}}
	for _, r := range regions {
		sr := &simRegion{made: map[string]string{}, asked: map[string]string{}}
		if old.Desired > 0 {
			sr.create(s, cloud.ServerGroupSpec{Cluster: "api", Version: "old", Capacity: old})
			sr.groups[0].Weight = 100
			for i := range sr.groups[0].Instances {
				sr.groups[0].Instances[i].Healthy = true
			}
		}
		s.regions[r] = sr
	}
	return s
}

func (r *simRegion) create(s *sim, spec cloud.ServerGroupSpec) string {
	name := fmt.Sprintf("%s-v%03d", spec.Cluster, r.next)
	r.next++
	if i := slices.IndexFunc(r.groups, func(g cloud.ServerGroup) bool { return g.Name == spec.CopyOf }); i >= 0 {
		spec, _ = driver.CopySpec(r.groups[i].Spec, spec) // of the same cluster
	}
	r.groups = append(r.groups, cloud.ServerGroup{Name: name, Spec: spec, Capacity: spec.Capacity, Weight: spec.Weight, Created: s.now})
	r.fill(s)
	return name
}

// fill launches and ends instances until every group has its desired number.
func (r *simRegion) fill(s *sim) {
	for i := range r.groups {
		g := &r.groups[i]
		for len(g.Instances) < g.Capacity.Desired {
			g.Instances = append(g.Instances, cloud.Instance{ID: fmt.Sprint(s.rng.Uint64()), Lifecycle: cloud.InService, Launched: s.now})
		}
		if len(g.Instances) > g.Capacity.Desired {
			g.Instances = g.Instances[:g.Capacity.Desired]
		}
	}
}

// serving counts the serving instances of enabled groups; weight and size give
// each group's values, possibly as they would be after a change.
func (r *simRegion) serving(weight func(g cloud.ServerGroup) float64, size func(g cloud.ServerGroup) int) int {
	n := 0
	for _, g := range r.groups {
		if weight(g) <= 0 {
			continue
		}
		for i, inst := range g.Instances {
			if i < size(g) && inst.Serving() {
				n++
			}
		}
	}
	return n
}

func nowWeight(g cloud.ServerGroup) float64 { return g.Weight }
func nowSize(g cloud.ServerGroup) int       { return len(g.Instances) }

// apply makes one change as a driver does: a key acts once, the guard is checked
// against the present state, and a missing group is not_found.
func (s *sim) apply(c rollout.Change) (made string, err error) {
	r := s.regions[c.Region]
	if r.unreachable {
		return "", problem.New(problem.Unavailable, "sim", "unreachable")
	}
	if c.Kind == rollout.Validate {
		if s.hook != nil {
			return "", s.hook(c)
		}
		if s.rng.IntN(8) == 0 && s.flaky {
			return "", problem.New(problem.Unavailable, "sim", "the hook is unreachable")
		}
		return "", nil
	}
	asked := fmt.Sprint(c.Kind, c.ServerGroup, c.Capacity, c.Weights)
	if c.Spec != nil {
		asked += fmt.Sprint(c.Spec.Capacity)
	}
	if name, ok := r.made[c.Key]; ok {
		if r.asked[c.Key] != asked {
			return "", problem.New(problem.Conflict, "sim", "the key %s was used for another change", c.Key)
		}
		return name, nil
	}
	if made, err = r.act(s, c); err == nil {
		r.made[c.Key], r.asked[c.Key] = made, asked
	}
	return made, err
}

func (r *simRegion) act(s *sim, c rollout.Change) (string, error) {
	if c.Kind == rollout.Create {
		if of := c.Spec.CopyOf; of != "" && !slices.ContainsFunc(r.groups, func(g cloud.ServerGroup) bool { return g.Name == of }) {
			return "", problem.New(problem.NotFound, "sim", "there is no %s", of)
		}
		return r.create(s, *c.Spec), nil
	}
	named := []string{c.ServerGroup}
	if c.Kind == rollout.Shift {
		named = slices.Collect(maps.Keys(c.Weights))
	}
	for _, name := range named {
		if !slices.ContainsFunc(r.groups, func(g cloud.ServerGroup) bool { return g.Name == name }) {
			if c.Kind == rollout.Destroy {
				return "", nil
			}
			return "", problem.New(problem.NotFound, "sim", "there is no %s", name)
		}
	}
	weight, size := nowWeight, nowSize
	switch c.Kind {
	case rollout.Shift:
		weight = func(g cloud.ServerGroup) float64 {
			if w, ok := c.Weights[g.Name]; ok {
				return w
			}
			return g.Weight
		}
	default: // Resize, or Destroy as a resize to nothing
		size = func(g cloud.ServerGroup) int {
			if g.Name == c.ServerGroup {
				return min(len(g.Instances), c.Capacity.Desired)
			}
			return len(g.Instances)
		}
	}
	before, after := r.serving(nowWeight, nowSize), r.serving(weight, size)
	if err := driver.CheckGuard(c.Guard, "api", c.Region, before, after); err != nil {
		return "", err
	}
	if after < before {
		s.reductions = append(s.reductions, reduction{c, before, after})
	}
	switch c.Kind {
	case rollout.Shift:
		for i := range r.groups {
			g := &r.groups[i]
			g.TrafficUntil, g.Weight = driver.TrafficUntil(g.TrafficUntil, g.Weight, weight(*g), s.now), weight(*g)
		}
	case rollout.Resize:
		for i := range r.groups {
			if r.groups[i].Name == c.ServerGroup {
				r.groups[i].Capacity = c.Capacity
			}
		}
		r.fill(s)
	case rollout.Destroy:
		r.groups = slices.DeleteFunc(r.groups, func(g cloud.ServerGroup) bool { return g.Name == c.ServerGroup })
	}
	return "", nil
}

// reduction is a change that reduced the number of serving instances.
type reduction struct {
	change        rollout.Change
	before, after int
}

// live lets some time pass, with random events.
func (s *sim) live() {
	s.now = s.now.Add(time.Duration(1+s.rng.IntN(4)) * time.Second)
	for _, name := range slices.Sorted(maps.Keys(s.regions)) {
		r := s.regions[name]
		if s.flaky && s.rng.IntN(20) == 0 {
			r.unreachable = true
		} else if s.rng.IntN(3) == 0 && !s.outage {
			r.unreachable = false
		}
		r.killed = 0
		for i := range r.groups {
			s.liveGroup(r, &r.groups[i])
			s.scale(&r.groups[i])
		}
		r.fill(s)
	}
}

func (s *sim) liveGroup(r *simRegion, g *cloud.ServerGroup) {
	fresh := g.Spec.Version == "new"
	for i := range g.Instances {
		inst := &g.Instances[i]
		code := 1
		switch {
		case !inst.Healthy && fresh && s.bad:
			if s.rng.IntN(3) == 0 {
				g.Failures++
				g.LastFailure = &cloud.InstanceFailure{Code: "NEVER_HEALTHY", Cause: "probe answered 503", At: s.now}
			}
		case !inst.Healthy:
			inst.Healthy = s.rng.IntN(2) == 0
		case fresh && s.crashing && s.rng.IntN(3) == 0:
			inst.Healthy = false
			g.LastFailure = &cloud.InstanceFailure{Code: cmp.Or(s.ends, "EXITED"), Cause: "exit status 1", ExitCode: &code, At: s.now}
			g.Ended = append([]cloud.Instance{{ID: inst.ID, ServingSince: inst.Launched, Failure: g.LastFailure}}, g.Ended...)
		case s.chaos && r.killed == 0 && s.rng.IntN(10) == 0:
			inst.Healthy = false
			r.killed++
		}
	}
}

// scale shrinks a group whose traffic does not need its capacity; a disabled
// group keeps its capacity.
func (s *sim) scale(g *cloud.ServerGroup) {
	if !s.scaled {
		return
	}
	g.Spec.Scaling = []pipeline.ScalingPolicy{{Name: "requests"}}
	if c := &g.Capacity; g.Enabled() && g.Weight < 100 && c.Desired > c.Min && s.rng.IntN(4) == 0 {
		c.Desired--
	}
}

// killRegion ends a region's process for a while, with all its instances.
func (s *sim) killRegion(name string) {
	r := s.regions[name]
	r.unreachable = true
	for i := range r.groups {
		for j := range r.groups[i].Instances {
			r.groups[i].Instances[j].Healthy = false
		}
	}
}

func (s *sim) observe() rollout.Observed {
	obs := rollout.Observed{Regions: map[string]rollout.Region{}}
	for name, r := range s.regions {
		if r.unreachable {
			obs.Regions[name] = rollout.Region{Unreachable: "connection refused"}
			continue
		}
		groups := slices.Clone(r.groups)
		for i := range groups {
			groups[i].Instances = slices.Clone(groups[i].Instances)
		}
		obs.Regions[name] = rollout.Region{Groups: groups}
	}
	return obs
}

// run ticks until the rollout is done. check is called after every single change.
// With crashes, the result of a tick is sometimes lost, after any number of its
// changes.
func (s *sim) run(spec rollout.Spec, crashes bool, check func(rollout.State)) (rollout.State, *stage.Failure, bool) {
	return s.resume(rollout.State{}, spec, crashes, check)
}

func (s *sim) resume(st rollout.State, spec rollout.Spec, crashes bool, check func(rollout.State)) (rollout.State, *stage.Failure, bool) {
	for range 3000 {
		if s.canceled && st.Finished.IsZero() {
			st = rollout.Abort(st, stage.Failure{Code: "CANCELED"})
		}
		d := rollout.Decide(spec, st, s.picture(), s.now)
		crash := -1
		if crashes && s.rng.IntN(5) == 0 {
			crash = s.rng.IntN(len(d.Changes) + 1)
		}
		for i, c := range d.Changes {
			if i == crash {
				break
			}
			made, err := s.apply(c)
			if s.flaky && s.rng.IntN(10) == 0 {
				err = problem.New(problem.Unavailable, "sim", "the answer was lost") // although the change was made
			}
			rollout.Record(&d.State, c, made, err)
			check(d.State)
		}
		if crash < 0 {
			if d.Done {
				return d.State, d.Failure, d.Failure != nil || s.cleanUp(spec, d.State, check)
			}
			st = d.State
		}
		s.live()
		check(st)
	}
	return st, nil, false
}

// cleanUp cleans up after a successful rollout, region by region, and says
// whether it finished. It keeps no state between two steps, so it may be killed
// at any moment.
func (s *sim) cleanUp(spec rollout.Spec, st rollout.State, check func(rollout.State)) bool {
	for region, left := range spec.Leftovers(st) {
		if s.now.Before(left.Due) {
			s.now = left.Due
		}
		done := false
		for range 1000 {
			o := s.picture().Regions[region]
			changes, underWay := left.CleanUp(region, o.Groups, s.now)
			if o.Unreachable == "" && len(changes) == 0 && !underWay && !s.stale {
				done = true
				break
			}
			for _, c := range changes {
				_, _ = s.apply(c) // a refused change is planned again
				check(st)
			}
			s.live()
			check(st)
			if s.stale = false; done {
				break
			}
		}
		if !done {
			return false
		}
	}
	return true
}

// picture is the state that the plan sees: the present one, or an earlier one.
func (s *sim) picture() rollout.Observed {
	s.seen = append(s.seen, s.observe())
	if n := len(s.seen); s.stale && n > 2 {
		return s.seen[n-1-s.rng.IntN(2)]
	}
	return s.seen[len(s.seen)-1]
}
