package cloud

import (
	"context"
	"regexp"

	"showrunner/pipeline"
	"showrunner/problem"
)

// SitesDriver is what an account needs of a driver that hosts websites.
// Package cloud/driver states the contract of each method.
type SitesDriver interface {
	Publish(ctx context.Context, region string, req PublishRequest, key string, progress func(done, total int)) (SiteDeployment, error)
	SiteDeployments(ctx context.Context, region, site string) ([]SiteDeployment, error)
	Activate(ctx context.Context, region, site, deployment, key string) (SiteDeployment, error)
	SiteURL(site string) string
}

// SiteReverter is the optional power to undo one deployment and nothing newer.
type SiteReverter interface {
	// Revert returns the site to what was live before the deployment, if the deployment is still
	// what is live; when something else is live by now, nothing happens. It returns what is live
	// afterwards. A deployment that replaced nothing stays, and is returned.
	Revert(ctx context.Context, region, site, deployment, key string) (SiteDeployment, error)
}

// SitePreparer is the optional power to have everything that a deployment needs in a region
// before any region goes over to it: then nobody who got the new page in one region misses
// what it refers to in another.
type SitePreparer interface {
	// PrepareSite copies in what Publish with the same request and key will need, and changes
	// nothing that visitors see but that the new page's assets can be had.
	PrepareSite(ctx context.Context, region string, req PublishRequest, key string, progress func(done, total int)) error
}

// SiteProber is the optional power to ask a region's front door for the site.
type SiteProber interface {
	// ProbeSite answers nil when visitors of the region get the index of the deployment with
	// status 200. The error says what they get instead.
	ProbeSite(ctx context.Context, region string, d SiteDeployment) error
}

// SiteLister is the optional power to list a region's sites.
type SiteLister interface {
	ListSites(ctx context.Context, region string) ([]Site, error)
}

// SiteWatcher is the optional power to tell what was changed by hand.
type SiteWatcher interface {
	// SiteChanges lists the objects of what is live that are not as they were placed. Errors: not_found.
	SiteChanges(ctx context.Context, region, site string) ([]SiteChange, error)
}

// Sites is an account's power to host websites.
type Sites struct {
	account *Account
	driver  SitesDriver
}

// Sites returns the account's power to host websites. Errors: precondition when
// its driver has none.
func (a *Account) Sites() (*Sites, error) {
	d, ok := a.driver.(SitesDriver)
	if !ok {
		return nil, problem.New(problem.Precondition, "cloud.sites", "account %s hosts no websites", a.name)
	}
	return &Sites{account: a, driver: d}, nil
}

// Publish makes the artifact the site's content in the region.
func (s *Sites) Publish(ctx context.Context, region string, req PublishRequest, key string, progress func(done, total int)) (d SiteDeployment, err error) {
	const op = "cloud.publish"
	if err := first(CheckSiteName(req.Config.Site), checkKey(op, key)); err != nil {
		return SiteDeployment{}, err
	}
	if progress == nil {
		progress = func(int, int) {}
	}
	err = s.account.do(op, region, "publishing site "+req.Config.Site, func() error {
		d, err = s.driver.Publish(ctx, region, req, key, progress)
		return err
	})
	return d, err
}

// Prepare has everything that a Publish with the same request and key needs in the region; with
// a driver that cannot, it does nothing.
func (s *Sites) Prepare(ctx context.Context, region string, req PublishRequest, key string, progress func(done, total int)) error {
	const op = "cloud.prepare-site"
	if err := first(CheckSiteName(req.Config.Site), checkKey(op, key)); err != nil {
		return err
	}
	p, ok := s.driver.(SitePreparer)
	if !ok {
		return nil
	}
	return s.account.do(op, region, "preparing site "+req.Config.Site, func() error {
		return p.PrepareSite(ctx, region, req, key, progress)
	})
}

