package autoscaling

import (
	"context"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/carry"
	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/problem"
)

// carry asks the region for what a group's record says is still to be asked. It may
// be called again for the same, by several at once.
func (s *Service) carry(ctx context.Context, region string, g group) (group, error) {
	q := carry.Queue[group, action]{
		First: func(g group) (action, bool) {
			if len(g.Pending) == 0 {
				return action{}, false
			}
			return g.Pending[0], true
		},
		Act: func(ctx context.Context, g *group, a action) (string, error) { return s.act(ctx, region, g, a) },
		Strike: func(ctx context.Context, g group, a action, made string, _ error) (group, error) {
			return s.struck(ctx, region, g, a, made)
		},
		Makes: func(a action) bool { return a.Do == "create" },
	}
	return q.Drain(ctx, g)
}

// struck is a group without an action that was asked for.
func (s *Service) struck(ctx context.Context, region string, g group, a action, made string) (group, error) {
	return s.groups.Update(ctx, region+"/"+g.Name, func(now *group) error {
		if !now.Created.Equal(g.Created) {
			return problem.New(problem.NotFound, "autoscaling", "the group %s is another one", g.Name)
		}
		if made != "" {
			now.ServerGroup = made
		}
		now.Pending = slices.DeleteFunc(now.Pending, func(p action) bool { return p.Number == a.Number })
		return nil
	})
}

// act asks the region for one action. made is the server group of a creation.
func (s *Service) act(ctx context.Context, region string, g *group, a action) (made string, err error) {
	key := g.key(a)
	switch a.Do {
	case "create":
		spec, err := s.spec(ctx, region, g)
		if err != nil {
			return "", err
		}
		sg, err := s.Groups.Create(ctx, region, spec, key)
		if problem.CodeOf(err) == problem.Conflict { // as it was asked for before a crash and changed since
			have, see := s.see(ctx, region, *g)
			switch {
			case see != nil:
				return "", see
			case have != nil:
				return have.Name, s.Groups.Amend(ctx, region, have.Name, spec, key+"/"+carry.NewUUID())
			}
			sg, err = s.Groups.Create(ctx, region, spec, key+"/"+carry.NewUUID())
		}
		return sg.Name, err
	case "amend":
		spec, err := s.spec(ctx, region, g)
		if err != nil {
			return "", err
		}
		err = s.Groups.Amend(ctx, region, g.ServerGroup, spec, key)
		if problem.CodeOf(err) == problem.Conflict { // it was asked for before a crash, and the group is another by now
			err = s.Groups.Amend(ctx, region, g.ServerGroup, spec, key+"/"+carry.NewUUID())
		}
		return "", err
	case "resize":
		return "", s.Groups.Resize(ctx, region, g.ServerGroup, *a.Capacity, key)
	case "suspend", "resume":
		return "", s.Groups.SetProcesses(ctx, region, g.ServerGroup, a.Processes, a.Do == "suspend", key)
	case "targets":
		return "", s.targets.Changed(ctx, region, a.Targets)
	}
	name := g.ServerGroup
	if name == "" { // its creation may have been asked for
		sg, err := s.see(ctx, region, *g)
		if err != nil || sg == nil {
			return "", err
		}
		name = sg.Name
	}
	return "", s.Groups.Destroy(ctx, region, name, key)
}

// spec is the server group that a group is.
func (s *Service) spec(ctx context.Context, region string, g *group) (cloud.ServerGroupSpec, error) {
	spec, err := s.EC2.Spec(ctx, region, g.Launches[g.Version].Data)
	return g.spec(spec), err
}

// Run carries out what is recorded and not done, follows launch templates and
// schedules, and writes activities down, until ctx ends: when a region changes, and
// every so often.
func (s *Service) Run(ctx context.Context, every time.Duration) {
	carry.Loop{Watcher: s.Groups, Regions: s.Regions, Every: every, Once: s.Carry, What: "Auto Scaling groups", Log: s.Log}.Run(ctx)
}

// Carry does once what Run does.
func (s *Service) Carry(ctx context.Context, region string) error {
	groups, err := s.list(ctx, region)
	if err != nil || len(groups) == 0 {
		return err
	}
	all, err := s.Groups.List(ctx, region, "")
	if err != nil {
		return err
	}
	var failed error
	for _, g := range groups {
		if err := s.tend(ctx, region, g, observed(g, all)); err != nil {
			failed = err
		}
	}
	return failed
}

// tend does for one group what is due.
func (s *Service) tend(ctx context.Context, region string, g group, sg *cloud.ServerGroup) error {
	g, err := s.watch(ctx, region, g, sg)
	if err != nil {
		return err
	}
	if g.Deleting && sg == nil && len(g.Pending) == 0 {
		err := s.groups.Delete(ctx, region+"/"+g.Name, func(now group) error {
			if !now.Created.Equal(g.Created) {
				return problem.New(problem.NotFound, "autoscaling", "the group %s is another one", g.Name)
			}
			return nil
		})
		if problem.CodeOf(err) == problem.NotFound {
			err = nil
		}
		return err
	}
	if len(g.Pending) > 0 {
		_, err := s.carry(ctx, region, g)
		return err
	}
	if g.Deleting || sg == nil {
		return nil
	}
	if err := s.followTemplate(ctx, region, g); err != nil {
		return err
	}
	if err := s.followSchedule(ctx, region, g, sg); err != nil {
		return err
	}
	return s.followRefresh(ctx, region, g, sg)
}

// followTemplate has a group launch what $Latest or $Default of its template means by now.
func (s *Service) followTemplate(ctx context.Context, region string, g group) error {
	if version := g.Template.Text("Version"); g.Template == nil || version != "" && !strings.HasPrefix(version, "$") {
		return nil
	}
	version, l, err := s.resolve(ctx, region, g.Template)
	if wire.CodeOf(err) == "ValidationError" || err == nil && version == g.Version {
		return nil // a template that is gone: what runs goes on, and so does what it was
	}
	if err != nil {
		return err
	}
	_, err = s.change(ctx, region, g.Name, func(g *group) error {
		g.launches(version, l)
		g.ask(action{Do: "amend"})
		return nil
	})
	return err
}
