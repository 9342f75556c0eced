package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"showrunner/artifact"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/secret"
	"showrunner/source"
	"showrunner/stage"
)

const (
	commitA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	commitB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// remote answers as a repository whose main is at B.
type remote struct {
	resolved, fetched []source.Request
	err               error
}

func (r *remote) Resolve(_ context.Context, q source.Request) (source.Revision, error) {
	r.resolved = append(r.resolved, q)
	rev := source.Revision{Commit: commitB, Branch: "main", Tag: q.Tag, URL: q.URL}
	if q.Commit != "" {
		rev.Commit, rev.Branch = q.Commit, q.Branch
	}
	return rev, r.err
}

func (r *remote) Fetch(_ context.Context, q source.Request) (source.Tree, error) {
	r.fetched = append(r.fetched, q)
	q.Progress("Receiving objects:  50% (1/2)")
	q.Progress("Receiving objects: 100% (2/2), done.")
	return source.Tree{Artifact: "sha256:1", Commit: q.Commit, Message: "Say it\n\nwell", Author: "Ada", AuthorEmail: "ada@example.com",
		Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)), Files: 3, Bytes: 9}, r.err
}

func (r *remote) Refs(context.Context, source.Request) (source.Refs, error) {
	return source.Refs{Head: "main", HeadTip: commitB, Branches: map[string]string{"main": commitB}, Tags: map[string]string{"v1": commitA}}, r.err
}

func (r *remote) Between(_ context.Context, _ source.Request, from, _ string) (source.History, error) {
	return source.History{From: from}, r.err
}

type values map[string]string

func (v values) Resolve(_ context.Context, name string) (string, error) {
	if s, ok := v[name]; ok {
		return s, nil
	}
	return "", problem.New(problem.NotFound, "secret.resolve", "there is no secret named %q", name)
}

func input(c pipeline.Git, trigger map[string]any) (*stage.Input, *bytes.Buffer) {
	var log bytes.Buffer
	return &stage.Input{Config: c, Trigger: trigger, Log: &log, Progress: func(string, ...any) {},
		Secrets: secret.Expander{Secrets: values{"token": "hunter2"}}}, &log
}

func TestWhichCommit(t *testing.T) {
	const url = "https://git.example.com/acme/storefront.git"
	push := func(pairs ...string) map[string]any {
		v := map[string]any{"kind": "push", "repository": "acme/storefront", "url": "git@git.example.com:acme/storefront.git", "branch": "main", "tag": "", "commit": commitA}
		for i := 0; i < len(pairs); i += 2 {
			v[pairs[i]] = pairs[i+1]
		}
		return v
	}
	elsewhere := []string{"repository", "acme/other", "url", "https://git.example.com/acme/other"}
	for name, tt := range map[string]struct {
		config  pipeline.Git
		trigger map[string]any
		want    string // commit, branch, tag asked for
	}{
		"by hand":                         {pipeline.Git{URL: url}, map[string]any{"kind": "manual"}, "  "},
		"what was pushed":                 {pipeline.Git{URL: url}, push(), commitA + " main "},
		"pushed to the stage's branch":    {pipeline.Git{URL: url, Branch: "main"}, push(), commitA + " main "},
		"pushed to another branch":        {pipeline.Git{URL: url, Branch: "next"}, push(), " next "},
		"a tag pushed":                    {pipeline.Git{URL: url}, push("branch", "", "tag", "v1"), commitA + "  v1"},
		"a branch for a stage with a tag": {pipeline.Git{URL: url, Tag: "v1"}, push(), "  v1"},
		"the stage's commit wins":         {pipeline.Git{URL: url, Commit: commitB}, push(), commitB + "  "},
		"pushed elsewhere":                {pipeline.Git{URL: url}, push(elsewhere...), "  "},
		"another address, same tip":       {pipeline.Git{URL: "/srv/git/storefront"}, push(append(elsewhere, "commit", commitB)...), commitB + " main "},
		"another address, same tag":       {pipeline.Git{URL: "/srv/git/storefront"}, push(append(elsewhere, "branch", "", "tag", "v1")...), commitA + "  v1"},
	} {
		r := &remote{}
		in, _ := input(tt.config, tt.trigger)
		got, err := Git{Fetcher: r}.resolve(t.Context(), in)
		if err != nil || got.Outcome != stage.Done || len(r.resolved) != 1 {
			t.Errorf("%s: %+v, %v", name, got, err)
			continue
		}
		q := r.resolved[0]
		if asked := fmt.Sprint(q.Commit, " ", q.Branch, " ", q.Tag); asked != tt.want {
			t.Errorf("%s: asked for %q, want %q", name, asked, tt.want)
		}
	}
}

