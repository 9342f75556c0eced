package ecs

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/pipeline"
)

// region plays the region of one service: it makes what is asked for, and its tasks
// begin to serve, fail and end one by one.
type region struct {
	groups []cloud.ServerGroup
	bad    map[string]bool // definitions whose tasks never serve
	count  int
}

func (r *region) group(name string) *cloud.ServerGroup {
	at := slices.IndexFunc(r.groups, func(g cloud.ServerGroup) bool { return g.Name == name })
	if at < 0 {
		return nil
	}
	return &r.groups[at]
}

// ask carries out what the service asks for.
func (r *region) ask(s *service) {
	for _, a := range s.Pending {
		d := s.find(a.Deployment)
		switch a.Do {
		case "create":
			r.count++
			d.Group = fmt.Sprintf("%s-v%03d", s.Fleet, r.count)
			r.groups = append(r.groups, cloud.ServerGroup{Name: d.Group, Spec: cloud.ServerGroupSpec{Cluster: s.Fleet, Version: d.Definition}, Capacity: pipeline.Capacity{Desired: a.Count}})
		case "resize":
			r.group(d.Group).Capacity.Desired = a.Count
		case "destroy":
			r.groups = slices.DeleteFunc(r.groups, func(g cloud.ServerGroup) bool { return g.Name == d.Group })
		}
	}
	s.Pending = nil
	for n := range r.groups {
		r.fill(&r.groups[n])
	}
}

// fill launches and ends what a group's capacity asks for: those that do not serve first.
func (r *region) fill(g *cloud.ServerGroup) {
	live := func(i cloud.Instance) bool { return i.Lifecycle != cloud.Terminating }
	count := 0
	for _, i := range g.Instances {
		if live(i) {
			count++
		}
	}
	for _, starting := range []bool{true, false} {
		for n := range g.Instances {
			if i := &g.Instances[n]; count > g.Capacity.Desired && live(*i) && (i.Lifecycle == cloud.Pending) == starting {
				i.Lifecycle = cloud.Terminating
				count--
			}
		}
	}
	for ; count < g.Capacity.Desired; count++ {
		r.count++
		g.Instances = append(g.Instances, cloud.Instance{ID: fmt.Sprintf("i-%017x", r.count), Lifecycle: cloud.Pending})
	}
}

// step lets one task get on; false when none can.
func (r *region) step(turn func(n int) int) bool {
	type place struct{ group, instance int }
	var moving []place
	for g := range r.groups {
		for i, instance := range r.groups[g].Instances {
			if instance.Lifecycle != cloud.InService {
				moving = append(moving, place{g, i})
			}
		}
	}
	if len(moving) == 0 {
		return false
	}
	at := moving[turn(len(moving))]
	g := &r.groups[at.group]
	switch i := &g.Instances[at.instance]; {
	case i.Lifecycle == cloud.Pending && !r.bad[g.Spec.Version]:
		i.Lifecycle, i.Healthy = cloud.InService, true
	case i.Lifecycle == cloud.Pending:
		g.Failures++
		g.Instances = slices.Delete(g.Instances, at.instance, at.instance+1)
		r.fill(g)
	default:
		g.Instances = slices.Delete(g.Instances, at.instance, at.instance+1)
	}
	return true
}

// settle carries a service on until nothing changes, and checks each step.
func (r *region) settle(s *service, check func(serving, live int), turn func(n int) int) {
	for range 2000 {
		s.advance(r.groups, time.Unix(0, 0))
		asked := len(s.Pending) > 0
		r.ask(s)
		sum := total(s.tallies(r.groups))
		check(sum.serving, sum.serving+sum.pending)
		if moved := r.step(turn); !moved && !asked {
			return
		}
	}
}

func newService(desired, least, most int) *service {
	s := &service{Name: "web", Fleet: "aws-ecs-c-web", Status: active, Desired: desired, Least: least, Most: most}
	s.deploy("app:1", launch{}, time.Unix(0, 0))
	return s
}

func first(int) int { return 0 }

func unchecked(int, int) {}

func (s *service) said(text string) bool {
	return slices.ContainsFunc(s.Events, func(e event) bool { return strings.Contains(e.Message, text) })
}

// Whatever the order in which tasks begin and end, an update keeps within the service's
// bounds and completes.
func TestUpdatesKeepWithinTheirBounds(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		desired, least, most := 1+random.IntN(9), random.IntN(101), 100+random.IntN(151)
		floor, ceiling := (desired*least+99)/100, desired*most/100
		s, r := newService(desired, least, most), &region{}
		r.settle(s, unchecked, random.IntN)
		if d := s.Deployments[0]; d.State != completed || !s.said("has reached a steady state") {
			t.Fatalf("%d tasks: %+v", desired, s)
		}
		s.deploy("app:2", launch{}, time.Unix(0, 0))
		steps := fmt.Sprintf("%d tasks, at least %d%%, at most %d%%", desired, least, most)
		r.settle(s, func(serving, live int) {
			if serving < floor || live > ceiling {
				t.Fatalf("%s: %d serve of %d", steps, serving, live)
			}
		}, random.IntN)
		done := len(s.Deployments) == 1 && s.Deployments[0].State == completed && len(r.groups) == 1 && len(r.groups[0].Instances) == desired
		if possible := floor < desired || ceiling > desired; done != possible || done == s.said("was unable to stop or start tasks") {
			t.Fatalf("%s: done %v: %+v", steps, done, s)
		}
	}
}

