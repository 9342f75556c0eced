package pipeline

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/vm/runtime"
)

// An evaluation is bounded by construction: no loops but over a list, none
// inside another, few nodes, and a budget that everything pays into which could
// grow a value or repeat work.
const (
	maxExpressionNodes = 300
	evaluationBudget   = 8 << 20 // about bytes made or looked at
)

// builtins are the functions of the expression language that are kept: they
// have no outside effect, read no clock, and make nothing longer than they got.
var builtins = []string{
	"all", "none", "any", "one", "filter", "map", "find", "findIndex", "count", "sum",
	"len", "abs", "ceil", "floor", "round", "int", "float", "min", "max",
	"trim", "trimPrefix", "trimSuffix", "upper", "lower", "split",
	"indexOf", "lastIndexOf", "hasPrefix", "hasSuffix",
	"first", "last", "get", "keys", "values", "reverse", "uniq", "sort", "fromJSON",
}

func functionNames() []string {
	return slices.Sorted(slices.Values(append([]string{"concat", "join", "replace", "string", "toJSON"}, builtins...)))
}

// budget is what is left of an evaluation's allowance.
type budget struct{ left int }

func (b *budget) spend(n int) error {
	if b.left -= n; b.left < 0 {
		return fmt.Errorf("the expression makes or reads too much data")
	}
	return nil
}

// newConfig is the expression language as pipelines have it. Nothing in it is
// shared between goroutines.
func newConfig(b *budget) *conf.Config {
	c := conf.CreateNew()
	for _, option := range options(b) {
		option(c)
	}
	for name := range c.Disabled {
		delete(c.Builtins, name)
	}
	c.Check()
	return c
}

func options(b *budget) []expr.Option {
	opts := []expr.Option{expr.DisableAllBuiltins(), expr.Optimize(false), expr.MaxNodes(maxExpressionNodes)}
	for _, name := range builtins {
		opts = append(opts, expr.EnableBuiltin(name))
	}
	return append(opts,
		expr.Function("replace", b.replace, new(func(string, string, string) string)),
		expr.Function("join", b.join, new(func([]any) string), new(func([]any, string) string),
			new(func([]string) string), new(func([]string, string) string)),
		expr.Function("concat", b.concat, new(func(...[]any) []any)),
		expr.Function("toJSON", b.toJSON, new(func(any) string)),
		expr.Function("string", b.text, new(func(any) string)))
}

func (b *budget) replace(args ...any) (any, error) {
	s, old, with := args[0].(string), args[1].(string), args[2].(string)
	if err := b.spend(len(s) + strings.Count(s, old)*len(with)); err != nil {
		return nil, err
	}
	return strings.ReplaceAll(s, old, with), nil
}

func (b *budget) join(args ...any) (any, error) {
	separator := ""
	if len(args) > 1 {
		separator = args[1].(string)
	}
	list, _ := normal(args[0]).([]any)
	parts := make([]string, len(list))
	size := 0
	for i, v := range list {
		s, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("join takes texts, not %v", reflect.TypeOf(v))
		}
		parts[i] = s
		size += len(s) + len(separator)
	}
	if err := b.spend(size); err != nil {
		return nil, err
	}
	return strings.Join(parts, separator), nil
}

func (b *budget) concat(args ...any) (any, error) {
	var out []any
	for _, a := range args {
		list, ok := normal(a).([]any)
		if !ok {
			return nil, fmt.Errorf("concat takes lists, not %v", reflect.TypeOf(a))
		}
		if err := b.spend(16 * len(list)); err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

func (b *budget) toJSON(args ...any) (any, error) {
	if err := b.measure(args[0]); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(args[0])
	return string(raw), err
}

func (b *budget) text(args ...any) (any, error) {
	s, err := asText(args[0])
	if err != nil {
		return nil, err
	}
	return s, b.spend(len(s))
}

// add is +, with the length of a text bounded.
func (b *budget) add(args ...any) (any, error) {
	if s, ok := args[0].(string); ok {
		if t, ok := args[1].(string); ok {
			return s + t, b.spend(len(s) + len(t))
		}
	}
	return runtime.Add(args[0], args[1]), nil
}

// measure spends the size of a value, before anything is made of it.
func (b *budget) measure(v any) error {
	switch v := v.(type) {
	case string:
		return b.spend(2 * len(v))
	case []any:
		for _, item := range v {
			if err := b.measure(item); err != nil {
				return err
			}
		}
	case map[string]any:
		for k, item := range v {
			if err := b.measure(item); err != nil {
				return err
			}
			if err := b.spend(len(k)); err != nil {
				return err
			}
		}
	}
	return b.spend(8)
}

// bounding is applied before an expression runs: + and the bodies of loops pay.
type bounding struct{}

// Visit implements ast.Visitor.
func (bounding) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.BinaryNode:
		if n.Operator == "+" {
			ast.Patch(node, &ast.CallNode{Callee: &ast.IdentifierNode{Value: "__add"}, Arguments: []ast.Node{n.Left, n.Right}})
		}
	case *ast.PredicateNode:
		if call, ok := n.Node.(*ast.CallNode); ok {
			if id, ok := call.Callee.(*ast.IdentifierNode); ok && id.Value == "__tick" {
				return
			}
		}
		n.Node = &ast.CallNode{Callee: &ast.IdentifierNode{Value: "__tick"}, Arguments: []ast.Node{n.Node}}
	}
}

