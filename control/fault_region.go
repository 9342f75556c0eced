package control

import (
	"context"
	"slices"

	"showrunner/problem"
)

// spareRegion refuses the outage of a region without which something would serve
// nowhere: no other region answers, or a cluster or a site is in that one alone.
// Errors: precondition.
func (s *Service) spareRegion(ctx context.Context, r FaultRequest, clusters []Cluster) error {
	refuse := func(format string, args ...any) error {
		return problem.New(problem.Precondition, opFaultStart, "nothing was begun: "+format, args...)
	}
	a, err := s.Accounts.Account(r.Account)
	if err != nil {
		return err
	}
	regions, err := a.Regions(ctx)
	if err != nil {
		return err
	}
	var others []string
	for _, other := range regions {
		if other.Name != r.Region && other.Healthy {
			others = append(others, other.Name)
		}
	}
	if len(others) == 0 {
		return refuse("no region besides %s serves", r.Region)
	}
	for _, c := range clusters {
		here, elsewhere := 0, 0
		for _, g := range c.Groups {
			switch {
			case !g.Enabled() || g.Destroying:
			case g.Region == r.Region:
				here += g.Serving()
			case slices.Contains(others, g.Region):
				elsewhere += g.Serving()
			}
		}
		if here > 0 && elsewhere == 0 {
			return refuse("cluster %s serves in %s alone", c.Name, r.Region)
		}
	}
	return nil
}
