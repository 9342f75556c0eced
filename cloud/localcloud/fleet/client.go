package fleet

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/rpc"
	"showrunner/pipeline"
	"showrunner/problem"
)

// Client calls one region's Fleet through its Handler. It implements driver.Cloud
// and all abilities of instances for that region. A region that does not answer,
// or stops in the middle, is unavailable: every change carries its key, so
// calling again is safe.
type Client struct {
	region string
	rpc    *rpc.Client
}

var (
	_ driver.Cloud         = (*Client)(nil)
	_ driver.Capacity      = (*Client)(nil)
	_ driver.Amender       = (*Client)(nil)
	_ driver.LoadBalancing = (*Client)(nil)
	_ driver.Terminator    = (*Client)(nil)
	_ driver.Counter       = (*Client)(nil)
	_ driver.Watcher       = (*Client)(nil)
	_ driver.Logs          = (*Client)(nil)
	_ driver.Standby       = (*Client)(nil)
	_ driver.Protection    = (*Client)(nil)
	_ driver.HealthSetter  = (*Client)(nil)
	_ driver.Suspender     = (*Client)(nil)
	_ driver.ZoneSetter    = (*Client)(nil)

	_ driver.HookAnswerer = (*Client)(nil)
)

// NewClient returns a client for a region whose Handler is reached through rpc.
func NewClient(region string, rpc *rpc.Client) *Client { return &Client{region: region, rpc: rpc} }

func (c *Client) open(ctx context.Context, region, method, path string, body any) (*http.Response, error) {
	if region != c.region {
		return nil, problem.New(problem.NotFound, "fleet.call", "this is a client of region %s, not %s", c.region, region)
	}
	return c.rpc.Open(ctx, method, "/fleet/"+path, body)
}

func (c *Client) get(ctx context.Context, region, path string, query url.Values, into any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.call(ctx, region, http.MethodGet, path, nil, into)
}

func (c *Client) post(ctx context.Context, region, path string, body, into any) error {
	return c.call(ctx, region, http.MethodPost, path, body, into)
}

func (c *Client) call(ctx context.Context, region, method, path string, body, into any) error {
	if region != c.region {
		return problem.New(problem.NotFound, "fleet.call", "this is a client of region %s, not %s", c.region, region)
	}
	return c.rpc.Call(ctx, method, "/fleet/"+path, body, into)
}

// Facts implements driver.Cloud. Every region of this version states the same
// facts.
func (c *Client) Facts(_ context.Context, region string) (driver.Facts, error) {
	if region != c.region {
		return driver.Facts{}, problem.New(problem.NotFound, "fleet.facts", "this is region %s, not %s", c.region, region)
	}
	return facts, nil
}

// Regions implements driver.Cloud: the one region.
func (c *Client) Regions(ctx context.Context) (list []driver.Region, err error) {
	err = c.get(ctx, c.region, "region", nil, &list)
	return list, err
}

// CreateServerGroup implements driver.Versions.
func (c *Client) CreateServerGroup(ctx context.Context, region string, spec driver.ServerGroupSpec, key string) (g driver.ServerGroup, err error) {
	err = c.post(ctx, region, "server-groups", createBody{key, spec}, &g)
	return g, err
}

// ServerGroups implements driver.Versions.
func (c *Client) ServerGroups(ctx context.Context, region, cluster string) (list []driver.ServerGroup, err error) {
	err = c.get(ctx, region, "server-groups", url.Values{"cluster": {cluster}}, &list)
	return list, err
}

// Amend implements driver.Amender.
func (c *Client) Amend(ctx context.Context, region, group string, spec driver.ServerGroupSpec, key string) error {
	return c.post(ctx, region, "server-groups/"+url.PathEscape(group)+"/spec", amendBody{key, spec}, nil)
}

// SetLoadBalancer implements driver.LoadBalancing.
func (c *Client) SetLoadBalancer(ctx context.Context, region string, lb driver.LoadBalancer, key string) error {
	return c.post(ctx, region, "load-balancers", balancerBody{key, lb}, nil)
}

// RemoveLoadBalancer implements driver.LoadBalancing.
func (c *Client) RemoveLoadBalancer(ctx context.Context, region, name, key string) error {
	return c.post(ctx, region, "load-balancers/"+url.PathEscape(name)+"/remove", destroyBody{Key: key}, nil)
}

// Resize implements driver.Capacity.
func (c *Client) Resize(ctx context.Context, region, group string, to pipeline.Capacity, guard driver.Guard, key string) error {
	return c.post(ctx, region, "server-groups/"+url.PathEscape(group)+"/capacity", resizeBody{key, to, guard}, nil)
}

// SetWeights implements driver.Traffic.
func (c *Client) SetWeights(ctx context.Context, region, cluster string, weights map[string]float64, guard driver.Guard, key string) error {
	return c.post(ctx, region, "clusters/"+url.PathEscape(cluster)+"/weights", weightsBody{key, weights, guard}, nil)
}

