package cloudtest

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"showrunner/cloud/driver"
	"showrunner/pipeline"
	"showrunner/problem"
)

func testCreate(s *Suite) {
	spec := s.Spec("app-prod", Serve, 3)
	spec.Env["CLOUDTEST_SECRET"] = driver.EnvValue{Value: "hush"}
	made := s.Create(spec)
	if made.Name != "app-prod-v000" || made.Region != s.Region || made.Capacity.Desired != 3 || made.Weight != 100 {
		s.t.Fatalf("made %+v", made)
	}
	g := s.WaitServing(made.Name, 3)
	zones, addresses := map[string]int{}, map[string]bool{}
	for _, i := range g.Instances {
		zones[i.Zone]++
		addresses[i.Address] = true
		if i.ServerGroup != g.Name || i.Version != "1.0" || i.Region != s.Region || i.Launched.IsZero() || i.ServingSince.IsZero() || i.Failure != nil {
			s.t.Errorf("instance %+v", i)
		}
	}
	regions, err := s.Cloud.Regions(s.t.Context())
	s.want("regions", err, "")
	at := slices.IndexFunc(regions, func(r driver.Region) bool { return r.Name == s.Region })
	if at < 0 || !regions[at].Healthy {
		s.t.Fatalf("region %s is not among %+v", s.Region, regions)
	}
	if want := min(3, len(regions[at].Zones)); len(zones) != want {
		s.t.Errorf("3 instances are in zones %v, want %d of %v", zones, want, regions[at].Zones)
	}
	if len(addresses) != 3 {
		s.t.Errorf("addresses are shared: %v", addresses)
	}
	for name, value := range g.Spec.Env {
		if value.Value != "" {
			s.t.Errorf("the value of %s is shown", name)
		}
	}
	if g.Failures != 0 || g.LastFailure != nil {
		s.t.Errorf("a healthy group shows a failure: %d %+v", g.Failures, g.LastFailure)
	}
}

func testSequence(s *Suite) {
	ctx := s.t.Context()
	spec := s.without("app", Serve, 0)
	for _, want := range []string{"app-v000", "app-v001"} {
		if g := s.Create(spec); g.Name != want {
			s.t.Fatalf("made %s, want %s", g.Name, want)
		}
	}
	s.want("destroy", s.Cloud.Destroy(ctx, s.Region, "app-v001", driver.Guard{}, s.Key()), "")
	s.WaitGone("app-v001")
	if g := s.Create(spec); g.Name != "app-v002" {
		s.t.Errorf("a destroyed group's number was reused: %s", g.Name)
	}
	spec.Cluster = "app-stack"
	if g := s.Create(spec); g.Name != "app-stack-v000" {
		s.t.Errorf("another cluster starts at %s", g.Name)
	}
}

