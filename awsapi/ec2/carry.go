package ec2

import (
	"context"
	"strings"
	"time"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
)

// endedKept is how long an instance is described after it has ended, as AWS does.
const endedKept = time.Hour

// Run carries out what is recorded and not done, every so often until ctx ends.
func (s *Service) Run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := s.Carry(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("carrying on with EC2 instances", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Carry carries out once what is recorded and not done, and forgets what ended long ago.
func (s *Service) Carry(ctx context.Context) error {
	var failed error
	groups := map[string][]cloud.ServerGroup{}
	for e, err := range s.machines.All(ctx, "") {
		if err != nil {
			return err
		}
		region, _, _ := strings.Cut(e.Key, "/")
		m := e.Doc
		switch {
		case !m.Done:
			_, err = s.carry(ctx, region, m)
		case m.Want == wantTerminate && m.Ended.IsZero():
			if groups[region] == nil {
				if groups[region], err = s.Groups.List(ctx, region, ""); err != nil {
					break
				}
			}
			if g := find(groups[region], m.ID); g != nil {
				if !g.Destroying { // it was being made when it was terminated
					err = s.Groups.Destroy(ctx, region, g.Name, m.key()+"/destroy/"+g.Name)
				}
			} else {
				_, err = s.machines.Update(ctx, e.Key, func(m *machine) error { m.Ended = s.Now().UTC(); return nil })
			}
		case !m.Ended.IsZero() && s.Now().Sub(m.Ended) > endedKept:
			if err = s.machines.Delete(ctx, e.Key, nil); err == nil {
				err = s.tags.Delete(ctx, e.Key, nil)
			}
			if problem.CodeOf(err) == problem.NotFound {
				err = nil
			}
		}
		if err != nil {
			failed = err
		}
	}
	for e, err := range s.tokens.All(ctx, "") {
		if err != nil {
			return err
		}
		if s.Now().Sub(e.Doc.At) > 24*time.Hour {
			if err := s.tokens.Delete(ctx, e.Key, nil); err != nil && problem.CodeOf(err) != problem.NotFound {
				return err
			}
		}
	}
	return failed
}

// find is the server group of an instance that is run by itself, nil when there is none.
func find(groups []cloud.ServerGroup, id string) *cloud.ServerGroup {
	for n := range groups {
		if groups[n].Spec.Cluster == ClusterOf(id) {
			return &groups[n]
		}
	}
	return nil
}

// carry asks the region for what is wanted of a machine, by its key, and records
// that it was asked. It may be called again for the same.
func (s *Service) carry(ctx context.Context, region string, m machine) (machine, error) {
	key := region + "/" + m.ID
	group, err := m.Group, error(nil)
	if group == "" && m.Want == wantTerminate {
		group, err = s.made(ctx, region, m.ID)
	}
	if group == "" && m.Want != wantTerminate {
		group, err = s.make(ctx, region, m)
		if err != nil && problem.CodeOf(err) != problem.Unavailable {
			_, _ = s.machines.Update(ctx, key, func(m *machine) error { // the next pass tries again
				m.Want, m.Done, m.Ended, m.Reason, m.Why = wantTerminate, true, s.Now().UTC(), "Server.InternalError", err.Error()
				return nil
			})
			return m, err
		}
	}
	if err != nil {
		return m, err
	}
	switch {
	case group == "":
	case m.Want == wantTerminate:
		err = s.Groups.Destroy(ctx, region, group, m.key()+"/destroy/"+group)
	case m.Want == wantStop:
		err = s.Groups.Resize(ctx, region, group, pipeline.Capacity{Max: 1}, m.key()+"/stop")
	case m.Step > 0:
		err = s.Groups.Resize(ctx, region, group, pipeline.Capacity{Desired: 1, Max: 1}, m.key()+"/start")
	}
	if err != nil && problem.CodeOf(err) != problem.NotFound {
		return m, err
	}
	return s.machines.Update(ctx, key, func(now *machine) error {
		now.Group = group
		now.Done = now.Done || now.Step == m.Step
		return nil
	})
}

// made is the server group of an instance, "" when there is none.
func (s *Service) made(ctx context.Context, region, id string) (string, error) {
	groups, err := s.Groups.List(ctx, region, ClusterOf(id))
	if err != nil || len(groups) == 0 {
		return "", err
	}
	return groups[0].Name, nil
}

// make makes the server group of an instance.
func (s *Service) make(ctx context.Context, region string, m machine) (string, error) {
	spec, err := s.Spec(ctx, region, m.Data)
	if err != nil {
		return "", err
	}
	spec.Cluster, spec.Version, spec.Instance = ClusterOf(m.ID), m.Data.Text("ImageId"), m.ID
	spec.Zones, spec.Capacity = []string{m.Zone}, pipeline.Capacity{Desired: 1, Max: 1}
	g, err := s.Groups.Create(ctx, region, spec, "aws.ec2/"+m.ID+"/create")
	return g.Name, err
}
