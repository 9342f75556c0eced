package pipeline

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// BuildspecCheck checks the text of a buildspec. Its findings have positions
// within that text. The language of buildspecs is not known here: whoever reads
// pipeline files hands the check in (buildspec.Check).
type BuildspecCheck func(text string) Diagnostics

// inlineBuildspec checks a buildspec that stands in a stage, and shows each
// finding where it stands in the file. What an expression will put in cannot be
// known yet: lines that hold one are not judged.
func (c *checks) inlineBuildspec(text string, n *yaml.Node) {
	if c.around.Buildspec == nil || n == nil || n.Kind != yaml.ScalarNode {
		return
	}
	masked, open := maskExpressions(text)
	if open {
		return // which was reported
	}
	for _, d := range c.around.Buildspec(masked) {
		if d.Line > 0 && hasExpression(lineOf(text, d.Line)) {
			continue
		}
		where := "the buildspec of " + c.where
		if at, ok := c.inText(n, text, d.Position); ok {
			d.Position = at
		} else {
			if d.Line > 0 {
				where += fmt.Sprintf(", line %d, column %d", d.Line, d.Column)
			}
			d.Position, d.Length = Position{Line: n.Line, Column: n.Column}, 1
		}
		d.Message = where + ": " + d.Message
		c.add(d)
	}
}

// maskExpressions puts a word of the same length in the place of each
// expression, on the same number of lines. It answers true when one has no end.
func maskExpressions(text string) (string, bool) {
	if !hasExpression(text) {
		return text, false
	}
	segs, _, err := segments(text)
	if err != nil {
		return text, true
	}
	var b strings.Builder
	for _, s := range segs {
		if !s.expression {
			b.WriteString(s.text)
			continue
		}
		b.WriteString("xxx" + strings.Map(func(r rune) rune {
			if r == '\n' {
				return r
			}
			return 'x'
		}, s.text) + "xx")
	}
	return b.String(), false
}

// lineOf is a line of a text, counted from 1.
func lineOf(text string, n int) string {
	for line := range strings.Lines(text) {
		if n--; n == 0 {
			return strings.TrimRight(line, "\r\n")
		}
	}
	return ""
}

// inText finds the place in the file of a position within a text that the file
// holds as a block. It answers false for texts in quotes, whose lines are not
// the file's.
func (c *checks) inText(n *yaml.Node, text string, p Position) (Position, bool) {
	if p.Line < 1 || n.Style&yaml.LiteralStyle == 0 {
		return Position{}, false
	}
	at := n.Line + p.Line
	inFile, inText := strings.TrimRight(c.src.line(at), "\r"), lineOf(text, p.Line)
	before, ok := strings.CutSuffix(inFile, inText)
	if !ok || strings.TrimSpace(before) != "" {
		return Position{}, false
	}
	return Position{Line: at, Column: p.Column + utf8.RuneCountInString(before)}, true
}