func testKeys(s *Suite) {
	ctx := s.t.Context()
	spec := s.Spec("app", Serve, 2)
	spec.Env["CLOUDTEST_GREETING"] = driver.EnvValue{Value: "a secret"}
	first, err := s.Cloud.CreateServerGroup(ctx, s.Region, spec, "once")
	s.want("create", err, "")
	rotated := spec
	rotated.Env = maps.Clone(spec.Env)
	rotated.Env["CLOUDTEST_GREETING"] = driver.EnvValue{Value: "a secret that was changed meanwhile"}
	if g, err := s.Cloud.CreateServerGroup(ctx, s.Region, rotated, "once"); err != nil || g.Name != first.Name {
		s.t.Fatalf("repeated with another value of its environment: %s, %v", g.Name, err)
	}
	again, err := s.Cloud.CreateServerGroup(ctx, s.Region, spec, "once")
	s.want("create again", err, "")
	if again.Name != first.Name {
		s.t.Fatalf("one key made %s and %s", first.Name, again.Name)
	}
	other := spec
	other.Version = "2.0"
	_, err = s.Cloud.CreateServerGroup(ctx, s.Region, other, "once")
	s.want("another request under that key", err, problem.Conflict)
	_, err = s.Cloud.CreateServerGroup(ctx, s.Region, spec, "")
	s.want("no key", err, problem.Invalid)
	if list, _ := s.Cloud.ServerGroups(ctx, s.Region, "app"); len(list) != 1 {
		s.t.Fatalf("%d groups", len(list))
	}
	s.WaitServing(first.Name, 2)
	down, up := pipeline.Capacity{Desired: 1, Max: 5}, pipeline.Capacity{Desired: 3, Max: 5}
	s.want("resize", s.Cloud.Resize(ctx, s.Region, first.Name, down, driver.Guard{}, "down"), "")
	s.want("resize", s.Cloud.Resize(ctx, s.Region, first.Name, up, driver.Guard{}, "up"), "")
	s.want("late retry", s.Cloud.Resize(ctx, s.Region, first.Name, down, driver.Guard{}, "down"), "")
	if g, _ := s.Group(first.Name); g.Capacity != up {
		s.t.Fatalf("a late retry acted again: %+v", g.Capacity)
	}
	// A refusal is not remembered: its reason may have passed.
	s.WaitServing(first.Name, 3)
	s.want("guarded", s.Cloud.Resize(ctx, s.Region, first.Name, down, driver.Guard{MinServing: 2}, "guarded"), problem.Precondition)
	s.want("allowed", s.Cloud.Resize(ctx, s.Region, first.Name, down, driver.Guard{MinServing: 1}, "guarded"), "")
}

func testRefusals(s *Suite) {
	ctx := s.t.Context()
	good := s.Spec("app", Serve, 1)
	for what, change := range map[string]func(*driver.ServerGroupSpec){
		"a cluster's name":  func(c *driver.ServerGroupSpec) { c.Cluster = "no/path" },
		"a version's name":  func(c *driver.ServerGroupSpec) { c.Cluster = "app-v001" },
		"capacity":          func(c *driver.ServerGroupSpec) { c.Capacity = pipeline.Capacity{Min: 3, Desired: 1, Max: 2} },
		"a negative weight": func(c *driver.ServerGroupSpec) { c.Weight = -1 },
		"no health check":   func(c *driver.ServerGroupSpec) { c.Health = pipeline.Health{} },
		"negative traffic":  func(c *driver.ServerGroupSpec) { c.Traffic = &pipeline.Traffic{MaxInFlight: -1} },
		"an empty hook":     func(c *driver.ServerGroupSpec) { c.Hooks = &pipeline.LifecycleHooks{Launch: &pipeline.LifecycleHook{}} },
		"maintenance": func(c *driver.ServerGroupSpec) {
			c.Maintenance = &pipeline.Maintenance{MinHealthy: 50, MaxHealthy: 200}
		},
		"no command": func(c *driver.ServerGroupSpec) {
			c.Workload = driver.Workload{Process: &driver.Process{Artifact: s.Artifact}}
		},
		"no workload": func(c *driver.ServerGroupSpec) { c.Workload = driver.Workload{} },
		"two workloads": func(c *driver.ServerGroupSpec) {
			c.Workload.Image = &driver.Image{Reference: "registry/app@sha256:" + strings.Repeat("0", 64)}
		},
		"a variable without a name": func(c *driver.ServerGroupSpec) { c.Env = driver.Values(map[string]string{"": "x"}) },
	} {
		spec := good
		change(&spec)
		_, err := s.Cloud.CreateServerGroup(ctx, s.Region, spec, s.Key())
		s.want(what, err, problem.Invalid)
	}
	_, err := s.Cloud.CreateServerGroup(ctx, "nowhere", good, s.Key())
	s.want("another region", err, problem.NotFound)
	s.want("resize", s.Cloud.Resize(ctx, s.Region, "app-v007", pipeline.Capacity{}, driver.Guard{}, s.Key()), problem.NotFound)
	s.want("terminate", s.Cloud.Terminate(ctx, s.Region, "i-00000000000000000", driver.TerminateOptions{}, s.Key()), problem.NotFound)
	g := s.Create(good)
	s.want("weights of another", s.Cloud.SetWeights(ctx, s.Region, "app", map[string]float64{"app-v009": 1}, driver.Guard{}, s.Key()), problem.NotFound)
	s.want("an impossible weight", s.Cloud.SetWeights(ctx, s.Region, "app", map[string]float64{g.Name: -2}, driver.Guard{}, s.Key()), problem.Invalid)
	s.want("capacity", s.Cloud.Resize(ctx, s.Region, g.Name, pipeline.Capacity{Min: 2, Desired: 1, Max: 1}, driver.Guard{}, s.Key()), problem.Invalid)
	if list, err := s.Cloud.ServerGroups(ctx, s.Region, "unknown"); err != nil || len(list) != 0 {
		s.t.Errorf("an unknown cluster: %v, %v", list, err)
	}
}

