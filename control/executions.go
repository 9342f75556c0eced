package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"strings"

	"showrunner/execution"
	"showrunner/execution/stagelog"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store/record"
)

// StageLogs reads what stages wrote.
type StageLogs interface {
	// Read copies a stage's log from a byte offset; with follow it goes on until
	// ctx ends or done is closed, and then to the log's present end.
	Read(ctx context.Context, execution, stage string, attempt int, from int64, follow bool, done <-chan struct{}, to io.Writer) error
	// Times tells when the bytes from one offset to another one were written.
	Times(execution, stage string, attempt int, from, to int64) ([]stagelog.Written, error)
}

// RunRequest starts a pipeline by hand.
type RunRequest struct {
	Application string            `json:"-"`
	Pipeline    string            `json:"-"`
	Parameters  map[string]string `json:"parameters,omitempty"`
	// Trigger facts that the caller knows: branch, commit, message.
	Trigger map[string]string `json:"trigger,omitempty"`
	// Traceparent is the W3C trace context that the run goes on with.
	Traceparent string `json:"traceparent,omitempty"`
	// Key makes the request idempotent: one execution for each key.
	Key string `json:"-"`
}

// Run starts a pipeline. started is false when the same key had started it
// before. Errors: not_found, invalid (parameters), unavailable, denied.
func (s *Service) Run(ctx context.Context, p Principal, r RunRequest) (e execution.Execution, started bool, err error) {
	trigger := map[string]any{}
	for k, v := range r.Trigger {
		trigger[k] = v
	}
	maps.Copy(trigger, map[string]any{"kind": "manual", "actor": p.Name})
	request := execution.StartRequest{Application: r.Application, Pipeline: r.Pipeline, Parameters: r.Parameters, Trigger: trigger, By: p.Name, Traceparent: r.Traceparent}
	if r.Key != "" {
		request.TriggerID, request.EventID = "manual/"+r.Application+"/"+r.Pipeline, r.Key
	}
	return s.Start(ctx, p, request)
}

// Start starts a pipeline as a trigger, a stage or a person asks for it; started
// is false when the same event had started it before. A request without a
// definition means the pipeline as it is kept. Errors: not_found, invalid
// (parameters), unavailable, denied.
func (s *Service) Start(ctx context.Context, p Principal, r execution.StartRequest) (e execution.Execution, started bool, err error) {
	subject := Subject{Kind: KindPipeline, Name: r.Application + "/" + r.Pipeline, Application: r.Application}
	details := map[string]any{"trigger": r.Trigger["kind"]}
	if r.EventID != "" {
		details["event"] = r.EventID
	}
	err = s.perform(ctx, p, opRun, subject, details, func() (map[string]any, error) {
		if r.Definition.Name == "" {
			app, err := s.Application(ctx, internal, r.Application)
			if err != nil {
				return nil, err
			}
			if r.Definition, err = app.Pipeline(r.Pipeline); err != nil {
				return nil, err
			}
		}
		if err := s.follow(ctx, &r); err != nil {
			return nil, err
		}
		var err error
		if e, started, err = s.Engine.Start(ctx, r); err != nil {
			return nil, err
		}
		return map[string]any{"execution": e.ID, "started": started}, nil
	})
	return e, started, err
}

// Execution returns one execution by its ID. Errors: not_found.
func (s *Service) Execution(ctx context.Context, p Principal, id string) (execution.Execution, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindExecution, Name: id}); err != nil {
		return execution.Execution{}, err
	}
	e, err := s.Engine.Get(ctx, id)
	setActivity(&e)
	if s.TracePage != "" && e.TraceID != "" {
		e.TraceURL = strings.ReplaceAll(s.TracePage, "TRACE", e.TraceID)
	}
	return e, err
}

// Executions lists executions, newest first, each with its activity.
func (s *Service) Executions(ctx context.Context, p Principal, q execution.Query) (execution.Page, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindExecution}); err != nil {
		return execution.Page{}, err
	}
	page, err := s.Engine.List(ctx, q)
	if err != nil {
		return page, err
	}
	return page, s.setActivities(ctx, page.Executions)
}

