package server

import (
	"context"
	"path/filepath"

	"showrunner/source"
	"showrunner/stage/notify"
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
