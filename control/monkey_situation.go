package control

import (
	"context"
	"maps"
	"slices"

	"showrunner/chaos/monkey"
	"showrunner/cloud"
	"showrunner/problem"
)

// OpenAlarms tells which alarms are open.
type OpenAlarms interface {
	// OpenAlarms are the names of the alarms that are open now. Errors: unavailable.
	OpenAlarms(ctx context.Context) ([]string, error)
}

// monkeySettings are an application's settings; an application that was not
// applied, or has no block, has none. Errors: unavailable, invalid.
func (s *Service) monkeySettings(ctx context.Context, application string) (monkey.Settings, error) {
	stored, _, err := s.application(ctx, application)
	switch {
	case problem.CodeOf(err) == problem.NotFound:
		return monkey.Settings{}, nil
	case err != nil:
		return monkey.Settings{}, err
	}
	return monkey.FromFile(stored.Doc.Chaos)
}

// chaosApplications are the applications that opted in, with their settings.
func (s *Service) chaosApplications(ctx context.Context) (map[string]monkey.Settings, error) {
	docs, err := s.Documents(ctx)
	if err != nil {
		return nil, err
	}
	found := map[string]monkey.Settings{}
	for _, d := range docs {
		if d.Chaos == nil || !d.Chaos.Enabled {
			continue
		}
		settings, err := monkey.FromFile(d.Chaos)
		if err != nil {
			// One application that cannot be read does not stop the others.
			s.Log.Error("the chaos settings of an application cannot be used", "application", d.Application, "error", err)
			continue
		}
		found[d.Application] = settings
	}
	return found, nil
}

// monkeyInstances observes the instances of an application in every account, with
// what the checks need of each, and the regions that did not answer.
func (s *Service) monkeyInstances(ctx context.Context, application string) (list []monkey.Instance, unreachable []string, err error) {
	away := map[string]bool{}
	for _, account := range s.Accounts.Names() {
		a, err := s.Accounts.Account(account)
		if err != nil {
			return nil, nil, err
		}
		found, err := observe(ctx, a, "")
		if err != nil {
			return nil, nil, err
		}
		for region := range found.unreachable {
			away[region] = true
		}
		for _, c := range found.clusters {
			if c.Application != application {
				continue
			}
			more, err := s.clusterInstances(ctx, c)
			if err != nil {
				return nil, nil, err
			}
			list = append(list, more...)
		}
	}
	return list, slices.Sorted(maps.Keys(away)), nil
}

// clusterInstances are the instances of one cluster.
func (s *Service) clusterInstances(ctx context.Context, c Cluster) ([]monkey.Instance, error) {
	var list []monkey.Instance
	for _, region := range regionsOf(c.Groups) {
		var groups []cloud.ServerGroup
		for _, g := range c.Groups {
			if g.Region == region && !g.Destroying {
				groups = append(groups, g)
			}
		}
		rollout := ""
		if s.Claims != nil {
			execution, _, err := s.Claims.Holder(ctx, c.Account, c.Name, []string{region})
			if err != nil {
				return nil, problem.Wrap(err, "", "chaos.monkey", "whether a rollout changes cluster %s", c.Name)
			}
			rollout = execution
		}
		enabled, serving := 0, 0
		for _, g := range groups {
			if g.Enabled() {
				enabled++
				serving += g.Serving()
			}
		}
		for _, g := range groups {
			for _, i := range g.Instances {
				list = append(list, monkey.Instance{Cluster: monkey.NewCluster(c.Application, c.Account, region, c.Name), ServerGroup: g.Name, ID: i.ID, Zone: i.Zone,
					Serving: i.Serving(), Enabled: g.Enabled(), Comparison: g.Enabled() && enabled > 1 || g.IsBaseline(), ServingInCluster: serving, Minimum: g.Capacity.Min, Rollout: rollout})
			}
		}
	}
	return list, nil
}

// monkeyClusters are the clusters of an application that groups are made of: those
// that have traffic.
func (s *Service) monkeyClusters(ctx context.Context, application string) ([]monkey.Cluster, []string, error) {
	instances, unreachable, err := s.monkeyInstances(ctx, application)
	var clusters []monkey.Cluster
	for _, i := range instances {
		if i.Enabled && !slices.Contains(clusters, i.Cluster) {
			clusters = append(clusters, i.Cluster)
		}
	}
	return clusters, unreachable, err
}

// situation finds out everything that the checks of a kill ask.
func (s *Service) situation(ctx context.Context, k ChaosKill) monkey.Situation {
	sit := monkey.Situation{Now: s.Now(), Group: k.GroupOf, Day: k.Day, OnDemand: k.OnDemand, Forced: k.Forced, Accounts: s.Accounts.Names()}
	lever, _, err := s.lever(ctx)
	sit.Stopped = monkey.Known[string]{Value: lever.text(), Err: err}
	if s.Alarms != nil {
		sit.Alarms.Value, sit.Alarms.Err = s.Alarms.OpenAlarms(ctx)
	}
	sit.Freeze.Value, sit.Freeze.Err = s.frozen(ctx, k.Application)
	sit.Settings.Value, sit.Settings.Err = s.monkeySettings(ctx, k.Application)
	sit.Budget.Value, sit.Budget.Err = s.overBudget(ctx, map[string]int{k.Application: 1}, "")
	sit.Instances.Value, sit.Unreachable, sit.Instances.Err = s.monkeyInstances(ctx, k.Application)
	return sit
}

// frozen is the freeze that holds an application, "" for none.
func (s *Service) frozen(ctx context.Context, application string) (string, error) {
	list, err := listFreezes(ctx, s.Records)
	if err != nil {
		return "", err
	}
	for _, f := range list {
		f.Exempt = nil // an exemption is for a pipeline, and chaos is none
		if f.held(application, "", s.Now()) {
			return f.Name + f.until() + ": " + f.Reason, nil
		}
	}
	return "", nil
}
