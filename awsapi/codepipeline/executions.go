package codepipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/delivery"
	"showrunner/awsapi/wire"
	"showrunner/execution"
	"showrunner/internal/execid"
	"showrunner/pipeline"
	"showrunner/problem"
)

type variable struct{ Name, Value string }

type revision struct{ ActionName, RevisionType, RevisionValue string }

type startInput struct {
	Name, ClientRequestToken string
	Variables                []variable
	SourceRevisions          []revision
}

type startOutput struct{ PipelineExecutionId string }

func (s *Service) start(ctx context.Context, c *wire.Call, in *startInput) (*startOutput, error) {
	t, err := s.find(ctx, c, in.Name)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	if t.doc != nil {
		if err := s.settle(ctx, t.doc.key()); err != nil {
			return nil, err
		}
		_, rendered, err := s.file(ctx, *t.doc)
		if err != nil {
			return nil, err
		}
		names = rendered.Parameters
		if t, err = s.find(ctx, c, in.Name); err != nil {
			return nil, err
		}
	}
	request := execution.StartRequest{Application: t.app, Pipeline: t.pipeline, By: s.Principal.Name, Parameters: map[string]string{},
		Trigger: map[string]any{"kind": "manual", "actor": s.Principal.Name, "aws": "StartPipelineExecution", "caller": c.Caller}}
	for _, v := range in.Variables {
		name := cmp.Or(names[v.Name], v.Name)
		if !slices.ContainsFunc(t.definition.Parameters, func(p pipeline.Parameter) bool { return p.Name == name }) {
			return nil, wire.Errorf("ValidationException", "The variable %s is not declared in the pipeline %s", v.Name, in.Name)
		}
		request.Parameters[name] = v.Value
	}
	if len(in.SourceRevisions) > 0 {
		if request.Definition, err = pinned(t.definition, in.SourceRevisions); err != nil {
			return nil, err
		}
	}
	if in.ClientRequestToken != "" {
		request.TriggerID, request.EventID = "aws/codepipeline/start/"+c.Region+"/"+in.Name, in.ClientRequestToken
	}
	e, _, err := s.Control.Start(ctx, s.Principal, request)
	if problem.CodeOf(err) == problem.Invalid {
		return nil, wire.Errorf("ValidationException", "%v", err)
	}
	if err != nil {
		return nil, err
	}
	return &startOutput{run{Execution: e}.uuid()}, nil
}

// pinned is a pipeline whose source actions fetch the revisions that are given.
func pinned(p pipeline.Pipeline, revisions []revision) (pipeline.Pipeline, error) {
	p.Stages = slices.Clone(p.Stages)
	for _, r := range revisions {
		i := slices.IndexFunc(p.Stages, func(st pipeline.Stage) bool {
			_, name := place(st)
			return name == r.ActionName && (st.Kind == "git" || st.Kind == "object")
		})
		if i < 0 {
			return p, wire.Errorf("ValidationException", "The pipeline has no source action %s", r.ActionName)
		}
		st := &p.Stages[i]
		field := map[string]string{"git COMMIT_ID": "commit", "object S3_OBJECT_VERSION_ID": "version", "object S3_OBJECT_KEY": "key"}[st.Kind+" "+r.RevisionType]
		if field == "" {
			return p, wire.Errorf("ValidationException", "The source action %s takes no revision of the type %s", r.ActionName, r.RevisionType)
		}
		var with object
		if err := json.Unmarshal(st.With, &with); err != nil {
			return p, problem.Wrap(err, problem.Internal, "codepipeline.start", "reading the stage %s", st.Name)
		}
		with[field] = r.RevisionValue
		data, err := json.Marshal(with)
		if err != nil {
			return p, problem.Wrap(err, problem.Internal, "codepipeline.start", "writing the stage %s", st.Name)
		}
		st.With = data
	}
	return p, nil
}

// triggers are what starts an execution, in AWS's words, by ours.
var triggers = map[string]string{"poll": "PollForSourceChanges", "push": "Webhook", "webhook": "Webhook", "schedule": "CloudWatchEvent", "rollback": "ManualRollback"}

