package server

import (
	"context"
	"net/http"
	"time"

	"showrunner/control"
	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
	"showrunner/stage/call"
	"showrunner/stage/deploy"
	"showrunner/stage/gate"
	"showrunner/stage/notify"
	stagesource "showrunner/stage/source"
)

// stageOf is a stage of a definition.
type stageOf = pipeline.Stage

// outsideTimeout bounds one call of a stage to a service elsewhere.
const outsideTimeout = 30 * time.Second

// kinds is the explicit list of stage kinds; a test holds it against the language's.
func (c *controlPlane) kinds(late *lateEngine) ([]stage.Kind, error) {
	fetcher, err := c.fetcher()
	if err != nil {
		return nil, err
	}
	client := &http.Client{Timeout: outsideTimeout}
	c.claims = &deploy.Claims{Records: c.store, UnderWay: late.underWay}
	builds, err := c.builds(late)
	if err != nil {
		return nil, err
	}
	return append(builds,
		stagesource.Git{Fetcher: fetcher},
		deploy.NewSite(c.accounts, c.artifacts),
		deploy.NewService(c.accounts, client, c.Now, c.claims),
		deploy.NewRollback(c.accounts, client, c.Now, c.claims),
		gate.Wait{},
		gate.Approval{},
		notify.Webhook{Client: notify.NewClient(), Callbacks: c.callbacks},
		call.Pipeline{Engine: late, Definitions: late},
	), nil
}

// underWay says whether an attempt at a stage has begun and not ended.
func (l *lateEngine) underWay(ctx context.Context, k stage.Key) (bool, error) {
	e, err := l.Get(ctx, k.Execution)
	if problem.CodeOf(err) == problem.NotFound {
		return false, nil // retention has removed it
	}
	if err != nil {
		return false, err
	}
	return attemptUnderWay(e.Stages, k), nil
}

func attemptUnderWay(stages []execution.StageState, k stage.Key) bool {
	for _, st := range stages {
		if st.Name == k.Stage {
			begun := st.Phase != "" && st.Phase != execution.PhaseHeld && st.Phase != execution.PhaseRetry
			return begun && st.Attempt == k.Attempt
		}
	}
	return false
}

// Definition implements call.Definitions.
func (l *lateEngine) Definition(ctx context.Context, application, name string) (pipeline.Pipeline, error) {
	app, err := l.door.Application(ctx, control.Principal{Name: "engine", Owner: true}, application)
	if err != nil {
		return pipeline.Pipeline{}, err
	}
	return app.Pipeline(name)
}

// mayDecide asks the approval itself whether a decision would count.
func mayDecide(p control.Principal, e execution.Execution, st execution.StageState, d control.Decision) error {
	state, err := gate.ParseState(st.State)
	if err != nil {
		return err
	}
	return gate.MayDecide(state, p.Name, d.Approve, time.Now())
}
