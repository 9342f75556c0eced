package cloudformation

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"showrunner/awsapi/cloudformation/resource"
	"showrunner/awsapi/cloudformation/template"
	"showrunner/awsapi/wire"
)

// change is what an operation would do with one resource.
type change struct {
	Action      string   `json:"action"` // Add, Modify or Remove
	Logical     string   `json:"logical"`
	Type        string   `json:"type"`
	Physical    string   `json:"physical,omitempty"`
	Replacement string   `json:"replacement,omitempty"`
	Policy      string   `json:"policy,omitempty"`
	Scope       []string `json:"scope,omitempty"`
	Details     []detail `json:"details,omitempty"`
	Before      string   `json:"before,omitempty"`
	After       string   `json:"after,omitempty"`
}

// detail is one reason of a change.
type detail struct {
	Source     string `json:"source"`
	Cause      string `json:"cause,omitempty"`
	Evaluation string `json:"evaluation"`
	Attribute  string `json:"attribute"`
	Name       string `json:"name,omitempty"`
	Recreation string `json:"recreation"`
}

// changes is what an operation would do.
type changes struct {
	list  []change
	other bool // tags, outputs or notifications change
}

func (c changes) any() bool { return len(c.list) > 0 || c.other }

// plan says what an operation would do with the stack as it is.
func (s *Stacks) plan(ctx context.Context, c *wire.Call, d *stack, p *prepared) (changes, error) {
	pl := &planning{types: s.types(), d: d, p: p, replaced: map[string]bool{}}
	if d.Current.Template != "" {
		t, err := template.Parse(d.Current.Template)
		if err != nil {
			return changes{}, err
		}
		env, err := s.environment(ctx, c, d, t, d.Current)
		if err != nil {
			return changes{}, err
		}
		pl.before = &prepared{version: d.Current, template: t, env: env}
	}
	return pl.plan()
}

// plan is a pure function of the stack and what it is to be.
func (pl *planning) plan() (changes, error) {
	d, p := pl.d, pl.p
	order, err := p.template.Order(p.env.Conditions)
	if err != nil {
		return changes{}, err
	}
	p.env.Ref = func(name string) (any, error) {
		if one := d.Resources[name]; one.there() && !pl.replaced[name] {
			return one.Physical, nil
		}
		return template.Unknown, nil
	}
	p.env.Attribute = func(name, attribute string) (any, error) {
		if one := d.Resources[name]; one.there() && !pl.replaced[name] && !pl.changedOf(name) {
			if v, ok := one.Attributes[attribute]; ok {
				return v, nil
			}
		}
		return template.Unknown, nil
	}
	for _, one := range order {
		if err := pl.resource(one); err != nil {
			return changes{}, err
		}
	}
	for name, had := range d.Resources {
		declared := p.template.Resource(name)
		if had.there() && (declared == nil || !declared.Wanted(p.env.Conditions)) {
			pl.out = append(pl.out, change{Action: "Remove", Logical: name, Type: had.Type, Physical: had.Physical, Policy: policyAction("", had.Deletion), Before: pl.context(name)})
		}
	}
	slices.SortFunc(pl.out, func(a, b change) int {
		if a.Logical < b.Logical {
			return -1
		}
		return 1
	})
	outputs, _, err := evaluateOutputs(p)
	if err != nil {
		return changes{}, err
	}
	return changes{list: pl.out, other: !slices.Equal(d.Current.Tags, p.Tags) || !slices.Equal(d.Current.NotificationARNs, p.NotificationARNs) || !sameOutputs(d.Outputs, outputs)}, nil
}

func sameOutputs(a, b []output) bool { return slices.Equal(a, b) }

// planning is a plan in the making.
type planning struct {
	types    resource.Catalog
	d        *stack
	p        *prepared
	before   *prepared // the stack as it is; nil for a new one
	replaced map[string]bool
	out      []change
}

// context is a resource that is removed, as the stack's template has it. What refers
// to another resource is shown as unknown, as AWS does.
func (pl *planning) context(name string) string {
	if pl.before == nil {
		return ""
	}
	one := pl.before.template.Resource(name)
	if one == nil {
		return ""
	}
	e, err := evaluate(pl.before.env, one)
	if err != nil {
		return ""
	}
	return shownContext(e.properties, e.metadata)
}

func (pl *planning) changedOf(name string) bool {
	return slices.ContainsFunc(pl.out, func(c change) bool { return c.Logical == name && c.Action == "Modify" })
}

