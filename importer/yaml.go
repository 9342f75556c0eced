package importer

import (
	"encoding/json"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// writeYAML writes plain values as YAML in their own order. Texts of several
// lines become block scalars.
func writeYAML(v any) (string, error) {
	out, err := yaml.Dump(yamlNode(v), yaml.WithV4Defaults(), yaml.WithIndent(2))
	return string(out), err
}

func yamlNode(v any) *yaml.Node {
	scalarNode := func(tag, value string) *yaml.Node {
		n := &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}
		return n
	}
	switch t := v.(type) {
	case *object:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for _, k := range t.keys {
			n.Content = append(n.Content, yamlNode(k), yamlNode(t.vals[k]))
		}
		return n
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, e := range t {
			n.Content = append(n.Content, yamlNode(e))
		}
		return n
	case bool:
		return scalarNode("!!bool", strconv.FormatBool(t))
	case json.Number:
		if strings.ContainsAny(t.String(), ".eE") {
			return scalarNode("!!float", t.String())
		}
		return scalarNode("!!int", t.String())
	case string:
		n := &yaml.Node{}
		n.SetString(t)
		if strings.Contains(t, "\n") {
			n.Style = yaml.LiteralStyle
		}
		return n
	}
	return scalarNode("!!null", "null")
}
