package source

import (
	"bytes"
	"context"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"showrunner/artifact"
)

// repo is a repository to fetch from, made with the real git command.
type repo struct {
	t   *testing.T
	dir string
}

func newRepo(t *testing.T, args ...string) *repo {
	t.Helper()
	r := &repo{t, filepath.Join(t.TempDir(), "repo")}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.git(append([]string{"init", "-q", "-b", "main"}, args...)...)
	return r
}

func (r *repo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com",
		"GIT_AUTHOR_DATE=2026-01-02T03:04:05+01:00", "GIT_COMMITTER_DATE=2026-01-02T03:04:05+01:00",
		"GIT_ALLOW_PROTOCOL=file")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit writes the files (path, content, …) and returns the commit.
func (r *repo) commit(message string, files ...string) string {
	r.t.Helper()
	for i := 0; i < len(files); i += 2 {
		p := filepath.Join(r.dir, files[i])
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(files[i+1]), 0o644); err != nil {
			r.t.Fatal(err)
		}
		r.git("add", "--", files[i])
	}
	r.git("commit", "-q", "--allow-empty", "-m", message)
	return r.git("rev-parse", "HEAD")
}

// fixture is a Fetcher with its store of artifacts.
type fixture struct {
	*Fetcher
	t     *testing.T
	store *artifact.Store
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	store, err := artifact.Open(filepath.Join(t.TempDir(), "artifacts"))
	if err != nil {
		t.Fatal(err)
	}
	b := &fixture{t: t, store: store}
	b.reopen(filepath.Join(t.TempDir(), "git"))
	return b
}

func (b *fixture) reopen(dir string) {
	b.t.Helper()
	var err error
	b.Fetcher, err = Open(Options{Dir: dir, Artifacts: b.store, Retries: []time.Duration{time.Millisecond}})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *fixture) resolve(q Request) Revision {
	b.t.Helper()
	rev, err := b.Resolve(b.t.Context(), q)
	if err != nil {
		b.t.Fatalf("Resolve: %v", err)
	}
	return rev
}

// fetch resolves and fetches.
func (b *fixture) fetch(q Request) Tree {
	b.t.Helper()
	q.Commit = b.resolve(q).Commit
	tree, err := b.Fetch(b.t.Context(), q)
	if err != nil {
		b.t.Fatalf("Fetch: %v", err)
	}
	return tree
}

// files extracts a tree: path → content, "-> target" for links, "+x" appended for programs.
func (b *fixture) files(ref artifact.Ref) map[string]string {
	b.t.Helper()
	m, err := b.store.Manifest(context.Background(), ref)
	if err != nil {
		b.t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range m.Entries {
		if e.Link != "" {
			got[e.Path] = "-> " + e.Link
			continue
		}
		data, err := b.store.ReadFile(context.Background(), ref, e.Path, 64<<20)
		if err != nil {
			b.t.Fatal(err)
		}
		got[e.Path] = string(data)
		if e.Mode&0o111 != 0 {
			got[e.Path] += "+x"
		}
	}
	return got
}

// mirrorOf returns the folder of a URL's mirror.
func (b *fixture) mirrorOf(url string) string {
	b.t.Helper()
	r, err := ParseRemote(url, ".")
	if err != nil {
		b.t.Fatal(err)
	}
	return b.mirrorDir(r)
}

// server serves a folder of repositories with git's own smart HTTP backend.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string
	// handle, when set, may answer the request itself and return true.
	handle func(w http.ResponseWriter, r *http.Request) bool
}

func serve(t *testing.T, root, user, password string) *server {
	t.Helper()
	execPath, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	backend := &cgi.Handler{
		Path:       filepath.Join(strings.TrimSpace(string(execPath)), "git-http-backend"),
		Env:        []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=/dev/null", "REMOTE_USER=x"},
		Stderr:     &bytes.Buffer{},
		InheritEnv: []string{"GIT_PROTOCOL"},
	}
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
		handle := s.handle
		s.mu.Unlock()
		if handle != nil && handle(w, r) {
			return
		}
		if u, p, _ := r.BasicAuth(); password != "" && (u != user || p != password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		h := *backend
		h.Env = append(h.Env, "GIT_PROTOCOL="+r.Header.Get("Git-Protocol"))
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) count(part string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.requests {
		if strings.Contains(r, part) {
			n++
		}
	}
	return n
}
