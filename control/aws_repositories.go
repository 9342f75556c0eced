package control

import (
	"context"
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"showrunner/problem"
	"showrunner/store/record"
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
	err := s.commit(ctx, p, opRepository, Subject{Kind: KindAWS, Name: r.Name}, map[string]any{"url": r.URL}, func(done record.Event) error {
		if err := r.check(); err != nil {
			return err
		}
		data, err := json.Marshal(r)
		if err != nil {
			return problem.Wrap(err, problem.Internal, opRepository, "encoding %s", r.Name)
		}
		for {
			old, err := s.Records.GetRecord(ctx, awsRepositories, r.Name)
			if err != nil && problem.CodeOf(err) != problem.NotFound {
				return err
			}
			_, err = s.Records.PutRecord(ctx, record.Record{Collection: awsRepositories, Key: r.Name, Version: old.Version, Data: data}, done)
			if problem.CodeOf(err) != problem.Conflict || ctx.Err() != nil {
				return err
			}
		}
	})
	return r, err
}

// DeleteAWSRepository forgets what stands for a name. Errors: not_found, denied.
func (s *Service) DeleteAWSRepository(ctx context.Context, p Principal, name string) error {
	return s.commit(ctx, p, opNoRepository, Subject{Kind: KindAWS, Name: name}, nil, func(done record.Event) error {
		old, err := s.Records.GetRecord(ctx, awsRepositories, name)
		if err != nil {
			return problem.Wrap(err, "", opNoRepository, "the repository %s", name)
		}
		return s.Records.DeleteRecord(ctx, awsRepositories, name, old.Version, done)
	})
}

// AWSRepositories lists by name what stands for which repository.
func (s *Service) AWSRepositories(ctx context.Context, p Principal) ([]AWSRepository, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindAWS}); err != nil {
		return nil, err
	}
	const page = 200
	list := []AWSRepository{}
	for after := ""; ; {
		recs, err := s.Records.ListRecords(ctx, awsRepositories, "", after, page)
		if err != nil {
			return nil, problem.Wrap(err, "", "aws.repository.list", "listing repositories")
		}
		for _, rec := range recs {
			var r AWSRepository
			if err := json.Unmarshal(rec.Data, &r); err != nil {
				return nil, problem.Wrap(err, problem.Internal, "aws.repository.list", "the stored form of repository %s cannot be read", rec.Key)
			}
			list, after = append(list, r), rec.Key
		}
		if len(recs) < page {
			return list, nil
		}
	}
}
