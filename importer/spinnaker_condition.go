package importer

import (
	"fmt"
	"regexp"
	"strings"

	"showrunner/pipeline"
)

// condition converts an expression over the values of parameters and over how
// earlier stages ended; ref is the stage that has the condition. The surrounding
// ${ } may be left out.
func (s *spinnaker) condition(text, ref string) (string, bool) {
	text = strings.TrimSpace(text)
	// An expression within quotes is one whose value is put into a text, which is
	// then read as a condition: its value.
	if m := spelQuoted.FindStringSubmatch(text); m != nil {
		text = m[1]
	}
	if m := spelWhole.FindStringSubmatch(text); m != nil {
		text = m[1]
	}
	p := &spelParser{text: text, name: s.expression, status: func(name string) (string, bool) { return s.status(name, ref) }}
	out := p.or()
	p.space()
	return out, !p.wrong && p.text == "" && out != ""
}

var spelQuoted = regexp.MustCompile(`(?s)^"(\$\{[^{}]*\})"$`)

var spelWhole = regexp.MustCompile(`(?s)^\$\{(.*)\}$`)

// spelParser reads comparisons joined by and, or and not.
type spelParser struct {
	text string
	name func(string) (string, bool)
	// status returns the expression for how a stage ended.
	status func(stage string) (string, bool)
	wrong  bool
	deep   int
}

func (p *spelParser) space() { p.text = strings.TrimLeft(p.text, " \t\r\n") }

// take consumes one of the given words or signs.
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

// comparison parses a parameter and a text, in either order, or a parameter
// alone.
func (p *spelParser) comparison() string {
	p.space()
	if p.text == "true" || p.text == "false" {
		out := p.text
		p.text = ""
		return out
	}
	if m := spelStatus.FindStringSubmatch(p.text); m != nil {
		p.text = p.text[len(m[0]):]
		return p.statusIs(m[1] + m[2])
	}
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

// statusIs parses a comparison with how a stage ended.
func (p *spelParser) statusIs(stage string) string {
	left, ok := p.status(stage)
	sign := " == "
	if p.take("!=", "ne") {
		sign = " != "
	} else if !p.take("==", "eq") {
		ok = false
	}
	p.space()
	m := spelText.FindStringSubmatch(p.text)
	if m == nil || !ok {
		p.wrong = true
		return ""
	}
	p.text = p.text[len(m[0]):]
	want, known := spinnakerStatuses[strings.ToUpper(m[1]+m[2])]
	p.wrong = p.wrong || !known
	return left + sign + fmt.Sprintf("%q", want)
}

// spinnakerStatuses maps Spinnaker's final statuses of a stage to this program's.
var spinnakerStatuses = map[string]string{
	"SUCCEEDED": "Succeeded", "FAILED_CONTINUE": "FailedContinue", "TERMINAL": "Terminal", "CANCELED": "Canceled", "STOPPED": "Stopped", "SKIPPED": "Skipped",
}

// status is the expression for how the named stage ended, if that stage precedes
// ref.
func (s *spinnaker) status(name, ref string) (string, bool) {
	here := s.names[name]
	seen := map[string]bool{}
	var before func(string) bool
	before = func(r string) bool {
		for _, n := range s.needs[r] {
			if !seen[n] {
				if seen[n] = true; s.ids[n] == here || before(n) {
					return true
				}
			}
		}
		return false
	}
	if here == "" || !s.carried[here] || !before(ref) {
		return "", false
	}
	if identifier(here) == here {
		return "stages." + here + ".status", true
	}
	return fmt.Sprintf("stages[%q].status", here), true
}

var spelStatus = regexp.MustCompile(`^#stage\(\s*(?:'([^']*)'|"([^"]*)")\s*\)(?:\.status|\[\s*['"]status['"]\s*\])(?:\.toString\(\)|\.name\(\))?`)

var (
	spelText = regexp.MustCompile(`^(?:'([^']*)'|"([^"]*)")`)
	spelWord = regexp.MustCompile(`^(?:true|false|-?[0-9]+(?:\.[0-9]+)?)\b`)
	spelName = regexp.MustCompile(`^#?[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*|\[\s*(?:'[^']*'|"[^"]*")\s*\])*`)
)

// operand parses a text or the name of a parameter; the second result tells
// which.
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

// preconditions become a command that checks the stage's expressions. A
// precondition that does not hold stops only the stage's branch when failPipeline
// is off, and the execution when it is on or absent. A stage that has both kinds
// becomes two.
func (s *spinnaker) preconditions(st cursor, name, ref string) (pipeline.Stage, bool) {
	if len(st.get("preconditions").items()) == 0 {
		s.in.note(Info, st.path, "stage "+st.get("name").static()+" (checkPreconditions)", "it checks nothing: what needed it needs what it needed")
		return pipeline.Stage{}, false
	}
	var halt, stop pipeline.Run
	for _, p := range st.get("preconditions").items() {
		// orca passes each member of the context, and failPipeline, to the check.
		context := p.get("context")
		kind := p.get("type")
		text := context.get("expression").text()
		if kind.static() == "stageStatus" {
			text = fmt.Sprintf("#stage('%s').status == '%s'", context.get("stageName").static(), context.get("stageStatus").static())
		}
		expression, ok := s.condition(text, ref)
		if kind.static() != "expression" && kind.static() != "stageStatus" || !ok {
			p.leave(Error, "precondition "+kind.static()+" "+unmark(text), "the stage checks only expressions that compare parameters with texts, and how earlier stages ended; it is left out")
			continue
		}
		kind.note(Info, "type "+kind.static(), "a precondition is an expression here")
		group := &halt
		if fail := p.get("failPipeline"); !s.decision(fail, "failPipeline", true) {
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
