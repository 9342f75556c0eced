package cloudtest

import (
	"math"
	"slices"
	"strings"

	"showrunner/cloud/driver"
	"showrunner/problem"
)

func testWeights(s *Suite) {
	ctx := s.t.Context()
	old := s.Create(s.Spec("app", Serve, 2))
	spec := s.Spec("app", Serve, 2)
	spec.Weight = 0
	fresh := s.Create(spec)
	s.WaitServing(old.Name, 2)
	if g := s.WaitServing(fresh.Name, 2); g.Enabled() {
		s.t.Fatalf("made with weight 0 and enabled")
	}
	before := 100.0
	if s.shares() {
		before = 99
		s.testShares(old.Name, fresh.Name)
	} else {
		err := s.Cloud.SetWeights(ctx, s.Region, "app", map[string]float64{fresh.Name: 1, old.Name: 99}, driver.Guard{}, s.Key())
		s.want("two in traffic where one has all", err, problem.Precondition)
	}
	// One change is applied as a whole or not at all.
	err := s.Cloud.SetWeights(ctx, s.Region, "app", map[string]float64{old.Name: 0, "app-v099": 100}, driver.Guard{}, s.Key())
	s.want("with a group that does not exist", err, problem.NotFound)
	err = s.Cloud.SetWeights(ctx, s.Region, "app", map[string]float64{old.Name: 0, fresh.Name: math.Inf(1)}, driver.Guard{}, s.Key())
	if err == nil {
		s.t.Fatal("an infinite weight was accepted")
	}
	if a, _ := s.Group(old.Name); a.Weight != before {
		s.t.Fatalf("a refused change left weight %v", a.Weight)
	}
	seen := func(name string) driver.ServerGroup { g, _ := s.Group(name); return g }
	if a, b := seen(old.Name), seen(fresh.Name); !a.TrafficUntil.IsZero() || s.shares() && !b.TrafficUntil.IsZero() {
		s.t.Fatalf("both have traffic, until %v and %v", a.TrafficUntil, b.TrafficUntil)
	}
	shift := func(from, to string) {
		s.want("shift", s.Cloud.SetWeights(ctx, s.Region, "app", map[string]float64{from: 0, to: 100}, driver.Guard{MinServing: 2, LastOne: true}, s.Key()), "")
		if f, t := seen(from), seen(to); f.TrafficUntil.IsZero() || !t.TrafficUntil.IsZero() {
			s.t.Fatalf("traffic went from %s to %s, it had it until %v and %v", from, to, f.TrafficUntil, t.TrafficUntil)
		}
	}
	shift(old.Name, fresh.Name)
	was := seen(old.Name).TrafficUntil
	s.want("again", s.Cloud.SetWeights(ctx, s.Region, "app", map[string]float64{old.Name: 0}, driver.Guard{}, s.Key()), "")
	if again := seen(old.Name).TrafficUntil; !again.Equal(was) {
		s.t.Fatalf("a group without traffic changed its TrafficUntil to %v from %v", again, was)
	}
	shift(fresh.Name, old.Name)
}

// shares says whether two versions can be in traffic at once.
func (s *Suite) shares() bool { return !s.facts().AllOrNothing && s.facts().MaxInTraffic != 1 }

// facts are the facts that the driver states.
func (s *Suite) facts() driver.Facts {
	s.t.Helper()
	f, err := s.Cloud.Facts(s.t.Context(), s.Region)
	s.want("facts", err, "")
	return f
}

// testShares: weights are read back as they were set, with the stated resolution.
func (s *Suite) testShares(old, fresh string) {
	ctx, one := s.t.Context(), 5.5
	if r := s.facts().Resolution; r > 0 {
		one = 2 * r
		err := s.Cloud.SetWeights(ctx, s.Region, "app", map[string]float64{fresh: 2.5 * r}, driver.Guard{}, s.Key())
		s.want("a weight between two steps of the resolution", err, problem.Invalid)
	}
	s.want("canary", s.Cloud.SetWeights(ctx, s.Region, "app", map[string]float64{fresh: 1, old: 99}, driver.Guard{MinServing: 2}, s.Key()), "")
	s.want("one alone", s.Cloud.SetWeights(ctx, s.Region, "app", map[string]float64{fresh: one}, driver.Guard{MinServing: 2}, s.Key()), "")
	a, _ := s.Group(old)
	b, _ := s.Group(fresh)
	if !s.facts().SharesOnly && (a.Weight != 99 || b.Weight != one) {
		s.t.Fatalf("weights %v and %v, want 99 and %v", a.Weight, b.Weight, one)
	}
	if most := s.facts().MaxInTraffic; most > 0 {
		weights := map[string]float64{}
		for range most + 1 {
			weights[s.Create(s.without("app", Serve, 0)).Name] = 1
		}
		s.want("more versions in traffic than the cloud allows", s.Cloud.SetWeights(ctx, s.Region, "app", weights, driver.Guard{}, s.Key()), problem.Precondition)
	}
}

