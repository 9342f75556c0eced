package crash

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// program returns the binary for a path or a Git revision; the binary of a
// revision is built from that revision's own tree.
func program(ctx context.Context, dir, name string) (string, error) {
	if _, err := os.Stat(name); err == nil {
		return filepath.Abs(name)
	}
	tree, binary := filepath.Join(dir, "old-tree"), filepath.Join(dir, "old-showrunner")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return "", err
	}
	archive := exec.CommandContext(ctx, "git", "archive", "--output", tree+".tar", name)
	archive.Dir = ".." // the whole repository, not only this module
	if out, err := archive.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s is no file and no revision: %w: %s", name, err, out)
	}
	if out, err := exec.CommandContext(ctx, "tar", "-xf", tree+".tar", "-C", tree).CombinedOutput(); err != nil {
		return "", fmt.Errorf("unpacking %s: %w: %s", name, err, out)
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/showrunner")
	build.Dir = tree
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w: %s", name, err, out)
	}
	return binary, os.RemoveAll(tree)
}

// refuse starts the old program on the database that the new one has upgraded:
// where the schema is newer the old program has to end, and should say why.
func (f *fleet) refuse(ctx context.Context) error {
	r := f.members[0]
	if err := r.kill(); err != nil {
		return err
	}
	if err := r.log.Truncate(0); err != nil {
		return err
	}
	r.binary = f.old
	if err := r.start(); err != nil {
		return err
	}
	t := time.NewTimer(20 * time.Second)
	defer t.Stop()
	select {
	case <-r.ended:
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		fmt.Println("the old program runs on the new database: both know the same schema")
		return nil
	}
	said, err := os.ReadFile(r.log.Name())
	if err != nil {
		return err
	}
	text := strings.TrimSpace(strings.TrimLeft(string(said), "\x00"))
	if code := r.cmd.ProcessState.ExitCode(); code == 0 {
		return fmt.Errorf("the old program ended with 0 on the new database and said %q", text)
	}
	first, _, more := strings.Cut(text, "\n")
	if more && !strings.Contains(first, "schema version") {
		first += " …, which is not clear; what is released cannot be mended"
	}
	fmt.Printf("the old program refuses the new database: %s\n", first)
	return nil
}
