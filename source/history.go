package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"showrunner/problem"
)

// HistoryDepth is how many generations of commits are looked at between two commits.
const HistoryDepth = 256

// Commit is a commit in a list.
type Commit struct {
	Commit  string // all digits
	Subject string // the first line of its message
	Author  string
	Date    time.Time // when it was authored
}

// History is how two commits stand to each other, both lists newest first.
type History struct {
	From string // all digits
	// Added are the commits that the second one has and the first one lacks, Removed
	// those that the first one has and the second one lacks.
	Added, Removed []Commit
	// Partial: more than HistoryDepth generations lie between, so the lists are not
	// whole.
	Partial bool
	// Files are those that differ between the two, FilesMore how many there are besides.
	Files     []FileChange
	FilesMore int
}

var shortCommit = regexp.MustCompile(`^[0-9a-fA-F]{7,64}$`)

// Between lists the commits between two commits of a repository. to is a full commit,
// from has at least seven digits. What the mirror lacks of the history is fetched once;
// later calls do not ask the remote. Errors: invalid, denied, not_found (one of them is
// not there any more), unavailable.
func (f *Fetcher) Between(ctx context.Context, q Request, from, to string) (History, error) {
	const op = "source.between"
	r, err := f.remote(q)
	if err != nil {
		return History{}, err
	}
	from, to = strings.ToLower(from), strings.ToLower(to)
	if !fullCommit(to) || !shortCommit.MatchString(from) {
		return History{}, problem.New(problem.Invalid, op, "%q and %q have to be commits", from, to)
	}
	s, err := newScratch(f.tmp)
	if err != nil {
		return History{}, err
	}
	defer s.remove() //nolint:errcheck // the next start sweeps
	a, err := grant(s, r, q.Credentials)
	if err != nil {
		return History{}, err
	}
	var h History
	read := func(m *mirror) (err error) {
		if !m.has(ctx, to) {
			return errAbsent
		}
		h, err = m.between(ctx, from, to)
		return err
	}
	err = f.withMirror(ctx, r, to, false, read)
	if errors.Is(err, errAbsent) || errors.Is(err, errCut) || damaged(err) {
		err = f.withMirror(ctx, r, to, true, func(m *mirror) error {
			fetched := f.withRetries(ctx, func() error { return m.deepen(ctx, from, to, a) })
			if fetched != nil {
				return fetched
			}
			return read(m)
		})
	}
	switch {
	case errors.Is(err, errAbsent):
		err = missing("commit", from, nil)
	case errors.Is(err, errCut):
		err = problem.New(problem.NotFound, op, "the history between %.7s and %.7s is not in the repository", from, to).
			WithHelp("it may be a shallow clone, or one of the commits was removed from it")
	}
	return h, withRemote(err, r)
}

var errCut = errors.New("the mirror does not hold the history")

// between lists the commits between two that the mirror has. errAbsent: it lacks the
// first one. errCut: it lacks a part of their history.
func (m *mirror) between(ctx context.Context, from, to string) (History, error) {
	full, err := m.git(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", from+"^{commit}")
	if err != nil {
		return History{}, errAbsent
	}
	h := History{From: strings.TrimSpace(full)}
	out, err := m.local(ctx, command{dir: m.dir, args: []string{"log", "--left-right", "--topo-order", "--no-color", "--format=%m%x00%H%x00%an%x00%aI%x00%s", h.From + "..." + to, "--"}})
	if err != nil {
		return History{}, err
	}
	cut, err := m.shallow()
	if err != nil {
		return History{}, err
	}
	whole := true
	for line := range strings.Lines(strings.ToValidUTF8(out, "�")) {
		side, commit, err := parseCommit(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return History{}, err
		}
		if side == "<" {
			h.Removed = append(h.Removed, commit)
		} else {
			h.Added = append(h.Added, commit)
		}
		whole = whole && !cut[commit.Commit]
	}
	// A history that was deepened, and is cut all the same, has at least as many commits.
	h.Partial = !whole && max(len(h.Added), len(h.Removed)) >= HistoryDepth
	if !whole && !h.Partial {
		return History{}, errCut
	}
	h.Files, h.FilesMore, err = m.changes(ctx, h.From, to)
	return h, err
}

func parseCommit(line string) (side string, c Commit, err error) {
	parts := strings.SplitN(line, "\x00", 5)
	if len(parts) != 5 {
		return "", Commit{}, problem.New(problem.Internal, "source.between", "git lists a commit as %q", line)
	}
	date, err := time.Parse(time.RFC3339, parts[3])
	if err != nil {
		date = time.Time{} // a commit may carry an invalid date
	}
	return parts[0], Commit{Commit: parts[1], Author: parts[2], Date: date, Subject: parts[4]}, nil
}

// shallow are the commits whose parents were not fetched.
func (m *mirror) shallow() (map[string]bool, error) {
	data, err := os.ReadFile(filepath.Join(m.dir, "shallow"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, problem.Wrap(err, problem.Unavailable, "source.between", "reading the mirror of %s", m.remote.URL)
	}
	cut := map[string]bool{}
	for commit := range strings.FieldsSeq(string(data)) {
		cut[commit] = true
	}
	return cut, nil
}

// deepen fetches the history of two commits, of the first one where it is named in full.
func (m *mirror) deepen(ctx context.Context, from, to string, a access) error {
	if full, err := m.git(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", from+"^{commit}"); err == nil {
		from = strings.TrimSpace(full)
	}
	specs := []string{"+" + to + ":" + keptRefs + to}
	if fullCommit(from) {
		specs = append(specs, "+"+from+":"+keptRefs+from)
	}
	depth := "--depth=" + strconv.Itoa(HistoryDepth)
	err := m.pull(ctx, a, nil, depth, specs...)
	if err != nil && strings.Contains(stderrOf(err), "does not support shallow") {
		err = m.pull(ctx, a, nil, "", specs...)
	}
	if refused(err) {
		if err = m.fetchAll(ctx, a, nil); err != nil {
			return err
		}
		if _, err := m.git(ctx, "cat-file", "-e", to+"^{commit}"); err != nil {
			return missing("commit", to, nil)
		}
		_, err = m.git(ctx, "update-ref", keptRefs+to, to)
	}
	if err != nil {
		return err
	}
	return m.tidy(ctx, to)
}
