package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"showrunner/chaos/monkey"
	"showrunner/control"
)

// StopChaosRequest pulls the lever.
type StopChaosRequest struct {
	Reason string `json:"reason" doc:"why; everybody whose chaos does not start reads it"`
}

// ChaosBudgetRequest changes the budget.
type ChaosBudgetRequest struct {
	Percent int `json:"percent" doc:"of all instances, from 1 to 100; 100 is no limit"`
}

func (s *Server) chaos() {
	c := s.Control
	huma.Register(s.api, operation(http.MethodGet, "/chaos", "get-chaos", "Whether all chaos is stopped, by whom and why", 200),
		func(ctx context.Context, _ *struct{}) (*body[control.ChaosLever], error) {
			return answer(c.ChaosLever(ctx, principal(ctx)))
		})
	huma.Register(s.api, operation(http.MethodPost, "/chaos/stop", "stop-chaos", "Stop all chaos, and block what would start", 200),
		func(ctx context.Context, in *struct{ Body StopChaosRequest }) (*body[control.ChaosLever], error) {
			return answer(c.StopChaos(ctx, principal(ctx), in.Body.Reason))
		})
	huma.Register(s.api, operation(http.MethodPost, "/chaos/release", "release-chaos", "Let chaos start again", 200),
		func(ctx context.Context, _ *struct{}) (*body[control.ChaosLever], error) {
			return answer(c.ReleaseChaos(ctx, principal(ctx)))
		})
	huma.Register(s.api, operation(http.MethodGet, "/chaos/budget", "get-chaos-budget", "What faults and kills may hit at once, of all instances", 200),
		func(ctx context.Context, _ *struct{}) (*body[control.ChaosBudget], error) {
			return answer(c.ChaosBudget(ctx, principal(ctx)))
		})
	huma.Register(s.api, operation(http.MethodPut, "/chaos/budget", "set-chaos-budget", "Change what faults and kills may hit at once", 200),
		func(ctx context.Context, in *struct{ Body ChaosBudgetRequest }) (*body[control.ChaosBudget], error) {
			return answer(c.SetChaosBudget(ctx, principal(ctx), in.Body.Percent))
		})
	huma.Register(s.api, operation(http.MethodPost, "/chaos/kills", "start-kill", "End a random instance of an application at once", 200),
		func(ctx context.Context, in *struct {
			Key  string `header:"Idempotency-Key"`
			Body control.ChaosRequest
		}) (*body[control.ChaosNow], error) {
			return answer(c.KillNow(ctx, principal(ctx), in.Body, keyOr(in.Key)))
		})
	huma.Register(s.api, operation(http.MethodGet, "/chaos/kills", "list-kills", "Kills that happened, or did not and why, newest first", 200),
		func(ctx context.Context, in *struct {
			Application string `query:"application"`
			Limit       int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
		}) (*body[[]control.ChaosKill], error) {
			return answer(c.MonkeyHistory(ctx, principal(ctx), in.Application, in.Limit))
		})
	huma.Register(s.api, operation(http.MethodGet, "/chaos/schedule", "list-chaos-schedule", "The days that were drawn, newest first, with their kills", 200),
		func(ctx context.Context, in *struct {
			Application string `query:"application"`
		}) (*body[[]control.MonkeyDay], error) {
			return answer(c.MonkeySchedule(ctx, principal(ctx), in.Application))
		})
	s.faults()
	s.experiments()
	s.gamedays()
	huma.Register(s.api, operation(http.MethodGet, "/chaos/eligible", "list-eligible", "Which instances a kill could choose now, and why not the others", 200),
		func(ctx context.Context, in *struct {
			Application string `query:"application" required:"true"`
			Cluster     string `query:"cluster"`
			Account     string `query:"account"`
			Region      string `query:"region"`
		}) (*body[monkey.Decision], error) {
			return answer(c.MonkeyEligible(ctx, principal(ctx), control.ChaosRequest{Application: in.Application, Cluster: in.Cluster, Account: in.Account, Region: in.Region}))
		})
}

func (s *Server) faults() {
	c := s.Control
	huma.Register(s.api, operation(http.MethodPost, "/chaos/faults", "start-fault", "Begin a fault, which ends by itself after its duration", 201),
		func(ctx context.Context, in *struct {
			Key  string `header:"Idempotency-Key"`
			Body control.FaultRequest
		}) (*body[control.ChaosFault], error) {
			return answer(c.StartFault(ctx, principal(ctx), in.Body, keyOr(in.Key)))
		})
	huma.Register(s.api, operation(http.MethodGet, "/chaos/faults", "list-faults", "Faults that are active, or ended lately, newest first", 200),
		func(ctx context.Context, _ *struct{}) (*body[[]control.ChaosFault], error) {
			return answer(c.Faults(ctx, principal(ctx)))
		})
	huma.Register(s.api, operation(http.MethodPost, "/chaos/faults/{fault}/undo", "undo-fault", "End a fault at once", 200),
		func(ctx context.Context, in *struct {
			Fault string `path:"fault"`
		}) (*body[control.ChaosFault], error) {
			return answer(c.UndoFault(ctx, principal(ctx), in.Fault))
		})
}
