package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "showrunner"

// file is one Go file of the repository.
type file struct {
	path    string // slash-separated, from the root
	pkg     string // folder of the package, from the root
	test    bool
	fset    *token.FileSet
	syntax  *ast.File
	imports map[string]token.Pos
	lines   int
}

func (f file) at(pos token.Pos) string {
	return f.path + ":" + strconv.Itoa(f.fset.Position(pos).Line)
}

// root is the folder of go.mod.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = parent
	}
}

// skipped are folders whose text does not belong to the repository.
func skipped(name string) bool {
	switch name {
	case ".git", "node_modules", "testdata", "dist", "out", "bin", "cdk.out":
		return true
	}
	return false
}

var parseOnce = sync.OnceValues(func() ([]file, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	base := filepath.Join(dir, "..", "..")
	var files []file
	err = filepath.WalkDir(base, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path == base {
				return nil
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil || skipped(d.Name()) {
				return fs.SkipDir // another module has rules of its own
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		rel, err := filepath.Rel(base, path)
		if err != nil {
			return err
		}
		f := file{path: filepath.ToSlash(rel), fset: token.NewFileSet(), test: strings.HasSuffix(path, "_test.go"), imports: map[string]token.Pos{}}
		f.pkg = strings.TrimSuffix(strings.TrimSuffix(f.path, filepath.Base(path)), "/")
		// Conformance suites and fakes live in packages called <package>test.
		f.test = f.test || strings.HasSuffix(f.pkg, "test")
		if f.syntax, err = parser.ParseFile(f.fset, path, nil, parser.ParseComments); err != nil {
			return err
		}
		f.lines = f.fset.File(f.syntax.Pos()).LineCount()
		for _, i := range f.syntax.Imports {
			if p, err := strconv.Unquote(i.Path.Value); err == nil {
				f.imports[p] = i.Pos()
			}
		}
		files = append(files, f)
		return nil
	})
	return files, err
})

// sources are the repository's Go files.
func sources(t *testing.T) []file {
	t.Helper()
	files, err := parseOnce()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("only %d Go files found: the test looks in the wrong place", len(files))
	}
	return files
}

// within says whether a slash path is one of the trees, or below one.
func within(path string, trees ...string) bool {
	for _, tree := range trees {
		if path == tree || strings.HasPrefix(path, tree+"/") {
			return true
		}
	}
	return false
}
