package iam

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
)

// simulated is a set of policies that are evaluated together.
type simulated struct {
	all      []statement
	boundary []statement // nil: there is no boundary
	bounded  bool
}

// add reads policies that a request gives.
func (s *simulated) add(list []string, kind string) error {
	for n, text := range list {
		more, err := statements(fmt.Sprint(kind, ".", n+1), text)
		if err != nil {
			return wire.Errorf("InvalidInput", "The policy %d of %s cannot be read.", n+1, kind)
		}
		s.all = append(s.all, more...)
	}
	return nil
}

func (s *service) simulateCustom(_ context.Context, _ *wire.Call, in wire.Object) (wire.Object, error) {
	p := &simulated{}
	if err := p.add(in.Texts("PolicyInputList"), "PolicyInputList"); err != nil {
		return nil, err
	}
	return p.evaluate(in, in.Text("CallerArn"))
}

// simulatePrincipal evaluates what is kept for a user, a group or a role: its own
// policies, those of a user's groups, and its boundary.
func (s *service) simulatePrincipal(ctx context.Context, c *wire.Call, in wire.Object) (wire.Object, error) {
	id := in.Text("PolicySourceArn")
	p := &simulated{}
	if err := s.principalPolicies(ctx, c, id, p); err != nil {
		return nil, err
	}
	if err := p.add(in.Texts("PolicyInputList"), "PolicyInputList"); err != nil {
		return nil, err
	}
	return p.evaluate(in, id)
}

// principalPolicies adds the policies of a principal.
func (s *service) principalPolicies(ctx context.Context, c *wire.Call, id string, p *simulated) error {
	kind, path, _ := strings.Cut(strings.TrimPrefix(id, "arn:aws:iam::"+c.Account+":"), "/")
	name := path[strings.LastIndexByte(path, '/')+1:]
	switch kind {
	case "role":
		r, err := s.role(ctx, name)
		if err != nil {
			return err
		}
		return s.addPolicies(ctx, c, p, "role_"+r.Name, r.Inline, r.Attached, r.Boundary)
	case "group":
		g, err := s.group(ctx, name)
		if err != nil {
			return err
		}
		return s.addPolicies(ctx, c, p, "group_"+g.Name, g.Inline, g.Attached, "")
	case "user":
		u, err := s.user(ctx, name)
		if err != nil {
			return err
		}
		groups, err := s.groupsOf(ctx, name)
		if err != nil {
			return err
		}
		for _, g := range groups {
			if err := s.addPolicies(ctx, c, p, "group_"+g.Name, g.Inline, g.Attached, ""); err != nil {
				return err
			}
		}
		return s.addPolicies(ctx, c, p, "user_"+u.Name, u.Inline, u.Attached, u.Boundary)
	}
	return wire.Errorf("InvalidInput", "Invalid Entity Arn: %s does not clearly define entity type and name.", id)
}

// addPolicies adds inline and attached policies, and a boundary.
func (s *service) addPolicies(ctx context.Context, c *wire.Call, p *simulated, owner string, inline map[string]string, attached []string, boundary string) error {
	for _, name := range slices.Sorted(maps.Keys(inline)) {
		more, err := statements(owner+"_"+name, inline[name])
		if err != nil {
			return err
		}
		p.all = append(p.all, more...)
	}
	for _, id := range attached {
		more, err := s.managedStatements(ctx, c, id)
		if err != nil {
			return err
		}
		p.all = append(p.all, more...)
	}
	if boundary == "" {
		return nil
	}
	p.bounded = true
	var err error
	p.boundary, err = s.managedStatements(ctx, c, boundary)
	return err
}

// managedStatements are those of the default version of a managed policy.
func (s *service) managedStatements(ctx context.Context, c *wire.Call, id string) ([]statement, error) {
	p, err := s.policy(ctx, c, id)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(p.Versions, func(v version) bool { return v.Number == p.Default })
	if at < 0 {
		return nil, noPolicy(id)
	}
	return statements(p.Name, p.Versions[at].Document)
}

// evaluate answers for each action on each resource.
func (p *simulated) evaluate(in wire.Object, caller string) (wire.Object, error) {
	if list := in.Texts("PermissionsBoundaryPolicyInputList"); len(list) > 0 {
		b := &simulated{}
		if err := b.add(list, "PermissionsBoundaryPolicyInputList"); err != nil {
			return nil, err
		}
		p.boundary, p.bounded = b.all, true
	}
	if text := in.Text("ResourcePolicy"); text != "" {
		if err := p.add([]string{text}, "ResourcePolicy"); err != nil {
			return nil, err
		}
	}
	known := map[string][]string{}
	for _, e := range in.Objects("ContextEntries") {
		known[strings.ToLower(e.Text("ContextKeyName"))] = e.Texts("ContextKeyValues")
	}
	if _, name, isUser := strings.Cut(caller, ":user/"); isUser && known["aws:username"] == nil {
		known["aws:username"] = []string{name[strings.LastIndexByte(name, '/')+1:]}
	}
	resources := in.Texts("ResourceArns")
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	// The answers are in the order of what is asked; a page goes on by the place in it.
	type placed struct {
		place  string
		result wire.Object
	}
	var all []placed
	for _, action := range in.Texts("ActionNames") {
		for _, resource := range resources {
			all = append(all, placed{fmt.Sprintf("%06d", len(all)), p.result(asked{action, resource, known})})
		}
	}
	out, answer, err := pageOf(in, all, func(p placed) string { return p.place })
	results := []any{}
	for _, p := range out {
		results = append(results, p.result)
	}
	return answer.With(wire.Object{"EvaluationResults": results}), err
}

// result is what the policies say of one action on one resource.
func (p *simulated) result(q asked) wire.Object {
	d := decide(p.all, q)
	out := wire.Object{"EvalActionName": q.action, "EvalResourceName": q.resource}
	if p.bounded {
		bound := decide(p.boundary, q)
		out["PermissionsBoundaryDecisionDetail"] = wire.Object{"AllowedByPermissionsBoundary": bound.verdict == "allowed"}
		switch {
		case bound.verdict == "explicitDeny":
			d = bound
		case bound.verdict == "implicitDeny" && d.verdict == "allowed":
			d.verdict, d.matched = "implicitDeny", nil
		}
	}
	matched := []any{}
	for _, s := range d.matched {
		kind := "IAM Policy"
		if strings.HasPrefix(s.source, "ResourcePolicy") {
			kind = "Resource Policy"
		}
		matched = append(matched, wire.Object{"SourcePolicyId": s.source, "SourcePolicyType": kind})
	}
	out["EvalDecision"], out["MatchedStatements"], out["MissingContextValues"] = d.verdict, matched, wire.List(d.missing)
	return out
}
