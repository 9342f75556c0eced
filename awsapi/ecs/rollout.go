package ecs

import (
	"slices"
	"time"

	"showrunner/cloud"
)

// tally is what a deployment has in the region.
type tally struct {
	running  int // tasks whose instance serves, or has served and is unhealthy now
	serving  int // of them healthy
	pending  int // tasks that start
	present  int // instances, those that are ending included
	failures int // instances that ended before they ever served
	there    bool
	ids      []string // of instances that are not ending
}

// tallies are those of a service's deployments, by identifier.
func (s *service) tallies(groups []cloud.ServerGroup) map[string]tally {
	out := map[string]tally{}
	for _, d := range s.Deployments {
		at := slices.IndexFunc(groups, func(g cloud.ServerGroup) bool { return d.Group != "" && g.Name == d.Group })
		if at < 0 {
			continue
		}
		t := tally{there: true, failures: groups[at].Failures, present: len(groups[at].Instances)}
		for _, i := range groups[at].Instances {
			switch i.Lifecycle {
			case cloud.InService:
				t.running++
			case cloud.Pending, cloud.PendingWait:
				t.pending++
			default:
				continue
			}
			if i.Serving() {
				t.serving++
			}
			t.ids = append(t.ids, i.ID)
		}
		out[d.ID] = t
	}
	return out
}

// total is the sum of the tallies.
func total(tallies map[string]tally) (sum tally) {
	for _, t := range tallies {
		sum.running, sum.serving, sum.pending, sum.present = sum.running+t.running, sum.serving+t.serving, sum.pending+t.pending, sum.present+t.present
		sum.ids = append(sum.ids, t.ids...)
	}
	return sum
}

// The bounds of how many tasks have to fail in a row before the circuit breaker acts:
// half of the desired number, within these.
const (
	leastFailures = 3
	mostFailures  = 200
)

// threshold is how many tasks have to fail in a row before the circuit breaker acts.
func (s *service) threshold() int {
	return min(max((s.Desired+1)/2, leastFailures), mostFailures)
}

// advance decides what is next for a service, from what the region has: it records
// what has happened and what is to be asked for. It is pure but for the service, and
// does nothing while something is still to be asked for.
func (s *service) advance(groups []cloud.ServerGroup, now time.Time) {
	if len(s.Pending) > 0 || s.Status == inactive {
		return
	}
	tallies := s.tallies(groups)
	s.tellTasks(total(tallies).ids, now)
	if s.Status == draining {
		if !slices.ContainsFunc(groups, func(g cloud.ServerGroup) bool { return g.Spec.Cluster == s.Fleet }) {
			s.Status, s.Ended, s.Deployments = inactive, now.UTC(), nil
		}
		return
	}
	s.Deployments = slices.DeleteFunc(s.Deployments, func(d deployment) bool {
		return !tallies[d.ID].there && (d.Ending || d.Group == "" && d.State != completed && d.ID != s.Deployments[0].ID)
	})
	for n := range s.Deployments { // a server group that somebody has destroyed is made again
		if d := &s.Deployments[n]; d.Group != "" && !d.Ending && !tallies[d.ID].there {
			d.Group, d.Making, d.Asked, d.Forgiven = "", false, 0, 0
		}
	}
	s.countFailures(tallies, now)
	s.rollBack(now)
	s.resize(tallies, now)
	s.complete(tallies, now)
	s.followed(now)
}

// tellTasks says which tasks have begun and ended since the service was looked at last.
func (s *service) tellTasks(ids []string, now time.Time) {
	gone := slices.DeleteFunc(slices.Clone(s.Tasks), func(id string) bool { return slices.Contains(ids, id) })
	if len(gone) > 0 {
		s.say(now, "has stopped %d running tasks:%s.", len(gone), named(gone))
	}
	if begun := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return slices.Contains(s.Tasks, id) }); len(begun) > 0 {
		s.say(now, "has started %d tasks:%s.", len(begun), named(begun))
	}
	s.Tasks = slices.Sorted(slices.Values(ids))
}

// named are tasks as events name them.
func named(instances []string) (text string) {
	for _, id := range instances {
		text += " (task " + taskID(id) + ")"
	}
	return text
}

