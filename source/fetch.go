package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"showrunner/problem"
)

// maxNesting bounds submodules within submodules, which may lead in a circle.
const maxNesting = 10

// Fetch exports a commit's work tree as an artifact. Request.Commit must be a
// full commit, as Resolve returns it. Fetching again gives the same artifact,
// without asking the remote while the mirror has the commit (files of LFS apart).
// Errors: invalid, denied, not_found, precondition, unavailable.
func (f *Fetcher) Fetch(ctx context.Context, q Request) (Tree, error) {
	r, err := f.remote(q)
	if err != nil {
		return Tree{}, err
	}
	if !fullCommit(q.Commit) {
		return Tree{}, problem.New(problem.Invalid, "source.fetch", "%q is not a full commit", q.Commit)
	}
	if q.Progress == nil {
		q.Progress = func(string) {}
	}
	if q.LFS {
		if err := f.needLFS(); err != nil {
			return Tree{}, err
		}
	}
	s, err := newScratch(f.tmp)
	if err != nil {
		return Tree{}, err
	}
	defer s.remove() //nolint:errcheck // the next start sweeps
	root := s.path("tree")
	e := &export{f: f, q: q, scratch: s}
	tree, err := e.exportCommit(ctx, r, strings.ToLower(q.Commit), root, 0)
	if err != nil {
		return Tree{}, withRemote(err, r)
	}
	ref, manifest, err := f.o.Artifacts.PutDir(ctx, root, nil)
	if err != nil {
		return Tree{}, problem.Wrap(err, "", "source.fetch", "keeping the work tree of %s", r.URL)
	}
	tree.Artifact, tree.Files, tree.Bytes = ref, len(manifest.Entries), manifest.Size()
	return tree, nil
}

// export lays out the work trees of one request: a repository and its submodules.
type export struct {
	f       *Fetcher
	q       Request
	scratch *scratch
	top     *Remote
	indexes int
}

// exportCommit fetches a commit into its mirror and writes its files to root, which must
// not exist.
func (e *export) exportCommit(ctx context.Context, r Remote, commit, root string, depth int) (Tree, error) {
	if e.top == nil {
		e.top = &r
	}
	private, err := newScratch(e.f.tmp)
	if err != nil {
		return Tree{}, err
	}
	defer private.remove() //nolint:errcheck // the next start sweeps
	a, err := grant(private, r, e.credentials(r))
	if err != nil {
		return Tree{}, err
	}
	var tree Tree
	var modules []module
	work := func(m *mirror) error {
		if !m.has(ctx, commit) {
			return errAbsent
		}
		if err := removeAll(root); err != nil {
			return problem.Wrap(err, problem.Unavailable, "source.fetch", "clearing the work tree")
		}
		var err error
		if tree, err = m.describe(ctx, commit); err != nil {
			return err
		}
		e.indexes++
		index := e.scratch.path(fmt.Sprintf("index%d", e.indexes))
		if err := m.checkout(ctx, commit, root, index, a, e.q); err != nil {
			return err
		}
		if e.q.Submodules {
			modules, err = m.modules(ctx, commit)
		}
		return err
	}
	// Usually the mirror has the commit already, and then readers need only a
	// shared lock.
	if err = e.f.withMirror(ctx, r, commit, false, work); errors.Is(err, errAbsent) || damaged(err) {
		broken := damaged(err)
		err = e.f.withMirror(ctx, r, commit, true, func(m *mirror) error {
			if broken {
				broken = false
				return err
			}
			fetched := e.f.withRetries(ctx, func() error { return m.fetch(ctx, commit, a, e.q.Progress) })
			if fetched != nil {
				return fetched
			}
			return work(m)
		})
	}
	if err != nil {
		return Tree{}, err
	}
	for _, sub := range modules {
		if err := e.exportSubmodule(ctx, r, sub, root, depth); err != nil {
			return Tree{}, err
		}
	}
	return tree, nil
}

var errAbsent = errors.New("the mirror does not hold the commit")

// credentials returns the credentials for a submodule: those of the request when
// the submodule is at the same host, otherwise none.
func (e *export) credentials(r Remote) Credentials {
	if r.Scheme != e.top.Scheme || r.Host != e.top.Host {
		return Credentials{}
	}
	c := e.q.Credentials
	if c == (Credentials{}) {
		c.Username, c.Password = e.top.user, e.top.password
	}
	return c
}