func testNeverHealthy(s *Suite) {
	spec := s.Spec("app", ExitAtOnce, 2)
	g := s.Create(spec)
	g = s.Wait(g.Name, "failing", func(g driver.ServerGroup) bool { return g.Failures >= 2 && g.LastFailure != nil })
	if g.Serving() != 0 {
		s.t.Errorf("%d serve", g.Serving())
	}
	f := g.LastFailure
	if f.Code != "EXITED" || f.Cause == "" || f.At.IsZero() || f.ExitCode == nil || *f.ExitCode != 3 ||
		!strings.Contains(strings.Join(f.LastLog, "\n"), "the configuration is missing") {
		s.t.Errorf("evidence %+v", f)
	}
	// The failed group does not block another one.
	other := s.Create(s.Spec("other", Serve, 1))
	s.WaitServing(other.Name, 1)
	s.want("destroy", s.Cloud.Destroy(s.t.Context(), s.Region, g.Name, driver.Guard{LastOne: true}, s.Key()), "")
	s.WaitGone(g.Name)
}

func testResize(s *Suite) {
	ctx := s.t.Context()
	g := s.Create(s.Spec("app", Serve, 1))
	for _, n := range []int{4, 2, 0, 1} {
		to := pipeline.Capacity{Min: 0, Desired: n, Max: 4}
		s.want("resize", s.Cloud.Resize(ctx, s.Region, g.Name, to, driver.Guard{}, s.Key()), "")
		if got := s.WaitServing(g.Name, n); got.Capacity != to {
			s.t.Fatalf("capacity %+v, want %+v", got.Capacity, to)
		}
	}
	s.want("no max means desired", s.Cloud.Resize(ctx, s.Region, g.Name, pipeline.Capacity{Desired: 2}, driver.Guard{}, s.Key()), "")
	if got := s.WaitServing(g.Name, 2); got.Capacity.Max != 2 {
		s.t.Fatalf("capacity %+v", got.Capacity)
	}
}

