package importer

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// template evaluates CloudFormation's intrinsic functions.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
type template struct {
	in         *input
	stack      string
	parameters *object
	mappings   *object
	conditions *object
	resources  *object
	decided    map[string]bool // conditions by name
	deciding   map[string]bool // those being decided, against cycles
	names      map[string]string
	// used collects the resources that an evaluation referred to.
	used map[string]bool
	// touched are the resources that the import used; sites are the buckets among
	// them that became sites.
	touched        map[string]bool
	sites          map[string]string
	parametersUsed map[string]bool
	origins        map[string]string // distribution → the site behind it, "" for none
}

// noValue is the value of Ref AWS::NoValue: the property is absent.
type noValue struct{}

// maxText bounds the size of a text that nested functions can produce.
const maxText = 1 << 20

// intrinsic recognises {"Ref": …}, {"Condition": "…"} and {"Fn::…": …}.
func intrinsic(v any) (fn string, arg any, ok bool) {
	o, is := v.(*object)
	if !is || len(o.keys) != 1 {
		return "", nil, false
	}
	fn = o.keys[0]
	if fn != "Ref" && !strings.HasPrefix(fn, "Fn::") {
		return "", nil, false
	}
	return fn, o.vals[fn], true
}

// eval resolves every function inside v. A function that cannot be resolved is
// noted under path, and becomes an empty text.
func (t *template) eval(v any, path string, depth int) any {
	if depth > maxDepth {
		t.in.note(Error, path, "functions", "nested too deeply")
		return ""
	}
	if fn, arg, ok := intrinsic(v); ok {
		out := t.call(fn, arg, pointer(path, fn), depth+1)
		if s, is := out.(string); is && len(s) > maxText {
			t.in.note(Error, path, fn, "the text it makes is longer than %d bytes", maxText)
			return ""
		}
		return out
	}
	switch e := v.(type) {
	case []any:
		out := make([]any, 0, len(e))
		for i, item := range e {
			if r := t.eval(item, path+"/"+strconv.Itoa(i), depth+1); r != (noValue{}) {
				out = append(out, r)
			}
		}
		return out
	case *object:
		out := newObject()
		for _, k := range e.keys {
			if r := t.eval(e.vals[k], pointer(path, k), depth+1); !isNoValue(r) {
				out.set(k, r)
			}
		}
		return out
	}
	return v
}

func isNoValue(v any) bool { _, ok := v.(noValue); return ok }

func (t *template) text(v any, path string, depth int) string {
	return scalar(t.eval(v, path, depth))
}

func (t *template) list(v any, path string, depth int) []any {
	r := t.eval(v, path, depth)
	if l, ok := r.([]any); ok {
		return l
	}
	if s, ok := r.(string); ok && strings.Contains(s, ",") { // a CommaDelimitedList
		var out []any
		for _, part := range strings.Split(s, ",") {
			out = append(out, strings.TrimSpace(part))
		}
		return out
	}
	if r == nil || isNoValue(r) {
		return nil
	}
	return []any{r}
}

