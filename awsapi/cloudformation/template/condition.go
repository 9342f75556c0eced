package template

import (
	"slices"
	"strings"
)

// EvalConditions evaluates the template's conditions with the environment's
// parameters, and keeps them there.
func (e *Env) EvalConditions() error {
	e.Conditions = map[string]bool{}
	under := map[string]bool{}
	var one func(name string) (bool, error)
	one = func(name string) (bool, error) {
		if v, done := e.Conditions[name]; done {
			return v, nil
		}
		if under[name] {
			return false, malformed("Circular dependency between conditions at %s", name)
		}
		declared, ok := e.Template.Conditions[name]
		if !ok {
			return false, malformed("Unresolved condition dependency %s", name)
		}
		under[name] = true
		v, err := e.condition(declared, one)
		e.Conditions[name] = v
		return v, err
	}
	for name := range e.Template.Conditions {
		if _, err := one(name); err != nil {
			return err
		}
	}
	return nil
}

func badCondition() error {
	return malformed("Conditions can only be boolean operations on parameters and other conditions")
}

// condition is a value of the conditions' language; other evaluates one by its name.
func (e *Env) condition(v any, other func(string) (bool, error)) (bool, error) {
	m, ok := v.(map[string]any)
	if !ok || len(m) != 1 {
		if b, is := v.(bool); is {
			return b, nil
		}
		return false, badCondition()
	}
	for name, argument := range m {
		list, isList := argument.([]any)
		switch name {
		case "Condition":
			text, ok := argument.(string)
			if !ok || other == nil {
				return false, badCondition()
			}
			return other(text)
		case "Fn::Not":
			if !isList || len(list) != 1 {
				return false, wrong("Template error: every Fn::Not object requires a list of one condition.")
			}
			b, err := e.condition(list[0], other)
			return !b, err
		case "Fn::And", "Fn::Or":
			if !isList || len(list) < 2 || len(list) > 10 {
				return false, wrong("Template error: every %s object requires a list of at least 2 and at most 10 boolean parameters.", name)
			}
			out := name == "Fn::And"
			for _, c := range list {
				b, err := e.condition(c, other)
				if err != nil {
					return false, err
				}
				if name == "Fn::And" {
					out = out && b
				} else {
					out = out || b
				}
			}
			return out, nil
		case "Fn::Equals":
			return e.equals(list)
		case "Fn::Contains", "Fn::EachMemberIn", "Fn::EachMemberEquals":
			return e.members(name, list)
		}
	}
	return false, badCondition()
}

func (e *Env) equals(list []any) (bool, error) {
	failed := wrong("Template error: every Fn::Equals object requires a list of 2 string parameters.")
	if len(list) != 2 {
		return false, failed
	}
	var texts [2]string
	for i, v := range list {
		w, err := e.Eval(v)
		if err != nil {
			return false, err
		}
		var ok bool
		if texts[i], ok = Text(w); ok {
			continue
		}
		l, is := w.([]any)
		if !is {
			return false, failed
		}
		if texts[i], ok = joined(l, ","); !ok {
			return false, failed
		}
	}
	return texts[0] == texts[1], nil
}

// members are the functions of rules over lists.
func (e *Env) members(name string, arguments []any) (bool, error) {
	failed := wrong("Template error: %s requires a list of texts and what its members are compared with", name)
	if len(arguments) != 2 {
		return false, failed
	}
	var sides [2][]string
	for i, v := range arguments {
		w, err := e.Eval(v)
		if err != nil {
			return false, err
		}
		list, ok := w.([]any)
		if !ok {
			list = []any{w}
		}
		for _, one := range list {
			text, ok := Text(one)
			if !ok {
				return false, failed
			}
			sides[i] = append(sides[i], text)
		}
	}
	left, right := sides[0], sides[1]
	switch name {
	case "Fn::Contains":
		return len(right) == 1 && slices.Contains(left, right[0]), nil
	case "Fn::EachMemberEquals":
		return len(right) == 1 && !slices.ContainsFunc(left, func(s string) bool { return s != right[0] }), nil
	}
	return !slices.ContainsFunc(left, func(s string) bool { return !slices.Contains(right, s) }), nil
}

// CheckRules says which assertion of the template's rules does not hold.
func (e *Env) CheckRules() error {
	named := func(name string) (bool, error) {
		v, ok := e.Conditions[name]
		if !ok {
			return false, malformed("Unresolved condition dependency %s in the Rules block of the template", name)
		}
		return v, nil
	}
	for _, r := range e.Template.Rules {
		if r.Condition != nil {
			on, err := e.condition(r.Condition, named)
			if err != nil {
				return err
			}
			if !on {
				continue
			}
		}
		var broken []string
		for _, a := range r.Assertions {
			holds, err := e.condition(a.Assert, named)
			if err != nil {
				return err
			}
			if !holds {
				broken = append(broken, a.Description)
			}
		}
		if len(broken) > 0 {
			return wrong("Template error: rule %s: %s", r.Name, strings.Join(broken, " "))
		}
	}
	return nil
}
