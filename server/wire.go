package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"showrunner/eventlog"
	"showrunner/execution"
	"showrunner/problem"
	"showrunner/retention"
	"showrunner/source"
	"showrunner/stage/notify"
	"showrunner/store"
	"showrunner/trigger"
)

// fetcher makes what git stages and polls fetch with.
func (c *controlPlane) fetcher() (*source.Fetcher, error) {
	return source.Open(source.Options{Dir: filepath.Join(c.Data, "git"), Artifacts: c.artifacts, Base: c.Data, Log: c.Log})
}

// wireCallbacks makes what receives the calls back of webhook stages.
func (c *controlPlane) wireCallbacks(ctx context.Context, late *lateEngine) (err error) {
	c.callbacks, err = notify.OpenCallbacks(ctx, c.store, late, c.URL, c.Now)
	return err
}

// wireTriggers makes what starts pipelines by itself, and what receives webhooks.
func (c *controlPlane) wireTriggers() error {
	fetcher, err := c.fetcher()
	if err != nil {
		return err
	}
	starts := starter{c.engine}
	c.triggers = trigger.NewService(trigger.Options{Definitions: c.definitions, Starter: starts, Records: c.store, Secrets: c.secrets,
		Repositories: fetcher, Events: eventLog{c.engine}, Now: c.Now, Log: c.Log})
	c.hooks = trigger.NewHooks(trigger.HooksOptions{Definitions: c.definitions, Secrets: c.secrets, Starter: starts, Records: c.store, Now: c.Now, Log: c.Log})
	c.door.Hooks = c.hooks
	return nil
}

// deliverer makes what sends events to those who have subscribed.
func (c *controlPlane) deliverer() *eventlog.Deliverer {
	host, _ := os.Hostname() // only a part of a name
	return &eventlog.Deliverer{Subscriptions: eventlog.Subscriptions{Records: c.store}, Log: c.engine, Secrets: c.secrets,
		Replicas: replicas{c.engine, c.store}, Source: c.URL, Common: c.urlGiven, Holder: fmt.Sprintf("%s/%d/%s", host, os.Getpid(), c.listener.Addr()), Now: c.Now, Client: eventlog.NewClient(), Report: c.Log}
}

// replicas are the control planes on one database, as the deliverer asks for them.
type replicas struct {
	*execution.Engine
	store store.Store
}

// Lives implements eventlog.Replicas.
func (r replicas) Lives(ctx context.Context, owner string) (bool, error) {
	return r.store.Lives(ctx, owner)
}

// sweeper makes what removes the files of what is no longer kept.
func (c *controlPlane) sweeper() *retention.Sweeper {
	sweeper := &retention.Sweeper{Data: c.Shared, BuildFolder: c.builder.Folder, Executions: c.engine, Artifacts: c.artifacts, Accounts: c.accounts, Operations: c.store, Age: c.Retention.Age, Builds: c.KeepBuilds, Every: c.RetentionEvery, Now: c.Now, Log: c.Log}
	if c.builder.Fleet != nil {
		sweeper.Claims = c.builder.Fleet
	}
	return sweeper
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