// without is Spec with weight 0.
func (s *Suite) without(cluster string, mode Mode, n int) driver.ServerGroupSpec {
	spec := s.Spec(cluster, mode, n)
	spec.Weight = 0
	return spec
}

// testFacts: an unstated feature is refused by name before anything is made, and
// the identity of a version is returned as it was given.
func testFacts(s *Suite) {
	ctx, f := s.t.Context(), s.facts()
	_, err := s.Cloud.Facts(ctx, "nowhere")
	s.want("facts of another region", err, problem.NotFound)
	image := s.Spec("app", Serve, 1)
	image.Workload = driver.Workload{Image: &driver.Image{Reference: "registry/app@sha256:" + strings.Repeat("0", 64)}}
	function := driver.ServerGroupSpec{Cluster: "app", Workload: driver.Workload{Function: &driver.Function{Artifact: "sha256:1", Handler: "h", Runtime: "r"}}}
	for kind, spec := range map[driver.WorkloadKind]driver.ServerGroupSpec{driver.ImageWorkload: image, driver.FunctionWorkload: function} {
		if slices.Contains(f.Workloads, kind) {
			continue
		}
		_, err := s.Cloud.CreateServerGroup(ctx, s.Region, spec, s.Key())
		if s.want("an unsupported workload", err, problem.Precondition); !strings.Contains(err.Error(), string(kind)) {
			s.t.Errorf("%s is refused without its name: %v", kind, err)
		}
	}
	reference := s.Spec("app", Serve, 1)
	reference.Env["TOKEN"] = driver.EnvValue{Secret: "vault/token#3"}
	if _, err := s.Cloud.CreateServerGroup(ctx, s.Region, reference, s.Key()); !f.References {
		s.want("a reference where none are resolved", err, problem.Precondition)
	}
	spec := s.Spec("odd-name", Serve, 0)
	spec.Application, spec.Fingerprint = "storefront", "0123"
	made := s.Create(spec)
	if g, _ := s.Group(made.Name); g.Spec.Application != "storefront" || g.Spec.Fingerprint != "0123" {
		s.t.Errorf("application %q and fingerprint %q came back", g.Spec.Application, g.Spec.Fingerprint)
	}
	if list, _ := s.Cloud.ServerGroups(ctx, s.Region, "app"); !f.References && len(list) > 0 {
		s.t.Errorf("%d groups were made by refused requests", len(list))
	}
}

// testCounts: every group of a cluster has an entry, and the entry names its
// epoch.
func testCounts(s *Suite) {
	ctx, f := s.t.Context(), s.facts()
	a, b := s.Create(s.Spec("app", Serve, 1)), s.Create(s.without("app", Serve, 1))
	s.WaitServing(a.Name, 1)
	s.WaitServing(b.Name, 1)
	list, err := s.Cloud.Counts(ctx, s.Region, "app")
	if f.Counts == nil {
		s.want("counts where nothing is counted", err, problem.Precondition)
		return
	}
	s.want("counts", err, "")
	for _, name := range []string{a.Name, b.Name} {
		at := slices.IndexFunc(list, func(c driver.Counts) bool { return c.ServerGroup == name && c.Instance == "" })
		if at < 0 {
			s.t.Fatalf("%s, which has had no requests, has no entry in %+v", name, list)
		}
		c := list[at]
		if c.Epoch == "" || c.Since.IsZero() || c.Until.IsZero() {
			s.t.Errorf("the counts of %s name no epoch or no time: %+v", name, c)
		}
		if n := c.Statuses; c.Requests != n.Success+n.Redirect+n.Client+n.Server+n.None {
			s.t.Errorf("%d requests, and by status %+v", c.Requests, n)
		}
		if f.Counts.Latencies != (len(c.Buckets) > 0) {
			s.t.Errorf("latencies are stated: %v, and there are %d buckets", f.Counts.Latencies, len(c.Buckets))
		}
	}
}
