// Package nodetest installs packages of Node for tests that drive them. They are kept in
// the user's cache, and never become part of a program.
package nodetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Modules is a folder node_modules with the packages that a package.json asks for, one of
// which is named. They are installed once and kept in the user's cache; the test is
// skipped by name where they cannot be installed.
func Modules(t *testing.T, name string, wanted []byte, one string) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not installed")
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip("no cache folder: ", err)
	}
	sum := sha256.Sum256(wanted)
	dir := filepath.Join(cache, "showrunner-tests", name+"-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(filepath.Join(dir, "node_modules", one)); err == nil {
		return filepath.Join(dir, "node_modules")
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Skip("no cache folder: ", err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), name+"-new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	if err := os.WriteFile(filepath.Join(fresh, "package.json"), wanted, 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
	cmd.Dir, cmd.WaitDelay = fresh, 10*time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("%s could not be installed: %v\n%s", name, err, out)
	}
	if err := os.Rename(fresh, dir); err != nil { // another test was first
		if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "node_modules")
}
