package source

import (
	"context"
	"slices"
	"strings"

	"github.com/agext/levenshtein"

	"showrunner/problem"
)

// Refs is what a remote advertises.
type Refs struct {
	Head     string            // the branch that HEAD points to; empty when unknown
	HeadTip  string            // the commit of HEAD; empty in an empty repository
	Branches map[string]string // name → commit
	Tags     map[string]string // name → commit, annotated tags followed
}

// Refs asks a remote for its branches and tags.
func (f *Fetcher) Refs(ctx context.Context, q Request) (Refs, error) {
	r, err := f.remote(q)
	if err != nil {
		return Refs{}, err
	}
	s, err := newScratch(f.tmp)
	if err != nil {
		return Refs{}, err
	}
	defer s.remove() //nolint:errcheck // the next start sweeps
	a, err := grant(s, r, q.Credentials)
	if err != nil {
		return Refs{}, err
	}
	refs, err := f.list(ctx, r, a)
	return refs, withRemote(err, r)
}

// list runs ls-remote; patterns, when given, keep the answer short.
func (f *Fetcher) list(ctx context.Context, r Remote, a access, patterns ...string) (Refs, error) {
	args := append([]string{"ls-remote", "--symref", "--", r.URL}, patterns...)
	var out string
	err := f.withRetries(ctx, func() (err error) {
		out, err = f.run(ctx, command{args: args, access: a, remote: true})
		return err
	})
	if err != nil {
		return Refs{}, err
	}
	return parseRefs(out), nil
}

func parseRefs(out string) Refs {
	refs := Refs{Branches: map[string]string{}, Tags: map[string]string{}}
	for line := range strings.Lines(out) {
		left, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok {
			continue
		}
		if target, ok := strings.CutPrefix(left, "ref: "); ok {
			if name == "HEAD" {
				refs.Head = strings.TrimPrefix(target, "refs/heads/")
			}
			continue
		}
		if branch, ok := strings.CutPrefix(name, "refs/heads/"); ok {
			refs.Branches[branch] = left
		} else if tag, ok := strings.CutPrefix(name, "refs/tags/"); ok {
			if peeled, ok := strings.CutSuffix(tag, "^{}"); ok {
				refs.Tags[peeled] = left // the peeled entry follows the tag's own line
			} else {
				refs.Tags[tag] = left
			}
		} else if name == "HEAD" {
			refs.HeadTip = left
		}
	}
	return refs
}

// Resolve finds the commit that a request names. It always asks the remote, even
// for a full commit. So the mirror never serves a client whom the remote would
// refuse. Errors: invalid, denied, not_found, unavailable.
func (f *Fetcher) Resolve(ctx context.Context, q Request) (Revision, error) {
	r, err := f.remote(q)
	if err != nil {
		return Revision{}, err
	}
	s, err := newScratch(f.tmp)
	if err != nil {
		return Revision{}, err
	}
	defer s.remove() //nolint:errcheck // the next start sweeps
	a, err := grant(s, r, q.Credentials)
	if err != nil {
		return Revision{}, err
	}
	rev, err := f.resolve(ctx, r, a, q)
	if err != nil {
		return Revision{}, withRemote(err, r)
	}
	rev.URL = r.URL
	return rev, nil
}

