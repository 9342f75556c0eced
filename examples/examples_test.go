package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"showrunner/examples"
	"showrunner/pipeline"
	"showrunner/problem"
)

func TestPipelinesAreValid(t *testing.T) {
	t.Parallel()
	paths, contents, err := examples.Pipelines()
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range paths {
		if doc, ds := pipeline.Parse(p, contents[i]); doc == nil || len(ds) > 0 {
			t.Errorf("%v", ds)
		}
	}
}

func TestCopy(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "app")
	if err := examples.Copy(examples.Storefront, dir); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"showrunner.yaml", "buildspec.yml", "main.go", "site/page.html", ".gitignore"} {
		if _, err := os.Stat(filepath.Join(dir, want)); err != nil {
			t.Errorf("%s was not copied: %v", want, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "main_test.go")); err == nil {
		t.Error("the repository's own test was copied")
	}
	if err := examples.Copy(examples.Storefront, dir); problem.CodeOf(err) != problem.Conflict {
		t.Errorf("a second copy into the same folder: %v", err)
	}
	if err := examples.Copy("nothing", t.TempDir()); problem.CodeOf(err) != problem.NotFound {
		t.Errorf("an unknown example: %v", err)
	}
	if err := examples.Copy("../examples", t.TempDir()); err == nil {
		t.Error("a path was taken for a name")
	}
}

// TestSiteBuilds runs the shell part of the storefront's build: the pages must
// be whole, and refer to assets that are there.
func TestSiteBuilds(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "app")
	if err := examples.Copy(examples.Storefront, dir); err != nil {
		t.Fatal(err)
	}
	// A `go` that does nothing: compiling the service is the build's own affair.
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("sh", "build.sh")
	build.Dir = dir
	build.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"),
		"CODEBUILD_RESOLVED_SOURCE_VERSION=0123456789abcdef0123456789abcdef01234567")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	checkPages(t, filepath.Join(dir, "out", "site"), "0123456")
}

// TestNPMSiteBuilds builds the article's site where Node is there.
func TestNPMSiteBuilds(t *testing.T) {
	t.Parallel()
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("npm is not installed, so the article's site is not built here")
	}
	dir := filepath.Join(t.TempDir(), "app")
	if err := examples.Copy(examples.NPM, dir); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"run", "build"}, {"test"}} {
		build := exec.Command(npm, args...)
		build.Dir = dir
		build.Env = append(os.Environ(), "CODEBUILD_RESOLVED_SOURCE_VERSION=0123456789abcdef0123456789abcdef01234567", "npm_config_update_notifier=false")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("npm %v: %v\n%s", args, err, out)
		}
	}
	checkPages(t, filepath.Join(dir, "dist"), "0123456")
}

func checkPages(t *testing.T, root, version string) {
	t.Helper()
	pages, err := filepath.Glob(filepath.Join(root, "*.html"))
	if err != nil || len(pages) < 2 {
		t.Fatalf("%d pages in %s (%v)", len(pages), root, err)
	}
	said := false
	for _, page := range pages {
		raw, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(string(raw), "@%") {
			t.Errorf("%s still holds a placeholder", page)
		}
		said = said || strings.Contains(string(raw), version)
		doc, err := html.Parse(strings.NewReader(string(raw)))
		if err != nil {
			t.Fatal(err)
		}
		references := 0
		for n := range doc.Descendants() {
			for _, a := range n.Attr {
				if path, ok := strings.CutPrefix(a.Val, "/assets/"); ok && (a.Key == "href" || a.Key == "src") {
					references++
					if _, err := os.Stat(filepath.Join(root, "assets", path)); err != nil {
						t.Errorf("%s refers to what is not there: %v", page, err)
					}
				}
			}
		}
		if references < 2 {
			t.Errorf("%s refers to %d assets", page, references)
		}
	}
	if !said {
		t.Errorf("no page says version %s", version)
	}
}