// evaluate runs an expression over a scope.
func evaluate(text string, s *Scope) (result any, err error) {
	defer func() {
		if r := recover(); r != nil { // the library reports some faults so
			result, err = nil, fmt.Errorf("%v", r)
		}
	}()
	b := &budget{left: evaluationBudget}
	p, f := parseExpression(text, newConfig(b), func(name string) bool { _, ok := s.Parameters[name]; return ok })
	if f != nil {
		return nil, f
	}
	env, err := environment(p.refs, s)
	if err != nil {
		return nil, err
	}
	if err := b.measure(any(env)); err != nil {
		return nil, fmt.Errorf("what the expression refers to is too large")
	}
	used := evaluationBudget - b.left
	opts := append(options(b), expr.Patch(bounding{}),
		expr.Function("__add", b.add, new(func(any, any) any)),
		expr.Function("__tick", func(args ...any) (any, error) { return args[0], b.spend(16 + used/64) }, new(func(any) any)))
	program, err := expr.Compile(p.text, opts...)
	if err != nil {
		return nil, exprFault(err)
	}
	out, err := expr.Run(program, env)
	if err != nil {
		return nil, exprFault(err)
	}
	return out, nil
}

// environment holds what the references need, and nothing else.
func environment(refs []reference, s *Scope) (map[string]any, error) {
	env := map[string]any{}
	sub := func(m map[string]any, key string) map[string]any {
		inner, ok := m[key].(map[string]any)
		if !ok {
			inner = map[string]any{}
			m[key] = inner
		}
		return inner
	}
	for _, r := range refs {
		switch r.root {
		case "secrets":
			return nil, &fault{code: CodeSecret, message: "a secret must stand alone"}
		case "parameters":
			m := sub(env, r.root)
			if len(r.path) == 0 {
				for k, v := range s.Parameters {
					m[k] = v
				}
				continue
			}
			v, ok := s.Parameters[unmangle(r.path[0])]
			if !ok {
				return nil, &fault{code: CodeUnknownParameter, message: fmt.Sprintf("there is no parameter %q", unmangle(r.path[0]))}
			}
			m[r.path[0]] = v
		case "trigger":
			env[r.root] = withDefaults(TriggerFields(), s.Trigger)
		case "execution":
			e := s.Execution
			env[r.root] = map[string]any{"id": e.ID, "number": e.Number, "application": e.Application, "pipeline": e.Pipeline, "startedBy": e.StartedBy}
		case "artifacts":
			sub(env, r.root)[r.path[0]] = s.Artifacts[unmangle(r.path[0])]
		case "stages":
			st := s.Stages[unmangle(r.path[0])]
			kind, _ := FindKind(st.Kind)
			sub(env, r.root)[r.path[0]] = map[string]any{"status": st.Status, "outputs": withDefaults(kind.Outputs, st.Outputs)}
		}
	}
	return env, nil
}

// asText is how a value reads inside a text.
func asText(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case int:
		return strconv.Itoa(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case []any, map[string]any:
		return "", fmt.Errorf("%s cannot stand inside a text; use toJSON()", kindName(reflect.TypeOf(v).Kind()))
	}
	rv := reflect.ValueOf(v)
	switch {
	case rv.CanInt():
		return strconv.FormatInt(rv.Int(), 10), nil
	case rv.CanUint():
		return strconv.FormatUint(rv.Uint(), 10), nil
	}
	return "", fmt.Errorf("a value of type %T cannot stand inside a text; use toJSON()", v)
}

// sortedKeys lists a map's keys in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
