package toolkit

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"regexp"
	"strings"

	"showrunner/chaos/document"

	"github.com/theory/jsonpath"
)

// tolerance decides whether a probe's output is what the hypothesis expects.
type tolerance interface {
	// met answers why the output is outside of it, and "" when it is within.
	met(ctx context.Context, run *runner, output any) string
}

func (r *reader) tolerance(t any, place string) tolerance {
	switch x := t.(type) {
	case []any:
		if len(x) == 0 {
			r.problem(place, "two numbers are a range, more are the values that it may have", "an empty list is no tolerance")
		}
		return listed(x)
	case map[string]any:
		return r.typedTolerance(x, place)
	case nil:
		r.problem(place, "such as 200 for a status, or true", "the tolerance is empty")
		return nil
	}
	return equal{t}
}

func (r *reader) typedTolerance(m map[string]any, place string) tolerance {
	target, _ := m["target"].(string)
	switch kind := m["type"]; kind {
	case "probe":
		r.text(m, place, "name")
		return &asked{r.provider(m, place)}
	case "regex":
		pattern := r.text(m, place, "pattern")
		if _, err := regexp.Compile(pattern); err != nil && !variable.MatchString(pattern) {
			r.problem(document.Member(place, "pattern"), "look-ahead, look-behind and back references are not read", "%v", err)
		}
		return matched{pattern, target}
	case "jsonpath":
		path := strings.TrimSpace(r.text(m, place, "path"))
		if path != "" && !variable.MatchString(path) {
			if _, err := jsonpath.Parse(path); err != nil {
				r.problem(document.Member(place, "path"), "paths are read as RFC 9535 has them", "%v", err)
			}
		}
		p := selected{path: path, target: target}
		p.expect, p.expects = m["expect"]
		if n, given := m["count"]; given {
			count, ok := number(n)
			if !ok {
				r.problem(document.Member(place, "count"), "", "count must be a number")
			}
			p.count, p.counts = int(count), true
		}
		return p
	case "range":
		bounds := r.list(m, place, "range")
		if len(bounds) != 2 {
			r.problem(document.Member(place, "range"), "", "a range has two numbers")
			return nil
		}
		low, ok := number(bounds[0])
		high, too := number(bounds[1])
		if !ok || !too {
			r.problem(document.Member(place, "range"), "", "a range has two numbers")
		}
		return between{low, high, target}
	default:
		r.problem(document.Member(place, "type"), "probe, regex, jsonpath or range", "there is no tolerance of type %v", kind)
		return nil
	}
}

// status is the field of an output that numbers and lists are held against.
func status(output any) (any, bool) {
	m, ok := output.(map[string]any)
	if !ok {
		return nil, false
	}
	v, ok := m["status"]
	return v, ok
}

type equal struct{ want any }

func (t equal) met(_ context.Context, run *runner, output any) string {
	want := t.want
	if s, ok := want.(string); ok {
		want = run.values.substitute(s)
	}
	if _, isNumber := number(want); isNumber {
		if s, ok := status(output); ok {
			output = s
		}
	}
	if same(want, output) {
		return ""
	}
	return fmt.Sprintf("%s, not %s", short(output), short(want))
}

type listed []any

// met: for an output with a status, two values are a choice, not a range.
func (t listed) met(_ context.Context, run *runner, output any) string {
	list, _ := run.values.substitute([]any(t)).([]any)
	s, choice := status(output)
	if choice {
		output = s
	}
	if len(list) == 2 && !choice {
		low, ok := number(list[0])
		high, too := number(list[1])
		if n, is := number(output); is && ok && too {
			if low <= n && n <= high {
				return ""
			}
			return fmt.Sprintf("%s, not from %s to %s", short(output), short(list[0]), short(list[1]))
		}
		if text, is := output.(string); is { // texts have an order too
			low, ok := list[0].(string)
			high, too := list[1].(string)
			if ok && too && low <= text && text <= high {
				return ""
			}
		}
		return fmt.Sprintf("%s, not from %s to %s", short(output), short(list[0]), short(list[1]))
	}
	for _, want := range list {
		if same(want, output) {
			return ""
		}
	}
	return fmt.Sprintf("%s, not one of %s", short(output), short(list))
}

