package wire

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// Object is a structure by its members' names, for handlers that keep and return
// what they do not look at: as input, as output, and inside of others.
type Object map[string]any

// asObject is a value that is a structure; nil when it is none.
func asObject(v any) Object {
	switch x := v.(type) {
	case Object:
		return x
	case map[string]any:
		return x
	}
	return nil
}

// Has says whether a member is there.
func (o Object) Has(member string) bool { return o[member] != nil }

// Text is a member that is a string, empty when it is not there.
func (o Object) Text(member string) string {
	s, _ := o[member].(string)
	return s
}

// Number is a member that is a number, otherwise when it is not there.
func (o Object) Number(member string, otherwise int) int {
	switch n := o[member].(type) {
	case int64:
		return int(n)
	case int:
		return n
	case float64: // of a document that was kept as JSON
		return int(n)
	}
	return otherwise
}

// Is says whether a member is true.
func (o Object) Is(member string) bool {
	b, _ := o[member].(bool)
	return b
}

// Inner is a member that is a structure, nil when it is not there.
func (o Object) Inner(member string) Object { return asObject(o[member]) }

// Texts is a member that is a list of strings.
func (o Object) Texts(member string) []string {
	var out []string
	list, _ := o[member].([]any)
	for _, e := range list {
		if s, ok := e.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// Objects is a member that is a list of structures.
func (o Object) Objects(member string) []Object {
	var out []Object
	list, _ := o[member].([]any)
	for _, e := range list {
		if s := asObject(e); s != nil {
			out = append(out, s)
		}
	}
	return out
}

// With is a copy with the members of another; those that are nil or "" are left out.
func (o Object) With(more Object) Object {
	out := maps.Clone(o)
	if out == nil {
		out = Object{}
	}
	maps.Copy(out, more)
	maps.DeleteFunc(out, func(_ string, v any) bool { return v == nil || v == "" })
	return out
}

// Only is a copy with the named members alone.
func (o Object) Only(members ...string) Object {
	out := Object{}
	for _, m := range members {
		if v, ok := o[m]; ok {
			out[m] = v
		}
	}
	return out
}

// Clone is a copy of everything below it, as a document has it.
func (o Object) Clone() Object {
	raw, err := json.Marshal(o)
	out := Object{}
	if err != nil || json.Unmarshal(raw, &out) != nil {
		return Object{} // not reached: a model's values are plain data
	}
	return out
}

// List is values as a member has them.
func List[T any](values []T) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}

// Paging is how a service pages its lists.
type Paging struct {
	Token, Most, Next  string // members: where a list goes on, how many are wanted, and where the answer's list goes on
	Least, Greatest    int    // that may be wanted
	Otherwise          int    // entries of a page when nothing is wanted; 0: all
	BadToken, BadCount func(value string) error
}

// Cut is the part of a list, sorted by key, that a request wants, and the token of the rest.
func Cut[T any](p Paging, in Object, all []T, key func(T) string) ([]T, string, error) {
	after, ok := OpenToken(in.Text(p.Token))
	if !ok {
		return nil, "", p.BadToken(in.Text(p.Token))
	}
	most := in.Number(p.Most, 0)
	if in.Has(p.Most) && (most < p.Least || most > p.Greatest) {
		return nil, "", p.BadCount(strconv.Itoa(most))
	}
	if most == 0 {
		most = p.Otherwise
	}
	if after != "" {
		all = slices.DeleteFunc(slices.Clone(all), func(e T) bool { return key(e) <= after })
	}
	if most == 0 || len(all) <= most {
		return all, "", nil
	}
	return all[:most], Token(key(all[most-1])), nil
}