// Deployments lists what the site has been, newest first.
func (s *Sites) Deployments(ctx context.Context, region, site string) (list []SiteDeployment, err error) {
	if err := CheckSiteName(site); err != nil {
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
	if err := first(CheckSiteName(site), checkKey(op, key)); err != nil {
		return SiteDeployment{}, err
	}
	err = s.account.do(op, region, "activating deployment "+deployment+" of site "+site, func() error {
		d, err = s.driver.Activate(ctx, region, site, deployment, key)
		return err
	})
	return d, err
}

// Revert undoes one deployment, if it is still what is live. A driver without
// the power is asked for its history instead.
func (s *Sites) Revert(ctx context.Context, region, site, deployment, key string) (d SiteDeployment, err error) {
	r, ok := s.driver.(SiteReverter)
	if !ok {
		return SiteDeployment{}, problem.New(problem.Precondition, "cloud.revert", "account %s cannot revert sites", s.account.name)
	}
	err = s.account.do("cloud.revert", region, "reverting site "+site, func() error {
		d, err = r.Revert(ctx, region, site, deployment, key)
		return err
	})
	return d, err
}

// Probe asks the region for the site as a visitor would; an account that
// cannot probe says so with precondition.
func (s *Sites) Probe(ctx context.Context, region string, d SiteDeployment) error {
	p, ok := s.driver.(SiteProber)
	if !ok {
		return problem.New(problem.Precondition, "cloud.probe-site", "account %s cannot probe sites", s.account.name)
	}
	return s.account.do("cloud.probe-site", region, "asking for site "+d.Site, func() error {
		return p.ProbeSite(ctx, region, d)
	})
}

// List lists the region's sites.
func (s *Sites) List(ctx context.Context, region string) (list []Site, err error) {
	l, ok := s.driver.(SiteLister)
	if !ok {
		return nil, problem.New(problem.Precondition, "cloud.sites", "account %s cannot list sites", s.account.name)
	}
	err = s.account.do("cloud.sites", region, "listing the sites", func() error {
		list, err = l.ListSites(ctx, region)
		return err
	})
	return list, err
}

// Changes lists the objects of what is live in the region that somebody has
// changed; a driver that cannot tell lists none.
func (s *Sites) Changes(ctx context.Context, region, site string) (list []SiteChange, err error) {
	w, ok := s.driver.(SiteWatcher)
	if !ok {
		return nil, nil
	}
	err = s.account.do("cloud.site-changes", region, "comparing site "+site, func() error {
		list, err = w.SiteChanges(ctx, region, site)
		return err
	})
	return list, err
}

// URL is where people find the site.
func (s *Sites) URL(site string) string { return s.driver.SiteURL(site) }

var (
	siteName  = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	nameChars = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$`)
)

// CheckSiteName holds a site's name to the rules of bucket names, since it
// becomes one, and a host name too.
func CheckSiteName(site string) error {
	if siteName.MatchString(site) && !doubleDot.MatchString(site) {
		return nil
	}
	return problem.New(problem.Invalid, "cloud.site", "%q is no name for a site", site).
		WithHelp("a site's name is 3 to 63 lower-case letters, digits, dots and hyphens, beginning and ending with a letter or digit")
}

var doubleDot = regexp.MustCompile(`\.\.|\.-|-\.`)

func checkName(op, what, name string) error {
	if nameChars.MatchString(name) {
		return nil
	}
	return problem.New(problem.Invalid, op, "%q is no name of a %s", name, what).
		WithHelp("names are letters, digits, dots, underscores and hyphens, beginning with a letter or digit")
}

func checkKey(op, key string) error {
	if key != "" {
		return nil
	}
	return problem.New(problem.Invalid, op, "the idempotency key is empty")
}

func checkCapacity(op string, c pipeline.Capacity) error {
	if c.Min >= 0 && c.Min <= c.Desired && c.Desired <= c.Max {
		return nil
	}
	return problem.New(problem.Invalid, op, "capacity min %d, desired %d, max %d is not in order", c.Min, c.Desired, c.Max).
		WithHelp("0 <= min <= desired <= max")
}

// first returns the first error: a caller is told one thing to mend at a time.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
