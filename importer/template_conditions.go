package importer

import (
	"strconv"
	"strings"
)

// condition evaluates a condition by its name.
func (t *template) condition(name, path string) bool {
	if v, ok := t.decided[name]; ok {
		return v
	}
	raw, ok := t.conditions.vals[name]
	if !ok || t.deciding[name] {
		t.in.note(Error, path, "condition "+name, "the template does not define it, or it depends on itself: taken as false")
		return false
	}
	t.deciding[name] = true
	v := t.holds(raw, pointer("/Conditions", name), 0)
	delete(t.deciding, name)
	t.decided[name] = v
	return v
}

// notTaken notes the branch of an Fn::If that its condition leaves out, with
// everything in it. The severity is higher when a part of the pipeline is left
// out than when one value replaces another.
func (t *template) notTaken(args []any, path string, branch int) {
	if fn, arg, ok := intrinsic(args[branch]); args[branch] == nil || t.in.comparing || ok && fn == "Ref" && arg == "AWS::NoValue" {
		return
	}
	severity := Info
	if _, is := args[branch].(*object); is {
		if _, _, function := intrinsic(args[branch]); !function {
			severity = Warning
		}
	}
	other := cursor{in: t.in, path: path + "/" + strconv.Itoa(branch), raw: args[branch]}
	other.leave(severity, "Fn::If "+scalar(args[0]), "the condition leaves it out, with the parameters as they are; --parameter gives others")
}

// holds evaluates a condition's expression.
func (t *template) holds(v any, path string, depth int) bool {
	if depth > maxDepth {
		return false
	}
	var fn string
	var arg any
	switch e := v.(type) {
	case *object:
		if len(e.keys) == 1 {
			fn, arg = e.keys[0], e.vals[e.keys[0]]
		}
	case map[string]any:
		for k, a := range e {
			fn, arg = k, a
		}
	}
	args, _ := arg.([]any)
	switch fn {
	case "Condition":
		return t.condition(scalar(arg), path)
	case "Fn::Equals":
		return len(args) == 2 && t.text(args[0], path+"/0", depth+1) == t.text(args[1], path+"/1", depth+1)
	case "Fn::Not":
		return len(args) == 1 && !t.holds(args[0], path+"/0", depth+1)
	case "Fn::And", "Fn::Or":
		for i, a := range args {
			if t.holds(a, path+"/"+strconv.Itoa(i), depth+1) == (fn == "Fn::Or") {
				return fn == "Fn::Or"
			}
		}
		return fn == "Fn::And"
	}
	return strings.EqualFold(scalar(t.eval(v, path, depth+1)), "true")
}
