package importer

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// scalar is the text of a plain value.
func scalar(v any) string {
	switch t := v.(type) {
	case nil, noValue:
		return ""
	case string:
		return t
	case bool:
		return strconv.FormatBool(t)
	case json.Number:
		return t.String()
	}
	return encode(v)
}

// encode writes a value as JSON, in the order of its document.
func encode(v any) string {
	var b strings.Builder
	encodeTo(&b, v)
	return b.String()
}

func encodeTo(b *strings.Builder, v any) {
	switch t := v.(type) {
	case *object:
		b.WriteByte('{')
		for i, k := range t.keys {
			if i > 0 {
				b.WriteByte(',')
			}
			encodeTo(b, k)
			b.WriteByte(':')
			encodeTo(b, t.vals[k])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, e := range t {
			if i > 0 {
				b.WriteByte(',')
			}
			encodeTo(b, e)
		}
		b.WriteByte(']')
	case noValue:
		b.WriteString("null")
	default:
		raw, err := json.Marshal(t)
		if err != nil { // JSON cannot express the number, such as YAML's .inf
			raw, _ = json.Marshal(fmt.Sprint(t))
		}
		b.Write(raw)
	}
}

// A reference inside a text is marked as \x01expression\x02 until the text is
// finished. So a reference cannot be confused with text of the source document
// that looks like one.
var reference = regexp.MustCompile("\x01([^\x02]*)\x02")

func markReference(expression string) string { return "\x01" + expression + "\x02" }

// unmark is the text with its references written as expressions.
func unmark(s string) string {
	if strings.Contains(s, "${{") {
		s = strings.ReplaceAll(s, "${{", `${{ "${{" }}`)
	}
	return reference.ReplaceAllString(s, "${{ $1 }}")
}
