package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"showrunner/problem"
)

// Resolve returns the stage's configuration with every expression replaced by
// its value and every default filled in. References to secrets stay in place,
// for ExpandSecrets at the last moment. Values are checked against the same
// rules as written ones. Errors: invalid.
func Resolve(stage Stage, scope Scope) (Config, error) {
	kind, ok := FindKind(stage.Kind)
	if !ok {
		return nil, problem.New(problem.Invalid, "pipeline.resolve", "stage %q has the unknown kind %q", stage.Name, stage.Kind)
	}
	r := &resolver{scope: &scope, path: []string{stage.Kind}}
	t := reflect.TypeOf(kind.Config)
	tree, err := decodeTree(stage.With)
	if err == nil {
		tree, err = r.value(tree, &field{}, t)
	}
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "pipeline.resolve", "stage %q: %s", stage.Name, strings.Join(r.path, "."))
	}
	raw, err := json.Marshal(tree)
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "pipeline.resolve", "stage %q", stage.Name)
	}
	config, err := DecodeConfig(stage.Kind, raw)
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "pipeline.resolve", "stage %q", stage.Name)
	}
	return complete(config, stage, &scope)
}

// DecodeConfig reads a kind's configuration from JSON without expressions.
// Unknown fields are refused. Errors: invalid.
func DecodeConfig(kind string, raw json.RawMessage) (Config, error) {
	k, ok := FindKind(kind)
	if !ok {
		return nil, problem.New(problem.Invalid, "pipeline.decode", "there is no stage kind %q", kind)
	}
	if len(raw) == 0 {
		raw = json.RawMessage("{}")
	}
	v := reflect.New(reflect.TypeOf(k.Config))
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v.Interface()); err != nil {
		var te *json.UnmarshalTypeError
		if errors.As(err, &te) {
			return nil, problem.New(problem.Invalid, "pipeline.decode", "%s.%s must be %s, not a %s", kind, te.Field, typeName(te.Type), te.Value)
		}
		return nil, problem.Wrap(err, problem.Invalid, "pipeline.decode", "the configuration of a %s stage", kind)
	}
	return v.Elem().Interface().(Config), nil
}

