package ec2

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// A security group's rules are resources of their own; its permissions are computed
// from them.

// makeGroup makes a security group that lets everything out, as AWS's begin.
func (s *Service) makeGroup(ctx context.Context, region, id, name, description, vpc string, in object) error {
	data := object{"GroupId": id, "GroupName": name, "Description": description, "VpcId": vpc, "OwnerId": s.Account}
	if _, err := s.keep(ctx, region, "security-group", data, nil, in); err != nil {
		return err
	}
	rules := []object{{"IpProtocol": "-1", "IsEgress": true, "CidrIpv4": "0.0.0.0/0"}}
	if name == "default" {
		rules = append(rules, object{"IpProtocol": "-1", "IsEgress": false, "ReferencedGroupInfo": object{"GroupId": id, "UserId": s.Account}})
	}
	for _, r := range rules {
		r = r.With(object{"GroupId": id, "GroupOwnerId": s.Account, "FromPort": -1, "ToPort": -1})
		r["SecurityGroupRuleId"] = ruleID(region, r)
		if _, err := s.keep(ctx, region, "security-group-rule", r, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// peer is whom a rule lets through.
func peer(r object) string {
	for _, m := range []string{"CidrIpv4", "CidrIpv6", "PrefixListId"} {
		if v := r.Text(m); v != "" {
			return v
		}
	}
	return r.Inner("ReferencedGroupInfo").Text("GroupId")
}

func ruleID(region string, r object) string {
	return derivedID("sgr-", region, r.Text("GroupId"), fmt.Sprint(r.Is("IsEgress")), r.Text("IpProtocol"), fmt.Sprint(r.Number("FromPort", -1)), fmt.Sprint(r.Number("ToPort", -1)), peer(r))
}

func (s *Service) createGroup(ctx context.Context, c *wire.Call, in object) (object, error) {
	vpc, name := in.Text("VpcId"), in.Text("GroupName")
	if vpc == "" {
		vpc = defaultVPC(c.Region)
	}
	if _, err := s.keptResource(ctx, c.Region, "vpc", vpc); err != nil {
		return nil, err
	}
	if strings.HasPrefix(name, "sg-") || name == "default" {
		return nil, wire.Errorf("InvalidParameterValue", "Invalid value '%s' for groupName. The name is reserved.", name)
	}
	others, err := s.within(ctx, c.Region, "security-group", vpc)
	if err != nil {
		return nil, err
	}
	id := madeID(c, "sg-")
	if slices.ContainsFunc(others, func(o object) bool { return o.Text("GroupName") == name && o.Text("GroupId") != id }) {
		return nil, wire.Errorf("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", name, vpc)
	}
	if err := s.makeGroup(ctx, c.Region, id, name, in.Text("Description"), vpc, in); err != nil {
		return nil, err
	}
	out := object{"GroupId": id}
	if tags := tagsFor(in, "security-group"); len(tags) > 0 {
		out["Tags"] = tagList(tags)
	}
	return out, nil
}

// groupID is the identifier of the security group that a request names.
func (s *Service) groupID(ctx context.Context, region string, in object) (string, error) {
	id, name := in.Text("GroupId"), in.Text("GroupName")
	if id == "" && name != "" {
		all, err := s.within(ctx, region, "security-group", defaultVPC(region))
		if err != nil {
			return "", err
		}
		at := slices.IndexFunc(all, func(o object) bool { return o.Text("GroupName") == name })
		if at < 0 {
			return "", wire.Errorf("InvalidGroup.NotFound", "The security group '%s' does not exist in default VPC '%s'", name, defaultVPC(region))
		}
		id = all[at].Text("GroupId")
	}
	if id == "" {
		return "", missingParameter("groupName or groupId")
	}
	_, err := s.keptResource(ctx, region, "security-group", id)
	return id, err
}

func (s *Service) deleteGroup(ctx context.Context, c *wire.Call, in object) (object, error) {
	id, err := s.groupID(ctx, c.Region, in)
	if err != nil {
		return nil, err
	}
	d, err := s.keptResource(ctx, c.Region, "security-group", id)
	if err != nil {
		return nil, err
	}
	if d.Data.Text("GroupName") == "default" {
		return nil, wire.Errorf("CannotDelete", "the specified group: \"%s\" name: \"default\" cannot be deleted by a user", id)
	}
	rules, err := s.all(ctx, c.Region, "security-group-rule")
	if err != nil {
		return nil, err
	}
	for _, r := range rules {
		if r.Text("GroupId") != id && peer(r) == id {
			return nil, wire.Errorf("DependencyViolation", "resource %s has a dependent object", id)
		}
	}
	for _, r := range rules {
		if r.Text("GroupId") == id {
			if err := s.remove(ctx, c.Region, "security-group-rule", r.Text("SecurityGroupRuleId")); err != nil {
				return nil, err
			}
		}
	}
	return object{}, s.remove(ctx, c.Region, "security-group", id)
}

// rulesOf are the rules that a request's permissions stand for.
func (s *Service) rulesOf(region, group string, egress bool, in object) []object {
	permissions := in.Objects("IpPermissions")
	if in.Has("IpProtocol") {
		p := in.Only("IpProtocol", "FromPort", "ToPort")
		if cidr := in.Text("CidrIp"); cidr != "" {
			p["IpRanges"] = []any{object{"CidrIp": cidr}}
		}
		permissions = append(permissions, p)
	}
	var out []object
	for _, p := range permissions {
		add := func(who object, description string) {
			r := object{"GroupId": group, "GroupOwnerId": s.Account, "IsEgress": egress, "IpProtocol": p.Text("IpProtocol"), "FromPort": p.Number("FromPort", -1), "ToPort": p.Number("ToPort", -1), "Description": description}.With(who)
			r["SecurityGroupRuleId"] = ruleID(region, r)
			out = append(out, r)
		}
		for _, e := range p.Objects("IpRanges") {
			add(object{"CidrIpv4": e.Text("CidrIp")}, e.Text("Description"))
		}
		for _, e := range p.Objects("Ipv6Ranges") {
			add(object{"CidrIpv6": e.Text("CidrIpv6")}, e.Text("Description"))
		}
		for _, e := range p.Objects("PrefixListIds") {
			add(object{"PrefixListId": e.Text("PrefixListId")}, e.Text("Description"))
		}
		for _, e := range p.Objects("UserIdGroupPairs") {
			add(object{"ReferencedGroupInfo": object{"GroupId": e.Text("GroupId"), "UserId": s.Account}}, e.Text("Description"))
		}
	}
	return out
}

// permitted is the security group that a request names, and the rules that its
// permissions mean.
func (s *Service) permitted(ctx context.Context, region string, egress bool, in object) (group string, rules []object, err error) {
	if group, err = s.groupID(ctx, region, in); err != nil {
		return "", nil, err
	}
	if in, err = s.namedPeers(ctx, region, in); err != nil {
		return "", nil, err
	}
	return group, s.rulesOf(region, group, egress, in), nil
}

func (s *Service) authorize(egress bool) wire.ObjectFunc {
	return func(ctx context.Context, c *wire.Call, in object) (object, error) {
		_, rules, err := s.permitted(ctx, c.Region, egress, in)
		if err != nil {
			return nil, err
		}
		if len(rules) == 0 {
			return nil, missingParameter("ipPermissions")
		}
		for _, r := range rules {
			if _, err := s.keptResource(ctx, c.Region, "security-group-rule", r.Text("SecurityGroupRuleId")); err == nil {
				return nil, wire.Errorf("InvalidPermission.Duplicate", "the specified rule \"peer: %s, %s, from port: %d, to port: %d, ALLOW\" already exists", peer(r), strings.ToUpper(r.Text("IpProtocol")), r.Number("FromPort", -1), r.Number("ToPort", -1))
			}
			if to := r.Inner("ReferencedGroupInfo").Text("GroupId"); to != "" {
				if _, err := s.keptResource(ctx, c.Region, "security-group", to); err != nil {
					return nil, err
				}
			}
		}
		var made []object
		for _, r := range rules {
			data, err := s.keep(ctx, c.Region, "security-group-rule", r, nil, in)
			if err != nil {
				return nil, err
			}
			made = append(made, data)
		}
		return object{"Return": true, "SecurityGroupRules": wire.List(made)}, nil
	}
}

// ruleOf refuses an identifier that is no rule of the security group in that direction.
func (s *Service) ruleOf(ctx context.Context, region, group string, egress bool, id string) error {
	d, err := s.kept.Get(ctx, keptKey(region, "security-group-rule", id))
	if problem.CodeOf(err) == problem.NotFound || err == nil && (d.Data.Text("GroupId") != group || d.Data.Is("IsEgress") != egress) {
		return wire.Errorf("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
	}
	return err
}

func (s *Service) revoke(egress bool) wire.ObjectFunc {
	return func(ctx context.Context, c *wire.Call, in object) (object, error) {
		group, rules, err := s.permitted(ctx, c.Region, egress, in)
		if err != nil {
			return nil, err
		}
		ids := in.Texts("SecurityGroupRuleIds")
		for _, r := range rules {
			ids = append(ids, r.Text("SecurityGroupRuleId"))
		}
		for _, id := range ids {
			if err := s.ruleOf(ctx, c.Region, group, egress, id); err != nil {
				return nil, err
			}
		}
		for _, id := range ids {
			if err := s.remove(ctx, c.Region, "security-group-rule", id); err != nil {
				return nil, err
			}
		}
		return object{"Return": true}, nil
	}
}

// permissions completes security groups with what their rules permit.
func (s *Service) permissions(ctx context.Context, region string, groups []object) error {
	rules, err := s.all(ctx, region, "security-group-rule")
	if err != nil {
		return err
	}
	for _, g := range groups {
		for member, egress := range map[string]bool{"IpPermissions": false, "IpPermissionsEgress": true} {
			g[member] = permit(slices.DeleteFunc(slices.Clone(rules), func(r object) bool { return r.Text("GroupId") != g.Text("GroupId") || r.Is("IsEgress") != egress }))
		}
	}
	return nil
}

// permit puts the rules of one protocol and range of ports together.
func permit(rules []object) []any {
	out := []any{}
	byPorts := map[string]object{}
	for _, r := range rules {
		key := fmt.Sprint(r.Text("IpProtocol"), " ", r.Number("FromPort", -1), " ", r.Number("ToPort", -1))
		p := byPorts[key]
		if p == nil {
			p = object{"IpProtocol": r.Text("IpProtocol"), "IpRanges": []any{}, "Ipv6Ranges": []any{}, "PrefixListIds": []any{}, "UserIdGroupPairs": []any{}}
			if r.Text("IpProtocol") != "-1" {
				p["FromPort"], p["ToPort"] = r.Number("FromPort", -1), r.Number("ToPort", -1)
			}
			byPorts[key] = p
			out = append(out, p)
		}
		add := func(member string, o object) {
			have, _ := p[member].([]any)
			p[member] = append(have, o.With(object{"Description": r.Text("Description")}))
		}
		switch {
		case r.Has("CidrIpv4"):
			add("IpRanges", object{"CidrIp": r.Text("CidrIpv4")})
		case r.Has("CidrIpv6"):
			add("Ipv6Ranges", object{"CidrIpv6": r.Text("CidrIpv6")})
		case r.Has("PrefixListId"):
			add("PrefixListIds", object{"PrefixListId": r.Text("PrefixListId")})
		default:
			add("UserIdGroupPairs", r.Inner("ReferencedGroupInfo").Only("GroupId", "UserId"))
		}
	}
	return out
}

func (s *Service) describeGroups(ctx context.Context, c *wire.Call, in object) (object, error) {
	var ids []string
	for _, name := range in.Texts("GroupNames") {
		id, err := s.groupID(ctx, c.Region, object{"GroupName": name})
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	if len(ids) > 0 {
		in = in.With(object{"GroupIds": wire.List(append(ids, in.Texts("GroupIds")...))})
	}
	return s.describe("security-group", s.permissions)(ctx, c, in)
}

func (s *Service) groupsForVPC(ctx context.Context, c *wire.Call, in object) (object, error) {
	vpc := in.Text("VpcId")
	if _, err := s.keptResource(ctx, c.Region, "vpc", vpc); err != nil {
		return nil, err
	}
	groups, err := s.within(ctx, c.Region, "security-group", vpc)
	if err != nil {
		return nil, err
	}
	var all []object
	for _, g := range groups {
		all = append(all, g.Only("GroupId", "GroupName", "Description", "OwnerId", "Tags").With(object{"PrimaryVpcId": vpc}))
	}
	if all, err = filters(in, named("GroupId", "GroupName", "Description", "OwnerId", "primary-vpc-id=PrimaryVpcId"), all); err != nil {
		return nil, err
	}
	return answer(in, "SecurityGroupForVpcs", all, by("GroupId"))
}
