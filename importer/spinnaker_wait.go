package importer

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"showrunner/pipeline"
)

// longestWait is the longest wait in seconds that fits into a duration here.
const longestWait = 1 << 33

// wait converts a stage that waits for a number of seconds. The number may be an
// expression. A time that cannot be carried over leaves the stage out: no other
// time would be the right one.
// Orca waits for no time when there is no waitTime:
// https://github.com/spinnaker/orca/blob/master/orca-core/src/main/java/com/netflix/spinnaker/orca/pipeline/WaitStage.java
func (s *spinnaker) wait(st cursor, name string) (pipeline.Stage, bool) {
	f := st.get("waitTime")
	text := strings.TrimSpace(f.text())
	st.get("skipWaitText").leave(Info, "skipWaitText", "whoever ends a wait early is not asked to confirm a text")
	seconds := "0"
	if m := spelWhole.FindStringSubmatch(text); m != nil {
		expression, ok := s.number(m[1])
		if !ok {
			s.in.note(Error, st.path, "waitTime "+unmark(text), "an expression of Spinnaker that has no equivalent, or a parameter that the pipeline has not: the stage is left out, and what needed it needs what it needed; write a `wait` stage with its time")
			return pipeline.Stage{}, false
		}
		return waitFor(name, "${{ string("+expression+`) + "s" }}`), true
	}
	if f.ok() && text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 || n > longestWait {
			s.in.note(Error, st.path, "waitTime "+unmark(text), "not a number of seconds: the stage is left out, and what needed it needs what it needed; write a `wait` stage with its time")
			return pipeline.Stage{}, false
		}
		seconds = strconv.FormatInt(n, 10)
	} else {
		s.in.note(Info, st.path, "waitTime", "there is none, and Spinnaker then does not wait")
	}
	d, err := pipeline.ParseDuration(seconds + "s")
	if err != nil {
		return pipeline.Stage{}, false
	}
	return waitFor(name, d.String()), true
}

// waitFor is a wait stage whose time is a duration or an expression.
func waitFor(name, duration string) pipeline.Stage {
	raw, err := json.Marshal(map[string]string{"for": duration})
	if err != nil {
		panic("importer: a text is always JSON: " + err.Error())
	}
	return pipeline.Stage{Name: name, Kind: pipeline.Wait{}.Kind(), With: raw}
}

// number converts an expression whose value is a whole number: a parameter,
// numbers and parameters converted by #toInt that are added, subtracted and
// multiplied, a choice by a condition, and a value in place of an empty parameter.
func (s *spinnaker) number(text string) (string, bool) {
	p := &spelParser{text: text, name: s.expression, status: func(string) (string, bool) { return "", false }}
	out := p.choice()
	p.space()
	return out, !p.wrong && p.text == "" && out != ""
}

// choice parses "condition ? number : number", "parameter ?: number", a parameter
// alone or a sum.
func (p *spelParser) choice() string {
	if p.deep++; p.deep > 50 {
		p.wrong = true
		return ""
	}
	defer func() { p.deep-- }()
	begin := *p
	if left, isName := p.operand(); isName && !p.wrong {
		p.space()
		switch {
		case p.text == "" || strings.HasPrefix(p.text, ")") || strings.HasPrefix(p.text, ":"):
			return "int(" + left + ")"
		case p.take("?:"):
			return "(" + left + ` != "" ? int(` + left + ") : " + p.choice() + ")"
		}
	}
	*p = begin
	condition := p.or()
	if !p.wrong && p.take("?") {
		yes := p.choice()
		if !p.take(":") {
			p.wrong = true
		}
		return "(" + condition + " ? " + yes + " : " + p.choice() + ")"
	}
	*p = begin
	return p.sum()
}

func (p *spelParser) sum() string {
	out := p.product()
	for !p.wrong {
		switch {
		case p.take("+"):
			out += " + " + p.product()
		case p.take("-"):
			out += " - " + p.product()
		default:
			return out
		}
	}
	return out
}

func (p *spelParser) product() string {
	out := p.whole()
	for p.take("*") {
		out += " * " + p.whole()
	}
	return out
}

var (
	spelDigits = regexp.MustCompile(`^[0-9]{1,9}\b`)
	spelToInt  = regexp.MustCompile(`^(?:#toInt|T\(\s*(?:java\.lang\.)?(?:Integer|Long)\s*\)\.(?:parseInt|parseLong|valueOf)|new\s+(?:java\.lang\.)?(?:Integer|Long))\(`)
)

// whole parses a whole number, a parameter that is converted to one, or a number
// in parentheses.
func (p *spelParser) whole() string {
	p.space()
	if m := spelDigits.FindString(p.text); m != "" {
		p.text = p.text[len(m):]
		return m
	}
	if m := spelToInt.FindString(p.text); m != "" {
		p.text = p.text[len(m):]
		name, isName := p.operand()
		if !isName || !p.take(")") {
			p.wrong = true
		}
		return "int(" + name + ")"
	}
	if p.take("(") {
		out := p.choice()
		if !p.take(")") {
			p.wrong = true
		}
		return "(" + out + ")"
	}
	p.wrong = true
	return ""
}
