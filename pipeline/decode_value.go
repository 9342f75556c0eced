package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// value decodes a node of a field into dst, of type t, and returns its
// canonical JSON, nil after an error. Where an expression stands for a value
// that is no string, dst stays zero and only the JSON holds the expression.
func (d *decoder) value(n *yaml.Node, f *field, t reflect.Type, dst reflect.Value) json.RawMessage {
	if d.stopped {
		return nil
	}
	if t.Kind() != reflect.String && n.Kind == yaml.ScalarNode && n.Tag == "!!str" && hasExpression(n.Value) {
		return d.wholeExpression(n, f, t)
	}
	switch {
	case t == durationType:
		return d.duration(n, f, dst)
	case t == emptyType:
		return d.empty(n)
	}
	switch t.Kind() {
	case reflect.Pointer:
		p := reflect.New(t.Elem())
		raw := d.value(n, f, t.Elem(), p.Elem())
		if raw != nil || t.Elem().Kind() == reflect.Struct {
			dst.Set(p)
		}
		return raw
	case reflect.Struct:
		return d.object(n, shapeOf(t), dst)
	case reflect.Slice:
		return d.list(n, f, t, dst)
	case reflect.Map:
		return d.mapping(n, f, dst)
	case reflect.Bool:
		return d.boolean(n, dst)
	case reflect.Int, reflect.Float64:
		return d.number(n, f, t, dst)
	default:
		return d.text(n, f, dst)
	}
}

func (d *decoder) empty(n *yaml.Node) json.RawMessage {
	if !isNull(n) && (n.Kind != yaml.MappingNode || len(n.Content) > 0) {
		d.report(n, CodeType, "%s has no settings; write {}", d.subject())
		return nil
	}
	return json.RawMessage("{}")
}

func (d *decoder) list(n *yaml.Node, f *field, t reflect.Type, dst reflect.Value) json.RawMessage {
	if n.Kind == yaml.ScalarNode && f.one {
		n = &yaml.Node{Kind: yaml.SequenceNode, Line: n.Line, Column: n.Column, Content: []*yaml.Node{n}}
	}
	if n.Kind != yaml.SequenceNode {
		d.reportWith(n, Diagnostic{Code: CodeType, Help: listFor(n, f, t), Message: fmt.Sprintf("%s must be a list, not %s", d.subject(), describe(n))})
		return nil
	}
	if t.Elem().Kind() == reflect.Struct && len(n.Content) > maxItems {
		d.report(n, CodeTooMany, "%s has %d items; at most %d are allowed", d.subject(), len(n.Content), maxItems)
		return nil
	}
	out := reflect.MakeSlice(t, 0, len(n.Content))
	var b bytes.Buffer
	b.WriteByte('[')
	for i, item := range n.Content {
		item = d.follow(item)
		if d.stopped {
			return nil
		}
		v := reflect.New(t.Elem()).Elem()
		d.path = append(d.path, strconv.Itoa(i+1))
		raw := d.value(item, f, t.Elem(), v)
		d.path = d.path[:len(d.path)-1]
		if raw == nil {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.Write(raw)
		out = reflect.Append(out, v)
	}
	b.WriteByte(']')
	dst.Set(out)
	d.checkList(n, f, out)
	d.checkCommand(n, f)
	return b.Bytes()
}

func quoteForFlow(s string) string {
	if strings.ContainsAny(s, ",[]{}:#&*!|>'\"%@`") {
		return strconv.Quote(s)
	}
	return s
}

// mapping decodes a map of strings.
func (d *decoder) mapping(n *yaml.Node, f *field, dst reflect.Value) json.RawMessage {
	if n.Kind != yaml.MappingNode {
		d.reportWith(n, Diagnostic{Code: CodeType, Help: mapFor(n), Message: fmt.Sprintf("%s must be a mapping of names to values, not %s", d.subject(), describe(n))})
		return nil
	}
	out := map[string]string{}
	for _, m := range d.members(n) {
		d.path = append(d.path, m.name)
		d.checkKey(m.key, f)
		var v string
		if isNull(m.value) {
			d.report(m.value, CodeType, "%s must be a text, not nothing; write \"\" for an empty one", d.subject())
		} else if d.text(m.value, f, reflect.ValueOf(&v).Elem()) != nil {
			out[m.name] = v
		}
		d.path = d.path[:len(d.path)-1]
	}
	dst.Set(reflect.ValueOf(out))
	var b bytes.Buffer
	b.WriteByte('{')
	for i, k := range slices.Sorted(maps.Keys(out)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(encodeString(k))
		b.WriteByte(':')
		b.Write(encodeString(out[k]))
	}
	b.WriteByte('}')
	return b.Bytes()
}

func (d *decoder) boolean(n *yaml.Node, dst reflect.Value) json.RawMessage {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		suggestion := ""
		if n.Kind == yaml.ScalarNode {
			switch strings.ToLower(n.Value) {
			case "yes", "on", "y", "true", "1":
				suggestion = "true"
			case "no", "off", "n", "false", "0":
				suggestion = "false"
			}
		}
		d.reportWith(n, Diagnostic{Code: CodeType, Suggestion: suggestion,
			Message: fmt.Sprintf("%s must be true or false, not %s", d.subject(), describe(n))})
		return nil
	}
	v := strings.EqualFold(n.Value, "true")
	dst.SetBool(v)
	return json.RawMessage(strconv.FormatBool(v))
}

