package localcloud

import (
	"context"
	"net/http"
	"strings"

	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/fleet"
)

// Inject implements driver.FaultInjector.
func (c *Client) Inject(ctx context.Context, region string, f driver.Fault, key string) error {
	r, err := c.fleet(region)
	if err != nil {
		return err
	}
	return r.Inject(ctx, region, f, key)
}

// Undo implements driver.FaultInjector.
func (c *Client) Undo(ctx context.Context, region, fault, key string) error {
	r, err := c.fleet(region)
	if err != nil {
		return err
	}
	return r.Undo(ctx, region, fault, key)
}

// ActiveFaults implements driver.FaultInjector.
func (c *Client) ActiveFaults(ctx context.Context, region string) ([]driver.ActiveFault, error) {
	r, err := c.fleet(region)
	if err != nil {
		return nil, err
	}
	return r.ActiveFaults(ctx, region)
}

// edgeHeader marks the edge's own questions, which a partition from the control
// plane does not concern.
const edgeHeader = "X-Showrunner-Edge"

// partition cuts connections to the control interface while a fault asks for it.
// Faults can still be undone, and the edge still learns where the region is.
func (r *region) partition(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if r.fleet == nil || !r.fleet.Partitioned() || strings.HasPrefix(q.URL.Path, fleet.FaultsPath) || q.Header.Get(edgeHeader) != "" {
			next.ServeHTTP(w, q)
			return
		}
		panic(http.ErrAbortHandler) // the connection ends without an answer
	})
}