func TestFetchTakesTheResolvedCommit(t *testing.T) {
	r := &remote{}
	in, log := input(pipeline.Git{URL: "u", Branch: "main", Submodules: true, LFS: true, Credentials: &pipeline.Credentials{Password: "${{ secrets.token }}"}}, nil)
	in.Outputs = map[string]any{"commit": commitA}
	got, err := Git{Fetcher: r}.fetch(t.Context(), in)
	if err != nil || got.Outcome != stage.Done || got.Artifacts[""] != "sha256:1" {
		t.Fatalf("%+v, %v", got, err)
	}
	if fmt.Sprint(got.Outputs) != "map[author:Ada authorEmail:ada@example.com date:2026-01-02T03:04:05+01:00 message:Say it\n\nwell note:]" {
		t.Errorf("outputs: %v", got.Outputs)
	}
	if q := r.fetched[0]; q.Commit != commitA || !q.Submodules || !q.LFS || q.Credentials.Password != "hunter2" {
		t.Errorf("request: %+v", q)
	}
	if !strings.Contains(log.String(), "done.") || strings.Contains(log.String(), "50%") {
		t.Errorf("log: %s", log)
	}
}

func TestFailures(t *testing.T) {
	r := &remote{err: problem.New(problem.Unavailable, "source", "unreachable").WithHelp("wait")}
	in, _ := input(pipeline.Git{URL: "u"}, nil)
	got, err := Git{Fetcher: r}.resolve(t.Context(), in)
	if err != nil || got.Failure == nil || !got.Failure.Retryable || got.Failure.Help != "wait" {
		t.Errorf("%+v, %v", got, err)
	}
	in, _ = input(pipeline.Git{URL: "u", Credentials: &pipeline.Credentials{Password: "${{ secrets.nope }}"}}, nil)
	if got, err := (Git{Fetcher: r}).resolve(t.Context(), in); err != nil || got.Failure == nil || got.Failure.Code != "SECRET_MISSING" {
		t.Errorf("%+v, %v", got, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stage.ErrDetached)
	in, _ = input(pipeline.Git{URL: "u"}, nil)
	if got, err := (Git{Fetcher: r}).resolve(ctx, in); !errors.Is(err, stage.ErrDetached) {
		t.Errorf("%+v, %v", got, err)
	}
}

// fileOf is an artifact with a pipeline file.
type fileOf struct {
	text string
	err  error
}

func (f fileOf) ReadFile(context.Context, artifact.Ref, string, int64) ([]byte, error) {
	return []byte(f.text), f.err
}

// Differs answers with the application and the file that it is asked of.
func (f fileOf) Differs(_ context.Context, application string, file []byte) (string, error) {
	return "differs: " + application + " " + string(file), f.err
}

func TestACommitsPipelineFileIsCompared(t *testing.T) {
	for name, c := range map[string]struct {
		files fileOf
		want  string
	}{
		"there":      {fileOf{text: "x"}, "showrunner.yaml of this commit differs: shop x"},
		"none":       {fileOf{err: problem.New(problem.NotFound, "artifact.read", "no file")}, ""},
		"unreadable": {fileOf{err: errors.New("no")}, ""},
	} {
		in, log := input(pipeline.Git{URL: "https://git.example.com/shop"}, nil)
		in.Application, in.Outputs = "shop", map[string]any{"commit": commitA}
		res, err := Git{Fetcher: &remote{}, Files: c.files, Definitions: c.files}.fetch(t.Context(), in)
		if err != nil || res.Outcome != stage.Done || res.Outputs["note"] != c.want || !strings.Contains(log.String(), c.want) {
			t.Errorf("%s: %+v, %v\n%s", name, res, err, log)
		}
	}
}