func testGuard(s *Suite) {
	ctx := s.t.Context()
	old, fresh := s.Create(s.Spec("app", Serve, 2)), s.Create(s.without("app", NeverReady, 2))
	g := s.WaitServing(old.Name, 2)
	one, two := driver.Guard{LastOne: true}, driver.Guard{MinServing: 2}
	weights := map[string]float64{old.Name: 0, fresh.Name: 100}
	s.want("disable all that serves", s.Cloud.SetWeights(ctx, s.Region, "app", weights, one, s.Key()), problem.Precondition)
	s.want("destroy all that serves", s.Cloud.Destroy(ctx, s.Region, old.Name, one, s.Key()), problem.Precondition)
	s.want("shrink to nothing", s.Cloud.Resize(ctx, s.Region, old.Name, pipeline.Capacity{Max: 2}, one, s.Key()), problem.Precondition)
	s.want("shrink below the guard", s.Cloud.Resize(ctx, s.Region, old.Name, pipeline.Capacity{Desired: 1, Max: 2}, two, s.Key()), problem.Precondition)
	err := s.Cloud.Terminate(ctx, s.Region, g.Instances[0].ID, driver.TerminateOptions{Guard: two}, s.Key())
	s.want("terminate below the guard", err, problem.Precondition)
	idle := driver.Guard{Idle: true}
	s.want("clean up what serves", s.Cloud.Destroy(ctx, s.Region, old.Name, idle, s.Key()), problem.Precondition)
	s.want("shrink what serves by one", s.Cloud.Resize(ctx, s.Region, old.Name, pipeline.Capacity{Desired: 1, Max: 2}, idle, s.Key()), problem.Precondition)
	if g := s.WaitServing(old.Name, 2); !g.Enabled() || g.Capacity.Desired != 2 {
		s.t.Fatalf("a refused change acted: %+v", g)
	}
	s.want("growing is never guarded", s.Cloud.Resize(ctx, s.Region, old.Name, pipeline.Capacity{Desired: 3, Max: 3}, driver.Guard{MinServing: 9}, s.Key()), "")
	s.want("what does not serve may go", s.Cloud.Destroy(ctx, s.Region, fresh.Name, driver.Guard{MinServing: 9, Idle: true}, s.Key()), "")
	s.WaitServing(old.Name, 3)
	s.want("enough is left", s.Cloud.Resize(ctx, s.Region, old.Name, pipeline.Capacity{Desired: 2, Max: 3}, two, s.Key()), "")
	s.WaitServing(old.Name, 2)
}

func testDestroy(s *Suite) {
	ctx := s.t.Context()
	g := s.Create(s.Spec("app", Serve, 2))
	s.WaitServing(g.Name, 2)
	s.want("destroy", s.Cloud.Destroy(ctx, s.Region, g.Name, driver.Guard{}, "d"), "")
	s.want("again, same key", s.Cloud.Destroy(ctx, s.Region, g.Name, driver.Guard{}, "d"), "")
	s.want("again, another key", s.Cloud.Destroy(ctx, s.Region, g.Name, driver.Guard{LastOne: true}, s.Key()), "")
	s.WaitGone(g.Name)
	s.want("gone", s.Cloud.Destroy(ctx, s.Region, g.Name, driver.Guard{LastOne: true}, s.Key()), "")
	s.want("resize of a destroyed group", s.Cloud.Resize(ctx, s.Region, g.Name, pipeline.Capacity{}, driver.Guard{}, s.Key()), problem.NotFound)
}

func testTerminate(s *Suite) {
	ctx := s.t.Context()
	g := s.Create(s.Spec("app", Serve, 3))
	g = s.WaitServing(g.Name, 3)
	for _, kill := range []bool{false, true} {
		victim := g.Instances[0].ID
		s.want("terminate", s.Cloud.Terminate(ctx, s.Region, victim, driver.TerminateOptions{Kill: kill}, s.Key()), "")
		g = s.Wait(g.Name, "replaced", func(g driver.ServerGroup) bool {
			return g.Serving() == 3 && len(g.Instances) == 3 && !slices.ContainsFunc(g.Instances, func(i driver.Instance) bool { return i.ID == victim })
		})
		if g.Capacity.Desired != 3 || g.Failures != 0 || g.Crashes != 0 {
			s.t.Fatalf("after terminate: %+v", g)
		}
		s.want("an instance that ended", s.Cloud.Terminate(ctx, s.Region, victim, driver.TerminateOptions{}, s.Key()), "")
	}
	victim := g.Instances[1].ID
	s.want("decrement", s.Cloud.Terminate(ctx, s.Region, victim, driver.TerminateOptions{Decrement: true}, "dec"), "")
	s.want("decrement again", s.Cloud.Terminate(ctx, s.Region, victim, driver.TerminateOptions{Decrement: true}, "dec"), "")
	g = s.WaitServing(g.Name, 2)
	if g.Capacity.Desired != 2 || slices.ContainsFunc(g.Instances, func(i driver.Instance) bool { return i.ID == victim }) {
		s.t.Fatalf("after decrement: %+v", g)
	}
	pinned := pipeline.Capacity{Min: 2, Desired: 2, Max: 3}
	s.want("pin", s.Cloud.Resize(ctx, s.Region, g.Name, pinned, driver.Guard{}, s.Key()), "")
	err := s.Cloud.Terminate(ctx, s.Region, g.Instances[0].ID, driver.TerminateOptions{Decrement: true}, s.Key())
	s.want("decrement below min", err, problem.Precondition)
}

