package iam

import (
	"encoding/json"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// statement is a statement of a policy, as far as it is evaluated.
type statement struct {
	Effect      string
	Action      texts
	NotAction   texts
	Resource    texts
	NotResource texts
	Condition   map[string]map[string]texts

	source string // the policy that it is of
}

// texts is a list that may be written as one text.
type texts []string

func (l *texts) UnmarshalJSON(raw []byte) error {
	var one any
	if err := json.Unmarshal(raw, &one); err != nil {
		return err
	}
	list, ok := one.([]any)
	if !ok {
		list = []any{one}
	}
	*l = nil
	for _, v := range list {
		switch v := v.(type) {
		case string:
			*l = append(*l, v)
		case bool:
			*l = append(*l, strconv.FormatBool(v))
		case float64:
			*l = append(*l, strconv.FormatFloat(v, 'f', -1, 64))
		}
	}
	return nil
}

// statements reads a policy's statements.
func statements(source, document string) ([]statement, error) {
	var d struct{ Statement json.RawMessage }
	if err := json.Unmarshal([]byte(document), &d); err != nil {
		return nil, err
	}
	var list []statement
	err := json.Unmarshal(d.Statement, &list)
	if err != nil {
		var one statement
		if err = json.Unmarshal(d.Statement, &one); err != nil {
			return nil, err
		}
		list = []statement{one}
	}
	for n := range list {
		list[n].source = source
	}
	return list, nil
}

// asked is what is evaluated: an action on a resource, in a context.
type asked struct {
	action, resource string
	context          map[string][]string // by the key in lower case
}

// decision is what policies say of something that is asked.
type decision struct {
	verdict string // allowed, explicitDeny or implicitDeny
	matched []statement
	missing []string // keys of the context that conditions need and that are not there
}

// decide evaluates statements as AWS does: what is denied anywhere is denied, what is
// allowed nowhere too.
func decide(all []statement, q asked) decision {
	d := decision{verdict: "implicitDeny"}
	var allows, denies []statement
	for _, s := range all {
		if !s.about(q) {
			continue
		}
		holds, missing := s.holds(q)
		for _, key := range missing {
			if !slices.Contains(d.missing, key) {
				d.missing = append(d.missing, key)
			}
		}
		switch {
		case !holds:
		case s.Effect == "Deny":
			denies = append(denies, s)
		default:
			allows = append(allows, s)
		}
	}
	switch {
	case len(denies) > 0:
		d.verdict, d.matched = "explicitDeny", denies
	case len(allows) > 0:
		d.verdict, d.matched = "allowed", allows
	}
	return d
}

// about says whether a statement is about an action on a resource.
func (s statement) about(q asked) bool {
	action := func(p string) bool { return like(strings.ToLower(p), strings.ToLower(q.action)) }
	resource := func(p string) bool { return like(q.filled(p), q.resource) }
	if len(s.NotAction) > 0 {
		if slices.ContainsFunc(s.NotAction, action) {
			return false
		}
	} else if !slices.ContainsFunc(s.Action, action) {
		return false
	}
	switch {
	case len(s.NotResource) > 0:
		return !slices.ContainsFunc(s.NotResource, resource)
	case len(s.Resource) > 0:
		return slices.ContainsFunc(s.Resource, resource)
	}
	return true // a policy of a resource is about that resource
}

// filled puts the context's values in the place of variables such as ${aws:username}.
func (q asked) filled(text string) string {
	for key, values := range q.context {
		if len(values) == 1 && strings.Contains(text, "${") {
			for _, name := range variableNames(text) {
				if strings.EqualFold(name, key) {
					text = strings.ReplaceAll(text, "${"+name+"}", values[0])
				}
			}
		}
	}
	return text
}

// variableNames are the names of the variables in a text.
func variableNames(text string) (out []string) {
	for {
		_, rest, found := strings.Cut(text, "${")
		name, after, closed := strings.Cut(rest, "}")
		if !found || !closed {
			return out
		}
		out, text = append(out, name), after
	}
}

// holds says whether a statement's conditions are met, and which keys are missing.
func (s statement) holds(q asked) (holds bool, missing []string) {
	holds = true
	for operator, keys := range s.Condition {
		for key, wanted := range keys {
			values, there := q.context[strings.ToLower(key)]
			name, ifThere := strings.CutSuffix(operator, "IfExists")
			switch {
			case name == "Null":
				holds = holds && len(wanted) > 0 && (wanted[0] == "true") == !there
			case !there && ifThere:
			case !there:
				missing = append(missing, key)
				holds = holds && negated(name)
			default:
				for n := range wanted {
					wanted[n] = q.filled(wanted[n])
				}
				holds = holds && meets(name, values, wanted)
			}
		}
	}
	slices.Sort(missing)
	return holds, missing
}

// negated says whether an operator is met where its key is missing.
func negated(operator string) bool { return strings.Contains(operator, "Not") }

// meets says whether the context's values meet a condition.
func meets(operator string, values, wanted []string) bool {
	every := false
	if rest, ok := strings.CutPrefix(operator, "ForAllValues:"); ok {
		operator, every = rest, true
	}
	operator = strings.TrimPrefix(operator, "ForAnyValue:")
	positive := strings.Replace(operator, "Not", "", 1)
	one := func(v string) bool {
		met := slices.ContainsFunc(wanted, func(w string) bool { return compared(positive, v, w) })
		return met != (positive != operator)
	}
	if every || positive != operator {
		return !slices.ContainsFunc(values, func(v string) bool { return !one(v) })
	}
	return slices.ContainsFunc(values, one)
}

// compared compares a value of the context with one of a condition. An operator that is
// not known is never met.
func compared(operator, v, w string) bool {
	switch operator {
	case "StringEquals", "ArnEquals", "BinaryEquals":
		return v == w || operator == "ArnEquals" && like(w, v)
	case "StringEqualsIgnoreCase", "Bool":
		return strings.EqualFold(v, w)
	case "StringLike", "ArnLike":
		return like(w, v)
	case "IpAddress":
		return inBlock(v, w)
	}
	if order, ok := strings.CutPrefix(operator, "Numeric"); ok {
		a, err1 := strconv.ParseFloat(v, 64)
		b, err2 := strconv.ParseFloat(w, 64)
		return err1 == nil && err2 == nil && ordered(order, a-b)
	}
	if order, ok := strings.CutPrefix(operator, "Date"); ok {
		a, err1 := time.Parse(time.RFC3339, v)
		b, err2 := time.Parse(time.RFC3339, w)
		return err1 == nil && err2 == nil && ordered(order, a.Sub(b).Seconds())
	}
	return false
}

// ordered says whether a difference fits the name of an order.
func ordered(order string, difference float64) bool {
	switch order {
	case "Equals":
		return difference == 0
	case "LessThan":
		return difference < 0
	case "LessThanEquals":
		return difference <= 0
	case "GreaterThan":
		return difference > 0
	case "GreaterThanEquals":
		return difference >= 0
	}
	return false
}

func inBlock(address, block string) bool {
	if !strings.Contains(block, "/") {
		return address == block
	}
	_, network, err := net.ParseCIDR(block)
	return err == nil && network.Contains(net.ParseIP(address))
}

// like matches a text against a pattern, in which * stands for any characters and ? for one.
func like(pattern, text string) bool {
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
