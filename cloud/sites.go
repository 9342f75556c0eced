package cloud

import (
	"context"

	"showrunner/cloud/driver"
	"showrunner/problem"
)

// Sites is an account's ability to host websites.
type Sites struct {
	account *Account
	driver  driver.Sites
}

// Sites returns the account's ability to host websites. Errors: precondition when
// its driver has none.
func (a *Account) Sites() (*Sites, error) {
	d, ok := a.driver.(driver.Sites)
	if !ok {
		return nil, problem.New(problem.Precondition, "cloud.sites", "account %s hosts no websites", a.name)
	}
	return &Sites{account: a, driver: d}, nil
}

// Publish makes the artifact the site's content in the region.
func (s *Sites) Publish(ctx context.Context, region string, req PublishRequest, key string, progress func(done, total int)) (d SiteDeployment, err error) {
	const op = "cloud.publish"
	if err := first(driver.CheckSiteName(req.Config.Site), checkKey(op, key)); err != nil {
		return SiteDeployment{}, err
	}
	if progress == nil {
		progress = func(int, int) {}
	}
	err = s.account.do(op, region, "publishing site "+req.Config.Site, func() error {
		d, err = once(ctx, s.account, op, region, key, req, func(ctx context.Context) (SiteDeployment, error) {
			return s.driver.Publish(ctx, region, req, key, progress)
		})
		return err
	})
	return d, err
}

// Prepare copies all files that a Publish with the same request and key needs to
// the region. It does nothing when the driver cannot prepare sites.
func (s *Sites) Prepare(ctx context.Context, region string, req PublishRequest, key string, progress func(done, total int)) error {
	const op = "cloud.prepare-site"
	if err := first(driver.CheckSiteName(req.Config.Site), checkKey(op, key)); err != nil {
		return err
	}
	p, ok := s.driver.(driver.SitePreparer)
	if !ok {
		return nil
	}
	return s.account.do(op, region, "preparing site "+req.Config.Site, func() error {
		return p.PrepareSite(ctx, region, req, key, progress)
	})
}

// Deployments lists the site's deployments, newest first.
func (s *Sites) Deployments(ctx context.Context, region, site string) (list []SiteDeployment, err error) {
	if err := driver.CheckSiteName(site); err != nil {
		return nil, err
	}
	err = s.account.do("cloud.site-deployments", region, "reading the deployments of site "+site, func() error {
		list, err = s.driver.SiteDeployments(ctx, region, site)
		return err
	})
	return list, err
}

// Activate returns the site to an earlier deployment.
func (s *Sites) Activate(ctx context.Context, region, site, deployment, key string) (d SiteDeployment, err error) {
	const op = "cloud.activate"
	if err := first(driver.CheckSiteName(site), checkKey(op, key)); err != nil {
		return SiteDeployment{}, err
	}
	err = s.account.do(op, region, "activating deployment "+deployment+" of site "+site, func() error {
		d, err = once(ctx, s.account, op, region, key, []string{site, deployment}, func(ctx context.Context) (SiteDeployment, error) {
			return s.driver.Activate(ctx, region, site, deployment, key)
		})
		return err
	})
	return d, err
}

// Revert undoes one deployment if it is still live. For a driver that cannot
// revert, Revert activates the earlier deployment from the history.
func (s *Sites) Revert(ctx context.Context, region, site, deployment, key string) (d SiteDeployment, err error) {
	r, ok := s.driver.(driver.SiteReverter)
	if !ok {
		return SiteDeployment{}, problem.New(problem.Precondition, "cloud.revert", "account %s cannot revert sites", s.account.name)
	}
	err = s.account.do("cloud.revert", region, "reverting site "+site, func() error {
		d, err = once(ctx, s.account, "cloud.revert", region, key, []string{site, deployment}, func(ctx context.Context) (SiteDeployment, error) {
			return r.Revert(ctx, region, site, deployment, key)
		})
		return err
	})
	return d, err
}

// Probe requests the site from the region as a visitor would. Errors:
// precondition for an account that cannot probe.
func (s *Sites) Probe(ctx context.Context, region string, d SiteDeployment) error {
	p, ok := s.driver.(driver.SiteProber)
	if !ok {
		return problem.New(problem.Precondition, "cloud.probe-site", "account %s cannot probe sites", s.account.name)
	}
	return s.account.do("cloud.probe-site", region, "asking for site "+d.Site, func() error {
		return p.ProbeSite(ctx, region, d)
	})
}

// List lists the region's sites.
func (s *Sites) List(ctx context.Context, region string) (list []Site, err error) {
	l, ok := s.driver.(driver.SiteLister)
	if !ok {
		return nil, problem.New(problem.Precondition, "cloud.sites", "account %s cannot list sites", s.account.name)
	}
	err = s.account.do("cloud.sites", region, "listing the sites", func() error {
		list, err = l.ListSites(ctx, region)
		return err
	})
	return list, err
}

// Changes lists the live objects in the region that were changed outside
// deployments. The list is empty when the driver cannot detect changes.
func (s *Sites) Changes(ctx context.Context, region, site string) (list []SiteChange, err error) {
	w, ok := s.driver.(driver.SiteWatcher)
	if !ok {
		return nil, nil
	}
	err = s.account.do("cloud.site-changes", region, "comparing site "+site, func() error {
		list, err = w.SiteChanges(ctx, region, site)
		return err
	})
	return list, err
}

// URL is the site's address for users.
func (s *Sites) URL(site string) string { return s.driver.SiteURL(site) }
