package cloudwatch

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// series is values by the start of their periods, in seconds since 1970.
type series map[int64]float64

// value is what an expression comes to: a number, a series, or several series.
type value struct {
	number float64
	one    series
	many   []series
}

func (v value) isNumber() bool { return v.one == nil && v.many == nil }

// scope is what an expression can use.
type scope struct {
	series map[string]series // by query id
	period int64             // seconds
	grid   []int64           // every period of the range
}

// node computes a part of an expression.
type node func(s scope) (value, error)

// expression is a metric maths expression that was read, with the ids it uses.
type expression struct {
	compute node
	ids     []string
	all     bool // it uses METRICS()
}

// parseMath reads an expression of metric maths. Errors say where it stops making sense.
func parseMath(text string) (expression, error) {
	if strings.HasPrefix(strings.ToUpper(strings.TrimSpace(text)), "SELECT") {
		return expression{}, fmt.Errorf("metric queries in SQL are not served")
	}
	p := &mathParser{text: text}
	p.next()
	n := p.binary(0, 0)
	if p.err == nil && p.token != "" {
		p.fail("unexpected %q", p.token)
	}
	return expression{compute: n, ids: p.ids, all: p.all}, p.err
}

type mathParser struct {
	text  string
	at    int
	token string // the current one; "" at the end
	kind  byte   // n number, i name, s text, o operator
	ids   []string
	all   bool
	err   error
}

func (p *mathParser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format+" at position %d", append(args, p.at-len(p.token)+1)...)
	}
	p.token, p.kind = "", 0
}

var mathOperators = []string{"==", "!=", "<=", ">=", "&&", "||", "<", ">", "+", "-", "*", "/", "^", "(", ")", "[", "]", ","}

func (p *mathParser) next() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t' || p.text[p.at] == '\n') {
		p.at++
	}
	rest := p.text[p.at:]
	take := func(n int, kind byte) { p.token, p.kind, p.at = rest[:n], kind, p.at+n }
	span := func(ok func(c byte) bool) int {
		n := 0
		for n < len(rest) && ok(rest[n]) {
			n++
		}
		return n
	}
	digit := func(c byte) bool { return c >= '0' && c <= '9' || c == '.' }
	letter := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }
	switch {
	case rest == "":
		p.token, p.kind = "", 0
	case digit(rest[0]):
		take(span(digit), 'n')
	case letter(rest[0]):
		take(span(func(c byte) bool { return letter(c) || digit(c) && c != '.' }), 'i')
	case rest[0] == '"' || rest[0] == '\'':
		end := strings.IndexByte(rest[1:], rest[0])
		if end < 0 {
			p.fail("a text without its end")
			return
		}
		take(end+2, 's')
	default:
		for _, o := range mathOperators {
			if strings.HasPrefix(rest, o) {
				take(len(o), 'o')
				return
			}
		}
		p.at++
		p.fail("unexpected %q", rest[:1])
	}
}

var precedence = map[string]int{"OR": 1, "||": 1, "AND": 2, "&&": 2, "==": 3, "!=": 3, "<": 3, ">": 3, "<=": 3, ">=": 3, "+": 4, "-": 4, "*": 5, "/": 5, "^": 6}

const deepestMath = 100

func (p *mathParser) binary(least, depth int) node {
	left := p.unary(depth)
	for p.err == nil {
		operator := p.token
		level, ok := precedence[strings.ToUpper(operator)]
		if !ok || level < least || p.kind == 's' || level == 0 {
			return left
		}
		p.next()
		right := p.binary(level+1, depth+1)
		left = combine(strings.ToUpper(operator), left, right)
	}
	return left
}

func (p *mathParser) unary(depth int) node {
	if depth > deepestMath {
		p.fail("the expression is nested too deeply")
		return nil
	}
	token, kind := p.token, p.kind
	switch {
	case token == "-" && kind == 'o':
		p.next()
		inner := p.unary(depth + 1)
		return combine("-", number(0), inner)
	case token == "(" && kind == 'o':
		p.next()
		inner := p.binary(0, depth+1)
		p.expect(")")
		return inner
	case token == "[" && kind == 'o':
		p.next()
		return listOf(p.arguments("]", depth))
	case kind == 'n':
		v, err := strconv.ParseFloat(token, 64)
		if err != nil {
			p.fail("%q is no number", token)
			return nil
		}
		p.next()
		return number(v)
	case kind == 'i':
		p.next()
		if p.token == "(" && p.kind == 'o' {
			p.next()
			return p.call(strings.ToUpper(token), depth)
		}
		p.ids = append(p.ids, token)
		return identifier(token)
	}
	p.fail("a value is missing")
	return nil
}

