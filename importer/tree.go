package importer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"showrunner/problem"
)

// Bounds on a source document. Real documents are far smaller.
const (
	maxInput = 16 << 20
	maxDepth = 200
	maxNodes = 1_000_000
)

// object is a mapping in the order of its document.
type object struct {
	keys []string
	vals map[string]any
}

func newObject() *object { return &object{vals: map[string]any{}} }

func (o *object) set(key string, v any) {
	if _, ok := o.vals[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.vals[key] = v
}

// parse reads JSON or YAML (with CloudFormation's short tags) into nil, bool,
// json.Number, string, []any and *object.
func parse(name string, src []byte) (any, error) {
	if len(src) > maxInput {
		return nil, problem.New(problem.Invalid, "import", "%s: %d bytes, but at most %d are read", name, len(src), maxInput)
	}
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	trimmed := bytes.TrimSpace(src)
	if len(trimmed) == 0 {
		return nil, problem.New(problem.Invalid, "import", "%s:1:1: the document is empty", name)
	}
	if trimmed[0] == '{' || trimmed[0] == '[' {
		return parseJSON(name, src)
	}
	return parseYAML(name, src)
}

func parseJSON(name string, src []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(src))
	dec.UseNumber()
	v, err := jsonValue(dec, 0)
	if err == nil {
		if _, extra := dec.Token(); !errors.Is(extra, io.EOF) {
			err = errors.New("text after the document")
		}
	}
	if err != nil {
		at := dec.InputOffset()
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			at = syntax.Offset
			// A decoder's offset counts the invalid character, or ends before it.
			if at < int64(len(src)) && strings.HasPrefix(err.Error(), "invalid character "+strconv.QuoteRune(rune(src[at]))) {
				at++
			}
		}
		line, col := position(src, at)
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			err = errors.New("the document ends in the middle of a value")
		}
		return nil, problem.New(problem.Invalid, "import", "%s:%d:%d: not JSON: %v", name, line, col, err)
	}
	return v, nil
}

func jsonValue(dec *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '[' {
			list := []any{}
			for dec.More() {
				v, err := jsonValue(dec, depth+1)
				if err != nil {
					return nil, err
				}
				list = append(list, v)
			}
			_, err := dec.Token()
			return list, err
		}
		o := newObject()
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return nil, err
			}
			v, err := jsonValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			o.set(plain(key.(string)), v)
		}
		_, err := dec.Token()
		return o, err
	case string:
		return plain(t), nil
	}
	return token, nil
}

// plain removes the two control characters that mark references inside texts (see
// markReference).
func plain(s string) string {
	if !strings.ContainsAny(s, "\x01\x02") {
		return s
	}
	return strings.NewReplacer("\x01", "\uFFFD", "\x02", "\uFFFD").Replace(s)
}

// position turns a byte offset into line and column, both from 1.
func position(src []byte, offset int64) (line, col int) {
	offset = max(0, min(offset, int64(len(src))))
	before := src[:offset]
	line = 1 + bytes.Count(before, []byte("\n"))
	col = len(before) - (bytes.LastIndexByte(before, '\n') + 1)
	return line, max(1, col)
}

func parseYAML(name string, src []byte) (v any, err error) {
	// The library has panicked on hostile input before. A document must never end
	// the process that reads it.
	defer func() {
		if r := recover(); r != nil {
			v, err = nil, problem.New(problem.Invalid, "import", "%s: not YAML: %v", name, r)
		}
	}()
	var node yaml.Node
	if err := yaml.Load(src, &node, yaml.WithV4Defaults(), yaml.WithPlugin(loaderlimits.New(
		loaderlimits.DepthFunc(func(depth int, _ *loaderlimits.DepthContext) error {
			if depth > maxDepth {
				return fmt.Errorf("nested deeper than %d", maxDepth)
			}
			return nil
		}), loaderlimits.AliasNone()))); err != nil { // aliases are counted where they are used
		at := ""
		var load *yaml.LoadError
		if errors.As(err, &load) {
			at = fmt.Sprintf(":%d:%d", max(1, load.Mark.Line), max(1, load.Mark.Column))
		}
		return nil, problem.Wrap(err, problem.Invalid, "import", "%s%s: not YAML", name, at)
	}
	budget := maxNodes
	return yamlValue(name, &node, 0, &budget)
}

func yamlValue(name string, n *yaml.Node, depth int, budget *int) (any, error) {
	*budget--
	if depth > maxDepth || *budget < 0 {
		return nil, problem.New(problem.Invalid, "import", "%s:%d:%d: too deep or too large (aliases count each time they are used)", name, n.Line, n.Column)
	}
	v, err := yamlPlain(name, n, depth, budget)
	if err != nil {
		return nil, err
	}
	return longForm(n.Tag, v), nil
}

func yamlPlain(name string, n *yaml.Node, depth int, budget *int) (any, error) {
	switch n.Kind {
	case yaml.DocumentNode:
		if len(n.Content) == 0 {
			return nil, nil
		}
		return yamlValue(name, n.Content[0], depth+1, budget)
	case yaml.AliasNode:
		return yamlValue(name, n.Alias, depth+1, budget)
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			v, err := yamlValue(name, c, depth+1, budget)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case yaml.MappingNode:
		o := newObject()
		for i := 0; i+1 < len(n.Content); i += 2 {
			v, err := yamlValue(name, n.Content[i+1], depth+1, budget)
			if err != nil {
				return nil, err
			}
			o.set(plain(n.Content[i].Value), v)
		}
		return o, nil
	}
	if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
		return plain(n.Value), nil // the argument of a short form
	}
	switch n.ShortTag() {
	case "!!null":
		return nil, nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true"), nil
	case "!!int", "!!float":
		return json.Number(n.Value), nil
	}
	return plain(n.Value), nil
}

// longForm turns CloudFormation's short tags into the functions they stand for.
func longForm(tag string, v any) any {
	if !strings.HasPrefix(tag, "!") || strings.HasPrefix(tag, "!!") {
		return v
	}
	o := newObject()
	switch fn := tag[1:]; fn {
	case "":
		return v
	case "Ref", "Condition":
		o.set(fn, v)
	case "GetAtt":
		if s, ok := v.(string); ok {
			resource, attribute, _ := strings.Cut(s, ".")
			v = []any{resource, attribute}
		}
		o.set("Fn::GetAtt", v)
	default:
		o.set("Fn::"+strings.TrimPrefix(fn, "Fn::"), v)
	}
	return o
}
