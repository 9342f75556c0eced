package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The message for a folder that git cannot read depends on the remedy: the folder
// does not exist, it is part of a repository, or it is not a repository.
func TestLocalFault(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"repo/.git", "repo/a/b", "bare.git/objects", "bare.git/refs", "plain"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"bare.git/HEAD", "some.bundle", "worktree"} {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string][2]string{
		"repo":        {},
		"bare.git":    {},
		"bare":        {}, // git tries bare.git
		"some.bundle": {},
		"repo/a/b":    {"is a part of the Git repository " + filepath.Join(dir, "repo"), "url: ../.."},
		"plain":       {"is no Git repository", "git init"},
		"none":        {"there is no folder", "the URL"},
	} {
		fault, help := LocalFault(filepath.Join(dir, path))
		if (fault == "") != (want[0] == "") || !strings.Contains(fault, want[0]) || !strings.Contains(help, want[1]) {
			t.Errorf("%s: %q, %q", path, fault, help)
		}
	}
}