// Cancel asks for an execution's end. Errors: not_found, precondition, denied.
func (s *Service) Cancel(ctx context.Context, p Principal, id, reason string) error {
	return s.change(ctx, p, opCancel, id, map[string]any{"reason": reason}, func(execution.Execution) error {
		return s.Engine.Cancel(ctx, id, p.Name, reason)
	})
}

// Restart lets an ended execution go on from a stage. Errors: not_found, precondition, denied.
func (s *Service) Restart(ctx context.Context, p Principal, id, stageName string) error {
	return s.change(ctx, p, opRestart, id, map[string]any{"stage": stageName}, func(execution.Execution) error {
		// What the attempt so far put into traffic is forgotten by the engine with the restart.
		if err := s.readDeployed(ctx); err != nil {
			return err
		}
		return s.Engine.Restart(ctx, id, stageName, p.Name)
	})
}

// change is an operation on one execution, with its right and its trace.
func (s *Service) change(ctx context.Context, p Principal, op, id string, details map[string]any, act func(e execution.Execution) error) error {
	e, unknown := s.Engine.Get(ctx, id)
	return s.perform(ctx, p, op, Subject{Kind: KindExecution, Name: id, Application: e.Application}, details, func() (map[string]any, error) {
		if unknown != nil {
			return nil, unknown
		}
		return nil, act(e)
	})
}

// Decision is a person's word on an approval.
type Decision struct {
	Approve bool   `json:"approve"`
	Comment string `json:"comment,omitempty"`
}

// Decide approves or rejects a waiting approval. The same person deciding the
// same way again changes nothing. Errors: not_found, precondition (with the
// reason why this principal may not), conflict (decided already), denied.
func (s *Service) Decide(ctx context.Context, p Principal, id, stageName string, d Decision, may MayDecide) error {
	return s.change(ctx, p, opDecide, id, map[string]any{"stage": stageName, "approve": d.Approve}, func(e execution.Execution) error {
		st, err := stageOf(e, stageName)
		if err != nil {
			return err
		}
		if err := may(p, e, st, d); err != nil {
			return err
		}
		name := "approve"
		if !d.Approve {
			name = "reject"
		}
		data, err := json.Marshal(map[string]string{"comment": d.Comment})
		if err != nil {
			return problem.Wrap(err, problem.Internal, opDecide, "encoding the comment")
		}
		return s.Engine.Signal(ctx, id, stageName, stage.Signal{
			ID: signalID(name, p.Name, st.Attempt), Name: name, By: p.Name, At: s.Now().UTC(), Data: data})
	})
}

// MayDecide says whether a principal's decision on an approval counts, and why not.
type MayDecide func(p Principal, e execution.Execution, st execution.StageState, d Decision) error

func stageOf(e execution.Execution, name string) (execution.StageState, error) {
	st, ok := e.Stage(name)
	if ok {
		return st, nil
	}
	var known []string
	for _, s := range e.Stages {
		known = append(known, s.Name)
	}
	return st, problem.New(problem.NotFound, "stage", "execution %s has no stage %q", e.ID, name).WithHelp("it has: %s", join(known))
}

// signalID makes the same word of the same person one signal.
func signalID(parts string, by string, attempt int) string {
	sum := sha256.Sum256(fmt64(parts, by, attempt))
	return hex.EncodeToString(sum[:12])
}

func fmt64(parts, by string, attempt int) []byte {
	raw, _ := json.Marshal([]any{parts, by, attempt}) // strings and a number always encode
	return raw
}

// Signal sends a message to a waiting stage: "skip" ends a wait; "retry",
// "done" and "fail" resolve one in doubt. Errors: not_found, precondition, invalid, denied.
func (s *Service) Signal(ctx context.Context, p Principal, id, stageName, name string, data json.RawMessage) error {
	switch name {
	case "skip", "retry", "done", "fail":
	default:
		return problem.New(problem.Invalid, opSignal, "unknown signal %q", name).WithHelp("one of skip, retry, done, fail")
	}
	return s.change(ctx, p, opSignal, id, map[string]any{"stage": stageName, "signal": name}, func(e execution.Execution) error {
		st, err := stageOf(e, stageName)
		if err != nil {
			return err
		}
		return s.Engine.Signal(ctx, id, stageName, stage.Signal{ID: signalID(name+st.Task, p.Name, st.Attempt*1000+st.Tries), Name: name, By: p.Name, At: s.Now().UTC(), Data: data})
	})
}

