package sites

import (
	"context"

	"showrunner/cloud/driver"
	"showrunner/problem"
)

// Activate returns the site to a deployment that is kept. Nothing travels. Of the
// one that is live it places anew what S3 clients have changed. The same key does
// not act twice. Errors: not_found, unavailable.
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
			WithHelp("the deployments kept are listed by: showrunner sites deployments %s", name)
	}
	live, _ := st.live(d.Scope)
	// Ordered as of now: a publish that began earlier must not undo a person's decision.
	answer, err := s.move(ctx, t, *d, max(s.config.Now().UnixNano(), live.Order), key, false)
	if err != nil {
		return driver.SiteDeployment{}, problem.Wrap(err, "", op, "activating deployment %s of site %s", id, name)
	}
	if live.Deployment == id { // what went without anybody's hearing of it
		if err := s.repair(ctx, t); err != nil {
			return driver.SiteDeployment{}, problem.Wrap(err, "", op, "putting the bucket of site %s right", name)
		}
	}
	return answer, nil
}

// Revert undoes one deployment: the site returns to what was live before it,
// if the deployment is live still. It keeps the deployment's place in the
// order, so that a newer publish that is on its way still wins. What is live
// afterwards is returned. Errors: not_found, unavailable.
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
	previous := st.before(d.Scope)
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

// hold finds a site and takes its turn.
func (s *Sites) hold(ctx context.Context, name string) (*site, func(), error) {
	t, err := s.site(name, false)
	if err != nil {
		return nil, nil, err
	}
	release, err := t.take(ctx)
	return t, release, err
}
