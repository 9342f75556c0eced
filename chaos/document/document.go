// Package document reads the files of experiments, JSON or YAML, with the line of each
// value, and says what is wrong with one. It knows no format: packages toolkit and
// experiment do.
package document

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"showrunner/problem"
)

// Problem is one thing in a file that cannot be run.
type Problem struct {
	Line    int    `json:"line"`
	Place   string `json:"place"` // such as method[1].provider.url
	Message string `json:"message"`
	Help    string `json:"help,omitempty"`
}

// String is "line 12: method[1].provider.url: message (help)".
func (p Problem) String() string {
	text := p.Message
	if p.Place != "" {
		text = p.Place + ": " + text
	}
	if p.Line > 0 {
		text = "line " + strconv.Itoa(p.Line) + ": " + text
	}
	if p.Help != "" {
		text += " (" + p.Help + ")"
	}
	return text
}

// Document is a file with the line of each value.
type Document struct {
	Root  map[string]any
	lines map[string]int // by place
	left  int            // how many values may still be read
}

// limits bound what a file may cost to read.
const (
	maxBytes  = 4 << 20
	maxDepth  = 100
	maxValues = 100_000 // an alias counts each time it is used
)

// Parse reads JSON or YAML. JSON is YAML, so that one reader serves both and knows the lines.
func Parse(text []byte) (*Document, error) {
	const op = "chaos.experiment"
	if len(text) > maxBytes {
		return nil, problem.New(problem.Invalid, op, "the experiment has %d bytes; at most %d are read", len(text), maxBytes)
	}
	var node yaml.Node
	if err := load(text, &node); err != nil {
		return nil, problem.Wrap(err, problem.Invalid, op, "the experiment is neither JSON nor YAML")
	}
	top := &node
	if node.Kind == yaml.DocumentNode && len(node.Content) > 0 {
		top = node.Content[0]
	}
	d := &Document{lines: map[string]int{}, left: maxValues}
	v, err := d.value(top, "")
	if err != nil {
		return nil, err
	}
	root, ok := v.(map[string]any)
	if !ok {
		return nil, problem.New(problem.Invalid, op, "an experiment is an object")
	}
	d.Root = root
	return d, nil
}

// load reads one document. The library has panicked on hostile input before; a file
// must never end the process that reads it.
func load(text []byte, node *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return yaml.Load(text, node, yaml.WithV4Defaults(), yaml.WithPlugin(loaderlimits.New(
		loaderlimits.DepthFunc(func(depth int, _ *loaderlimits.DepthContext) error {
			if depth > maxDepth {
				return fmt.Errorf("nested deeper than %d", maxDepth)
			}
			return nil
		}), loaderlimits.AliasNone()))) // aliases are counted where they are used
}

// value converts a node, and notes the line of everything in it.
func (d *Document) value(n *yaml.Node, place string) (any, error) {
	if d.left--; d.left < 0 {
		return nil, problem.New(problem.Invalid, "chaos.experiment", "line %d: the experiment has more than %d values", n.Line, maxValues)
	}
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	d.lines[place] = n.Line
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode {
				return nil, problem.New(problem.Invalid, "chaos.experiment", "line %d: a name must be a text", key.Line)
			}
			if _, twice := m[key.Value]; twice {
				return nil, problem.New(problem.Invalid, "chaos.experiment", "line %d: %q is given twice", key.Line, key.Value)
			}
			v, err := d.value(n.Content[i+1], Member(place, key.Value))
			if err != nil {
				return nil, err
			}
			m[key.Value] = v
		}
		return m, nil
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, c := range n.Content {
			v, err := d.value(c, fmt.Sprintf("%s[%d]", place, i))
			if err != nil {
				return nil, err
			}
			list[i] = v
		}
		return list, nil
	}
	return scalar(n)
}

// scalar reads a single value. Unquoted yes, no, on and off are booleans, because
// Chaos Toolkit reads YAML 1.1; dates stay texts.
func scalar(n *yaml.Node) (any, error) {
	if n.Style == 0 {
		switch strings.ToLower(n.Value) {
		case "yes", "on":
			return true, nil
		case "no", "off":
			return false, nil
		}
	}
	switch n.ShortTag() {
	case "!!null":
		return nil, nil
	case "!!bool", "!!int", "!!float":
		var v any
		if err := n.Load(&v); err != nil {
			return nil, problem.Wrap(err, problem.Invalid, "chaos.experiment", "line %d: %q cannot be read", n.Line, n.Value)
		}
		return v, nil
	case "!!str", "!!timestamp", "!!binary", "!!merge":
		return n.Value, nil
	}
	return nil, problem.New(problem.Invalid, "chaos.experiment", "line %d: the tag %s is not read", n.Line, n.Tag)
}

// Member is the place of a part.
func Member(place, name string) string {
	if place == "" {
		return name
	}
	return place + "." + name
}

// Line is that of a place, or of the nearest thing around it.
func (d *Document) Line(place string) int {
	for place != "" {
		if l := d.lines[place]; l > 0 {
			return l
		}
		cut := max(strings.LastIndexByte(place, '.'), strings.LastIndexByte(place, '['))
		place = place[:max(cut, 0)]
	}
	return d.lines[""]
}

// Invalid is the error for a file with problems, one line for each.
func Invalid(problems []Problem) error {
	slices.SortStableFunc(problems, func(a, b Problem) int { return a.Line - b.Line })
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = p.String()
	}
	return problem.New(problem.Invalid, "chaos.experiment", "the experiment cannot be run: %s", strings.Join(lines, "\n  "))
}
