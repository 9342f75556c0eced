package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"showrunner/api"
	"showrunner/artifact"
	"showrunner/awsapi/codepipeline"
	"showrunner/cloud/localcloud/edge"
	"showrunner/control"
	"showrunner/control/lastknown"
	"showrunner/eventlog"
	"showrunner/execution"
	"showrunner/notification"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/retention"
	"showrunner/source"
	"showrunner/stage"
	"showrunner/stage/deploy"
	"showrunner/stage/notify"
	"showrunner/store"
	"showrunner/subscription"
	"showrunner/telemetry/promapi"
	"showrunner/trigger"
)

// wire makes the parts that know each other. The kinds of stages call control and
// the engine, control calls the engine, and the engine calls the kinds: so the
// engine has the other two made at the end of its own making.
func (c *controlPlane) wire(ctx context.Context) (err error) {
	if c.repositories, err = source.Open(source.Options{Dir: filepath.Join(c.Data, "git"), Artifacts: c.artifacts, Base: c.Data, Log: c.Log}); err != nil {
		return err
	}
	records := control.Records(c.store)
	if c.Database != "" { // a file of our own does not go away
		c.memory = lastknown.New(c.Now)
		records = lastknown.Records{Records: c.store, Memory: c.memory}
	}
	c.freezes = control.NewFreezeWatch(records, c.Now)
	c.transitions = codepipeline.NewGate(records, c.Now)
	c.transitions.Read(ctx) // so that nothing waits for the first look at the log
	c.engine, err = execution.New(execution.Config{
		Store: c.store, Resolver: resolver{}, Logs: c.logs, Log: c.Log, Now: c.Now,
		Gate:      c.allows,
		Secrets:   c.secretsOf,
		Retention: c.Retention, RetentionEvery: c.RetentionEvery,
		Archive: eventlog.OpenArchive(filepath.Join(c.Shared, "archive")),
		MakeKinds: func(engine *execution.Engine) ([]stage.Kind, error) {
			if err := c.makeControl(ctx, engine, records); err != nil {
				return nil, err
			}
			return c.kinds(engine)
		},
	})
	if err != nil {
		return err
	}
	c.auth = api.NewAuth(c.Token, ownerName(), c.Hosts, c.Now, records)
	c.definitions = newDefinitions(c.control, c.engine, c.Log)
	c.makeTriggers()
	return nil
}

// allows is the engine's gate: freezes, and what clients of AWS hold back.
func (c *controlPlane) allows(ctx context.Context, e execution.Head, st *pipeline.Stage) (open bool, reason string, until time.Time) {
	if open, reason, until = c.freezes.Allows(ctx, e, st); !open {
		return open, reason, until
	}
	return c.transitions.Allows(ctx, e, st)
}

// makeControl makes the operations, and the receiver for callbacks of webhook stages.
func (c *controlPlane) makeControl(ctx context.Context, engine *execution.Engine, records control.Records) error {
	c.claims = &deploy.Claims{Records: c.store, UnderWay: underWay(engine)}
	c.cleanUps = &deploy.CleanUps{Records: c.store, Claims: c.claims, Now: c.Now}
	front, err := edge.NewClient(c.Data)
	if err != nil {
		return err
	}
	c.reads = engine
	if c.memory != nil {
		c.reads = lastknown.Engine{Engine: engine, Memory: c.memory}
	}
	c.control = control.New(control.Deps{Engine: c.reads, Records: records, Secrets: c.secrets, Artifacts: c.artifacts, Accounts: c.accounts, Claims: c.claims,
		CleanUps: &deploy.CleanUps{Records: records, Now: c.Now}, Logs: c.logs,
		DeliveryLog: &trigger.DeliveryLog{Records: c.store}, Redeliverer: redeliverer{c}, FreezeWatch: c.freezes, Edge: edgeProcess{front}, RegionProcesses: c.regions, Repositories: repositories{c}, Alarms: chaosAlarms{c}, KillMetrics: killMetrics{c}, StoreFaults: storeFaults{c.store}, Replicas: sessions{c}, Metrics: keptMetrics{c}, CheckQuery: promapi.CheckQuery, URL: c.URL, TracePage: c.TracePage, Log: c.Log, Now: c.Now})
	c.callbacks, err = notify.OpenCallbacks(ctx, c.store, callbackSignaler{c.control}, c.URL, c.Now)
	return err
}

// remembering is the engine with the memory; with a database of others only.
func (c *controlPlane) remembering() lastknown.Engine {
	return lastknown.Engine{Engine: c.engine, Memory: c.memory}
}

// edgeProcess is the edge of the data folder, as control asks for it.
type edgeProcess struct{ *edge.Client }

// Regions implements control.Edge.
func (e edgeProcess) Regions(ctx context.Context) ([]control.EdgeRegion, error) {
	list, err := e.Client.Regions(ctx)
	out := make([]control.EdgeRegion, 0, len(list))
	for _, r := range list {
		out = append(out, control.EdgeRegion(r))
	}
	return out, err
}

