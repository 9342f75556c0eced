package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"showrunner/artifact"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/source"
	"showrunner/stage"
)

// Fetcher fetches commits; *source.Fetcher is one.
type Fetcher interface {
	Resolve(ctx context.Context, q source.Request) (source.Revision, error)
	Fetch(ctx context.Context, q source.Request) (source.Tree, error)
	Refs(ctx context.Context, q source.Request) (source.Refs, error)
	Between(ctx context.Context, q source.Request, from, to string) (source.History, error)
}

// Files reads a small file of an artifact. Errors: not_found, invalid (it is larger
// than limit).
type Files interface {
	ReadFile(ctx context.Context, ref artifact.Ref, name string, limit int64) ([]byte, error)
}

// Definitions knows the pipeline files that are applied.
type Definitions interface {
	// Differs says how a pipeline file differs from the one that is applied for the
	// application; empty: it does not, or it is another application's.
	Differs(ctx context.Context, application string, file []byte) (string, error)
}

// Git is the stage kind git. Its first task fixes the commit, so that however
// often the second is repeated, it fetches the same one. Runs use the pipeline file
// that was applied; the stage says when the one in the commit is another.
type Git struct {
	Fetcher     Fetcher
	Files       Files       // nil with Definitions
	Definitions Definitions // nil: nothing is compared
}

// definition is the pipeline file in a repository, and the most bytes of it that are compared.
const (
	definition     = "showrunner.yaml"
	mostDefinition = 1 << 20
)

// note says how the pipeline file of a commit differs from the applied one. A
// comparison that cannot be made is said in the log and fails nothing.
func (g Git) note(ctx context.Context, in *stage.Input, tree artifact.Ref) string {
	if g.Definitions == nil {
		return ""
	}
	file, err := g.Files.ReadFile(ctx, tree, definition, mostDefinition)
	if problem.CodeOf(err) == problem.NotFound {
		return ""
	}
	var how string
	if err == nil {
		how, err = g.Definitions.Differs(ctx, in.Application, file)
	}
	if err != nil {
		fmt.Fprintf(in.Log, "%s was not compared with what is applied: %v\n", definition, err)
		return ""
	}
	if how != "" {
		how = definition + " of this commit " + how
		fmt.Fprintln(in.Log, how)
	}
	return how
}

// Name implements stage.Kind.
func (Git) Name() string { return "git" }

// Version implements stage.Kind.
func (Git) Version() int { return 1 }

// Tasks implements stage.Kind. Both may be repeated: they change nothing but
// our own mirror and store, where equal content has one place.
func (g Git) Tasks() []stage.Task {
	return []stage.Task{
		{Name: "resolve", Run: g.resolve, Resume: stage.Repeat},
		{Name: "fetch", Run: g.fetch, Resume: stage.Repeat},
	}
}

func (g Git) resolve(ctx context.Context, in *stage.Input) (stage.Result, error) {
	q, err := request(ctx, in)
	if err != nil {
		return failed(ctx, err)
	}
	if q.Commit == "" {
		if err := g.follow(ctx, in, &q); err != nil {
			return failed(ctx, err)
		}
	}
	rev, err := g.Fetcher.Resolve(ctx, q)
	if err != nil {
		return failed(ctx, err)
	}
	fmt.Fprintf(in.Log, "%s %s at %s\n", rev.URL, named(rev), rev.Commit)
	in.Progress("%s at %.7s", named(rev), rev.Commit)
	return stage.Result{Outcome: stage.Done, Outputs: map[string]any{
		"commit": rev.Commit, "shortCommit": rev.Commit[:7], "branch": rev.Branch, "tag": rev.Tag, "url": rev.URL,
	}}, nil
}

func named(rev source.Revision) string {
	switch {
	case rev.Tag != "":
		return "tag " + rev.Tag
	case rev.Branch != "":
		return "branch " + rev.Branch
	}
	return "commit"
}

// follow takes what the trigger pushed where it fits: the repository is this
// stage's, and the stage names no other branch or tag. A trigger that calls the
// repository by another address fits too when one of the branches or tags here
// is at its commit.
func (g Git) follow(ctx context.Context, in *stage.Input, q *source.Request) error {
	text := func(key string) string { s, _ := in.Trigger[key].(string); return s }
	commit, branch, tag := text("commit"), text("branch"), text("tag")
	if commit == "" || q.Branch != "" && q.Branch != branch || q.Tag != "" && q.Tag != tag {
		return nil
	}
	fits := false
	for _, address := range []string{text("url"), text("repository")} {
		fits = fits || address != "" && source.SameRepository(address, q.URL)
	}
	if !fits {
		refs, err := g.Fetcher.Refs(ctx, *q)
		if err != nil {
			return err
		}
		fits = branch != "" && refs.Branches[branch] == commit || tag != "" && refs.Tags[tag] == commit
		if !fits {
			fmt.Fprintf(in.Log, "the trigger's commit %.7s is not at a branch or tag of the same name in %s; taking %s instead\n",
				commit, source.Redact(q.URL), cmp.Or(q.Branch, q.Tag, "its HEAD"))
			return nil
		}
	}
	q.Commit, q.Branch, q.Tag = commit, branch, tag
	return nil
}