// module is a submodule of a commit.
type module struct{ path, url, commit string }

func (e *export) exportSubmodule(ctx context.Context, parent Remote, sub module, root string, depth int) error {
	const op = "source.submodule"
	if depth >= maxNesting {
		return problem.New(problem.Invalid, op, "submodules are nested more than %d deep at %s", maxNesting, sub.path)
	}
	if sub.url == "" {
		return problem.New(problem.Invalid, op, "the submodule at %s has no address in .gitmodules", sub.path)
	}
	r, err := parent.join(sub.url)
	if err != nil {
		return problem.Wrap(err, "", op, "the submodule at %s", sub.path)
	}
	// A repository of another host must not read this machine's files into its
	// artifact.
	if r.Scheme == "file" && parent.Scheme != "file" {
		return problem.New(problem.Denied, op, "the submodule at %s names a path of this machine", sub.path).
			WithHelp("give it an address in .gitmodules that other machines can reach")
	}
	at := filepath.Join(root, filepath.FromSlash(sub.path))
	if !strings.HasPrefix(at, root+string(filepath.Separator)) {
		return problem.New(problem.Invalid, op, "the submodule at %q lies outside the repository", sub.path)
	}
	// The parent's checkout left an empty folder at this path. Anything else on
	// the path is a link that the repository planted.
	for dir := at; dir != root; dir = filepath.Dir(dir) {
		if info, err := os.Lstat(dir); err == nil && !info.IsDir() {
			return problem.New(problem.Invalid, op, "the submodule at %q lies behind a link", sub.path)
		}
	}
	e.q.Progress(fmt.Sprintf("submodule %s: %s at %.7s", sub.path, r.URL, sub.commit))
	if _, err := e.exportCommit(ctx, r, sub.commit, at, depth+1); err != nil {
		return problem.Wrap(err, "", op, "the submodule at %s (%s)", sub.path, r.URL).WithHelp("%s", problem.HelpOf(err))
	}
	return nil
}

// local runs a command that needs only the mirror. So a failure means that the
// mirror is damaged, whatever git's message says.
func (m *mirror) local(ctx context.Context, c command) (string, error) {
	c.lock = m.lock
	c.args = append([]string{"--git-dir=" + m.dir}, c.args...)
	out, err := m.f.run(ctx, c)
	var f *failure
	if errors.As(err, &f) && f.reason != DiskFull && f.reason != TookTooLong {
		return "", problem.Wrap(&failure{MirrorDamaged, f.stderr}, problem.Internal, "source.mirror", "reading the mirror of %s", m.remote.URL)
	}
	return out, err
}

func (m *mirror) describe(ctx context.Context, commit string) (Tree, error) {
	out, err := m.local(ctx, command{dir: m.dir, args: []string{"log", "-1", "--no-color", "--format=%an%x00%ae%x00%aI%x00%B", commit, "--"}})
	if err != nil {
		return Tree{}, err
	}
	parts := strings.SplitN(strings.ToValidUTF8(out, "�"), "\x00", 4)
	if len(parts) != 4 {
		return Tree{}, problem.New(problem.Internal, "source.describe", "git describes %s as %q", commit, out)
	}
	date, err := time.Parse(time.RFC3339, parts[2])
	if err != nil {
		date = time.Time{} // a commit may carry an invalid date
	}
	return Tree{Commit: commit, Author: parts[0], AuthorEmail: parts[1], Date: date, Message: strings.TrimSpace(parts[3])}, nil
}

// checkout writes the files of a commit to root, as a checkout does: it applies
// the repository's line-ending rules, and keeps links and executable files as
// they are.
func (m *mirror) checkout(ctx context.Context, commit, root, index string, a access, q Request) error {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return problem.Wrap(err, problem.Unavailable, "source.checkout", "making the work tree")
	}
	c := command{dir: root, env: []string{"GIT_INDEX_FILE=" + index}}
	c.args = []string{"--work-tree=" + root, "read-tree", commit}
	if _, err := m.local(ctx, c); err != nil {
		return err
	}
	c.args = []string{"--work-tree=" + root, "checkout-index", "--all", "--force", "--quiet"}
	if !q.LFS {
		_, err := m.local(ctx, c)
		return err
	}
	// Attributes name the filter; here the filter is defined. Git LFS keeps its
	// downloads in the mirror, since the mirror is the git folder. Setting
	// lfs.storage instead would also move the files of a remote that is a path.
	c.args = append([]string{"--git-dir=" + m.dir,
		"-c", "remote.origin.url=" + m.remote.URL, "-c", "filter.lfs.required=true",
		"-c", "filter.lfs.smudge=git-lfs smudge -- %f", "-c", "filter.lfs.process=git-lfs filter-process"}, c.args...)
	c.access, c.remote, c.progress, c.lock = a, true, q.Progress, m.lock
	return m.f.withRetries(ctx, func() error { _, err := m.f.run(ctx, c); return err })
}

