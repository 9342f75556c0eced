package codepipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"time"

	"showrunner/awsapi/delivery"
	"showrunner/awsapi/wire"
	"showrunner/control"
	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
)

// file is the pipeline file of a document.
func (s *Service) file(ctx context.Context, d document) (control.File, delivery.Rendered, error) {
	r, err := s.Renderer.Render(ctx, d.Region, d.Application, d.description(), d.renderable())
	var refusal *delivery.Refusal
	if errors.As(err, &refusal) {
		code := "InvalidStructureException"
		if refusal.Action != "" {
			code = "InvalidActionDeclarationException"
		}
		return control.File{}, r, wire.Errorf(code, "%s", refusal.Error())
	}
	return control.File{Name: d.Name + ".yaml", Source: r.YAML}, r, err
}

// carriedOut refuses a document whose file cannot be applied, before anything is made.
func (s *Service) carriedOut(ctx context.Context, d document) error {
	f, _, err := s.file(ctx, d)
	if err != nil {
		return err
	}
	if _, diags := s.Control.Check(ctx, f); diags.HasErrors() {
		return invalidStructure("The pipeline cannot be carried out here: %s", diags.Text())
	}
	return nil
}

func digest(source []byte) string {
	sum := sha256.Sum256(source)
	return hex.EncodeToString(sum[:])
}

// settle does what a document waits for, and keeps its file in step with what it is
// made from: projects, repositories, buckets. It may be repeated.
func (s *Service) settle(ctx context.Context, key string) error {
	d, err := s.docs.Get(ctx, key)
	if err != nil {
		return ignoreMissing(err)
	}
	if d.Pending == pendingDelete {
		return s.forget(ctx, d)
	}
	f, rendered, err := s.file(ctx, d)
	if err != nil {
		return err
	}
	if d.Pending != "" {
		_, err := s.versions.Put(ctx, versionKey(key, d.Version), func(o *object) error {
			*o = d.Structure
			return nil
		})
		if err != nil {
			return err
		}
	}
	app, err := s.Control.Application(ctx, s.Principal, d.Application)
	missing := problem.CodeOf(err) == problem.NotFound
	if err != nil && !missing {
		return err
	}
	// What a person has applied over it stays until the pipeline is updated.
	if missing || d.Pending != "" || digest([]byte(app.Source)) == d.Applied {
		if _, err := s.Control.Apply(ctx, s.Principal, f, 0); err != nil {
			return err
		}
	}
	if d.Pending == pendingCreate {
		if err := s.first(ctx, d, rendered); err != nil {
			return err
		}
	}
	if d.Pending == "" && d.Applied == digest(f.Source) {
		return nil
	}
	_, err = s.docs.Update(ctx, key, func(now *document) error {
		if now.Version != d.Version || now.Pending == pendingDelete {
			return nil // whoever changed it settles it
		}
		now.Applied, now.Pending = digest(f.Source), ""
		for name, t := range now.Disabled {
			t.Entries = entries(rendered.Pipeline(), name)
			now.Disabled[name] = t
		}
		return nil
	})
	if len(d.Disabled) > 0 {
		s.Gate.Read(ctx)
	}
	return ignoreMissing(err)
}

// first starts the execution that a new pipeline begins with. One that cannot be
// started, because a variable has no value, is not.
func (s *Service) first(ctx context.Context, d document, r delivery.Rendered) error {
	_, _, err := s.Control.Start(ctx, s.Principal, execution.StartRequest{Application: d.Application, Pipeline: r.Pipeline().Name, By: s.Principal.Name,
		Trigger:   map[string]any{"kind": "manual", "actor": s.Principal.Name, "aws": "CreatePipeline"},
		TriggerID: "aws/codepipeline/create/" + d.key(), EventID: d.Created.String()})
	if problem.CodeOf(err) == problem.Invalid {
		s.Log.Info("the first execution of a pipeline was not started", "pipeline", d.key(), "error", err)
		return nil
	}
	return err
}

// forget removes a pipeline with all that is kept of it. Executions under way are ended.
func (s *Service) forget(ctx context.Context, d document) error {
	page, err := s.Control.Executions(ctx, s.Principal, execution.Query{Application: d.Application, Limit: 500,
		Statuses: []execution.Status{execution.NotStarted, execution.Running, execution.Paused}})
	if err != nil {
		return err
	}
	for _, e := range page.Executions {
		if err := s.Control.Cancel(ctx, s.Principal, e.ID, "the pipeline was deleted"); err != nil && problem.CodeOf(err) != problem.Precondition && problem.CodeOf(err) != problem.NotFound {
			return err
		}
	}
	if err := ignoreMissing(s.Control.DeleteApplication(ctx, s.Principal, d.Application)); err != nil {
		return err
	}
	if err := s.drop(ctx, slices.Collect(maps.Values(d.Tokens))); err != nil {
		return err
	}
	for e, err := range s.versions.All(ctx, d.key()+"/") {
		if err == nil {
			err = ignoreMissing(s.versions.Delete(ctx, e.Key, nil))
		}
		if err != nil {
			return err
		}
	}
	return ignoreMissing(s.docs.Delete(ctx, d.key(), nil))
}

// ProjectChanged brings the pipelines that use a build project into step with it.
func (s *Service) ProjectChanged(ctx context.Context, region, name string) {
	docs, err := s.docs.List(ctx, region+"/")
	if err != nil {
		s.Log.Warn("the pipelines of a changed project were not looked at", "project", name, "error", err)
		return
	}
	for _, e := range docs {
		for _, a := range delivery.Actions(e.Doc.Structure) {
			if a.Config("ProjectName") == name {
				s.report(e.Key, s.settle(ctx, e.Key))
				break
			}
		}
	}
}

func (s *Service) report(key string, err error) {
	if err != nil {
		s.Log.Warn("a pipeline of CodePipeline is not in step with what it is made from", "pipeline", key, "error", err)
	}
}

// Run carries on what a crash has cut off, and keeps pipelines in step with what
// they are made from, until ctx ends.
func (s *Service) Run(ctx context.Context) {
	for ctx.Err() == nil {
		from, err := s.Control.End(ctx)
		var changes <-chan record.Slice
		if err == nil {
			changes, err = s.Control.Follow(ctx, s.Principal, from, record.Filter{Types: []string{"audit.aws.repository."}})
		}
		if err == nil {
			err = s.resumeStops(ctx)
		}
		if err == nil {
			s.work(ctx, changes)
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(again): // the database is unreachable
		}
	}
}

// again is how soon what could not be done for the moment is tried again.
const again = 2 * time.Second

// work keeps the pipelines in step until the changes end.
func (s *Service) work(ctx context.Context, changes <-chan record.Slice) {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case _, open := <-changes:
			if !open {
				return
			}
			retry.Reset(0)
		case id := <-s.stopping:
			go s.seeStopped(ctx, id)
		case <-retry.C:
			if !s.settleAll(ctx) {
				retry.Reset(again)
			}
		}
	}
}

// settleAll settles every pipeline; false when one could not be for the moment, such
// as while the regions start.
func (s *Service) settleAll(ctx context.Context) bool {
	docs, err := s.docs.List(ctx, "")
	whole := err == nil
	for _, e := range docs {
		err := s.settle(ctx, e.Key)
		if problem.CodeOf(err) == problem.Unavailable {
			whole = false
			continue
		}
		s.report(e.Key, err)
	}
	return whole
}
