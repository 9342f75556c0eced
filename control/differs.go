package control

import (
	"context"
	"strings"

	"showrunner/build/buildspec"
	"showrunner/pipeline"
	"showrunner/problem"
)

// definitionDifference is how a commit's pipeline file stands to the applied one.
type definitionDifference struct {
	invalid bool // it has errors
	foreign bool // it is another application's, or none is applied
	Applied
}

func (d definitionDifference) same() bool {
	return !d.invalid && len(d.Created)+len(d.Updated)+len(d.Removed) == 0
}

// differs compares a pipeline file with the applied one of the application.
func (s *Service) differs(ctx context.Context, application string, file []byte) (definitionDifference, error) {
	stored, _, err := s.application(ctx, application)
	if problem.CodeOf(err) == problem.NotFound {
		return definitionDifference{foreign: true}, nil // it was deleted while a run went on
	}
	if err != nil || stored.Source == string(file) {
		return definitionDifference{}, err
	}
	doc, diags := pipeline.Parse("showrunner.yaml", file, buildspec.Check)
	switch {
	case diags.HasErrors():
		return definitionDifference{invalid: true}, nil
	case doc.Application != application:
		return definitionDifference{foreign: true}, nil
	}
	if err := absoluteRepositories(doc, stored.Base); err != nil {
		return definitionDifference{}, err
	}
	return definitionDifference{Applied: difference(stored.Doc, doc)}, nil
}

// Differs says how a pipeline file of the application, as a commit has it, differs
// from the applied file, and what to do; empty: it does not, or the file is
// another application's. Errors: those of reading the applied one.
func (s *Service) Differs(ctx context.Context, application string, file []byte) (string, error) {
	d, err := s.differs(ctx, application, file)
	switch {
	case err != nil || d.foreign || d.same():
		return "", err
	case d.invalid:
		return "has errors, so this run uses the file that was applied: showrunner validate showrunner.yaml", nil
	}
	var parts []string
	for _, part := range []struct {
		what  string
		names []string
	}{{"changes", d.Updated}, {"adds", d.Created}, {"lacks", d.Removed}} {
		if len(part.names) > 0 {
			parts = append(parts, part.what+" "+strings.Join(part.names, ", "))
		}
	}
	return "differs from the applied file (" + strings.Join(parts, "; ") + "), which this run uses: showrunner apply -f showrunner.yaml", nil
}
