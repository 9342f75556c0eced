package control

import (
	"context"
	"strings"

	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
)

// applicationNames lists the names of the applications whose files are kept.
func (s *Service) applicationNames(ctx context.Context) ([]string, error) {
	var names []string
	const page = 500
	for after := ""; ; {
		recs, err := s.Records.ListRecords(ctx, applications, "", after, page)
		if err != nil {
			return nil, problem.Wrap(err, "", "application.list", "listing applications")
		}
		for _, rec := range recs {
			after = rec.Key
			names = append(names, rec.Key)
		}
		if len(recs) < page {
			return names, nil
		}
	}
}

// noApplication is the error for an application whose file was never handed over;
// it names the application that was probably meant.
func (s *Service) noApplication(ctx context.Context, name string) error {
	none := problem.New(problem.NotFound, "application", "there is no application %q", name).
		WithHelp("hand its pipeline file over: showrunner apply -f FILE; showrunner applications lists those there are")
	names, err := s.applicationNames(ctx)
	if err != nil {
		return none // the names would only have been a help
	}
	if meant := nearestApplication(name, names); meant != "" {
		return none.WithHelp("did you mean %s? showrunner applications lists them", meant)
	}
	return none
}

// nearestApplication is the application that was probably meant: one with a similar
// name, or the one whose cluster or pipeline was named.
func nearestApplication(name string, names []string) string {
	if meant := pipeline.Nearest(name, names); meant != "" {
		return meant
	}
	for _, known := range names {
		if strings.HasPrefix(name, known+"-") || strings.HasPrefix(name, known+"/") {
			return known
		}
	}
	return ""
}

// KnownApplication refuses the name of an application that has neither a file nor an
// execution here. It is asked where a list of what an application has is empty.
// Errors: not_found.
func (s *Service) KnownApplication(ctx context.Context, name string) error {
	if _, err := s.Records.GetRecord(ctx, applications, name); problem.CodeOf(err) != problem.NotFound {
		return nil // it is there, or nobody can tell now
	}
	page, err := s.Engine.List(ctx, execution.Query{Application: name, Limit: 1})
	if err != nil || len(page.Executions) > 0 {
		return nil
	}
	return s.noApplication(ctx, name)
}