func (t *template) call(fn string, arg any, path string, depth int) any {
	switch fn {
	case "Ref":
		return t.ref(scalar(arg), path)
	case "Fn::GetAtt":
		return t.getAtt(arg, path, depth)
	case "Fn::Join":
		args, ok := arg.([]any)
		if !ok || len(args) != 2 {
			return t.wrong(fn, path, "a delimiter and a list")
		}
		var parts []string
		size := 0
		for _, p := range t.list(args[1], path+"/1", depth) {
			parts = append(parts, scalar(p))
			if size += len(parts[len(parts)-1]); size > maxText {
				return t.wrong(fn, path, "a shorter list")
			}
		}
		return strings.Join(parts, scalar(args[0]))
	case "Fn::Sub":
		return t.sub(arg, path, depth)
	case "Fn::Select":
		args, ok := arg.([]any)
		if !ok || len(args) != 2 {
			return t.wrong(fn, path, "an index and a list")
		}
		i, err := strconv.Atoi(t.text(args[0], path+"/0", depth))
		list := t.list(args[1], path+"/1", depth)
		if err != nil || i < 0 || i >= len(list) {
			return t.wrong(fn, path, "an index within the list")
		}
		return list[i]
	case "Fn::Split":
		args, ok := arg.([]any)
		if !ok || len(args) != 2 || scalar(args[0]) == "" {
			return t.wrong(fn, path, "a delimiter and a text")
		}
		var out []any
		for _, part := range strings.Split(t.text(args[1], path+"/1", depth), scalar(args[0])) {
			out = append(out, part)
		}
		return out
	case "Fn::FindInMap":
		return t.findInMap(arg, path, depth)
	case "Fn::If":
		args, ok := arg.([]any)
		if !ok || len(args) != 3 {
			return t.wrong(fn, path, "a condition and two values")
		}
		branch := 2
		if t.condition(scalar(args[0]), path+"/0") {
			branch = 1
		}
		t.notTaken(args, path, 3-branch)
		return t.eval(args[branch], path+"/"+strconv.Itoa(branch), depth)
	case "Fn::Equals", "Fn::And", "Fn::Or", "Fn::Not":
		return t.holds(map[string]any{fn: arg}, path, depth)
	case "Fn::Base64":
		return base64.StdEncoding.EncodeToString([]byte(t.text(arg, path, depth)))
	case "Fn::GetAZs":
		region := t.text(arg, path, depth)
		if region == "" {
			region = t.pseudo("AWS::Region", path)
		}
		return []any{region + "a", region + "b", region + "c"}
	case "Fn::Length":
		return strconv.Itoa(len(t.list(arg, path, depth)))
	case "Fn::ToJsonString":
		return encode(t.eval(arg, path, depth))
	case "Fn::ImportValue":
		name := t.text(arg, path, depth)
		if v, ok := t.in.opts.Parameters[name]; ok {
			return v
		}
		t.in.note(Error, path, "import of "+unmark(name), "the value lives in another stack: give it with --parameter '%s=VALUE'", unmark(name))
		return ""
	}
	return t.wrong(fn, path, "a function that the importer knows")
}

func (t *template) wrong(fn, path, want string) any {
	t.in.note(Error, path, fn, "cannot be resolved: it needs %s", want)
	return ""
}

// Values of pseudo parameters that are not given.
const (
	defaultRegion  = "us-west-2" // the first of `showrunner up`
	defaultAccount = "000000000000"
)

// pseudo returns the value of a pseudo parameter. A value that was not given is
// made up, and noted where it is first used.
func (t *template) pseudo(name, path string) string {
	if v, ok := t.in.opts.Parameters[name]; ok {
		return v
	}
	value := ""
	switch name {
	case "AWS::Region":
		value = defaultRegion
	case "AWS::AccountId":
		value = defaultAccount
	case "AWS::Partition":
		value = "aws"
	case "AWS::URLSuffix":
		value = "amazonaws.com"
	case "AWS::StackName":
		value = t.stack
	case "AWS::StackId":
		return "arn:aws:cloudformation:" + t.pseudo("AWS::Region", path) + ":" + t.pseudo("AWS::AccountId", path) + ":stack/" + t.pseudo("AWS::StackName", path) + "/local"
	default:
		t.in.note(Error, path, "Ref "+name, "there is no such pseudo parameter: an empty text stands in its place")
		return ""
	}
	t.in.invent(path, name, value, "give it with --parameter "+name+"=VALUE")
	return value
}

func (t *template) ref(name, path string) any {
	switch {
	case name == "AWS::NoValue":
		return noValue{}
	case name == "AWS::NotificationARNs":
		return []any{}
	case strings.HasPrefix(name, "AWS::"):
		return t.pseudo(name, path)
	}
	if _, ok := t.parameters.vals[name]; ok {
		return t.parameter(name, path)
	}
	if _, ok := t.resources.vals[name]; ok {
		t.used[name] = true
		return t.name(name)
	}
	t.in.note(Error, path, "Ref "+name, "the template has no parameter or resource of that name")
	return ""
}

