package cloudtest

import (
	"showrunner/cloud/driver"
	"showrunner/pipeline"
	"showrunner/problem"
)

// testCopies makes a copy of a group, as a canary's baseline is one: the same workload and
// environment, with a number, a capacity and a role of its own.
func testCopies(s *Suite) {
	ctx := s.t.Context()
	spec := s.Spec("app", Serve, 1)
	spec.Version = "1.7"
	request := driver.ServerGroupSpec{Application: "app", Cluster: "app", CopyOf: "app-v000", Role: driver.RoleBaseline, Execution: "e1", Fingerprint: "of the copy",
		Capacity: pipeline.Capacity{Min: 2, Desired: 2, Max: 4}}
	s.Create(spec)
	if !s.facts().Copies {
		_, err := s.Cloud.CreateServerGroup(ctx, s.Region, request, s.Key())
		s.want("a copy", err, problem.Precondition)
		return
	}
	missing, foreign, whole, unknown := request, request, request, request
	missing.CopyOf, foreign.Cluster, whole.Workload, unknown.Role = "app-v009", "other", spec.Workload, "chorus"
	_, err := s.Cloud.CreateServerGroup(ctx, s.Region, missing, s.Key())
	s.want("a copy of a group that is not there", err, problem.NotFound)
	_, err = s.Cloud.CreateServerGroup(ctx, s.Region, foreign, s.Key())
	s.want("a copy in another cluster", err, problem.Invalid)
	_, err = s.Cloud.CreateServerGroup(ctx, s.Region, whole, s.Key())
	s.want("a copy with a workload of its own", err, problem.Invalid)
	_, err = s.Cloud.CreateServerGroup(ctx, s.Region, unknown, s.Key())
	s.want("an unknown role", err, problem.Invalid)

	key := s.Key()
	made, err := s.Cloud.CreateServerGroup(ctx, s.Region, request, key)
	s.want("a copy", err, "")
	g := s.WaitServing(made.Name, 2) // its environment says how it serves
	if g.Name != "app-v001" || !g.IsBaseline() || g.Spec.CopyOf != "app-v000" || g.Spec.Version != "1.7" || g.Spec.Execution != "e1" || g.Spec.Fingerprint != "of the copy" ||
		g.Enabled() || g.Capacity != request.Capacity || g.Spec.Workload.Kind() != spec.Workload.Kind() || g.Spec.Health.Path != spec.Health.Path {
		s.t.Errorf("the copy is %+v", g)
	}
	for name, value := range g.Spec.Env {
		if value.Value != "" {
			s.t.Errorf("the value of %s is shown", name)
		}
	}
	s.want("destroy", s.Cloud.Destroy(ctx, s.Region, "app-v000", driver.Guard{}, s.Key()), "")
	s.WaitGone("app-v000")
	if again, err := s.Cloud.CreateServerGroup(ctx, s.Region, request, key); err != nil || again.Name != made.Name {
		s.t.Errorf("repeated after the copied group was destroyed: %s, %v", again.Name, err)
	}
	if g, _ := s.Group(made.Name); g.Serving() != 2 {
		s.t.Errorf("the copy has %d serving instances once the copied group is gone", g.Serving())
	}
}
