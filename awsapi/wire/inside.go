package wire

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

type insideKey struct{}

// WithInside marks the context of a call that another service of this endpoint makes.
func WithInside(ctx context.Context) context.Context {
	return context.WithValue(ctx, insideKey{}, true)
}

// IsInside says whether another service of this endpoint calls: it may set tags
// whose keys begin with aws:, which clients may not.
func IsInside(ctx context.Context) bool {
	inside, _ := ctx.Value(insideKey{}).(bool)
	return inside
}

// Inside makes a request of a service that another service of this endpoint asks
// for, without bytes in between. Its values may be as templates write them: a
// number or a boolean as text, a single value where the model has a list. A member
// that the model does not have is an error, as nobody would notice it otherwise.
func Inside(service, operation string, in map[string]any) (*Request, error) {
	m, err := Load(service)
	if err != nil {
		return nil, err
	}
	o := m.Operations[operation]
	if o == nil {
		return nil, fmt.Errorf("%s has no operation %s", service, operation)
	}
	q := &Request{Protocol: Protocol(m.Metadata.Protocol), Service: service, Operation: operation, model: m, operation: o, Input: map[string]any{}}
	if o.Input == nil {
		return q, nil
	}
	v, err := m.coerce(m.of(o.Input), in, operation, 0)
	if err != nil {
		return nil, err
	}
	q.Input, _ = v.(map[string]any)
	return q, nil
}

// Values is an operation's output as the values that a client would read.
func (q *Request) Values(output any) (map[string]any, error) {
	if q.operation.Output == nil {
		return map[string]any{}, nil
	}
	return q.model.unbind(q.model.of(q.operation.Output), output)
}

// member is the member of a structure that a name of a template means: the same
// name in another case of its first letter is the same one.
func (s *Shape) member(name string) (string, bool) {
	if _, ok := s.Members[name]; ok {
		return name, true
	}
	at := slices.IndexFunc(s.order, func(m string) bool {
		return m[1:] == name[min(1, len(name)):] && strings.EqualFold(m[:1], name[:min(1, len(name))])
	})
	if at < 0 {
		return "", false
	}
	return s.order[at], true
}

// coerce gives a value of a template the type of its shape.
func (m *Model) coerce(shape *Shape, v any, path string, depth int) (any, error) {
	if depth > deepest {
		return nil, malformed("%s is nested too deeply", path)
	}
	wrong := func() error { return malformed("%s is no %s", path, shape.Type) }
	switch shape.Type {
	case "structure":
		o, ok := v.(map[string]any)
		if !ok {
			return nil, wrong()
		}
		out := map[string]any{}
		for name, e := range o {
			if e == nil {
				continue
			}
			member, ok := shape.member(name)
			if !ok {
				return nil, malformed("%s has no member %s", path, name)
			}
			one, err := m.coerce(m.of(shape.Members[member]), e, path+"."+name, depth+1)
			if err != nil {
				return nil, err
			}
			out[member] = one
		}
		return out, nil
	case "list":
		list := listOf(v)
		out := make([]any, len(list))
		for i, e := range list {
			one, err := m.coerce(m.of(shape.Member), e, path+"."+strconv.Itoa(i), depth+1)
			if err != nil {
				return nil, err
			}
			out[i] = one
		}
		return out, nil
	case "map":
		o, ok := v.(map[string]any)
		if !ok {
			return nil, wrong()
		}
		out := make(map[string]any, len(o))
		for k, e := range o {
			one, err := m.coerce(m.of(shape.Value), e, path+"."+k, depth+1)
			if err != nil {
				return nil, err
			}
			out[k] = one
		}
		return out, nil
	}
	if out, ok := scalar(shape, v); ok {
		return out, nil
	}
	return nil, wrong()
}

// listOf is a value as a list: slices of any kind are taken, a single value is a
// list of one.
func listOf(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Slice || r.Type().Elem().Kind() == reflect.Uint8 {
		return []any{v}
	}
	out := make([]any, r.Len())
	for i := range out {
		out[i] = r.Index(i).Interface()
	}
	return out
}

// scalar is a single value of the shape's type.
func scalar(shape *Shape, v any) (any, bool) {
	text, isText := asText(v)
	switch shape.Type {
	case "string", "character":
		if isText {
			return text, true
		}
		// A document where the API has text, such as a policy.
		b, err := json.Marshal(v)
		return string(b), err == nil
	case "boolean":
		if b, ok := v.(bool); ok {
			return b, true
		}
		b, err := strconv.ParseBool(strings.ToLower(text))
		return b, isText && err == nil
	case "integer", "long", "float", "double":
		return number(shape, json.Number(strings.TrimSpace(text)))
	case "blob":
		if b, ok := v.([]byte); ok {
			return b, true
		}
		b, err := base64.StdEncoding.DecodeString(text)
		return b, isText && err == nil
	case "timestamp":
		return parseTimeValue(v, text)
	}
	return nil, false
}

func parseTimeValue(v any, text string) (any, bool) {
	if reflect.TypeOf(v) == timeType {
		return v, true
	}
	t, ok := parseTime(text)
	return t, ok
}

// asText is a single value as a template's text; false for lists and maps.
func asText(v any) (string, bool) {
	switch x := v.(type) {
	case string:
		return x, true
	case json.Number:
		return x.String(), true
	case bool:
		return strconv.FormatBool(x), true
	case int:
		return strconv.Itoa(x), true
	case int64:
		return strconv.FormatInt(x, 10), true
	case float64:
		if x == math.Trunc(x) && math.Abs(x) < 1<<53 {
			return strconv.FormatInt(int64(x), 10), true
		}
		return strconv.FormatFloat(x, 'g', -1, 64), true
	}
	return "", false
}