type asked struct{ provider provider }

// met: the probe gets the output as its argument "value".
func (t *asked) met(ctx context.Context, run *runner, output any) string {
	answer, err := t.provider.call(ctx, run, map[string]any{"value": output})
	switch {
	case err != nil:
		return "the tolerance's probe failed: " + err.Error()
	case !truth(answer):
		return fmt.Sprintf("%s: the tolerance's probe answered %s", short(output), short(answer))
	}
	return ""
}

type matched struct{ pattern, target string }

func (t matched) met(_ context.Context, run *runner, output any) string {
	rx, err := regexp.Compile(run.values.text(t.pattern))
	if err != nil {
		return err.Error()
	}
	text, ok := targeted(output, t.target).(string)
	if !ok {
		return fmt.Sprintf("%s is no text for a pattern", short(targeted(output, t.target)))
	}
	if !rx.MatchString(text) {
		return fmt.Sprintf("%s does not match %s", short(text), rx)
	}
	return ""
}

type selected struct {
	path, target string
	expect       any
	expects      bool
	count        int
	counts       bool
}

func (t selected) met(_ context.Context, run *runner, output any) string {
	path, err := jsonpath.Parse(run.values.text(t.path))
	if err != nil {
		return err.Error()
	}
	value := targeted(output, t.target)
	if text, ok := value.(string); ok {
		var v any
		if json.Unmarshal([]byte(text), &v) == nil {
			value = whole(v)
		}
	}
	found := []any(path.Select(value))
	switch want, list := t.expect.([]any); {
	case t.expects && !list:
		want = []any{t.expect}
		fallthrough
	case t.expects:
		want, _ := run.values.substitute(want).([]any)
		if !same(want, found) {
			return fmt.Sprintf("%s has %s, not %s", t.path, short(found), short(want))
		}
	case t.counts:
		if len(found) != t.count {
			return fmt.Sprintf("%s has %d values, not %d", t.path, len(found), t.count)
		}
	case len(found) == 0:
		return t.path + " has no value"
	}
	return ""
}

type between struct {
	low, high float64
	target    string
}

func (t between) met(_ context.Context, _ *runner, output any) string {
	value := targeted(output, t.target)
	n, ok := number(value)
	if text, is := value.(string); is {
		var f *big.Float
		f, _, err := big.ParseFloat(strings.TrimSpace(text), 10, 64, big.ToNearestEven)
		if ok = err == nil; ok {
			n, _ = f.Float64()
		}
	}
	if !ok {
		return short(value) + " is no number"
	}
	if n < t.low || n > t.high {
		return fmt.Sprintf("%v, not from %v to %v", short(value), t.low, t.high)
	}
	return ""
}

// targeted is the field that a tolerance names, or the output itself.
func targeted(output any, target string) any {
	if m, ok := output.(map[string]any); ok && target != "" {
		if v, there := m[target]; there {
			return v
		}
	}
	return output
}

// same compares as Python does: 1 is 1.0 and true.
func same(a, b any) bool {
	if x, ok := numeric(a); ok {
		y, ok := numeric(b)
		return ok && x == y
	}
	if x, ok := a.([]any); ok {
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !same(x[i], y[i]) {
				return false
			}
		}
		return true
	}
	if x, ok := a.(map[string]any); ok {
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k := range x {
			if v, there := y[k]; !there || !same(x[k], v) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}

func numeric(v any) (float64, bool) {
	if b, ok := v.(bool); ok {
		if b {
			return 1, true
		}
		return 0, true
	}
	return number(v)
}

// truth is what Python takes for true.
func truth(v any) bool {
	switch t := v.(type) {
	case nil:
		return false
	case string:
		return t != ""
	case []any:
		return len(t) > 0
	case map[string]any:
		return len(t) > 0
	}
	n, ok := numeric(v)
	return !ok || n != 0
}

// short is a value for a message.
func short(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	const most = 200
	if len(text) > most {
		return strings.ToValidUTF8(string(text[:most]), "") + "…"
	}
	return string(text)
}