// Destroy implements driver.Versions.
func (c *Client) Destroy(ctx context.Context, region, group string, guard driver.Guard, key string) error {
	return c.post(ctx, region, "server-groups/"+url.PathEscape(group)+"/destroy", destroyBody{key, guard}, nil)
}

// Terminate implements driver.Terminator.
func (c *Client) Terminate(ctx context.Context, region, instance string, opts driver.TerminateOptions, key string) error {
	return c.post(ctx, region, "instances/"+url.PathEscape(instance)+"/terminate", terminateBody{key, opts}, nil)
}

// Counts implements driver.Counter.
func (c *Client) Counts(ctx context.Context, region, cluster string) (list []driver.Counts, err error) {
	err = c.get(ctx, region, "counts", url.Values{"cluster": {cluster}}, &list)
	return list, err
}

// WaitChanges implements driver.Watcher.
func (c *Client) WaitChanges(ctx context.Context, region string, revision uint64) (driver.Changes, error) {
	for {
		var now driver.Changes
		query := url.Values{"revision": {strconv.FormatUint(revision, 10)}}
		if err := c.get(ctx, region, "changes", query, &now); err != nil || now.Revision != revision || now.All {
			return now, err
		}
	}
}

// InstanceLog implements driver.Logs.
func (c *Client) InstanceLog(ctx context.Context, region, instance string, follow bool, to io.Writer) error {
	path := "instances/" + url.PathEscape(instance) + "/log?follow=" + strconv.FormatBool(follow)
	resp, err := c.open(ctx, region, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(to, resp.Body); err != nil && ctx.Err() == nil {
		return c.rpc.Unreachable(ctx, err)
	}
	return nil
}

// EndedInstances implements driver.History.
func (c *Client) EndedInstances(ctx context.Context, region string) (list []driver.Instance, err error) {
	err = c.get(ctx, region, "ended", nil, &list)
	return list, err
}

// SetStandby implements driver.Standby.
func (c *Client) SetStandby(ctx context.Context, region, instance string, standby bool, key string) error {
	return c.post(ctx, region, "instances/"+url.PathEscape(instance)+"/standby", switchBody{key, standby}, nil)
}

// SetProtection implements driver.Protection.
func (c *Client) SetProtection(ctx context.Context, region, instance string, protected bool, key string) error {
	return c.post(ctx, region, "instances/"+url.PathEscape(instance)+"/protection", switchBody{key, protected}, nil)
}

// SetHealth implements driver.HealthSetter.
func (c *Client) SetHealth(ctx context.Context, region, instance string, healthy bool, key string) error {
	return c.post(ctx, region, "instances/"+url.PathEscape(instance)+"/health", switchBody{key, healthy}, nil)
}

// AnswerHook implements driver.HookAnswerer.
func (c *Client) AnswerHook(ctx context.Context, region, instance string, answer driver.HookAnswer, key string) error {
	return c.post(ctx, region, "instances/"+url.PathEscape(instance)+"/hook", hookBody{key, answer}, nil)
}

// Suspend implements driver.Suspender.
func (c *Client) Suspend(ctx context.Context, region, group string, processes []string, key string) error {
	return c.post(ctx, region, "server-groups/"+url.PathEscape(group)+"/suspend", processesBody{key, processes}, nil)
}

// Resume implements driver.Suspender.
func (c *Client) Resume(ctx context.Context, region, group string, processes []string, key string) error {
	return c.post(ctx, region, "server-groups/"+url.PathEscape(group)+"/resume", processesBody{key, processes}, nil)
}

// SetZone implements driver.ZoneSetter.
func (c *Client) SetZone(ctx context.Context, region, zone string, down bool, key string) error {
	return c.post(ctx, region, "zones/"+url.PathEscape(zone)+"/outage", switchBody{key, down}, nil)
}

// Zones lists the region's zones.
func (c *Client) Zones(ctx context.Context, region string) (list []ZoneState, err error) {
	err = c.get(ctx, region, "zones", nil, &list)
	return list, err
}

// Inject implements driver.FaultInjector.
func (c *Client) Inject(ctx context.Context, region string, f driver.Fault, key string) error {
	return c.post(ctx, region, "faults", faultBody{key, f}, nil)
}

// Undo implements driver.FaultInjector.
func (c *Client) Undo(ctx context.Context, region, fault, key string) error {
	return c.post(ctx, region, "faults/"+url.PathEscape(fault)+"/undo", destroyBody{Key: key}, nil)
}

// ActiveFaults implements driver.FaultInjector.
func (c *Client) ActiveFaults(ctx context.Context, region string) (list []driver.ActiveFault, err error) {
	err = c.get(ctx, region, "faults", nil, &list)
	return list, err
}
