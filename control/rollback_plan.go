package control

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/rollout"
)

// PreviewRollback says what a rollback would do now, region by region, without
// doing it; refused says why it would not be done at all. Errors: not_found, denied.
func (s *Service) PreviewRollback(ctx context.Context, p Principal, r RollbackRequest) (lines []string, refused string, err error) {
	lines, err = s.planRollback(ctx, p, r)
	if refusal, ok := problem.Of(err); ok && lines != nil {
		return lines, sentence(refusal), nil
	}
	if err != nil {
		return nil, "", err
	}
	if busy, ok := problem.Of(s.unclaimed(ctx, p, r)); ok && busy.Code == problem.Conflict {
		refused = "Busy: " + sentence(busy)
	}
	return lines, refused, nil
}

// sentence is an error with its help, for a page.
func sentence(e *problem.Error) string {
	text := e.Message
	if help := problem.HelpOf(e); help != "" {
		text += "; " + help
	}
	return text + "."
}

// planRollback says what a rollback would do now, region by region. It refuses what the
// rollback's stage would refuse; lines are then not nil either. Errors: not_found,
// precondition, denied, unavailable.
func (s *Service) planRollback(ctx context.Context, p Principal, r RollbackRequest) (lines []string, err error) {
	if r.Site != "" {
		return s.planSiteRollback(ctx, p, r)
	}
	_, c, err := s.cluster(ctx, p, r.Account, r.Cluster)
	if err != nil {
		return nil, err
	}
	asked := func(region string) bool { return len(r.Regions) == 0 || slices.Contains(r.Regions, region) }
	groups := map[string][]cloud.ServerGroup{}
	for _, g := range c.Groups {
		if asked(g.Region) {
			groups[g.Region] = append(groups[g.Region], g)
		}
	}
	lines = []string{}
	chosen, missing := rollout.Restorable(groups, r.To, nil)
	for _, region := range slices.Sorted(maps.Keys(groups)) {
		to, ok := chosen[region]
		if !ok {
			if !slices.Contains(missing, region) {
				lines = append(lines, region+": stays as it is, it does not serve the newest version")
			}
			continue
		}
		lines = append(lines, region+": "+returning(groups[region], to))
	}
	away := 0
	for _, region := range slices.Sorted(maps.Keys(c.Unreachable)) {
		if asked(region) {
			away++
			lines = append(lines, region+": cannot be asked now; it may come back with the version that is rolled back")
		}
	}
	if len(groups) == 0 && away > 0 {
		return lines, nil // its execution waits for the regions
	}
	if len(groups) == 0 {
		return lines, problem.New(problem.NotFound, opRollback, "cluster %s is not in %s", c.Name, join(r.Regions)).
			WithHelp("it is in %s", join(regionsOf(c.Groups)))
	}
	return lines, refuseTarget(keptOfCluster(c), r.To, slices.Sorted(maps.Keys(chosen)), missing)
}

// planSiteRollback is planRollback of a website.
func (s *Service) planSiteRollback(ctx context.Context, p Principal, r RollbackRequest) (lines []string, err error) {
	deployments, err := s.SiteDeployments(ctx, p, r.Account, r.Site)
	if err != nil {
		return nil, err
	}
	byRegion, err := s.healthyOf(ctx, r)
	if err != nil {
		return nil, err
	}
	for _, d := range deployments {
		if len(r.Regions) == 0 || slices.Contains(r.Regions, d.Region) {
			byRegion[d.Region] = append(byRegion[d.Region], d)
		}
	}
	lines = []string{}
	if len(byRegion) == 0 {
		return append(lines, join(r.Regions)+": cannot be asked now"), nil // its execution waits for them
	}
	var possible, missing []string
	for _, region := range slices.Sorted(maps.Keys(byRegion)) {
		line, ok := returningSite(byRegion[region], r.To)
		lines = append(lines, region+": "+line)
		if ok {
			possible = append(possible, region)
		} else {
			missing = append(missing, region)
		}
	}
	if len(r.Regions) == 0 && len(possible) > 0 {
		return lines, nil // a region without it is left alone
	}
	k := keptOfSite(SiteStatus{Name: r.Site}, deployments)
	return lines, refuseTarget(k, r.To, possible, missing)
}

// healthyOf has an empty history for each region that a request names and that answers:
// these have to have what is returned to.
func (s *Service) healthyOf(ctx context.Context, r RollbackRequest) (map[string][]cloud.SiteDeployment, error) {
	histories := map[string][]cloud.SiteDeployment{}
	a, err := s.Accounts.Account(cmp.Or(r.Account, DefaultAccount))
	if err != nil {
		return nil, err
	}
	known, err := a.Regions(ctx)
	for _, region := range known {
		if region.Healthy && slices.Contains(r.Regions, region.Name) {
			histories[region.Name] = nil
		}
	}
	return histories, err
}

