package template

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// Template is a template that was read and whose form is right.
type Template struct {
	Description string
	Version     string
	Metadata    map[string]any
	Transforms  []string
	Parameters  []*Parameter // in the template's order, as everything here
	Mappings    map[string]any
	Conditions  map[string]any
	Rules       []Rule
	Resources   []*Resource
	Outputs     []*Output
}

// Parameter is a parameter's declaration.
type Parameter struct {
	Name, Type, Description string
	Default                 *string
	AllowedValues           []string
	AllowedPattern          string
	ConstraintDescription   string
	MinLength, MaxLength    *float64
	MinValue, MaxValue      *float64
	NoEcho                  bool
}

// Resource is a resource's declaration.
type Resource struct {
	Name, Type          string
	Condition           string
	DependsOn           []string
	Properties          map[string]any
	Metadata            map[string]any
	DeletionPolicy      any // a name, or an intrinsic function
	UpdateReplacePolicy any
	CreationPolicy      any
	UpdatePolicy        any
}

// Output is an output's declaration.
type Output struct {
	Name, Description, Condition string
	Value, Export                any
}

// Rule is a rule's declaration: its assertions have to hold when its condition does.
type Rule struct {
	Name       string
	Condition  any
	Assertions []Assertion
}

// Assertion is one condition of a rule with what it means.
type Assertion struct {
	Assert      any
	Description string
}

// Resource is the declaration of a name, or nil.
func (t *Template) Resource(name string) *Resource {
	at := slices.IndexFunc(t.Resources, func(r *Resource) bool { return r.Name == name })
	if at < 0 {
		return nil
	}
	return t.Resources[at]
}

// Parameter is the declaration of a name, or nil.
func (t *Template) Parameter(name string) *Parameter {
	at := slices.IndexFunc(t.Parameters, func(p *Parameter) bool { return p.Name == name })
	if at < 0 {
		return nil
	}
	return t.Parameters[at]
}

var sections = []string{"AWSTemplateFormatVersion", "Description", "Metadata", "Transform", "Parameters", "Mappings", "Conditions", "Rules", "Hooks", "Resources", "Outputs"}

