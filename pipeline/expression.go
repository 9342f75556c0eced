package pipeline

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// maxExpression bounds one expression, and with it the depth of its tree.
const maxExpression = 4096

// Where a text stands decides what its expressions may see.
type mode int

const (
	staticMode  mode = iota // no expressions
	stageMode               // everything that is known when a stage starts
	triggerMode             // the trigger alone
)

// expression is one ${{ … }} of a file, kept until everything it may refer to
// is known.
type expression struct {
	node    *yaml.Node
	text    string
	at      int          // byte offset of text within the node's value
	want    reflect.Type // what the field takes; nil inside a text
	subject string
	secret  bool // secret references are allowed
	mode    mode
}

// segment is a piece of a text: literal, or the inside of ${{ … }}.
type segment struct {
	text       string
	at         int // byte offset of text
	expression bool
}

func hasExpression(s string) bool { return strings.Contains(s, "${{") }

// segments splits a text at its expressions. The error's offset is where an
// expression starts that has no end.
func segments(s string) ([]segment, int, error) {
	var out []segment
	at := 0
	for {
		i := strings.Index(s[at:], "${{")
		if i < 0 {
			if at < len(s) {
				out = append(out, segment{text: s[at:], at: at})
			}
			return out, 0, nil
		}
		if i > 0 {
			out = append(out, segment{text: s[at : at+i], at: at})
		}
		start := at + i + 3
		end := expressionEnd(s[start:])
		if end < 0 {
			return nil, at + i, fmt.Errorf("${{ has no }}")
		}
		out = append(out, segment{text: s[start : start+end], at: start, expression: true})
		at = start + end + 2
	}
}

// expressionEnd finds the }} that closes an expression, past its own texts and braces.
func expressionEnd(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"', '\'', '`':
			end := textEnd(s[i:])
			if end < 0 {
				return -1
			}
			i += end
		case '{':
			depth++
		case '}':
			if depth == 0 {
				if strings.HasPrefix(s[i:], "}}") {
					return i
				}
				return -1
			}
			depth--
		}
	}
	return -1
}

// textEnd returns the index of the quote that closes the text s starts with.
func textEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == s[0]:
			return i
		case s[i] == '\\' && s[0] != '`':
			i++
		}
	}
	return -1
}

var secretReference = regexp.MustCompile(`^\s*secrets\.([A-Za-z0-9][A-Za-z0-9._-]{0,99})\s*$`)

// SecretNames lists the secrets that a text refers to, in order.
func SecretNames(text string) []string {
	var names []string
	segs, _, _ := segments(text)
	for _, s := range segs {
		if m := secretReference.FindStringSubmatch(s.text); s.expression && m != nil {
			names = append(names, m[1])
		}
	}
	return names
}