// parameter is the value of a template's parameter: the given one, the default, a
// secret, or a parameter that each execution asks for at its start.
func (t *template) parameter(name, path string) any {
	p, _ := t.parameters.vals[name].(*object)
	if p == nil {
		p = newObject()
	}
	kind := scalar(p.vals["Type"])
	given, ok := t.in.opts.Parameters[name]
	if strings.EqualFold(scalar(p.vals["NoEcho"]), "true") {
		return t.in.secret(name, "template parameter "+name+" (NoEcho)", path)
	}
	if !ok && strings.HasPrefix(kind, "AWS::SSM::Parameter::Value") {
		return t.in.secret(scalar(p.vals["Default"]), "SSM parameter "+scalar(p.vals["Default"]), path)
	}
	t.parametersUsed[name] = true
	if !ok {
		fallback, has := p.vals["Default"]
		if !has {
			t.in.openParameters[name] = true
			return markReference("parameters." + identifier(name))
		}
		given = scalar(fallback)
	}
	if strings.HasPrefix(kind, "List<") || kind == "CommaDelimitedList" {
		var out []any
		for _, part := range strings.Split(given, ",") {
			out = append(out, strings.TrimSpace(part))
		}
		return out
	}
	return given
}

func (t *template) getAtt(arg any, path string, depth int) any {
	var name, attribute string
	switch a := arg.(type) {
	case string:
		name, attribute, _ = strings.Cut(a, ".")
	case []any:
		if len(a) == 2 {
			name, attribute = scalar(a[0]), t.text(a[1], path+"/1", depth)
		}
	}
	resource, ok := t.resources.vals[name].(*object)
	if !ok {
		t.in.note(Error, path, "Fn::GetAtt "+name, "the template has no resource of that name")
		return ""
	}
	t.used[name] = true
	return t.attribute(name, scalar(resource.vals["Type"]), attribute, path)
}

func (t *template) sub(arg any, path string, depth int) any {
	text, vars := scalar(arg), newObject()
	if args, ok := arg.([]any); ok {
		if len(args) != 2 {
			return t.wrong("Fn::Sub", path, "a text, or a text and a mapping")
		}
		text = scalar(args[0])
		if o, ok := args[1].(*object); ok {
			vars = o
		}
	}
	size, known := 0, map[string]string{} // each value once: nested functions would repeat themselves without end
	out := subVariable.ReplaceAllStringFunc(text, func(m string) string {
		parts := subVariable.FindStringSubmatch(m)
		name := strings.TrimSpace(parts[2])
		if parts[1] == "!" {
			return "${" + parts[2] + "}"
		}
		value, seen := known[name]
		if seen {
			if size += len(value); size > maxText {
				return ""
			}
			return value
		}
		if v, ok := vars.vals[name]; ok {
			value = t.text(v, pointer(path+"/1", name), depth)
		} else if _, isParam := t.parameters.vals[name]; strings.Contains(name, ".") && !isParam {
			value = scalar(t.getAtt(name, path, depth))
		} else {
			value = scalar(t.ref(name, path))
		}
		known[name] = value
		if size += len(value); size > maxText {
			return ""
		}
		return value
	})
	if size > maxText {
		return t.wrong("Fn::Sub", path, "shorter values")
	}
	return out
}

func (t *template) findInMap(arg any, path string, depth int) any {
	args, ok := arg.([]any)
	if !ok || len(args) < 3 {
		return t.wrong("Fn::FindInMap", path, "a map and two keys")
	}
	var at any = t.mappings
	for i := range 3 {
		o, is := at.(*object)
		if !is {
			at = nil
			break
		}
		at = o.vals[t.text(args[i], fmt.Sprintf("%s/%d", path, i), depth)]
	}
	if at == nil && len(args) > 3 {
		if o, is := args[3].(*object); is {
			if v, has := o.vals["DefaultValue"]; has {
				return t.eval(v, path+"/3/DefaultValue", depth)
			}
		}
	}
	if at == nil {
		return t.wrong("Fn::FindInMap", path, "keys that the map has (for "+t.pseudo("AWS::Region", path)+")")
	}
	return t.eval(at, path, depth)
}
