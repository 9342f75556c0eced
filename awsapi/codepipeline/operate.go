package codepipeline

import (
	"context"
	"slices"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/control"
	"showrunner/internal/execid"
	"showrunner/problem"
	"showrunner/store/record"
)

// stop is a stop of an execution that was asked for: nothing of it begins any more,
// and once nothing is under way, it is ended.
type stop struct {
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

type stopInput struct {
	PipelineName, PipelineExecutionId, Reason string
	Abandon                                   bool
}

type idOutput struct{ PipelineExecutionId string }

// stop ends an execution: at once with abandon, else when what is under way has ended.
func (s *Service) stop(ctx context.Context, c *wire.Call, in *stopInput) (*idOutput, error) {
	t, err := s.find(ctx, c, in.PipelineName)
	if err != nil {
		return nil, err
	}
	r, err := s.one(ctx, t, in.PipelineExecutionId)
	switch {
	case wire.CodeOf(err) == "PipelineExecutionNotFoundException":
		return nil, notStoppable(in.PipelineExecutionId)
	case err != nil:
		return nil, err
	case r.Status.Complete():
		return nil, notStoppable(in.PipelineExecutionId)
	case r.Canceling != nil || r.stop != nil && !in.Abandon:
		return nil, wire.Errorf("DuplicatedStopRequestException", "The pipeline execution %s is being stopped already", in.PipelineExecutionId)
	}
	reason := in.Reason
	if reason == "" {
		reason = "stopped by " + c.Caller
	}
	if in.Abandon {
		err := s.Control.Cancel(ctx, s.Principal, r.ID, reason)
		if problem.CodeOf(err) == problem.Precondition {
			err = notStoppable(in.PipelineExecutionId)
		}
		return &idOutput{in.PipelineExecutionId}, err
	}
	err = s.stops.Create(ctx, r.ID, stop{Reason: reason, By: s.Principal.Name, At: s.Now().UTC()})
	if err != nil && problem.CodeOf(err) != problem.Conflict {
		return nil, err
	}
	s.Gate.Read(ctx)
	select {
	case s.stopping <- r.ID:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return &idOutput{in.PipelineExecutionId}, nil
}

func notStoppable(id string) error {
	return wire.Errorf("PipelineExecutionNotStoppableException", "The pipeline execution %s is not in progress and cannot be stopped", id)
}

// resumeStops carries on the stops that were asked for before a crash.
func (s *Service) resumeStops(ctx context.Context) error {
	list, err := s.stops.List(ctx, "")
	for _, e := range list {
		go s.seeStopped(ctx, e.Key)
	}
	return err
}

// seeStopped ends an execution once nothing of it is under way.
func (s *Service) seeStopped(ctx context.Context, id string) {
	for ctx.Err() == nil {
		done, err := s.tryStop(ctx, id)
		if err == nil && !done {
			err = s.untilChanged(ctx, id)
		}
		switch {
		case done:
			return
		case err == nil:
			continue
		}
		s.Log.Warn("an execution of CodePipeline could not be stopped yet", "execution", id, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

// tryStop ends the execution if nothing of it is under way; true when it has ended.
func (s *Service) tryStop(ctx context.Context, id string) (bool, error) {
	r, err := s.read(ctx, id)
	if problem.CodeOf(err) == problem.NotFound {
		return true, ignoreMissing(s.stops.Delete(ctx, id, nil))
	}
	if err != nil {
		return false, err
	}
	if r.Status.Complete() {
		err := ignoreMissing(s.stops.Delete(ctx, id, nil))
		s.Gate.Read(ctx)
		return err == nil, err
	}
	if r.stop == nil || r.Canceling != nil || slices.ContainsFunc(r.actions(), action.active) {
		return r.stop == nil, nil
	}
	err = s.Control.Cancel(ctx, s.Principal, id, r.stop.Reason)
	if problem.CodeOf(err) == problem.Precondition {
		err = nil // it has ended in the meantime
	}
	return false, err
}

// untilChanged returns when something has happened in an execution since it was read
// last, or may have.
func (s *Service) untilChanged(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, recheck)
	defer cancel()
	from, err := s.Control.End(ctx)
	if err != nil {
		return err
	}
	events, err := s.Control.Follow(ctx, s.Principal, from, record.Filter{Execution: id})
	if err != nil {
		return err
	}
	<-events
	return nil
}

type retryInput struct{ PipelineName, StageName, PipelineExecutionId, RetryMode string }

// retry has a failed stage go on: its failed actions, or all of them.
func (s *Service) retry(ctx context.Context, c *wire.Call, in *retryInput) (*idOutput, error) {
	t, err := s.find(ctx, c, in.PipelineName)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(t.stages(), in.StageName) {
		return nil, noStage(in.StageName)
	}
	r, err := s.one(ctx, t, in.PipelineExecutionId)
	if err != nil {
		return nil, err
	}
	status := r.stageStatus(in.StageName)
	if !r.Status.Complete() || status != "Failed" && status != "Stopped" {
		return nil, wire.Errorf("StageNotRetryableException", "Stage %s of the pipeline execution %s is not in a state that can be retried: it has to be Failed or Stopped, and the execution has to have ended", in.StageName, in.PipelineExecutionId)
	}
	runs, err := s.latest(ctx, t)
	if err != nil {
		return nil, err
	}
	for _, newer := range runs {
		if newer.Number > r.Number && newer.stageStatus(in.StageName) != "" {
			return nil, wire.Errorf("NotLatestPipelineExecutionException", "The pipeline execution %s is not the latest in the stage %s", in.PipelineExecutionId, in.StageName)
		}
	}
	from, err := r.retried(in)
	if err != nil {
		return nil, err
	}
	if err := ignoreMissing(s.stops.Delete(ctx, r.ID, nil)); err != nil { // of the stop that it is retried after
		return nil, err
	}
	s.Gate.Read(ctx)
	err = s.Control.Restart(ctx, s.Principal, r.ID, from)
	if problem.CodeOf(err) == problem.Precondition {
		err = wire.Errorf("ConflictException", "%v", err)
	}
	return &idOutput{in.PipelineExecutionId}, err
}

// retried is the stage of ours from which an execution goes on.
func (r run) retried(in *retryInput) (string, error) {
	first := entries(*r.Definition, in.StageName)
	failed := ""
	for _, a := range r.actions() {
		if status := a.status(); a.stage == in.StageName && failed == "" && status != "Succeeded" {
			failed = a.def.Name
		}
	}
	if in.RetryMode == "FAILED_ACTIONS" {
		return failed, nil
	}
	// What failed begins again by itself; of what succeeded, one action can be named.
	var succeeded []string
	for _, a := range r.actions() {
		if slices.Contains(first, a.def.Name) && a.status() == "Succeeded" {
			succeeded = append(succeeded, a.def.Name)
		}
	}
	switch len(succeeded) {
	case 0:
		return failed, nil
	case 1:
		return succeeded[0], nil
	}
	return "", wire.Errorf("ValidationException", "The retry mode ALL_ACTIONS is not served for the stage %s, several of whose first actions have succeeded: use FAILED_ACTIONS, or start the pipeline anew", in.StageName)
}

func noStage(name string) error {
	return wire.Errorf("StageNotFoundException", "The pipeline does not have a stage with name '%s'", name)
}

type approvalInput struct {
	PipelineName, StageName, ActionName, Token string
	Result                                     struct{ Status, Summary string }
}

type approvalOutput struct{ ApprovedAt time.Time }

// approve decides an approval. The token, from get-pipeline-state, names the attempt
// that is decided.
func (s *Service) approve(ctx context.Context, c *wire.Call, in *approvalInput) (*approvalOutput, error) {
	t, err := s.find(ctx, c, in.PipelineName)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(t.stages(), in.StageName) {
		return nil, noStage(in.StageName)
	}
	found := false
	for _, st := range t.definition.Stages {
		stageName, action := place(st)
		found = found || stageName == in.StageName && action == in.ActionName
	}
	if !found {
		return nil, wire.Errorf("ActionNotFoundException", "The stage %s does not have an action with name '%s'", in.StageName, in.ActionName)
	}
	invalid := wire.Errorf("InvalidApprovalTokenException", "Invalid approval token")
	id, _, ok := execid.ParseUUID(in.Token)
	if !ok {
		return nil, invalid
	}
	r, err := s.read(ctx, id)
	if problem.CodeOf(err) == problem.NotFound {
		return nil, invalid
	}
	if err != nil {
		return nil, err
	}
	for _, a := range r.actions() {
		if r.Application != t.app || r.Pipeline != t.pipeline || a.stage != in.StageName || a.name != in.ActionName || a.def.Kind != "approval" || a.id(id) != in.Token {
			continue
		}
		decision := control.Decision{Approve: in.Result.Status == "Approved", Comment: in.Result.Summary}
		err := s.Control.Decide(ctx, s.Principal, id, a.def.Name, decision, s.MayDecide)
		if code := problem.CodeOf(err); code == problem.Conflict || code == problem.Precondition {
			return nil, wire.Errorf("ApprovalAlreadyCompletedException", "The approval action has already been approved or rejected")
		}
		return &approvalOutput{s.Now().UTC()}, err
	}
	return nil, invalid
}
