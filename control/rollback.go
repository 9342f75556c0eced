package control

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"showrunner/cloud"
	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/rollout"
)

// RollbackRequest returns a cluster or a site to an earlier version.
type RollbackRequest struct {
	Account string   `json:"account,omitempty"`
	Cluster string   `json:"cluster,omitempty"`
	Site    string   `json:"site,omitempty"`
	To      string   `json:"to,omitempty"` // a version, server group or deployment; empty: the one before
	Regions []string `json:"regions,omitempty"`
	Key     string   `json:"-"`
}

// RollbackPipeline is the name of the pipeline that rollbacks run as.
const RollbackPipeline = "rollback"

// Rollback starts an execution of its own that returns to an earlier version,
// and is linked to the execution that made the present one. Errors: not_found,
// invalid, precondition, conflict (a deployment is under way), denied.
func (s *Service) Rollback(ctx context.Context, p Principal, r RollbackRequest) (execution.Execution, error) {
	subject := r.subject()
	if (r.Cluster == "") == (r.Site == "") {
		return execution.Execution{}, problem.New(problem.Invalid, opRollback, "name a cluster or a site, not both")
	}
	if err := s.permit(p, opRead, subject); err != nil {
		return execution.Execution{}, err
	}
	application, undoes, err := s.present(ctx, p, r)
	if err == nil {
		err = s.knowRegions(ctx, r.Account, r.Regions...)
	}
	if err == nil {
		err = s.unclaimed(ctx, p, r)
	}
	subject.Application = application
	var e execution.Execution
	err = s.perform(ctx, p, opRollback, subject, map[string]any{"to": r.To, "regions": r.Regions}, func() (map[string]any, error) {
		if err != nil {
			return nil, err
		}
		var startErr error
		if e, startErr = s.startRollback(ctx, p, r, application, undoes); startErr != nil {
			return nil, startErr
		}
		return map[string]any{"execution": e.ID, "rollbackOf": undoes}, nil
	})
	return e, err
}

func (r RollbackRequest) subject() Subject {
	s := Subject{Kind: KindCluster, Name: r.Cluster, Account: cmp.Or(r.Account, DefaultAccount)}
	if r.Site != "" {
		s.Kind, s.Name = KindSite, r.Site
	}
	return s
}

func (s *Service) startRollback(ctx context.Context, p Principal, r RollbackRequest, application, undoes string) (execution.Execution, error) {
	subject := r.Cluster + r.Site
	with, err := json.Marshal(pipeline.Rollback{Account: r.Account, Cluster: r.Cluster, Site: r.Site, To: r.To, Regions: r.Regions})
	if err != nil {
		return execution.Execution{}, problem.Wrap(err, problem.Internal, opRollback, "encoding the stage")
	}
	request := execution.StartRequest{
		Application: application, Pipeline: RollbackPipeline,
		Definition: pipeline.Pipeline{Name: RollbackPipeline, Description: "returns " + subject + " to an earlier version", Concurrency: pipeline.Parallel, // claims put those of one cluster in order
			Stages: []pipeline.Stage{{Name: "rollback", Kind: "rollback", With: with}}},
		Trigger:    map[string]any{"kind": "rollback", "actor": p.Name, "subject": subject, "message": "roll back " + subject},
		By:         p.Name,
		RollbackOf: undoes,
	}
	if r.Key != "" {
		request.TriggerID, request.EventID = "rollback/"+subject, r.Key
	}
	e, _, err := s.Engine.Start(ctx, request)
	return e, err
}

// unclaimed refuses a rollback while something else changes the cluster: canceling
// that puts back what was there, at once, and waiting for it may take long. One
// whose old version is only kept for a while before it is cleaned up yields.
func (s *Service) unclaimed(ctx context.Context, p Principal, r RollbackRequest) error {
	if r.Cluster == "" || s.Claims == nil {
		return nil
	}
	_, c, err := s.cluster(ctx, p, r.Account, r.Cluster)
	if err != nil {
		return err
	}
	regions := r.Regions
	if len(regions) == 0 {
		regions = regionsOf(c.Groups)
	}
	holder, region, err := s.Claims.Holder(ctx, c.Account, c.Name, regions)
	if err != nil || holder == "" {
		return err
	}
	if e, err := s.Engine.Get(ctx, holder); err == nil && e.Pipeline == RollbackPipeline {
		return nil // this rollback, asked for again, or a rollback that it waits for
	}
	return problem.New(problem.Conflict, opRollback, "execution %s is changing %s in %s", holder, c.Name, region).
		WithHelp("showrunner executions cancel %s puts back what it has changed", holder)
}

