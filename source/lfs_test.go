package source

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Files of LFS come from the repository's LFS server, with its credentials.
func TestLFS(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("git-lfs"); err != nil {
		t.Skip("git-lfs is not installed here")
	}
	const content = "a large file"
	sum := sha256.Sum256([]byte(content))
	oid := hex.EncodeToString(sum[:])
	pointer := fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", oid, len(content))
	r := newRepo(t)
	commit := r.commit("first", ".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n", "large.bin", pointer, "small.txt", "small")
	s := serve(t, filepath.Dir(r.dir), "ada", "s3cret-pass")
	s.handle = func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.Contains(req.URL.Path, "/info/lfs/") {
			return false
		}
		if u, p, _ := req.BasicAuth(); u != "ada" || p != "s3cret-pass" {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.Header().Set("LFS-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		if strings.HasSuffix(req.URL.Path, "/objects/batch") {
			w.Header().Set("Content-Type", "application/vnd.git-lfs+json")
			json.NewEncoder(w).Encode(map[string]any{"transfer": "basic", "objects": []any{map[string]any{"oid": oid, "size": len(content), "authenticated": true, //nolint:errcheck
				"actions": map[string]any{"download": map[string]any{"href": s.URL + "/repo/info/lfs/object", "header": map[string]string{"Authorization": req.Header.Get("Authorization")}}}}}})
			return true
		}
		w.Write([]byte(content)) //nolint:errcheck
		return true
	}
	b := newFixture(t)
	q := Request{URL: s.URL + "/repo", Commit: commit, LFS: true, Credentials: Credentials{Username: "ada", Password: "s3cret-pass"}}
	if got := b.files(b.fetch(q).Artifact); got["large.bin"] != content || got["small.txt"] != "small" {
		t.Errorf("files: %v", got)
	}
	downloads := s.count("/info/lfs/object")
	if b.fetch(q); s.count("/info/lfs/object") > downloads+1 { // the batch request aside
		t.Errorf("fetched again: %q", s.requests)
	}
	q.LFS = false
	if got := b.files(b.fetch(q).Artifact); got["large.bin"] != pointer {
		t.Errorf("without LFS: %v", got)
	}
	q.LFS, q.Credentials.Password = true, "wrong-pass"
	if _, err := b.Fetch(t.Context(), Request{URL: s.URL + "/repo", Commit: r.commit("next", "large.bin", strings.Replace(pointer, oid, hex.EncodeToString(make([]byte, 32)), 1)), LFS: true, Credentials: q.Credentials}); err == nil {
		t.Error("a wrong password was let in")
	}
}

// A repository on this machine has no LFS server: its files lie in its folder.
func TestLFSOfAPath(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("git-lfs"); err != nil {
		t.Skip("git-lfs is not installed here")
	}
	const content = "a large file"
	sum := sha256.Sum256([]byte(content))
	oid := hex.EncodeToString(sum[:])
	r := newRepo(t)
	commit := r.commit("first", ".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n",
		"large.bin", fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", oid, len(content)))
	objects := filepath.Join(r.dir, ".git", "lfs", "objects", oid[:2], oid[2:4])
	if err := os.MkdirAll(objects, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(objects, oid), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newFixture(t)
	if got := b.files(b.fetch(Request{URL: r.dir, Commit: commit, LFS: true}).Artifact); got["large.bin"] != content {
		t.Errorf("files: %v", got)
	}
}