func (f *Fetcher) needLFS() error {
	if _, err := exec.LookPath("git-lfs"); err != nil {
		return problem.Wrap(&failure{reason: LFSMissing}, problem.Precondition, "source.lfs", "the stage asks for files of Git LFS, and git-lfs is not installed here").
			WithHelp("install git-lfs on the machine of the control plane, or leave out lfs: true to get the pointer files")
	}
	return nil
}

// modules lists the submodules of a commit: the submodule entries of its tree,
// with their addresses from .gitmodules.
func (m *mirror) modules(ctx context.Context, commit string) ([]module, error) {
	out, err := m.local(ctx, command{dir: m.dir, args: []string{"ls-tree", "-r", "-z", "--full-tree", commit}})
	if err != nil {
		return nil, err
	}
	var list []module
	hasFile := false
	for entry := range strings.SplitSeq(out, "\x00") {
		meta, p, ok := strings.Cut(entry, "\t")
		if !ok {
			continue
		}
		fields := strings.Fields(meta) // mode, type, object
		if len(fields) == 3 && fields[1] == "commit" {
			list = append(list, module{path: p, commit: fields[2]})
		}
		hasFile = hasFile || p == ".gitmodules" && fields[0] != "120000"
	}
	if len(list) == 0 || !hasFile {
		return nil, nil // entries without .gitmodules are left empty, as git does
	}
	out, err = m.f.run(ctx, command{dir: m.dir, lock: m.lock, args: []string{"--git-dir=" + m.dir, "config", "--no-includes", "--blob", commit + ":.gitmodules", "--list", "-z"}})
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "source.submodule", "the commit's .gitmodules cannot be read")
	}
	urls := moduleURLs(out)
	known := list[:0]
	for _, sub := range list {
		var ok bool
		if sub.url, ok = urls[sub.path]; ok {
			known = append(known, sub)
		}
	}
	return known, nil
}

// moduleURLs reads the output of git config --list -z: path → address.
func moduleURLs(out string) map[string]string {
	paths, urls := map[string]string{}, map[string]string{}
	for entry := range strings.SplitSeq(out, "\x00") {
		key, value, _ := strings.Cut(entry, "\n")
		name, ok := strings.CutPrefix(key, "submodule.")
		if !ok {
			continue
		}
		if n, ok := strings.CutSuffix(name, ".path"); ok {
			paths[n] = value
		} else if n, ok := strings.CutSuffix(name, ".url"); ok {
			urls[n] = value
		}
	}
	byPath := map[string]string{}
	for n, p := range paths {
		byPath[path.Clean(p)] = urls[n]
	}
	return byPath
}

// Changed lists the paths that differ between two full commits of a repository.
func (f *Fetcher) Changed(ctx context.Context, q Request, from, to string) ([]string, error) {
	r, err := f.remote(q)
	if err != nil {
		return nil, err
	}
	if !fullCommit(from) || !fullCommit(to) {
		return nil, problem.New(problem.Invalid, "source.changed", "%q and %q have to be full commits", from, to)
	}
	s, err := newScratch(f.tmp)
	if err != nil {
		return nil, err
	}
	defer s.remove() //nolint:errcheck // the next start sweeps
	a, err := grant(s, r, q.Credentials)
	if err != nil {
		return nil, err
	}
	var out string
	err = f.withMirror(ctx, r, to, true, func(m *mirror) error {
		for _, commit := range []string{from, to} {
			if err := f.withRetries(ctx, func() error { return m.fetch(ctx, commit, a, q.Progress) }); err != nil {
				return err
			}
		}
		var err error
		out, err = m.local(ctx, command{dir: m.dir, args: []string{"diff", "--name-only", "--no-renames", "-z", "--no-ext-diff", from, to, "--"}})
		return err
	})
	if err != nil {
		return nil, withRemote(err, r)
	}
	return strings.FieldsFunc(out, func(r rune) bool { return r == 0 }), nil
}
