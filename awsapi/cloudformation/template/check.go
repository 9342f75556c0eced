package template

import (
	"maps"
	"slices"
	"strings"
)

// use is a reference in a value to a name, or to an attribute of a resource.
type use struct {
	name      string
	attribute string // empty for one that is computed
	of        bool   // an attribute is meant
	sub       bool   // it stands in Fn::Sub
}

// uses calls visit for every reference in a value. With conditions the branches of
// Fn::If that are not taken are left out.
func uses(v any, conditions map[string]bool, visit func(use)) {
	if name, argument, ok := function(v); ok {
		switch name {
		case "Ref":
			if text, ok := argument.(string); ok {
				visit(use{name: text})
			}
			return
		case "Fn::GetAtt":
			if list, ok := attributeOf(argument).([]any); ok && len(list) == 2 {
				resource, _ := list[0].(string)
				attribute, ok := list[1].(string)
				if !ok {
					uses(list[1], conditions, visit)
				}
				visit(use{name: resource, attribute: attribute, of: true})
			}
			return
		case "Fn::Sub":
			subUses(argument, conditions, visit)
			return
		case "Fn::If":
			if list, ok := argument.([]any); ok && len(list) == 3 && conditions != nil {
				condition, _ := list[0].(string)
				taken := list[2]
				if conditions[condition] {
					taken = list[1]
				}
				uses(taken, conditions, visit)
				return
			}
		}
		uses(argument, conditions, visit)
		return
	}
	switch x := v.(type) {
	case []any:
		for _, e := range x {
			uses(e, conditions, visit)
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(x)) {
			uses(x[k], conditions, visit)
		}
	}
}

// Uses calls visit for every name and every attribute of a resource that a value
// refers to; attribute is empty for a name. With conditions the branches of Fn::If
// that are not taken are left out.
func Uses(v any, conditions map[string]bool, visit func(name, attribute string)) {
	uses(v, conditions, func(u use) { visit(u.name, u.attribute) })
}

func subUses(argument any, conditions map[string]bool, visit func(use)) {
	text, own := argument, map[string]any{}
	if list, ok := argument.([]any); ok && len(list) == 2 {
		text = list[0]
		own, _ = list[1].(map[string]any)
		uses(list[1], conditions, visit)
	}
	pattern, _ := text.(string)
	for _, found := range placeholder.FindAllString(pattern, -1) {
		name := strings.TrimSpace(found[2 : len(found)-1])
		if _, given := own[name]; given || strings.HasPrefix(name, "!") {
			continue
		}
		resource, attribute, of := strings.Cut(name, ".")
		visit(use{resource, attribute, of, true})
	}
}

// isParameter says whether a name is a parameter or a pseudo parameter.
func (t *Template) isParameter(name string) bool {
	return strings.HasPrefix(name, "AWS::") || t.Parameter(name) != nil
}

// Needs are the resources that a resource has to come after: those that it
// depends on by name and those that its properties use. With conditions those of
// branches that are not taken are left out.
func (t *Template) Needs(r *Resource, conditions map[string]bool) []string {
	found := map[string]bool{}
	for _, name := range r.DependsOn {
		found[name] = true
	}
	for _, v := range []any{r.Properties, r.Metadata} {
		uses(v, conditions, func(u use) {
			if !t.isParameter(u.name) || u.of {
				found[u.name] = true
			}
		})
	}
	delete(found, r.Name)
	return slices.Sorted(maps.Keys(found))
}

// Attributes are the attributes of resources that the template reads, by resource.
func (t *Template) Attributes() map[string][]string {
	out := map[string][]string{}
	add := func(u use) {
		if u.attribute != "" && !slices.Contains(out[u.name], u.attribute) {
			out[u.name] = append(out[u.name], u.attribute)
		}
	}
	for _, r := range t.Resources {
		uses(r.Properties, nil, add)
		uses(r.Metadata, nil, add)
	}
	for _, o := range t.Outputs {
		uses(o.Value, nil, add)
		uses(o.Export, nil, add)
	}
	return out
}

// check finds what cannot be right whatever the parameters are.
func (t *Template) check() error {
	if err := t.checkFunctions(); err != nil {
		return err
	}
	if err := t.checkConditions(); err != nil {
		return err
	}
	missing := map[string]bool{}
	var undefined error
	collect := func(u use) {
		switch {
		case t.isParameter(u.name) && !u.of || t.Resource(u.name) != nil:
		case u.of && !u.sub:
			if undefined == nil {
				undefined = wrong("Template error: instance of Fn::GetAtt references undefined resource %s", u.name)
			}
		default:
			missing[u.name] = true
		}
	}
	for _, r := range t.Resources {
		for _, name := range r.DependsOn {
			if t.Resource(name) == nil {
				missing[name] = true
			}
		}
		uses(r.Properties, nil, collect)
	}
	if len(missing) > 0 {
		return malformed("Unresolved resource dependencies [%s] in the Resources block of the template", strings.Join(slices.Sorted(maps.Keys(missing)), ", "))
	}
	for _, o := range t.Outputs {
		uses(o.Value, nil, collect)
		uses(o.Export, nil, collect)
	}
	if len(missing) > 0 {
		return malformed("Unresolved resource dependencies [%s] in the Outputs block of the template", strings.Join(slices.Sorted(maps.Keys(missing)), ", "))
	}
	if undefined != nil {
		return undefined
	}
	_, err := t.Order(nil)
	return err
}

