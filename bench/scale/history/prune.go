package history

import (
	"context"
	"fmt"
	"time"
)

// maxPruned is the maximum number of removed executions; removing them takes a
// minute or two.
const maxPruned = 100_000

// prunes has the retention policy remove the oldest executions, at most half of
// them, while deliveries continue.
func (o options) prunes(ctx context.Context, p place, f *fill) error {
	old := min(o.n/2, maxPruned)
	age := time.Since(f.at(old).created)
	c, err := o.start(ctx, p, "--keep", "87600h", "--keep-events", "87600h")
	if err != nil {
		return err
	}
	if err := c.apply(ctx, quick); err != nil {
		return err
	}
	calm, err := c.deliver(ctx, func() error { pause(5 * time.Second); return nil })
	if err != nil {
		return err
	}
	if err := c.stop(); err != nil {
		return err
	}
	if c, err = o.start(ctx, p, "--keep", age.String(), "--keep-count", "0", "--keep-events", age.String(), "--retention-every", "200ms"); err != nil {
		return err
	}
	defer c.stop()
	began := time.Now()
	query := "limit=1&until=" + f.at(old-100).created.Format(time.RFC3339)
	busy, err := c.deliver(ctx, func() error {
		for {
			page, err := c.list(ctx, query)
			if err != nil || len(page.Executions) == 0 {
				return err
			}
			pause(200 * time.Millisecond)
		}
	})
	if err != nil {
		return err
	}
	fmt.Printf("%s: without pruning: %s\n", p.kind, calm)
	fmt.Printf("%s: %d executions and their events removed in %s: %s\n", p.kind, old, time.Since(began).Round(time.Second), busy)
	o.must(busy.longest < time.Second, "%s: deliveries stood still for %s while the store was pruned", p.kind, busy.longest)
	return c.kept(ctx, f, old)
}

// kept checks that every younger execution still exists.
func (c *plane) kept(ctx context.Context, f *fill, old int) error {
	for _, n := range []int{old + 100, old + (f.n-old)/2, f.n - 1} {
		if _, err := c.get(ctx, "/api/v1/executions/"+f.at(n).id); err != nil {
			return fmt.Errorf("an execution that is kept: %w", err)
		}
	}
	if _, err := c.get(ctx, "/api/v1/executions/"+f.at(old/2).id); err == nil {
		return fmt.Errorf("an execution that has to be kept is gone")
	}
	return nil
}
