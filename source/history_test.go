package source

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"showrunner/problem"
)

// between lists what lies between two commits: subjects of "+added -removed".
func (b *fixture) between(q Request, from, to string) (string, error) {
	h, err := b.Between(b.t.Context(), q, from, to)
	var list []string
	for _, c := range h.Added {
		list = append(list, "+"+c.Subject)
	}
	for _, c := range h.Removed {
		list = append(list, "-"+c.Subject)
	}
	return strings.Join(list, " "), err
}

// A mirror has single commits, as builds fetch them. What lies between two of them is
// complete all the same, in each direction and over merges, by path and over HTTP.
func TestTheCommitsBetweenTwo(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	var all []string
	for _, n := range []string{"1", "2", "3", "4"} {
		all = append(all, r.commit(n, "a", n))
	}
	r.git("checkout", "-q", "-b", "side", all[1])
	side := r.commit("side", "b", "b")
	r.git("checkout", "-q", "main")
	r.git("merge", "-q", "--no-ff", "-m", "merge", "side")
	merged := r.git("rev-parse", "HEAD")
	s := serve(t, filepath.Dir(r.dir), "ada", "s3cret-pass")
	for name, q := range map[string]Request{
		"by path":   {URL: r.dir},
		"over HTTP": {URL: s.URL + "/repo", Credentials: Credentials{Username: "ada", Password: "s3cret-pass"}},
	} {
		b := newFixture(t)
		for _, commit := range []string{all[3], all[1], side} {
			q.Commit = commit
			if _, err := b.Fetch(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		}
		for _, tt := range []struct{ from, to, want string }{
			{all[1], all[3], "+4 +3"},
			{all[3], all[1], "-4 -3"},
			{all[3], all[3], ""},
			{all[3], side, "+side -4 -3"},
			{all[0], all[2], "+3 +2"}, // neither was fetched by a build
			{all[1], merged, "+merge +side +4 +3"},
			{all[1][:7], all[3], "+4 +3"},
		} {
			if got, err := b.between(q, tt.from, tt.to); err != nil || got != tt.want {
				t.Errorf("%s, %.7s to %.7s: %q, %v, want %q", name, tt.from, tt.to, got, err, tt.want)
			}
		}
		h, err := b.Between(t.Context(), q, all[1][:7], all[3])
		if err != nil || h.From != all[1] || h.Partial || h.Added[0].Commit != all[3] || h.Added[0].Author != "Ada" || h.Added[0].Date.IsZero() {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
		if files := b.files(b.fetch(Request{URL: q.URL, Credentials: q.Credentials, Commit: all[3]}).Artifact); files["a"] != "4" {
			t.Errorf("%s: the build's files are %v", name, files)
		}
	}
}

// The remote is asked once. Afterwards the mirror answers, and without a mirror and a
// remote the error says which repository could not be reached.
func TestTheCommitsBetweenTwoAreFetchedOnce(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	first, second := r.commit("first", "a", "1"), r.commit("second", "a", "2")
	s := serve(t, filepath.Dir(r.dir), "", "")
	b := newFixture(t)
	q := Request{URL: s.URL + "/repo"}
	for range 3 {
		if got, err := b.between(q, first, second); err != nil || got != "+second" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	if n := s.count("POST"); n != 1 {
		t.Errorf("the remote was asked for packs %d times", n)
	}
	if err := os.RemoveAll(b.mirrorOf(q.URL)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	_, err := b.between(q, first, second)
	if problem.CodeOf(err) != problem.Unavailable || !strings.Contains(err.Error(), q.URL) {
		t.Errorf("neither a mirror nor a remote: %v", err)
	}
}

// What is not in the repository any more is named; a history that is cut is not taken
// for a short one.
func TestTheCommitsBetweenTwoThatAreGone(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	first, second := r.commit("first", "a", "1"), r.commit("second", "a", "2")
	b := newFixture(t)
	if _, err := b.between(Request{URL: r.dir}, strings.Repeat("ab", 20), second); problem.CodeOf(err) != problem.NotFound || !strings.Contains(err.Error(), "there is no commit abab") {
		t.Errorf("an unknown commit: %v", err)
	}
	shallow := filepath.Join(t.TempDir(), "shallow")
	if out, err := exec.Command("git", "clone", "-q", "--depth=1", "file://"+r.dir, shallow).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := b.between(Request{URL: shallow}, first, second); problem.CodeOf(err) != problem.NotFound {
		t.Errorf("a shallow repository: %v", err)
	}
	for _, bad := range []string{"", "main", "--all", "abc"} {
		if _, err := b.between(Request{URL: r.dir}, bad, second); problem.CodeOf(err) != problem.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A long history is cut, and said to be.
func TestTheCommitsBetweenTwoAreBounded(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	first := r.commit("first", "a", "1")
	var in strings.Builder
	for n := range HistoryDepth + 20 {
		fmt.Fprintf(&in, "commit refs/heads/main\ncommitter Ada <ada@example.com> %d +0000\ndata 1\nx\n", 1800000000+n)
		if n == 0 {
			fmt.Fprintf(&in, "from %s\n", first)
		}
		fmt.Fprintf(&in, "M 100644 inline a\ndata <<E\n%d\nE\n\n", n)
	}
	cmd := exec.Command("git", "fast-import", "--quiet")
	cmd.Dir, cmd.Stdin = r.dir, strings.NewReader(in.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b := newFixture(t)
	h, err := b.Between(t.Context(), Request{URL: r.dir}, first, r.git("rev-parse", "main"))
	if err != nil || !h.Partial || len(h.Added) != HistoryDepth {
		t.Errorf("%d commits, partial %t, %v", len(h.Added), h.Partial, err)
	}
	h, err = b.Between(t.Context(), Request{URL: r.dir}, r.git("rev-parse", "main~3"), r.git("rev-parse", "main"))
	if err != nil || h.Partial || len(h.Added) != 3 {
		t.Errorf("near the tip: %d commits, partial %t, %v", len(h.Added), h.Partial, err)
	}
}