type trigger struct{ TriggerType, TriggerDetail string }

func (r run) trigger() trigger {
	text := func(key string) string { return delivery.Text(r.Trigger[key]) }
	kind := cmp.Or(text("aws"), triggers[text("kind")], "StartPipelineExecution")
	detail := cmp.Or(text("caller"), text("url"), text("repository"), r.By)
	return trigger{kind, clipped(detail, 1024)}
}

// mode is the execution mode of the execution's pipeline.
func (r run) mode() string {
	if r.Definition == nil {
		return ""
	}
	switch r.Definition.Concurrency {
	case pipeline.Supersede:
		return "SUPERSEDED"
	case pipeline.Parallel:
		return "PARALLEL"
	}
	return "QUEUED"
}

func (r run) version() int64 {
	if r.Definition == nil {
		return 1
	}
	return versionOf(r.Definition.Description)
}

type executionInput struct{ PipelineName, PipelineExecutionId string }

type artifactRevision struct {
	Name, RevisionId, RevisionSummary, RevisionUrl string
	Created                                        time.Time
}

type resolvedVariable struct{ Name, ResolvedValue string }

type executionOutput struct{ PipelineExecution pipelineExecution }

type pipelineExecution struct {
	PipelineName, PipelineExecutionId, Status, StatusSummary, ExecutionMode, ExecutionType string
	PipelineVersion                                                                        int64
	ArtifactRevisions                                                                      []artifactRevision
	Trigger                                                                                trigger
	Variables                                                                              []resolvedVariable
	RollbackMetadata                                                                       *rollbackMetadata
}

type rollbackMetadata struct{ RollbackTargetPipelineExecutionId string }

func noExecution(t target, id string) error {
	return wire.Errorf("PipelineExecutionNotFoundException", "Pipeline execution '%s' of the pipeline '%s' does not exist", id, t.name)
}

// one is an execution of a pipeline by its identifier at AWS.
func (s *Service) one(ctx context.Context, t target, id string) (run, error) {
	ours, mark, ok := execid.ParseUUID(id)
	if !ok || mark != 0 {
		return run{}, noExecution(t, id)
	}
	r, err := s.read(ctx, ours)
	if problem.CodeOf(err) == problem.NotFound || err == nil && (r.Application != t.app || r.Pipeline != t.pipeline) {
		return run{}, noExecution(t, id)
	}
	return r, err
}

func (s *Service) execution(ctx context.Context, c *wire.Call, in *executionInput) (*executionOutput, error) {
	t, err := s.find(ctx, c, in.PipelineName)
	if err != nil {
		return nil, err
	}
	r, err := s.one(ctx, t, in.PipelineExecutionId)
	if err != nil {
		return nil, err
	}
	out := pipelineExecution{PipelineName: in.PipelineName, PipelineExecutionId: r.uuid(), Status: r.status(), StatusSummary: r.Cause, ExecutionMode: r.mode(), ExecutionType: "STANDARD",
		PipelineVersion: r.version(), Trigger: r.trigger(), ArtifactRevisions: []artifactRevision{}, Variables: []resolvedVariable{}}
	if r.RollbackOf != "" {
		of, _ := execid.UUID(r.RollbackOf, 0)
		out.ExecutionType, out.RollbackMetadata = "ROLLBACK", &rollbackMetadata{of}
	}
	for _, a := range r.actions() {
		if id := a.revision(); id != "" {
			out.ArtifactRevisions = append(out.ArtifactRevisions, artifactRevision{Name: artifactName(t, a), RevisionId: id, RevisionSummary: a.summary(), RevisionUrl: s.page(r.ID, a), Created: a.changed()})
		}
	}
	for name, value := range r.Parameters {
		out.Variables = append(out.Variables, resolvedVariable{name, value})
	}
	slices.SortFunc(out.Variables, func(a, b resolvedVariable) int { return strings.Compare(a.Name, b.Name) })
	return &executionOutput{out}, nil
}

