package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"showrunner/chaos/experiment"
	"showrunner/chaos/gameday"
	"showrunner/control"
	"showrunner/problem"
)

// ExperimentRequest asks for a run of an experiment.
type ExperimentRequest struct {
	Source string `json:"source" doc:"the experiment, YAML or JSON" maxLength:"1000000"`
}

func (s *Server) experiments() {
	c := s.Control
	huma.Register(s.api, operation(http.MethodPost, "/chaos/experiments", "start-experiment", "Begin a run of an experiment, which goes on by itself", 201),
		func(ctx context.Context, in *struct {
			Key  string `header:"Idempotency-Key"`
			Body ExperimentRequest
		}) (*body[experiment.Run], error) {
			return answer(c.StartExperiment(ctx, principal(ctx), in.Body.Source, keyOr(in.Key)))
		})
	huma.Register(s.api, operation(http.MethodGet, "/chaos/experiments", "list-experiments", "Runs of experiments, newest first", 200),
		func(ctx context.Context, _ *struct{}) (*body[[]experiment.Run], error) {
			return answer(c.Experiments(ctx, principal(ctx)))
		})
	huma.Register(s.api, operation(http.MethodGet, "/chaos/experiments/{run}", "get-experiment", "The journal of one run of an experiment", 200),
		func(ctx context.Context, in *struct {
			Run string `path:"run"`
		}) (*body[experiment.Run], error) {
			return answer(c.Experiment(ctx, principal(ctx), in.Run))
		})
	huma.Register(s.api, operation(http.MethodPost, "/chaos/experiments/{run}/stop", "stop-experiment", "End a run; what it did is undone, and its rollbacks run", 200),
		func(ctx context.Context, in *struct {
			Run string `path:"run"`
		}) (*body[experiment.Run], error) {
			return answer(c.StopExperiment(ctx, principal(ctx), in.Run))
		})
	huma.Register(s.api, operation(http.MethodPost, "/chaos/experiments/plan", "plan-experiments", "What a run of an experiment would do, without doing it", 200),
		func(ctx context.Context, in *struct{ Body ExperimentRequest }) (*body[control.ExperimentPlan], error) {
			return answer(c.PlanExperiment(ctx, principal(ctx), in.Body.Source))
		})
	huma.Register(s.api, operation(http.MethodPut, "/chaos/experiments/{run}/journal", "record-experiment", "Keep the journal of a run that is carried out elsewhere, in Chaos Toolkit's form; it may be sent again as the run goes on", 200),
		func(ctx context.Context, in *struct {
			Run     string `path:"run" doc:"its name: small letters, digits and hyphens"`
			Body    map[string]any
			RawBody []byte
		}) (*body[experiment.Run], error) {
			return answer(c.RecordJournal(ctx, principal(ctx), in.Run, in.RawBody))
		})
}

// mostGameday bounds the report of a game day: a day has 86,400 seconds.
const mostGameday = 16 << 20

func (s *Server) gamedays() {
	c := s.Control
	keep := operation(http.MethodPost, "/chaos/gamedays", "record-gameday", "Keep the report of a game day", 201)
	keep.MaxBodyBytes = mostGameday
	huma.Register(s.api, keep, func(ctx context.Context, in *struct {
		Body    map[string]any
		RawBody []byte
	}) (*body[gameday.Summary], error) {
		var r gameday.Report
		if err := json.Unmarshal(in.RawBody, &r); err != nil {
			return answer(gameday.Summary{}, problem.Wrap(err, problem.Invalid, "gameday", "this is no report of a game day"))
		}
		return answer(c.RecordGameday(ctx, principal(ctx), r))
	})
	huma.Register(s.api, operation(http.MethodGet, "/chaos/gamedays", "list-gamedays", "Game days whose reports are kept, newest first", 200),
		func(ctx context.Context, _ *struct{}) (*body[[]gameday.Summary], error) {
			return answer(c.Gamedays(ctx, principal(ctx)))
		})
	huma.Register(s.api, operation(http.MethodGet, "/chaos/gamedays/{gameday}", "get-gameday", "The report of one game day", 200),
		func(ctx context.Context, in *struct {
			Gameday string `path:"gameday"`
		}) (*body[gameday.Report], error) {
			return answer(c.Gameday(ctx, principal(ctx), in.Gameday))
		})
}