// countFailures counts the tasks of the primary deployment that failed in a row, and
// has the circuit breaker stop it when there are too many.
func (s *service) countFailures(tallies map[string]tally, now time.Time) {
	p := &s.Deployments[0]
	t := tallies[p.ID]
	if t.serving > p.Serving || t.failures < p.Forgiven {
		p.Forgiven = t.failures
	}
	p.Serving, p.Failed = t.serving, t.failures-p.Forgiven
	if s.Breaker && p.State == inProgress && p.Failed >= s.threshold() {
		p.State, p.Reason, p.Updated = failed, "ECS deployment circuit breaker: tasks failed to start.", now.UTC()
		s.say(now, "(deployment %s) deployment failed: tasks failed to start.", p.ID)
	}
}

// rollBack makes the last deployment that completed the primary one again, when the
// primary has failed and the service is to be rolled back.
func (s *service) rollBack(now time.Time) {
	asked := s.under() != nil && s.under().Status == rollbackRequested
	if s.Deployments[0].State != failed || !asked && !(s.Breaker && s.Rollback) {
		return
	}
	at := slices.IndexFunc(s.Deployments, func(d deployment) bool { return d.State == completed && !d.Ending })
	if at < 0 {
		return
	}
	back := s.Deployments[at]
	reason := "ECS deployment circuit breaker: rolling back to deploymentId " + back.ID + "."
	if d := s.under(); asked {
		reason = d.BackReason
	} else if d != nil {
		d.Failures = s.Deployments[0].Failed
	}
	s.back(back, reason, now)
	back.State, back.Updated, back.Reason = inProgress, now.UTC(), reason
	s.Deployments = append([]deployment{back}, slices.Delete(s.Deployments, at, at+1)...)
	s.Definition, s.Steady = back.Definition, false
	s.say(now, "rolling back to deployment %s.", back.ID)
}

// resize asks for as many tasks of each deployment as the service's bounds allow: never
// fewer that serve than minimumHealthyPercent, never more in all than maximumPercent.
func (s *service) resize(tallies map[string]tally, now time.Time) {
	p := &s.Deployments[0]
	least, most := (s.Desired*s.Least+99)/100, max(s.Desired, s.Desired*s.Most/100)
	others, changed := 0, false
	for _, d := range s.Deployments[1:] {
		others += max(d.Asked, len(tallies[d.ID].ids))
	}
	target := max(min(s.Desired, most-others), min(p.Asked, s.Desired), 0)
	if p.State == failed { // it launches no more
		target = min(p.Asked, tallies[p.ID].serving)
	}
	switch {
	case !p.Making && p.State != failed:
		p.Making, changed = true, true
		s.ask("create", p, target)
	case p.Making && p.Asked != target:
		changed = true
		s.ask("resize", p, target)
	}
	if p.State == failed {
		return // what ran before stays as it is
	}
	keep := max(0, least-tallies[p.ID].serving)
	for n := range s.Deployments[1:] {
		d := &s.Deployments[n+1]
		t := tallies[d.ID]
		want := min(d.Asked, t.serving, keep)
		keep -= want
		if d.Asked != want && d.Making && !d.Ending {
			changed = true
			s.ask("resize", d, want)
		}
	}
	sum := total(tallies)
	if changed || len(s.Deployments) == 1 || p.Asked == s.Desired || sum.pending > 0 || sum.present > sum.serving {
		s.Stuck = false
	} else if !s.Stuck {
		s.Stuck = true
		s.say(now, "was unable to stop or start tasks during a deployment because of the service deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again.")
	}
}

// complete ends the primary deployment when all its tasks serve and no others are left.
func (s *service) complete(tallies map[string]tally, now time.Time) {
	p := &s.Deployments[0]
	t, sum := tallies[p.ID], total(tallies)
	all := t.there && p.Asked == s.Desired && t.serving == s.Desired && sum.present == s.Desired
	if all && p.State == inProgress {
		p.State, p.Reason, p.Updated = completed, "ECS deployment "+p.ID+" completed.", now.UTC()
		for n := range s.Deployments[1:] {
			if d := &s.Deployments[n+1]; !d.Ending {
				d.Ending = true
				s.ask("destroy", d, 0)
			}
		}
		s.say(now, "(deployment %s) deployment completed.", p.ID)
	}
	steady := all && p.State == completed && len(s.Deployments) == 1
	if steady && !s.Steady {
		s.say(now, "has reached a steady state.")
	}
	if len(s.Deployments) == 1 {
		s.Steady = steady
	}
}
