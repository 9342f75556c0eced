package logs

import (
	"context"
	"encoding/json"
	"fmt"
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
// or a condition on the members of a JSON message. An empty one matches everything.
// Patterns for messages divided by spaces, and regular expressions, are refused.
func parsePattern(text string) (pattern, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return func(string) bool { return true }, nil
	case strings.HasPrefix(text, "["):
		return nil, errPattern("patterns for messages divided by spaces are not served")
	case strings.HasPrefix(text, "{"):
		if !strings.HasSuffix(text, "}") {
			return nil, errPattern("the brace is not closed")
		}
		return parseCondition(text[1 : len(text)-1])
	}
	return parseTerms(text)
}

func parseTerms(text string) (pattern, error) {
	var all, any, none []string
	for rest := text; rest != ""; rest = strings.TrimLeft(rest, " ") {
		list := &all
		switch rest[0] {
		case '?':
			list, rest = &any, rest[1:]
		case '-':
			list, rest = &none, rest[1:]
		}
		term := rest
		if strings.HasPrefix(rest, `"`) {
			end := strings.IndexByte(rest[1:], '"')
			if end < 0 {
				return nil, errPattern("a quotation mark is not closed")
			}
			term, rest = rest[1:1+end], rest[end+2:]
		} else {
			term, rest, _ = strings.Cut(rest, " ")
		}
		if term == "" {
			return nil, errPattern("a term is empty")
		}
		if strings.HasPrefix(term, "%") {
			return nil, errPattern("regular expressions are not served")
		}
		*list = append(*list, term)
	}
	return func(message string) bool {
		for _, t := range all {
			if !strings.Contains(message, t) {
				return false
			}
		}
		for _, t := range none {
			if strings.Contains(message, t) {
				return false
			}
		}
		found := len(any) == 0
		for _, t := range any {
			found = found || strings.Contains(message, t)
		}
		return found
	}, nil
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
	for _, operator := range []string{"!=", ">=", "<=", "=", ">", "<"} {
		if p.take(operator) {
			return p.comparison(path, operator)
		}
	}
	p.fail("a comparison is missing")
	return nil
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

func (p *conditionParser) comparison(path []any, operator string) condition {
	p.space()
	var text string
	quoted := strings.HasPrefix(p.rest, `"`)
	if quoted {
		end := strings.IndexByte(p.rest[1:], '"')
		if end < 0 {
			p.fail("a quotation mark is not closed")
			return nil
		}
		text, p.rest = p.rest[1:1+end], p.rest[end+2:]
	} else {
		end := strings.IndexAny(p.rest, " )&|\t\n")
		if end < 0 {
			end = len(p.rest)
		}
		text, p.rest = p.rest[:end], p.rest[end:]
		if text == "" {
			p.fail("a value is missing")
			return nil
		}
	}
	if strings.HasPrefix(text, "%") && !quoted {
		p.fail("regular expressions are not served")
		return nil
	}
	number, numberErr := strconv.ParseFloat(text, 64)
	if numberErr != nil && operator != "=" && operator != "!=" {
		p.fail("%s compares with a number", operator)
		return nil
	}
	return func(root any) bool {
		v, ok := at(root, path)
		if !ok {
			return false
		}
		if n, isNumber := v.(float64); isNumber && numberErr == nil && !quoted {
			switch operator {
			case "=":
				return n == number
			case "!=":
				return n != number
			case ">":
				return n > number
			case ">=":
				return n >= number
			case "<":
				return n < number
			}
			return n <= number
		}
		same := wildcard(text, fmt.Sprint(v))
		return operator == "=" && same || operator == "!=" && !same
	}
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
	EventNumber  int64
	EventMessage string
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
			out.Matches = append(out.Matches, match{int64(i + 1), m})
		}
	}
	return out, nil
}
