package server

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"showrunner/control"
	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/secret"
	"showrunner/source"
	"showrunner/stage"
	"showrunner/stage/call"
	"showrunner/stage/chaos"
	"showrunner/stage/deploy"
	"showrunner/stage/gate"
	"showrunner/stage/notify"
	stagesource "showrunner/stage/source"
	"showrunner/trigger"
)

// outsideTimeout bounds one call of a stage to a service elsewhere.
const outsideTimeout = 30 * time.Second

// kinds is the explicit list of stage kinds; a test holds it against the language's.
func (c *controlPlane) kinds(engine *execution.Engine) ([]stage.Kind, error) {
	client := &http.Client{Timeout: outsideTimeout}
	rollouts := c.rollouts(engine, client)
	builds, err := c.builds(engine)
	if err != nil {
		return nil, err
	}
	return append(builds,
		stagesource.Git{Fetcher: c.repositories, Files: c.artifacts, Definitions: c.control},
		stagesource.Object{Objects: regionObjects{c}, Artifacts: c.artifacts},
		deploy.NewSite(c.accounts, c.artifacts),
		deploy.NewService(rollouts),
		deploy.NewRollback(rollouts),
		chaos.Experiment{Accounts: c.accounts, Claims: c.claims, Faults: stageFaults{c}, HTTP: client, Now: c.Now},
		gate.Wait{},
		gate.Approval{},
		notify.Webhook{Client: notify.NewClient(), Callbacks: c.callbacks},
		call.Pipeline{Starter: stageStarter{c.control}, Executions: engine},
	), nil
}

// rollouts makes what the kinds share that roll services out and back, and what
// cleans up after them.
func (c *controlPlane) rollouts(engine *execution.Engine, client *http.Client) *deploy.Rollouts {
	c.claims.Waker = engine
	c.watchers = deploy.NewWatchers()
	c.cleaner = deploy.NewCleaner(&deploy.Cleaner{CleanUps: c.cleanUps, Accounts: c.accounts, Watchers: c.watchers, Waker: engine, Now: c.Now, Log: c.Log})
	return &deploy.Rollouts{Accounts: c.accounts, HTTP: client, Now: c.Now, Claims: c.claims, CleanUps: c.cleanUps, Watchers: c.watchers, Waker: engine, Metrics: c.source}
}

// underWay says whether an attempt at a stage has begun and not ended.
func underWay(engine *execution.Engine) func(context.Context, stage.Key) (bool, error) {
	return func(ctx context.Context, k stage.Key) (bool, error) {
		e, err := engine.Get(ctx, k.Execution)
		if problem.CodeOf(err) == problem.NotFound {
			return false, nil // retention has removed it
		}
		if err != nil {
			return false, err
		}
		return attemptUnderWay(e.Stages, k), nil
	}
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

// repositories reads the pipeline files of commits.
type repositories struct{ c *controlPlane }

// PipelineFile implements control.Repositories.
func (r repositories) PipelineFile(ctx context.Context, g pipeline.Git, trigger map[string]any) ([]byte, string, error) {
	return stagesource.Git{Fetcher: r.c.repositories, Files: r.c.artifacts}.PipelineFile(ctx, r.input(g, trigger))
}

// CommitsBetween implements control.Repositories.
func (r repositories) CommitsBetween(ctx context.Context, g pipeline.Git, from, to string) (control.CommitsBetween, error) {
	h, err := stagesource.Git{Fetcher: r.c.repositories}.Between(ctx, r.input(g, nil), from, to)
	if err != nil {
		return control.CommitsBetween{}, err
	}
	between := control.CommitsBetween{From: h.From, Added: commits(h.Added), Removed: commits(h.Removed), Partial: h.Partial, FilesMore: h.FilesMore}
	for _, f := range h.Files {
		between.Files = append(between.Files, control.FileChange(f))
	}
	return between, nil
}

func commits(list []source.Commit) []control.Commit {
	out := make([]control.Commit, len(list))
	for i, c := range list {
		out[i] = control.Commit{Commit: c.Commit, Subject: c.Subject, Author: c.Author, Date: c.Date}
	}
	return out
}

// input is that of a git stage which is not part of a run.
func (r repositories) input(g pipeline.Git, trigger map[string]any) *stage.Input {
	return &stage.Input{Config: g, Trigger: trigger, Log: io.Discard, Progress: func(string, ...any) {}, Secrets: &secret.Expander{Secrets: allSecrets{r.c.secrets, r.c}}}
}

// stageStarter starts what a stage of the kind pipeline asks for.
type stageStarter struct{ control *control.Service }

// Start implements call.Starter.
func (s stageStarter) Start(ctx context.Context, r execution.StartRequest) (execution.Execution, error) {
	e, _, err := s.control.Start(ctx, control.Principal{Name: r.By, Via: control.ViaStage}, r)
	return e, err
}

// triggerStarter starts what triggers ask for.
type triggerStarter struct{ control *control.Service }

// Start implements trigger.Starter.
func (s triggerStarter) Start(ctx context.Context, r trigger.Start) (trigger.Started, error) {
	e, fresh, err := s.control.Start(ctx, control.Principal{Name: r.By, Via: control.ViaTrigger}, execution.StartRequest{
		Application: r.Definition.Application, Pipeline: r.Definition.Pipeline.Name, Definition: r.Definition.Pipeline,
		Parameters: r.Parameters, Trigger: r.Trigger, TriggerID: r.TriggerID, EventID: r.EventID, By: r.By, Traceparent: r.Traceparent})
	if err != nil {
		return trigger.Started{}, err
	}
	return trigger.Started{Execution: e.ID, Number: e.Number, New: fresh}, nil
}

// redeliverer has the hooks handle a delivery again; they are made after package control.
type redeliverer struct{ c *controlPlane }

// Redeliver implements control.Redeliverer.
func (r redeliverer) Redeliver(ctx context.Context, id, by string) (json.RawMessage, error) {
	return r.c.hooks.Redeliver(ctx, id, by)
}

// callbackSignaler passes callbacks to the stages that wait for them.
type callbackSignaler struct{ control *control.Service }

// Signal implements notify.Signaler.
func (s callbackSignaler) Signal(ctx context.Context, id, stageName string, sig stage.Signal) error {
	return s.control.Callback(ctx, control.Principal{Name: sig.By, Via: control.ViaCallback}, id, stageName, sig)
}

// mayDecide asks the approval itself whether a decision would count.
func mayDecide(p control.Principal, e execution.Execution, st execution.StageState, d control.Decision) error {
	if st.Kind == "approval" && st.Status.Complete() {
		return gate.Decided(st.Outputs, st.Failure, st.Ended)
	}
	state, err := gate.ParseState(st.State)
	if err != nil {
		return err
	}
	return gate.MayDecide(state, p.Name, d.Approve, time.Now())
}
