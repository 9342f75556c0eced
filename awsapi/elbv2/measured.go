package elbv2

import (
	"context"
	"slices"
	"strings"
)

// Measured is a target group whose requests one load balancer sends.
type Measured struct {
	LoadBalancer, TargetGroup string // as the dimensions of CloudWatch name them
	Clusters                  []string
	Healthy, Unhealthy        int // targets
}

// Measured are the target groups of a region that a load balancer forwards to.
func (s *Service) Measured(ctx context.Context, region string) ([]Measured, error) {
	users, err := s.users(ctx, region)
	if err != nil || len(users) == 0 {
		return nil, err
	}
	known, groups, err := s.instances(ctx, region)
	if err != nil {
		return nil, err
	}
	var out []Measured
	for arn, balancers := range users {
		t, err := s.target(ctx, region, arn)
		if err != nil {
			continue // it was deleted meanwhile
		}
		m := Measured{TargetGroup: arn[strings.LastIndex(arn, ":")+1:]}
		if m.Clusters, err = s.clusters(ctx, region, arn); err != nil {
			return nil, err
		}
		count := func(healthy bool) {
			if healthy {
				m.Healthy++
			} else {
				m.Unhealthy++
			}
		}
		for _, g := range groups {
			if slices.Contains(m.Clusters, g.Spec.Cluster) {
				for _, i := range g.Instances {
					count(i.Serving())
				}
			}
		}
		for _, one := range t.Targets {
			count(known[one.ID].Serving())
		}
		for _, b := range balancers {
			_, m.LoadBalancer, _ = strings.Cut(b, ":loadbalancer/")
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b Measured) int {
		return strings.Compare(a.LoadBalancer+a.TargetGroup, b.LoadBalancer+b.TargetGroup)
	})
	return out, nil
}
