package localcloud

import (
	"context"
	"net/http"
	"strings"
	"time"

	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/fleet"
	"showrunner/internal/pause"
	"showrunner/pipeline"
	"showrunner/problem"
)

// Outages take the processes of regions down from outside, for a time.
type Outages interface {
	// BeginOutage kills the process of a region with everything in it, and starts it
	// again at until whatever becomes of the caller. The same fault again is success.
	// Errors: precondition (it is down for another reason), unavailable.
	BeginOutage(ctx context.Context, region, fault string, until time.Time) error
	// EndOutage has the process start again, and does not wait for it; an outage that is
	// over is success.
	EndOutage(ctx context.Context, region, fault string) error
	// Outage is the fault by which a region is down, "" for none.
	Outage(ctx context.Context, region string) (fault string, began, until time.Time, err error)
}

// Inject implements driver.FaultInjector. Called again with the same outage of a region
// it changes nothing: the fault has the name.
func (c *Client) Inject(ctx context.Context, region string, f driver.Fault, key string) error {
	r, err := c.fleet(region)
	if err != nil {
		return err
	}
	if f.Kind != driver.FaultRegion {
		return r.Inject(ctx, region, f, key)
	}
	if err := driver.CheckFault(f); err != nil {
		return err
	}
	if c.config.Outages == nil {
		return problem.New(problem.Precondition, "localcloud.inject", "nobody supervises region %s, who could take it down and start it again", region).WithHelp("showrunner up supervises its regions")
	}
	return c.config.Outages.BeginOutage(ctx, region, f.ID, c.config.Now().Add(time.Duration(f.Duration)))
}

// Undo implements driver.FaultInjector. After an outage of the region it waits until the
// region answers.
func (c *Client) Undo(ctx context.Context, region, fault, key string) error {
	r, err := c.fleet(region)
	if err != nil {
		return err
	}
	if c.config.Outages == nil {
		return r.Undo(ctx, region, fault, key)
	}
	down, _, _, err := c.config.Outages.Outage(ctx, region)
	if err != nil || down != fault { // without a supervisor nothing has taken it down
		return r.Undo(ctx, region, fault, key)
	}
	if err := c.config.Outages.EndOutage(ctx, region, fault); err != nil {
		return err
	}
	return c.awaitRegion(ctx, region)
}

// How long a region may take to answer after its outage, and how often it is asked.
const (
	answersWithin = 20 * time.Second
	askEvery      = 50 * time.Millisecond
)

// awaitRegion returns when the region answers. Errors: unavailable.
func (c *Client) awaitRegion(ctx context.Context, region string) error {
	ctx, cancel := context.WithTimeout(ctx, answersWithin)
	defer cancel()
	for {
		if _, err := c.Info(ctx, region); err == nil || ctx.Err() != nil {
			return err
		}
		_ = pause.For(ctx, askEvery) // its end is seen above
	}
}

// ActiveFaults implements driver.FaultInjector. While a region is down by a fault, that
// is the one it has: with its process everything else has ended.
func (c *Client) ActiveFaults(ctx context.Context, region string) ([]driver.ActiveFault, error) {
	r, err := c.fleet(region)
	if err != nil {
		return nil, err
	}
	if c.config.Outages != nil {
		fault, began, until, err := c.config.Outages.Outage(ctx, region)
		if err == nil && fault != "" {
			f := driver.Fault{ID: fault, Kind: driver.FaultRegion, Duration: pipeline.Duration(until.Sub(began))}
			return []driver.ActiveFault{{Fault: f, Began: began, Until: until}}, nil
		}
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