// refuseTarget says why a rollback cannot be done: regions keep nothing to return to.
// It names the versions that can be returned to.
func refuseTarget(k Kept, to string, possible, missing []string) error {
	if len(missing) == 0 {
		return nil
	}
	name := fmt.Sprintf("%s %s", k.Kind, k.Name)
	if to == "" {
		return problem.New(problem.Precondition, opRollback, "%s keeps no earlier version in %s", name, join(missing)).
			WithHelp("%s", returnTo(k, to))
	}
	if len(possible) == 0 {
		return problem.New(problem.NotFound, opRollback, "%s keeps no version %q in %s", name, to, join(missing)).WithHelp("%s", returnTo(k, to))
	}
	return problem.New(problem.Precondition, opRollback, "%s keeps version %q in %s, and not in %s", name, to, join(possible), join(missing)).
		WithHelp("name the regions that keep it: --region %s", strings.Join(possible, ","))
}

// mostNamed is how many versions an error names.
const mostNamed = 8

// returnTo names the versions that can be returned to, newest first.
func returnTo(k Kept, to string) string {
	const anew = "to deliver an older version again, run its pipeline at that commit"
	var list, names []string
	for _, v := range k.Versions {
		if len(v.Live) == len(v.Regions) {
			continue // it has the traffic
		}
		names = append(names, v.Name, v.Version)
		list = append(list, fmt.Sprintf("%s (%s) in %s", v.Name, v.Version, strings.Join(v.Regions, ", ")))
	}
	if len(list) == 0 {
		return "no other version is kept; " + anew
	}
	help := ""
	if meant := pipeline.Nearest(to, names); meant != "" {
		help = "did you mean " + meant + "? "
	}
	more := ""
	if len(list) > mostNamed {
		list, more = list[:mostNamed], fmt.Sprintf(", and %d more (showrunner rollback %s --list)", len(list)-mostNamed, k.Name)
	}
	return help + "it can be returned to: " + strings.Join(list, "; ") + more + "; " + anew
}

// returningSite says what a region serves after a rollback, by the rule of the rollback's
// stage: the deployment before the current deployment, or the deployment that is named.
func returningSite(history []cloud.SiteDeployment, to string) (line string, ok bool) {
	find := func(fits func(cloud.SiteDeployment) bool) *cloud.SiteDeployment {
		if i := slices.IndexFunc(history, fits); i >= 0 {
			return &history[i]
		}
		return nil
	}
	now := find(func(d cloud.SiteDeployment) bool { return d.Current })
	var then *cloud.SiteDeployment
	if to != "" {
		then = find(func(d cloud.SiteDeployment) bool {
			return d.ID == to || d.Execution == to || d.Version == to || len(to) >= 7 && strings.HasPrefix(d.Version, to)
		})
	} else if last := find(func(d cloud.SiteDeployment) bool { return d.Current && d.Previous != "" }); last != nil {
		now, then = last, find(func(d cloud.SiteDeployment) bool { return d.ID == last.Previous })
	}
	switch {
	case then == nil && now == nil:
		return "serves nothing of it", false
	case then == nil:
		return fmt.Sprintf("keeps nothing to return to, and goes on serving %s (%s)", now.ID, now.Version), false
	case now != nil && then.ID == now.ID:
		return fmt.Sprintf("serves %s (%s) already", then.ID, then.Version), true
	case now == nil:
		return fmt.Sprintf("serves %s (%s), at once", then.ID, then.Version), true
	}
	return fmt.Sprintf("serves %s (%s) in place of %s (%s), at once", then.ID, then.Version, now.ID, now.Version), true
}

// returning says how traffic returns to a group.
func returning(groups []cloud.ServerGroup, to cloud.ServerGroup) string {
	var from []string
	wanted := 0
	for _, g := range groups {
		if g.Enabled() && g.Name != to.Name {
			from = append(from, fmt.Sprintf("%s (%s)", g.Name, g.Spec.Version))
			wanted = max(wanted, g.Capacity.Desired)
		}
	}
	switch {
	case len(from) == 0 && to.Enabled():
		return fmt.Sprintf("%s (%s) has all traffic already", to.Name, to.Spec.Version)
	case len(from) == 0:
		return fmt.Sprintf("traffic goes to %s (%s); nothing has any now", to.Name, to.Spec.Version)
	}
	how := fmt.Sprintf("at once, %d instances are ready", to.Serving())
	if wanted = max(wanted, to.Capacity.Desired); to.Serving() < wanted {
		how = fmt.Sprintf("once it serves with %d instances, %d are ready", wanted, to.Serving())
	}
	return fmt.Sprintf("traffic returns from %s to %s (%s) %s", strings.Join(from, " and "), to.Name, to.Spec.Version, how)
}