func (p *mathParser) expect(token string) {
	if p.err == nil && p.token != token {
		p.fail("%q is missing", token)
		return
	}
	p.next()
}

func (p *mathParser) arguments(end string, depth int) (list []node) {
	for p.err == nil && p.token != end {
		list = append(list, p.binary(0, depth+1))
		if p.token != "," {
			break
		}
		p.next()
	}
	p.expect(end)
	return list
}

func number(v float64) node { return func(scope) (value, error) { return value{number: v}, nil } }

func identifier(id string) node {
	return func(s scope) (value, error) {
		found, ok := s.series[id]
		if !ok {
			return value{}, fmt.Errorf("there is no query %q", id)
		}
		return value{one: found}, nil
	}
}

func listOf(nodes []node) node {
	return func(s scope) (value, error) {
		out := value{many: []series{}}
		for _, n := range nodes {
			v, err := n(s)
			if err != nil {
				return v, err
			}
			switch {
			case v.many != nil:
				out.many = append(out.many, v.many...)
			case v.one != nil:
				out.many = append(out.many, v.one)
			default:
				out.many = append(out.many, constant(v.number, s.grid))
			}
		}
		return out, nil
	}
}

func constant(v float64, grid []int64) series {
	out := series{}
	for _, t := range grid {
		out[t] = v
	}
	return out
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func and(a, b float64) float64 { return truth(a != 0 && b != 0) }

func or(a, b float64) float64 { return truth(a != 0 || b != 0) }

var arithmetic = map[string]func(a, b float64) float64{
	"+": func(a, b float64) float64 { return a + b }, "-": func(a, b float64) float64 { return a - b },
	"*": func(a, b float64) float64 { return a * b }, "/": func(a, b float64) float64 { return a / b },
	"^": math.Pow, "==": func(a, b float64) float64 { return truth(a == b) }, "!=": func(a, b float64) float64 { return truth(a != b) },
	"<": func(a, b float64) float64 { return truth(a < b) }, ">": func(a, b float64) float64 { return truth(a > b) },
	"<=": func(a, b float64) float64 { return truth(a <= b) }, ">=": func(a, b float64) float64 { return truth(a >= b) },
	"AND": and, "&&": and, "OR": or, "||": or,
}

// combine applies an operator: point by point where both sides have one, a number to
// every point. Points that are no numbers, such as after a division by 0, are left out.
func combine(operator string, left, right node) node {
	f := arithmetic[operator]
	return func(s scope) (value, error) {
		a, err := left(s)
		if err != nil {
			return a, err
		}
		b, err := right(s)
		if err != nil {
			return b, err
		}
		return apply(f, a, b)
	}
}

func apply(f func(a, b float64) float64, a, b value) (value, error) {
	switch {
	case a.many != nil && b.many != nil:
		return value{}, fmt.Errorf("an operator between two lists of series")
	case a.many != nil:
		out := value{many: []series{}}
		for _, x := range a.many {
			v, _ := apply(f, value{one: x}, b) // b is no list
			out.many = append(out.many, v.one)
		}
		return out, nil
	case b.many != nil:
		out := value{many: []series{}}
		for _, x := range b.many {
			v, _ := apply(f, a, value{one: x}) // a is no list
			out.many = append(out.many, v.one)
		}
		return out, nil
	case a.isNumber() && b.isNumber():
		return value{number: f(a.number, b.number)}, nil
	case a.isNumber():
		return value{one: mapSeries(b.one, func(v float64) float64 { return f(a.number, v) })}, nil
	case b.isNumber():
		return value{one: mapSeries(a.one, func(v float64) float64 { return f(v, b.number) })}, nil
	}
	out := series{}
	for t, v := range a.one {
		if w, ok := b.one[t]; ok {
			out.set(t, f(v, w))
		}
	}
	return value{one: out}, nil
}

func (s series) set(t int64, v float64) {
	if !math.IsNaN(v) && !math.IsInf(v, 0) {
		s[t] = v
	}
}

func mapSeries(in series, f func(float64) float64) series {
	out := series{}
	for t, v := range in {
		out.set(t, f(v))
	}
	return out
}

func (s series) times() []int64 { return slices.Sorted(maps.Keys(s)) }
