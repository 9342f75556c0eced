package server

import (
	"context"
	"path/filepath"

	"showrunner/source"
	"showrunner/stage/notify"
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
