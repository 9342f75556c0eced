package control

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"showrunner/cloud"
	"showrunner/problem"
)

// Missing is something that should be there and is not: a region that is down, or a
// cluster or a website in a region where it was put into traffic.
type Missing struct {
	Subject Subject `json:"subject"`
	Region  string  `json:"region"`
	// Deployed is the server group or deployment that was put into traffic last, with
	// its version; empty for a region.
	Deployed string `json:"deployed,omitempty"`
	Why      string `json:"why"`
	Help     string `json:"help"`
}

// String is one line for people.
func (m Missing) String() string {
	text := m.Subject.String()
	if m.Deployed != "" {
		text += " in " + m.Region + " (" + m.Deployed + ")"
	}
	return text + ": " + m.Why
}

// Missing lists what should be there and is not: regions first, then what was put
// into traffic in them, of an application or of all. Errors: denied, unavailable.
func (s *Service) Missing(ctx context.Context, p Principal, application string) ([]Missing, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindCluster, Application: application}); err != nil {
		return nil, err
	}
	if err := s.readDeployed(ctx); err != nil && problem.CodeOf(err) != problem.Unavailable {
		return nil, err // while the database is unreachable, what is remembered has to do
	}
	list := []Missing{}
	for _, name := range s.Accounts.Names() {
		a, err := s.Accounts.Account(name)
		if err != nil {
			return nil, err
		}
		regions, err := a.Regions(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range regions {
			if !r.Healthy {
				list = append(list, Missing{Subject: Subject{Kind: KindRegion, Name: r.Name, Account: name}, Region: r.Name, Why: "it does not answer", Help: fmt.Sprintf("showrunner regions start %s brings back a region that was stopped; showrunner doctor says more", r.Name)})
			}
		}
		found, err := s.missingIn(ctx, a, regions, application)
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
	}
	return list, nil
}

// missingIn lists what was put into traffic in an account and is not there.
func (s *Service) missingIn(ctx context.Context, a *cloud.Account, regions []cloud.Region, application string) ([]Missing, error) {
	kept, err := s.deployed(ctx, KindCluster, a.Name(), "")
	if err != nil {
		return nil, err
	}
	sites, err := s.deployed(ctx, KindSite, a.Name(), "")
	if err != nil {
		return nil, err
	}
	kept = slices.DeleteFunc(append(kept, sites...), func(d Deployed) bool { return application != "" && d.Application != application })
	if len(kept) == 0 {
		return nil, nil
	}
	groups, err := observe(ctx, a, "")
	if err != nil {
		return nil, err
	}
	var live []SiteStatus
	if driver, err := a.Sites(); err == nil {
		if live, err = sitesOf(ctx, a, driver); err != nil {
			return nil, err
		}
	}
	var list []Missing
	for _, d := range kept {
		m := Missing{Subject: Subject{Kind: d.Kind, Name: d.Name, Application: d.Application, Account: d.Account}, Region: d.Region,
			Deployed: fmt.Sprintf("%s, %s", cmp.Or(d.ServerGroup, d.Deployment), d.Version)}
		m.Why = missingWhy(d, regions, groups, live)
		if m.Why == "" {
			continue
		}
		m.Help = fmt.Sprintf("bring the region back, or run the pipeline again; if it is gone on purpose: showrunner drift --%s %s --forget", d.Kind, d.Name)
		list = append(list, m)
	}
	slices.SortStableFunc(list, func(x, y Missing) int { return strings.Compare(x.Subject.Name, y.Subject.Name) })
	return list, nil
}

// missingWhy says why something that was deployed is not there; "" when it is.
func missingWhy(d Deployed, regions []cloud.Region, groups observed, sites []SiteStatus) string {
	i := slices.IndexFunc(regions, func(r cloud.Region) bool { return r.Name == d.Region })
	if i < 0 {
		return d.Region + " is no region of this control plane"
	}
	if !regions[i].Healthy {
		return "region " + d.Region + " does not answer"
	}
	if d.Kind == KindSite {
		for _, st := range sites {
			if st.Name == d.Name && (st.Unreachable[d.Region] != "" || slices.ContainsFunc(st.Current, func(x cloud.SiteDeployment) bool {
				return x.Region == d.Region && x.Prefix == d.Prefix && x.Archive == d.Archive
			})) {
				return ""
			}
		}
		return "nothing of it is live"
	}
	if why := groups.unreachable[d.Region]; why != "" {
		return "region " + d.Region + " cannot be asked: " + why
	}
	for _, c := range groups.clusters {
		if c.Name == d.Name && slices.ContainsFunc(c.Groups, func(g cloud.ServerGroup) bool { return g.Region == d.Region && g.Enabled() }) {
			return ""
		}
	}
	return "no version of it has traffic"
}
