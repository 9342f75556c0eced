package pipeline

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
)

// reference is a use of one of the roots: stages.build.outputs.url.
type reference struct {
	root string
	path []string // as written in the expression, mangled
	at   int      // in characters
	size int
}

// parsed is an expression that has been read and is allowed by its form.
type parsed struct {
	text string // mangled
	tree *parser.Tree
	refs []reference
}

// fault is what is wrong with an expression, and where in it.
type fault struct {
	code       string
	message    string
	suggestion string
	at, size   int // in characters
}

func (f *fault) Error() string {
	if f.suggestion != "" {
		return fmt.Sprintf("%s; did you mean %q?", f.message, f.suggestion)
	}
	return f.message
}

// parseExpression reads an expression and refuses the forms that could take
// more than bounded time or memory.
func parseExpression(text string, c *conf.Config, known func(parameter string) bool) (*parsed, *fault) {
	if len(text) > maxExpression {
		return nil, &fault{code: CodeExpression, message: fmt.Sprintf("the expression is longer than %d characters", maxExpression), size: 1}
	}
	if strings.TrimSpace(text) == "" {
		return nil, &fault{code: CodeExpression, message: "the expression is empty", size: 1}
	}
	p := &parsed{text: mangle(text, known)}
	tree, err := parser.ParseWithConfig(p.text, c)
	if err != nil {
		return nil, exprFault(err)
	}
	p.tree = tree
	w := &walker{used: map[ast.Node]bool{}, functions: c}
	ast.Walk(&tree.Node, w)
	w.finish()
	if w.fault != nil {
		return nil, w.fault
	}
	p.refs = w.refs
	return p, nil
}

func exprFault(err error) *fault {
	f := &fault{code: CodeExpression, message: unmangle(firstLine(err.Error())), size: 1}
	var fe *file.Error
	if errors.As(err, &fe) {
		f.message, f.at, f.size = unmangle(fe.Message), fe.From, max(1, fe.To-fe.From)
	}
	return f
}

// walker collects references, and the first form that is not allowed.
type walker struct {
	refs       []reference
	used       map[ast.Node]bool // identifiers that are part of something that was understood
	names      []*ast.IdentifierNode
	functions  *conf.Config
	predicates int
	fault      *fault
}

// Visit implements ast.Visitor; children come before their parents.
func (w *walker) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		w.names = append(w.names, n)
	case *ast.MemberNode:
		w.member(n)
	case *ast.CallNode:
		w.call(n)
	case *ast.PredicateNode:
		w.predicate(n)
	case *ast.BinaryNode:
		if n.Operator == "==" || n.Operator == "!=" {
			w.status(n.Left, n.Right)
			w.status(n.Right, n.Left)
		}
	case *ast.VariableDeclaratorNode, *ast.SequenceNode:
		w.refuse(n, "`let` and `;` are not part of pipeline expressions")
	}
}

// status refuses to compare a stage's status with what it never is.
func (w *walker) status(left, right ast.Node) {
	member, ok := left.(*ast.MemberNode)
	text, is := right.(*ast.StringNode)
	if !ok || !is || w.fault != nil {
		return
	}
	root, path, ok := chain(member)
	if ok && root != nil && root.Value == "stages" && len(path) == 2 && path[1] == "status" && !slices.Contains(stageStatuses, text.Value) {
		w.refuse(text, "no stage ever has the status %q; it is one of %s", text.Value, strings.Join(stageStatuses, ", "))
		w.fault.suggestion = Nearest(text.Value, stageStatuses)
	}
}

func (w *walker) refuse(n ast.Node, format string, args ...any) {
	if w.fault == nil {
		l := n.Location()
		w.fault = &fault{code: CodeExpression, message: fmt.Sprintf(format, args...), at: l.From, size: max(1, l.To-l.From)}
	}
}

func (w *walker) member(n *ast.MemberNode) {
	if n.Method {
		w.refuse(n, "there are no methods")
		return
	}
	root, path, ok := chain(n)
	if root == nil || !slices.Contains(roots, root.Value) {
		return
	}
	w.used[root] = true
	if !ok && len(path) < chainLength(root.Value) {
		w.refuse(n, "the name after %s must be written out: it is checked before anything runs", root.Value)
		return
	}
	l := root.Location()
	ref := reference{root: root.Value, path: path, at: l.From, size: len([]rune(root.Value))}
	for _, p := range path {
		ref.size += 1 + len([]rune(p))
	}
	// A longer chain replaces the shorter one it contains.
	if i := len(w.refs) - 1; i >= 0 && w.refs[i].at == ref.at {
		if len(path) > len(w.refs[i].path) {
			w.refs[i] = ref
		}
		return
	}
	w.refs = append(w.refs, ref)
}

