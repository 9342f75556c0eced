package control

import (
	"context"
	"maps"
	"slices"

	"showrunner/problem"
	"showrunner/rollout"
	"showrunner/stage/deploy"
)

// CanaryReport is what a canary's judge found in one region.
type CanaryReport = rollout.Report

// CanaryVerdicts are a deploy stage's reports, by region: of the running canary, or of
// the one that ended.
type CanaryVerdicts struct {
	Execution string         `json:"execution"`
	Stage     string         `json:"stage"`
	Regions   []CanaryReport `json:"regions"`
}

// Verdicts returns what a canary's judge has found. Regions is empty for a stage that
// judges nothing, or has counted nothing yet. Errors: not_found.
func (s *Service) Verdicts(ctx context.Context, p Principal, id, stageName string) (CanaryVerdicts, error) {
	e, err := s.Execution(ctx, p, id)
	if err != nil {
		return CanaryVerdicts{}, err
	}
	st, ok := e.Stage(stageName)
	if !ok {
		return CanaryVerdicts{}, problem.New(problem.NotFound, "control.verdicts", "execution %s has no stage %q", id, stageName)
	}
	v := CanaryVerdicts{Execution: e.ID, Stage: stageName, Regions: []CanaryReport{}}
	if st.Kind != "deploy" {
		return v, nil
	}
	reports, err := deploy.Verdicts(st.Outputs, st.State)
	if err != nil {
		return v, err
	}
	for _, region := range slices.Sorted(maps.Keys(reports)) {
		v.Regions = append(v.Regions, reports[region])
	}
	return v, nil
}
