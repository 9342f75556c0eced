package sites

import (
	"context"

	"showrunner/cloud/driver"
	"showrunner/problem"
)

// Activate returns the site to a stored deployment without copying files. When
// the deployment is live already, objects that S3 clients have changed are placed
// again. The same key does not act twice. Errors: not_found, unavailable.
func (s *Sites) Activate(ctx context.Context, name, id, key string) (driver.SiteDeployment, error) {
	const op = "sites.activate"
	t, release, err := s.hold(ctx, name)
	if err != nil {
		return driver.SiteDeployment{}, err
	}
	defer release()
	if d, ok := s.answered(t, key); ok {
		return d, nil
	}
	st := t.now()
	d := st.find(id)
	if d == nil {
		return driver.SiteDeployment{}, problem.New(problem.NotFound, op, "site %s has no deployment %s in %s", name, id, s.config.Region).
			WithHelp("`showrunner sites deployments %s` lists the deployments that are kept", name)
	}
	live, _ := st.live(d.Scope)
	// Ordered as of now: a publish that began earlier must not undo a person's
	// decision.
	answer, err := s.move(ctx, t, *d, max(s.config.Now().UnixNano(), live.Order), key, false)
	if err != nil {
		return driver.SiteDeployment{}, problem.Wrap(err, "", op, "activating deployment %s of site %s", id, name)
	}
	if live.Deployment == id { // includes changes that were made past the storage
		if err := s.repair(ctx, t); err != nil {
			return driver.SiteDeployment{}, problem.Wrap(err, "", op, "repairing the bucket of site %s", name)
		}
	}
	return answer, nil
}

// Revert undoes one deployment: if the deployment is still live, the site returns
// to the one before. It keeps the reverted deployment's order, so that a newer
// publish that is already running still wins. It returns the deployment that is
// live afterwards. Errors: not_found, unavailable.
func (s *Sites) Revert(ctx context.Context, name, id, key string) (driver.SiteDeployment, error) {
	const op = "sites.revert"
	t, release, err := s.hold(ctx, name)
	if err != nil {
		return driver.SiteDeployment{}, err
	}
	defer release()
	st := t.now()
	d := st.find(id)
	if d == nil {
		return driver.SiteDeployment{}, problem.New(problem.NotFound, op, "site %s has no deployment %s in %s", name, id, s.config.Region)
	}
	live, _ := st.live(d.Scope)
	previous := st.rollbackTarget(d.Scope)
	if live.Deployment != id || previous == nil {
		if current := st.find(live.Deployment); current != nil {
			d = current
		}
		answer := d.SiteDeployment
		answer.Current = true
		return answer, nil
	}
	answer, err := s.move(ctx, t, *previous, live.Order, key, false)
	if err != nil {
		return driver.SiteDeployment{}, problem.Wrap(err, "", op, "reverting deployment %s of site %s", id, name)
	}
	return answer, nil
}

// hold finds a site and takes its lock.
func (s *Sites) hold(ctx context.Context, name string) (*site, func(), error) {
	t, err := s.site(name, false)
	if err != nil {
		return nil, nil, err
	}
	release, err := t.take(ctx)
	return t, release, err
}