// declared is the action in the pipeline's structure, if it is there still.
func declared(t target, a action) delivery.Action {
	for _, one := range delivery.Actions(t.structure()) {
		if one.Stage == a.stage && one.Name() == a.name {
			return one
		}
	}
	return delivery.Action{}
}

// artifactName is the name of what the action makes.
func artifactName(t target, a action) string {
	for _, o := range delivery.Objects(declared(t, a).Object["outputArtifacts"]) {
		return delivery.Text(o["name"])
	}
	return a.name
}

type executionsInput struct {
	PipelineName, NextToken string
	MaxResults              *int64
	Filter                  *struct {
		SucceededInStage *struct{ StageName string }
	}
}

type sourceRevision struct{ ActionName, RevisionId, RevisionSummary, RevisionUrl string }

type stopTrigger struct{ Reason string }

type executionSummary struct {
	PipelineExecutionId, Status, StatusSummary, ExecutionMode, ExecutionType string
	StartTime, LastUpdateTime                                                time.Time
	SourceRevisions                                                          []sourceRevision
	Trigger                                                                  trigger
	StopTrigger                                                              *stopTrigger
	RollbackMetadata                                                         *rollbackMetadata
}

type executionsOutput struct {
	PipelineExecutionSummaries []executionSummary
	NextToken                  string
}

func (s *Service) executions(ctx context.Context, c *wire.Call, in *executionsInput) (*executionsOutput, error) {
	t, err := s.find(ctx, c, in.PipelineName)
	if err != nil {
		return nil, err
	}
	after, ok := wire.OpenToken(in.NextToken)
	if !ok {
		return nil, badToken()
	}
	page, err := s.Control.Executions(ctx, s.Principal, execution.Query{Application: t.app, Pipeline: t.pipeline, Limit: wire.Page(in.MaxResults, 100), After: after})
	if problem.CodeOf(err) == problem.Invalid {
		return nil, badToken()
	}
	if err != nil {
		return nil, err
	}
	out := &executionsOutput{PipelineExecutionSummaries: []executionSummary{}, NextToken: wire.Token(page.Next)}
	for _, e := range page.Executions {
		r, err := s.read(ctx, e.ID)
		if problem.CodeOf(err) == problem.NotFound {
			continue // retention has removed it
		}
		if err != nil {
			return nil, err
		}
		if f := in.Filter; f != nil && f.SucceededInStage != nil && r.stageStatus(f.SucceededInStage.StageName) != "Succeeded" {
			continue
		}
		out.PipelineExecutionSummaries = append(out.PipelineExecutionSummaries, s.summary(r))
	}
	return out, nil
}

func (s *Service) summary(r run) executionSummary {
	out := executionSummary{PipelineExecutionId: r.uuid(), Status: r.status(), StatusSummary: r.Cause, ExecutionMode: r.mode(), ExecutionType: "STANDARD",
		StartTime: r.Created, LastUpdateTime: r.updated(), Trigger: r.trigger(), SourceRevisions: []sourceRevision{}}
	if r.RollbackOf != "" {
		of, _ := execid.UUID(r.RollbackOf, 0)
		out.ExecutionType, out.RollbackMetadata = "ROLLBACK", &rollbackMetadata{of}
	}
	switch {
	case r.stop != nil:
		out.StopTrigger = &stopTrigger{r.stop.Reason}
	case r.Canceling != nil && r.Canceling.SupersededBy == 0:
		out.StopTrigger = &stopTrigger{r.Canceling.Reason}
	}
	for _, a := range r.actions() {
		if id := a.revision(); id != "" {
			out.SourceRevisions = append(out.SourceRevisions, sourceRevision{ActionName: a.name, RevisionId: id, RevisionSummary: a.summary(), RevisionUrl: s.page(r.ID, a)})
		}
	}
	return out
}

// updated is when the execution changed last.
func (r run) updated() time.Time {
	if r.Ended != nil {
		return *r.Ended
	}
	last := r.Created
	for _, a := range r.actions() {
		if at := a.changed(); at.After(last) {
			last = at
		}
	}
	return last
}
