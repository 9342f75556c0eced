package control

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/source"
)

// RepositoryFile is an application's pipeline file as its repository has it.
type RepositoryFile struct {
	Repository string `json:"repository"` // the address, without credentials
	Commit     string `json:"commit"`
	Text       string `json:"text"`
}

// repositoryWithin bounds the fetching of a repository's pipeline file.
const repositoryWithin = 15 * time.Second

// RepositoryFile fetches the application's pipeline file from the first repository that
// its git stages name, as the newest commit of the stage's branch has it. Errors:
// not_found (no application, or the commit has no such file), precondition (no git stage
// has an address), and those of fetching.
func (s *Service) RepositoryFile(ctx context.Context, p Principal, application string) (RepositoryFile, error) {
	const op = "application.repository"
	app, err := s.Application(ctx, p, application)
	if err != nil {
		return RepositoryFile{}, err
	}
	g, ok := firstRepository(app.Pipelines)
	if !ok || s.Repositories == nil {
		return RepositoryFile{}, problem.New(problem.Precondition, op, "no git stage of %s names a repository", application)
	}
	fetching, cancel := context.WithTimeoutCause(ctx, repositoryWithin, problem.New(problem.Unavailable, op, "the repository has not answered within %s", repositoryWithin))
	defer cancel()
	text, commit, err := s.Repositories.PipelineFile(fetching, g, nil)
	if problem.CodeOf(err) == problem.NotFound {
		return RepositoryFile{}, problem.Wrap(err, problem.NotFound, op, "%s has no showrunner.yaml at the top", source.Redact(g.URL))
	}
	if err != nil {
		return RepositoryFile{}, problem.Wrap(err, "", op, "reading %s", source.Redact(g.URL))
	}
	return RepositoryFile{Repository: source.Redact(g.URL), Commit: commit, Text: string(text)}, nil
}

// firstRepository is the first git stage whose address and branch are known before a run.
func firstRepository(pipelines []pipeline.Pipeline) (pipeline.Git, bool) {
	for _, p := range pipelines {
		for _, st := range p.Stages {
			var g pipeline.Git
			if st.Kind == "git" && json.Unmarshal(st.With, &g) == nil && g.URL != "" && !strings.Contains(g.URL+g.Branch+g.Tag+g.Commit, "${{") {
				return g, true
			}
		}
	}
	return pipeline.Git{}, false
}
