package template

import (
	"regexp"
	"slices"
	"strings"
)

// Env is what a template is evaluated with.
type Env struct {
	Region, Account, StackID, StackName string
	NotificationARNs                    []string
	Template                            *Template
	Parameters                          map[string]any  // text or a list of texts
	Conditions                          map[string]bool // those of the template
	// Ref is what a resource's name stands for, Attribute one of its attributes;
	// Unknown for what is known only once the resource is there.
	Ref       func(resource string) (any, error)
	Attribute func(resource, attribute string) (any, error)
	Import    func(export string) (string, error)
	Zones     func(region string) ([]string, error)
}

// unknown and noValue are values that no template can write.
type (
	unknown struct{}
	noValue struct{}
)

// Unknown is a value that is known only after a resource was made.
var Unknown any = unknown{}

// KnownAfterApply is how AWS writes such a value.
const KnownAfterApply = "{{changeSet:KNOWN_AFTER_APPLY}}"

// IsUnknown says whether a value, or one inside of it, is unknown.
func IsUnknown(v any) bool {
	switch x := v.(type) {
	case unknown:
		return true
	case []any:
		return slices.ContainsFunc(x, IsUnknown)
	case map[string]any:
		for _, e := range x {
			if IsUnknown(e) {
				return true
			}
		}
	}
	return false
}

// Known is a value with the text of AWS where it is unknown.
func Known(v any) any {
	switch x := v.(type) {
	case unknown:
		return KnownAfterApply
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = Known(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			out[k] = Known(e)
		}
		return out
	}
	return v
}

// function is the intrinsic function that a value is, if it is one.
func function(v any) (name string, argument any, ok bool) {
	m, is := v.(map[string]any)
	if !is || len(m) != 1 {
		return "", nil, false
	}
	for k, a := range m {
		if k == "Ref" || strings.HasPrefix(k, "Fn::") {
			return k, a, true
		}
	}
	return "", nil, false
}

// Eval evaluates a value: no intrinsic function is left in it, and what is
// AWS::NoValue is left out. The error is an *Error, or one of the environment's.
func (e *Env) Eval(v any) (any, error) {
	out, err := e.eval(v)
	if _, none := out.(noValue); none {
		return nil, err
	}
	return out, err
}

