package logs

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"showrunner/awsapi/wire"
)

// pattern tells whether a message matches.
type pattern func(message string) bool

func errPattern(format string, args ...any) error {
	return invalid("Invalid filter pattern: "+format, args...)
}

// parsePattern reads a filter pattern: terms that all have to be in the message, with
// quotation marks around those with spaces, ?term for any of several and -term for none;
// %expression% for a regular expression; a condition on the members of a JSON message; or
// the fields of a message that is divided by spaces. An empty one matches everything.
func parsePattern(text string) (pattern, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return func(string) bool { return true }, nil
	case strings.HasPrefix(text, "["):
		inner, closed := brackets(text)
		if !closed {
			return nil, errPattern("the bracket is not closed")
		}
		f, err := parseFields(inner)
		if err != nil {
			return nil, err
		}
		return f.match, nil
	case strings.HasPrefix(text, "{"):
		if !strings.HasSuffix(text, "}") {
			return nil, errPattern("the brace is not closed")
		}
		return parseCondition(text[1 : len(text)-1])
	}
	return parseTerms(text)
}

// parseTerms reads terms, each of which tests the whole message.
func parseTerms(text string) (pattern, error) {
	var all, any, none []pattern
	for rest := text; rest != ""; rest = strings.TrimLeft(rest, " ") {
		list := &all
		switch rest[0] {
		case '?':
			list, rest = &any, rest[1:]
		case '-':
			list, rest = &none, rest[1:]
		}
		test, after, err := parseTerm(rest)
		if err != nil {
			return nil, err
		}
		*list, rest = append(*list, test), after
	}
	return func(message string) bool {
		holds := func(test pattern) bool { return test(message) }
		return !slices.ContainsFunc(all, func(test pattern) bool { return !test(message) }) &&
			!slices.ContainsFunc(none, holds) && (len(any) == 0 || slices.ContainsFunc(any, holds))
	}, nil
}

// parseTerm reads the first term of a text.
func parseTerm(text string) (test pattern, rest string, err error) {
	for mark, name := range map[string]string{`"`: "a quotation mark", "%": "a percent sign"} {
		inner, ok := strings.CutPrefix(text, mark)
		if !ok {
			continue
		}
		term, rest, closed := strings.Cut(inner, mark)
		switch {
		case !closed:
			return nil, "", errPattern("%s is not closed", name)
		case term == "":
			return nil, "", errPattern("a term is empty")
		case mark == `"`:
			return func(message string) bool { return strings.Contains(message, term) }, rest, nil
		}
		re, err := expression(term)
		if err != nil {
			return nil, "", err
		}
		return re.MatchString, rest, nil
	}
	term, rest, _ := strings.Cut(text, " ")
	if term == "" {
		return nil, "", errPattern("a term is empty")
	}
	return func(message string) bool { return strings.Contains(message, term) }, rest, nil
}

// condition is a test of a message's JSON.
type condition func(root any) bool

type conditionParser struct {
	rest string
	err  error
}

func parseCondition(text string) (pattern, error) {
	p := &conditionParser{rest: text}
	c := p.or(0)
	p.space()
	if p.err == nil && p.rest != "" {
		p.fail("unexpected %q", p.rest)
	}
	if p.err != nil {
		return nil, p.err
	}
	return func(message string) bool {
		var root any
		return json.Unmarshal([]byte(message), &root) == nil && c(root)
	}, nil
}

func (p *conditionParser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = errPattern(format, args...)
	}
	p.rest = ""
}

func (p *conditionParser) space() { p.rest = strings.TrimLeft(p.rest, " \t\n") }

func (p *conditionParser) take(token string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, token)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *conditionParser) or(depth int) condition {
	left := p.and(depth)
	for p.take("||") {
		a, b := left, p.and(depth)
		left = func(root any) bool { return a(root) || b(root) }
	}
	return left
}

func (p *conditionParser) and(depth int) condition {
	left := p.one(depth)
	for p.take("&&") {
		a, b := left, p.one(depth)
		left = func(root any) bool { return a(root) && b(root) }
	}
	return left
}

const deepest = 50

func (p *conditionParser) one(depth int) condition {
	if depth > deepest {
		p.fail("it is nested too deeply")
		return nil
	}
	if p.take("(") {
		c := p.or(depth + 1)
		if !p.take(")") {
			p.fail("a parenthesis is not closed")
		}
		return c
	}
	path := p.path()
	if p.err != nil {
		return nil
	}
	switch {
	case p.take("IS NULL"):
		return func(root any) bool { v, ok := at(root, path); return ok && v == nil }
	case p.take("NOT EXISTS"):
		return func(root any) bool { _, ok := at(root, path); return !ok }
	case p.take("IS TRUE"):
		return func(root any) bool { v, _ := at(root, path); return v == true }
	case p.take("IS FALSE"):
		return func(root any) bool { v, _ := at(root, path); return v == false }
	}
	operator := p.operator()
	if p.err != nil {
		return nil
	}
	compare := p.comparer(operator)
	return func(root any) bool {
		v, ok := at(root, path)
		return ok && compare(v, fmt.Sprint(v))
	}
}