func (g Git) fetch(ctx context.Context, in *stage.Input) (stage.Result, error) {
	q, err := request(ctx, in)
	if err != nil {
		return failed(ctx, err)
	}
	commit, ok := in.Outputs["commit"].(string)
	if !ok {
		return stage.Result{}, problem.New(problem.Internal, "git.fetch", "the commit was not resolved")
	}
	q.Commit = commit
	tree, err := g.Fetcher.Fetch(ctx, q)
	if err != nil {
		return failed(ctx, err)
	}
	subject, _, _ := strings.Cut(tree.Message, "\n")
	fmt.Fprintf(in.Log, "%.7s %s (%s)\n%d files, %d bytes\n", tree.Commit, subject, tree.Author, tree.Files, tree.Bytes)
	in.Progress("%.7s %s", tree.Commit, subject)
	date := ""
	if !tree.Date.IsZero() {
		date = tree.Date.Format(time.RFC3339)
	}
	return stage.Result{Outcome: stage.Done,
		Artifacts: map[string]artifact.Ref{"": tree.Artifact},
		Outputs:   map[string]any{"message": tree.Message, "author": tree.Author, "authorEmail": tree.AuthorEmail, "date": date, "note": g.note(ctx, in, tree.Artifact)},
	}, nil
}

// PipelineFile is the pipeline file of the commit that a run with this input
// fetches, and the commit. Errors: not_found (the commit has none), and those of
// fetching.
func (g Git) PipelineFile(ctx context.Context, in *stage.Input) (file []byte, commit string, err error) {
	const op = "git.pipeline-file"
	res, err := g.resolve(ctx, in)
	if err != nil {
		return nil, "", err
	}
	if res.Failure != nil {
		return nil, "", problem.New(problem.Unavailable, op, "%s", res.Failure.Cause)
	}
	q, err := request(ctx, in)
	if err != nil {
		return nil, "", err
	}
	commit, _ = res.Outputs["commit"].(string)
	q.Commit = commit
	tree, err := g.Fetcher.Fetch(ctx, q)
	if err != nil {
		return nil, "", err
	}
	file, err = g.Files.ReadFile(ctx, tree.Artifact, definition, mostDefinition)
	return file, commit, err
}

// Between lists the commits between two of the repository that a stage with this input
// fetches from. Errors: those of source.Fetcher.Between.
func (g Git) Between(ctx context.Context, in *stage.Input, from, to string) (source.History, error) {
	q, err := request(ctx, in)
	if err != nil {
		return source.History{}, err
	}
	return g.Fetcher.Between(ctx, q, from, to)
}

// request is what the stage asks of git, its secrets resolved.
func request(ctx context.Context, in *stage.Input) (source.Request, error) {
	c, ok := in.Config.(pipeline.Git)
	if !ok {
		return source.Request{}, problem.New(problem.Internal, "git", "the configuration is a %T", in.Config)
	}
	creds, err := Credentials(ctx, in.Secrets, c.Credentials)
	if err != nil {
		return source.Request{}, err
	}
	return source.Request{URL: c.URL, Branch: strings.TrimPrefix(c.Branch, "refs/heads/"), Tag: strings.TrimPrefix(c.Tag, "refs/tags/"),
		Commit: c.Commit, Submodules: c.Submodules, LFS: c.LFS, Credentials: creds,
		Progress: func(line string) {
			in.Progress("%s", line)
			if final(line) {
				fmt.Fprintln(in.Log, line)
			}
		}}, nil
}

// final tells whether a line of git's progress is worth keeping: those that it
// draws over are not.
func final(line string) bool { return !strings.Contains(line, "%") || strings.HasSuffix(line, "done.") }

// Credentials resolves the references in credentials; nil gives none.
func Credentials(ctx context.Context, secrets stage.Secrets, c *pipeline.Credentials) (source.Credentials, error) {
	if c == nil {
		return source.Credentials{}, nil
	}
	var out source.Credentials
	for _, f := range []struct {
		from string
		to   *string
	}{{c.Username, &out.Username}, {c.Password, &out.Password}, {c.SSHKey, &out.SSHKey}, {c.KnownHosts, &out.KnownHosts}} {
		value, err := secrets.Expand(ctx, f.from)
		if err != nil {
			return source.Credentials{}, err
		}
		*f.to = value
	}
	return out, nil
}

// failed turns an error into the stage's failure. When the engine has ended the
// context the answer is the context's cause: nothing was found out about git.
func failed(ctx context.Context, err error) (stage.Result, error) {
	if ctx.Err() != nil {
		return stage.Result{}, context.Cause(ctx)
	}
	code := string(source.ReasonOf(err))
	cause := err.Error()
	if p, ok := problem.Of(err); ok {
		cause = p.Message
		var inner *problem.Error
		if p.Err != nil && errors.As(p.Err, &inner) {
			cause += ": " + inner.Message
		}
		if p.Op == "secret.resolve" {
			code = "SECRET_MISSING"
		}
	}
	return stage.Fail(stage.Failure{Code: code, Cause: cause, Evidence: source.Evidence(err), Help: problem.HelpOf(err),
		Retryable: problem.CodeOf(err) == problem.Unavailable}), nil
}
