package archtest

import (
	"go/ast"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestNoInit: registration is one explicit list in package server.
func TestNoInit(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: init() has effects on every package that imports this one; write a function and call it", f.at(fn.Pos()))
			}
		}
	}
}

// TestNoMutableGlobals: two servers in one process, as tests start them, must
// not see each other.
func TestNoMutableGlobals(t *testing.T) {
	t.Parallel()
	globals := map[string]map[string]bool{} // package → names
	for _, f := range sources(t) {
		for _, d := range f.syntax.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR || f.test {
				continue
			}
			for _, s := range g.Specs {
				for _, name := range s.(*ast.ValueSpec).Names {
					if globals[f.pkg] == nil {
						globals[f.pkg] = map[string]bool{}
					}
					globals[f.pkg][name.Name] = true
				}
			}
		}
	}
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		for name, pos := range writtenGlobals(f, globals[f.pkg]) {
			t.Errorf("%s: the package variable %s is changed: hand the state in, or keep it in a value", f.at(pos), name)
		}
	}
}

// writtenGlobals are the package variables that a file assigns to inside functions.
func writtenGlobals(f file, globals map[string]bool) map[string]token.Pos {
	found := map[string]token.Pos{}
	write := func(e ast.Expr) {
		for {
			switch x := e.(type) {
			case *ast.IndexExpr:
				e = x.X
				continue
			case *ast.StarExpr:
				e = x.X
				continue
			case *ast.ParenExpr:
				e = x.X
				continue
			case *ast.Ident:
				// The parser resolves names within the file: a local one has an
				// object whose declaration is not at the top.
				if x.Name == "_" || !globals[x.Name] {
					return
				}
				if x.Obj != nil && !topLevel(f.syntax, x.Obj) {
					return
				}
				found[x.Name] = x.Pos()
			}
			return
		}
	}
	for _, d := range f.syntax.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			switch s := n.(type) {
			case *ast.AssignStmt:
				if s.Tok != token.DEFINE {
					for _, e := range s.Lhs {
						write(e)
					}
				}
			case *ast.IncDecStmt:
				write(s.X)
			}
			return true
		})
	}
	return found
}

//lint:ignore SA1019 within one file the parser resolves names well enough
func topLevel(f *ast.File, o *ast.Object) bool {
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok {
			for _, s := range g.Specs {
				if o.Decl == s {
					return true
				}
			}
		}
	}
	return false
}

// TestTimeAndChance: pure code gets the time and the random source as arguments,
// and no test sleeps.
func TestTimeAndChance(t *testing.T) {
	t.Parallel()
	clock := map[string]string{
		"Now": "now is an argument", "Since": "now is an argument", "Until": "now is an argument", "Sleep": "nothing pure waits",
		"After": "nothing pure waits", "Tick": "nothing pure waits", "NewTimer": "nothing pure waits", "NewTicker": "nothing pure waits", "AfterFunc": "nothing pure waits",
	}
	for _, f := range sources(t) {
		isPure := (within(f.pkg, pure...) || slices.Contains(pure, f.path)) && !f.test
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := call.X.(*ast.Ident)
			if !ok || pkg.Obj != nil {
				return true
			}
			switch {
			case pkg.Name == "time" && isPure && clock[call.Sel.Name] != "":
				t.Errorf("%s: time.%s in pure code: %s", f.at(call.Pos()), call.Sel.Name, clock[call.Sel.Name])
			case pkg.Name == "time" && f.test && call.Sel.Name == "Sleep":
				t.Errorf("%s: a test that sleeps is slow when it passes and wrong when the machine is slow: wait on a signal", f.at(call.Pos()))
			case pkg.Name == "rand" && isPure && !seeded[call.Sel.Name]:
				t.Errorf("%s: rand.%s in pure code: the source is an argument, so that a decision can be repeated", f.at(call.Pos()), call.Sel.Name)
			}
			return true
		})
	}
}

// seeded are the functions and types of math/rand that construct or name a given
// source.
var seeded = map[string]bool{"Rand": true, "Source": true, "New": true, "NewPCG": true, "NewChaCha8": true, "PCG": true}

// longest is the maximum number of lines of a file; the longest existing file
// stays below it.
const longest = 600

// TestFileLength keeps files short.
func TestFileLength(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		if f.lines > longest && !f.test {
			t.Errorf("%s has %d lines, more than %d: split it by idea", f.path, f.lines, longest)
		}
	}
}

// TestEveryPackageSaysWhatItOwns: the package comment says what the package owns
// and refuses to own.
func TestEveryPackageSaysWhatItOwns(t *testing.T) {
	t.Parallel()
	documented := map[string]bool{}
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		if !documented[f.pkg] {
			documented[f.pkg] = f.syntax.Doc != nil && len(strings.TrimSpace(f.syntax.Doc.Text())) > 40
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(documented)) {
		if !documented[pkg] {
			t.Errorf("package %s has no comment that says what it owns", pkg)
		}
	}
}
