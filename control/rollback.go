package control

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
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
		_, err = s.planRollback(ctx, p, r)
	}
	if err == nil {
		err = s.unclaimed(ctx, p, r)
	}
	subject.Application = application
	var e execution.Execution
	err = s.perform(ctx, p, opRollback, subject, map[string]any{"to": r.To, "regions": r.Regions}, func() (map[string]any, error) {
		if err != nil {
			// Asked for again, it may have nothing to return to since it was carried out.
			if earlier, ok := s.startedBefore(ctx, application, r); ok {
				e = earlier
				return map[string]any{"execution": e.ID, "started": false}, nil
			}
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

// triggerID is that of its execution: together with the key, it starts at most one.
func (r RollbackRequest) triggerID() string { return "rollback/" + r.Cluster + r.Site }

// startedBefore finds the execution that the same request, with its key, has started.
func (s *Service) startedBefore(ctx context.Context, application string, r RollbackRequest) (execution.Execution, bool) {
	if r.Key == "" || application == "" {
		return execution.Execution{}, false
	}
	page, err := s.Engine.List(ctx, execution.Query{Application: application, Pipeline: RollbackPipeline, Limit: 500})
	if err != nil {
		return execution.Execution{}, false
	}
	i := slices.IndexFunc(page.Executions, func(e execution.Execution) bool { return e.TriggerID == r.triggerID() && e.EventID == r.Key })
	if i < 0 {
		return execution.Execution{}, false
	}
	return page.Executions[i], true
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
		request.TriggerID, request.EventID = r.triggerID(), r.Key
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
			if g.Enabled() && !g.IsBaseline() {
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
