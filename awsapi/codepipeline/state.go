package codepipeline

import (
	"context"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/execution"
	"showrunner/problem"
)

type stageExecution struct{ PipelineExecutionId, Status, Type string }

type transitionState struct {
	Enabled                       bool
	DisabledReason, LastChangedBy string
	LastChangedAt                 time.Time
}

type actionExecution struct {
	ActionExecutionId, Status, Summary, LastUpdatedBy string
	ExternalExecutionId, ExternalExecutionUrl, Token  string
	LastStatusChange                                  time.Time
	ErrorDetails                                      *errorDetails
}

type currentRevision struct {
	RevisionId, RevisionChangeId string
	Created                      time.Time
}

type actionState struct {
	ActionName, EntityUrl, RevisionUrl string
	CurrentRevision                    *currentRevision
	LatestExecution                    *actionExecution
}

type stageState struct {
	StageName              string
	InboundExecution       *stageExecution
	InboundExecutions      []stageExecution
	InboundTransitionState transitionState
	ActionStates           []actionState
	LatestExecution        *stageExecution
}

type stateOutput struct {
	PipelineName     string
	PipelineVersion  int64
	StageStates      []stageState
	Created, Updated time.Time
}

// mostLookedAt is how many executions are read, newest first, until every stage and
// action has one.
const mostLookedAt = 100

func (s *Service) state(ctx context.Context, c *wire.Call, in *nameInput) (*stateOutput, error) {
	t, err := s.find(ctx, c, in.Name)
	if err != nil {
		return nil, err
	}
	runs, err := s.latest(ctx, t)
	if err != nil {
		return nil, err
	}
	out := &stateOutput{PipelineName: in.Name, PipelineVersion: t.version, Created: t.created(), Updated: t.updated, StageStates: []stageState{}}
	for _, name := range t.stages() {
		st := stageState{StageName: name, ActionStates: []actionState{}, InboundTransitionState: transitionState{Enabled: true}, InboundExecutions: []stageExecution{}}
		if t.doc != nil {
			if d, ok := t.doc.Disabled[name]; ok {
				st.InboundTransitionState = transitionState{DisabledReason: d.Reason, LastChangedBy: d.By, LastChangedAt: d.At}
			}
		}
		for _, r := range runs {
			status := r.stageStatus(name)
			if status != "" && st.LatestExecution == nil {
				st.LatestExecution = &stageExecution{PipelineExecutionId: r.uuid(), Status: status}
			}
			if r.waitsBefore(name) {
				st.InboundExecutions = append(st.InboundExecutions, stageExecution{PipelineExecutionId: r.uuid(), Status: "InProgress"})
			}
		}
		if len(st.InboundExecutions) > 0 {
			st.InboundExecution = &st.InboundExecutions[0]
		}
		st.ActionStates = s.actionStates(t, name, runs)
		out.StageStates = append(out.StageStates, st)
	}
	return out, nil
}

// actionStates are the actions of a stage, each with its latest execution.
func (s *Service) actionStates(t target, stageName string, runs []run) []actionState {
	states := []actionState{}
	for _, st := range t.definition.Stages {
		of, name := place(st)
		if of != stageName {
			continue
		}
		state := actionState{ActionName: name, EntityUrl: s.URL + "/executions?application=" + t.app}
		for _, r := range runs {
			for _, a := range r.actions() {
				if a.stage != stageName || a.name != name || a.status() == "" || state.LatestExecution != nil {
					continue
				}
				state.LatestExecution = s.actionExecution(r, a)
				if id := a.revision(); id != "" {
					state.CurrentRevision = &currentRevision{RevisionId: id, RevisionChangeId: clipped(id, 100), Created: a.changed()}
					state.RevisionUrl = s.page(r.ID, a)
				}
			}
		}
		states = append(states, state)
	}
	return states
}

func (s *Service) actionExecution(r run, a action) *actionExecution {
	e := &actionExecution{ActionExecutionId: a.id(r.ID), Status: a.status(), Summary: a.summary(), LastStatusChange: a.changed(), ErrorDetails: a.failure(),
		ExternalExecutionId: a.external(), ExternalExecutionUrl: s.page(r.ID, a), LastUpdatedBy: r.By}
	if a.def.Kind == "approval" {
		if e.Status == "InProgress" {
			e.Token = a.id(r.ID)
		} else if by := a.output("by"); by != "" {
			e.LastUpdatedBy = by
		}
	}
	return e
}

// latest are the newest executions of a pipeline, newest first: as many as it takes
// until every action has one.
func (s *Service) latest(ctx context.Context, t target) ([]run, error) {
	page, err := s.Control.Executions(ctx, s.Principal, execution.Query{Application: t.app, Pipeline: t.pipeline, Limit: mostLookedAt})
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, st := range t.definition.Stages {
		wanted[st.Name] = true
	}
	var runs []run
	for _, e := range page.Executions {
		if len(wanted) == 0 && e.Status.Complete() {
			continue // an older one may still be under way
		}
		r, err := s.read(ctx, e.ID)
		if problem.CodeOf(err) == problem.NotFound {
			continue // retention has removed it
		}
		if err != nil {
			return nil, err
		}
		for _, a := range r.actions() {
			if a.status() != "" {
				delete(wanted, a.def.Name)
			}
		}
		runs = append(runs, r)
	}
	return runs, nil
}
