package source

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"showrunner/problem"
	"showrunner/secret"
)

// A password is passed to the remote host alone. It appears in no argument,
// variable of git or its helpers, remaining file, error or log line.
func TestPasswordLeavesNoTrace(t *testing.T) {
	const password = "tok-3n+with/odd&chars'"
	r := newRepo(t)
	commit := r.commit("first", "a", "1")
	s := serve(t, filepath.Dir(r.dir), "x-access-token", password)
	b := newFixture(t)
	var mu sync.Mutex
	seen := ""
	s.handle = func(http.ResponseWriter, *http.Request) bool {
		if runtime.GOOS == "linux" {
			mu.Lock()
			defer mu.Unlock()
			seen += processes(t) // the moment while git waits for the answer
		}
		return false
	}
	for name, q := range map[string]Request{
		"as credentials": {URL: s.URL + "/repo", Credentials: Credentials{Password: password + "\n"}},
		"in the address": {URL: strings.Replace(s.URL, "http://", "http://x-access-token:tok-3n%2Bwith%2Fodd%26chars%27@", 1) + "/repo"},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			q.Progress = func(line string) { fmt.Fprintln(&log, line) }
			rev := b.resolve(q)
			q.Commit = rev.Commit
			if tree, err := b.Fetch(t.Context(), q); err != nil || tree.Commit != commit {
				t.Fatalf("Fetch: %+v, %v", tree, err)
			}
			_, err := b.Resolve(t.Context(), Request{URL: strings.Replace(q.URL, "/repo", "/nope", 1), Credentials: q.Credentials})
			mu.Lock()
			defer mu.Unlock()
			text := seen + log.String() + rev.URL + fmt.Sprint(err)
			for _, form := range secret.Forms(password) {
				if strings.Contains(text, form) {
					t.Errorf("%q can be seen", form)
				}
			}
			if strings.Contains(rev.URL, "@") {
				t.Errorf("the address shown is %s", rev.URL)
			}
		})
	}
	err := filepath.WalkDir(b.o.Dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		if strings.Contains(string(data), "tok-3n") {
			t.Errorf("%s holds the password", p)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// processes returns the arguments and variables of every running process.
func processes(t *testing.T) string {
	var all strings.Builder
	for _, name := range []string{"cmdline", "environ"} {
		files, err := filepath.Glob("/proc/[0-9]*/" + name)
		if err != nil {
			t.Error(err)
		}
		for _, f := range files {
			if f == fmt.Sprintf("/proc/%d/%s", os.Getpid(), name) {
				continue
			}
			if data, err := os.ReadFile(f); err == nil { // the process may have ended
				all.Write(data)
			}
		}
	}
	return all.String()
}

// A repository that redirects git to another host does not get the password sent
// there.
func TestPasswordStaysAtItsHost(t *testing.T) {
	r := newRepo(t)
	r.commit("first", "a", "1")
	thief := serve(t, t.TempDir(), "", "")
	var mu sync.Mutex
	asked, got := 0, ""
	thief.handle = func(w http.ResponseWriter, req *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		asked++
		got += req.Header.Get("Authorization")
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	s := serve(t, filepath.Dir(r.dir), "", "")
	s.handle = func(w http.ResponseWriter, req *http.Request) bool {
		http.Redirect(w, req, thief.URL+req.URL.RequestURI(), http.StatusFound)
		return true
	}
	b := newFixture(t)
	_, err := b.Resolve(t.Context(), Request{URL: s.URL + "/repo", Credentials: Credentials{Username: "ada", Password: "s3cret-pass"}})
	mu.Lock()
	defer mu.Unlock()
	if err == nil || got != "" || asked == 0 {
		t.Errorf("asked %d times, got %q, %v", asked, got, err)
	}
}

func TestSSHCommand(t *testing.T) {
	s, err := newScratch(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.remove()
	r, err := ParseRemote("git@example.com:acme/storefront.git", ".")
	if err != nil {
		t.Fatal(err)
	}
	a, err := grant(s, r, Credentials{SSHKey: "-----BEGIN KEY-----\r\nabcdefgh\r\n-----END KEY-----", KnownHosts: "example.com ssh-ed25519 AAAA"})
	if err != nil {
		t.Fatal(err)
	}
	env := strings.Join(a.env, "\n")
	for _, want := range []string{"BatchMode=yes", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes", "-F none", "UserKnownHostsFile"} {
		if !strings.Contains(env, want) {
			t.Errorf("%s is missing in %s", want, env)
		}
	}
	if strings.Contains(env, "abcdefgh") {
		t.Errorf("the key stands in %s", env)
	}
	key, err := os.ReadFile(s.path("ssh-key"))
	if info, statErr := os.Stat(s.path("ssh-key")); err != nil || statErr != nil || info.Mode().Perm() != 0o600 || string(key) != "-----BEGIN KEY-----\nabcdefgh\n-----END KEY-----\n" {
		t.Errorf("key file: %q, %v, %v", key, info, err)
	}
	// Failures of ssh are reported in our own words.
	b := newFixture(t)
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "ssh"), []byte("#!/bin/sh\necho 'Host key verification failed.' >&2\nexit 255\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	_, err = b.Resolve(t.Context(), Request{URL: "git@example.com:acme/storefront.git"})
	if problem.CodeOf(err) != problem.Denied || ReasonOf(err) != HostKeyUnknown {
		t.Errorf("Resolve: %v", err)
	}
}

func TestSubmodules(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	create := func(name string) *repo {
		r := newRepo(t)
		dir := filepath.Join(root, name)
		if err := os.Rename(r.dir, dir); err != nil {
			t.Fatal(err)
		}
		r.dir = dir
		return r
	}
	inner, lib, top := create("inner"), create("lib"), create("top")
	inner.commit("inner", "deep.txt", "deep")
	add := func(r *repo, from, url, at string) {
		r.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", from, at)
		r.git("config", "-f", ".gitmodules", "submodule."+at+".url", url)
		r.git("add", ".gitmodules")
	}
	add(lib, inner.dir, "../inner", "inner")
	lib.commit("lib", "lib.txt", "lib")
	add(top, lib.dir, "../lib", "vendor/lib")
	top.commit("top", "a.txt", "a")
	s := serve(t, root, "ada", "s3cret-pass")
	creds := Credentials{Username: "ada", Password: "s3cret-pass"}
	b := newFixture(t)

	tree := b.fetch(Request{URL: s.URL + "/top", Submodules: true, Credentials: creds})
	files := b.files(tree.Artifact)
	if files["vendor/lib/lib.txt"] != "lib" || files["vendor/lib/inner/deep.txt"] != "deep" || len(files) != 5 {
		t.Errorf("files: %v", files)
	}
	if local := b.fetch(Request{URL: top.dir, Submodules: true}); local.Artifact != tree.Artifact {
		t.Errorf("the artifact is %s when fetched by path, %s by HTTP", local.Artifact, tree.Artifact)
	}
	plain := b.files(b.fetch(Request{URL: top.dir}).Artifact)
	if _, ok := plain["vendor/lib/lib.txt"]; ok || plain["a.txt"] != "a" {
		t.Errorf("without submodules: %v", plain)
	}

	for name, tt := range map[string]struct {
		url  string
		code problem.Code
	}{
		"this machine's files": {lib.dir, problem.Denied},
		"as a file URL":        {"file://" + lib.dir, problem.Denied},
		"a command":            {"ext::sh -c reboot", problem.Invalid},
		"an option":            {"--upload-pack=reboot", problem.Invalid},
		"out of the host":      {"../../../../../..", problem.Invalid},
	} {
		top.git("config", "-f", ".gitmodules", "submodule.vendor/lib.url", tt.url)
		top.git("add", ".gitmodules")
		commit := top.commit(name)
		_, err := b.Fetch(t.Context(), Request{URL: s.URL + "/top", Commit: commit, Submodules: true, Credentials: creds})
		if problem.CodeOf(err) != tt.code {
			t.Errorf("%s: %v, want %s", name, err, tt.code)
		}
	}
}

func TestSubmodulesInACircle(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	first := r.commit("first", "a", "1")
	if err := os.WriteFile(filepath.Join(r.dir, ".gitmodules"), []byte("[submodule \"me\"]\n\tpath = me\n\turl = ./\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.git("add", ".gitmodules")
	r.git("update-index", "--add", "--cacheinfo", "160000,"+first+",me")
	commit := r.commit("circle")
	b := newFixture(t)
	if _, err := b.Fetch(t.Context(), Request{URL: r.dir, Commit: commit, Submodules: true}); err != nil {
		t.Errorf("a submodule at an earlier commit of itself: %v", err)
	}
}

// Without git nothing is fetched, and a git that is installed later is found.
func TestGitMissing(t *testing.T) {
	r := newRepo(t)
	commit := r.commit("first", "a", "1")
	path := os.Getenv("PATH")
	t.Setenv("PATH", t.TempDir())
	b := newFixture(t)
	if _, err := b.Fetch(t.Context(), Request{URL: r.dir, Commit: commit}); problem.CodeOf(err) != problem.Precondition || ReasonOf(err) != GitMissing || problem.HelpOf(err) != installGit {
		t.Errorf("Fetch without git: %v (%s)", err, problem.HelpOf(err))
	}
	t.Setenv("PATH", path)
	if _, err := b.Fetch(t.Context(), Request{URL: r.dir, Commit: commit}); err != nil {
		t.Errorf("Fetch with git: %v", err)
	}
}

func TestLFSMissing(t *testing.T) {
	r := newRepo(t)
	commit := r.commit("first", "a", "1")
	b := newFixture(t)
	git, err := exec.LookPath("git")
	if err == nil {
		git, err = filepath.EvalSymlinks(git)
	}
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(git, filepath.Join(bin, "git")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	_, err = b.Fetch(t.Context(), Request{URL: r.dir, Commit: commit, LFS: true})
	if problem.CodeOf(err) != problem.Precondition || ReasonOf(err) != LFSMissing || !strings.Contains(problem.HelpOf(err), "install git-lfs") {
		t.Errorf("Fetch: %v (%s)", err, problem.HelpOf(err))
	}
}

func TestSameRepository(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"acme/storefront", "https://github.com/acme/storefront.git", true},
		{"Acme/Storefront", "acme/storefront", true},
		{"https://github.com/acme/storefront", "git@github.com:acme/storefront.git", true},
		{"ssh://git@GitHub.com:22/acme/storefront.git", "https://user:token@github.com/acme/storefront/", true},
		{"https://github.com/acme/storefront", "https://gitlab.com/acme/storefront", false},
		{"acme/storefront", "acme/storefront2", false},
		{"acme/storefront", "evil/acme/storefront", false},
		{"group/sub/name", "https://gitlab.com/group/sub/name.git", true},
		{"/srv/git/a.git", "file:///srv/git/a", true},
		{"/srv/git/a", "/srv/git/A", false},
		{"", "", false}, {"", "acme/storefront", false}, {"https://x", "https://x", false},
	} {
		if got := SameRepository(tt.a, tt.b); got != tt.want || SameRepository(tt.b, tt.a) != got {
			t.Errorf("SameRepository(%q, %q) = %v", tt.a, tt.b, got)
		}
	}
}

func TestRelativeSubmodules(t *testing.T) {
	for _, tt := range [][3]string{
		{"https://h/a/b.git", "../c.git", "https://h/a/c.git"},
		{"https://h:8/a/b", "./c", "https://h:8/a/b/c"},
		{"git@h:a/b.git", "../c.git", "git@h:a/c.git"},
		{"ssh://git@h/a/b", "../../x/y", "ssh://git@h/x/y"},
		{"/srv/a", "../b", "/srv/b"},
		{"file:///srv/a", "../b", "file:///srv/b"},
		{"https://h/a/b.git", "https://other/x.git", "https://other/x.git"},
	} {
		r, err := ParseRemote(tt[0], "/")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.join(tt[1]); err != nil || got.URL != tt[2] {
			t.Errorf("%s + %s = %s, %v, want %s", tt[0], tt[1], got.URL, err, tt[2])
		}
	}
}

// A shown address has no user information, and no address is taken as an option
// or a transport that runs commands.
func TestParseRemoteProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.OneOf(rapid.StringMatching(`[-a-z]{0,3}(https?|ssh|ext|file|git)?(://|::|:)?([a-z]{1,4}(:passw0rd)?@)?-?[a-z.]{0,6}(:[0-9a-z]{1,3})?/?-?[a-z /%.]{0,9}`), rapid.String()).Draw(t, "raw")
		r, err := ParseRemote(raw, "/base")
		if err != nil {
			if strings.Contains(err.Error(), "passw0rd") && strings.Contains(raw, "://") && !strings.Contains(raw[:strings.Index(raw, "passw0rd")], " ") {
				t.Fatalf("the error shows a password: %v", err)
			}
			return
		}
		if strings.HasPrefix(r.URL, "-") || helperTransport.MatchString(r.URL) {
			t.Fatalf("%q became %q", raw, r.URL)
		}
		if (r.Scheme == "http" || r.Scheme == "https") && strings.Contains(r.URL, "passw0rd@") {
			t.Fatalf("%q is shown as %q", raw, r.URL)
		}
		if again, err := ParseRemote(r.URL, "/base"); err != nil || again.URL != r.URL {
			t.Fatalf("%q became %q, and that %q, %v", raw, r.URL, again.URL, err)
		}
	})
}
