package control

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
)

// Repositories reads pipeline files and commits where applications are kept.
type Repositories interface {
	// PipelineFile is the pipeline file of the commit that a run with this trigger
	// fetches by the stage, and the commit. Errors: not_found (the commit has none),
	// and those of fetching.
	PipelineFile(ctx context.Context, g pipeline.Git, trigger map[string]any) (file []byte, commit string, err error)
	// CommitsBetween lists what lies between two commits of the repository that a stage
	// fetches from. to is a full commit, from has at least seven digits. Errors: invalid,
	// denied, not_found, unavailable.
	CommitsBetween(ctx context.Context, g pipeline.Git, from, to string) (CommitsBetween, error)
}

// followTimeout bounds the fetching before a run starts. What takes longer, the
// run's own stage waits for, with its own timeout.
const followTimeout = 20 * time.Second

// follow takes in the pipeline file of the commit that a run is about to fetch,
// when a git stage of the pipeline asks for it (follow: true): the file is applied,
// and the run uses it. A file that cannot be fetched or has errors leaves the
// applied one in place: the stage fetches again and says why. Errors: precondition
// (the file has no such pipeline), and those of applying.
func (s *Service) follow(ctx context.Context, r *execution.StartRequest) error {
	g, ok := followed(r.Definition)
	if !ok || s.Repositories == nil {
		return nil
	}
	fetching, cancel := context.WithTimeout(ctx, followTimeout)
	defer cancel()
	file, commit, err := s.Repositories.PipelineFile(fetching, g, r.Trigger)
	if err != nil {
		if problem.CodeOf(err) != problem.NotFound {
			s.Log.Warn("the repository's pipeline file was not read; the run uses the applied one", "application", r.Application, "error", err)
		}
		return nil
	}
	how, err := s.differs(ctx, r.Application, file)
	if err != nil || how.same() || how.invalid || how.foreign {
		return err
	}
	stored, _, err := s.application(ctx, r.Application)
	if err != nil {
		return err
	}
	by := Principal{Name: "commit " + commit[:min(7, len(commit))], Owner: true} // the file asks for it with follow: true
	if _, err := s.apply(ctx, by, File{Name: "showrunner.yaml", Source: file, Base: stored.Base}, 0); err != nil {
		return err
	}
	app, err := s.Application(ctx, internal, r.Application)
	if err != nil {
		return err
	}
	r.Definition, err = app.Pipeline(r.Pipeline)
	if problem.CodeOf(err) == problem.NotFound {
		return problem.Wrap(err, problem.Precondition, opRun, "showrunner.yaml of commit %s was applied, and nothing was started", commit)
	}
	return err
}

// followed is the first git stage whose commit's pipeline file is followed. One
// whose address or branch is an expression is not: they are known in the run.
func followed(p pipeline.Pipeline) (pipeline.Git, bool) {
	for _, st := range p.Stages {
		var g pipeline.Git
		if st.Kind != "git" || json.Unmarshal(st.With, &g) != nil || !g.Follow {
			continue
		}
		if strings.Contains(g.URL+g.Branch+g.Tag+g.Commit, "${{") {
			continue
		}
		return g, true
	}
	return pipeline.Git{}, false
}

// Replacing is a commit whose pipeline file the next run of a pipeline applies.
type Replacing struct {
	Pipeline string `json:"pipeline"`
	Commit   string `json:"commit"`
	Branch   string `json:"branch,omitempty"`
}

// lookTimeout bounds the fetching after a file was applied.
const lookTimeout = 5 * time.Second

// replacing lists the pipelines whose next run applies another file than the one that
// is applied now: that of the newest commit of the branch they follow. A repository
// that does not answer in time is left out: the run itself looks again.
func (s *Service) replacing(ctx context.Context, application string) (list []Replacing) {
	if s.Repositories == nil {
		return nil
	}
	stored, _, err := s.application(ctx, application)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	for _, p := range stored.Doc.Pipelines {
		g, ok := followed(p)
		if !ok {
			continue
		}
		file, commit, err := s.Repositories.PipelineFile(ctx, g, nil)
		if err != nil {
			continue
		}
		if how, err := s.differs(ctx, application, file); err == nil && !how.same() && !how.invalid && !how.foreign {
			list = append(list, Replacing{p.Name, commit, g.Branch})
		}
	}
	return list
}
