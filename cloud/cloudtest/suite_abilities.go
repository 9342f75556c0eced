package cloudtest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"showrunner/cloud/driver"
	"showrunner/pipeline"
	"showrunner/problem"
)

func testWatch(s *Suite) {
	w, ok := s.Cloud.(driver.Watcher)
	if !ok {
		s.t.Log("this driver cannot wait for changes; callers poll")
		return
	}
	ctx := s.t.Context()
	first, err := w.WaitChanges(ctx, s.Region, 0)
	s.want("revision 0", err, "")
	if !first.All {
		s.t.Errorf("revision 0 does not say that everything may have changed: %+v", first)
	}
	// wait collects the clusters that change until want is among them.
	wait := func(since driver.Changes, want string) <-chan driver.Changes {
		seen := make(chan driver.Changes, 1)
		go func() {
			for {
				now, err := w.WaitChanges(ctx, s.Region, since.Revision)
				if err != nil {
					s.t.Errorf("wait: %v", err)
				}
				if err != nil || now.All || slices.Contains(now.Clusters, want) {
					seen <- now
					return
				}
				if now.Revision == since.Revision {
					s.t.Errorf("woken without a change: %+v", now)
				}
				since = now
			}
		}()
		return seen
	}
	other := wait(first, "other")
	s.Create(s.Spec("other", Serve, 0))
	between := <-other
	if between.All || slices.Contains(between.Clusters, "app") {
		s.t.Errorf("only other has changed: %+v", between)
	}
	app := wait(between, "app")
	s.Create(s.Spec("app", Serve, 0))
	if now := <-app; now.All {
		s.t.Errorf("app has changed: %+v", now)
	}
	if both, err := w.WaitChanges(ctx, s.Region, first.Revision); err != nil || both.All || !slices.Contains(both.Clusters, "app") || !slices.Contains(both.Clusters, "other") {
		s.t.Errorf("since the first revision: %+v, %v", both, err)
	}
	unknown, err := w.WaitChanges(ctx, s.Region, 1<<63)
	s.want("a revision that was never given out", err, "")
	if unknown.Revision == 1<<63 {
		s.t.Errorf("the region did not give out %d", unknown.Revision)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	now, err := w.WaitChanges(ctx, s.Region, 0)
	s.want("now", err, "")
	if _, err := w.WaitChanges(ended, s.Region, now.Revision); err == nil || !errors.Is(err, context.Canceled) {
		s.t.Errorf("a canceled wait: %v", err)
	}
}

// operator has every ability for maintenance of a group by hand.
type operator interface {
	driver.Standby
	driver.Protection
	driver.HealthSetter
	driver.Suspender
}

func testOperator(s *Suite) {
	op, ok := s.Cloud.(operator)
	if !ok {
		s.t.Log("this driver has no operations for maintenance by hand")
		return
	}
	ctx := s.t.Context()
	g := s.Create(s.Spec("app", Serve, 2))
	g = s.WaitServing(g.Name, 2)
	standby, kept := g.Instances[0].ID, g.Instances[1].ID
	s.want("standby", op.SetStandby(ctx, s.Region, standby, true, s.Key()), "")
	g = s.Wait(g.Name, "one in standby", func(g driver.ServerGroup) bool { return g.Serving() == 1 })
	if g.Capacity.Desired != 1 || len(g.Instances) != 2 {
		s.t.Fatalf("in standby: %+v", g)
	}
	s.want("traffic", s.Cloud.SetWeights(ctx, s.Region, "app", map[string]float64{g.Name: 1}, driver.Guard{}, s.Key()), "")
	err := op.SetStandby(ctx, s.Region, kept, true, s.Key())
	if s.want("the last one in standby", err, problem.Precondition); !strings.Contains(err.Error(), "last serving") {
		s.t.Errorf("the last one in standby: %v", err)
	}
	s.want("back", op.SetStandby(ctx, s.Region, standby, false, s.Key()), "")
	if g = s.WaitServing(g.Name, 2); g.Capacity.Desired != 2 {
		s.t.Fatalf("back from standby: %+v", g)
	}
	s.want("healthy", op.SetHealth(ctx, s.Region, standby, true, s.Key()), "") // unchanged
	s.want("unhealthy", op.SetHealth(ctx, s.Region, standby, false, s.Key()), "")
	g = s.Wait(g.Name, "the instance that was set to unhealthy is replaced", func(g driver.ServerGroup) bool {
		return g.Serving() == 2 && !slices.ContainsFunc(g.Instances, func(i driver.Instance) bool { return i.ID == standby })
	})
	s.want("the health of none", op.SetHealth(ctx, s.Region, "i-0", false, s.Key()), problem.NotFound)
	s.want("protect", op.SetProtection(ctx, s.Region, kept, true, s.Key()), "")
	s.want("shrink", s.Cloud.Resize(ctx, s.Region, g.Name, pipeline.Capacity{Desired: 1, Max: 4}, driver.Guard{}, s.Key()), "")
	if g = s.WaitServing(g.Name, 1); g.Instances[0].ID != kept || !g.Instances[0].Protected {
		s.t.Fatalf("the protected one is gone: %+v", g.Instances)
	}
	s.want("suspend", op.Suspend(ctx, s.Region, g.Name, []string{"Launch"}, s.Key()), "")
	s.want("kill", s.Cloud.Terminate(ctx, s.Region, kept, driver.TerminateOptions{Kill: true}, s.Key()), "")
	if g = s.WaitServing(g.Name, 0); !slices.Equal(g.Suspended, []string{"Launch"}) {
		s.t.Fatalf("suspended %v", g.Suspended)
	}
	s.want("resume", op.Resume(ctx, s.Region, g.Name, nil, s.Key()), "")
	s.WaitServing(g.Name, 1)
	s.want("an unknown process", op.Suspend(ctx, s.Region, g.Name, []string{"Lunch"}, s.Key()), problem.Invalid)
}

func testAmend(s *Suite) {
	a, ok := s.Cloud.(driver.Amender)
	if !ok {
		s.t.Log("this driver cannot amend server groups; callers make new versions")
		return
	}
	ctx := s.t.Context()
	spec := s.Spec("app", Serve, 1)
	g := s.Create(spec)
	g = s.WaitServing(g.Name, 1)
	first, key := g.Instances[0], s.Key()
	zone := first.Zone
	spec.Version, spec.Zones = "2.0", []string{zone}
	s.want("amend", a.Amend(ctx, s.Region, g.Name, spec, key), "")
	rotated := spec
	rotated.Env = driver.Values(map[string]string{ModeVariable: string(ExitAtOnce)})
	s.want("the same again", a.Amend(ctx, s.Region, g.Name, rotated, key), "")
	s.want("grow", s.Cloud.Resize(ctx, s.Region, g.Name, pipeline.Capacity{Desired: 3, Max: 4}, driver.Guard{}, s.Key()), "")
	g = s.WaitServing(g.Name, 3)
	for _, i := range g.Instances {
		want := "2.0"
		if i.ID == first.ID {
			want = "1.0"
		}
		if i.Version != want || i.Zone != zone {
			s.t.Errorf("%s runs %s in %s; want %s in %s", i.ID, i.Version, i.Zone, want, zone)
		}
	}
	if g.Spec.Version != "2.0" || g.Spec.Env != nil {
		s.t.Errorf("the group is %+v", g.Spec)
	}
	other := spec
	other.Cluster, other.Application = "other", ""
	s.want("another cluster", a.Amend(ctx, s.Region, g.Name, other, s.Key()), problem.Invalid)
	s.want("another change under the key", a.Amend(ctx, s.Region, g.Name, s.Spec("app", Serve, 2), key), problem.Conflict)
	s.want("no group", a.Amend(ctx, s.Region, "app-v999", spec, s.Key()), problem.NotFound)
	s.want("no key", a.Amend(ctx, s.Region, g.Name, spec, ""), problem.Invalid)

	named := s.Spec("one", Serve, 1)
	named.Capacity, named.Instance = pipeline.Capacity{Desired: 1, Max: 1}, "i-0123456789abcdef0"
	g = s.Create(named)
	g = s.WaitServing(g.Name, 1)
	if g.Instances[0].ID != named.Instance {
		s.t.Errorf("the instance is %s", g.Instances[0].ID)
	}
	s.want("stop", s.Cloud.Resize(ctx, s.Region, g.Name, pipeline.Capacity{Max: 1}, driver.Guard{}, s.Key()), "")
	s.WaitServing(g.Name, 0)
	s.want("start", s.Cloud.Resize(ctx, s.Region, g.Name, pipeline.Capacity{Desired: 1, Max: 1}, driver.Guard{}, s.Key()), "")
	if g = s.WaitServing(g.Name, 1); g.Instances[0].ID != named.Instance {
		s.t.Errorf("started again it is %s", g.Instances[0].ID)
	}
}

func testBalance(s *Suite) {
	b, ok := s.Cloud.(driver.LoadBalancing)
	if !ok {
		s.t.Log("this driver has no load balancers with rules")
		return
	}
	ctx := s.t.Context()
	g := s.Create(s.Spec("app", Serve, 1))
	s.WaitServing(g.Name, 1)
	lb := driver.LoadBalancer{Name: "front", Hosts: []string{"front.elb"}, Pools: []driver.Pool{{Name: "all", Clusters: []string{"app"}}},
		Rules: []driver.BalancerRule{{Conditions: []driver.BalancerCondition{{On: driver.ConditionPath, Values: []string{"/fixed*"}}}, Answer: &driver.FixedAnswer{Status: 200, Body: "fixed"}},
			{Forward: []driver.PoolShare{{Pool: "all", Weight: 1}}}}}
	key := s.Key()
	s.want("set", b.SetLoadBalancer(ctx, s.Region, lb, key), "")
	s.want("the same again", b.SetLoadBalancer(ctx, s.Region, lb, key), "")
	if s.Reach != nil {
		for path, want := range map[string]string{"/": "1.0 ", "/fixed/x": "fixed"} {
			if body, err := s.Reach(ctx, "front.elb", path); err != nil || !strings.HasPrefix(body, want) {
				s.t.Errorf("%s: %q, %v; want %q", path, body, err, want)
			}
		}
	}
	other := lb
	other.Hosts = []string{"other.elb"}
	s.want("another under the key", b.SetLoadBalancer(ctx, s.Region, other, key), problem.Conflict)
	other.Rules = []driver.BalancerRule{{Forward: []driver.PoolShare{{Pool: "none", Weight: 1}}}}
	s.want("a pool that is not there", b.SetLoadBalancer(ctx, s.Region, other, s.Key()), problem.Invalid)
	s.want("no key", b.SetLoadBalancer(ctx, s.Region, lb, ""), problem.Invalid)
	s.want("remove", b.RemoveLoadBalancer(ctx, s.Region, "front", s.Key()), "")
	s.want("remove what is gone", b.RemoveLoadBalancer(ctx, s.Region, "front", s.Key()), "")
	if s.Reach != nil {
		if body, err := s.Reach(ctx, "front.elb", "/"); err == nil {
			s.t.Errorf("removed it answers %q", body)
		}
	}
}

func testHooks(s *Suite) {
	h, ok := s.Cloud.(driver.HookAnswerer)
	if !ok {
		s.t.Log("this driver has no hooks that wait for an answer")
		return
	}
	ctx := s.t.Context()
	spec := s.Spec("app", Serve, 1)
	spec.Hooks = &pipeline.LifecycleHooks{Launch: &pipeline.LifecycleHook{Wait: true, Timeout: pipeline.Duration(time.Hour)}}
	g := s.Create(spec)
	g = s.Wait(g.Name, "waiting", func(g driver.ServerGroup) bool {
		return len(g.Instances) == 1 && g.Instances[0].Lifecycle == driver.PendingWait
	})
	id, key := g.Instances[0].ID, s.Key()
	if hook := g.Instances[0].Hook; hook == nil || hook.Name != "launch" || !hook.Wait || !hook.Until.After(hook.Since) {
		s.t.Errorf("it shows its hook as %+v", hook)
	}
	s.want("heartbeat", h.AnswerHook(ctx, s.Region, id, driver.HookHeartbeat, s.Key()), "")
	s.want("no answer", h.AnswerHook(ctx, s.Region, id, "maybe", s.Key()), problem.Invalid)
	s.want("to none", h.AnswerHook(ctx, s.Region, "i-0", driver.HookContinue, s.Key()), problem.NotFound)
	s.want("continue", h.AnswerHook(ctx, s.Region, id, driver.HookContinue, key), "")
	s.WaitServing(g.Name, 1)
	s.want("the same again", h.AnswerHook(ctx, s.Region, id, driver.HookContinue, key), "")
	s.want("twice", h.AnswerHook(ctx, s.Region, id, driver.HookContinue, s.Key()), problem.Precondition)
}

func testServing(s *Suite) {
	if s.Reach == nil {
		s.t.Log("this driver forwards no requests")
		return
	}
	ctx := s.t.Context()
	spec := s.Spec("app", Serve, 1)
	old := s.Create(spec)
	s.WaitServing(old.Name, 1)
	if body, err := s.Reach(ctx, "app", "/"); err != nil || !strings.HasPrefix(body, "1.0 ") {
		s.t.Fatalf("reached %q, %v", body, err)
	}
	spec.Version, spec.Weight = "2.0", 0
	fresh := s.Create(spec)
	s.WaitServing(fresh.Name, 1)
	s.want("shift", s.Cloud.SetWeights(ctx, s.Region, "app", map[string]float64{old.Name: 0, fresh.Name: 1}, driver.Guard{MinServing: 1}, s.Key()), "")
	if body, err := s.Reach(ctx, "app", "/"); err != nil || !strings.HasPrefix(body, "2.0 ") {
		s.t.Fatalf("reached %q, %v", body, err)
	}
}