// Parse reads a template and checks its form. The error is an *Error.
func Parse(text string) (*Template, error) {
	root, order, err := read(text)
	if err != nil {
		return nil, err
	}
	var unknown []string
	for name := range root {
		if !slices.Contains(sections, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return nil, wrong("Invalid template property or properties [%s]", strings.Join(unknown, ", "))
	}
	t := &Template{Version: "2010-09-09"}
	for _, part := range []func(map[string]any, map[string][]string) error{t.head, t.parameters, t.mappings, t.conditions, t.rules, t.resources, t.outputs} {
		if err := part(root, order); err != nil {
			return nil, err
		}
	}
	return t, t.check()
}

// section is a part of the template that has to be an object of named members.
func section(root map[string]any, name string) (map[string]any, error) {
	v, there := root[name]
	if !there {
		return nil, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, malformed("%s must be an object.", name)
	}
	return m, nil
}

func (t *Template) head(root map[string]any, _ map[string][]string) error {
	if v, there := root["AWSTemplateFormatVersion"]; there {
		if t.Version, _ = v.(string); t.Version != "2010-09-09" {
			return malformed("Unsupported Template format version: %v.", v)
		}
	}
	if v, there := root["Description"]; there && v != nil {
		var ok bool
		if t.Description, ok = v.(string); !ok {
			return malformed("Description must be a string.")
		}
	}
	var err error
	if t.Metadata, err = section(root, "Metadata"); err != nil {
		return err
	}
	list, ok := root["Transform"].([]any)
	if one, there := root["Transform"]; there && !ok {
		list = []any{one}
	}
	for _, one := range list {
		name, ok := one.(string)
		if m, is := one.(map[string]any); is {
			name, ok = m["Name"].(string)
		}
		if !ok {
			return malformed("Transform must be a string or a list of strings.")
		}
		t.Transforms = append(t.Transforms, name)
	}
	return nil
}

var alphanumeric = regexp.MustCompile(`^[A-Za-z0-9]+$`)

func (t *Template) parameters(root map[string]any, order map[string][]string) error {
	all, err := section(root, "Parameters")
	if err != nil {
		return err
	}
	for _, name := range order["Parameters"] {
		if !alphanumeric.MatchString(name) {
			return malformed("Parameter name %s is non alphanumeric.", name)
		}
		m, ok := all[name].(map[string]any)
		if !ok {
			return malformed("Any Parameters member must be an object.")
		}
		p, err := newParameter(name, m)
		if err != nil {
			return err
		}
		t.Parameters = append(t.Parameters, p)
	}
	return nil
}

func (t *Template) mappings(root map[string]any, order map[string][]string) error {
	var err error
	if t.Mappings, err = section(root, "Mappings"); err != nil {
		return err
	}
	for _, name := range order["Mappings"] {
		first, ok := t.Mappings[name].(map[string]any)
		if !ok {
			return malformed("Every Mappings member %s must be a map", name)
		}
		for key, v := range first {
			second, ok := v.(map[string]any)
			if !ok {
				return malformed("Every Mappings member %s must be a map", key)
			}
			for _, v := range second {
				if !plainValue(v) {
					return malformed("Every Mappings attribute must be a String or a List.")
				}
			}
		}
	}
	return nil
}

// plainValue says whether a value is text or a list of texts.
func plainValue(v any) bool {
	list, ok := v.([]any)
	if !ok {
		_, nested := v.(map[string]any)
		return !nested && v != nil
	}
	return !slices.ContainsFunc(list, func(e any) bool { _, ok := Text(e); return !ok })
}

func (t *Template) conditions(root map[string]any, order map[string][]string) (err error) {
	t.Conditions, err = section(root, "Conditions")
	return err
}

func (t *Template) rules(root map[string]any, order map[string][]string) error {
	all, err := section(root, "Rules")
	if err != nil {
		return err
	}
	for _, name := range order["Rules"] {
		m, _ := all[name].(map[string]any)
		list, ok := m["Assertions"].([]any)
		if !ok {
			return malformed("Rule %s must have a list of Assertions.", name)
		}
		r := Rule{Name: name, Condition: m["RuleCondition"]}
		for _, e := range list {
			a, _ := e.(map[string]any)
			if a["Assert"] == nil {
				return malformed("Every assertion of Rule %s must have an Assert.", name)
			}
			text, _ := a["AssertDescription"].(string)
			r.Assertions = append(r.Assertions, Assertion{a["Assert"], text})
		}
		t.Rules = append(t.Rules, r)
	}
	return nil
}

var resourceMembers = []string{"Type", "Properties", "Condition", "DependsOn", "Metadata", "DeletionPolicy", "UpdateReplacePolicy", "CreationPolicy", "UpdatePolicy", "Description", "Version"}

func (t *Template) resources(root map[string]any, order map[string][]string) error {
	v, there := root["Resources"]
	all, ok := v.(map[string]any)
	if there && v != nil && !ok {
		return malformed("Any Resources member must be an object.")
	}
	if len(all) == 0 {
		return malformed("At least one Resources member must be defined.")
	}
	for _, name := range order["Resources"] {
		m, ok := all[name].(map[string]any)
		if strings.HasPrefix(name, "Fn::") {
			return wrong("The function %s in the Resources block needs a transform, which is not served here.", name)
		}
		if !alphanumeric.MatchString(name) {
			return malformed("Resource name %s is non alphanumeric.", name)
		}
		if !ok {
			return malformed("Any Resources member must be an object.")
		}
		r, err := newResource(name, m)
		if err != nil {
			return err
		}
		t.Resources = append(t.Resources, r)
	}
	return nil
}

func newResource(name string, m map[string]any) (*Resource, error) {
	r := &Resource{Name: name, DeletionPolicy: m["DeletionPolicy"], UpdateReplacePolicy: m["UpdateReplacePolicy"], CreationPolicy: m["CreationPolicy"], UpdatePolicy: m["UpdatePolicy"]}
	for member := range m {
		if !slices.Contains(resourceMembers, member) {
			return nil, wrong("Invalid template resource property '%s'", member)
		}
	}
	var ok bool
	if r.Type, ok = m["Type"].(string); !ok {
		return nil, malformed("[/Resources/%s] Every Resources object must contain a Type member.", name)
	}
	if r.Properties, ok = m["Properties"].(map[string]any); !ok && m["Properties"] != nil {
		return nil, malformed("[/Resources/%s/Properties] 'null' values are not allowed in templates", name)
	}
	if r.Metadata, ok = m["Metadata"].(map[string]any); !ok && m["Metadata"] != nil {
		return nil, malformed("[/Resources/%s/Metadata] must be an object.", name)
	}
	if r.Condition, ok = m["Condition"].(string); !ok && m["Condition"] != nil {
		return nil, malformed("Every Condition member must be a string.")
	}
	switch d := m["DependsOn"].(type) {
	case nil:
	case string:
		r.DependsOn = []string{d}
	case []any:
		for _, e := range d {
			text, ok := e.(string)
			if !ok {
				return nil, malformed("DependsOn must be a string or list of strings.")
			}
			r.DependsOn = append(r.DependsOn, text)
		}
	default:
		return nil, malformed("DependsOn must be a string or list of strings.")
	}
	if path := nullIn(r.Properties, ""); path != "" {
		return nil, malformed("[/Resources/%s/Properties%s] 'null' values are not allowed in templates", name, path)
	}
	return r, nil
}

// nullIn is where a value is null; CloudFormation takes none.
func nullIn(v any, path string) string {
	switch x := v.(type) {
	case map[string]any:
		for k, e := range x {
			if e == nil {
				return path + "/" + k
			}
			if found := nullIn(e, path+"/"+k); found != "" {
				return found
			}
		}
	case []any:
		for i, e := range x {
			at := path + "/" + string(json.Number(itoa(i)))
			if e == nil {
				return at
			}
			if found := nullIn(e, at); found != "" {
				return found
			}
		}
	}
	return ""
}

func (t *Template) outputs(root map[string]any, order map[string][]string) error {
	all, err := section(root, "Outputs")
	if err != nil {
		return err
	}
	for _, name := range order["Outputs"] {
		m, ok := all[name].(map[string]any)
		if !ok {
			return malformed("Any Outputs member must be an object.")
		}
		if !alphanumeric.MatchString(name) {
			return malformed("Output name %s is non alphanumeric.", name)
		}
		o := &Output{Name: name, Value: m["Value"]}
		o.Description, _ = m["Description"].(string)
		o.Condition, _ = m["Condition"].(string)
		if value, there := m["Value"]; there && value == nil {
			return wrong("[/Outputs/%s/Value] 'null' values are not allowed in templates", name)
		}
		if m["Value"] == nil {
			return malformed("Every Outputs member must contain a Value object")
		}
		if export, there := m["Export"]; there {
			e, _ := export.(map[string]any)
			if o.Export = e["Name"]; o.Export == nil || len(e) != 1 {
				return malformed("Output %s is malformed. The Name field of every Export member must be specified.", name)
			}
		}
		t.Outputs = append(t.Outputs, o)
	}
	return nil
}