// chainLength is how many names after a root are checked here.
func chainLength(root string) int {
	if root == "stages" {
		return 2
	}
	return 1
}

// chain takes a.b["c"] apart. Ok is false when a part is computed; path then
// holds the parts in front of it.
func chain(n *ast.MemberNode) (root *ast.IdentifierNode, path []string, ok bool) {
	switch inner := unwrap(n.Node).(type) {
	case *ast.IdentifierNode:
		root, ok = inner, true
	case *ast.MemberNode:
		root, path, ok = chain(inner)
	}
	property, static := n.Property.(*ast.StringNode)
	if ok && static {
		return root, append(path, property.Value), true
	}
	return root, path, false
}

func unwrap(n ast.Node) ast.Node {
	if c, ok := n.(*ast.ChainNode); ok {
		return c.Node
	}
	return n
}

func (w *walker) call(n *ast.CallNode) {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		w.refuse(n, "only functions can be called")
		return
	}
	w.used[callee] = true
	if _, ok := w.functions.Functions[callee.Value]; ok {
		return
	}
	if w.fault == nil {
		w.refuse(callee, "there is no function %q", callee.Value)
		w.fault.suggestion = Nearest(callee.Value, functionNames())
	}
}

func (w *walker) predicate(n *ast.PredicateNode) {
	w.predicates++
	if w.predicates > 3 {
		w.refuse(n, "at most three of all, any, none, one, filter, map, find and count in one expression")
		return
	}
	inner := &innerPredicate{self: n}
	var node ast.Node = n
	ast.Walk(&node, inner)
	if inner.found {
		w.refuse(n, "all, any, none, one, filter, map, find and count cannot stand inside each other")
	}
}

type innerPredicate struct {
	self  *ast.PredicateNode
	found bool
}

// Visit implements ast.Visitor.
func (p *innerPredicate) Visit(node *ast.Node) {
	if n, ok := (*node).(*ast.PredicateNode); ok && n != p.self {
		p.found = true
	}
}

// finish looks at the names that nothing explained.
func (w *walker) finish() {
	for _, n := range w.names {
		if w.used[n] || w.fault != nil {
			continue
		}
		switch {
		case slices.Contains([]string{"stages", "artifacts", "secrets"}, n.Value):
			w.refuse(n, "%q needs a name after it, such as %s.build", n.Value, n.Value)
		case slices.Contains(roots, n.Value):
			w.refs = append(w.refs, reference{root: n.Value, at: n.Location().From, size: len(n.Value)})
		default:
			w.refuse(n, "there is no %q", unmangle(n.Value))
			w.fault.suggestion = Nearest(n.Value, roots)
			if w.fault.suggestion == "" {
				w.fault.message += "; an expression starts with one of " + strings.Join(roots, ", ")
			}
		}
	}
}

// visible is what the expressions of one stage or trigger may refer to.
type visible interface {
	parameter(name string) bool
	parameters() []string
	// stage describes a stage that may be referred to.
	stage(name string) (outputs types.Map, names []string, f *fault)
	artifact(name string) *fault
}

// checkReferences refuses references to what is not there, and returns what
// the checker needs to know of those that are.
func checkReferences(refs []reference, v visible) (types.Map, *fault) {
	env := types.Map{}
	at := func(r reference, f *fault) *fault {
		f.at, f.size = r.at, r.size
		return f
	}
	sub := func(root string) types.Map {
		if env[root] == nil {
			env[root] = types.Map{}
		}
		return env[root].(types.Map)
	}
	for _, r := range refs {
		name := ""
		if len(r.path) > 0 {
			name = unmangle(r.path[0])
		}
		switch r.root {
		case "secrets":
			return nil, at(r, &fault{code: CodeSecret, message: "a secret must stand alone: ${{ secrets." + name + " }}"})
		case "execution":
			env[r.root] = outputTypes(ExecutionFields())
			if f := unknownMember(r.root, name, outputNames(ExecutionFields())); f != nil {
				return nil, at(r, f)
			}
		case "trigger":
			env[r.root] = outputTypes(TriggerFields())
			if f := unknownMember(r.root, name, outputNames(TriggerFields())); f != nil {
				return nil, at(r, f)
			}
		case "parameters":
			if name == "" {
				m := sub(r.root)
				m[types.Extra] = types.String
				continue
			}
			if !v.parameter(name) {
				return nil, at(r, &fault{code: CodeUnknownParameter, suggestion: Nearest(name, v.parameters()), message: fmt.Sprintf("there is no parameter %q", name)})
			}
			sub(r.root)[r.path[0]] = types.String
		case "artifacts":
			if f := v.artifact(name); f != nil {
				return nil, at(r, f)
			}
			sub(r.root)[r.path[0]] = types.String
		case "stages":
			t, f := stageType(r, name, v)
			if f != nil {
				return nil, at(r, f)
			}
			sub(r.root)[r.path[0]] = t
		}
	}
	return env, nil
}

