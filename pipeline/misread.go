package pipeline

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// This file recognises text that is valid YAML and means something else than its
// writer thought.

// misindented says that member i, which no field is called, stands at the wrong level;
// "" when it does not look so.
func misindented(ms []member, i int) string {
	if i > 0 {
		before := ms[i-1]
		if v := before.value; v.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 && strings.TrimSpace(v.Value) == "" {
			return fmt.Sprintf("the text of %q ends before it begins: indent its lines deeper than %q", before.name, before.name)
		}
		if before.name == "stages" && isStage(ms[i].value) {
			return "a stage stands below stages: indent it and its fields by two spaces more"
		}
	}
	return ""
}

// isStage tells whether a node has what only stages have.
func isStage(n *yaml.Node) bool {
	if n.Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if _, kind := FindKind(n.Content[i].Value); kind || n.Content[i].Value == "needs" {
			return true
		}
	}
	return false
}

// textInstead is how to write a mapping or a list as the text that was probably meant.
func textInstead(n *yaml.Node) string {
	if n.Kind != yaml.MappingNode || len(n.Content) != 2 {
		return ""
	}
	key, value := n.Content[0], n.Content[1]
	switch {
	case key.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle != 0:
		return "an expression is written ${{ … }}"
	case key.Kind != yaml.ScalarNode || value.Kind != yaml.ScalarNode:
		return ""
	}
	return "a colon with a space after it makes a mapping; put the text in quotes: " + strconv.Quote(firstLine(key.Value)+": "+firstLine(value.Value))
}

// otherQuotes warns of quotes that YAML takes for a part of the text.
func (d *decoder) otherQuotes(n *yaml.Node) {
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 || !strings.ContainsAny(n.Value, "“”„«»‘’") {
		return
	}
	runes := []rune(n.Value)
	const opening, closing = "“„«‘”’", "”“»’"
	if !strings.ContainsRune(opening, runes[0]) || !strings.ContainsRune(closing, runes[len(runes)-1]) || len(runes) < 2 {
		return
	}
	d.reportWith(n, Diagnostic{Severity: SeverityWarning, Code: CodeValue, Help: "write " + strconv.Quote(string(runes[1:len(runes)-1])),
		Message: fmt.Sprintf("%s: the quotes %c and %c are a part of the text", d.subject(), runes[0], runes[len(runes)-1])})
}

// lostToComment warns of a value that begins with a number sign: YAML takes it for a
// comment, and the field has no value.
func (d *decoder) lostToComment(m member) {
	if !isNull(m.value) || m.key.Line < 1 {
		return
	}
	runes := []rune(d.src.line(m.key.Line))
	from := m.key.Column - 1 + nodeLength(m.key)
	if from < 0 || from > len(runes) {
		return
	}
	rest := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(string(runes[from:])), ":"))
	if len(rest) < 2 || rest[0] != '#' || slices.Contains([]byte("# \t!-="), rest[1]) {
		return
	}
	d.reportWith(m.key, Diagnostic{Severity: SeverityWarning, Code: CodeValue, Help: "put the value in quotes: " + m.name + ": " + strconv.Quote(rest),
		Message: fmt.Sprintf("%q has no value: everything from the # on is a comment", m.name)})
}