func (f *Fetcher) resolve(ctx context.Context, r Remote, a access, q Request) (Revision, error) {
	branch, tag := strings.TrimPrefix(q.Branch, "refs/heads/"), strings.TrimPrefix(q.Tag, "refs/tags/")
	switch {
	case q.Commit != "":
		refs, err := f.list(ctx, r, a)
		if err != nil {
			return Revision{}, err
		}
		commit, err := f.expandCommit(ctx, r, a, strings.ToLower(q.Commit), refs, q.Progress)
		return Revision{Commit: commit, Branch: branch, Tag: tag}, err
	case tag != "":
		refs, err := f.list(ctx, r, a, "refs/tags/"+tag, "refs/tags/"+tag+"^{}")
		if err != nil {
			return Revision{}, err
		}
		commit, ok := refs.Tags[tag]
		if !ok {
			return Revision{}, f.suggest(ctx, r, a, "tag", tag)
		}
		return Revision{Commit: commit, Tag: tag}, nil
	case branch != "":
		refs, err := f.list(ctx, r, a, "refs/heads/"+branch)
		if err != nil {
			return Revision{}, err
		}
		commit, ok := refs.Branches[branch]
		if !ok {
			return Revision{}, f.suggest(ctx, r, a, "branch", branch)
		}
		return Revision{Commit: commit, Branch: branch}, nil
	}
	refs, err := f.list(ctx, r, a, "HEAD")
	if err != nil {
		return Revision{}, err
	}
	if refs.HeadTip == "" {
		return Revision{}, problem.Wrap(&failure{reason: RefMissing}, problem.NotFound, "source.resolve", "HEAD of the repository points to no commit").
			WithHelp("push a first commit, or name a branch, tag or commit")
	}
	return Revision{Commit: refs.HeadTip, Branch: refs.Head}, nil
}

// expandCommit completes an abbreviated commit of at least four digits. The tips of
// branches and tags are looked at first; any other commit needs the history.
func (f *Fetcher) expandCommit(ctx context.Context, r Remote, a access, commit string, refs Refs, progress func(string)) (string, error) {
	if fullCommit(commit) {
		return commit, nil
	}
	found := map[string]bool{}
	for _, tips := range []map[string]string{refs.Branches, refs.Tags, {"": refs.HeadTip}} {
		for _, tip := range tips {
			if strings.HasPrefix(tip, commit) {
				found[tip] = true
			}
		}
	}
	var out string
	err := f.withMirror(ctx, r, refs.HeadTip, true, func(m *mirror) error {
		if err := m.fetchAll(ctx, a, progress); err != nil {
			return err
		}
		var err error
		out, err = m.git(ctx, "rev-parse", "--disambiguate="+commit)
		if err != nil {
			return err
		}
		for object := range strings.FieldsSeq(out) {
			kind, err := m.git(ctx, "cat-file", "-t", object)
			if err == nil && strings.TrimSpace(kind) == "commit" {
				found[object] = true
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	switch len(found) {
	case 0:
		return "", missing("commit", commit, nil)
	case 1:
		for object := range found {
			return object, nil
		}
	}
	return "", problem.New(problem.Invalid, "source.resolve", "%d commits begin with %s", len(found), commit).
		WithHelp("give more digits")
}

// suggest returns an error that says that a name does not exist, and lists
// similar names.
func (f *Fetcher) suggest(ctx context.Context, r Remote, a access, what, name string) error {
	refs, err := f.list(ctx, r, a)
	if err != nil {
		return err
	}
	names := refs.Branches
	if what == "tag" {
		names = refs.Tags
	}
	var all []string
	for n := range names {
		all = append(all, n)
	}
	return missing(what, name, all)
}

func missing(what, name string, known []string) error {
	const shown = 5
	p := problem.Wrap(&failure{reason: RefMissing}, problem.NotFound, "source.resolve", "there is no %s %s", what, name)
	if what == "commit" {
		p.Help = "check the commit; it may have been removed from the remote, or never been pushed"
		return p
	}
	if len(known) == 0 {
		p.Help = "the repository has none"
		return p
	}
	distance := func(s string) float64 { return -levenshtein.Match(name, s, nil) }
	slices.SortFunc(known, func(x, y string) int {
		if dx, dy := distance(x), distance(y); dx != dy {
			if dx < dy {
				return -1
			}
			return 1
		}
		return strings.Compare(x, y)
	})
	p.Help = "did you mean " + strings.Join(known[:min(shown, len(known))], ", ") + "?"
	return p
}
