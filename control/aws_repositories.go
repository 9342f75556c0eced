package control

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"showrunner/problem"
)

// awsRepositories is the collection of the settings that say where the repositories
// are that clients of AWS name.
const awsRepositories = "aws.repositories"

// AWSRepository says which Git repository stands for one that clients of AWS name.
type AWSRepository struct {
	Name    string    `json:"name"` // owner/name
	URL     string    `json:"url"`  // an absolute path, or what git fetches from
	By      string    `json:"by,omitempty"`
	Updated time.Time `json:"updated"`
}

var repositoryName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._-]+)+$`)

func (r AWSRepository) check() error {
	switch {
	case !repositoryName.MatchString(r.Name):
		return problem.New(problem.Invalid, opRepository, "%q is no repository's name", r.Name).WithHelp("write it as OWNER/NAME, as the pipeline names it")
	case r.URL == "":
		return problem.New(problem.Invalid, opRepository, "nothing is named that stands for %s", r.Name).WithHelp("showrunner aws repository %s=PATH-OR-URL", r.Name)
	case !strings.Contains(r.URL, ":") && !filepath.IsAbs(r.URL):
		return problem.New(problem.Invalid, opRepository, "the path %s is relative, and nothing says to which folder", r.URL).WithHelp("give an absolute path or a URL")
	}
	return nil
}

// SetAWSRepository keeps which repository stands for a name. Errors: invalid, denied.
func (s *Service) SetAWSRepository(ctx context.Context, p Principal, r AWSRepository) (AWSRepository, error) {
	r.By, r.Updated = p.Name, s.Now().UTC()
	return r, setAWS(ctx, s, p, opRepository, awsRepositories, r.Name, map[string]any{"url": r.URL}, r, r.check)
}

// DeleteAWSRepository forgets what stands for a name. Errors: not_found, denied.
func (s *Service) DeleteAWSRepository(ctx context.Context, p Principal, name string) error {
	return deleteAWS(ctx, s, p, opNoRepository, awsRepositories, "repository", name)
}

// AWSRepositories lists by name what stands for which repository.
func (s *Service) AWSRepositories(ctx context.Context, p Principal) ([]AWSRepository, error) {
	return listAWS[AWSRepository](ctx, s, p, awsRepositories, "repository")
}
