package driver

import (
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
)

// Serving counts a cluster's serving instances in one region: in service,
// healthy and in an enabled group.
func Serving(groups []ServerGroup) int {
	n := 0
	for _, g := range groups {
		if g.Enabled() && !g.Destroying {
			n += g.Serving()
		}
	}
	return n
}

// CheckGuard decides whether a change may reduce a cluster's serving instances in
// a region from before to after. A change that reduces nothing is always allowed,
// even below MinServing: otherwise a cluster that lost instances could not be
// repaired. A driver calls it with fresh state inside the call that makes the
// change.
func CheckGuard(guard Guard, cluster, region string, before, after int) error {
	if after >= before {
		return nil
	}
	const op = "cloud.guard"
	if guard.Idle {
		return problem.New(problem.Precondition, op, "the group has traffic: cluster %s in %s would have %d of %d serving instances left", cluster, region, after, before).
			WithHelp("read the present state and decide again")
	}
	if after < guard.MinServing {
		return problem.New(problem.Precondition, op, "cluster %s in %s would have %d of %d serving instances left; at least %d must serve",
			cluster, region, after, before, guard.MinServing).
			WithHelp("wait until more instances serve, or lower the guard")
	}
	if guard.LastOne && after == 0 {
		return problem.New(problem.Precondition, op, "cluster %s in %s would lose its last serving instance", cluster, region).
			WithHelp("enable another server group first")
	}
	return nil
}

// TrafficUntil is when a group last lost its traffic, after a change of its
// weight.
func TrafficUntil(was time.Time, from, to float64, now time.Time) time.Time {
	switch {
	case to > 0:
		return time.Time{}
	case from > 0:
		return now
	}
	return was
}

// Identity is the part of a spec that an idempotency key stands for: its
// environment counts by names alone. Values may be secrets, which are resolved
// anew at each call; a secret that was changed between a call and its repetition
// must not make the repetition another request. Callers only encode the result.
func Identity(s ServerGroupSpec) any {
	names := make(map[string]EnvValue, len(s.Env))
	for name := range s.Env {
		names[name] = EnvValue{}
	}
	s.Env, s.Fingerprint = names, ""
	return plainSpec(s)
}

// CheckCapacity completes and checks a capacity: a Max of 0 means as many as are
// desired now; then 0 ≤ Min ≤ Desired ≤ Max must hold.
func CheckCapacity(c pipeline.Capacity) (pipeline.Capacity, error) {
	if c.Max == 0 {
		c.Max = max(c.Min, c.Desired)
	}
	if c.Min < 0 || c.Desired < c.Min || c.Max < c.Desired {
		return c, problem.New(problem.Invalid, "cloud.capacity", "capacity min %d, desired %d, max %d is out of order", c.Min, c.Desired, c.Max).
			WithHelp("give 0 ≤ min ≤ desired ≤ max")
	}
	return c, nil
}

// CheckHooks checks lifecycle hooks; nil has none.
func CheckHooks(h *pipeline.LifecycleHooks) error {
	if h == nil {
		return nil
	}
	for name, hook := range map[string]*pipeline.LifecycleHook{"launch": h.Launch, "terminate": h.Terminate} {
		if hook == nil {
			continue
		}
		if len(hook.Command) == 0 && !hook.Wait || len(hook.Command) > 0 && hook.Command[0] == "" || hook.Timeout < 0 {
			return problem.New(problem.Invalid, "cloud.hooks", "the %s hook has neither a command nor wait, or it has a negative timeout", name)
		}
	}
	return nil
}

// CheckHookAnswer refuses an unknown answer. Errors: invalid.
func CheckHookAnswer(op string, a HookAnswer) error {
	switch a {
	case HookContinue, HookAbandon, HookHeartbeat:
		return nil
	}
	return problem.New(problem.Invalid, op, "%q is not an answer to a hook", string(a)).WithHelp("give continue, abandon or heartbeat")
}

// CheckMaintenance checks a maintenance policy; nil is the driver's own.
func CheckMaintenance(m *pipeline.Maintenance) error {
	if m != nil && (m.MinHealthy < 0 || m.MinHealthy > 100 || m.MaxHealthy < 100 || m.MaxHealthy > 200 || m.MaxHealthy-m.MinHealthy > 100) {
		return problem.New(problem.Invalid, "cloud.maintenance", "maintenance policy %d/%d is out of bounds", m.MinHealthy, m.MaxHealthy).
			WithHelp("give minHealthy 0 to 100 and maxHealthy 100 to 200, at most 100 apart")
	}
	return nil
}

// CheckTraffic checks the bounds of traffic; nil has none.
func CheckTraffic(t *pipeline.Traffic) error {
	if t != nil && (t.MaxInFlight < 0 || t.ResponseTimeout < 0 || t.HedgingDelay < 0) {
		return problem.New(problem.Invalid, "cloud.traffic", "a bound of traffic is negative").WithHelp("give 0 for no bound")
	}
	return nil
}
