package pipeline

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/types"
)

type exprConfig = conf.Config

// expressions checks the expressions of one stage or trigger.
func (c *checks) expressions(list []*expression, v visible) {
	for _, e := range list {
		if f := c.expression(e, v); f != nil {
			at := e.at + runeOffset(e.text, f.at)
			size := min(max(1, f.size), max(1, utf8.RuneCountInString(e.text)-f.at))
			c.expressionError(e.node, at, size, f.code, fmt.Sprintf("%s: %s", e.subject, f.message), f.suggestion)
		}
	}
}

func (c *checks) expression(e *expression, v visible) *fault {
	if secretReference.MatchString(e.text) {
		if e.secret {
			return nil
		}
		return &fault{code: CodeSecret, size: utf8.RuneCountInString(strings.TrimSpace(e.text)),
			at:      utf8.RuneCountInString(e.text) - utf8.RuneCountInString(strings.TrimLeft(e.text, " \t\n")),
			message: "a secret cannot be used here, only where a credential makes sense (" + strings.Join(secretPlaces(), ", ") + ")"}
	}
	p, f := parseExpression(e.text, c.config, v.parameter)
	if f != nil {
		return f
	}
	for _, r := range p.refs {
		if e.mode == triggerMode && r.root != "trigger" {
			return &fault{code: CodeExpression, message: onlyTrigger, at: r.at, size: r.size}
		}
	}
	env, f := checkReferences(p.refs, v)
	if f != nil {
		return f
	}
	return checkTypes(p, c.config, env, e.want)
}

func secretPlaces() []string {
	var places []string
	for _, k := range kinds {
		for _, f := range k.SecretFields() {
			places = append(places, k.Name+"."+f)
		}
	}
	return places
}

// runeOffset is the byte offset of a character.
func runeOffset(s string, n int) int {
	at := 0
	for ; n > 0 && at < len(s); n-- {
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	return at
}

// stageScope is what the expressions of stage i may refer to.
type stageScope struct {
	*checks
	i int
}

func (s stageScope) parameter(name string) bool { _, ok := s.at.index[name]; return ok }
func (s stageScope) parameters() []string       { return parameterNames(s.at.pipeline) }
func (s stageScope) artifact(name string) *fault {
	return s.artifactFault(s.i, name)
}

func (s stageScope) stage(name string) (types.Map, []string, *fault) {
	j, ok := s.graph.index[name]
	if !ok {
		return nil, nil, &fault{code: CodeUnknownStage, message: fmt.Sprintf("there is no stage %q", name), suggestion: s.nearest(name, s.names)}
	}
	if f := s.notUpstream(s.i, j); f != nil {
		return nil, nil, f
	}
	o := s.at.stages[j]
	if o.kind.Name == "" {
		return types.Map{types.Extra: types.Any}, nil, nil
	}
	outputs := outputTypes(o.kind.Outputs)
	names := outputNames(o.kind.Outputs)
	for _, declared := range declaredOutputs(o) {
		names = append(names, declared.Name)
		outputs[declared.Name] = declared.Type.exprType()
	}
	return outputs, names, nil
}

// declaredOutputs lists what a stage names in its own `outputs`.
func declaredOutputs(o *stageOrigin) []Output {
	var out []Output
	if run, ok := configOf[Run](o); ok {
		for _, name := range run.Outputs {
			out = append(out, Output{Name: name, Type: StringOutput})
		}
	}
	if hook, ok := configOf[Webhook](o); ok {
		for _, name := range sortedKeys(hook.Outputs) {
			out = append(out, Output{Name: name, Type: AnyOutput})
		}
	}
	return out
}

// triggerScope is what the expressions of a trigger may refer to: itself.
type triggerScope struct{}

const onlyTrigger = "a trigger's expressions see `trigger` alone: nothing has started yet"

func (triggerScope) parameter(string) bool  { return false }
func (triggerScope) parameters() []string   { return nil }
func (triggerScope) artifact(string) *fault { return nil }
func (triggerScope) stage(string) (types.Map, []string, *fault) {
	return nil, nil, nil
}