func unknownMember(root, name string, names []string) *fault {
	if name == "" || slices.Contains(names, name) {
		return nil
	}
	return &fault{code: CodeExpression, suggestion: Nearest(name, names),
		message: fmt.Sprintf("%s has no %q; it has %s", root, name, strings.Join(names, ", "))}
}

func stageType(r reference, name string, v visible) (types.Type, *fault) {
	outputs, names, f := v.stage(name)
	if f != nil {
		return nil, f
	}
	if len(r.path) > 1 {
		if f := unknownMember("a stage", r.path[1], []string{"status", "outputs"}); f != nil {
			return nil, f
		}
	}
	if len(r.path) > 2 && r.path[1] == "outputs" {
		if _, ok := outputs[r.path[2]]; !ok {
			message := fmt.Sprintf("stage %q has no output %q", name, r.path[2])
			if len(names) > 0 {
				message += "; it has " + strings.Join(names, ", ")
			}
			return nil, &fault{code: CodeUnknownOutput, suggestion: Nearest(r.path[2], names), message: message}
		}
	}
	return types.Map{"status": types.String, "outputs": outputs}, nil
}

// checkTypes refuses an expression that does not fit its operands or its place.
func checkTypes(p *parsed, c *conf.Config, env types.Map, want reflect.Type) *fault {
	c.WithEnv(env)
	if _, err := checker.Check(p.tree, c); err != nil {
		return exprFault(err)
	}
	nature := p.tree.Node.Nature()
	if nature.Type == nil && !nature.Nil {
		return nil // known only at run time
	}
	if fits(nature.Kind, nature.Nil, want) {
		return nil
	}
	place, help := "inside a text", "; use toJSON() to write it out"
	if want != nil {
		place, help = "where "+typeName(want)+" is needed", ""
		if nature.Kind == reflect.String && (want.Kind() == reflect.Int || want.Kind() == reflect.Float64) {
			help = "; use int() or float()"
		}
	}
	return &fault{code: CodeType, message: fmt.Sprintf("the expression yields %s %s%s", kindName(nature.Kind), place, help),
		size: max(1, len([]rune(strings.TrimSpace(p.text)))), at: len([]rune(p.text)) - len([]rune(strings.TrimLeft(p.text, " \n\t")))}
}

// fits tells whether a value of a kind may stand where want is needed (nil: inside a text).
func fits(kind reflect.Kind, null bool, want reflect.Type) bool {
	number := kind >= reflect.Int && kind <= reflect.Float64
	switch {
	case null:
		return want == nil
	case want == nil:
		return kind == reflect.String || kind == reflect.Bool || number
	case want == durationType:
		return kind == reflect.String
	}
	for want.Kind() == reflect.Pointer {
		want = want.Elem()
	}
	switch want.Kind() {
	case reflect.Bool:
		return kind == reflect.Bool
	case reflect.Int:
		return number && kind < reflect.Float32
	case reflect.Float64:
		return number
	case reflect.Slice:
		return kind == reflect.Slice || kind == reflect.Array
	case reflect.Map, reflect.Struct:
		return kind == reflect.Map
	}
	return true
}

func kindName(k reflect.Kind) string {
	switch {
	case k == reflect.String:
		return "a text"
	case k == reflect.Bool:
		return "true or false"
	case k >= reflect.Int && k <= reflect.Uintptr:
		return "a whole number"
	case k == reflect.Float32 || k == reflect.Float64:
		return "a number"
	case k == reflect.Slice || k == reflect.Array:
		return "a list"
	case k == reflect.Map:
		return "a mapping"
	}
	return "nothing"
}
