package codepipeline

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"showrunner/awsapi/delivery"
	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
	"showrunner/control"
	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/store/record"
)

// Control is what pipelines need of the control plane.
type Control interface {
	Check(ctx context.Context, f control.File) (*pipeline.Document, pipeline.Diagnostics)
	Apply(ctx context.Context, p control.Principal, f control.File, version int64) (control.Applied, error)
	Application(ctx context.Context, p control.Principal, name string) (control.Application, error)
	Applications(ctx context.Context, p control.Principal) ([]control.Application, error)
	DeleteApplication(ctx context.Context, p control.Principal, name string) error
	Start(ctx context.Context, p control.Principal, r execution.StartRequest) (execution.Execution, bool, error)
	Execution(ctx context.Context, p control.Principal, id string) (execution.Execution, error)
	Executions(ctx context.Context, p control.Principal, q execution.Query) (execution.Page, error)
	Cancel(ctx context.Context, p control.Principal, id, reason string) error
	Restart(ctx context.Context, p control.Principal, id, stageName string) error
	Decide(ctx context.Context, p control.Principal, id, stageName string, d control.Decision, may control.MayDecide) error
	End(ctx context.Context) (int64, error)
	Follow(ctx context.Context, p control.Principal, from int64, f record.Filter) (<-chan record.Slice, error)
}

// Values keeps credentials, encrypted. Delete's error is not_found for what is not there.
type Values interface {
	Set(ctx context.Context, name string, value []byte) error
	Delete(ctx context.Context, name string) error
}

// Config is what the service needs.
type Config struct {
	Records   state.Records
	Control   Control
	Principal control.Principal
	Renderer  delivery.Renderer
	Values    Values
	MayDecide control.MayDecide
	Gate      *Gate
	URL       string // of the pages
	Log       *slog.Logger
	Now       func() time.Time
}

// Service is the pipelines of all regions.
type Service struct {
	Config
	docs     state.Collection[document]
	versions state.Collection[object] // the structures of the versions
	stops    state.Collection[stop]
	stopping chan string // executions whose end has to be seen to
}

// New makes the service; Run carries on what a crash has cut off.
func New(c Config) *Service {
	return &Service{Config: c, docs: documents(c.Records), stops: stopRecords(c.Records), stopping: make(chan string, 64),
		versions: state.New[object](c.Records, "aws.codepipeline.version").Paged(20)}
}

func documents(r state.Records) state.Collection[document] {
	return state.New[document](r, "aws.codepipeline")
}

func stopRecords(r state.Records) state.Collection[stop] {
	return state.New[stop](r, "aws.codepipeline.stop")
}

// Service is the operations of codepipeline that are served.
func (s *Service) Service() wire.Service {
	return wire.Service{Name: "codepipeline", Operations: map[string]wire.Handler{
		"CreatePipeline":         wire.Handle(s.create),
		"GetPipeline":            wire.Handle(s.get),
		"UpdatePipeline":         wire.Handle(s.update),
		"DeletePipeline":         wire.Handle(s.delete),
		"ListPipelines":          wire.Handle(s.list),
		"GetPipelineState":       wire.Handle(s.state),
		"StartPipelineExecution": wire.Handle(s.start),
		"GetPipelineExecution":   wire.Handle(s.execution),
		"ListPipelineExecutions": wire.Handle(s.executions),
		"ListActionExecutions":   wire.Handle(s.actionExecutions),
		"StopPipelineExecution":  wire.Handle(s.stop),
		"RetryStageExecution":    wire.Handle(s.retry),
		"PutApprovalResult":      wire.Handle(s.approve),
		"EnableStageTransition":  wire.Handle(s.enable),
		"DisableStageTransition": wire.Handle(s.disable),
		"TagResource":            wire.Handle(s.tag),
		"UntagResource":          wire.Handle(s.untag),
		"ListTagsForResource":    wire.Handle(s.tags),
		"ListActionTypes":        wire.HandleObject(listActionTypes),
		// None of these can be made here.
		"ListWebhooks":  wire.Always(wire.Object{"webhooks": []any{}}),
		"ListRuleTypes": wire.Always(wire.Object{"ruleTypes": []any{}}),
	}}
}

// decoded is a value as JSON has it, so that what is kept and what is answered are
// the same.
func decoded(v any) object {
	data, err := json.Marshal(v)
	out := object{}
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		panic("codepipeline: a structure is always JSON: " + err.Error())
	}
	return out
}
