package localcloud

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/sites"
	"showrunner/problem"
)

func sitePath(site, what string) string { return "/v1/sites/" + url.PathEscape(site) + "/" + what }

// Publish implements driver.Sites.
func (c *Client) Publish(ctx context.Context, region string, req driver.PublishRequest, key string, progress func(done, total int)) (driver.SiteDeployment, error) {
	return c.publish(ctx, region, "publish", req, key, progress)
}

// PrepareSite implements driver.SitePreparer.
func (c *Client) PrepareSite(ctx context.Context, region string, req driver.PublishRequest, key string, progress func(done, total int)) error {
	_, err := c.publish(ctx, region, "prepare", req, key, progress)
	return err
}

func (c *Client) publish(ctx context.Context, region, what string, req driver.PublishRequest, key string, progress func(done, total int)) (driver.SiteDeployment, error) {
	r, err := c.region(region)
	if err != nil {
		return driver.SiteDeployment{}, err
	}
	resp, err := r.Open(ctx, http.MethodPost, sitePath(req.Config.Site, what), publishBody{req, key})
	if err != nil {
		return driver.SiteDeployment{}, err
	}
	defer resp.Body.Close()
	lines := json.NewDecoder(resp.Body)
	for {
		var line publishLine
		if err := lines.Decode(&line); err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return driver.SiteDeployment{}, r.Unreachable(ctx, err)
		}
		switch {
		case line.Error != nil:
			return driver.SiteDeployment{}, line.Error.Problem()
		case line.Deployment != nil:
			return *line.Deployment, nil
		}
		progress(line.Done, line.Total)
	}
}

// SiteDeployments implements driver.Sites.
func (c *Client) SiteDeployments(ctx context.Context, region, site string) ([]driver.SiteDeployment, error) {
	r, err := c.region(region)
	if err != nil {
		return nil, err
	}
	var list []driver.SiteDeployment
	return list, r.Call(ctx, http.MethodGet, sitePath(site, "deployments"), nil, &list)
}

// SiteChanges implements driver.SiteWatcher.
func (c *Client) SiteChanges(ctx context.Context, region, site string) ([]driver.SiteChange, error) {
	r, err := c.region(region)
	if err != nil {
		return nil, err
	}
	var list []driver.SiteChange
	return list, r.Call(ctx, http.MethodGet, sitePath(site, "changes"), nil, &list)
}

// Activate implements driver.Sites.
func (c *Client) Activate(ctx context.Context, region, site, deployment, key string) (driver.SiteDeployment, error) {
	return c.actOnSite(ctx, region, site, "activate", activateBody{deployment, key})
}

// Revert implements driver.SiteReverter.
func (c *Client) Revert(ctx context.Context, region, site, deployment, key string) (driver.SiteDeployment, error) {
	return c.actOnSite(ctx, region, site, "revert", activateBody{deployment, key})
}

func (c *Client) actOnSite(ctx context.Context, region, site, what string, body activateBody) (driver.SiteDeployment, error) {
	r, err := c.region(region)
	if err != nil {
		return driver.SiteDeployment{}, err
	}
	var d driver.SiteDeployment
	return d, r.Call(ctx, http.MethodPost, sitePath(site, what), body, &d)
}

// ListSites implements driver.SiteLister.
func (c *Client) ListSites(ctx context.Context, region string) ([]driver.Site, error) {
	r, err := c.region(region)
	if err != nil {
		return nil, err
	}
	var list []driver.Site
	if err := r.Call(ctx, http.MethodGet, "/v1/sites", nil, &list); err != nil {
		return nil, err
	}
	for i := range list {
		list[i].URL = c.SiteURL(list[i].Name)
	}
	return list, nil
}

// SiteURL implements driver.Sites.
func (c *Client) SiteURL(site string) string { return "http://" + siteHost(site, c.config.Edge) + "/" }

// siteHost is the host name at which a browser on this machine reaches the site.
func siteHost(site, edge string) string {
	u := url.URL{Host: edge}
	if port := u.Port(); port != "" && port != "80" {
		return site + ".localhost:" + port
	}
	return site + ".localhost"
}

// ProbeSite implements driver.SiteProber. It sends a visitor's request directly
// to the region's load balancer, not through the edge.
func (c *Client) ProbeSite(ctx context.Context, region string, d driver.SiteDeployment) error {
	r, err := c.region(region)
	if err != nil {
		return err
	}
	if d.Document == "" { // without an index it is enough that the deployment is live
		return c.isLive(ctx, region, d)
	}
	info, err := c.Info(ctx, region)
	if err != nil {
		return err
	}
	path := "/"
	if d.Prefix != "" {
		path = "/" + d.Prefix + "/"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, (&url.URL{Scheme: "http", Host: info.Address, Path: path}).String(), nil)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "localcloud.probe", "asking %s", info.Address)
	}
	q.Host = d.Site + ".localhost"
	resp, err := probeTransport.RoundTrip(q)
	if err != nil {
		return r.Unreachable(ctx, err)
	}
	defer resp.Body.Close()
	beginning, _ := io.ReadAll(io.LimitReader(resp.Body, 120)) // the answer is only evidence
	said := fmt.Sprintf("GET http://%s%s in %s answered %s, deployment %q", q.Host, path, region, resp.Status, resp.Header.Get(sites.HeaderDeployment))
	if resp.StatusCode != http.StatusOK {
		return problem.New(problem.Precondition, "localcloud.probe", "%s: %q", said, beginning)
	}
	if got := resp.Header.Get(sites.HeaderDeployment); got != d.ID {
		return problem.New(problem.Conflict, "localcloud.probe", "%s; wanted %s", said, d.ID)
	}
	return nil
}

// probeTransport makes one connection for each probe, as a new visitor does.
var probeTransport http.RoundTripper = &http.Transport{DisableKeepAlives: true}

func (c *Client) isLive(ctx context.Context, region string, d driver.SiteDeployment) error {
	list, err := c.SiteDeployments(ctx, region, d.Site)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(list, func(o driver.SiteDeployment) bool { return o.ID == d.ID && o.Current }) {
		return problem.New(problem.Conflict, "localcloud.probe", "another deployment of site %s is live in %s", d.Site, region)
	}
	return nil
}