// Callback hands the answer of an outside service to the stage that waits for it.
// Errors: not_found, precondition (the stage waits no more), denied.
func (s *Service) Callback(ctx context.Context, p Principal, id, stageName string, sig stage.Signal) error {
	return s.change(ctx, p, opCallback, id, map[string]any{"stage": stageName}, func(execution.Execution) error {
		return s.Engine.Signal(ctx, id, stageName, sig)
	})
}

// LogRequest asks for a stage's log.
type LogRequest struct {
	Execution, Stage string
	Attempt          int   // 0: the newest
	From             int64 // byte offset
	Follow           bool
}

// StageLog copies a stage's log to w. With Follow it goes on until the stage's
// attempt has ended. Errors: not_found.
func (s *Service) StageLog(ctx context.Context, p Principal, r LogRequest, w io.Writer) error {
	if err := s.permit(p, opRead, Subject{Kind: KindExecution, Name: r.Execution}); err != nil {
		return err
	}
	e, err := s.Engine.Get(ctx, r.Execution)
	if err != nil {
		return err
	}
	st, err := stageOf(e, r.Stage)
	if err != nil {
		return err
	}
	if r.Attempt == 0 {
		r.Attempt = max(st.Attempt, 1)
	}
	if r.Attempt > max(st.Attempt, 1) {
		return problem.New(problem.NotFound, "log", "stage %s of %s has had %d attempts, not %d", r.Stage, e.ID, st.Attempt, r.Attempt)
	}
	done := make(chan struct{})
	if over := st.Status.Complete() || r.Attempt < st.Attempt; over {
		close(done)
	} else if r.Follow {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go s.untilStageEnds(ctx, e.ID, r.Stage, r.Attempt, done)
	}
	return s.Logs.Read(ctx, e.ID, r.Stage, r.Attempt, r.From, r.Follow, done, w)
}

// LogSearch asks which lines of a stage's log hold a text, whatever their case.
type LogSearch struct {
	Execution, Stage string
	Attempt          int // 0: the newest
	Text             string
	Skip, Limit      int // matches
}

// LogMatches is an answer to LogSearch; Total counts all, shown or not.
type LogMatches struct {
	Total   int              `json:"total"`
	Matches []stagelog.Match `json:"matches"`
}

// LogTimes tells when the bytes of a stage's log from one offset to another one were
// written; empty where that is not known. Errors: not_found, unavailable.
func (s *Service) LogTimes(ctx context.Context, p Principal, r LogRequest, to int64) ([]stagelog.Written, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindExecution, Name: r.Execution}); err != nil {
		return nil, err
	}
	e, err := s.Engine.Get(ctx, r.Execution)
	if err != nil {
		return nil, err
	}
	st, err := stageOf(e, r.Stage)
	if err != nil {
		return nil, err
	}
	if r.Attempt == 0 {
		r.Attempt = max(st.Attempt, 1)
	}
	return s.Logs.Times(r.Execution, r.Stage, r.Attempt, r.From, to)
}

// SearchLog reads a stage's log, as far as it is written, for a text. Errors:
// not_found, invalid (no text).
func (s *Service) SearchLog(ctx context.Context, p Principal, r LogSearch) (LogMatches, error) {
	if r.Text == "" {
		return LogMatches{}, problem.New(problem.Invalid, "log", "say what to search for")
	}
	found := stagelog.NewSearch(r.Text, r.Skip, r.Limit)
	if err := s.StageLog(ctx, p, LogRequest{Execution: r.Execution, Stage: r.Stage, Attempt: r.Attempt}, found); err != nil {
		return LogMatches{}, err
	}
	found.End()
	return LogMatches{Total: found.Total, Matches: append([]stagelog.Match{}, found.Matches...)}, nil
}

