package logs

import (
	"regexp"
	"strconv"
	"strings"
)

// fieldPattern is a pattern for messages that are divided by spaces: [name, name=value, ...].
type fieldPattern struct {
	names []string // "" for one without a name
	tests []func(values map[string]string) bool
	rest  int // the place of ..., which stands for any number of fields; -1 without
}

// parseFields reads what stands between the brackets.
func parseFields(text string) (*fieldPattern, error) {
	f := &fieldPattern{rest: -1}
	for _, part := range splitFields(text) {
		part = strings.TrimSpace(part)
		if part == "..." {
			if f.rest >= 0 {
				return nil, errPattern("... stands for any number of fields and may be there once")
			}
			f.rest = len(f.names)
			continue
		}
		name, test, err := parseField(part)
		if err != nil {
			return nil, err
		}
		f.names = append(f.names, name)
		if test != nil {
			f.tests = append(f.tests, test)
		}
	}
	return f, nil
}

// splitFields divides a pattern at its commas, but for those in quotation marks.
func splitFields(text string) (out []string) {
	quoted, from := false, 0
	for i, r := range text {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ',' && !quoted:
			out, from = append(out, text[from:i]), i+1
		}
	}
	return append(out, text[from:])
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_\-.]*$`)

// parseField reads one field: a name alone, or conditions on the field of that name.
func parseField(text string) (string, func(map[string]string) bool, error) {
	if plainName.MatchString(text) {
		return text, nil, nil
	}
	p := &fieldParser{conditionParser: conditionParser{rest: text}}
	test := p.or(0)
	p.space()
	if p.err == nil && p.rest != "" {
		p.fail("unexpected %q", p.rest)
	}
	return p.name, test, p.err
}

// fieldParser reads the conditions of one field.
type fieldParser struct {
	conditionParser
	name string
}

type fieldTest = func(map[string]string) bool

func (p *fieldParser) or(depth int) fieldTest {
	left := p.and(depth)
	for p.take("||") {
		a, b := left, p.and(depth)
		left = func(v map[string]string) bool { return a(v) || b(v) }
	}
	return left
}

func (p *fieldParser) and(depth int) fieldTest {
	left := p.one(depth)
	for p.take("&&") {
		a, b := left, p.one(depth)
		left = func(v map[string]string) bool { return a(v) && b(v) }
	}
	return left
}

func (p *fieldParser) one(depth int) fieldTest {
	if depth > deepest {
		p.fail("it is nested too deeply")
		return nil
	}
	if p.take("(") {
		t := p.or(depth + 1)
		if !p.take(")") {
			p.fail("a parenthesis is not closed")
		}
		return t
	}
	p.space()
	end := strings.IndexAny(p.rest, " !=<>)&|\t\n")
	if end <= 0 {
		p.fail("a field has a name and a comparison")
		return nil
	}
	name := p.rest[:end]
	p.rest = p.rest[end:]
	if p.name != "" && p.name != name {
		p.fail("the conditions of one field name both %s and %s", p.name, name)
		return nil
	}
	p.name = name
	operator := p.operator()
	if p.err != nil {
		return nil
	}
	compare := p.comparer(operator)
	return func(v map[string]string) bool {
		text := v[name]
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return compare(n, text)
		}
		return compare(text, text)
	}
}

// values are the fields of a message by their names, and whether it has as many as the
// pattern. Fields without a name are called by their place, from 1 on.
func (f *fieldPattern) values(message string) (map[string]string, bool) {
	fields := divide(message)
	skip := len(fields) - len(f.names)
	if skip < 0 || skip > 0 && f.rest < 0 {
		return nil, false
	}
	out := map[string]string{}
	for i, name := range f.names {
		at := i
		if f.rest >= 0 && i >= f.rest {
			at += skip
		}
		if name == "" {
			name = strconv.Itoa(at + 1)
		}
		out[name] = fields[at]
	}
	return out, true
}

func (f *fieldPattern) match(message string) bool {
	values, ok := f.values(message)
	if !ok {
		return false
	}
	for _, test := range f.tests {
		if !test(values) {
			return false
		}
	}
	return true
}

// divide divides a message at its spaces. What stands in quotation marks or in brackets
// is one field, without them.
func divide(message string) (out []string) {
	for rest := strings.TrimSpace(message); rest != ""; rest = strings.TrimLeft(rest, " \t") {
		end, closing := -1, map[byte]string{'"': `"`, '[': "]"}[rest[0]]
		if closing != "" {
			end = strings.Index(rest[1:], closing)
		}
		if end >= 0 {
			out, rest = append(out, rest[1:1+end]), rest[end+2:]
			continue
		}
		if end = strings.IndexAny(rest, " \t"); end < 0 {
			end = len(rest)
		}
		out, rest = append(out, rest[:end]), rest[end:]
	}
	return out
}

// fieldsOf are the fields that a pattern for messages divided by spaces finds in a
// message, as AWS names them: $NAME.
func fieldsOf(pattern, message string) map[string]string {
	inner, ok := brackets(pattern)
	if !ok {
		return nil
	}
	f, err := parseFields(inner)
	if err != nil {
		return nil
	}
	values, _ := f.values(message)
	out := map[string]string{}
	for name, v := range values {
		out["$"+name] = v
	}
	return out
}

// brackets is what stands between the brackets of a pattern.
func brackets(pattern string) (string, bool) {
	inner, open := strings.CutPrefix(strings.TrimSpace(pattern), "[")
	inner, closed := strings.CutSuffix(inner, "]")
	return inner, open && closed
}

// mostExpression bounds a regular expression of a pattern, in characters.
const mostExpression = 500

// expression is the regular expression between two percent signs.
func expression(text string) (*regexp.Regexp, error) {
	if len(text) > mostExpression {
		return nil, errPattern("a regular expression has more than %d characters", mostExpression)
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, errPattern("the regular expression %s cannot be read", text)
	}
	return re, nil
}
