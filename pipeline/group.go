package pipeline

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// group says how many of some fields are set.
type group struct {
	fields []string
	rule   groupRule
}

type groupRule int

const (
	atMostOne groupRule = iota
	exactlyOne
	atLeastOne
)

// fieldGroups holds the rules between the fields of one struct. The schema is
// generated from them too.
func fieldGroups(t reflect.Type) []group {
	switch t {
	case reflect.TypeFor[Trigger]():
		return []group{{[]string{"push", "poll", "schedule", "pipeline", "webhook"}, exactlyOne}}
	case reflect.TypeFor[Notification]():
		return []group{{[]string{"slack", "webhook", "email"}, exactlyOne}}
	case reflect.TypeFor[SlackChannel]():
		return []group{{[]string{"token", "webhook"}, exactlyOne}}
	case reflect.TypeFor[Strategy]():
		return []group{{[]string{"none", "highlander", "red-black", "rolling", "canary"}, exactlyOne}}
	case reflect.TypeFor[Health]():
		return []group{{[]string{"path", "tcp", "command"}, exactlyOne}}
	case reflect.TypeFor[ScalingPolicy]():
		return []group{{[]string{"target", "step", "schedule"}, exactlyOne}}
	case reflect.TypeFor[LifecycleHook]():
		return []group{{[]string{"command", "wait"}, atLeastOne}}
	case reflect.TypeFor[Wait]():
		return []group{{[]string{"for", "until"}, exactlyOne}}
	case reflect.TypeFor[Rollback]():
		return []group{{[]string{"cluster", "site"}, exactlyOne}}
	case reflect.TypeFor[Git]():
		return []group{{[]string{"branch", "tag"}, atMostOne}, {[]string{"tag", "commit"}, atMostOne}}
	case reflect.TypeFor[Build]():
		return []group{{[]string{"spec", "inline"}, atMostOne}}
	case reflect.TypeFor[Credentials]():
		return []group{{[]string{"password", "sshKey"}, atMostOne}}
	case reflect.TypeFor[Parameter]():
		return []group{{[]string{"required", "default"}, atMostOne}}
	}
	return nil
}

func (d *decoder) groups(n *yaml.Node, s *shape, ms []member) {
	for _, g := range fieldGroups(s.typ) {
		var set []member
		for _, m := range ms {
			if slices.Contains(g.fields, m.name) && counts(m, s) {
				set = append(set, m)
			}
		}
		switch {
		case len(set) > 1 && g.rule != atLeastOne:
			d.report(set[1].key, CodeConflict, "%s has both %q and %q; only one of %s may be set",
				d.subject(), set[0].name, set[1].name, strings.Join(g.fields, ", "))
		case len(set) == 0 && g.rule != atMostOne && !hasUnknown(s, ms):
			d.reportWith(n, Diagnostic{Code: CodeOneOf, Message: fmt.Sprintf("%s must have one of %s", d.subject(), strings.Join(g.fields, ", "))})
		}
	}
}

// counts tells whether a member sets its field: false, an empty list and nothing
// do not, unless the field is a mapping that may be empty.
func counts(m member, s *shape) bool {
	f := s.byName[m.name]
	if isNull(m.value) {
		return isStructPointer(f.typ)
	}
	if m.value.Kind == yaml.SequenceNode {
		return len(m.value.Content) > 0
	}
	return m.value.Tag != "!!bool" || m.value.Value == "true"
}

// hasUnknown tells whether a field was misspelt, which was reported already.
func hasUnknown(s *shape, ms []member) bool {
	return slices.ContainsFunc(ms, func(m member) bool { _, ok := s.byName[m.name]; return !ok })
}
