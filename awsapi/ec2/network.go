package ec2

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// seed says that a region has had its default network and launch template: what a
// person deletes of them stays deleted.
type seed struct {
	Made bool `json:"made"`
}

// TemplateName is the launch template that every region begins with: it runs the
// built-in image.
const TemplateName = "MyTemplate"

// defaultSubnets are the subnets of a region's first zones: the identifiers that
// examples are written with.
var defaultSubnets = []string{"subnet-12345678", "subnet-87654321"}

// DefaultSubnet is the subnet of a region's n-th zone in its default VPC.
func DefaultSubnet(region string, n int) string {
	if n < len(defaultSubnets) {
		return defaultSubnets[n]
	}
	return derivedID("subnet-", region, fmt.Sprint(n))[:len("subnet-")+8]
}

func defaultVPC(region string) string { return derivedID("vpc-", region, "default") }

func defaultGroup(vpc string) string { return derivedID("sg-", vpc, "default") }

// seed makes the default network and launch template of a region, once.
func (s *Service) seed(ctx context.Context, region string) error {
	s.mu.Lock()
	done := s.seeded[region]
	s.mu.Unlock()
	if done {
		return nil
	}
	_, err := s.seeds.Get(ctx, region)
	if problem.CodeOf(err) == problem.NotFound {
		err = s.makeDefaults(ctx, region)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.seeded[region] = true
	s.mu.Unlock()
	return nil
}

func (s *Service) makeDefaults(ctx context.Context, region string) error {
	vpc := defaultVPC(region)
	if err := s.makeVPC(ctx, region, vpc, "172.31.0.0/16", true, object{}); err != nil {
		return err
	}
	gateway := derivedID("igw-", vpc)
	if _, err := s.keep(ctx, region, "internet-gateway", object{"InternetGatewayId": gateway, "OwnerId": s.Account, "Attachments": []any{object{"State": "available", "VpcId": vpc}}}, nil, nil); err != nil {
		return err
	}
	main := derivedID("rtb-", vpc, "main")
	_, err := s.changeKept(ctx, region, "route-table", main, func(d *kept) error {
		d.Data["Routes"] = []any{localRoute("172.31.0.0/16"), object{"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway, "Origin": "CreateRoute", "State": "active"}}
		return nil
	})
	if err != nil {
		return err
	}
	zones, _, err := s.zones(ctx, region)
	if err != nil {
		return err
	}
	for n, zone := range zones {
		data := s.subnet(region, DefaultSubnet(region, n), vpc, zone, fmt.Sprintf("172.31.%d.0/20", 16*n)).With(object{"DefaultForAz": true, "MapPublicIpOnLaunch": true, "AvailableIpAddressCount": 4091})
		if _, err := s.keep(ctx, region, "subnet", data, nil, nil); err != nil {
			return err
		}
	}
	if err := s.seedTemplate(ctx, region); err != nil {
		return err
	}
	_, err = s.seeds.Put(ctx, region, func(d *seed) error { d.Made = true; return nil })
	return err
}

// network adds the operations of what is kept and returned.
func (s *Service) network(o map[string]wire.Handler) {
	for name, f := range map[string]wire.ObjectFunc{
		"CreateVpc": s.createVPC, "DeleteVpc": s.deleteVPC, "ModifyVpcAttribute": s.modifyVPC,
		"CreateSubnet": s.createSubnet, "DeleteSubnet": s.deleteSubnet, "ModifySubnetAttribute": s.modifySubnet,
		"CreateRouteTable": s.createRouteTable, "DeleteRouteTable": s.deleteRouteTable, "CreateRoute": s.createRoute, "DeleteRoute": s.deleteRoute, "ReplaceRoute": s.replaceRoute,
		"AssociateRouteTable": s.associateRouteTable, "DisassociateRouteTable": s.disassociateRouteTable,
		"CreateInternetGateway": s.createInternetGateway, "AttachInternetGateway": s.attachInternetGateway, "DetachInternetGateway": s.detachInternetGateway, "DeleteInternetGateway": s.deleteInternetGateway,
		"CreateNatGateway": s.createNAT, "DeleteNatGateway": s.deleteNAT, "AllocateAddress": s.allocateAddress, "ReleaseAddress": s.releaseAddress,
		"AssociateAddress": s.associateAddress, "DisassociateAddress": s.disassociateAddress, "CreateDefaultVpc": s.createDefaultVPC,
		"UpdateSecurityGroupRuleDescriptionsIngress": s.describeRules(false), "UpdateSecurityGroupRuleDescriptionsEgress": s.describeRules(true),
		"CreateVpcEndpoint": s.createEndpoint, "DeleteVpcEndpoints": s.deleteEndpoints,
		"CreateVpnGateway": s.createVPNGateway, "AttachVpnGateway": s.attachVPNGateway, "DetachVpnGateway": s.detachVPNGateway, "DeleteVpnGateway": s.deleteVPNGateway,
		"CreateKeyPair": s.createKeyPair, "ImportKeyPair": s.importKeyPair, "DeleteKeyPair": s.deleteKeyPair,
		"CreateSecurityGroup": s.createGroup, "DeleteSecurityGroup": s.deleteGroup,
		"AuthorizeSecurityGroupIngress": s.authorize(false), "AuthorizeSecurityGroupEgress": s.authorize(true),
		"RevokeSecurityGroupIngress": s.revoke(false), "RevokeSecurityGroupEgress": s.revoke(true),
		"CreateVolume": s.createVolume,
	} {
		o[name] = s.change(f)
	}
	for name, f := range map[string]wire.ObjectFunc{
		"DescribeVpcs": s.describe("vpc", nil), "DescribeVpcAttribute": s.describeVPCAttribute, "DescribeSubnets": s.describe("subnet", nil),
		"DescribeRouteTables": s.describe("route-table", nil), "DescribeInternetGateways": s.describe("internet-gateway", nil),
		"DescribeNatGateways": s.describe("natgateway", nil), "DescribeAddresses": s.describeAddresses, "DescribeVpcEndpoints": s.describe("vpc-endpoint", nil),
		"DescribeVpnGateways": s.describe("vpn-gateway", nil), "DescribeKeyPairs": s.describeKeyPairs,
		"DescribeSecurityGroups": s.describeGroups, "DescribeSecurityGroupRules": s.describe("security-group-rule", nil), "GetSecurityGroupsForVpc": s.groupsForVPC,
	} {
		o[name] = s.handle(f)
	}
}

func localRoute(cidr string) object {
	return object{"DestinationCidrBlock": cidr, "GatewayId": "local", "Origin": "CreateRouteTable", "State": "active"}
}

func (s *Service) vpc(region, id, cidr, tenancy string, isDefault bool) object {
	return object{"VpcId": id, "CidrBlock": cidr, "State": "available", "IsDefault": isDefault, "OwnerId": s.Account, "InstanceTenancy": tenancy, "DhcpOptionsId": dhcpOptions(region),
		"CidrBlockAssociationSet":     []any{object{"AssociationId": derivedID("vpc-cidr-assoc-", id), "CidrBlock": cidr, "CidrBlockState": object{"State": "associated"}}},
		"Ipv6CidrBlockAssociationSet": []any{}}
}

// makeVPC makes a VPC with what each begins with: a main route table and a default
// security group.
func (s *Service) makeVPC(ctx context.Context, region, id, cidr string, isDefault bool, in object) error {
	tenancy := in.Text("InstanceTenancy")
	if tenancy == "" {
		tenancy = "default"
	}
	if _, err := s.keep(ctx, region, "vpc", s.vpc(region, id, cidr, tenancy, isDefault), object{"EnableDnsSupport": true, "EnableDnsHostnames": isDefault}, in); err != nil {
		return err
	}
	main := derivedID("rtb-", id, "main")
	association := object{"Main": true, "RouteTableAssociationId": derivedID("rtbassoc-", id), "RouteTableId": main, "AssociationState": object{"State": "associated"}}
	table := object{"RouteTableId": main, "VpcId": id, "OwnerId": s.Account, "PropagatingVgws": []any{}, "Associations": []any{association}, "Routes": []any{localRoute(cidr)}}
	if _, err := s.keep(ctx, region, "route-table", table, nil, nil); err != nil {
		return err
	}
	return s.makeGroup(ctx, region, defaultGroup(id), "default", "default VPC security group", id, nil)
}

func (s *Service) createVPC(ctx context.Context, c *wire.Call, in object) (object, error) {
	cidr, err := netip.ParsePrefix(in.Text("CidrBlock"))
	switch {
	case in.Text("CidrBlock") == "":
		return nil, missingParameter("cidrBlock")
	case err != nil || !cidr.Addr().Is4():
		return nil, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter cidrBlock is invalid. This is not a valid CIDR block.", in.Text("CidrBlock"))
	case cidr.Bits() < 16 || cidr.Bits() > 28:
		return nil, wire.Errorf("InvalidVpc.Range", "The CIDR '%s' is invalid.", in.Text("CidrBlock"))
	case in.Is("AmazonProvidedIpv6CidrBlock") || in.Has("Ipv6CidrBlock"):
		return nil, unsupported("IPv6 of a VPC")
	}
	id := madeID(c, "vpc-")
	if err := s.makeVPC(ctx, c.Region, id, cidr.Masked().String(), false, in); err != nil {
		return nil, err
	}
	d, err := s.keptResource(ctx, c.Region, "vpc", id)
	return object{"Vpc": d.Data.With(object{"State": "pending", "Tags": tagList(tagsFor(in, "vpc"))})}, err
}

func unsupported(what string) error {
	return wire.Errorf("UnsupportedOperation", "%s cannot be had here: the local regions are networks of this machine.", what)
}

// within are a region's resources of a kind that are in a VPC.
func (s *Service) within(ctx context.Context, region, name, vpc string) ([]object, error) {
	all, err := s.all(ctx, region, name)
	return slices.DeleteFunc(all, func(o object) bool { return o.Text("VpcId") != vpc }), err
}

func (s *Service) deleteVPC(ctx context.Context, c *wire.Call, in object) (object, error) {
	id := in.Text("VpcId")
	if _, err := s.keptResource(ctx, c.Region, "vpc", id); err != nil {
		return nil, err
	}
	main, group := derivedID("rtb-", id, "main"), defaultGroup(id)
	for _, name := range []string{"subnet", "route-table", "security-group", "natgateway", "vpc-endpoint"} {
		all, err := s.within(ctx, c.Region, name, id)
		if err != nil {
			return nil, err
		}
		for _, o := range all {
			if o.Text("RouteTableId") != main && o.Text("GroupId") != group && o.Text("State") != "deleted" {
				return nil, wire.Errorf("DependencyViolation", "The vpc '%s' has dependencies and cannot be deleted.", id)
			}
		}
	}
	gateways, err := s.all(ctx, c.Region, "internet-gateway")
	if err != nil {
		return nil, err
	}
	for _, g := range gateways {
		if slices.Contains(reach(g, "Attachments.VpcId"), id) {
			return nil, wire.Errorf("DependencyViolation", "The vpc '%s' has dependencies and cannot be deleted.", id)
		}
	}
	for _, one := range [][2]string{{"route-table", main}, {"security-group", group}} {
		if err := s.remove(ctx, c.Region, one[0], one[1]); err != nil && !strings.Contains(wire.CodeOf(err), "NotFound") {
			return nil, err
		}
	}
	return object{}, s.remove(ctx, c.Region, "vpc", id)
}

func (s *Service) modifyVPC(ctx context.Context, c *wire.Call, in object) (object, error) {
	_, err := s.changeKept(ctx, c.Region, "vpc", in.Text("VpcId"), func(d *kept) error {
		for _, name := range []string{"EnableDnsSupport", "EnableDnsHostnames", "EnableNetworkAddressUsageMetrics"} {
			if in.Has(name) {
				d.Extra = d.Extra.With(object{name: in.Inner(name).Is("Value")})
			}
		}
		return nil
	})
	return object{}, err
}

func (s *Service) describeVPCAttribute(ctx context.Context, c *wire.Call, in object) (object, error) {
	d, err := s.keptResource(ctx, c.Region, "vpc", in.Text("VpcId"))
	name := in.Text("Attribute")
	if name != "" {
		name = strings.ToUpper(name[:1]) + name[1:]
	}
	return object{"VpcId": in.Text("VpcId"), name: object{"Value": d.Extra.Is(name)}}, err
}

func (s *Service) subnet(region, id, vpc, zone, cidr string) object {
	prefix := netip.MustParsePrefix(cidr)
	return object{"SubnetId": id, "SubnetArn": "arn:aws:ec2:" + region + ":" + s.Account + ":subnet/" + id, "VpcId": vpc, "CidrBlock": cidr, "AvailabilityZone": zone, "AvailabilityZoneId": zoneID(region, zone),
		"State": "available", "OwnerId": s.Account, "DefaultForAz": false, "MapPublicIpOnLaunch": false, "AssignIpv6AddressOnCreation": false, "Ipv6Native": false, "EnableDns64": false,
		"MapCustomerOwnedIpOnLaunch": false, "Ipv6CidrBlockAssociationSet": []any{}, "AvailableIpAddressCount": 1<<(32-prefix.Bits()) - 5,
		"PrivateDnsNameOptionsOnLaunch": object{"HostnameType": "ip-name", "EnableResourceNameDnsARecord": false, "EnableResourceNameDnsAAAARecord": false}}
}

func (s *Service) createSubnet(ctx context.Context, c *wire.Call, in object) (object, error) {
	vpc, err := s.keptResource(ctx, c.Region, "vpc", in.Text("VpcId"))
	if err != nil {
		return nil, err
	}
	text := in.Text("CidrBlock")
	cidr, err := netip.ParsePrefix(text)
	if text == "" {
		return nil, missingParameter("cidrBlock")
	}
	if err != nil {
		return nil, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter cidrBlock is invalid. This is not a valid CIDR block.", text)
	}
	cidr = cidr.Masked()
	whole, err := netip.ParsePrefix(vpc.Data.Text("CidrBlock"))
	if err != nil || !whole.Contains(cidr.Addr()) || cidr.Bits() < whole.Bits() || cidr.Bits() > 28 {
		return nil, wire.Errorf("InvalidSubnet.Range", "The CIDR '%s' is invalid.", text)
	}
	others, err := s.within(ctx, c.Region, "subnet", in.Text("VpcId"))
	if err != nil {
		return nil, err
	}
	id := madeID(c, "subnet-")
	for _, o := range others {
		if other, err := netip.ParsePrefix(o.Text("CidrBlock")); err == nil && other.Overlaps(cidr) && o.Text("SubnetId") != id {
			return nil, wire.Errorf("InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet", text)
		}
	}
	zones, _, err := s.zones(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	zone := in.Text("AvailabilityZone")
	for _, z := range zones {
		if zone == "" && (in.Text("AvailabilityZoneId") == "" || in.Text("AvailabilityZoneId") == zoneID(c.Region, z)) {
			zone = z
		}
	}
	if !slices.Contains(zones, zone) {
		return nil, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: %s.", zone, strings.Join(zones, ", "))
	}
	data, err := s.keep(ctx, c.Region, "subnet", s.subnet(c.Region, id, in.Text("VpcId"), zone, cidr.String()), nil, in)
	return object{"Subnet": data}, err
}

func (s *Service) deleteSubnet(ctx context.Context, c *wire.Call, in object) (object, error) {
	id := in.Text("SubnetId")
	users, err := s.describeInstances(ctx, c, object{"Filters": []any{object{"Name": "subnet-id", "Values": []any{id}}, object{"Name": "instance-state-name", "Values": []any{"pending", "running", "stopping", "stopped", "shutting-down"}}}})
	if err == nil && len(users.Objects("Reservations")) > 0 {
		err = wire.Errorf("DependencyViolation", "The subnet '%s' has dependencies and cannot be deleted.", id)
	}
	if err != nil {
		return nil, err
	}
	return object{}, s.remove(ctx, c.Region, "subnet", id)
}

func (s *Service) modifySubnet(ctx context.Context, c *wire.Call, in object) (object, error) {
	_, err := s.changeKept(ctx, c.Region, "subnet", in.Text("SubnetId"), func(d *kept) error {
		for _, name := range []string{"MapPublicIpOnLaunch", "AssignIpv6AddressOnCreation", "EnableDns64"} {
			if in.Has(name) {
				d.Data[name] = in.Inner(name).Is("Value")
			}
		}
		return nil
	})
	return object{}, err
}

// zoneID is a zone's identifier: usw2-az1 for the first of us-west-2.
func zoneID(region, zone string) string {
	parts := strings.Split(region, "-")
	short := parts[0]
	for _, p := range parts[1:] {
		short += p[:min(1, len(p))]
	}
	letter := strings.TrimPrefix(zone, region)
	if len(letter) != 1 {
		return short + "-" + zone
	}
	return fmt.Sprintf("%s-az%d", short, letter[0]-'a'+1)
}

func (s *Service) describeZones(ctx context.Context, c *wire.Call, in object) (object, error) {
	zones, down, err := s.zones(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	var all []object
	for _, z := range zones {
		o := object{"ZoneName": z, "ZoneId": zoneID(c.Region, z), "RegionName": c.Region, "State": "available", "ZoneType": "availability-zone", "GroupName": c.Region + "-zg-1",
			"NetworkBorderGroup": c.Region, "OptInStatus": "opt-in-not-required", "Messages": []any{}}
		if slices.Contains(down, z) {
			o["State"], o["Messages"] = "unavailable", []any{object{"Message": "The zone is in outage."}}
		}
		all = append(all, o)
	}
	for member, key := range map[string]string{"ZoneNames": "ZoneName", "ZoneIds": "ZoneId"} {
		want := in.Texts(member)
		for _, w := range want {
			if !slices.ContainsFunc(all, func(o object) bool { return o.Text(key) == w }) {
				return nil, wire.Errorf("InvalidParameterValue", "Invalid availability zone-id: [%s]", w)
			}
		}
		if len(want) > 0 {
			all = slices.DeleteFunc(all, func(o object) bool { return !slices.Contains(want, o.Text(key)) })
		}
	}
	all, err = filters(in, documented("DescribeAvailabilityZones", named("ZoneName", "ZoneId", "ZoneType", "State", "RegionName", "GroupName", "NetworkBorderGroup", "OptInStatus", "message=Messages.Message")), all)
	return object{"AvailabilityZones": wire.List(all)}, err
}

func (s *Service) describeRegions(_ context.Context, c *wire.Call, in object) (object, error) {
	var all []object
	for _, r := range s.Regions {
		all = append(all, object{"RegionName": r, "Endpoint": "ec2." + r + ".amazonaws.com", "OptInStatus": "opt-in-not-required"})
	}
	if want := in.Texts("RegionNames"); len(want) > 0 {
		for _, w := range want {
			if !slices.Contains(s.Regions, w) {
				return nil, wire.Errorf("InvalidParameterValue", "Invalid region names: [%s]", w)
			}
		}
		all = slices.DeleteFunc(all, func(o object) bool { return !slices.Contains(want, o.Text("RegionName")) })
	}
	all, err := filters(in, named("RegionName", "Endpoint", "OptInStatus"), all)
	return object{"Regions": wire.List(all)}, err
}

func (s *Service) describeAccount(_ context.Context, c *wire.Call, in object) (object, error) {
	var out []any
	for _, a := range []struct{ name, value string }{{"supported-platforms", "VPC"}, {"default-vpc", defaultVPC(c.Region)}, {"max-instances", fmt.Sprint(mostInstances)}} {
		if want := in.Texts("AttributeNames"); len(want) == 0 || slices.Contains(want, a.name) {
			out = append(out, object{"AttributeName": a.name, "AttributeValues": []any{object{"AttributeValue": a.value}}})
		}
	}
	return object{"AccountAttributes": out}, nil
}
