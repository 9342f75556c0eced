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
	var apps []Application
	switch {
	case application != "":
		a, err := s.Application(ctx, p, application)
		if err != nil {
			return nil, err
		}
		apps = []Application{a}
	case name != "":
		return nil, problem.New(problem.Invalid, "trigger.list", "pipeline %q is named without its application", name)
	default:
		all, err := s.Applications(ctx, p)
		if err != nil {
			return nil, err
		}
		apps = all
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
	return trigger.Statuses(ctx, s.Records, application, defs)
}
