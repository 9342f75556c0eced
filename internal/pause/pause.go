// Package pause waits in a way that a context can end.
package pause

import (
	"context"
	"time"
)

// For returns nil after d, or the context's error once it has ended.
func For(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