// A deployment whose tasks fail is undone by the circuit breaker, within the bounds.
func TestTheCircuitBreakerRollsBack(t *testing.T) {
	t.Parallel()
	for _, desired := range []int{2, 5, 8} {
		s, r := newService(desired, 50, 150), &region{bad: map[string]bool{"app:2": true}}
		r.settle(s, unchecked, first)
		before := s.Deployments[0].ID
		s.Breaker, s.Rollback = true, true
		s.deploy("app:2", launch{}, time.Unix(0, 0))
		r.settle(s, func(serving, live int) {
			if serving < (desired+1)/2 || live > desired*3/2 {
				t.Fatalf("of %d: %d serve of %d", desired, serving, live)
			}
		}, first)
		if d := s.Deployments; len(d) != 1 || d[0].ID != before || d[0].State != completed || s.Definition != "app:1" || len(r.groups) != 1 {
			t.Fatalf("of %d: %+v", desired, s)
		}
		if !s.said("deployment failed: tasks failed to start.") || !s.said("rolling back to deployment "+before+".") {
			t.Errorf("of %d: %+v", desired, s.Events)
		}
		if h := s.History; len(h) != 2 || h[0].Status != rolledBack || "ecs-svc/"+h[0].BackTo != before || h[0].Failures < leastFailures || h[1].Status != succeeded {
			t.Errorf("of %d: %+v", desired, h)
		}
	}
}

// Without a deployment to go back to, or without rollback, a failed deployment stops
// launching and what ran before stays.
func TestTheCircuitBreakerStopsWhatCannotBeRolledBack(t *testing.T) {
	t.Parallel()
	s, r := newService(2, 100, 200), &region{bad: map[string]bool{"app:1": true, "app:3": true}}
	s.Breaker, s.Rollback = true, true
	r.settle(s, unchecked, first)
	if d := s.Deployments; len(d) != 1 || d[0].State != failed || d[0].Failed < leastFailures || len(r.groups[0].Instances) != 0 {
		t.Fatalf("%+v", s)
	}
	if h := s.History; len(h) != 1 || h[0].Status != halted || h[0].Failures < leastFailures {
		t.Errorf("%+v", h)
	}
	s.deploy("app:2", launch{}, time.Unix(0, 0))
	r.settle(s, unchecked, first)
	if d := s.Deployments; len(d) != 1 || d[0].State != completed || len(r.groups) != 1 {
		t.Fatalf("a better one: %+v", s)
	}
	s.Rollback = false
	s.deploy("app:3", launch{}, time.Unix(0, 0))
	r.settle(s, func(serving, _ int) {
		if serving < 2 {
			t.Fatalf("%d serve", serving)
		}
	}, first)
	if d := s.Deployments; len(d) != 2 || d[0].State != failed || d[1].State != completed || total(s.tallies(r.groups)).serving != 2 {
		t.Errorf("%+v", s)
	}
}

// A task that begins to serve ends the row of failures.
func TestFailuresCountInARow(t *testing.T) {
	t.Parallel()
	s := newService(2, 100, 200)
	s.Breaker = true
	see := func(failures, serving int) {
		s.countFailures(map[string]tally{s.Deployments[0].ID: {failures: failures, serving: serving}}, time.Unix(0, 0))
	}
	see(2, 0)
	see(2, 1)
	see(4, 1)
	if d := s.Deployments[0]; d.State != inProgress || d.Failed != 2 {
		t.Errorf("%+v", d)
	}
	if see(5, 1); s.Deployments[0].State != failed {
		t.Errorf("%+v", s.Deployments[0])
	}
	s = newService(1000, 100, 200)
	if n := s.threshold(); n != mostFailures {
		t.Errorf("the breaker of 1000 tasks waits for %d", n)
	}
}

// A server group that somebody has destroyed is made again; a task that ends outside of a
// deployment is told of.
func TestWhatWasDestroyedIsMadeAgain(t *testing.T) {
	t.Parallel()
	s, r := newService(2, 100, 200), &region{}
	r.settle(s, unchecked, first)
	r.groups = nil
	r.settle(s, unchecked, first)
	if len(r.groups) != 1 || len(r.groups[0].Instances) != 2 || !s.said("has stopped 2 running tasks") {
		t.Errorf("%+v %+v", r.groups, s)
	}
}