// present finds the application of what is rolled back, and the execution that made what is there now.
func (s *Service) present(ctx context.Context, p Principal, r RollbackRequest) (application, madeBy string, err error) {
	if r.Cluster != "" {
		_, c, err := s.cluster(ctx, p, r.Account, r.Cluster)
		if err != nil {
			return "", "", err
		}
		for _, g := range slices.Backward(c.Groups) {
			if g.Enabled() {
				return c.Application, g.Spec.Execution, nil
			}
		}
		return c.Application, "", nil
	}
	deployments, err := s.SiteDeployments(ctx, p, r.Account, r.Site)
	if err != nil {
		return "", "", err
	}
	for _, d := range deployments {
		if d.Current && d.Execution != "" {
			e, err := s.Engine.Get(ctx, d.Execution)
			if problem.CodeOf(err) == problem.NotFound {
				break // retention has removed it; the rollback goes on without the link
			}
			if err != nil {
				return "", "", err
			}
			return e.Application, e.ID, nil
		}
	}
	return r.Site, "", nil
}

// PreviewRollback says what a rollback would do now, region by region, without
// doing it; refused says why it would not be done at all. Errors: not_found, denied.
func (s *Service) PreviewRollback(ctx context.Context, p Principal, r RollbackRequest) (lines []string, refused string, err error) {
	if r.Site != "" {
		return s.previewSiteRollback(ctx, p, r)
	}
	_, c, err := s.cluster(ctx, p, r.Account, r.Cluster)
	if err != nil {
		return nil, "", err
	}
	observed := map[string][]cloud.ServerGroup{}
	for _, g := range c.Groups {
		if len(r.Regions) == 0 || slices.Contains(r.Regions, g.Region) {
			observed[g.Region] = append(observed[g.Region], g)
		}
	}
	chosen, missing := rollout.Restorable(observed, r.To, nil)
	for _, region := range slices.Sorted(maps.Keys(observed)) {
		to, ok := chosen[region]
		if !ok {
			if !slices.Contains(missing, region) {
				lines = append(lines, region+": stays as it is, it does not serve the newest version")
			}
			continue
		}
		lines = append(lines, region+": "+returning(observed[region], to))
	}
	for _, region := range slices.Sorted(maps.Keys(c.Unreachable)) {
		lines = append(lines, region+": cannot be asked now; it may come back with the version that is rolled back")
	}
	if busy, ok := problem.Of(s.unclaimed(ctx, p, r)); ok && busy.Code == problem.Conflict {
		refused = "Busy: " + busy.Message + "; " + problem.HelpOf(busy) + "."
	}
	if len(missing) > 0 {
		refused = "No earlier version is kept in " + strings.Join(missing, ", ") + ": run the pipeline at an older commit instead."
	}
	return lines, refused, nil
}

// previewSiteRollback is PreviewRollback of a website.
func (s *Service) previewSiteRollback(ctx context.Context, p Principal, r RollbackRequest) (lines []string, refused string, err error) {
	deployments, err := s.SiteDeployments(ctx, p, r.Account, r.Site)
	if err != nil {
		return nil, "", err
	}
	byRegion := map[string][]cloud.SiteDeployment{}
	for _, d := range deployments {
		if len(r.Regions) == 0 || slices.Contains(r.Regions, d.Region) {
			byRegion[d.Region] = append(byRegion[d.Region], d)
		}
	}
	possible := false
	for _, region := range slices.Sorted(maps.Keys(byRegion)) {
		line, ok := returningSite(byRegion[region], r.To)
		lines, possible = append(lines, region+": "+line), possible || ok
	}
	if !possible {
		refused = "No earlier deployment is kept: run the pipeline at an older commit instead."
		if r.To != "" {
			refused = "No deployment " + r.To + " is kept: run the pipeline at that commit instead."
		}
	}
	return lines, refused, nil
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