// operator reads an operator of comparison.
func (p *conditionParser) operator() string {
	for _, operator := range []string{"!=", ">=", "<=", "=", ">", "<"} {
		if p.take(operator) {
			return operator
		}
	}
	p.fail("a comparison is missing")
	return ""
}

// path reads $.member.member[0].
func (p *conditionParser) path() (path []any) {
	if !p.take("$") {
		p.fail("a member begins with $")
		return nil
	}
	for p.rest != "" {
		switch p.rest[0] {
		case '.':
			end := strings.IndexAny(p.rest[1:], ".[ !=<>)&|\t\n")
			if end < 0 {
				end = len(p.rest) - 1
			}
			if end == 0 {
				p.fail("a member has no name")
				return nil
			}
			path, p.rest = append(path, p.rest[1:1+end]), p.rest[1+end:]
		case '[':
			inner, rest, ok := strings.Cut(p.rest[1:], "]")
			n, err := strconv.Atoi(inner)
			if !ok || err != nil || n < 0 {
				p.fail("an index is a number in brackets")
				return nil
			}
			path, p.rest = append(path, n), rest
		default:
			return path
		}
	}
	return path
}

func at(v any, path []any) (any, bool) {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				return nil, false
			}
			if v, ok = m[step]; !ok {
				return nil, false
			}
		case int:
			list, ok := v.([]any)
			if !ok || step >= len(list) {
				return nil, false
			}
			v = list[step]
		}
	}
	return v, true
}

// comparer reads a value, and compares others with it: a number, or a text.
func (p *conditionParser) comparer(operator string) func(v any, text string) bool {
	p.space()
	var text string
	quoted := strings.HasPrefix(p.rest, `"`)
	switch {
	case quoted:
		inner, rest, closed := strings.Cut(p.rest[1:], `"`)
		if !closed {
			p.fail("a quotation mark is not closed")
			return nil
		}
		text, p.rest = inner, rest
	case strings.HasPrefix(p.rest, "%"):
		return p.expressionComparer(operator)
	default:
		end := strings.IndexAny(p.rest, " )&|\t\n")
		if end < 0 {
			end = len(p.rest)
		}
		if text, p.rest = p.rest[:end], p.rest[end:]; text == "" {
			p.fail("a value is missing")
			return nil
		}
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil && operator != "=" && operator != "!=" {
		p.fail("%s compares with a number", operator)
		return nil
	}
	numeric := err == nil && !quoted
	return func(v any, shown string) bool {
		if n, isNumber := v.(float64); isNumber && numeric {
			return compareNumbers(operator, n, number)
		}
		same := wildcard(text, shown)
		return operator == "=" && same || operator == "!=" && !same
	}
}

// expressionComparer reads a regular expression, and compares texts with it.
func (p *conditionParser) expressionComparer(operator string) func(v any, text string) bool {
	inner, rest, closed := strings.Cut(p.rest[1:], "%")
	if !closed {
		p.fail("a percent sign is not closed")
		return nil
	}
	if operator != "=" && operator != "!=" {
		p.fail("%s compares with a number", operator)
		return nil
	}
	re, err := expression(inner)
	if err != nil {
		p.err, p.rest = err, ""
		return nil
	}
	p.rest = rest
	return func(_ any, text string) bool { return re.MatchString(text) == (operator == "=") }
}

func compareNumbers(operator string, a, b float64) bool {
	switch operator {
	case "=":
		return a == b
	case "!=":
		return a != b
	case ">":
		return a > b
	case ">=":
		return a >= b
	case "<":
		return a < b
	}
	return a <= b
}

// wildcard matches a text against one with * for anything.
func wildcard(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

type testInput struct {
	FilterPattern    string
	LogEventMessages []string
}

type match struct {
	EventNumber     int64
	EventMessage    string
	ExtractedValues map[string]string
}

type testOutput struct{ Matches []match }

func (l *Logs) testFilter(_ context.Context, _ *wire.Call, in *testInput) (*testOutput, error) {
	p, err := parsePattern(in.FilterPattern)
	if err != nil {
		return nil, err
	}
	out := &testOutput{Matches: []match{}}
	for i, m := range in.LogEventMessages {
		if p(m) {
			out.Matches = append(out.Matches, match{int64(i + 1), m, fieldsOf(in.FilterPattern, m)})
		}
	}
	return out, nil
}
