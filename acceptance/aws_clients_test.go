package acceptance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// boto3's waiters find the states that they wait for.
func TestTheWaitersOfPython(t *testing.T) {
	t.Parallel()
	if err := exec.Command("python3", "-c", "import boto3").Run(); err != nil {
		t.Skip("python3 with boto3 is not installed")
	}
	script, err := filepath.Abs(filepath.Join("testdata", "waiters.py"))
	if err != nil {
		t.Fatal(err)
	}
	w := newAWSWorld(t, "us-east-1")
	if out := w.mustShell("python3 " + script); strings.TrimSpace(out) != "done" {
		t.Error(out)
	}
}

// The unmodified SDK for JavaScript.
func TestTheJavaScriptSDK(t *testing.T) {
	t.Parallel()
	modules := nodeModules(t, "javascript", filepath.Join("testdata", "javascript", "package.json"), filepath.Join("@aws-sdk", "client-s3"))
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "javascript"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	w := newAWSWorld(t, "us-east-1")
	if out := w.mustShell("NODE_NO_WARNINGS=1 node " + filepath.Join(dir, "clients.js")); strings.TrimSpace(out) != "done" {
		t.Error(out)
	}
}
