package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"showrunner/control"
	"showrunner/execution"
	"showrunner/internal/tracecontext"
	"showrunner/problem"
)

// Started is the answer to a start.
type Started struct {
	Execution execution.Execution `json:"execution"`
	Started   bool                `json:"started" doc:"false: the same Idempotency-Key had started it before"`
}

// ExecutionPath names an execution.
type ExecutionPath struct {
	ID string `path:"id"`
}

// StagePath names a stage of an execution.
type StagePath struct {
	ID    string `path:"id"`
	Stage string `path:"stage"`
}

func (s *Server) executions() {
	c := s.Control
	type PipelinePath struct {
		Application string `path:"application"`
		Pipeline    string `path:"pipeline"`
	}
	huma.Register(s.api, operation(http.MethodPost, "/applications/{application}/pipelines/{pipeline}/executions", "start-executions", "Start a pipeline", 201),
		func(ctx context.Context, in *struct {
			PipelinePath
			Key         string `header:"Idempotency-Key"`
			Traceparent string `header:"traceparent" doc:"W3C Trace Context: the run goes on with this trace; traceparent of the body wins"`
			Body        control.RunRequest
		}) (*body[Started], error) {
			r := in.Body
			r.Application, r.Pipeline, r.Key = in.Application, in.Pipeline, in.Key
			if r.Traceparent == "" {
				r.Traceparent = tracecontext.Received(in.Traceparent)
			}
			e, started, err := c.Run(ctx, principal(ctx), r)
			return answer(Started{e, started}, err)
		})
	huma.Register(s.api, operation(http.MethodPost, "/applications/{application}/pipelines/{pipeline}/plan", "plan-executions", "What a run would do, without doing it", 200),
		func(ctx context.Context, in *struct {
			PipelinePath
			Body control.RunRequest
		}) (*body[control.Preview], error) {
			r := in.Body
			r.Application, r.Pipeline = in.Application, in.Pipeline
			return answer(c.Plan(ctx, principal(ctx), r))
		})
	huma.Register(s.api, operation(http.MethodGet, "/executions", "list-executions", "List executions, newest first", 200),
		func(ctx context.Context, in *struct {
			Application string    `query:"application"`
			Pipeline    string    `query:"pipeline"`
			Status      []string  `query:"status" doc:"Running, Succeeded, Terminal, …"`
			Text        string    `query:"q" doc:"words of the id, number, starter, branch, commit or message"`
			Trigger     string    `query:"trigger" doc:"what started it: push, poll, schedule, webhook, pipeline, manual, rollback, repair"`
			Parameter   []string  `query:"parameter,explode" doc:"NAME=VALUE it was started with; may be repeated"`
			Since       time.Time `query:"since" doc:"created then or later"`
			Until       time.Time `query:"until" doc:"created before then"`
			Parent      string    `query:"parent"`
			RollbackOf  string    `query:"rollbackOf"`
			After       string    `query:"after" doc:"next of the page before"`
			Limit       int       `query:"limit" minimum:"1" maximum:"500" default:"50"`
		}) (*body[execution.Page], error) {
			q := execution.Query{Application: in.Application, Pipeline: in.Pipeline, Text: in.Text, Trigger: in.Trigger, Since: in.Since, Until: in.Until,
				Parent: in.Parent, RollbackOf: in.RollbackOf, After: in.After, Limit: in.Limit, Parameters: map[string]string{}}
			for _, p := range in.Parameter {
				name, value, ok := strings.Cut(p, "=")
				if !ok {
					return nil, problemOf(problem.New(problem.Invalid, "execution.list", "the parameter %q is not NAME=VALUE", p))
				}
				q.Parameters[name] = value
			}
			for _, st := range in.Status {
				q.Statuses = append(q.Statuses, execution.Status(st))
			}
			page, err := c.Executions(ctx, principal(ctx), q)
			if err == nil && q.Application != "" && len(page.Executions) == 0 && page.Next == "" {
				err = c.KnownApplication(ctx, q.Application)
			}
			return answer(page, err)
		})
	huma.Register(s.api, operation(http.MethodGet, "/executions/{id}", "get-execution", "One execution with its stages", 200),
		func(ctx context.Context, in *ExecutionPath) (*body[execution.Execution], error) {
			return answer(c.Execution(ctx, principal(ctx), in.ID))
		})
	huma.Register(s.api, operation(http.MethodPost, "/executions/{id}/cancel", "cancel-execution", "Ask for an execution's end", 202),
		func(ctx context.Context, in *struct {
			ExecutionPath
			Body struct {
				Reason string `json:"reason,omitempty"`
			}
		}) (*none, error) {
			return done(c.Cancel(ctx, principal(ctx), in.ID, in.Body.Reason))
		})
	s.stages(c)
}

