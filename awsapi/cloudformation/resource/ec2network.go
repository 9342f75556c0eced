package resource

import (
	"context"
	"strings"
)

func networkTypes() []*Type {
	kind := func(name string, properties, required, replace, attributes []string, k *ec2Kind) *Type {
		return &Type{Name: name, Properties: properties, Required: required, Replace: replace, Attributes: attributes, Identifiers: attributes[:1], Tagged: true, Assigned: true, Repeatable: true,
			Needs: [2]string{"ec2", k.create}, Handler: k}
	}
	list := func(names ...string) []string { return names }
	return []*Type{
		kind("AWS::EC2::VPC", list("CidrBlock", "EnableDnsHostnames", "EnableDnsSupport", "InstanceTenancy", "Tags"), list("CidrBlock"), list("CidrBlock"),
			list("VpcId", "CidrBlock", "DefaultSecurityGroup", "CidrBlockAssociations", "Ipv6CidrBlocks"), vpc),
		kind("AWS::EC2::Subnet", list("VpcId", "CidrBlock", "AvailabilityZone", "MapPublicIpOnLaunch", "Tags"), list("VpcId"), list("VpcId", "CidrBlock", "AvailabilityZone"),
			list("SubnetId", "AvailabilityZone", "VpcId", "CidrBlock"), subnet),
		kind("AWS::EC2::InternetGateway", list("Tags"), nil, nil, list("InternetGatewayId"), &ec2Kind{resource: "internet-gateway", create: "CreateInternetGateway", remove: "DeleteInternetGateway",
			describe: "DescribeInternetGateways", list: "InternetGateways", id: "InternetGatewayId", path: list("InternetGateway"), missing: "InvalidInternetGatewayID.NotFound"}),
		kind("AWS::EC2::RouteTable", list("VpcId", "Tags"), list("VpcId"), list("VpcId"), list("RouteTableId"), &ec2Kind{resource: "route-table", create: "CreateRouteTable", remove: "DeleteRouteTable",
			describe: "DescribeRouteTables", list: "RouteTables", id: "RouteTableId", path: list("RouteTable"), members: map[string]string{"VpcId": "VpcId"}, missing: "InvalidRouteTableID.NotFound"}),
		kind("AWS::EC2::NatGateway", list("SubnetId", "AllocationId", "ConnectivityType", "Tags"), list("SubnetId"), list("SubnetId", "AllocationId", "ConnectivityType"), list("NatGatewayId"),
			&ec2Kind{resource: "natgateway", create: "CreateNatGateway", remove: "DeleteNatGateway", describe: "DescribeNatGateways", list: "NatGateways", id: "NatGatewayId", path: list("NatGateway"),
				members: map[string]string{"SubnetId": "SubnetId", "AllocationId": "AllocationId", "ConnectivityType": "ConnectivityType"}, missing: "NatGatewayNotFound", token: "ClientToken"}),
		kind("AWS::EC2::EIP", list("Domain", "Tags"), nil, list("Domain"), list("AllocationId", "PublicIp"), elasticAddress),
		kind("AWS::EC2::SecurityGroup", list("GroupName", "GroupDescription", "VpcId", "SecurityGroupIngress", "SecurityGroupEgress", "Tags"), list("GroupDescription"), list("GroupName", "GroupDescription", "VpcId"),
			list("GroupId", "VpcId"), securityGroup),
		{Name: "AWS::EC2::VPCGatewayAttachment", Properties: list("VpcId", "InternetGatewayId"), Required: list("VpcId", "InternetGatewayId"), Replace: list("VpcId", "InternetGatewayId"), Assigned: true,
			Needs: [2]string{"ec2", "AttachInternetGateway"}, Handler: attachment{}},
		{Name: "AWS::EC2::Route", Properties: list("RouteTableId", "DestinationCidrBlock", "GatewayId", "NatGatewayId"), Required: list("RouteTableId"),
			Replace: list("RouteTableId", "DestinationCidrBlock", "GatewayId", "NatGatewayId"), Assigned: true, Needs: [2]string{"ec2", "CreateRoute"}, Handler: route{}},
		{Name: "AWS::EC2::SubnetRouteTableAssociation", Properties: list("RouteTableId", "SubnetId"), Required: list("RouteTableId", "SubnetId"), Replace: list("RouteTableId", "SubnetId"), Attributes: list("Id"),
			Assigned: true, Needs: [2]string{"ec2", "AssociateRouteTable"}, Handler: association{}},
		ruleType("Ingress"), ruleType("Egress"),
	}
}