func (pl *planning) resource(one *template.Resource) error {
	kind, had := pl.types.Of(one.Type), pl.d.Resources[one.Name]
	e, err := evaluate(pl.p.env, one)
	if err != nil {
		return err
	}
	retagged := !slices.Equal(pl.d.Current.Tags, pl.p.Tags)
	after := shownContext(e.properties, e.metadata)
	switch decide(kind, had, e.properties, e.metadata, retagged) {
	case actCreate:
		pl.replaced[one.Name] = true
		pl.out = append(pl.out, change{Action: "Add", Logical: one.Name, Type: one.Type, After: after})
	case actReplace, actUpdate:
		c := pl.modified(one, kind, had, e, retagged)
		c.Before, c.After = shownContext(had.Properties, had.Metadata), after
		pl.replaced[one.Name] = c.Replacement == "True"
		if c.Replacement != "False" {
			c.Policy = policyAction("ReplaceAnd", e.replace)
		}
		pl.out = append(pl.out, c)
	}
	return nil
}

// policyAction is what becomes of the resource that was.
func policyAction(prefix, policy string) string {
	if policy == "Retain" || policy == "RetainExceptOnCreate" {
		return prefix + "Retain"
	}
	return prefix + "Delete"
}

// modified describes a change with its causes, as AWS's change sets do.
func (pl *planning) modified(one *template.Resource, kind *resource.Type, had *stackResource, e evaluated, retagged bool) change {
	c := change{Action: "Modify", Logical: one.Name, Type: one.Type, Physical: had.Physical, Replacement: "False"}
	if had.Type != one.Type {
		c.Replacement = "True"
	}
	var direct []detail
	add := func(attribute, name string, v any, recreation string) {
		caused, onlyDirect := pl.causes(v), true
		for _, d := range caused {
			d.Attribute, d.Name, d.Recreation = attribute, name, recreation
			c.Details = append(c.Details, d)
			onlyDirect = false
		}
		own := detail{Source: "DirectModification", Evaluation: "Static", Attribute: attribute, Name: name, Recreation: recreation}
		if !onlyDirect {
			own.Evaluation = "Dynamic"
		}
		direct = append(direct, own)
		if !slices.Contains(c.Scope, attribute) {
			c.Scope = append(c.Scope, attribute)
		}
	}
	if !resource.Same(asAny(had.Metadata), asAny(e.metadata)) {
		add("Metadata", "", map[string]any(one.Metadata), "Never")
	}
	names, _ := kind.Changed(had.Properties, e.properties)
	for _, name := range names {
		recreation := "Never"
		if kind.Replaces(name) {
			recreation = "Always"
			switch {
			case !template.IsUnknown(e.properties[name]):
				c.Replacement = "True"
			case c.Replacement == "False":
				c.Replacement, recreation = "Conditional", "Conditionally"
			}
		}
		add("Properties", name, one.Properties[name], recreation)
	}
	if retagged && kind.Tagged && !slices.Contains(names, "Tags") {
		add("Tags", "", nil, "Never")
	}
	c.Details = append(c.Details, direct...)
	return c
}

// causes are the parameters and resources whose change changes a value.
func (pl *planning) causes(v any) []detail {
	var out []detail
	seen := map[string]bool{}
	template.Uses(v, pl.p.env.Conditions, func(name, attribute string) {
		cause := name
		if attribute != "" {
			cause += "." + attribute
		}
		if seen[cause] {
			return
		}
		seen[cause] = true
		switch {
		case pl.p.template.Parameter(name) != nil:
			if pl.parameterChanged(name) {
				out = append(out, detail{Source: "ParameterReference", Cause: name, Evaluation: "Static"})
			}
		case pl.p.template.Resource(name) != nil && (pl.replaced[name] || pl.changedOf(name) && attribute != ""):
			source := "ResourceReference"
			if attribute != "" {
				source = "ResourceAttribute"
			}
			out = append(out, detail{Source: source, Cause: cause, Evaluation: "Dynamic"})
		}
	})
	return out
}

func (pl *planning) parameterChanged(name string) bool {
	find := func(list []parameter) parameter {
		for _, p := range list {
			if p.Key == name {
				return p
			}
		}
		return parameter{}
	}
	return find(pl.d.Current.Parameters) != find(pl.p.Parameters)
}

// shownContext is a resource's properties as change sets show them.
func shownContext(properties, metadata map[string]any) string {
	out := map[string]any{}
	if len(properties) > 0 {
		out["Properties"] = template.Known(maps.Clone(properties))
	}
	if len(metadata) > 0 {
		out["Metadata"] = template.Known(maps.Clone(metadata))
	}
	if len(out) == 0 {
		return "{}"
	}
	b, err := json.Marshal(out)
	if err != nil {
		return ""
	}
	return hiddenPattern.ReplaceAllString(string(b), "****")
}
