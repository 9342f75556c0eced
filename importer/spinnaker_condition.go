package importer

import (
	"fmt"
	"regexp"
	"strings"

	"showrunner/pipeline"
)

// condition carries an expression of Spinnaker over that asks for the values of
// parameters; the ${ } around it may be left out.
func (s *spinnaker) condition(text string) (string, bool) {
	text = strings.TrimSpace(text)
	if m := spelWhole.FindStringSubmatch(text); m != nil {
		text = m[1]
	}
	p := &spelParser{text: text, name: s.expression}
	out := p.or()
	p.space()
	return out, !p.wrong && p.text == "" && out != ""
}

var spelWhole = regexp.MustCompile(`(?s)^\$\{(.*)\}$`)

// spelParser reads comparisons joined by and, or and not.
type spelParser struct {
	text  string
	name  func(string) (string, bool)
	wrong bool
	deep  int
}

func (p *spelParser) space() { p.text = strings.TrimLeft(p.text, " \t\r\n") }

// take takes one of some words or signs.
func (p *spelParser) take(words ...string) bool {
	p.space()
	for _, w := range words {
		rest, ok := strings.CutPrefix(p.text, w)
		letters := w[0] >= 'a' && w[0] <= 'z'
		if ok && !(letters && rest != "" && identifier("x"+rest[:1]) == "x"+rest[:1]) {
			p.text = rest
			return true
		}
	}
	return false
}

func (p *spelParser) or() string {
	out := p.and()
	for p.take("||", "or") {
		out += " || " + p.and()
	}
	return out
}

func (p *spelParser) and() string {
	out := p.not()
	for p.take("&&", "and") {
		out += " && " + p.not()
	}
	return out
}

func (p *spelParser) not() string {
	if p.deep++; p.deep > 50 {
		p.wrong = true
		return ""
	}
	defer func() { p.deep-- }()
	p.space()
	if !strings.HasPrefix(p.text, "!=") && p.take("!", "not") {
		return "!(" + p.not() + ")"
	}
	if p.take("(") {
		out := p.or()
		if !p.take(")") {
			p.wrong = true
		}
		return "(" + out + ")"
	}
	return p.comparison()
}

// comparison is a parameter and a text, on whichever side, or a parameter alone.
func (p *spelParser) comparison() string {
	left, isName := p.operand()
	sign := ""
	switch {
	case p.take("==", "eq"):
		sign = " == "
	case p.take("!=", "ne"):
		sign = " != "
	case isName && !p.wrong:
		return left + ` == "true"` // parameters are texts
	default:
		p.wrong = true
		return ""
	}
	right, alsoName := p.operand()
	if !isName && !alsoName {
		p.wrong = true
	}
	return left + sign + right
}

var (
	spelText = regexp.MustCompile(`^(?:'([^']*)'|"([^"]*)")`)
	spelWord = regexp.MustCompile(`^(?:true|false|-?[0-9]+(?:\.[0-9]+)?)\b`)
	spelName = regexp.MustCompile(`^#?[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*|\[\s*(?:'[^']*'|"[^"]*")\s*\])*`)
)

// operand is a text or the name of a parameter; the second result tells which.
func (p *spelParser) operand() (string, bool) {
	p.space()
	if m := spelText.FindStringSubmatch(p.text); m != nil {
		p.text = p.text[len(m[0]):]
		return fmt.Sprintf("%q", m[1]+m[2]), false
	}
	if m := spelWord.FindString(p.text); m != "" {
		p.text = p.text[len(m):]
		return fmt.Sprintf("%q", m), false // parameters are texts
	}
	if m := spelName.FindString(p.text); m != "" {
		if name, ok := p.name(m); ok {
			p.text = p.text[len(m):]
			return name, true
		}
	}
	p.wrong = true
	return "", false
}

// preconditions become a command that checks the stage's own expressions. A
// precondition that does not hold stops the stage's branch where failPipeline is
// off, and the execution where it is on or absent; a stage that has both kinds
// is two here.
func (s *spinnaker) preconditions(st cursor, name string) (pipeline.Stage, bool) {
	var halt, stop pipeline.Run
	for _, p := range st.get("preconditions").items() {
		// orca hands each of the context's members, and failPipeline, to the check.
		context := p.get("context")
		text := context.get("expression").text()
		expression, ok := s.condition(text)
		if p.get("type").static() != "expression" || !ok {
			p.leave(Error, "precondition "+unmark(text), "the stage checks only expressions that compare parameters with texts; it is left out")
			continue
		}
		p.get("type").note(Info, "type expression", "a precondition is an expression here")
		group := &halt
		if fail := p.get("failPipeline"); fail.ok() && !fail.truth() {
			group = &stop
		} else {
			fail.note(Info, "failPipeline true", "it is what a failed stage does by itself")
		}
		command := `test "${{ ` + expression + ` }}" = true`
		if message := s.text(context.get("failureMessage")); message != "" {
			variable := fmt.Sprintf("MESSAGE_%d", len(group.Commands)+1)
			if group.Env == nil {
				group.Env = map[string]string{}
			}
			group.Env[variable] = message
			command += ` || { printf '%s\n' "$` + variable + `" >&2; exit 1; }`
		}
		group.Commands = append(group.Commands, command)
	}
	switch {
	case len(halt.Commands) == 0 && len(stop.Commands) == 0:
		s.in.note(Error, st.path, "stage "+st.get("name").static()+" (checkPreconditions)", "none of its preconditions could be carried over; the stage is left out")
		return pipeline.Stage{}, false
	case len(stop.Commands) == 0:
		return stageOf(name, halt), true
	}
	out := stageOf(name, stop)
	out.OnFailure = pipeline.HaltBranch
	if len(halt.Commands) > 0 {
		s.first[name] = stageOf(unique(s.taken, name+"-required"), halt)
	}
	return out, true
}
