package control

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/execution"
	"showrunner/internal/span"
	"showrunner/pipeline"
)

// Review is what somebody has to know who decides on an approval.
type Review struct {
	Execution string              `json:"execution"`
	Stage     string              `json:"stage"`
	Revision  *execution.Revision `json:"revision,omitempty"` // the commit that is delivered
	Started   time.Time           `json:"started"`
	// Next are the stages that the approval lets begin, directly or by way of others,
	// with what they change and what is live there now.
	Next []ReviewStage `json:"next"`
	// Commits are what lies between the commits that are live in what the stages change,
	// and the commit that is delivered: one entry for each live commit.
	Commits []ReviewCommits `json:"commits,omitempty"`
	// Warnings say what speaks against it, such as that something newer is live.
	Warnings []string `json:"warnings,omitempty"`
}

// ReviewStage is one stage after the approval: what a plan says of it, as far as that
// is known now, and what is live where it changes something.
type ReviewStage struct {
	PreviewStage
	Target string `json:"target,omitempty"` // the cluster or site that it changes
	Live   []Live `json:"live,omitempty"`   // by region
}

// Live is what was last put into traffic in a region, with its commit. Revision and
// Number are empty once the execution is no longer kept.
type Live struct {
	Deployed
	Number   int                 `json:"number,omitempty"`   // of the execution
	Pipeline string              `json:"pipeline,omitempty"` // of the execution
	Revision *execution.Revision `json:"revision,omitempty"`
}

// ReviewApproval says what an approval would let happen. Errors: not_found, denied.
func (s *Service) ReviewApproval(ctx context.Context, p Principal, id, stageName string) (Review, error) {
	e, err := s.Execution(ctx, p, id)
	if err != nil {
		return Review{}, err
	}
	if _, err := stageOf(e, stageName); err != nil {
		return Review{}, err
	}
	if err := s.readDeployed(ctx); err != nil {
		return Review{}, err
	}
	out := Review{Execution: id, Stage: stageName, Revision: e.Revision, Started: e.Created, Next: []ReviewStage{}}
	for _, def := range stagesAfter(e, stageName) {
		r := ReviewStage{PreviewStage: PreviewStage{Name: def.Name, Kind: def.Kind, Needs: def.Needs, When: def.When}}
		if places[def.Kind] {
			if err := s.reviewPlace(ctx, e, def, &r); err != nil {
				return Review{}, err
			}
		}
		out.Next = append(out.Next, r)
	}
	out.Commits = s.reviewCommits(ctx, e, out.Next)
	for _, r := range out.Next {
		if r.Kind != "rollback" { // it is there to bring an older version back
			out.Warnings = append(out.Warnings, s.newerThan(ctx, e, r, out.Commits)...)
		}
	}
	for _, c := range out.Commits {
		if warning := c.warning(); warning != "" {
			out.Warnings = append(out.Warnings, warning)
		}
	}
	return out, nil
}

// reviewPlace fills in what a stage that puts something into traffic changes, and what
// is live there.
func (s *Service) reviewPlace(ctx context.Context, e execution.Execution, def pipeline.Stage, r *ReviewStage) error {
	scope := scopeOfExecution(e)
	s.previewStage(ctx, def, scope, &r.PreviewStage)
	subject := placeOf(def, scope)
	if r.Target = subject.Name; r.Target == "" {
		return nil
	}
	live, err := s.deployed(ctx, subject.Kind, subject.Account, subject.Name)
	if err != nil {
		return err
	}
	for _, d := range live {
		l := Live{Deployed: d}
		if x, err := s.Engine.Get(ctx, d.Execution); err == nil { // else it is no longer kept
			l.Number, l.Pipeline, l.Revision = x.Number, x.Pipeline, x.Revision
		}
		r.Live = append(r.Live, l)
	}
	return nil
}

// placeOf is the cluster or site that a stage changes; its name is empty while earlier
// stages still have to say it.
func placeOf(def pipeline.Stage, scope pipeline.Scope) Subject {
	var with struct{ Account, Cluster, Site string }
	config, err := pipeline.Resolve(def, scope)
	switch c := config.(type) {
	case pipeline.Deploy:
		with.Account, with.Cluster = c.Account, c.Cluster
	case pipeline.DeploySite:
		with.Account, with.Site = c.Account, c.Site
	case pipeline.Rollback:
		with.Account, with.Cluster, with.Site = c.Account, c.Cluster, c.Site
	}
	// Where another field cannot be known yet, the name may still be plain text.
	if err != nil && (json.Unmarshal(def.With, &with) != nil || strings.Contains(with.Account+with.Cluster+with.Site, "${{")) {
		return Subject{}
	}
	subject := Subject{Kind: KindCluster, Name: with.Cluster, Account: cmp.Or(with.Account, DefaultAccount)}
	if with.Site != "" {
		subject.Kind, subject.Name = KindSite, with.Site
	}
	return subject
}

// newerThan says where something is live that a later execution has put there, and by
// the commits whether it is newer: a later execution may deliver an older commit.
func (s *Service) newerThan(ctx context.Context, e execution.Execution, r ReviewStage, commits []ReviewCommits) []string {
	var list []string
	asked := map[string]bool{}
	for _, d := range r.Live {
		if d.Execution == e.ID || asked[d.Execution] {
			continue
		}
		asked[d.Execution] = true
		x, err := s.Engine.Get(ctx, d.Execution)
		if err != nil || !x.Created.After(e.Created) {
			continue
		}
		later := span.Text(x.Created.Sub(e.Created))
		if x.Pipeline == RollbackPipeline {
			list = append(list, fmt.Sprintf("%s was rolled back to %s by execution %s, which started %s after this execution: approving delivers over the rollback",
				r.Target, d.Version, d.Execution, later))
			continue
		}
		text := fmt.Sprintf("%s runs %s, which execution %s put there; it started %s after this execution", r.Target, d.Version, d.Execution, later)
		i := slices.IndexFunc(commits, func(c ReviewCommits) bool { return c.Unknown == "" && c.is(liveCommit(d)) })
		switch {
		case i < 0 || len(commits[i].Removed) > 0:
			text += ": approving brings the older version back"
		case len(commits[i].Added) > 0:
			text += ", with an older commit"
		default:
			text += ", with the same commit"
		}
		list = append(list, text)
	}
	return list
}

// scopeOfExecution is what expressions of its later stages see now.
func scopeOfExecution(e execution.Execution) pipeline.Scope {
	scope := pipeline.Scope{Parameters: e.Parameters, Trigger: e.Trigger, Stages: map[string]pipeline.StageScope{}, Artifacts: map[string]string{},
		Execution: pipeline.ExecutionScope{ID: e.ID, Number: e.Number, Application: e.Application, Pipeline: e.Pipeline, StartedBy: e.By}}
	for _, st := range e.Stages {
		scope.Stages[st.Name] = pipeline.StageScope{Kind: st.Kind, Status: string(st.Status), Outputs: st.Outputs}
		for name, ref := range st.Artifacts {
			scope.Artifacts[name] = string(ref)
		}
	}
	return scope
}
