package pipeline

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Syntax turns the error of the YAML library about a text into a finding that says what
// stands there and what to write. The library notices many mistakes only at the line
// below, or at the end of the text, and names what it was scanning for.
func Syntax(text string, err error) Diagnostic {
	found := Diagnostic{Severity: SeverityError, Code: CodeSyntax, Length: 1, Message: "not readable as YAML: " + err.Error()}
	var le *yaml.LoadError
	if !errors.As(err, &le) {
		return found
	}
	s := syntaxError{src: newSource("", text), message: le.Message, context: le.ContextMsg, began: le.ContextMark.Line,
		at: Position{Line: le.Mark.Line, Column: max(1, le.Mark.Column)}}
	for _, look := range []func() *Diagnostic{s.conflictMarker, s.indentedByOther, s.otherColon, s.missingColon, s.nestedValue, s.misplaced, s.wrongIndent, s.notAnItem, s.unclosed, s.badBegin, s.badEscape} {
		if d := look(); d != nil {
			d.Severity, d.Code, d.Length = SeverityError, CodeSyntax, max(1, d.Length)
			return *d
		}
	}
	found.Position, found.Message = s.at, le.Message
	if le.ContextMsg != "" && le.ContextMark.Line > 0 {
		found.Message += fmt.Sprintf(" (%s at line %d)", le.ContextMsg, le.ContextMark.Line)
	}
	found.Help = "look at this line and the one above: a colon and a dash need a space after them, and what belongs to a key stands two spaces deeper"
	return found
}

// syntaxError is what the library says: what it missed at a place, and since which line
// it was reading what.
type syntaxError struct {
	src              *source
	message, context string
	at               Position
	began            int
}

// finding is one at a byte of a line.
func (s syntaxError) finding(line, offset, length int, message, help string) *Diagnostic {
	column := utf8.RuneCountInString(s.src.line(line)[:offset]) + 1
	return &Diagnostic{Position: Position{Line: line, Column: column}, Length: length, Message: message, Help: help}
}

// indentOf is the length of a line's spaces at its begin.
func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// bare is a line without its indentation, its dash and what is around it.
func bare(line string) string {
	return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "- "))
}

// keyLine is a line that begins with a key: its name, and what stands after the colon.
var keyLine = regexp.MustCompile(`^([A-Za-z0-9_.$"'-]+):(?:\s+(.*))?$`)

func keyOf(line string) (key, value string, ok bool) {
	m := keyLine.FindStringSubmatch(bare(line))
	if m == nil {
		return "", "", false
	}
	return m[1], strings.TrimSpace(m[2]), true
}

// above is the last line before n that says something, 0 for none.
func (s syntaxError) above(n int) int {
	for n--; n > 0; n-- {
		if text := strings.TrimSpace(s.src.line(n)); text != "" && !strings.HasPrefix(text, "#") {
			return n
		}
	}
	return 0
}

// conflictMarker finds what git leaves where two changes met.
func (s syntaxError) conflictMarker() *Diagnostic {
	for n := 1; n <= s.at.Line; n++ {
		if line := s.src.line(n); strings.HasPrefix(line, "<<<<<<< ") || strings.HasPrefix(line, ">>>>>>> ") || line == "=======" {
			return s.finding(n, 0, len(strings.Fields(line)[0]), "an unresolved merge conflict", "keep one side, and remove the lines with <<<<<<<, ======= and >>>>>>>")
		}
	}
	return nil
}

// indentedByOther finds tabs and other blanks that are no spaces at the begin of a line.
func (s syntaxError) indentedByOther() *Diagnostic {
	for _, n := range []int{s.above(s.at.Line), s.at.Line} {
		line := s.src.line(n)
		text := strings.TrimLeftFunc(line, unicode.IsSpace)
		for i, r := range line[:len(line)-len(text)] {
			if r == ' ' {
				continue
			}
			name := "a tab"
			if r != '\t' {
				name = fmt.Sprintf("a blank that is no space (U+%04X)", r)
			}
			return s.finding(n, i, 1, name+" in the indentation; YAML accepts only spaces there", "write two spaces for each level; most editors can replace tabs and other blanks by spaces in the whole file")
		}
	}
	return nil
}

// otherColon finds a colon of another script.
func (s syntaxError) otherColon() *Diagnostic {
	for _, n := range []int{s.began, s.above(s.at.Line), s.at.Line} {
		line := s.src.line(n)
		if i := strings.IndexAny(line, "：﹕︓"); i >= 0 {
			r, size := utf8.DecodeRuneInString(line[i:])
			return s.finding(n, i, 1, fmt.Sprintf("the colon is U+%04X, which YAML takes for text", r), "write "+strings.TrimSpace(line[:i])+": "+strings.TrimSpace(line[i+size:]))
		}
	}
	return nil
}

var (
	// noSpace is a key whose value follows without a space. A URL is none.
	noSpace = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_-]*):([^\s:/].*)$`)
	equals  = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(.*)$`)
)