// checkFunctions refuses functions that are not served.
func (t *Template) checkFunctions() error {
	var failed error
	var walk func(v any)
	walk = func(v any) {
		switch x := v.(type) {
		case []any:
			for _, e := range x {
				walk(e)
			}
		case map[string]any:
			for k, e := range x {
				if strings.HasPrefix(k, "Fn::") && !slices.Contains(known, k) && failed == nil {
					failed = unsupported(k)
				}
				walk(e)
			}
		}
	}
	for _, r := range t.Resources {
		walk(r.Properties)
	}
	for _, o := range t.Outputs {
		walk(o.Value)
	}
	return failed
}

func (t *Template) checkConditions() error {
	for _, name := range slices.Sorted(maps.Keys(t.Conditions)) {
		var failed error
		uses(t.Conditions[name], nil, func(u use) {
			if failed == nil && (!t.isParameter(u.name) || u.of) {
				failed = malformed("Unresolved dependencies [%s]. Cannot reference resources in the Conditions block of the template", u.name)
			}
		})
		if failed != nil {
			return failed
		}
	}
	for _, r := range t.Resources {
		if _, ok := t.Conditions[r.Condition]; r.Condition != "" && !ok {
			return malformed("Unresolved condition dependency %s in the Resources block of the template", r.Condition)
		}
		if name := t.unknownCondition(r.Properties); name != "" {
			return malformed("Unresolved condition dependency %s in the Resources block of the template", name)
		}
	}
	for _, o := range t.Outputs {
		if _, ok := t.Conditions[o.Condition]; o.Condition != "" && !ok {
			return malformed("Unresolved condition dependency %s in the Outputs block of the template", o.Condition)
		}
		if name := t.unknownCondition(o.Value); name != "" {
			return malformed("Unresolved condition dependency %s in the Outputs block of the template", name)
		}
	}
	return nil
}

// unknownCondition is the name of a condition that Fn::If asks for and that is not there.
func (t *Template) unknownCondition(v any) string {
	if name, argument, ok := function(v); ok && name == "Fn::If" {
		if list, ok := argument.([]any); ok && len(list) == 3 {
			condition, _ := list[0].(string)
			if _, there := t.Conditions[condition]; !there {
				return condition
			}
		}
	}
	switch x := v.(type) {
	case []any:
		for _, e := range x {
			if found := t.unknownCondition(e); found != "" {
				return found
			}
		}
	case map[string]any:
		for _, e := range x {
			if found := t.unknownCondition(e); found != "" {
				return found
			}
		}
	}
	return ""
}

// Wanted says whether a resource is to exist under the conditions.
func (r *Resource) Wanted(conditions map[string]bool) bool {
	return r.Condition == "" || conditions[r.Condition]
}

// CheckWanted finds what uses resources that are left out by their condition.
func (t *Template) CheckWanted(conditions map[string]bool) error {
	lacking := map[string]bool{}
	collect := func(u use) {
		if r := t.Resource(u.name); r != nil && !r.Wanted(conditions) {
			lacking[u.name] = true
		}
	}
	for _, r := range t.Resources {
		if r.Wanted(conditions) {
			uses(r.Properties, conditions, collect)
		}
	}
	if len(lacking) > 0 {
		return malformed("Unresolved resource dependencies [%s] in the Resources block of the template", strings.Join(slices.Sorted(maps.Keys(lacking)), ", "))
	}
	for _, o := range t.Outputs {
		if o.Condition == "" || conditions[o.Condition] {
			uses(o.Value, conditions, collect)
			uses(o.Export, conditions, collect)
		}
	}
	if len(lacking) > 0 {
		return wrong("Unresolved resource dependencies [%s] in the Outputs block of the template", strings.Join(slices.Sorted(maps.Keys(lacking)), ", "))
	}
	return nil
}

// Order is the resources in an order in which each comes after those that it
// needs. With conditions those that are left out are not in it.
func (t *Template) Order(conditions map[string]bool) ([]*Resource, error) {
	needs := map[string][]string{}
	for _, r := range t.Resources {
		if conditions == nil || r.Wanted(conditions) {
			needs[r.Name] = t.Needs(r, conditions)
		}
	}
	var out []*Resource
	done := map[string]bool{}
	for len(out) < len(needs) {
		before := len(out)
		for _, r := range t.Resources {
			list, there := needs[r.Name]
			if !there || done[r.Name] {
				continue
			}
			waits := slices.ContainsFunc(list, func(n string) bool { _, is := needs[n]; return is && !done[n] })
			if !waits {
				done[r.Name] = true
				out = append(out, r)
			}
		}
		if len(out) == before {
			var stuck []string
			for name := range needs {
				if !done[name] {
					stuck = append(stuck, name)
				}
			}
			slices.Sort(stuck)
			return nil, wrong("Circular dependency between resources: [%s]", strings.Join(stuck, ", "))
		}
	}
	return out, nil
}
