package control

import (
	"context"
	"strings"

	"showrunner/build/buildspec"
	"showrunner/pipeline"
	"showrunner/problem"
)

// Differs says how a pipeline file of the application, as a commit has it, differs
// from the one that is applied, and what to do; empty: it does not, or the file is
// another application's. Errors: those of reading the applied one.
func (s *Service) Differs(ctx context.Context, application string, file []byte) (string, error) {
	stored, _, err := s.application(ctx, application)
	if problem.CodeOf(err) == problem.NotFound {
		return "", nil // it was deleted while a run went on
	}
	if err != nil || stored.Source == string(file) {
		return "", err
	}
	doc, diags := pipeline.Parse("showrunner.yaml", file, buildspec.Check)
	switch {
	case diags.HasErrors():
		return "has errors, so this run uses the file that was applied: showrunner validate showrunner.yaml", nil
	case doc.Application != application:
		return "", nil
	}
	if err := anchor(doc, stored.Base); err != nil {
		return "", err
	}
	d := difference(stored.Doc, doc)
	var parts []string
	for _, part := range []struct {
		what  string
		names []string
	}{{"changes", d.Updated}, {"adds", d.Created}, {"lacks", d.Removed}} {
		if len(part.names) > 0 {
			parts = append(parts, part.what+" "+strings.Join(part.names, ", "))
		}
	}
	if len(parts) == 0 {
		return "", nil
	}
	return "differs from the applied file (" + strings.Join(parts, "; ") + "), which this run uses: showrunner apply -f showrunner.yaml", nil
}