func (e *Env) eval(v any) (any, error) {
	if name, argument, ok := function(v); ok {
		return e.call(name, argument)
	}
	switch x := v.(type) {
	case []any:
		out := make([]any, 0, len(x))
		for _, one := range x {
			w, err := e.eval(one)
			if err != nil {
				return nil, err
			}
			if _, none := w.(noValue); !none {
				out = append(out, w)
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, one := range x {
			w, err := e.eval(one)
			if err != nil {
				return nil, err
			}
			if _, none := w.(noValue); !none {
				out[k] = w
			}
		}
		return out, nil
	}
	return v, nil
}

func (e *Env) call(name string, argument any) (any, error) {
	switch name {
	case "Ref":
		text, ok := argument.(string)
		if !ok {
			return nil, malformed("Every Ref object must have a single String value.")
		}
		return e.ref(text)
	case "Fn::GetAtt":
		return e.getAtt(argument)
	case "Fn::If":
		list, ok := argument.([]any)
		if !ok || len(list) != 3 {
			return nil, wrong("Template error: Fn::If requires a list argument with three elements")
		}
		condition, ok := list[0].(string)
		if !ok {
			return nil, wrong("Template error: Fn::If requires the name of a condition")
		}
		if e.Conditions[condition] {
			return e.eval(list[1])
		}
		return e.eval(list[2])
	case "Fn::Sub":
		return e.sub(argument)
	case "Fn::And", "Fn::Or", "Fn::Not", "Fn::Equals":
		return nil, wrong("Template error: %s is only allowed in conditions", name)
	}
	do, ok := functions[name]
	if !ok {
		return nil, unsupported(name)
	}
	v, err := e.eval(argument)
	if err != nil {
		return nil, err
	}
	if name != "Fn::Select" && IsUnknown(v) {
		return Unknown, nil
	}
	return do(e, v)
}

// functions are those whose whole argument is evaluated first.
var functions = map[string]func(*Env, any) (any, error){
	"Fn::Join": join, "Fn::Split": split, "Fn::Select": choose, "Fn::Base64": encode, "Fn::FindInMap": (*Env).findInMap,
	"Fn::ImportValue": (*Env).importValue, "Fn::GetAZs": (*Env).zones, "Fn::Cidr": cidr,
}

// known are all functions, for the message about one that is not.
var known = []string{"Fn::And", "Fn::Base64", "Fn::Cidr", "Fn::Equals", "Fn::FindInMap", "Fn::GetAZs", "Fn::GetAtt", "Fn::If", "Fn::ImportValue", "Fn::Join", "Fn::Not", "Fn::Or", "Fn::Select", "Fn::Split", "Fn::Sub"}

func unsupported(name string) error {
	if slices.Contains([]string{"Fn::Transform", "Fn::ForEach", "Fn::Length", "Fn::ToJsonString"}, name) {
		return wrong("The function %s needs a transform or a macro, which is not served here.", name)
	}
	return wrong("Template format error: Encountered unsupported function: %s Supported functions are: [%s]", name, strings.Join(known, ", "))
}

func (e *Env) ref(name string) (any, error) {
	switch name {
	case "AWS::Region":
		return e.Region, nil
	case "AWS::AccountId":
		return e.Account, nil
	case "AWS::Partition":
		return "aws", nil
	case "AWS::StackId":
		return e.StackID, nil
	case "AWS::StackName":
		return e.StackName, nil
	case "AWS::URLSuffix":
		return "amazonaws.com", nil
	case "AWS::NoValue":
		return noValue{}, nil
	case "AWS::NotificationARNs":
		list := []any{}
		for _, a := range e.NotificationARNs {
			list = append(list, a)
		}
		return list, nil
	}
	if v, ok := e.Parameters[name]; ok {
		return v, nil
	}
	if e.Ref == nil {
		return nil, wrong("Template error: %s cannot be referenced here", name)
	}
	return e.Ref(name)
}

func (e *Env) getAtt(argument any) (any, error) {
	list, ok := attributeOf(argument).([]any)
	if !ok || len(list) != 2 {
		return nil, wrong("Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute")
	}
	name, ok := list[0].(string)
	attribute, err := e.eval(list[1])
	text, isText := Text(attribute)
	if err != nil || !ok || !isText || e.Attribute == nil {
		return nil, wrong("Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute")
	}
	return e.Attribute(name, text)
}

var placeholder = regexp.MustCompile(`\$\{[^}]*\}`)

func (e *Env) sub(argument any) (any, error) {
	text, own := argument, map[string]any{}
	if list, ok := argument.([]any); ok && len(list) == 2 {
		text = list[0]
		if own, ok = list[1].(map[string]any); !ok {
			text = nil
		}
	}
	pattern, ok := text.(string)
	if !ok {
		return nil, wrong("Template error: One or more Fn::Sub intrinsic functions don't specify expected arguments. Specify a string as first argument, and an optional second argument to specify a mapping of values to replace in the string")
	}
	var failed error
	lacking := false
	out := placeholder.ReplaceAllStringFunc(pattern, func(found string) string {
		name := strings.TrimSpace(found[2 : len(found)-1])
		if literal, ok := strings.CutPrefix(name, "!"); ok {
			return "${" + literal + "}"
		}
		v, err := e.substitute(name, own)
		if err != nil {
			failed = err
			return ""
		}
		if IsUnknown(v) {
			lacking = true
			return ""
		}
		s, ok := Text(v)
		if !ok {
			if list, is := v.([]any); is {
				s, ok = joined(list, ",")
			}
		}
		if !ok && failed == nil {
			failed = wrong("Template error: variable %s in Fn::Sub expression does not resolve to a string", name)
		}
		return s
	})
	if failed != nil {
		return nil, failed
	}
	if lacking {
		return Unknown, nil
	}
	return out, nil
}

// substitute is what a placeholder of Fn::Sub stands for.
func (e *Env) substitute(name string, own map[string]any) (any, error) {
	if v, ok := own[name]; ok {
		return e.eval(v)
	}
	if resource, attribute, ok := strings.Cut(name, "."); ok {
		return e.getAtt([]any{resource, attribute})
	}
	return e.ref(name)
}
