package control

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"showrunner/canary"
	"showrunner/canary/judge/sequential"
	"showrunner/pipeline"
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

// AnalysisReport is one judgement of metrics.
type AnalysisReport = canary.Report

// AnalysisRequest asks to judge kept metrics again: the time and the sides that an
// analysis of a run had, or others.
type AnalysisRequest struct {
	// Config is an analysis as in a pipeline file.
	Config map[string]any `json:"config,omitempty"`
	// Execution, Stage and Region name an analysis, from which what is left out is taken.
	Execution string `json:"execution,omitempty"`
	Stage     string `json:"stage,omitempty"`
	Region    string `json:"region,omitempty"`
	// UseConfig judges by that analysis' own configuration.
	UseConfig bool         `json:"useConfig,omitempty"`
	Baseline  canary.Scope `json:"baseline,omitzero"`
	Canary    canary.Scope `json:"canary,omitzero"`
	Start     time.Time    `json:"start,omitzero"`
	End       time.Time    `json:"end,omitzero"`
}

// Analyze judges kept metrics, and changes nothing. Only control's own metrics are
// asked: a caller never chooses an address that control sends requests to. Errors:
// invalid, not_found, unavailable.
func (s *Service) Analyze(ctx context.Context, p Principal, q AnalysisRequest) (AnalysisReport, error) {
	const op = "control.analyze"
	if err := s.permit(p, opRead, Subject{Kind: KindExecution, Name: q.Execution}); err != nil {
		return AnalysisReport{}, err
	}
	if s.Metrics == nil {
		return AnalysisReport{}, problem.New(problem.Precondition, op, "this control plane keeps no metrics")
	}
	if q.Execution != "" {
		var err error
		if q, err = s.fromRun(ctx, p, q); err != nil {
			return AnalysisReport{}, err
		}
	}
	raw, err := json.Marshal(q.Config)
	if err != nil {
		return AnalysisReport{}, problem.Wrap(err, problem.Invalid, op, "the configuration")
	}
	config, err := pipeline.DecodeAnalysis(raw)
	if err != nil {
		return AnalysisReport{}, err
	}
	if config.Source != nil {
		return AnalysisReport{}, problem.New(problem.Invalid, op, "the metrics are on %s, and only those that control keeps are judged again", config.Source.URL).
			WithHelp("leave the source out of the configuration")
	}
	switch {
	case len(q.Baseline.Groups) == 0 || len(q.Canary.Groups) == 0 || q.Canary.Cluster == "":
		return AnalysisReport{}, problem.New(problem.Invalid, op, "the cluster and the server groups of baseline and canary are needed")
	case !q.End.After(q.Start):
		return AnalysisReport{}, problem.New(problem.Invalid, op, "the end has to be after the start")
	}
	w := canary.Window{Index: 1, Start: q.Start, End: q.End, Step: config.Step}
	r := canary.Judge(config, canary.Measure(ctx, s.Metrics, config, q.Baseline, q.Canary, w), 1)
	r.Baseline, r.Canary, r.Source = q.Baseline, q.Canary, "control's own metrics"
	return r, nil
}

// fromRun fills in what the analysis of a run says.
func (s *Service) fromRun(ctx context.Context, p Principal, q AnalysisRequest) (AnalysisRequest, error) {
	const op = "control.analyze"
	v, err := s.Verdicts(ctx, p, q.Execution, q.Stage)
	if err != nil {
		return q, err
	}
	var names []string
	var found *canary.Report
	for _, r := range v.Regions {
		if r.Analysis == nil {
			continue
		}
		names = append(names, r.Region)
		// Without a region it is the one that failed the rollout, or the first.
		if q.Region == r.Region || q.Region == "" && (found == nil || r.Analysis.Decision == sequential.Fail) {
			found = r.Analysis
		}
	}
	if found == nil {
		return q, problem.New(problem.NotFound, op, "stage %s of %s has no analysis of metrics in %q", q.Stage, q.Execution, q.Region).WithHelp("it has one in: %v", names)
	}
	if q.UseConfig {
		raw, err := json.Marshal(found.Config)
		if err == nil {
			err = json.Unmarshal(raw, &q.Config)
		}
		if err != nil {
			return q, problem.Wrap(err, problem.Internal, op, "the configuration that was kept")
		}
	}
	if len(q.Baseline.Groups) == 0 {
		q.Baseline = found.Baseline
	}
	if len(q.Canary.Groups) == 0 {
		q.Canary = found.Canary
	}
	if q.Start.IsZero() {
		q.Start = found.Window.Start
	}
	if q.End.IsZero() {
		q.End = found.Window.End
	}
	return q, nil
}
