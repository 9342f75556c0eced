package wire

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// query reads the form of the protocols query and ec2 into a structure's members.
type query struct {
	model *Model
	ec2   bool
	form  url.Values
	names []string // the form's, sorted
}

func newQuery(m *Model, form url.Values) *query {
	q := &query{model: m, ec2: m.Metadata.Protocol == "ec2", form: form}
	for name := range form {
		q.names = append(q.names, name)
	}
	slices.Sort(q.names)
	return q
}

// input is the value of an operation's input.
func (q *query) input(o *Operation) (map[string]any, error) {
	if o.Input == nil {
		return map[string]any{}, nil
	}
	v, err := q.structure(q.model.of(o.Input), "", 0)
	if v == nil {
		v = map[string]any{}
	}
	return v, err
}

// deepest bounds the nesting of any value that is read.
const deepest = 64

func (q *query) structure(shape *Shape, prefix string, depth int) (map[string]any, error) {
	if depth > deepest {
		return nil, malformed("the request is nested too deeply")
	}
	var out map[string]any
	for _, name := range shape.order {
		ref := shape.Members[name]
		v, err := q.value(ref, prefix+q.name(name, ref), depth)
		if err != nil {
			return nil, err
		}
		if v != nil {
			if out == nil {
				out = map[string]any{}
			}
			out[name] = v
		}
	}
	return out, nil
}

// name is a member's in the form.
func (q *query) name(member string, ref *Ref) string {
	switch {
	case q.ec2 && ref.QueryName != "":
		return ref.QueryName
	case ref.LocationName == "":
		return member
	case q.ec2:
		return string(unicode.ToUpper(rune(ref.LocationName[0]))) + ref.LocationName[1:]
	}
	return ref.LocationName
}

// below says whether the form has anything of a value.
func (q *query) below(path string) bool {
	if _, found := slices.BinarySearch(q.names, path); found {
		return true
	}
	at, _ := slices.BinarySearch(q.names, path+".")
	return at < len(q.names) && strings.HasPrefix(q.names[at], path+".")
}

func (q *query) value(ref *Ref, path string, depth int) (any, error) {
	if !q.below(path) {
		return nil, nil
	}
	shape := q.model.of(ref)
	switch shape.Type {
	case "structure":
		v, err := q.structure(shape, path+".", depth+1)
		if v == nil && err == nil {
			return nil, nil
		}
		return v, err
	case "list":
		return q.list(shape, path, depth)
	case "map":
		return q.mapping(shape, path, depth)
	}
	if !q.form.Has(path) {
		return nil, nil
	}
	return q.model.text(ref, q.form.Get(path), path)
}

func (q *query) list(shape *Shape, path string, depth int) (any, error) {
	if depth > deepest {
		return nil, malformed("the request is nested too deeply")
	}
	prefix := path + "."
	switch {
	case q.ec2:
	case shape.Flattened:
		if shape.Member.LocationName != "" {
			at := strings.LastIndexByte(path, '.')
			prefix = path[:at+1] + shape.Member.LocationName + "."
		}
	case shape.Member.LocationName != "":
		prefix += shape.Member.LocationName + "."
	default:
		prefix += "member."
	}
	out := []any{}
	for _, n := range q.indices(prefix) {
		v, err := q.value(shape.Member, prefix+n, depth+1)
		if err != nil {
			return nil, err
		}
		if v == nil { // an element without anything that the model knows
			v = empty(q.model.of(shape.Member))
		}
		out = append(out, v)
	}
	return out, nil
}

// empty is an element of a list of which nothing was understood.
func empty(shape *Shape) any {
	switch shape.Type {
	case "structure", "map":
		return map[string]any{}
	case "list":
		return []any{}
	}
	return ""
}

// indices are the numbers that follow a prefix, in their order.
func (q *query) indices(prefix string) []string {
	at, _ := slices.BinarySearch(q.names, prefix)
	var numbers []int
	for ; at < len(q.names) && strings.HasPrefix(q.names[at], prefix); at++ {
		text, _, _ := strings.Cut(q.names[at][len(prefix):], ".")
		if n, err := strconv.Atoi(text); err == nil && n >= 0 && strconv.Itoa(n) == text && !slices.Contains(numbers[max(0, len(numbers)-1):], n) {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	out := make([]string, len(numbers))
	for i, n := range numbers {
		out[i] = strconv.Itoa(n)
	}
	return out
}

func (q *query) mapping(shape *Shape, path string, depth int) (any, error) {
	prefix, key, value := path+".", "key", "value"
	if !shape.Flattened {
		prefix += "entry."
	}
	if shape.Key.LocationName != "" {
		key = shape.Key.LocationName
	}
	if shape.Value.LocationName != "" {
		value = shape.Value.LocationName
	}
	out := map[string]any{}
	for _, n := range q.indices(prefix) {
		v, err := q.value(shape.Value, prefix+n+"."+value, depth+1)
		if err != nil {
			return nil, err
		}
		if v == nil {
			v = empty(q.model.of(shape.Value))
		}
		out[q.form.Get(prefix+n+"."+key)] = v
	}
	return out, nil
}
