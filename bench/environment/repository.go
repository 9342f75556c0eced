package environment

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Repository is a Git repository in a folder, with a branch main.
type Repository struct{ Dir string }

// NewRepository makes an empty repository.
func NewRepository(ctx context.Context, dir string) (Repository, error) {
	r := Repository{dir}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return r, err
	}
	_, err := r.Git(ctx, "init", "--quiet", "--initial-branch=main")
	return r, err
}

// Git runs git in the repository.
func (r Repository) Git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", r.Dir, "-c", "user.name=bench", "-c", "user.email=bench@localhost"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// Commit writes a file and commits everything; it returns the first seven digits
// of the commit, which are the version's name.
func (r Repository) Commit(ctx context.Context, name, text string) (string, error) {
	if err := os.WriteFile(filepath.Join(r.Dir, name), []byte(text), 0o644); err != nil {
		return "", err
	}
	return r.CommitAll(ctx, name)
}

// CommitAll commits all changes.
func (r Repository) CommitAll(ctx context.Context, message string) (string, error) {
	for _, args := range [][]string{{"add", "--all", "--force"}, {"commit", "--quiet", "--message", message}} {
		if _, err := r.Git(ctx, args...); err != nil {
			return "", err
		}
	}
	return r.Git(ctx, "rev-parse", "--short=7", "HEAD")
}