var vpc = &ec2Kind{resource: "vpc", create: "CreateVpc", remove: "DeleteVpc", describe: "DescribeVpcs", list: "Vpcs", id: "VpcId", path: []string{"Vpc"},
	members: map[string]string{"CidrBlock": "CidrBlock", "InstanceTenancy": "InstanceTenancy"}, missing: "InvalidVpcID.NotFound",
	after: func(ctx context.Context, r *Request) error {
		for _, property := range []string{"EnableDnsSupport", "EnableDnsHostnames"} {
			if err := flag(ctx, r, "ModifyVpcAttribute", "VpcId", property); err != nil {
				return err
			}
		}
		out, err := r.call(ctx, "ec2", "DescribeSecurityGroups", map[string]any{"Filters": []any{
			map[string]any{"Name": "vpc-id", "Values": []any{r.Physical}}, map[string]any{"Name": "group-name", "Values": []any{"default"}}}})
		if err == nil {
			r.Attributes = map[string]any{"DefaultSecurityGroup": textAt(first(out["SecurityGroups"]), "GroupId")}
		}
		return err
	},
	attributes: func(r *Request, found map[string]any) map[string]any {
		var associations []any
		list, _ := found["CidrBlockAssociationSet"].([]any)
		for _, a := range list {
			associations = append(associations, at(a, "AssociationId"))
		}
		return map[string]any{"CidrBlock": at(found, "CidrBlock"), "CidrBlockAssociations": associations, "Ipv6CidrBlocks": []any{}, "DefaultSecurityGroup": at(r.Attributes, "DefaultSecurityGroup")}
	},
}

var subnet = &ec2Kind{resource: "subnet", create: "CreateSubnet", remove: "DeleteSubnet", describe: "DescribeSubnets", list: "Subnets", id: "SubnetId", path: []string{"Subnet"},
	members: map[string]string{"VpcId": "VpcId", "CidrBlock": "CidrBlock", "AvailabilityZone": "AvailabilityZone"}, missing: "InvalidSubnetID.NotFound",
	after: func(ctx context.Context, r *Request) error {
		return flag(ctx, r, "ModifySubnetAttribute", "SubnetId", "MapPublicIpOnLaunch")
	},
	attributes: func(_ *Request, found map[string]any) map[string]any {
		return map[string]any{"AvailabilityZone": at(found, "AvailabilityZone"), "VpcId": at(found, "VpcId"), "CidrBlock": at(found, "CidrBlock")}
	},
}

var elasticAddress = &ec2Kind{resource: "elastic-ip", create: "AllocateAddress", remove: "ReleaseAddress", describe: "DescribeAddresses", list: "Addresses", id: "AllocationId", identifier: "PublicIp",
	members: map[string]string{"Domain": "Domain"}, missing: "InvalidAllocationID.NotFound",
	attributes: func(_ *Request, found map[string]any) map[string]any {
		return map[string]any{"PublicIp": at(found, "PublicIp")}
	},
	deleteBy: func(r *Request) map[string]any {
		return map[string]any{"AllocationId": at(r.Attributes, "AllocationId")}
	},
}

// simple is what the acts on relations between two things have in common: they are
// found by what they relate, so doing one again does no harm.
type simple struct{ unfindable }

func (simple) Update(_ context.Context, r *Request) (Made, error) {
	return Made{Physical: r.Physical, Attributes: r.Attributes}, nil
}

// attachment acts for AWS::EC2::VPCGatewayAttachment.
type attachment struct{ simple }

func (attachment) Create(ctx context.Context, r *Request) (Made, error) {
	_, err := r.call(ctx, "ec2", "AttachInternetGateway", r.pick(map[string]string{"VpcId": "VpcId", "InternetGatewayId": "InternetGatewayId"}))
	return Made{Physical: "IGW|" + r.Text("VpcId")}, gone(err, "Resource.AlreadyAssociated")
}

func (attachment) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "ec2", "DetachInternetGateway", r.pick(map[string]string{"VpcId": "VpcId", "InternetGatewayId": "InternetGatewayId"}))
	return gone(err, "Gateway.NotAttached", "InvalidInternetGatewayID.NotFound")
}

// route acts for AWS::EC2::Route.
type route struct{ simple }

func (route) Create(ctx context.Context, r *Request) (Made, error) {
	_, err := r.call(ctx, "ec2", "CreateRoute", r.Properties)
	return Made{Physical: r.Text("RouteTableId") + "|" + r.Text("DestinationCidrBlock")}, gone(err, "RouteAlreadyExists")
}

func (route) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "ec2", "DeleteRoute", r.pick(map[string]string{"RouteTableId": "RouteTableId", "DestinationCidrBlock": "DestinationCidrBlock"}))
	return gone(err, "InvalidRoute.NotFound", "InvalidRouteTableID.NotFound")
}

// association acts for AWS::EC2::SubnetRouteTableAssociation.
type association struct{ simple }

func (association) Create(ctx context.Context, r *Request) (Made, error) {
	out, err := r.call(ctx, "ec2", "AssociateRouteTable", r.Properties)
	id := textAt(out, "AssociationId")
	return Made{Physical: id, Attributes: map[string]any{"Id": id}}, err
}

func (association) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "ec2", "DisassociateRouteTable", map[string]any{"AssociationId": r.Physical})
	return gone(err, "InvalidAssociationID.NotFound")
}

// Find looks for the association in the route table.
func (association) Find(ctx context.Context, r *Request) (Made, bool, error) {
	out, err := r.call(ctx, "ec2", "DescribeRouteTables", map[string]any{"RouteTableIds": []any{r.Text("RouteTableId")}})
	list, _ := at(first(out["RouteTables"]), "Associations").([]any)
	for _, a := range list {
		if textAt(a, "SubnetId") == r.Text("SubnetId") {
			id := textAt(a, "RouteTableAssociationId")
			return Made{Physical: id, Attributes: map[string]any{"Id": id}}, true, nil
		}
	}
	return Made{}, false, err
}