// untilStageEnds closes done when the attempt is over, or ctx ends.
func (s *Service) untilStageEnds(ctx context.Context, id, name string, attempt int, done chan<- struct{}) {
	defer close(done)
	ended := func() bool {
		e, err := s.Engine.Get(ctx, id)
		if err != nil {
			return problem.CodeOf(err) == problem.NotFound
		}
		st, ok := e.Stage(name)
		return !ok || st.Attempt > attempt || st.Status.Complete() || e.Status.Complete()
	}
	from, err := s.End(ctx)
	if err != nil {
		return
	}
	events := s.Engine.Follow(ctx, from, record.Filter{Execution: id})
	if ended() {
		return
	}
	for range events {
		if ended() {
			return
		}
	}
}

// Events reads the event log. Errors: unavailable, denied.
func (s *Service) Events(ctx context.Context, p Principal, from int64, f record.Filter, limit int) (record.Slice, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindEvents}); err != nil {
		return record.Slice{}, err
	}
	return s.Engine.Events(ctx, from, f, limit)
}

// Follow streams the event log from a position on.
func (s *Service) Follow(ctx context.Context, p Principal, from int64, f record.Filter) (<-chan record.Slice, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindEvents}); err != nil {
		return nil, err
	}
	return s.Engine.Follow(ctx, from, f), nil
}

// Preview is what a run would do, without doing it.
type Preview struct {
	Application string            `json:"application"`
	Pipeline    string            `json:"pipeline"`
	Parameters  map[string]string `json:"parameters,omitempty"`
	// UnderWay are the numbers of runs of the pipeline that have not ended, newest first.
	UnderWay []int          `json:"underWay,omitempty"`
	Stages   []PreviewStage `json:"stages"`
}

// PreviewStage is one stage of a Preview.
type PreviewStage struct {
	Name  string   `json:"name"`
	Kind  string   `json:"kind"`
	Needs []string `json:"needs,omitempty"`
	When  string   `json:"when,omitempty"`
	// Held says why a window or a freeze would hold the stage back at this moment.
	Held string `json:"held,omitempty"`
	// Changes says, region by region, what would be created, shifted and removed.
	Changes []string `json:"changes,omitempty"`
	// Refused says why the cloud cannot carry the stage out: a run would fail before it makes anything.
	Refused string `json:"refused,omitempty"`
	// Unknown says what can only be known once the run is there.
	Unknown string `json:"unknown,omitempty"`
}

// Plan says what a run would do and change. Errors: not_found, invalid, denied.
func (s *Service) Plan(ctx context.Context, p Principal, r RunRequest) (Preview, error) {
	if err := s.permit(p, opRead, applicationSubject(r.Application)); err != nil {
		return Preview{}, err
	}
	app, err := s.Application(ctx, p, r.Application)
	if err != nil {
		return Preview{}, err
	}
	def, err := app.Pipeline(r.Pipeline)
	if err != nil {
		return Preview{}, err
	}
	parameters, err := pipeline.ResolveParameters(def, r.Parameters)
	if err != nil {
		return Preview{}, err
	}
	out := Preview{Application: r.Application, Pipeline: r.Pipeline, Parameters: parameters}
	running, err := s.Engine.List(ctx, execution.Query{Application: r.Application, Pipeline: r.Pipeline, Statuses: []execution.Status{execution.NotStarted, execution.Running}})
	if err != nil {
		return Preview{}, err
	}
	for _, e := range running.Executions {
		out.UnderWay = append(out.UnderWay, e.Number)
	}
	scope := pipeline.Scope{Parameters: parameters, Execution: pipeline.ExecutionScope{Application: r.Application, Pipeline: r.Pipeline, StartedBy: p.Name}}
	for _, st := range def.Stages {
		ps := PreviewStage{Name: st.Name, Kind: st.Kind, Needs: st.Needs, When: st.When}
		s.previewStage(ctx, st, scope, &ps)
		out.Stages = append(out.Stages, ps)
	}
	return out, nil
}