// testOnce: what has ended is not replaced, also when a place is added.
func testOnce(s *Suite) {
	ctx, spec := s.t.Context(), s.Spec("once", Serve, 1)
	spec.Once = true
	g := s.WaitServing(s.Create(spec).Name, 1)
	first := g.Instances[0].ID
	s.want("terminate", s.Cloud.Terminate(ctx, s.Region, first, driver.TerminateOptions{Kill: true}, s.Key()), "")
	s.Wait(g.Name, "ended", func(g driver.ServerGroup) bool { return len(g.Instances) == 0 })
	s.want("add a place", s.Cloud.Resize(ctx, s.Region, g.Name, pipeline.Capacity{Desired: 2, Max: 2}, driver.Guard{}, s.Key()), "")
	if g = s.WaitServing(g.Name, 1); len(g.Instances) != 1 || g.Instances[0].ID == first {
		s.t.Fatalf("after a place was added: %+v", g)
	}
}

func testOrder(s *Suite) {
	ctx := s.t.Context()
	var names []string
	for _, cluster := range []string{"zebra", "app", "zebra", "app-prod"} {
		names = append(names, s.Create(s.without(cluster, Serve, 0)).Name)
	}
	list, err := s.Cloud.ServerGroups(ctx, s.Region, "")
	s.want("list", err, "")
	var got []string
	for _, g := range list {
		got = append(got, g.Name)
	}
	if !slices.Equal(got, names) {
		s.t.Errorf("listed %v, made %v", got, names)
	}
	list, err = s.Cloud.ServerGroups(ctx, s.Region, "app")
	s.want("list", err, "")
	if len(list) != 1 || list[0].Name != names[1] {
		s.t.Errorf("cluster app lists %+v", list)
	}
}

func testConcurrent(s *Suite) {
	ctx := s.t.Context()
	var wg sync.WaitGroup
	names := make([]string, 12)
	for n := range names {
		wg.Go(func() {
			key := []string{"one", "two", "three", "four"}[n%4] // each key three times at once
			g, err := s.Cloud.CreateServerGroup(ctx, s.Region, s.without("app", Serve, 0), key)
			if err != nil {
				s.t.Errorf("create: %v", err)
			}
			names[n] = g.Name
		})
	}
	wg.Wait()
	for n := range names {
		if names[n] != names[n%4] {
			s.t.Errorf("one key made %s and %s", names[n], names[n%4])
		}
	}
	if list, _ := s.Cloud.ServerGroups(ctx, s.Region, "app"); len(list) != 4 {
		s.t.Fatalf("%d groups, want 4", len(list))
	}
	if !s.shares() {
		return
	}
	// Two destroys that each leave one serving instance would together leave
	// none: one of them is refused.
	a, b := s.Create(s.Spec("pair", Serve, 1)), s.Create(s.Spec("pair", Serve, 1))
	s.WaitServing(a.Name, 1)
	s.WaitServing(b.Name, 1)
	refused := make([]error, 2)
	for n, g := range []driver.ServerGroup{a, b} {
		key := s.Key()
		wg.Go(func() { refused[n] = s.Cloud.Destroy(ctx, s.Region, g.Name, driver.Guard{LastOne: true}, key) })
	}
	wg.Wait()
	if (refused[0] == nil) == (refused[1] == nil) {
		s.t.Errorf("of two destroys that together take the last one: %v and %v", refused[0], refused[1])
	}
}
