package control

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/store/record/recordtest"
)

// commitFile is a repository whose commit has a pipeline file.
type commitFile struct {
	Repositories
	text string
	err  error
}

func (c commitFile) PipelineFile(context.Context, pipeline.Git, map[string]any) ([]byte, string, error) {
	return []byte(c.text), "0123456789abcdef", c.err
}

func TestARunUsesTheFileOfTheCommitThatItFollows(t *testing.T) {
	t.Parallel()
	const before = "application: shop\npipelines:\n  release:\n    stages:\n      source: { git: { url: ., branch: main, follow: true } }\n      rest: { needs: [source], wait: { for: 1s } }\n"
	repository := t.TempDir()
	if err := os.Mkdir(filepath.Join(repository, ".git"), 0o700); err != nil {
		t.Fatal(err)
	}
	const after = before + "      more: { needs: [rest], wait: { for: 1s } }\n"
	for name, c := range map[string]struct {
		applied string
		commit  commitFile
		stages  int // of the run; 0: nothing is started
		version int64
	}{
		"changed":              {before, commitFile{text: after}, 3, 2},
		"the same":             {before, commitFile{text: before}, 2, 1},
		"none":                 {before, commitFile{err: problem.New(problem.NotFound, "artifact.read", "no file")}, 2, 1},
		"not reached":          {before, commitFile{err: problem.New(problem.Unavailable, "git", "unreachable")}, 2, 1},
		"with errors":          {before, commitFile{text: before + "      more: { needs: [nothing] }\n"}, 2, 1},
		"another's":            {before, commitFile{text: strings.Replace(after, "shop", "other", 1)}, 2, 1},
		"without the pipeline": {before, commitFile{text: strings.Replace(after, "release:", "nightly:", 1)}, 0, 2},
		"not followed":         {strings.Replace(before, ", follow: true", "", 1), commitFile{text: after}, 2, 1},
		"an expression":        {strings.Replace(before, "branch: main", "branch: \"${{ trigger.branch }}\"", 1), commitFile{text: after}, 2, 1},
	} {
		s := New(Deps{Records: &recordtest.Records{}, Repositories: c.commit, Log: slog.New(slog.DiscardHandler), Now: time.Now})
		me := Principal{Name: "me", Owner: true}
		applied, err := s.Apply(t.Context(), me, File{Name: "showrunner.yaml", Source: []byte(c.applied), Base: repository}, 0)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if told := len(applied.Replacing) == 1 && applied.Replacing[0].Pipeline == "release"; told != (c.version == 2) {
			t.Errorf("%s: what replaces the file is %+v", name, applied.Replacing)
		}
		app, err := s.Application(t.Context(), me, "shop")
		if err != nil {
			t.Fatal(err)
		}
		r := execution.StartRequest{Application: "shop", Pipeline: "release"}
		if r.Definition, err = app.Pipeline("release"); err != nil {
			t.Fatal(err)
		}
		err = s.follow(t.Context(), &r)
		if (err != nil) != (c.stages == 0) || err == nil && len(r.Definition.Stages) != c.stages {
			t.Errorf("%s: %d stages, %v; want %d", name, len(r.Definition.Stages), err, c.stages)
		}
		if app, err = s.Application(t.Context(), me, "shop"); err != nil || app.Version != c.version {
			t.Errorf("%s: version %d, %v; want %d", name, app.Version, err, c.version)
		}
		if c.version == 2 && app.By != "commit 0123456" {
			t.Errorf("%s: applied by %q", name, app.By)
		}
	}
}
