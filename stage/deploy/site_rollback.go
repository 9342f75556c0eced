package deploy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// site carries out the rollback of a website: one action, which the regions
// recognise by its key when it is repeated.
func (k *Rollback) site(ctx context.Context, in *stage.Input, account *cloud.Account, c pipeline.Rollback) (stage.Result, error) {
	done, err := RollbackSite(ctx, account, c.Site, c.To, c.Regions, in.Key.String())
	if err != nil {
		if problem.CodeOf(err) == problem.Unavailable {
			return stage.Result{}, err
		}
		f := stage.Failure{Code: "ROLLBACK_TARGET_MISSING", Cause: problem.Text(err), Help: problem.HelpOf(err)}
		for _, d := range done {
			f.Evidence = append(f.Evidence, d.Region+" serves "+d.ID+" ("+d.Version+")")
		}
		return stage.Fail(f), nil
	}
	regions := make([]any, len(done))
	for i, d := range done {
		regions[i] = d.Region
	}
	return stage.Result{Outcome: stage.Done, Outputs: map[string]any{
		"site": c.Site, "account": accountOrLocal(c.Account), "prefix": done[0].Prefix, "archive": done[0].Archive,
		"version": done[0].Version, "deployment": done[0].ID, "regions": regions,
	}}, nil
}

// RollbackSite returns a site to an earlier deployment in every region of the
// account, or in the named regions, without a build and without copying files. To
// is a deployment, a version or an execution; empty is the deployment that was
// live before the present one. The same key does not act twice. A region that has
// no such deployment is left alone. That is an error only when the region was
// named or when no region has the deployment; finished regions are returned
// beside an error. Errors: not_found, precondition (nothing to return to),
// unavailable.
func RollbackSite(ctx context.Context, account *cloud.Account, site, to string, regions []string, key string) ([]cloud.SiteDeployment, error) {
	sites, err := account.Sites()
	if err != nil {
		return nil, err
	}
	named := len(regions) > 0
	if !named {
		all, err := account.Regions(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range all {
			regions = append(regions, r.Name)
		}
	}
	if len(regions) == 0 {
		return nil, problem.New(problem.NotFound, "site.rollback", "account %s has no regions", account.Name())
	}
	answers := make([]*cloud.SiteDeployment, len(regions))
	errs := make([]error, len(regions))
	var group sync.WaitGroup
	for i, region := range regions {
		group.Go(func() {
			d, err := rollbackIn(ctx, sites, region, site, to, key)
			if errs[i] = err; err == nil {
				answers[i] = &d
			}
		})
	}
	group.Wait()
	var done []cloud.SiteDeployment
	for _, d := range answers {
		if d != nil {
			done = append(done, *d)
		}
	}
	if !named && len(done) > 0 {
		errs = slices.DeleteFunc(errs, func(err error) bool { return problem.CodeOf(err) == problem.NotFound })
	}
	if nothingEarlier(errs) {
		return nil, problem.New(problem.Precondition, "site.rollback", "site %s has no earlier deployment in %s", site, strings.Join(regions, ", ")).
			WithHelp("deliver another version first; showrunner sites deployments %s lists what there is", site)
	}
	if err := errors.Join(errs...); err != nil {
		var worst error
		for _, e := range errs {
			if e != nil && (worst == nil || problem.CodeOf(e) == problem.Unavailable) {
				worst = e
			}
		}
		return done, problem.Wrap(err, problem.CodeOf(worst), "site.rollback", "site %s was returned in %d of %d regions", site, len(done), len(regions)).
			WithHelp("showrunner sites deployments %s lists what there is", site)
	}
	return done, nil
}

// errNothingEarlier is the error of a region that serves its first deployment.
var errNothingEarlier error = problem.New(problem.Precondition, "site.rollback", "there is no earlier deployment")

// nothingEarlier tells whether no region has a deployment to return to, or the
// site at all.
func nothingEarlier(errs []error) bool {
	nothing := false
	for _, err := range errs {
		switch {
		case errors.Is(err, errNothingEarlier):
			nothing = true
		case problem.CodeOf(err) != problem.NotFound:
			return false
		}
	}
	return nothing
}

func rollbackIn(ctx context.Context, sites *cloud.Sites, region, site, to, key string) (cloud.SiteDeployment, error) {
	list, err := sites.Deployments(ctx, region, site)
	if err != nil {
		return cloud.SiteDeployment{}, err
	}
	target, err := chooseDeployment(list, to)
	if err != nil {
		return cloud.SiteDeployment{}, problem.Wrap(err, "", "site.rollback", "site %s in %s", site, region)
	}
	return sites.Activate(ctx, region, site, target, key)
}

// chooseDeployment finds the deployment to return to in a history, newest first.
func chooseDeployment(history []cloud.SiteDeployment, to string) (id string, err error) {
	for _, d := range history {
		if to == "" && d.Current && d.Previous != "" {
			return d.Previous, nil
		}
		if to != "" && (d.ID == to || d.Execution == to || d.Version == to || len(to) >= 7 && strings.HasPrefix(d.Version, to)) {
			return d.ID, nil
		}
	}
	if to == "" {
		return "", errNothingEarlier
	}
	return "", problem.New(problem.NotFound, "site.rollback", "no deployment, version or execution %q is kept", to)
}