func decodeTree(raw json.RawMessage) (any, error) {
	if len(raw) == 0 {
		return map[string]any{}, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var tree any
	err := dec.Decode(&tree)
	return tree, err
}

// resolver walks JSON along a type. Its path is that of the value it failed on.
type resolver struct {
	scope *Scope
	path  []string
}

func (r *resolver) value(v any, f *field, t reflect.Type) (any, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if text, ok := v.(string); ok && hasExpression(text) {
		if t.Kind() == reflect.String {
			return r.text(text, f)
		}
		out, err := r.whole(text, t)
		if err != nil {
			return nil, err
		}
		v = out
	}
	switch v := v.(type) {
	case string:
		if t.Kind() == reflect.String {
			return v, acceptsValue(v, f)
		}
	case []any:
		if t.Kind() == reflect.Slice {
			return r.list(v, f, t)
		}
	case map[string]any:
		if t.Kind() == reflect.Struct {
			return r.object(v, t)
		}
		if t.Kind() == reflect.Map {
			return r.mapping(v, f, t)
		}
	}
	return v, nil
}

func (r *resolver) step(name string, do func() (any, error)) (any, error) {
	r.path = append(r.path, name)
	out, err := do()
	if err == nil {
		r.path = r.path[:len(r.path)-1]
	}
	return out, err
}

func (r *resolver) list(v []any, f *field, t reflect.Type) (any, error) {
	out := make([]any, len(v))
	for i, item := range v {
		item, err := r.step(strconv.Itoa(i+1), func() (any, error) { return r.value(item, f, t.Elem()) })
		if err != nil {
			return nil, err
		}
		out[i] = item
	}
	return out, nil
}

func (r *resolver) mapping(v map[string]any, f *field, t reflect.Type) (any, error) {
	out := make(map[string]any, len(v))
	for _, k := range sortedKeys(v) {
		item, err := r.step(k, func() (any, error) { return r.value(v[k], f, t.Elem()) })
		if err != nil {
			return nil, err
		}
		out[k] = item
	}
	return out, nil
}

func (r *resolver) object(v map[string]any, t reflect.Type) (any, error) {
	s := shapeOf(t)
	if s == nil {
		return v, nil
	}
	out := make(map[string]any, len(v))
	for _, k := range sortedKeys(v) {
		f, ok := s.byName[k]
		if !ok {
			out[k] = v[k] // DecodeConfig refuses it by name
			continue
		}
		item, err := r.step(k, func() (any, error) { return r.value(v[k], f, f.typ) })
		if err != nil {
			return nil, err
		}
		out[k] = item
	}
	for i := range s.fields {
		if f := &s.fields[i]; f.def != "" && out[f.name] == nil && !excluded(s, f.name, out) {
			out[f.name] = f.defaultValue()
		}
	}
	return out, nil
}

// excluded tells whether a field's default is ruled out by another that is set.
func excluded(s *shape, name string, set map[string]any) bool {
	for _, g := range fieldGroups(s.typ) {
		if g.rule != atLeastOne && slices.Contains(g.fields, name) {
			for _, other := range g.fields {
				if other != name && set[other] != nil {
					return true
				}
			}
		}
	}
	return false
}

// defaultValue is the default as JSON decodes it.
func (f *field) defaultValue() any {
	t := f.typ
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == durationType || t.Kind() == reflect.String {
		return f.def
	}
	return json.RawMessage(f.def)
}

// acceptsValue applies a field's rules to a resolved text.
func acceptsValue(v string, f *field) error {
	if len(f.enum) > 0 && v != "" && !slices.Contains(f.enum, v) {
		return fmt.Errorf("%q is none of %s", shorten(v, 60), strings.Join(f.enum, ", "))
	}
	name := f.check
	if item, ok := itemFormats[name]; ok {
		name = item
	}
	if rule, ok := formats[name]; ok && !hasExpression(v) {
		if v == "" && f.required && name != "pointer" {
			return fmt.Errorf("it must not be empty")
		}
		if v != "" {
			if err := rule.accepts(v); err != nil {
				return fmt.Errorf("it must be %s: %w", rule.says, err)
			}
		}
	}
	if strings.IndexByte(v, 0) >= 0 {
		return fmt.Errorf("it holds a NUL character")
	}
	return nil
}

// text replaces the expressions inside a text.
func (r *resolver) text(text string, f *field) (any, error) {
	segs, _, err := segments(text)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, s := range segs {
		m := secretReference.FindStringSubmatch(s.text)
		switch {
		case !s.expression:
			b.WriteString(s.text)
		case m != nil && f.secret:
			b.WriteString("${{ secrets." + m[1] + " }}")
		default:
			v, err := evaluate(s.text, r.scope)
			if err != nil {
				return nil, err
			}
			value, err := asText(v)
			if err != nil {
				return nil, err
			}
			if f.secret {
				value = protect(value)
			}
			b.WriteString(value)
		}
	}
	return b.String(), acceptsValue(b.String(), f)
}

// whole yields the value of a text that is one expression.
func (r *resolver) whole(text string, t reflect.Type) (any, error) {
	segs, _, err := segments(strings.TrimSpace(text))
	if err != nil {
		return nil, err
	}
	if len(segs) != 1 || !segs[0].expression {
		return nil, fmt.Errorf("it must be %s, not a text with an expression inside", typeName(t))
	}
	v, err := evaluate(segs[0].text, r.scope)
	if err != nil {
		return nil, err
	}
	v = normal(v)
	if v == nil || !fits(reflect.TypeOf(v).Kind(), false, t) {
		return nil, fmt.Errorf("the expression yields %v where %s is needed", v, typeName(t))
	}
	return v, nil
}

// complete fills in the defaults that depend on other values.
func complete(config Config, stage Stage, scope *Scope) (Config, error) {
	switch c := config.(type) {
	case Build:
		if c.Project == "" {
			c.Project = scope.Execution.Application + "-" + stage.Name
		}
		if c.Source == "" {
			c.Source = defaultSource(stage, scope)
		}
		return c, nil
	case Deploy:
		if c.Liveness == nil {
			health := c.Health
			c.Liveness = &health
		}
		if s := c.Strategy.Rolling; s != nil && (len(s.Steps) == 0 || s.Steps[len(s.Steps)-1] != 100) {
			s.Steps = append(s.Steps, 100)
		}
		if s := c.Strategy.Canary; s != nil && (len(s.Steps) == 0 || s.Steps[len(s.Steps)-1] != 100) {
			s.Steps = append(s.Steps, 100)
		}
		if c.Capacity.Min > c.Capacity.Desired || c.Capacity.Desired > c.Capacity.Max || c.Capacity.Min < 0 {
			return nil, problem.New(problem.Invalid, "pipeline.resolve", "stage %q: deploy.capacity: min %d ≤ desired %d ≤ max %d does not hold",
				stage.Name, c.Capacity.Min, c.Capacity.Desired, c.Capacity.Max)
		}
		return c, nil
	}
	return config, nil
}

// defaultSource is the artifact of the only stage in needs that made one, else
// the only one upstream; "" when there is none. Parse has refused what is ambiguous.
func defaultSource(stage Stage, scope *Scope) string {
	for _, names := range [][]string{stage.Needs, sortedKeys(scope.Artifacts)} {
		found := ""
		for _, n := range names {
			if _, ok := scope.Artifacts[n]; ok && !strings.Contains(n, ".") {
				if found != "" {
					return ""
				}
				found = n
			}
		}
		if found != "" {
			return found
		}
	}
	return ""
}

// EvalWhen answers whether a stage's condition holds; a stage without one runs.
// Errors: invalid.
func EvalWhen(stage Stage, scope Scope) (bool, error) {
	ok, err := condition(stage.When, &scope)
	if err != nil {
		return false, problem.Wrap(err, problem.Invalid, "pipeline.when", "stage %q: when", stage.Name)
	}
	return ok, nil
}

func condition(text string, scope *Scope) (bool, error) {
	if strings.TrimSpace(text) == "" {
		return true, nil
	}
	bare, _ := bareCondition(text)
	v, err := evaluate(bare, scope)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("the condition yields %v, which is neither true nor false", v)
	}
	return b, nil
}

func decodeDefault(raw string, into any) {
	if err := json.Unmarshal([]byte(raw), into); err != nil {
		panic(err) // a test decodes every default
	}
}
