package main

import (
	"context"
	"fmt"
	"time"
)

// prunes has the older half removed by the retention policy while deliveries go on.
func (o options) prunes(ctx context.Context, p place, f *fill) error {
	age := time.Since(f.at(o.n / 2).created)
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
	old := "limit=1&until=" + f.at(o.n/2-100).created.Format(time.RFC3339)
	busy, err := c.deliver(ctx, func() error {
		for {
			page, err := c.list(ctx, old)
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
	fmt.Printf("%s: %d executions and their events removed in %s: %s\n", p.kind, o.n/2, time.Since(began).Round(time.Second), busy)
	o.must(busy.longest < time.Second, "%s: deliveries stood still for %s while the store was pruned", p.kind, busy.longest)
	return c.kept(ctx, f)
}

// kept checks that the newer half is there, and no event of it is missing.
func (c *plane) kept(ctx context.Context, f *fill) error {
	for _, n := range []int{f.n/2 + 100, f.n * 3 / 4, f.n - 1} {
		if _, err := c.get(ctx, "/api/v1/executions/"+f.at(n).id); err != nil {
			return fmt.Errorf("an execution that is kept: %w", err)
		}
	}
	if _, err := c.get(ctx, "/api/v1/executions/"+f.at(f.n/4).id); err == nil {
		return fmt.Errorf("an execution that is kept no longer is there")
	}
	return nil
}
