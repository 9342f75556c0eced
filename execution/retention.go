package execution

import (
	"context"
	"time"

	"showrunner/store/record"
)

// retentionLoop applies the retention policy now and then.
func (e *Engine) retentionLoop(ctx context.Context) {
	if e.cfg.Retention == (Retention{}) {
		return
	}
	t := time.NewTicker(e.cfg.RetentionEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if n, err := e.Prune(ctx); err != nil && ctx.Err() == nil {
				e.log.Warn("retention failed; it is tried again", "error", err)
			} else if n > 0 {
				e.log.Info("retention removed what is no longer kept", "removed", n)
			}
		case <-ctx.Done():
			return
		}
	}
}

// Prune applies the retention policy and returns how many executions and events
// were removed. It works in small steps and rests after each for as long as it
// took, so that nothing waits for it for long and half of the database's time is
// left to others.
func (e *Engine) Prune(ctx context.Context) (int, error) {
	archive := func(ev []record.Event) error {
		if e.cfg.Archive == nil {
			return nil
		}
		return e.cfg.Archive.Append(ev)
	}
	total := 0
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		began := time.Now()
		n, done, err := e.store.Prune(ctx, e.cfg.Retention, e.now(), archive)
		total += n
		if err != nil || done {
			return total, err
		}
		rest.Reset(time.Since(began))
		select {
		case <-rest.C:
		case <-ctx.Done():
			return total, context.Cause(ctx)
		}
	}
}
