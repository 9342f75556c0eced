package source

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"showrunner/problem"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	first := r.commit("first", "a.txt", "one")
	r.git("tag", "light")
	r.git("tag", "-a", "-m", "annotated", "v1.0.0")
	r.git("branch", "feature/login")
	second := r.commit("second", "a.txt", "two")
	b := newFixture(t)
	for name, tt := range map[string]struct {
		q    Request
		want Revision
	}{
		"HEAD":               {Request{}, Revision{Commit: second, Branch: "main"}},
		"branch":             {Request{Branch: "feature/login"}, Revision{Commit: first, Branch: "feature/login"}},
		"branch in full":     {Request{Branch: "refs/heads/main"}, Revision{Commit: second, Branch: "main"}},
		"tag":                {Request{Tag: "light"}, Revision{Commit: first, Tag: "light"}},
		"annotated tag":      {Request{Tag: "v1.0.0"}, Revision{Commit: first, Tag: "v1.0.0"}},
		"commit":             {Request{Commit: first}, Revision{Commit: first}},
		"short commit":       {Request{Commit: first[:7]}, Revision{Commit: first}},
		"upper-case commit":  {Request{Commit: strings.ToUpper(second[:10])}, Revision{Commit: second}},
		"commit of a branch": {Request{Commit: first, Branch: "main"}, Revision{Commit: first, Branch: "main"}},
	} {
		t.Run(name, func(t *testing.T) {
			tt.q.URL, tt.want.URL = r.dir, r.dir
			if got, err := b.Resolve(t.Context(), tt.q); err != nil || got != tt.want {
				t.Errorf("Resolve = %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

// A folder as a repository gives what is committed, whatever its work tree and its index
// hold: files that were edited, staged, added, removed or only announced.
func TestOnlyWhatIsCommittedIsFetched(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.commit("first", "edited", "committed", "staged", "committed", "removed", "committed", "kept", "committed", ".gitignore", "ignored")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("edited", "not committed")
	for _, name := range []string{"untracked", "announced", "ignored"} {
		write(name, "not committed")
	}
	r.git("add", "--intent-to-add", "announced")
	if err := os.Remove(filepath.Join(r.dir, "removed")); err != nil {
		t.Fatal(err)
	}
	commit := r.commit("without -a: nothing but the message")
	write("staged", "not committed")
	r.git("add", "staged")
	want := map[string]string{"edited": "committed", "staged": "committed", "removed": "committed", "kept": "committed", ".gitignore": "ignored"}
	b := newFixture(t)
	for _, url := range []string{r.dir, "file://" + r.dir, r.dir + "/.git"} {
		tree := b.fetch(Request{URL: url, Branch: "main"})
		if got := b.files(tree.Artifact); tree.Commit != commit || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s at %.7s: %v, want %v", url, tree.Commit, got, want)
		}
	}
}

func TestFetchIsTheWorkTree(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.commit("tree", "a.txt", "one\n", "dir/b.txt", "two\n", "run.sh", "#!/bin/sh\n", ".gitattributes", "left.txt export-ignore\ncr.txt eol=crlf\n",
		"left.txt", "kept", "cr.txt", "x\ny\n", "-dash", "dash", "ü.txt", "umlaut")
	r.git("update-index", "--chmod=+x", "run.sh")
	if err := os.Symlink("a.txt", filepath.Join(r.dir, "link")); err != nil {
		t.Fatal(err)
	}
	r.git("add", "link")
	commit := r.commit("subject line\n\nbody")
	b := newFixture(t)
	tree := b.fetch(Request{URL: "file://" + r.dir, Branch: "main"})
	if tree.Commit != commit || tree.Message != "subject line\n\nbody" || tree.Author != "Ada" || tree.AuthorEmail != "ada@example.com" ||
		tree.Date.Format("2006-01-02T15:04:05Z07:00") != "2026-01-02T03:04:05+01:00" || tree.Files != 9 {
		t.Errorf("tree: %+v", tree)
	}
	want := map[string]string{"a.txt": "one\n", "dir/b.txt": "two\n", "run.sh": "#!/bin/sh\n+x", "link": "-> a.txt", "left.txt": "kept",
		"cr.txt": "x\r\ny\r\n", "-dash": "dash", "ü.txt": "umlaut", ".gitattributes": "left.txt export-ignore\ncr.txt eol=crlf\n"}
	if got := b.files(tree.Artifact); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("files:\n%v, want\n%v", got, want)
	}
	other := newFixture(t)
	if again := other.fetch(Request{URL: r.dir, Commit: commit}); again.Artifact != tree.Artifact {
		t.Errorf("elsewhere the artifact is %s, here %s", again.Artifact, tree.Artifact)
	}
	if left, err := filepath.Glob(filepath.Join(b.tmp, "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A second run fetches only what is new; a third run asks for nothing.
func TestMirrorFetchesOnlyWhatIsNew(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	noise := make([]byte, 2<<20)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	r.commit("old", "history.txt", "gone")
	r.commit("large", "large.bin", string(noise))
	s := serve(t, filepath.Dir(r.dir), "", "")
	b := newFixture(t)
	q := Request{URL: s.URL + "/repo"}
	b.fetch(q)
	size := packBytes(t, b.mirrorOf(q.URL))
	if size < 2<<20 {
		t.Fatalf("the mirror holds %d bytes", size)
	}
	head := r.commit("small", "small.txt", "x")
	if tree := b.fetch(q); tree.Commit != head || b.files(tree.Artifact)["small.txt"] != "x" {
		t.Fatalf("second fetch: %+v", tree)
	}
	if grown := packBytes(t, b.mirrorOf(q.URL)) - size; grown > 4096 {
		t.Errorf("a commit of a few bytes brought %d", grown)
	}
	before := s.count("POST")
	b.fetch(Request{URL: q.URL, Commit: head})
	if s.count("POST") != before+1 { // ls-remote alone
		t.Errorf("the remote was asked for a commit that the mirror has: %q", s.requests)
	}
	if out, err := b.run(t.Context(), command{dir: b.mirrorOf(q.URL), args: []string{"rev-list", "--all", "--count"}}); err != nil || strings.TrimSpace(out) != "2" {
		t.Errorf("the mirror holds %s commits, %v, want only the two that were fetched", strings.TrimSpace(out), err)
	}
}

func packBytes(t *testing.T, mirror string) int64 {
	t.Helper()
	packs, err := filepath.Glob(filepath.Join(mirror, "objects", "pack", "*.pack"))
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for _, p := range packs {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		n += info.Size()
	}
	return n
}

func TestUnadvertisedCommits(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	first := r.commit("first", "a", "1")
	r.commit("second", "a", "2")
	r.git("config", "uploadpack.allowAnySHA1InWant", "false")
	s := serve(t, filepath.Dir(r.dir), "", "")
	t.Run("of an old server", func(t *testing.T) {
		s.mu.Lock()
		s.handle = func(w http.ResponseWriter, req *http.Request) bool {
			req.Header.Del("Git-Protocol") // version 0 of the protocol checks which objects are asked for
			return false
		}
		s.mu.Unlock()
		b := newFixture(t)
		if tree := b.fetch(Request{URL: s.URL + "/repo", Commit: first}); b.files(tree.Artifact)["a"] != "1" {
			t.Errorf("tree: %+v", tree)
		}
	})
	t.Run("unknown", func(t *testing.T) {
		b := newFixture(t)
		_, err := b.Fetch(t.Context(), Request{URL: r.dir, Commit: strings.Repeat("1", 40)})
		if problem.CodeOf(err) != problem.NotFound || ReasonOf(err) != RefMissing {
			t.Errorf("Fetch: %v (%s)", err, ReasonOf(err))
		}
	})
}

// A dumb HTTP server serves plain files and does not support shallow fetches.
func TestDumbTransport(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	commit := r.commit("first", "a", "1")
	r.git("update-server-info")
	s := serve(t, filepath.Dir(r.dir), "", "")
	files := http.FileServer(http.Dir(filepath.Dir(r.dir)))
	s.mu.Lock()
	s.handle = func(w http.ResponseWriter, req *http.Request) bool {
		req.URL.RawQuery = ""
		files.ServeHTTP(w, req)
		return true
	}
	s.mu.Unlock()
	b := newFixture(t)
	if tree := b.fetch(Request{URL: s.URL + "/repo/.git", Branch: "main"}); tree.Commit != commit || b.files(tree.Artifact)["a"] != "1" {
		t.Errorf("tree: %+v", tree)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.commit("first", "a", "1")
	r.git("branch", "feature/login")
	r.git("branch", "develop")
	empty := newRepo(t)
	s := serve(t, filepath.Dir(r.dir), "ada", "s3cret-pass")
	gone := serve(t, t.TempDir(), "", "")
	gone.Close()
	busy := serve(t, t.TempDir(), "", "")
	busy.handle = func(w http.ResponseWriter, r *http.Request) bool {
		http.Error(w, "busy", http.StatusServiceUnavailable)
		return true
	}
	b := newFixture(t)
	for name, tt := range map[string]struct {
		q      Request
		code   problem.Code
		reason Reason
		help   string
	}{
		"no such branch":    {Request{URL: r.dir, Branch: "featur/login"}, problem.NotFound, RefMissing, "feature/login"},
		"no such tag":       {Request{URL: r.dir, Tag: "v1"}, problem.NotFound, RefMissing, "has none"},
		"no such short":     {Request{URL: r.dir, Commit: "123456789"}, problem.NotFound, RefMissing, "pushed"},
		"empty repository":  {Request{URL: empty.dir}, problem.NotFound, RefMissing, "first commit"},
		"no path":           {Request{URL: filepath.Join(r.dir, "nope")}, problem.NotFound, RepositoryMissing, "check the address"},
		"a folder":          {Request{URL: t.TempDir()}, problem.NotFound, RepositoryMissing, "check the address"},
		"not at this host":  {Request{URL: s.URL + "/nope", Credentials: Credentials{Username: "ada", Password: "s3cret-pass"}}, problem.NotFound, RepositoryMissing, "check the address"},
		"no credentials":    {Request{URL: s.URL + "/repo"}, problem.Denied, AuthFailed, "credentials"},
		"wrong credentials": {Request{URL: s.URL + "/repo", Credentials: Credentials{Password: "wrong-pass"}}, problem.Denied, AuthFailed, "credentials"},
		"nobody there":      {Request{URL: gone.URL + "/repo"}, problem.Unavailable, NetworkFailed, "network"},
		"no such host":      {Request{URL: "https://host.invalid/a/b"}, problem.Unavailable, NetworkFailed, "network"},
		"busy":              {Request{URL: busy.URL + "/repo"}, problem.Unavailable, NetworkFailed, "network"},
		"line in password":  {Request{URL: s.URL + "/repo", Credentials: Credentials{Password: "a\nhost=evil"}}, problem.Invalid, AddressRefused, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.Resolve(t.Context(), tt.q)
			if problem.CodeOf(err) != tt.code || ReasonOf(err) != tt.reason || !strings.Contains(problem.HelpOf(err), tt.help) {
				t.Errorf("Resolve: %v\ncode %s, reason %s, help %q", err, problem.CodeOf(err), ReasonOf(err), problem.HelpOf(err))
			}
			if err != nil && tt.q.Credentials.Password != "" && strings.Contains(err.Error(), tt.q.Credentials.Password) {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
	if busy.count("GET") != 2 {
		t.Errorf("a busy remote was asked %d times, want 2", busy.count("GET"))
	}
}

func TestHostileRequests(t *testing.T) {
	t.Parallel()
	marker := filepath.Join(t.TempDir(), "ran")
	r := newRepo(t)
	r.commit("first", "a", "1")
	b := newFixture(t)
	for _, q := range []Request{
		{URL: ""}, {URL: " "},
		{URL: "--upload-pack=touch " + marker}, {URL: "-oProxyCommand=touch"},
		{URL: "ext::sh -c touch% " + marker}, {URL: "fd::3"}, {URL: "ftp://host/x"}, {URL: "ext+x://host/x"},
		{URL: "ssh://-oProxyCommand=touch " + marker + "/x"}, {URL: "ssh://-oProxyCommand=x@host/y"}, {URL: "-oProxyCommand=x@host:y"}, {URL: "host:-x"},
		{URL: "https://host"}, {URL: "file://relative"}, {URL: "https://a\nb/c"}, {URL: "a\x00b"},
		{URL: r.dir, Branch: "--upload-pack=touch " + marker}, {URL: r.dir, Branch: "-x"}, {URL: r.dir, Branch: "a b"}, {URL: r.dir, Branch: "a:b"},
		{URL: r.dir, Branch: "*"}, {URL: r.dir, Branch: "../x"}, {URL: r.dir, Tag: "--help"}, {URL: r.dir, Tag: "a\nb"},
		{URL: r.dir, Commit: "--all"}, {URL: r.dir, Commit: "HEAD"}, {URL: r.dir, Commit: "abc"}, {URL: r.dir, Commit: "main~1"},
	} {
		if _, err := b.Resolve(t.Context(), q); problem.CodeOf(err) != problem.Invalid {
			t.Errorf("%+v: %v, want invalid", q, err)
		}
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("a request ran a command")
	}
}

func TestConcurrentFetches(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	var commits []string
	for i := range 4 {
		commits = append(commits, r.commit(fmt.Sprint(i), "a", fmt.Sprint(i)))
	}
	b := newFixture(t)
	dir := b.o.Dir
	var all sync.WaitGroup
	for i := range 8 {
		other := &fixture{t: t, store: b.store}
		other.reopen(dir) // in a mirror of another process
		all.Go(func() {
			tree, err := other.Fetch(context.Background(), Request{URL: r.dir, Commit: commits[i%4]})
			if err != nil {
				t.Error(err)
				return
			}
			if got := other.files(tree.Artifact)["a"]; got != fmt.Sprint(i%4) {
				t.Errorf("commit %d holds %q", i%4, got)
			}
		})
	}
	all.Wait()
}

func TestMirrorRecovers(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	first := r.commit("first", "a", "1", "b/c", "2")
	for name, damage := range map[string]func(t *testing.T, mirror string){
		"nothing": func(*testing.T, string) {},
		"locks of a killed git": func(t *testing.T, m string) {
			for _, p := range []string{"shallow.lock", "packed-refs.lock", "config.lock", "HEAD.lock", "refs/showrunner/" + first + ".lock", "objects/pack/tmp_pack_abc"} {
				touch(t, filepath.Join(m, p))
			}
		},
		"no pack":      func(t *testing.T, m string) { each(t, m, "objects/pack/*.pack", os.Remove) },
		"empty pack":   func(t *testing.T, m string) { each(t, m, "objects/pack/*.pack", truncate) },
		"no index":     func(t *testing.T, m string) { each(t, m, "objects/pack/*.idx", os.Remove) },
		"flipped bits": func(t *testing.T, m string) { each(t, m, "objects/pack/*.pack", flip) },
		"no HEAD":      func(t *testing.T, m string) { each(t, m, "HEAD", os.Remove) },
		"empty config": func(t *testing.T, m string) { each(t, m, "config", truncate) },
		"bad config": func(t *testing.T, m string) {
			each(t, m, "config", func(p string) error { return os.WriteFile(p, []byte("[[["), 0o600) })
		},
		"empty ref":  func(t *testing.T, m string) { each(t, m, "refs/showrunner/*", truncate) },
		"no objects": func(t *testing.T, m string) { each(t, m, "objects", os.RemoveAll) },
		"half made":  func(t *testing.T, m string) { each(t, m, ".", os.RemoveAll); touch(t, m+".new/HEAD") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newFixture(t)
			want := b.fetch(Request{URL: r.dir})
			damage(t, b.mirrorOf(r.dir))
			if got := b.fetch(Request{URL: r.dir}); got.Artifact != want.Artifact {
				t.Errorf("artifact %s, want %s", got.Artifact, want.Artifact)
			}
			next := r.commit("next", "d", name)
			if got := b.fetch(Request{URL: r.dir}); got.Commit != next || b.files(got.Artifact)["d"] != name {
				t.Errorf("the next commit: %+v", got)
			}
			r.git("reset", "-q", "--hard", first)
		})
	}
}

func touch(t *testing.T, p string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func truncate(p string) error {
	if err := os.Chmod(p, 0o600); err != nil {
		return err
	}
	return os.Truncate(p, 0)
}

// flip changes the body of every object in a pack, but not its header and length.
func flip(p string) error {
	data, err := os.ReadFile(p)
	if err != nil {
		return err
	}
	for i := 16; i < len(data)-20; i++ {
		data[i] ^= 0x55
	}
	if err := os.Chmod(p, 0o600); err != nil {
		return err
	}
	return os.WriteFile(p, data, 0o600)
}

func each(t *testing.T, dir, glob string, act func(string) error) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, glob))
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: %v, %v", glob, found, err)
	}
	for _, p := range found {
		if err := act(p); err != nil {
			t.Fatal(err)
		}
	}
}

// Opening removes the folders that a killed process left behind, since they may
// hold credentials. It keeps those of a running process.
func TestOpenSweeps(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	live, err := newScratch(b.tmp)
	if err != nil {
		t.Fatal(err)
	}
	defer live.remove()
	touch(t, filepath.Join(b.tmp, "w-dead", "lock"))
	touch(t, filepath.Join(b.tmp, "w-dead", "http"))
	b.reopen(b.o.Dir)
	if _, err := os.Stat(filepath.Join(b.tmp, "w-dead")); !os.IsNotExist(err) {
		t.Errorf("a dead process's folder is still there: %v", err)
	}
	if _, err := os.Stat(live.dir); err != nil {
		t.Errorf("a living process's folder: %v", err)
	}
}

func TestWaitingForAMirrorEndsWithTheContext(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	commit := r.commit("first", "a", "1")
	b := newFixture(t)
	held, err := os.OpenFile(b.mirrorOf(r.dir)+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Fetch(ctx, Request{URL: r.dir, Commit: commit}); err == nil {
		t.Error("Fetch went on without the lock")
	}
}

func TestTidySparesTheNeededCommit(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	first := r.commit("first", "a", "1")
	b := newFixture(t)
	b.fetch(Request{URL: r.dir})
	err := b.withMirror(t.Context(), Remote{URL: r.dir}, first, true, func(m *mirror) error {
		for i := range manyPacks + 1 {
			touch(t, filepath.Join(m.dir, "objects", "pack", fmt.Sprintf("pack-%040d.pack", i)))
			os.Remove(filepath.Join(m.dir, "objects", "pack", fmt.Sprintf("pack-%040d.idx", i)))
		}
		return m.tidy(t.Context(), first)
	})
	if err != nil {
		t.Fatal(err)
	}
	if tree, err := b.Fetch(t.Context(), Request{URL: r.dir, Commit: first}); err != nil || b.files(tree.Artifact)["a"] != "1" {
		t.Errorf("after tidying: %+v, %v", tree, err)
	}
}

func TestChanged(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	from := r.commit("first", "a", "1", "b", "2", "dir/c", "3")
	r.git("mv", "b", "renamed")
	to := r.commit("second", "a", "4", "dir/ü", "5")
	b := newFixture(t)
	got, err := b.Changed(t.Context(), Request{URL: r.dir}, from, to)
	if want := "a b dir/ü renamed"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("Changed = %q, %v, want %q", got, err, want)
	}
}
