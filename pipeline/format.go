package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"

	"showrunner/problem"
)

// flowWidth is how long a mapping or list may be on one line.
const flowWidth = 72

// Format writes a document as canonical YAML: the fields in the order of the
// language, defaults left out, short values on one line. Parse reads back an
// equal document, provided that Parse would accept doc.
func Format(doc *Document) ([]byte, error) {
	pipelines := mappingNode()
	for _, p := range doc.Pipelines {
		n, err := formatPipeline(p)
		if err != nil {
			return nil, err
		}
		put(pipelines, p.Name, n)
	}
	root := mappingNode()
	put(root, "application", stringNode(doc.Application))
	if doc.Chaos != nil {
		put(root, "chaos", chaosNode(doc.Chaos))
	}
	put(root, "pipelines", pipelines)
	return dump(root, doc.Application)
}

// FormatChaos writes an application's block of Chaos Monkey as canonical YAML: what
// ParseChaos reads.
func FormatChaos(application string, c *Chaos) ([]byte, error) {
	root := mappingNode()
	put(root, "application", stringNode(application))
	put(root, "chaos", chaosNode(c))
	return dump(root, application)
}

func dump(root *yaml.Node, application string) ([]byte, error) {
	var b bytes.Buffer
	dumper, err := yaml.NewDumper(&b, yaml.WithV4Defaults(), yaml.WithIndent(2), yaml.WithLineWidth(-1))
	if err == nil {
		err = dumper.Dump(root)
	}
	if err == nil {
		err = dumper.Close()
	}
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "pipeline.format", "application %q", application)
	}
	return b.Bytes(), nil
}

// chaosNode renders the block of Chaos Monkey; short lists stand on one line.
func chaosNode(c *Chaos) *yaml.Node {
	n := structNode(reflect.ValueOf(*c))
	for _, value := range n.Content {
		compact(value)
	}
	return n
}

func formatPipeline(p Pipeline) (*yaml.Node, error) {
	n := mappingNode()
	if p.Description != "" {
		put(n, "description", stringNode(p.Description))
	}
	if len(p.Triggers) > 0 {
		triggers := &yaml.Node{Kind: yaml.SequenceNode}
		for _, t := range p.Triggers {
			triggers.Content = append(triggers.Content, compact(structNode(reflect.ValueOf(t))))
		}
		put(n, "triggers", triggers)
	}
	if p.Concurrency != "" && p.Concurrency != Queue {
		put(n, "concurrency", stringNode(string(p.Concurrency)))
	}
	if len(p.Notify) > 0 {
		channels := &yaml.Node{Kind: yaml.SequenceNode}
		for _, c := range p.Notify {
			channels.Content = append(channels.Content, compact(structNode(reflect.ValueOf(c))))
		}
		put(n, "notify", channels)
	}
	if len(p.Parameters) > 0 {
		parameters := mappingNode()
		for _, v := range p.Parameters {
			name := v.Name
			v.Name = ""
			put(parameters, name, compact(without(structNode(reflect.ValueOf(v)), "name")))
		}
		put(n, "parameters", parameters)
	}
	stages := mappingNode()
	for _, s := range p.Stages {
		stage, err := formatStage(s)
		if err != nil {
			return nil, err
		}
		put(stages, s.Name, stage)
	}
	put(n, "stages", stages)
	return n, nil
}

func formatStage(s Stage) (*yaml.Node, error) {
	kind, with := s.Kind, s.With
	if s.OnFailure == Halt {
		s.OnFailure = ""
	}
	s.With = nil
	n := without(structNode(reflect.ValueOf(s)), "name", "kind", "with")
	config := mappingNode()
	if len(with) > 0 {
		var err error
		if config, err = jsonNode(with); err != nil {
			return nil, problem.Wrap(err, problem.Invalid, "pipeline.format", "stage %q: its configuration", s.Name)
		}
	}
	put(n, kind, compact(config))
	return compact(n), nil
}

// structNode renders a struct of the language, leaving out what is empty.
func structNode(v reflect.Value) *yaml.Node {
	n := mappingNode()
	for _, f := range shapeOf(v.Type()).fields {
		fv := v.Field(f.index)
		if f.required || !isEmpty(fv) {
			put(n, f.name, valueNode(fv))
		}
	}
	return n
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	}
	return v.IsZero()
}

func valueNode(v reflect.Value) *yaml.Node {
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil():
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	case v.Kind() == reflect.Pointer:
		return valueNode(v.Elem())
	case v.Type() == durationType:
		return stringNode(Duration(v.Int()).String())
	case v.Kind() == reflect.Struct:
		return structNode(v)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			n.Content = append(n.Content, valueNode(v.Index(i)))
		}
		return n
	}
	raw, err := json.Marshal(v.Interface())
	if err != nil {
		panic(err) // scalars and maps of strings always marshal
	}
	n, err := jsonNode(raw)
	if err != nil {
		panic(err) // json.Marshal writes JSON
	}
	return n
}

// jsonNode renders JSON, keeping the order of its keys.
func jsonNode(raw []byte) (*yaml.Node, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	return jsonValue(dec)
}

func jsonValue(dec *json.Decoder) (*yaml.Node, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch v := tok.(type) {
	case string:
		return stringNode(v), nil
	case json.Number:
		tag := "!!int"
		if strings.ContainsAny(v.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: v.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(v)}, nil
	case json.Delim:
		return jsonCollection(dec, v)
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
}

func jsonCollection(dec *json.Decoder, open json.Delim) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	if open == '{' {
		n = mappingNode()
	}
	for dec.More() {
		item, err := jsonValue(dec) // a key, or an item of a list
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, item)
	}
	_, err := dec.Token() // the closing bracket
	return n, err
}

func mappingNode() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode} }

// stringNode is a text: in block form when it has lines, quoted when it would
// read as something else.
func stringNode(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	switch {
	case strings.ContainsAny(s, "\r\u0085\u2028\u2029\ufeff") || strings.HasPrefix(s, " ") || strings.HasPrefix(s, "\n"):
		n.Style = yaml.DoubleQuotedStyle
	case strings.Contains(s, "\n"):
		n.Style = yaml.LiteralStyle
	}
	return n
}

func put(n *yaml.Node, key string, value *yaml.Node) {
	n.Content = append(n.Content, stringNode(key), value)
}

func without(n *yaml.Node, keys ...string) *yaml.Node {
	out := mappingNode()
	for i := 0; i+1 < len(n.Content); i += 2 {
		drop := false
		for _, k := range keys {
			drop = drop || n.Content[i].Value == k
		}
		if !drop {
			out.Content = append(out.Content, n.Content[i], n.Content[i+1])
		}
	}
	return out
}

// compact puts every collection that is short enough on one line.
func compact(n *yaml.Node) *yaml.Node {
	for _, c := range n.Content {
		compact(c)
	}
	if n.Kind != yaml.ScalarNode && width(n) <= flowWidth {
		n.Style = yaml.FlowStyle
	}
	return n
}

// width is about how many characters a node takes on one line.
func width(n *yaml.Node) int {
	w := len(n.Value) + 2
	if n.Kind == yaml.ScalarNode && n.Style == yaml.LiteralStyle {
		return flowWidth + 1
	}
	for _, c := range n.Content {
		if w += width(c); w > flowWidth {
			break
		}
	}
	return w
}