// permission is a rule of a security group as the API takes it.
func permission(rule any) map[string]any {
	out := map[string]any{"IpProtocol": at(rule, "IpProtocol")}
	for _, name := range []string{"FromPort", "ToPort"} {
		if v := at(rule, name); v != nil {
			out[name] = v
		}
	}
	described := func(name string, v any) []any {
		one := map[string]any{name: v}
		if text := at(rule, "Description"); text != nil {
			one["Description"] = text
		}
		return []any{one}
	}
	for property, member := range map[string][2]string{
		"CidrIp": {"IpRanges", "CidrIp"}, "CidrIpv6": {"Ipv6Ranges", "CidrIpv6"}, "SourceSecurityGroupId": {"UserIdGroupPairs", "GroupId"},
		"DestinationSecurityGroupId": {"UserIdGroupPairs", "GroupId"}, "SourcePrefixListId": {"PrefixListIds", "PrefixListId"}, "DestinationPrefixListId": {"PrefixListIds", "PrefixListId"},
	} {
		if v := at(rule, property); v != nil {
			out[member[0]] = described(member[1], v)
		}
	}
	return out
}

var everything = map[string]any{"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}

var securityGroup = &ec2Kind{resource: "security-group", create: "CreateSecurityGroup", remove: "DeleteSecurityGroup", describe: "DescribeSecurityGroups", list: "SecurityGroups", id: "GroupId",
	members: map[string]string{"GroupName": "GroupName", "GroupDescription": "Description", "VpcId": "VpcId"}, missing: "InvalidGroup.NotFound", named: "GroupName",
	after: func(ctx context.Context, r *Request) error {
		if list, given := r.Properties["SecurityGroupEgress"].([]any); given && len(list) > 0 {
			if err := rules(ctx, r, "RevokeSecurityGroupEgress", []any{everything}); err != nil {
				return err
			}
		}
		for _, way := range []string{"Ingress", "Egress"} {
			old, _ := r.Old["SecurityGroup"+way].([]any)
			now, _ := r.Properties["SecurityGroup"+way].([]any)
			if err := rules(ctx, r, "RevokeSecurityGroup"+way, lacking(old, now)); err != nil {
				return err
			}
			if err := rules(ctx, r, "AuthorizeSecurityGroup"+way, lacking(now, old)); err != nil {
				return err
			}
		}
		return nil
	},
	attributes: func(_ *Request, found map[string]any) map[string]any {
		return map[string]any{"VpcId": at(found, "VpcId")}
	},
}

// lacking are the rules of one list that another does not have.
func lacking(list, other []any) []any {
	var out []any
	for _, e := range list {
		found := false
		for _, o := range other {
			found = found || Same(e, o)
		}
		if !found {
			out = append(out, e)
		}
	}
	return out
}

// rules adds or takes away rules, one after the other: one that is there already,
// or gone, does no harm.
func rules(ctx context.Context, r *Request, operation string, list []any) error {
	for _, rule := range list {
		_, err := r.call(ctx, "ec2", operation, map[string]any{"GroupId": r.Physical, "IpPermissions": []any{permission(rule)}})
		if err := gone(err, "InvalidPermission.Duplicate", "InvalidPermission.NotFound"); err != nil {
			return err
		}
	}
	return nil
}

// ruleType is a rule of a security group that is a resource of its own.
func ruleType(way string) *Type {
	other := map[string]string{"Ingress": "Source", "Egress": "Destination"}[way]
	properties := []string{"GroupId", "IpProtocol", "FromPort", "ToPort", "CidrIp", "CidrIpv6", "Description", other + "SecurityGroupId", other + "PrefixListId"}
	return &Type{Name: "AWS::EC2::SecurityGroup" + way, Properties: properties, Required: []string{"GroupId", "IpProtocol"}, Replace: properties, Attributes: []string{"Id"}, Assigned: true,
		Needs: [2]string{"ec2", "AuthorizeSecurityGroup" + way}, Handler: groupRule{way: way}}
}

// groupRule acts for AWS::EC2::SecurityGroupIngress and Egress.
type groupRule struct {
	simple
	way string
}

func (g groupRule) Create(ctx context.Context, r *Request) (Made, error) {
	in := *r
	in.Physical = r.Text("GroupId")
	id := r.Text("GroupId") + "|" + strings.ToLower(g.way) + "|" + Random(12, true, r.Token)
	return Made{Physical: id, Attributes: map[string]any{"Id": id}}, rules(ctx, &in, "AuthorizeSecurityGroup"+g.way, []any{any(r.Properties)})
}

func (g groupRule) Delete(ctx context.Context, r *Request) error {
	in := *r
	in.Physical = r.Text("GroupId")
	return gone(rules(ctx, &in, "RevokeSecurityGroup"+g.way, []any{any(r.Properties)}), "InvalidGroup.NotFound")
}
