package template

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Text is a single value as text, as CloudFormation writes it; false for lists,
// objects and what is not known yet.
func Text(v any) (string, bool) {
	switch x := v.(type) {
	case string:
		return x, true
	case json.Number:
		return x.String(), true
	case bool:
		return strconv.FormatBool(x), true
	case float64: // of a document that was kept
		return strconv.FormatFloat(x, 'f', -1, 64), true
	}
	return "", false
}

const (
	ssmPrefix = "AWS::SSM::Parameter::Value<"
	commaList = "CommaDelimitedList"
)

// idTypes are the parameter types whose values are identifiers at AWS.
var idTypes = []string{
	"AWS::EC2::AvailabilityZone::Name", "AWS::EC2::Image::Id", "AWS::EC2::Instance::Id", "AWS::EC2::KeyPair::KeyName", "AWS::EC2::SecurityGroup::GroupName",
	"AWS::EC2::SecurityGroup::Id", "AWS::EC2::Subnet::Id", "AWS::EC2::Volume::Id", "AWS::EC2::VPC::Id", "AWS::Route53::HostedZone::Id",
}

// knownType says whether CloudFormation has a parameter type.
func knownType(name string) bool {
	if inner, ok := strings.CutPrefix(name, ssmPrefix); ok {
		inner, ok = strings.CutSuffix(inner, ">")
		return ok && (inner == "String" || knownType(inner) && !strings.HasPrefix(inner, "AWS::SSM"))
	}
	if inner, ok := strings.CutPrefix(name, "List<"); ok {
		inner, ok = strings.CutSuffix(inner, ">")
		return ok && (inner == "Number" || inner == "String" || slices.Contains(idTypes, inner))
	}
	return name == "String" || name == "Number" || name == commaList || name == "AWS::SSM::Parameter::Name" || slices.Contains(idTypes, name)
}

// FromSSM says whether a parameter's value names a parameter of Systems Manager,
// whose value it takes.
func (p *Parameter) FromSSM() bool { return strings.HasPrefix(p.Type, ssmPrefix) }

// list says whether the value is a list, and of numbers.
func (p *Parameter) list() (list, numbers bool) {
	inner := p.Type
	if p.FromSSM() {
		inner = strings.TrimSuffix(strings.TrimPrefix(inner, ssmPrefix), ">")
	}
	return inner == commaList || strings.HasPrefix(inner, "List<"), inner == "List<Number>" || inner == "Number"
}

var parameterMembers = []string{"Type", "Default", "Description", "NoEcho", "AllowedValues", "AllowedPattern", "ConstraintDescription", "MinLength", "MaxLength", "MinValue", "MaxValue"}

func newParameter(name string, m map[string]any) (*Parameter, error) {
	p := &Parameter{Name: name}
	for member := range m {
		if !slices.Contains(parameterMembers, member) {
			return nil, wrong("Invalid template parameter property '%s'", member)
		}
	}
	var ok bool
	if p.Type, ok = m["Type"].(string); !ok {
		return nil, malformed("Every Parameters object must contain a Type member.")
	}
	if !knownType(p.Type) {
		return nil, malformed("Unrecognized parameter type: %s", p.Type)
	}
	for member, into := range map[string]*string{"Description": &p.Description, "AllowedPattern": &p.AllowedPattern, "ConstraintDescription": &p.ConstraintDescription} {
		if v, there := m[member]; there {
			if *into, ok = Text(v); !ok {
				return nil, malformed("Every %s member must be a string.", member)
			}
		}
	}
	if v, there := m["Default"]; there {
		text, ok := Text(v)
		if !ok {
			return nil, malformed("Every Default member must be a string.")
		}
		p.Default = &text
	}
	text, _ := Text(m["NoEcho"])
	p.NoEcho = strings.EqualFold(text, "true")
	if v, there := m["AllowedValues"]; there {
		list, ok := v.([]any)
		for _, e := range list {
			text, is := Text(e)
			ok = ok && is
			p.AllowedValues = append(p.AllowedValues, text)
		}
		if !ok {
			return nil, malformed("Every AllowedValues member must be a list of strings.")
		}
	}
	for member, into := range map[string]**float64{"MinLength": &p.MinLength, "MaxLength": &p.MaxLength, "MinValue": &p.MinValue, "MaxValue": &p.MaxValue} {
		if v, there := m[member]; there {
			text, _ := Text(v)
			n, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return nil, malformed("%s of parameter %s must be a number.", member, name)
			}
			*into = &n
		}
	}
	if _, err := regexp.Compile(p.AllowedPattern); err != nil {
		return nil, malformed("AllowedPattern of parameter %s is not a regular expression.", name)
	}
	return p, nil
}

// Value checks a given value and gives it its form: text, or a list of texts.
func (p *Parameter) Value(given string) (any, error) {
	list, numbers := p.list()
	if p.FromSSM() {
		return given, nil // it is a name; Resolved checks what it stands for
	}
	if !list {
		if numbers {
			given = strings.TrimSpace(given)
		}
		return given, p.checkOne(given, numbers)
	}
	out := Split(given)
	for _, e := range out {
		if err := p.checkOne(e.(string), numbers); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Resolved gives the value of a parameter of Systems Manager its form.
func (p *Parameter) Resolved(value string) any {
	if list, _ := p.list(); list {
		return Split(value)
	}
	return value
}

// Split takes a list of texts apart at its commas.
func Split(text string) []any {
	if text == "" {
		return []any{""}
	}
	var out []any
	for e := range strings.SplitSeq(text, ",") {
		out = append(out, strings.TrimSpace(e))
	}
	return out
}

func (p *Parameter) refuse(format string, args ...any) error {
	if p.ConstraintDescription != "" {
		return wrong("Parameter %s failed to satisfy constraint: %s", p.Name, p.ConstraintDescription)
	}
	return wrong("Parameter '"+p.Name+"' "+format, args...)
}

func (p *Parameter) checkOne(v string, numeric bool) error {
	n, err := strconv.ParseFloat(v, 64)
	length := float64(utf8.RuneCountInString(v))
	switch {
	case numeric && err != nil:
		return wrong("Parameter '%s' must be a number.", p.Name)
	case len(p.AllowedValues) > 0 && !slices.Contains(p.AllowedValues, v):
		return p.refuse("must be one of AllowedValues")
	case p.AllowedPattern != "" && !regexp.MustCompile(`^(?:`+p.AllowedPattern+`)$`).MatchString(v):
		return p.refuse("must match pattern %s", p.AllowedPattern)
	case p.MinLength != nil && length < *p.MinLength:
		return p.refuse("must contain at least %g characters", *p.MinLength)
	case p.MaxLength != nil && length > *p.MaxLength:
		return p.refuse("must contain at most %g characters", *p.MaxLength)
	case numeric && p.MinValue != nil && n < *p.MinValue:
		return p.refuse("must be a number not less than %g", *p.MinValue)
	case numeric && p.MaxValue != nil && n > *p.MaxValue:
		return p.refuse("must be a number not greater than %g", *p.MaxValue)
	}
	return nil
}