func (s *Server) stages(c *control.Service) {
	huma.Register(s.api, operation(http.MethodGet, "/executions/{id}/stages/{stage}/verdicts", "get-verdicts", "What a canary's judge found in each region, while it runs and afterwards", 200),
		func(ctx context.Context, in *StagePath) (*body[control.CanaryVerdicts], error) {
			return answer(c.Verdicts(ctx, principal(ctx), in.ID, in.Stage))
		})
	huma.Register(s.api, operation(http.MethodPost, "/analyses", "analyze-metrics", "Judge kept metrics of a canary, at the time of a run's analysis or another; nothing is changed", 200),
		func(ctx context.Context, in *struct{ Body control.AnalysisRequest }) (*body[control.AnalysisReport], error) {
			return answer(c.Analyze(ctx, principal(ctx), in.Body))
		})
	huma.Register(s.api, operation(http.MethodGet, "/executions/{id}/stages/{stage}/restart", "get-restart", "What a restart from the stage would run again", 200),
		func(ctx context.Context, in *StagePath) (*body[control.RestartPlan], error) {
			return answer(c.PlanRestart(ctx, principal(ctx), in.ID, in.Stage))
		})
	huma.Register(s.api, operation(http.MethodPost, "/executions/{id}/stages/{stage}/restart", "restart-stage", "Let an ended execution go on from a stage", 202),
		func(ctx context.Context, in *StagePath) (*none, error) {
			return done(c.Restart(ctx, principal(ctx), in.ID, in.Stage))
		})
	huma.Register(s.api, operation(http.MethodGet, "/executions/{id}/stages/{stage}/decision", "get-review", "What an approval would let happen, and what is live where it changes something", 200),
		func(ctx context.Context, in *StagePath) (*body[control.Review], error) {
			return answer(c.ReviewApproval(ctx, principal(ctx), in.ID, in.Stage))
		})
	huma.Register(s.api, operation(http.MethodPost, "/executions/{id}/stages/{stage}/decision", "decide-stage", "Approve or reject", 202),
		func(ctx context.Context, in *struct {
			StagePath
			Body control.Decision
		}) (*none, error) {
			return done(c.Decide(ctx, principal(ctx), in.ID, in.Stage, in.Body, s.MayDecide))
		})
	huma.Register(s.api, operation(http.MethodPost, "/executions/{id}/stages/{stage}/signal", "signal-stage", "End a wait (skip), or resolve a stage in doubt (retry, done, fail)", 202),
		func(ctx context.Context, in *struct {
			StagePath
			Body struct {
				Name string          `json:"name" enum:"skip,retry,done,fail"`
				Data json.RawMessage `json:"data,omitempty"`
			}
		}) (*none, error) {
			return done(c.Signal(ctx, principal(ctx), in.ID, in.Stage, in.Body.Name, in.Body.Data))
		})
	huma.Register(s.api, operation(http.MethodGet, "/executions/{id}/stages/{stage}/log/search", "search-log", "The lines of a stage's log that hold a text, and how many there are", 200),
		func(ctx context.Context, in *struct {
			StagePath
			Text    string `query:"q" required:"true" minLength:"1" maxLength:"1000" doc:"the text, whatever its case"`
			Attempt int    `query:"attempt" minimum:"0" doc:"0 is the newest"`
			Skip    int    `query:"skip" minimum:"0" doc:"matches to leave out"`
			Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
		}) (*body[control.LogMatches], error) {
			return answer(c.SearchLog(ctx, principal(ctx), control.LogSearch{Execution: in.ID, Stage: in.Stage, Attempt: in.Attempt, Text: in.Text, Skip: in.Skip, Limit: in.Limit}))
		})
}