// ExpandSecrets replaces every reference to a secret in a resolved text by what
// lookup answers, in one pass: neither a secret's value nor anything that an
// expression yielded is read as a reference.
func ExpandSecrets(text string, lookup func(name string) (string, error)) (string, error) {
	if !hasExpression(text) {
		return text, nil
	}
	segs, _, err := segments(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, s := range segs {
		m := secretReference.FindStringSubmatch(s.text)
		switch {
		case !s.expression:
			b.WriteString(s.text)
		case s.text == literalOpen:
			b.WriteString("${{")
		case m != nil:
			v, err := lookup(m[1])
			if err != nil {
				return "", err
			}
			b.WriteString(v)
		default:
			return "", fmt.Errorf("an expression is left that is no reference to a secret: %q", shorten(s.text, 60))
		}
	}
	return b.String(), nil
}

// literalOpen is the expression that yields "${{" itself; Resolve writes it
// where a value holds "${{" in a text that secrets are expanded in.
const literalOpen = ` "${{" `

func protect(value string) string {
	return strings.ReplaceAll(value, "${{", "${{"+literalOpen+"}}")
}

// interpolation records the expressions inside a text.
func (d *decoder) interpolation(n *yaml.Node, f *field) {
	segs, at, err := segments(n.Value)
	if err != nil {
		d.expressionError(n, at, 3, CodeExpression, fmt.Sprintf("%s: %v", d.subject(), err), "")
		return
	}
	for _, s := range segs {
		if s.expression {
			d.collect(n, f, s, nil)
		}
	}
}

// wholeExpression records the expression that stands for a value of type t.
func (d *decoder) wholeExpression(n *yaml.Node, f *field, t reflect.Type) []byte {
	trimmed := strings.TrimSpace(n.Value)
	segs, at, err := segments(trimmed)
	switch {
	case err != nil:
		d.expressionError(n, at, 3, CodeExpression, fmt.Sprintf("%s: %v", d.subject(), err), "")
		return nil
	case len(segs) != 1 || !segs[0].expression:
		d.report(n, CodeType, "%s must be %s: one expression alone may stand for it, not a text with one inside", d.subject(), typeName(t))
		return nil
	}
	s := segs[0]
	s.at += strings.Index(n.Value, "${{")
	d.collect(n, f, s, t)
	return encodeString(trimmed)
}

func (d *decoder) collect(n *yaml.Node, f *field, s segment, want reflect.Type) {
	e := &expression{node: n, text: s.text, at: s.at, want: want, subject: d.subject(), secret: f.secret, mode: d.mode}
	switch {
	case f.static, d.mode == staticMode:
		d.expressionError(n, s.at, len(s.text), CodeExpression, d.subject()+" takes no expression: it must be known before anything runs", "")
	case d.mode == triggerMode && !f.trigger && !(f.secret && secretReference.MatchString(s.text)):
		d.expressionError(n, s.at, len(s.text), CodeExpression, d.subject()+" takes no expression", "")
	default:
		d.exprs = append(d.exprs, e)
	}
}

// condition records a `when`, which is an expression with or without ${{ }}.
func (d *decoder) condition(n *yaml.Node) {
	text, at := bareCondition(n.Value)
	d.exprs = append(d.exprs, &expression{node: n, text: text, at: at, want: reflect.TypeFor[bool](),
		subject: "when of " + d.where, mode: max(d.mode, stageMode)})
}

// bareCondition strips ${{ }} around a whole condition.
func bareCondition(s string) (text string, at int) {
	trimmed := strings.TrimSpace(s)
	segs, _, err := segments(trimmed)
	if err == nil && len(segs) == 1 && segs[0].expression {
		return segs[0].text, segs[0].at + strings.Index(s, "${{")
	}
	return s, 0
}

// expressionError reports at a byte offset of a scalar's value.
func (d *decoder) expressionError(n *yaml.Node, at, length int, code, message, suggestion string) {
	p := d.src.position(d.locate(n, at))
	d.add(Diagnostic{Code: code, Position: p, Length: length, Message: message, Suggestion: suggestion})
}

// locate finds the place in the file of a byte offset of a scalar's value: it
// walks both together, past indentation, folded lines and escapes.
func (d *decoder) locate(n *yaml.Node, at int) int {
	raw := d.src.text
	j := d.src.offset(Position{Line: n.Line, Column: n.Column})
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		if i := strings.IndexByte(raw[j:], '\n'); i >= 0 {
			j += i + 1
		}
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		j++
	}
	for i := 0; j < len(raw); {
		r, size := utf8.DecodeRuneInString(n.Value[min(i, len(n.Value)):])
		q, width := utf8.DecodeRuneInString(raw[j:])
		switch {
		case i >= at && (r == q || size == 0):
			return j
		case r == q:
			i += size
			j += width
		case q == '\\' && n.Style&yaml.DoubleQuotedStyle != 0:
			if i >= at {
				return j
			}
			skip, yields := escapeLength(raw[j:])
			j += skip
			if yields {
				i += size
			}
		case unicode.IsSpace(r) && unicode.IsSpace(q):
			i += size
			j += width
		case unicode.IsSpace(q), q == '\'':
			j += width
		case unicode.IsSpace(r):
			i += size
		default:
			return j // lost: as near as it gets
		}
	}
	return len(raw)
}

// escapeLength is how long a backslash escape is, and whether it stands for a
// character (an escaped line end does not).
func escapeLength(s string) (int, bool) {
	if len(s) < 2 {
		return len(s), false
	}
	switch s[1] {
	case 'x':
		return 4, true
	case 'u':
		return 6, true
	case 'U':
		return 10, true
	case '\n', '\r':
		return 2, false
	}
	return 2, true
}

// typeName names a type for people.
func typeName(t reflect.Type) string {
	if t == durationType {
		return "a duration"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "a mapping"
	case reflect.Pointer:
		return typeName(t.Elem())
	}
	return "a text"
}
