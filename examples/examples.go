// Package examples holds the example applications, so that the one binary can
// lay them out anywhere: `showrunner demo` copies them into a Git repository
// of their own and delivers them. It refuses to know how they are delivered.
package examples

import (
	"embed"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"showrunner/problem"
)

//go:embed all:storefront all:netflix-cicd-demo
var files embed.FS

// Names of the applications.
const (
	Storefront = "storefront"
	NPM        = "netflix-cicd-demo"
)

// Names lists the applications.
func Names() []string { return []string{Storefront, NPM} }

// Copy lays an application out in dir, which must be missing or empty: conflict
// otherwise, not_found for an unknown name. What only serves this repository
// (its Go tests) stays behind.
func Copy(name, dir string) error {
	app, err := fs.Sub(files, name)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "examples.copy", "%s", name)
	}
	if _, err := fs.Stat(app, "showrunner.yaml"); err != nil {
		return problem.New(problem.NotFound, "examples.copy", "no example called %q", name).WithHelp("one of %s", strings.Join(Names(), ", "))
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return problem.New(problem.Conflict, "examples.copy", "%s is not empty", dir).WithHelp("name another folder")
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return problem.Wrap(err, problem.Invalid, "examples.copy", "%s cannot be used", dir)
	}
	return fs.WalkDir(app, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && generated[d.Name()] {
			return fs.SkipDir
		}
		if d.IsDir() || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		content, err := fs.ReadFile(app, p)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(p))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if path.Ext(p) == ".sh" {
			mode = 0o755
		}
		return os.WriteFile(to, content, mode)
	})
}

// generated are folders that building an example in place leaves behind.
var generated = map[string]bool{"out": true, "dist": true, "node_modules": true, "cdk.out": true}

// Pipelines returns every example pipeline file by its path, sorted by it.
func Pipelines() (paths []string, contents [][]byte, err error) {
	for _, name := range Names() {
		paths = append(paths, name+"/showrunner.yaml")
	}
	sort.Strings(paths)
	for _, p := range paths {
		content, err := files.ReadFile(p)
		if err != nil {
			return nil, nil, err
		}
		contents = append(contents, content)
	}
	return paths, contents, nil
}
