package control

import (
	"context"
	"slices"

	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
)

// RestartPlan says what a restart would run again.
type RestartPlan struct {
	Execution string         `json:"execution"`
	Stages    []RestartStage `json:"stages"` // in the order of the pipeline
}

// RestartStage is one stage that a restart runs again.
type RestartStage struct {
	Name    string           `json:"name"`
	Kind    string           `json:"kind"`
	Status  execution.Status `json:"status"`            // how it ended before
	Target  string           `json:"target,omitempty"`  // the cluster or site that it changes
	Version string           `json:"version,omitempty"` // that it put there before
}

// stagesAfter are the stages that need a stage, directly or by way of others, in the
// order of the pipeline.
func stagesAfter(e execution.Execution, name string) []pipeline.Stage {
	if e.Definition == nil {
		return nil
	}
	found := map[string]bool{name: true}
	for grown := true; grown; {
		grown = false
		for _, def := range e.Definition.Stages {
			if !found[def.Name] && slices.ContainsFunc(def.Needs, func(n string) bool { return found[n] }) {
				found[def.Name], grown = true, true
			}
		}
	}
	var list []pipeline.Stage
	for _, def := range e.Definition.Stages {
		if found[def.Name] && def.Name != name {
			list = append(list, def)
		}
	}
	return list
}

// PlanRestart says what Restart would run again: the stage, and every stage that
// needs it, directly or by way of others. Errors: not_found, precondition (the
// execution has not ended), denied.
func (s *Service) PlanRestart(ctx context.Context, p Principal, id, stageName string) (RestartPlan, error) {
	e, err := s.Execution(ctx, p, id)
	if err != nil {
		return RestartPlan{}, err
	}
	if _, err := stageOf(e, stageName); err != nil {
		return RestartPlan{}, err
	}
	if !e.Status.Complete() {
		return RestartPlan{}, problem.New(problem.Precondition, opRestart, "execution %s has not ended", id).WithHelp("cancel it first, or wait: showrunner executions watch %s", id)
	}
	plan := RestartPlan{Execution: id, Stages: []RestartStage{}}
	if e.Definition == nil {
		return plan, nil
	}
	after := stagesAfter(e, stageName)
	for _, def := range e.Definition.Stages {
		if def.Name != stageName && !slices.ContainsFunc(after, func(x pipeline.Stage) bool { return x.Name == def.Name }) {
			continue
		}
		st, _ := e.Stage(def.Name)
		r := RestartStage{Name: def.Name, Kind: def.Kind, Status: st.Status}
		if places[def.Kind] {
			r.Version, _ = st.Outputs["version"].(string)
			if r.Target = clusterOf(e, st); r.Target == "" {
				r.Target, _, _ = siteOf(e, st)
			}
		}
		plan.Stages = append(plan.Stages, r)
	}
	return plan, nil
}
