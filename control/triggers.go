package control

import (
	"context"

	"showrunner/problem"
	"showrunner/trigger"
)

// TriggerStatus is how what starts a pipeline stands.
type TriggerStatus = trigger.Status

// Triggers says how what starts pipelines stands, in the order of the files: of
// one application, or of all when it is empty, and of one of its pipelines, or
// of all. Errors: not_found.
func (s *Service) Triggers(ctx context.Context, p Principal, application, name string) ([]TriggerStatus, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindTrigger, Application: application}); err != nil {
		return nil, err
	}
	if name != "" && application == "" {
		return nil, problem.New(problem.Invalid, "trigger.list", "pipeline %q is named without its application", name)
	}
	all, err := s.Applications(ctx, p)
	if err != nil {
		return nil, err
	}
	apps := all
	if application != "" {
		a, err := s.Application(ctx, p, application)
		if err != nil {
			return nil, err
		}
		apps = []Application{a}
	}
	in, err := s.surroundings(ctx, all)
	if err != nil {
		return nil, err
	}
	var defs []trigger.Definition
	for _, a := range apps {
		if name != "" {
			if _, err := a.Pipeline(name); err != nil {
				return nil, err
			}
		}
		for _, pl := range a.Pipelines {
			if name == "" || pl.Name == name {
				defs = append(defs, trigger.Definition{Application: a.Name, Pipeline: pl})
			}
		}
	}
	return trigger.Statuses(ctx, s.Records, application, defs, in)
}

// surroundings are what decides whether triggers can start anything.
func (s *Service) surroundings(ctx context.Context, all []Application) (trigger.Surroundings, error) {
	in := trigger.Surroundings{URL: s.URL, Now: s.Now(), Secrets: map[string]bool{}, Pipelines: map[string]bool{}}
	secrets, err := s.Secrets.List(ctx)
	if err != nil {
		return in, err
	}
	for _, info := range secrets {
		in.Secrets[info.Name] = true
	}
	for _, a := range all {
		for _, p := range a.Pipelines {
			in.Pipelines[a.Name+"/"+p.Name] = true
		}
	}
	return in, nil
}
