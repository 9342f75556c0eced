package control

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"showrunner/cloud"
	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/rollout"
)

// previewStage says what a stage would change, as far as that can be known
// before the stages it needs have run.
func (s *Service) previewStage(ctx context.Context, st pipeline.Stage, scope pipeline.Scope, ps *PreviewStage) {
	if reason, _, err := execution.WindowClosed(st.Windows, s.Now()); reason != "" {
		ps.Held = reason
	} else if err != nil {
		ps.Unknown = problem.Text(err)
		return
	}
	switch st.Kind {
	case "deploy", "deploy-site", "rollback":
		e := execution.Head{Application: scope.Execution.Application, Pipeline: scope.Execution.Pipeline}
		if open, reason, _ := s.FreezeWatch.Allows(ctx, e, &st); !open {
			ps.Held = strings.TrimPrefix(ps.Held+"; "+reason, "; ")
		}
	}
	config, err := pipeline.Resolve(st, scope)
	if err != nil {
		ps.Unknown = "its configuration needs what earlier stages put out: " + problem.Text(err)
		return
	}
	switch c := config.(type) {
	case pipeline.Deploy:
		s.previewDeploy(ctx, c, ps)
	case pipeline.DeploySite:
		s.previewSite(ctx, c, ps)
	case pipeline.Rollback:
		s.previewRollback(ctx, c, ps)
	case pipeline.Git, pipeline.Object, pipeline.Build:
		ps.Unknown = "what it makes is known once it has run"
	}
}

func (s *Service) previewDeploy(ctx context.Context, c pipeline.Deploy, ps *PreviewStage) {
	a, regions, err := s.targets(ctx, c.Account, c.Waves)
	if err != nil {
		cannotTarget(err, ps)
		return
	}
	spec := rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: c.Cluster, Capacity: c.Capacity, Workload: cloud.Workload{Process: &cloud.Process{Command: c.Command}}}, Strategy: c.Strategy, Undo: c.OnFailure, Timeout: rollout.DefaultTimeout(c.Health, c.Hooks)}
	for i, wave := range regions {
		w := pipeline.Wave{Regions: wave}
		if i < len(c.Waves) {
			w.Bake = c.Waves[i].Bake
		}
		spec.Waves = append(spec.Waves, w)
	}
	loop := rollout.Loop{Cloud: a, Now: s.Now}
	bounded, cancel := context.WithTimeoutCause(ctx, answerWithin, fmt.Errorf("it has not answered within %s", answerWithin))
	defer cancel()
	observed := loop.Observe(bounded, spec)
	if f := rollout.Refusal(spec, observed, s.Now()); f != nil {
		ps.Refused = f.Cause + "; " + f.Help
		return
	}
	ps.Changes = rollout.Preview(spec, observed, s.Now())
	undo := map[string]string{"all": "every wave is undone", "wave": "its wave is undone, earlier ones stay", "none": "nothing is undone"}[c.OnFailure]
	if undo != "" {
		ps.Changes = append(ps.Changes, "if it fails: "+undo)
	}
}

func (s *Service) previewSite(ctx context.Context, c pipeline.DeploySite, ps *PreviewStage) {
	a, regions, err := s.targets(ctx, c.Account, c.Waves)
	if err != nil {
		cannotTarget(err, ps)
		return
	}
	sites, err := a.Sites()
	if err != nil {
		ps.Unknown = problem.Text(err)
		return
	}
	bounded, cancel := context.WithTimeoutCause(ctx, answerWithin, fmt.Errorf("it has not answered within %s", answerWithin))
	defer cancel()
	for i, wave := range regions {
		for _, region := range wave {
			ps.Changes = append(ps.Changes, fmt.Sprintf("wave %d, %s: publish site %s, %s", i+1, region, c.Site, replacing(bounded, sites, region, c.Site)))
		}
	}
}

// replacing says what a deployment of a site replaces in a region.
func replacing(ctx context.Context, sites *cloud.Sites, region, site string) string {
	deployments, err := sites.Deployments(ctx, region, site)
	if err != nil && problem.CodeOf(err) != problem.NotFound {
		return "which cannot be asked now: " + problem.Text(err)
	}
	for _, d := range deployments {
		if d.Current {
			return fmt.Sprintf("replaces %s (%s)", d.ID, d.Version)
		}
	}
	return "new site"
}

func (s *Service) previewRollback(ctx context.Context, c pipeline.Rollback, ps *PreviewStage) {
	var err error
	ps.Changes, ps.Refused, err = s.PreviewRollback(ctx, internal, RollbackRequest{Account: c.Account, Cluster: c.Cluster, Site: c.Site, To: c.To, Regions: c.Regions})
	if err != nil {
		ps.Unknown = problem.Text(err)
	}
}

// noRegion is the error for a region that an account does not have.
func noRegion(account, region string, known []cloud.Region) error {
	var names []string
	for _, r := range known {
		names = append(names, r.Name)
	}
	help := "there are: " + join(names)
	if meant := pipeline.Nearest(region, names); meant != "" {
		help = "did you mean " + meant + "? " + help
	}
	return problem.New(problem.NotFound, "plan", "there is no region %q in account %s", region, account).WithHelp("%s", help)
}

// knowRegions refuses regions that an account does not have. Errors: not_found.
func (s *Service) knowRegions(ctx context.Context, account string, names ...string) error {
	if len(names) == 0 {
		return nil
	}
	_, _, err := s.targets(ctx, account, []pipeline.Wave{{Regions: names}})
	return err
}

// cannotTarget says in a preview why a stage's regions cannot be used: a region that is
// not there refuses the stage, anything else leaves unknown what it would do.
func cannotTarget(err error, ps *PreviewStage) {
	if problem.CodeOf(err) == problem.NotFound {
		ps.Refused = problem.Text(err)
		if help := problem.HelpOf(err); help != "" {
			ps.Refused += "; " + help
		}
		return
	}
	ps.Unknown = problem.Text(err)
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
		for _, region := range w.Regions {
			if !slices.ContainsFunc(known, func(r cloud.Region) bool { return r.Name == region }) {
				return acc, nil, noRegion(account, region, known)
			}
		}
		regions = append(regions, slices.Clone(w.Regions))
	}
	return acc, regions, nil
}
