package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestEveryCodeIsExplained looks through the code for codes of failures and of
// findings: explain knows each.
func TestEveryCodeIsExplained(t *testing.T) {
	t.Parallel()
	shape := regexp.MustCompile(`^[A-Z][A-Z]+(_[A-Z]+)*$`)
	found := 0
	check := func(pos string, e ast.Expr) {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return
		}
		code, err := strconv.Unquote(lit.Value)
		if err != nil || !shape.MatchString(code) {
			return
		}
		found++
		if _, ok := explain(code); !ok {
			t.Errorf("%s: explain does not know %s", pos, code)
		}
	}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasSuffix(d.Name(), "test") && d.Name() != ".." || strings.HasSuffix(path, "_test.go") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr: // Failure{Code: "…"}
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Code" {
					check(files.Position(n.Pos()).String(), n.Value)
				}
			case *ast.AssignStmt: // f.Code = "…"
				for i, left := range n.Lhs {
					if s, ok := left.(*ast.SelectorExpr); ok && s.Sel.Name == "Code" && i < len(n.Rhs) {
						check(files.Position(n.Pos()).String(), n.Rhs[i])
					}
				}
			case *ast.ValueSpec: // const CodeTimeout = "…"; AuthFailed Reason = "…"
				typed, _ := n.Type.(*ast.Ident)
				for i, name := range n.Names {
					if i < len(n.Values) && (strings.HasPrefix(name.Name, "Code") || typed != nil && typed.Name == "Reason") {
						check(files.Position(n.Pos()).String(), n.Values[i])
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 60 {
		t.Errorf("only %d codes found", found)
	}
	for _, code := range []string{"BUILD_FAILED", "BUILD_FAULT", "BUILD_TIMED_OUT", "BUILD_STOPPED"} { // made from a build's status
		if _, ok := explain(code); !ok {
			t.Errorf("explain does not know %s", code)
		}
	}
}