func (d *decoder) number(n *yaml.Node, f *field, t reflect.Type, dst reflect.Value) json.RawMessage {
	whole := t.Kind() == reflect.Int
	what := "a number"
	if whole {
		what = "a whole number"
	}
	bad := func() json.RawMessage {
		d.reportWith(n, Diagnostic{Code: CodeType, Help: numberFor(n), Message: fmt.Sprintf("%s must be %s, not %s", d.subject(), what, describe(n))})
		return nil
	}
	if n.Kind != yaml.ScalarNode {
		return bad()
	}
	var v float64
	switch n.Tag {
	case "!!int":
		i, err := strconv.ParseInt(strings.ReplaceAll(n.Value, "_", ""), 0, 64)
		if err != nil || i > 1<<53 || i < -1<<53 {
			d.report(n, CodeValue, "%s is out of range", d.subject())
			return nil
		}
		v = float64(i)
	case "!!float":
		var err error
		v, err = strconv.ParseFloat(strings.ReplaceAll(n.Value, "_", ""), 64)
		if err != nil || whole || math.IsInf(v, 0) || math.IsNaN(v) {
			return bad()
		}
	default:
		return bad()
	}
	d.checkBounds(n, f, v, strconv.FormatFloat(v, 'f', -1, 64))
	if whole {
		dst.SetInt(int64(v))
		return json.RawMessage(strconv.FormatInt(int64(v), 10))
	}
	dst.SetFloat(v)
	raw, err := json.Marshal(v)
	if err != nil {
		return bad()
	}
	return raw
}

func (d *decoder) duration(n *yaml.Node, f *field, dst reflect.Value) json.RawMessage {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" && n.Value != "0" {
		diag := Diagnostic{Code: CodeType, Message: fmt.Sprintf("%s must be a duration such as 30s or 1h30m, not %s", d.subject(), describe(n))}
		if n.Kind == yaml.ScalarNode {
			diag.Suggestion, diag.Help = durationFor(n)
		}
		d.reportWith(n, diag)
		return nil
	}
	v, err := ParseDuration(n.Value)
	if err != nil {
		suggestion, help := durationFor(n)
		d.reportWith(n, Diagnostic{Code: CodeType, Suggestion: suggestion, Help: help, Message: fmt.Sprintf("%s: %v", d.subject(), err)})
		return nil
	}
	if v < 0 {
		d.report(n, CodeValue, "%s must not be negative", d.subject())
		return nil
	}
	if f.min != nil && float64(v) < *f.min {
		d.report(n, CodeValue, "%s must be at least %s, not %s", d.subject(), Duration(*f.min), v)
	}
	if f.max != nil && float64(v) > *f.max {
		d.report(n, CodeValue, "%s must be at most %s, not %s", d.subject(), Duration(*f.max), v)
	}
	dst.SetInt(int64(v))
	return encodeString(v.String())
}

// text decodes a string. Numbers and truth values stand for their own text, so
// that `PORT: 8080` means what it says.
func (d *decoder) text(n *yaml.Node, f *field, dst reflect.Value) json.RawMessage {
	if n.Kind != yaml.ScalarNode || !slices.Contains([]string{"!!str", "!!int", "!!float", "!!bool", "!!timestamp"}, n.Tag) {
		d.reportWith(n, Diagnostic{Code: CodeType, Help: textInstead(n), Message: fmt.Sprintf("%s must be a text, not %s", d.subject(), describe(n))})
		return nil
	}
	d.otherQuotes(n)
	if strings.IndexByte(n.Value, 0) >= 0 {
		d.report(n, CodeValue, "%s holds a NUL character", d.subject())
		return nil
	}
	dst.SetString(n.Value)
	switch {
	case f.cond: // an expression as a whole: condition() reads it
	case hasExpression(n.Value):
		d.interpolation(n, f)
	default:
		d.checkText(n, f)
	}
	return encodeString(n.Value)
}

func (d *decoder) checkBounds(n *yaml.Node, f *field, v float64, shown string) {
	switch {
	case f.min != nil && v < *f.min:
		d.report(n, CodeValue, "%s must be at least %v, not %s", d.subject(), *f.min, shown)
	case f.max != nil && v > *f.max:
		d.report(n, CodeValue, "%s must be at most %v, not %s", d.subject(), *f.max, shown)
	}
}

// encodeString is json.Marshal without the escapes that only HTML needs.
func encodeString(s string) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // strings always encode
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