// missingColon is for a line that should have been a key.
func (s syntaxError) missingColon() *Diagnostic {
	n := s.began
	switch {
	case strings.Contains(s.message, "could not find expected ':'"):
	case strings.Contains(s.message, "mapping values are not allowed"):
		// What stands below a text without a colon was meant to be its content.
		n = s.above(s.at.Line)
		if n == 0 || indentOf(s.src.line(n)) >= indentOf(s.src.line(s.at.Line)) {
			return nil
		}
		if _, _, isKey := keyOf(s.src.line(n)); isKey {
			return nil
		}
	default:
		return nil
	}
	line := s.src.line(n)
	text := bare(line)
	begin := strings.Index(line, text)
	if text == "" || begin < 0 {
		return nil
	}
	if m := noSpace.FindStringSubmatch(text); m != nil {
		return s.finding(n, begin+len(m[1]), 1, fmt.Sprintf("no space follows the colon of %q", m[1]), "write "+m[1]+": "+m[2])
	}
	if m := equals.FindStringSubmatch(text); m != nil {
		return s.finding(n, begin+strings.IndexByte(text, '='), 1, fmt.Sprintf("an equals sign stands where %q needs a colon", m[1]), "write "+m[1]+": "+m[2])
	}
	if key, value, found := strings.Cut(text, " "); found && !strings.ContainsAny(key, `"'[{`) {
		return s.finding(n, begin, len(key), fmt.Sprintf("no colon follows %q", key), "write "+key+": "+strings.TrimSpace(value))
	}
	return s.finding(n, begin, utf8.RuneCountInString(text), fmt.Sprintf("no colon follows %q", shorten(text, 60)), "write "+shorten(text, 60)+": and what belongs to it below, two spaces deeper")
}

// nestedValue is for a value with a colon and a space in it.
func (s syntaxError) nestedValue() *Diagnostic {
	line := s.src.line(s.at.Line)
	key, value, ok := keyOf(line)
	if !ok || !strings.Contains(s.message, "mapping values are not allowed") || !strings.Contains(value, ": ") && !strings.HasSuffix(value, ":") || strings.ContainsAny(value[:1], `"'[{|>&*`) {
		return nil
	}
	begin := strings.Index(line, value)
	return s.finding(s.at.Line, begin, utf8.RuneCountInString(value), fmt.Sprintf("the value of %q has a colon with a space after it, which begins another key", key), fmt.Sprintf("put the value in quotes: %s: %q", key, value))
}

// misplaced is for a key that stands deeper than the key above it, which has a value.
func (s syntaxError) misplaced() *Diagnostic {
	if !strings.Contains(s.message, "mapping values are not allowed") {
		return nil
	}
	n := s.above(s.at.Line)
	line, before := s.src.line(s.at.Line), s.src.line(n)
	key, _, ok := keyOf(line)
	other, value, okBefore := keyOf(before)
	if !ok || !okBefore || value == "" || indentOf(line) <= indentOf(before) {
		return nil
	}
	return s.finding(s.at.Line, indentOf(line), len(key), fmt.Sprintf("%q is indented by %d spaces, deeper than %q above it, which has a value already", key, indentOf(line), other),
		fmt.Sprintf("indent %q by %d spaces to stand beside %q; or, when it belongs to %q, remove the value %s above", key, indentOf(before), other, other, shorten(value, 40)))
}

// wrongIndent is for a line whose indentation is that of no line above it.
func (s syntaxError) wrongIndent() *Diagnostic {
	line := s.src.line(s.at.Line)
	mine := indentOf(line)
	if !strings.Contains(s.message, "did not find expected key") || s.at.Column != mine+1 || strings.TrimSpace(line) == "" {
		return nil
	}
	// The open levels above: the lines that nothing shallower has closed yet.
	type level struct{ indent, line int }
	var open []level
	lowest, closer := 1<<30, 0 // closer is a line that has closed this line's level
	for n := s.above(s.at.Line); n > 0; n = s.above(n) {
		i := indentOf(s.src.line(n))
		if i < lowest {
			lowest, open = i, append(open, level{i, n})
		}
		if i == mine && closer == 0 && lowest < mine {
			closer = open[len(open)-1].line
		}
	}
	if len(open) == 0 || slices.ContainsFunc(open, func(l level) bool { return l.indent == mine }) {
		return nil
	}
	first := func(n int) string {
		return shorten(strings.TrimSuffix(strings.Fields(s.src.line(n))[0], ":"), 30)
	}
	var choices []string
	for _, l := range open[:min(len(open), 2)] {
		choices = append(choices, fmt.Sprintf("%d to stand beside %q (line %d)", l.indent, first(l.line), l.line))
	}
	help := "indent it by " + strings.Join(choices, ", or by ")
	if closer > 0 {
		help += fmt.Sprintf("; or indent %q (line %d) by %d", first(closer), closer, mine)
	}
	return s.finding(s.at.Line, mine, utf8.RuneCountInString(strings.Fields(line)[0]), fmt.Sprintf("this line is indented by %d spaces, and no level that is open here is", mine), help)
}

