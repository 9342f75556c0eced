package chaosmonkey

import (
	"fmt"
	"strconv"
	"strings"

	"showrunner/pipeline"
)

// reader reads values of a document and collects what is wrong with them.
type reader struct {
	name string
	src  string
	ds   pipeline.Diagnostics
}

func (r *reader) report(severity pipeline.Severity, at, length int, code, message, suggestion, help string) {
	r.ds = append(r.ds, pipeline.Diagnostic{Severity: severity, Code: code, Position: position(r.src, at), Length: max(1, length), Message: message, Suggestion: suggestion, Help: help})
}

func (r *reader) wrong(n *node, help, format string, args ...any) {
	r.report(pipeline.SeverityError, n.at, n.length, pipeline.CodeValue, fmt.Sprintf(format, args...), "", help)
}

func (r *reader) warn(n *node, help, format string, args ...any) {
	r.report(pipeline.SeverityWarning, n.at, n.length, pipeline.CodeValue, fmt.Sprintf(format, args...), "", help)
}

// unknown warns of members that no version of Chaos Monkey reads.
func (r *reader) unknown(n *node, where string, known []string) {
	for _, m := range n.members {
		found := false
		for _, k := range known {
			found = found || k == m.name
		}
		if !found {
			r.report(pipeline.SeverityWarning, m.at, len(m.name), pipeline.CodeUnknownField,
				fmt.Sprintf("%s has no setting %q; it is ignored, as Chaos Monkey ignores it", where, m.name), pipeline.Nearest(m.name, known), "")
		}
	}
}

func position(src string, at int) pipeline.Position {
	before := src[:min(max(at, 0), len(src))]
	line := strings.Count(before, "\n")
	column := before[strings.LastIndexByte(before, '\n')+1:]
	return pipeline.Position{Line: line + 1, Column: len([]rune(column)) + 1}
}

// boolean reads a truth value into dst and tells whether one is there.
func (r *reader) boolean(n *node, where string, dst *bool) bool {
	switch {
	case n == nil || n.kind == null:
		return false
	case n.kind != boolean:
		r.wrong(n, "write true or false, without quotes", "%s must be true or false, not %s", where, n.describe())
	default:
		*dst = n.text == "true"
	}
	return true
}

// whole reads a whole number into dst and tells whether one is there.
func (r *reader) whole(n *node, where string, low, high int, dst *int) bool {
	if n == nil || n.kind == null {
		return false
	}
	v, err := strconv.Atoi(n.text)
	if f, ferr := strconv.ParseFloat(n.text, 64); n.kind == number && err != nil && ferr == nil && f == float64(int(f)) {
		v, err = int(f), nil // 5.0 is 5
	}
	switch {
	case n.kind != number || err != nil:
		help := ""
		if n.kind == text && err == nil {
			help = "write " + n.text + ", without quotes"
		}
		r.wrong(n, help, "%s must be a whole number, not %s", where, n.describe())
	case v < low:
		r.wrong(n, "", "%s must be at least %d, not %d", where, low, v)
	case v > high:
		r.wrong(n, "", "%s must be at most %d, not %d", where, high, v)
	default:
		*dst = v
	}
	return true
}

// words reads a text into dst and tells whether one is there.
func (r *reader) words(n *node, where string, dst *string) bool {
	switch {
	case n == nil || n.kind == null:
		return false
	case n.kind != text:
		r.wrong(n, "", "%s must be a text, not %s", where, n.describe())
	default:
		*dst = n.text
	}
	return true
}

// strings reads a list of texts, or a JSON list that stands in a text.
func (r *reader) strings(n *node, where string, dst *[]string) bool {
	if n == nil || n.kind == null {
		return false
	}
	items := n
	if n.kind == text {
		inner, wrong, _ := readJSON([]byte(n.text))
		if wrong != nil || inner.kind != list {
			r.wrong(n, `write a list such as ["prod", "test"]`, "%s must be a list of texts, not %s", where, n.describe())
			return true
		}
		items = inner
	}
	if items.kind != list {
		r.wrong(n, `write a list such as ["prod", "test"]`, "%s must be a list of texts, not %s", where, n.describe())
		return true
	}
	*dst = []string{}
	for _, item := range items.items {
		if item.kind != text {
			r.wrong(n, "", "%s must be a list of texts; one of them is %s", where, item.describe())
			continue
		}
		*dst = append(*dst, item.text)
	}
	return true
}
