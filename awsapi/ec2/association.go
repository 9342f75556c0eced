package ec2

import (
	"context"
	"slices"

	"showrunner/awsapi/wire"
)

// associateAddress keeps which instance an address is for. The instance answers at its
// own address, as before.
func (s *Service) associateAddress(ctx context.Context, c *wire.Call, in object) (object, error) {
	id := in.Text("AllocationId")
	if id == "" {
		all, err := s.all(ctx, c.Region, "elastic-ip")
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(all, func(o object) bool { return o.Text("PublicIp") == in.Text("PublicIp") && in.Has("PublicIp") })
		if at < 0 {
			return nil, wire.Errorf("InvalidAddress.NotFound", "Address '%s' not found.", in.Text("PublicIp"))
		}
		id = all[at].Text("AllocationId")
	}
	if !in.Has("InstanceId") {
		return nil, wire.Errorf("InvalidParameterCombination", "An address is associated with an instance here: give InstanceId.")
	}
	i, err := s.instance(ctx, c.Region, in.Text("InstanceId"))
	if err != nil {
		return nil, err
	}
	if state := i.Inner("State").Text("Name"); state != "running" && state != "stopped" && state != "pending" {
		return nil, wire.Errorf("InvalidInstanceID", "The pending-instance-creation or running instance '%s' is in the state %s.", in.Text("InstanceId"), state)
	}
	association := madeID(c, "eipassoc-")
	_, err = s.changeKept(ctx, c.Region, "elastic-ip", id, func(d *kept) error {
		if had := d.Data.Text("InstanceId"); had != "" && had != in.Text("InstanceId") && in.Has("AllowReassociation") && !in.Is("AllowReassociation") {
			return wire.Errorf("Resource.AlreadyAssociated", "resource %s is already associated with associate-id %s", id, d.Data.Text("AssociationId"))
		}
		d.Data["InstanceId"], d.Data["AssociationId"], d.Data["PrivateIpAddress"] = in.Text("InstanceId"), association, i.Text("PrivateIpAddress")
		return nil
	})
	return object{"AssociationId": association}, err
}

func (s *Service) disassociateAddress(ctx context.Context, c *wire.Call, in object) (object, error) {
	all, err := s.all(ctx, c.Region, "elastic-ip")
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(all, func(o object) bool {
		return o.Has("AssociationId") && (o.Text("AssociationId") == in.Text("AssociationId") || in.Has("PublicIp") && o.Text("PublicIp") == in.Text("PublicIp"))
	})
	if at < 0 {
		return nil, wire.Errorf("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", in.Text("AssociationId"))
	}
	_, err = s.changeKept(ctx, c.Region, "elastic-ip", all[at].Text("AllocationId"), func(d *kept) error {
		for _, member := range []string{"InstanceId", "AssociationId", "PrivateIpAddress"} {
			delete(d.Data, member)
		}
		return nil
	})
	return object{}, err
}

// replaceRoute gives a route of a table another target.
func (s *Service) replaceRoute(ctx context.Context, c *wire.Call, in object) (object, error) {
	member, value := destination(in)
	route := object{member: value, "Origin": "CreateRoute", "State": "active"}.With(in.Only("GatewayId", "NatGatewayId", "InstanceId", "NetworkInterfaceId", "EgressOnlyInternetGatewayId", "TransitGatewayId", "VpcPeeringConnectionId"))
	if len(route) < 4 {
		return nil, missingParameter("gatewayId, natGatewayId, instanceId or networkInterfaceId")
	}
	_, err := s.changeKept(ctx, c.Region, "route-table", in.Text("RouteTableId"), func(d *kept) error {
		routes := d.Data.Objects("Routes")
		at := slices.IndexFunc(routes, func(r object) bool { m, v := destination(r); return m == member && v == value })
		if at < 0 {
			return wire.Errorf("InvalidRoute.NotFound", "There is no route defined for '%s' in the route table. Use CreateRoute instead.", value)
		}
		routes[at] = route
		d.Data["Routes"] = wire.List(routes)
		return nil
	})
	return object{}, err
}

// describeRules sets the descriptions of a security group's rules.
func (s *Service) describeRules(egress bool) wire.ObjectFunc {
	return func(ctx context.Context, c *wire.Call, in object) (object, error) {
		group, rules, err := s.permitted(ctx, c.Region, egress, in)
		if err != nil {
			return nil, err
		}
		texts := map[string]string{}
		for _, r := range rules {
			texts[r.Text("SecurityGroupRuleId")] = r.Text("Description")
		}
		for _, d := range in.Objects("SecurityGroupRuleDescriptions") {
			texts[d.Text("SecurityGroupRuleId")] = d.Text("Description")
		}
		if len(texts) == 0 {
			return nil, missingParameter("ipPermissions or securityGroupRuleDescriptions")
		}
		for id := range texts {
			if err := s.ruleOf(ctx, c.Region, group, egress, id); err != nil {
				return nil, err
			}
		}
		for id, text := range texts {
			if _, err := s.changeKept(ctx, c.Region, "security-group-rule", id, func(d *kept) error { d.Data["Description"] = text; return nil }); err != nil {
				return nil, err
			}
		}
		return object{"Return": true}, nil
	}
}

// namedPeers gives the groups that permissions name by their names their identifiers.
func (s *Service) namedPeers(ctx context.Context, region string, in object) (object, error) {
	resolved := func(pair object) (object, error) {
		if pair.Has("GroupId") {
			return pair, nil
		}
		id, err := s.groupID(ctx, region, pair.Only("GroupName"))
		return pair.With(object{"GroupId": id}), err
	}
	var permissions []object
	for _, p := range in.Objects("IpPermissions") {
		pairs := p.Objects("UserIdGroupPairs")
		for n := range pairs {
			var err error
			if pairs[n], err = resolved(pairs[n]); err != nil {
				return nil, err
			}
		}
		permissions = append(permissions, p.With(object{"UserIdGroupPairs": wire.List(pairs)}))
	}
	if name := in.Text("SourceSecurityGroupName"); name != "" {
		pair, err := resolved(object{"GroupName": name})
		if err != nil {
			return nil, err
		}
		permissions = append(permissions, object{"IpProtocol": "-1", "UserIdGroupPairs": []any{pair}})
	}
	if len(permissions) == 0 {
		return in, nil
	}
	return in.With(object{"IpPermissions": wire.List(permissions)}), nil
}

// createDefaultVPC refuses a second default VPC: the first may be deleted, and another
// is not made.
func (s *Service) createDefaultVPC(ctx context.Context, c *wire.Call, _ object) (object, error) {
	if _, err := s.keptResource(ctx, c.Region, "vpc", defaultVPC(c.Region)); err != nil {
		return nil, wire.Errorf("UnsupportedOperation", "The default VPC of %s was deleted; make another one by CreateVpc.", c.Region)
	}
	return nil, wire.Errorf("DefaultVpcAlreadyExists", "A Default VPC already exists for this account in this region.")
}
