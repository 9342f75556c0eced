package control

import (
	"cmp"
	"context"

	"showrunner/problem"
)

// ForgetRequest says that what was last put into traffic of a cluster or a website,
// and is not there any more, is gone on purpose.
type ForgetRequest struct {
	Account string `json:"account,omitempty"`
	Cluster string `json:"cluster,omitempty"`
	Site    string `json:"site,omitempty"`
}

// Forget ends the expectation of what is missing; what is there stays expected. It
// answers with what it forgot. Errors: invalid, denied.
func (s *Service) Forget(ctx context.Context, p Principal, r ForgetRequest) (done []string, err error) {
	if (r.Cluster == "") == (r.Site == "") {
		return nil, problem.New(problem.Invalid, opForget, "name a cluster or a site, not both")
	}
	subject := Subject{Kind: KindCluster, Name: r.Cluster, Account: cmp.Or(r.Account, DefaultAccount)}
	if r.Site != "" {
		subject.Kind, subject.Name = KindSite, r.Site
	}
	err = s.perform(ctx, p, opForget, subject, nil, func() (map[string]any, error) {
		found, err := s.Drift(ctx, p, subject.Account, "", r.Cluster, r.Site)
		if err != nil {
			return nil, err
		}
		missing := map[[2]string]bool{} // by region and group or deployment
		for _, d := range found {
			for _, x := range d.Differences {
				if x.Missing() {
					missing[[2]string{x.Region, x.ServerGroup + x.Deployment}] = true
				}
			}
		}
		done, err = s.forgetDeployed(ctx, subject.Kind, subject.Account, subject.Name, func(d Deployed) bool {
			return missing[[2]string{d.Region, d.ServerGroup + d.Deployment}]
		})
		return map[string]any{"done": done}, err
	})
	return done, err
}
