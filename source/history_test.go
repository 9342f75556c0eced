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

// The files that differ are counted as git counts them, with what changed in each:
// moved, binary, and long ones too. What is longer than a bound says so.
func TestTheFilesBetweenTwo(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	long := strings.Repeat("a line that stays\n", 40)
	for path, text := range map[string]string{"old name": long, "gone": "x\n", "picture": "\x00\x01", "big": ""} {
		r.commit(path, path, text)
	}
	from := r.git("rev-parse", "HEAD")
	r.git("mv", "old name", "näw\tname")
	r.git("rm", "-q", "gone")
	r.commit("picture", "picture", "\x00\x02")
	r.commit("moved", "näw\tname", long+"+++ b/fake\ndiff --git a/x b/x\n@@ -1 +1 @@\n")
	to := r.commit("big", "big", strings.Repeat("+new\n", 3000))
	b := newFixture(t)
	h, err := b.Between(t.Context(), Request{URL: r.dir}, from, to)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]FileChange{}
	for _, f := range h.Files {
		got[f.Path] = f
	}
	moved, big := got["näw\tname"], got["big"]
	if len(h.Files) != 4 || h.FilesMore != 0 || !got["picture"].Binary || got["gone"].Removed != 1 || !strings.Contains(got["gone"].Patch, "\n-x\n") {
		t.Errorf("%+v", h.Files)
	}
	if moved.From != "old name" || moved.Added != 3 || moved.Removed != 0 || moved.Cut || !strings.Contains(moved.Patch, "\n+diff --git a/x b/x\n") {
		t.Errorf("%+v", moved)
	}
	if big.Added != 3000 || !big.Cut || strings.Count(big.Patch, "\n") != mostPatchLines {
		t.Errorf("%d lines, cut %v", strings.Count(big.Patch, "\n"), big.Cut)
	}
}

// A list of files and a patch that are cut off in the middle are read up to there.
func TestADifferenceThatIsCutOff(t *testing.T) {
	t.Parallel()
	files, err := parseNumbers("1\t2\ta\x00-\t-\t\x00b\x00c\x003\t4\t\x00d")
	if err != nil || len(files) != 2 || files[1].From != "b" || files[1].Path != "c" || !files[1].Binary {
		t.Fatalf("%+v, %v", files, err)
	}
	if _, err := parseNumbers("nonsense\x00"); err == nil {
		t.Error("nonsense is taken")
	}
	files = []FileChange{{Path: "a", Added: 1}, {Path: "b", Added: 1}, {Path: "c", Added: 1}}
	addPatches(files, "diff --git a/a b/a\n@@ -0,0 +1 @@\n+a\ndiff --git a/b b/b\n"+"@@ -0,0 +1 @@\n+"+strings.Repeat("b", mostPatch))
	if files[0].Cut || !files[1].Cut || !files[2].Cut || files[0].Patch == "" || files[2].Patch != "" {
		t.Errorf("%v %v %v", files[0].Cut, files[1].Cut, files[2].Cut)
	}
}