// makeTriggers makes what starts pipelines by itself, and what receives webhooks.
func (c *controlPlane) makeTriggers() {
	starts := triggerStarter{c.control}
	c.triggers = trigger.NewService(trigger.Options{Definitions: c.definitions, Starter: starts, Records: c.store, Secrets: c.secrets,
		Repositories: c.repositories, Events: eventLog{c.engine}, Now: c.Now, Log: c.Log})
	c.hooks = trigger.NewHooks(trigger.HooksOptions{Definitions: c.definitions, Secrets: c.secrets, Starter: starts, Records: c.store, Now: c.Now, Log: c.Log})
}

// deliverer makes what sends events to those who have subscribed.
func (c *controlPlane) deliverer() *subscription.Sender {
	return &subscription.Sender{Subscriptions: subscription.Store{Records: c.store}, Log: c.engine, Secrets: c.secrets,
		Replicas: replicas{c.engine, c.store}, Source: c.URL, Common: c.urlGiven, Holder: c.holder(), Now: c.Now, Client: subscription.NewClient(), Streams: c.openStream, Report: c.Log}
}

// notifier makes what tells people of runs.
func (c *controlPlane) notifier() *notification.Sender {
	return &notification.Sender{Store: notification.Store{Records: c.store}, Log: c.engine, Executions: toldExecutions{c}, Secrets: c.secrets, Replicas: replicas{c.engine, c.store},
		URL: c.URL, Holder: c.holder(), Now: c.Now, Client: notification.NewClient(), Report: c.Log}
}

// tellPeople begins to tell people of runs, from what happens now on if never before.
func (c *controlPlane) tellPeople(ctx context.Context, group *errgroup.Group) {
	n := c.notifier()
	if err := n.Begin(ctx); err != nil && ctx.Err() == nil {
		c.Log.Warn("telling people of runs begins later", "error", err)
	}
	group.Go(func() error { n.Run(ctx); return nil })
}

// toldExecutions reads executions with what they and their stages are doing.
type toldExecutions struct{ c *controlPlane }

// Get implements notification.Executions.
func (e toldExecutions) Get(ctx context.Context, id string) (execution.Execution, error) {
	return e.c.control.Execution(ctx, control.Principal{Name: ownerName(), Owner: true}, id)
}

// List implements notification.Executions.
func (e toldExecutions) List(ctx context.Context, q execution.Query) (execution.Page, error) {
	return e.c.engine.List(ctx, q)
}

// holder names this control plane in leases.
func (c *controlPlane) holder() string {
	host, _ := os.Hostname() // only a part of a name
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), c.listener.Addr())
}

// replicas are the control planes on one database, as the deliverer asks for them.
type replicas struct {
	*execution.Engine
	store store.Store
}

// Lives implements subscription.Replicas.
func (r replicas) Lives(ctx context.Context, owner string) (bool, error) {
	return r.store.Lives(ctx, owner)
}

// sweeper makes what removes the files of what is no longer kept.
func (c *controlPlane) sweeper() *retention.Sweeper {
	sweeper := &retention.Sweeper{Data: c.Shared, BuildFolder: c.builder.Folder, Executions: c.engine, Artifacts: c.artifacts, Accounts: c.accounts, Operations: c.store, Age: c.Retention.Age, Builds: c.KeepBuilds, Every: c.RetentionEvery, Now: c.Now, Log: c.Log}
	if c.builder.Fleet != nil {
		sweeper.Claims = c.builder.Fleet
	}
	if c.aws != nil {
		sweeper.Images = c.imageArtifacts
	}
	return sweeper
}

// imageArtifacts are the artifacts that clients of AWS may run: those of images, of what
// stands for container images, of services' deployments, and of functions.
func (c *controlPlane) imageArtifacts(ctx context.Context) ([]artifact.Ref, error) {
	all, err := c.aws.ec2.ImageArtifacts(ctx)
	if err != nil {
		return nil, err
	}
	deployed, err := c.aws.ecs.Artifacts(ctx)
	if err != nil {
		return nil, err
	}
	images, err := c.control.AWSImages(ctx, control.Principal{Name: ownerName(), Owner: true})
	for _, i := range images {
		if i.Artifact != control.SampleImage {
			all = append(all, artifact.Ref(i.Artifact))
		}
	}
	if err != nil {
		return nil, err
	}
	code, err := c.aws.functions.Code(ctx)
	return append(append(all, deployed...), code...), err
}

// readyLimit is how long the database may take to answer when it is asked
// whether this control plane can work.
const readyLimit = time.Second

// readyz says whether this control plane can take work on; a balancer before
// several of them asks it. /healthz says only that the process lives.
func (c *controlPlane) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyLimit)
	defer cancel()
	answer := struct {
		Ready  bool   `json:"ready"`
		Reason string `json:"reason,omitempty"`
	}{Ready: true}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if err := c.engine.Standing(ctx); err != nil {
		answer.Ready, answer.Reason = false, "the database does not answer"
		if p, ok := problem.Of(err); ok && p.Err == nil {
			answer.Reason = p.Message
		}
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer) // the asker is gone when this fails
}
