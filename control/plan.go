package control

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"showrunner/cloud"
	"showrunner/pipeline"
)

// previewStage says what a stage would change, as far as that can be known
// before the stages it needs have run.
func (s *Service) previewStage(ctx context.Context, st pipeline.Stage, ps *PreviewStage) {
	switch st.Kind {
	case "deploy":
		var c pipeline.Deploy
		if json.Unmarshal(st.With, &c) != nil {
			ps.Unknown = "the capacity or strategy is an expression"
			return
		}
		s.previewDeploy(ctx, c, ps)
	case "deploy-site":
		var c pipeline.DeploySite
		if json.Unmarshal(st.With, &c) != nil {
			ps.Unknown = "the site is an expression"
			return
		}
		s.previewSite(ctx, c, ps)
	case "git", "build":
		ps.Unknown = "what it makes is known once it has run"
	}
}

func (s *Service) previewDeploy(ctx context.Context, c pipeline.Deploy, ps *PreviewStage) {
	a, regions, err := s.targets(ctx, c.Account, c.Waves)
	if err != nil {
		ps.Unknown = err.Error()
		return
	}
	for i, wave := range regions {
		for _, region := range wave {
			groups, err := a.ServerGroups(ctx, region, c.Cluster)
			if err != nil {
				ps.Changes = append(ps.Changes, fmt.Sprintf("wave %d, %s: cannot be asked: %v", i+1, region, err))
				continue
			}
			desired := c.Capacity.Desired
			var serving []string
			for _, g := range groups {
				if g.Enabled() {
					serving = append(serving, fmt.Sprintf("%s (%s, %d instances)", g.Name, g.Spec.Version, g.Capacity.Desired))
					desired = max(desired, g.Capacity.Desired)
				}
			}
			line := fmt.Sprintf("wave %d, %s: create the next version of %s with %d instances", i+1, region, c.Cluster, desired)
			if len(serving) > 0 {
				line += fmt.Sprintf("; shift traffic (%s) from %s", strategyName(c.Strategy), join(serving))
			} else {
				line += "; it takes all traffic, there is no earlier version"
			}
			ps.Changes = append(ps.Changes, line)
		}
	}
}

func strategyName(st pipeline.Strategy) string {
	switch {
	case st.None != nil:
		return "none"
	case st.Highlander != nil:
		return "highlander"
	case st.Rolling != nil:
		return "rolling"
	case st.Canary != nil:
		return "canary"
	}
	return "red-black"
}

func (s *Service) previewSite(ctx context.Context, c pipeline.DeploySite, ps *PreviewStage) {
	a, regions, err := s.targets(ctx, c.Account, c.Waves)
	if err != nil {
		ps.Unknown = err.Error()
		return
	}
	sites, err := a.Sites()
	if err != nil {
		ps.Unknown = err.Error()
		return
	}
	for i, wave := range regions {
		for _, region := range wave {
			deployments, err := sites.Deployments(ctx, region, c.Site)
			now := "new site"
			if err == nil {
				for _, d := range deployments {
					if d.Current {
						now = fmt.Sprintf("replaces %s (%s)", d.ID, d.Version)
					}
				}
			}
			ps.Changes = append(ps.Changes, fmt.Sprintf("wave %d, %s: publish site %s, %s", i+1, region, c.Site, now))
		}
	}
}

// targets finds the account and the regions of a deployment, wave by wave.
func (s *Service) targets(ctx context.Context, account string, waves []pipeline.Wave) (a *cloud.Account, regions [][]string, err error) {
	if account == "" {
		account = DefaultAccount
	}
	acc, err := s.Accounts.Account(account)
	if err != nil {
		return a, nil, err
	}
	known, err := acc.Regions(ctx)
	if err != nil {
		return a, nil, err
	}
	if len(waves) == 0 {
		var all []string
		for _, r := range known {
			all = append(all, r.Name)
		}
		return acc, [][]string{all}, nil
	}
	for _, w := range waves {
		regions = append(regions, slices.Clone(w.Regions))
	}
	return acc, regions, nil
}
