package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Error is a template that CloudFormation refuses, in its words.
type Error struct{ Message string }

func (e *Error) Error() string { return e.Message }

func wrong(format string, args ...any) *Error { return &Error{fmt.Sprintf(format, args...)} }

func malformed(format string, args ...any) *Error {
	return wrong("Template format error: "+format, args...)
}

// mostNodes bounds the values of a template, aliases counted as often as they are
// used; deepest bounds how they are nested.
const (
	mostNodes = 200_000
	deepest   = 100
)

// reader makes values of a text, and remembers the order of names at the first two
// levels: resources are made and listed in it where nothing else says so.
type reader struct {
	nodes int
	order map[string][]string // section → its names
}

// read makes the value of a template's text.
func read(text string) (map[string]any, map[string][]string, error) {
	r := &reader{order: map[string][]string{}}
	var v any
	var err error
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		v, err = r.json(text)
	} else {
		v, err = r.yaml(text)
	}
	if err != nil {
		return nil, nil, err
	}
	root, ok := v.(map[string]any)
	if !ok {
		return nil, nil, malformed("unsupported structure.")
	}
	return root, r.order, nil
}

func (r *reader) count(depth int) error {
	if r.nodes++; r.nodes > mostNodes || depth > deepest {
		return malformed("the template is too large or nested too deeply")
	}
	return nil
}

func (r *reader) named(path []string, name string) {
	if len(path) == 1 {
		r.order[path[0]] = append(r.order[path[0]], name)
	}
}

// json reads with the decoder's tokens, which keep the order of names.
func (r *reader) json(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	v, err := r.jsonValue(d, nil)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("more than one value")
		}
	}
	var own *Error
	if err == nil || errors.As(err, &own) {
		return v, err
	}
	// The column is the one after the character that does not fit.
	at := min(int(d.InputOffset()), len(text))
	at += len(text[at:]) - len(strings.TrimLeft(text[at:], " \t\r\n"))
	at = min(at+1, len(text))
	line := 1 + strings.Count(text[:at], "\n")
	return nil, malformed("JSON not well-formed. (line %d, column %d)", line, at-strings.LastIndexByte(text[:at], '\n'))
}

func (r *reader) jsonValue(d *json.Decoder, path []string) (any, error) {
	if err := r.count(len(path)); err != nil {
		return nil, err
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := t.(json.Delim)
	if !ok {
		if t == nil {
			return nil, nil
		}
		return t, nil
	}
	if delim == '[' {
		list := []any{}
		for d.More() {
			e, err := r.jsonValue(d, append(path, "[]"))
			if err != nil {
				return nil, err
			}
			list = append(list, e)
		}
		_, err = d.Token()
		return list, err
	}
	out := map[string]any{}
	for d.More() {
		k, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := k.(string)
		if _, twice := out[name]; !twice {
			r.named(path, name)
		}
		if out[name], err = r.jsonValue(d, append(path[:len(path):len(path)], name)); err != nil {
			return nil, err
		}
	}
	_, err = d.Token()
	return out, err
}

func (r *reader) yaml(text string) (any, error) {
	var doc yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader([]byte(text))).Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, malformed("unsupported structure.")
		}
		return nil, malformed("YAML not well-formed. (%s)", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, malformed("unsupported structure.")
	}
	return r.node(doc.Content[0], nil)
}

// shortNames are the tags of YAML that stand for intrinsic functions.
var shortNames = map[string]string{
	"!Ref": "Ref", "!Condition": "Condition",
	"!GetAtt": "Fn::GetAtt", "!Sub": "Fn::Sub", "!Join": "Fn::Join", "!Select": "Fn::Select", "!Split": "Fn::Split", "!If": "Fn::If",
	"!Equals": "Fn::Equals", "!And": "Fn::And", "!Or": "Fn::Or", "!Not": "Fn::Not", "!FindInMap": "Fn::FindInMap", "!ImportValue": "Fn::ImportValue",
	"!Base64": "Fn::Base64", "!Cidr": "Fn::Cidr", "!GetAZs": "Fn::GetAZs", "!Transform": "Fn::Transform", "!Contains": "Fn::Contains",
	"!Length": "Fn::Length", "!ToJsonString": "Fn::ToJsonString", "!EachMemberIn": "Fn::EachMemberIn", "!EachMemberEquals": "Fn::EachMemberEquals",
	"!RefAll": "Fn::RefAll", "!ValueOf": "Fn::ValueOf", "!ValueOfAll": "Fn::ValueOfAll", "!ForEach": "Fn::ForEach",
}

func (r *reader) node(n *yaml.Node, path []string) (any, error) {
	if err := r.count(len(path)); err != nil {
		return nil, err
	}
	if n.Kind == yaml.AliasNode {
		return r.node(n.Alias, append(path, "*"))
	}
	v, err := r.plain(n, path)
	if err != nil {
		return nil, err
	}
	name, ok := shortNames[n.Tag]
	switch {
	case ok:
		if name == "Fn::GetAtt" {
			v = attributeOf(v)
		}
		return map[string]any{name: v}, nil
	case strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!"):
		return nil, malformed("the tag %s in line %d is not known", n.Tag, n.Line)
	}
	return v, nil
}

// attributeOf takes Resource.Attribute apart.
func attributeOf(v any) any {
	text, ok := v.(string)
	if !ok {
		return v
	}
	name, attribute, found := strings.Cut(text, ".")
	if !found {
		return v
	}
	return []any{name, attribute}
}

// plain is a node's value without its tag.
func (r *reader) plain(n *yaml.Node, path []string) (any, error) {
	switch n.Kind {
	case yaml.MappingNode:
		out := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode {
				return nil, malformed("a key in line %d is no text", key.Line)
			}
			if _, twice := out[key.Value]; twice {
				return nil, malformed("YAML not well-formed. (line %d: the key %s is there twice)", key.Line, key.Value)
			}
			r.named(path, key.Value)
			e, err := r.node(n.Content[i+1], append(path[:len(path):len(path)], key.Value))
			if err != nil {
				return nil, err
			}
			out[key.Value] = e
		}
		return out, nil
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, e := range n.Content {
			one, err := r.node(e, append(path, "[]"))
			if err != nil {
				return nil, err
			}
			list[i] = one
		}
		return list, nil
	}
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return n.Value, nil
	}
	if _, short := shortNames[n.Tag]; short {
		return n.Value, nil
	}
	return unquoted(n), nil
}

// unquoted is a scalar without quotes: numbers and booleans as JSON knows them,
// everything else, dates too, as text.
func unquoted(n *yaml.Node) any {
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		switch strings.ToLower(n.Value) {
		case "true", "yes", "on":
			return true
		case "false", "no", "off":
			return false
		}
	case "!!int", "!!float":
		if json.Valid([]byte(n.Value)) {
			return json.Number(n.Value)
		}
	}
	return n.Value
}
