package control

import (
	"context"
	"slices"
	"strings"
	"sync"

	"showrunner/cloud"
	"showrunner/problem"
)

// SiteStatus is a website, and what each region serves of it.
type SiteStatus struct {
	Name        string                 `json:"name"`
	Account     string                 `json:"account"`
	URL         string                 `json:"url"`
	Current     []cloud.SiteDeployment `json:"current"` // for each region and part (prefix) of the site
	Unreachable map[string]string      `json:"unreachable,omitempty"`
	// Application is the application that put it into traffic last; empty when that is not known any more.
	Application string `json:"application,omitempty"`
}

// Sites lists the websites of every account that hosts some.
func (s *Service) Sites(ctx context.Context, p Principal) ([]SiteStatus, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindSite}); err != nil {
		return nil, err
	}
	if err := s.readDeployed(ctx); err != nil && problem.CodeOf(err) != problem.Unavailable {
		return nil, err
	}
	list := []SiteStatus{}
	for _, name := range s.Accounts.Names() {
		a, err := s.Accounts.Account(name)
		if err != nil {
			return nil, err
		}
		sites, err := a.Sites()
		if err != nil {
			continue // an account without websites
		}
		found, err := sitesOf(ctx, a, sites)
		if err != nil {
			return nil, err
		}
		kept, err := s.deployed(ctx, KindSite, name, "")
		if err != nil && problem.CodeOf(err) != problem.Unavailable {
			return nil, err // while the database is unreachable, sites are listed without their applications
		}
		for i := range found {
			found[i].Application = applicationOfSite(found[i].Name, kept)
		}
		list = append(list, found...)
	}
	return list, nil
}

// applicationOfSite is the application that put a site into traffic last.
func applicationOfSite(site string, kept []Deployed) string {
	var newest Deployed
	for _, d := range kept {
		if d.Name == site && (newest.Execution == "" || d.after(newest)) {
			newest = d
		}
	}
	return newest.Application
}

func sitesOf(ctx context.Context, a *cloud.Account, sites *cloud.Sites) ([]SiteStatus, error) {
	regions, err := a.Regions(ctx)
	if err != nil {
		return nil, err
	}
	byName := map[string]*SiteStatus{}
	unreachable := map[string]string{}
	for _, r := range regions {
		bounded, cancel := asking(ctx, r)
		found, err := sites.List(bounded, r.Name)
		cancel()
		if err != nil {
			unreachable[r.Name] = unreachableText(err)
			continue
		}
		for _, site := range found {
			st := byName[site.Name]
			if st == nil {
				st = &SiteStatus{Name: site.Name, Account: a.Name(), URL: sites.URL(site.Name)}
				byName[site.Name] = st
			}
			st.Current = append(st.Current, site.Current...)
		}
	}
	list := make([]SiteStatus, 0, len(byName))
	for _, st := range byName {
		if len(unreachable) > 0 {
			st.Unreachable = unreachable
		}
		list = append(list, *st)
	}
	slices.SortFunc(list, func(x, y SiteStatus) int { return strings.Compare(x.Name, y.Name) })
	return list, nil
}

// SiteDeployments lists what a site has been in every region, newest first.
// Errors: not_found, unavailable when no region answers.
func (s *Service) SiteDeployments(ctx context.Context, p Principal, account, site string) ([]cloud.SiteDeployment, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindSite, Name: site, Account: account}); err != nil {
		return nil, err
	}
	if account == "" {
		account = DefaultAccount
	}
	a, err := s.Accounts.Account(account)
	if err != nil {
		return nil, err
	}
	sites, err := a.Sites()
	if err != nil {
		return nil, err
	}
	regions, err := a.Regions(ctx)
	if err != nil {
		return nil, err
	}
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		list []cloud.SiteDeployment
		last error
	)
	for _, r := range regions {
		wg.Go(func() {
			ctx, cancel := asking(ctx, r)
			defer cancel()
			found, err := sites.Deployments(ctx, r.Name, site)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && problem.CodeOf(err) != problem.NotFound {
				last = err
			}
			list = append(list, found...)
		})
	}
	wg.Wait()
	if len(list) == 0 {
		if last != nil {
			return nil, last
		}
		return nil, problem.New(problem.NotFound, "site", "there is no site %q in account %s", site, account).WithHelp("showrunner sites lists them")
	}
	slices.SortStableFunc(list, func(x, y cloud.SiteDeployment) int { return strings.Compare(y.At, x.At) })
	return list, nil
}