// notAnItem is for a key that stands where a list goes on.
func (s syntaxError) notAnItem() *Diagnostic {
	if !strings.Contains(s.message, "did not find expected '-' indicator") {
		return nil
	}
	line := s.src.line(s.at.Line)
	text := strings.TrimSpace(line)
	if text == "" {
		return nil
	}
	key := strings.TrimSuffix(strings.Fields(text)[0], ":")
	return s.finding(s.at.Line, indentOf(line), utf8.RuneCountInString(key), fmt.Sprintf("a list begins on line %d, and %q has no dash", s.began, shorten(key, 40)),
		fmt.Sprintf("write a dash and a space before each item, or leave the dash of line %d out where names are wanted, as for stages", s.began))
}

// unclosed is for brackets and quotes that nothing closes, or that close nothing.
func (s syntaxError) unclosed() *Diagnostic {
	switch line := s.src.line(s.at.Line); {
	case strings.Contains(s.message, "did not find expected ',' or"), strings.Contains(s.message, "did not find expected node content"):
		// Where content is missing, the bracket may have been opened some lines above.
		for n := s.began; n > 0; n = s.above(n) {
			if at, open := openBracket(s.src.line(n)); at >= 0 {
				closing := map[byte]string{'[': "]", '{': "}"}[open]
				return s.finding(n, at, 1, fmt.Sprintf("nothing closes the %c, or a comma is missing behind it", open), fmt.Sprintf("write %s where it ends, and a comma between its parts", closing))
			}
		}
	case strings.Contains(s.message, "unexpected end of stream") && strings.Contains(s.context, "quoted"):
		began := s.src.line(s.began)
		if at := openQuote(began); at >= 0 {
			return s.finding(s.began, at, utf8.RuneCountInString(began[at:]), fmt.Sprintf("nothing closes the quote %c", began[at]), fmt.Sprintf("write %c at the end of the value", began[at]))
		}
	case strings.Contains(s.message, "did not find expected key"):
		offset := s.src.offset(s.at) - s.src.offset(Position{Line: s.at.Line, Column: 1})
		if offset >= len(line) {
			return nil
		}
		if strings.ContainsRune("]}", rune(line[offset])) {
			return s.finding(s.at.Line, offset, 1, fmt.Sprintf("the %c closes nothing", line[offset]), "remove it, or write the bracket that it closes")
		}
		if _, value, ok := keyOf(line); ok && value != "" && strings.ContainsAny(value[:1], `"'`) {
			return s.finding(s.at.Line, offset, 1, "text follows the quote that ends the value", "write a quote within the value twice where it stands in single quotes ('it''s'), or put the value in the other quotes")
		}
	}
	return nil
}

// openBracket is the last bracket of a line that the line does not close; -1 for none.
func openBracket(line string) (at int, bracket byte) {
	var stack []int
	var quote byte
	for i := range len(line) {
		c := line[i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '[' || c == '{':
			stack = append(stack, i)
		case (c == ']' || c == '}') && len(stack) > 0:
			stack = stack[:len(stack)-1]
		}
	}
	if len(stack) == 0 {
		return -1, 0
	}
	at = stack[len(stack)-1]
	return at, line[at]
}

// openQuote is the quote of a line that the line does not close; -1 for none.
func openQuote(line string) int {
	at := -1
	for i := range len(line) {
		switch c := line[i]; {
		case at < 0 && (c == '"' || c == '\''):
			at = i
		case at >= 0 && c == line[at]:
			at = -1
		}
	}
	return at
}

// badBegin is for values that begin with what YAML keeps for itself.
func (s syntaxError) badBegin() *Diagnostic {
	offset := s.src.offset(s.at)
	if offset >= len(s.src.text) {
		return nil
	}
	value, _, _ := strings.Cut(s.src.text[offset:], "\n")
	value = strings.TrimSpace(strings.TrimSuffix(value, "\r"))
	at := offset - s.src.offset(Position{Line: s.at.Line, Column: 1})
	switch {
	case strings.Contains(s.message, "unknown anchor"):
		name := strings.TrimPrefix(value, "*")
		return s.finding(s.at.Line, at, utf8.RuneCountInString(value), fmt.Sprintf("*%s stands for what is marked with &%s, and nothing is", shorten(name, 40), shorten(name, 40)), fmt.Sprintf("put text that begins with an asterisk in quotes: %q", shorten(value, 60)))
	case strings.Contains(s.message, "cannot start any token") && value != "":
		return s.finding(s.at.Line, at, utf8.RuneCountInString(value), fmt.Sprintf("a value cannot begin with %c", []rune(value)[0]), fmt.Sprintf("put it in quotes: %q", shorten(value, 60)))
	}
	return nil
}

// badEscape is for backslashes in double quotes.
func (s syntaxError) badEscape() *Diagnostic {
	if !strings.Contains(s.message, "unknown escape") {
		return nil
	}
	return &Diagnostic{Position: s.at, Length: 2, Message: "a backslash in double quotes begins an escape sequence, and there is no such sequence", Help: `write the backslash twice (\\), or put the value in single quotes`}
}
