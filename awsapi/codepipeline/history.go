package codepipeline

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"showrunner/awsapi/delivery"
	"showrunner/awsapi/wire"
	"showrunner/execution"
	"showrunner/problem"
)

type historyInput struct {
	PipelineName, NextToken string
	MaxResults              *int64
	Filter                  *struct {
		PipelineExecutionId       string
		LatestInPipelineExecution *struct{ PipelineExecutionId, StartTimeRange string }
	}
}

type artifactDetail struct{ Name string }

type historyEntry struct {
	ActionExecutionId, ActionName, StageName, PipelineExecutionId, Status, UpdatedBy string
	StartTime, LastUpdateTime                                                        time.Time
	PipelineVersion                                                                  int64
	Input                                                                            historyEntryInput
	Output                                                                           historyEntryOutput
}

type historyEntryInput struct {
	ActionTypeId          any
	Configuration         map[string]string
	ResolvedConfiguration map[string]string
	InputArtifacts        []artifactDetail
	Namespace, Region     string
	RoleArn               string
}

type executionResult struct {
	ExternalExecutionId, ExternalExecutionSummary, ExternalExecutionUrl string
	ErrorDetails                                                        *errorDetails
}

type historyEntryOutput struct {
	OutputArtifacts []artifactDetail
	OutputVariables map[string]string
	ExecutionResult *executionResult
}

type historyOutput struct {
	ActionExecutionDetails []historyEntry
	NextToken              string
}

// actionExecutions are the executions of a pipeline's actions, earlier attempts
// too, the newest first.
func (s *Service) actionExecutions(ctx context.Context, c *wire.Call, in *historyInput) (*historyOutput, error) {
	t, err := s.find(ctx, c, in.PipelineName)
	if err != nil {
		return nil, err
	}
	after, ok := wire.OpenToken(in.NextToken)
	if !ok {
		return nil, badToken()
	}
	runs, err := s.filtered(ctx, t, in)
	if err != nil {
		return nil, err
	}
	var all []historyEntry
	for _, r := range runs {
		all = append(all, s.entries(t, r)...)
	}
	slices.SortStableFunc(all, func(a, b historyEntry) int { return b.StartTime.Compare(a.StartTime) })
	if after != "" {
		i := slices.IndexFunc(all, func(e historyEntry) bool { return e.ActionExecutionId == after })
		if i < 0 { // it is gone, or the token is of another list
			return nil, badToken()
		}
		all = all[i+1:]
	}
	out := &historyOutput{ActionExecutionDetails: []historyEntry{}}
	if most := wire.Page(in.MaxResults, 100); len(all) > most {
		all, out.NextToken = all[:most], wire.Token(all[most-1].ActionExecutionId)
	}
	out.ActionExecutionDetails = append(out.ActionExecutionDetails, all...)
	return out, nil
}

// filtered are the executions that the filter asks for, or the newest.
func (s *Service) filtered(ctx context.Context, t target, in *historyInput) ([]run, error) {
	id := ""
	if f := in.Filter; f != nil {
		if id = f.PipelineExecutionId; id == "" && f.LatestInPipelineExecution != nil {
			id = f.LatestInPipelineExecution.PipelineExecutionId
		}
	}
	if id != "" {
		r, err := s.one(ctx, t, id)
		return []run{r}, err
	}
	page, err := s.Control.Executions(ctx, s.Principal, execution.Query{Application: t.app, Pipeline: t.pipeline, Limit: mostLookedAt})
	if err != nil {
		return nil, err
	}
	var runs []run
	for _, e := range page.Executions {
		r, err := s.read(ctx, e.ID)
		if problem.CodeOf(err) == problem.NotFound {
			continue // retention has removed it
		}
		if err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	return runs, nil
}

// entries are the action executions of one execution.
func (s *Service) entries(t target, r run) []historyEntry {
	var list []historyEntry
	for _, a := range r.actions() {
		for _, h := range a.state.History {
			if h.Attempt == a.state.Attempt && a.state.Status.Complete() || h.Started == nil {
				continue // the present attempt, told below
			}
			earlier := a
			earlier.attempt = h.Attempt
			e := s.entry(t, r, earlier)
			e.StartTime, e.LastUpdateTime, e.Status = *h.Started, *h.Started, "Failed"
			if h.Ended != nil {
				e.LastUpdateTime = *h.Ended
			}
			switch h.Status {
			case execution.Succeeded, execution.Skipped, execution.FailedContinue:
				e.Status = "Succeeded"
			case execution.Canceled:
				e.Status = "Abandoned"
			}
			e.Output = historyEntryOutput{OutputArtifacts: []artifactDetail{}}
			if h.Cause != "" {
				e.Output.ExecutionResult = &executionResult{ErrorDetails: &errorDetails{"JobFailed", clipped(h.Code+": "+h.Cause, 5000)}}
			}
			list = append(list, e)
		}
		if a.status() == "" || a.state.Started == nil {
			continue
		}
		e := s.entry(t, r, a)
		e.StartTime, e.LastUpdateTime = *a.state.Started, a.changed()
		list = append(list, e)
	}
	return list
}

// entry is the present attempt at an action.
func (s *Service) entry(t target, r run, a action) historyEntry {
	d := declared(t, a)
	e := historyEntry{ActionExecutionId: a.id(r.ID), ActionName: a.name, StageName: a.stage, PipelineExecutionId: r.uuid(), Status: a.status(), UpdatedBy: r.By, PipelineVersion: r.version(),
		Input: historyEntryInput{ActionTypeId: d.Object["actionTypeId"], Configuration: map[string]string{}, ResolvedConfiguration: map[string]string{}, InputArtifacts: []artifactDetail{},
			Namespace: delivery.Text(d.Object["namespace"]), Region: delivery.Text(d.Object["region"]), RoleArn: delivery.Text(d.Object["roleArn"])},
		Output: historyEntryOutput{OutputArtifacts: []artifactDetail{}, OutputVariables: a.variables()}}
	configuration, _ := d.Object["configuration"].(object)
	for name, value := range configuration {
		text, is := value.(string)
		if !is {
			raw, _ := json.Marshal(value) // it came from JSON
			text = string(raw)
		}
		e.Input.Configuration[name], e.Input.ResolvedConfiguration[name] = text, text
	}
	for _, o := range delivery.Objects(d.Object["inputArtifacts"]) {
		e.Input.InputArtifacts = append(e.Input.InputArtifacts, artifactDetail{delivery.Text(o["name"])})
	}
	for _, o := range delivery.Objects(d.Object["outputArtifacts"]) {
		e.Output.OutputArtifacts = append(e.Output.OutputArtifacts, artifactDetail{delivery.Text(o["name"])})
	}
	e.Output.ExecutionResult = &executionResult{ExternalExecutionId: a.external(), ExternalExecutionSummary: a.summary(), ExternalExecutionUrl: s.page(r.ID, a), ErrorDetails: a.failure()}
	return e
}
