package cloudwatch

import (
	"fmt"
	"slices"
	"strings"

	"showrunner/telemetry/alarm"
)

// rule is what a composite alarm is a function of: other alarms' states.
type rule struct {
	alarms []string // as they are named in the rule, each once
	holds  func(states map[string]alarm.State) bool
}

// parseRule reads an alarm rule: ALARM(name), OK(name), INSUFFICIENT_DATA(name), TRUE,
// FALSE, with NOT, AND, OR and parentheses.
func parseRule(text string) (rule, error) {
	p := &ruleParser{rest: text}
	p.next()
	holds := p.or(0)
	if p.err == nil && p.token != "" {
		p.fail("unexpected %q", p.token)
	}
	return rule{p.alarms, holds}, p.err
}

type condition = func(states map[string]alarm.State) bool

type ruleParser struct {
	rest   string
	token  string
	alarms []string
	err    error
}

func (p *ruleParser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
	p.token, p.rest = "", ""
}

func (p *ruleParser) next() {
	p.rest = strings.TrimLeft(p.rest, " \t\n")
	n := 1
	switch {
	case p.rest == "":
		n = 0
	case !strings.ContainsAny(p.rest[:1], "()"):
		if n = strings.IndexAny(p.rest, "() \t\n"); n < 0 {
			n = len(p.rest)
		}
	}
	p.token, p.rest = p.rest[:n], p.rest[n:]
}

const deepestRule = 100

func (p *ruleParser) or(depth int) condition {
	left := p.and(depth)
	for p.err == nil && p.token == "OR" {
		p.next()
		a, b := left, p.and(depth)
		left = func(s map[string]alarm.State) bool { return a(s) || b(s) }
	}
	return left
}

func (p *ruleParser) and(depth int) condition {
	left := p.not(depth)
	for p.err == nil && p.token == "AND" {
		p.next()
		a, b := left, p.not(depth)
		left = func(s map[string]alarm.State) bool { return a(s) && b(s) }
	}
	return left
}

func (p *ruleParser) not(depth int) condition {
	if depth > deepestRule {
		p.fail("it is nested too deeply")
		return nil
	}
	switch token := p.token; token {
	case "NOT":
		p.next()
		inner := p.not(depth + 1)
		return func(s map[string]alarm.State) bool { return !inner(s) }
	case "(":
		p.next()
		inner := p.or(depth + 1)
		if p.err == nil && p.token != ")" {
			p.fail("a parenthesis is not closed")
		}
		p.next()
		return inner
	case "TRUE", "FALSE":
		p.next()
		return func(map[string]alarm.State) bool { return token == "TRUE" }
	case string(alarm.OK), string(alarm.Alarm), string(alarm.InsufficientData):
		name := p.argument()
		return func(s map[string]alarm.State) bool { return s[name] == alarm.State(token) }
	case "":
		p.fail("a condition is missing")
	default:
		p.fail("%q is no condition", token)
	}
	return nil
}

// argument is the alarm's name in parentheses, which may be in quotation marks and hold
// spaces then.
func (p *ruleParser) argument() string {
	rest := strings.TrimLeft(p.rest, " \t\n")
	if !strings.HasPrefix(rest, "(") {
		p.fail("%s has no alarm", p.token)
		return ""
	}
	rest = strings.TrimLeft(rest[1:], " \t\n")
	end := strings.IndexByte(rest, ')')
	if strings.HasPrefix(rest, `"`) {
		if quote := strings.IndexByte(rest[1:], '"'); quote >= 0 {
			end = strings.IndexByte(rest[1+quote:], ')')
			if end >= 0 {
				end += 1 + quote
			}
		}
	}
	if end < 0 {
		p.fail("a parenthesis is not closed")
		return ""
	}
	name := strings.Trim(strings.TrimSpace(rest[:end]), `"`)
	if name == "" {
		p.fail("%s has no alarm", p.token)
		return ""
	}
	if !slices.Contains(p.alarms, name) {
		p.alarms = append(p.alarms, name)
	}
	p.rest = rest[end+1:]
	p.next()
	return name
}
