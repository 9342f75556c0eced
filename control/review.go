package control

import (
	"context"
	"fmt"
	"time"

	"showrunner/execution"
	"showrunner/pipeline"
)

// Review is what somebody has to know who decides on an approval.
type Review struct {
	Execution string              `json:"execution"`
	Stage     string              `json:"stage"`
	Revision  *execution.Revision `json:"revision,omitempty"` // the commit that is delivered
	Started   time.Time           `json:"started"`
	// Next are the stages that the approval lets begin, directly or by way of others,
	// with what they change and what is live there now.
	Next []ReviewStage `json:"next"`
	// Warnings say what speaks against it, such as that something newer is live.
	Warnings []string `json:"warnings,omitempty"`
}

// ReviewStage is one stage after the approval.
type ReviewStage struct {
	Name   string     `json:"name"`
	Kind   string     `json:"kind"`
	Target string     `json:"target,omitempty"` // the cluster or site that it changes
	Live   []Deployed `json:"live,omitempty"`   // what was last put into traffic there, by region
	// Changes says, region by region, what would be created, shifted and removed, as
	// far as that is known now.
	Changes []string `json:"changes,omitempty"`
}

// ReviewApproval says what an approval would let happen. Errors: not_found, denied.
func (s *Service) ReviewApproval(ctx context.Context, p Principal, id, stageName string) (Review, error) {
	e, err := s.Execution(ctx, p, id)
	if err != nil {
		return Review{}, err
	}
	if _, err := stageOf(e, stageName); err != nil {
		return Review{}, err
	}
	if err := s.readDeployed(ctx); err != nil {
		return Review{}, err
	}
	out := Review{Execution: id, Stage: stageName, Revision: e.Revision, Started: e.Created, Next: []ReviewStage{}}
	for _, def := range stagesAfter(e, stageName) {
		r := ReviewStage{Name: def.Name, Kind: def.Kind}
		if places[def.Kind] {
			kind := KindCluster
			if r.Target = clusterOf(e, execution.StageState{Name: def.Name}); r.Target == "" {
				kind = KindSite
				r.Target, _, _ = siteOf(e, execution.StageState{Name: def.Name})
			}
			if r.Target != "" {
				if r.Live, err = s.deployed(ctx, kind, DefaultAccount, r.Target); err != nil {
					return Review{}, err
				}
			}
			var preview PreviewStage
			s.previewStage(ctx, def, scopeOfExecution(e), &preview)
			r.Changes = preview.Changes
			out.Warnings = append(out.Warnings, s.newerThan(ctx, e, r)...)
		}
		out.Next = append(out.Next, r)
	}
	return out, nil
}

// newerThan says where something is live that a later execution has put there.
func (s *Service) newerThan(ctx context.Context, e execution.Execution, r ReviewStage) []string {
	var list []string
	asked := map[string]bool{}
	for _, d := range r.Live {
		if d.Execution == e.ID || asked[d.Execution] {
			continue
		}
		asked[d.Execution] = true
		if x, err := s.Engine.Get(ctx, d.Execution); err == nil && x.Created.After(e.Created) {
			list = append(list, fmt.Sprintf("%s runs %s, which execution %s put there; that one started %s after this one: approving brings the older version back",
				r.Target, d.Version, d.Execution, x.Created.Sub(e.Created).Round(time.Second)))
		}
	}
	return list
}

// scopeOfExecution is what expressions of its later stages see now.
func scopeOfExecution(e execution.Execution) pipeline.Scope {
	scope := pipeline.Scope{Parameters: e.Parameters, Trigger: e.Trigger, Stages: map[string]pipeline.StageScope{}, Artifacts: map[string]string{},
		Execution: pipeline.ExecutionScope{ID: e.ID, Number: e.Number, Application: e.Application, Pipeline: e.Pipeline, StartedBy: e.By}}
	for _, st := range e.Stages {
		scope.Stages[st.Name] = pipeline.StageScope{Kind: st.Kind, Status: string(st.Status), Outputs: st.Outputs}
		for name, ref := range st.Artifacts {
			scope.Artifacts[name] = string(ref)
		}
	}
	return scope
}
