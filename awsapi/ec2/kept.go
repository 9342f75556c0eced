package ec2

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// kept is a resource that is kept and returned: nothing acts on it.
type kept struct {
	Data    object    `json:"data"`            // as it is described, without tags
	Extra   object    `json:"extra,omitempty"` // what is described elsewhere
	Created time.Time `json:"created"`
}

// kind is a kind of such resources.
type kind struct {
	name    string             // as tags name it
	prefix  string             // of identifiers
	id      string             // the member that is the identifier
	ids     string             // the input's member that chooses some
	members string             // of the answer
	missing func(string) error // there is none
	filters map[string]string
}

func notFound(code, format string) func(string) error {
	return func(id string) error { return wire.Errorf(code, format, id) }
}

// kinds are all kinds that are kept.
func kinds() map[string]kind {
	out := map[string]kind{}
	for _, k := range []kind{
		{"vpc", "vpc-", "VpcId", "VpcIds", "Vpcs", notFound("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist"),
			named("VpcId", "State", "OwnerId", "cidr=CidrBlock", "CidrBlock", "is-default=IsDefault", "isDefault=IsDefault", "dhcp-options-id=DhcpOptionsId", "cidr-block-association.cidr-block=CidrBlockAssociationSet.CidrBlock",
				"cidr-block-association.association-id=CidrBlockAssociationSet.AssociationId", "cidr-block-association.state=CidrBlockAssociationSet.CidrBlockState.State")},
		{"subnet", "subnet-", "SubnetId", "SubnetIds", "Subnets", notFound("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist"),
			named("SubnetId", "VpcId", "State", "OwnerId", "AvailabilityZone", "availabilityZone=AvailabilityZone", "AvailabilityZoneId", "cidr=CidrBlock", "CidrBlock", "cidrBlock=CidrBlock", "default-for-az=DefaultForAz", "defaultForAz=DefaultForAz", "map-public-ip-on-launch=MapPublicIpOnLaunch", "subnet-arn=SubnetArn", "available-ip-address-count=AvailableIpAddressCount", "ipv6-native=Ipv6Native", "enable-dns64=EnableDns64")},
		{"security-group", "sg-", "GroupId", "GroupIds", "SecurityGroups", notFound("InvalidGroup.NotFound", "The security group '%s' does not exist"),
			named("GroupId", "GroupName", "VpcId", "OwnerId", "Description", "ip-permission.cidr=IpPermissions.IpRanges.CidrIp", "ip-permission.from-port=IpPermissions.FromPort", "ip-permission.to-port=IpPermissions.ToPort", "ip-permission.protocol=IpPermissions.IpProtocol", "ip-permission.group-id=IpPermissions.UserIdGroupPairs.GroupId", "ip-permission.group-name=IpPermissions.UserIdGroupPairs.GroupName", "ip-permission.user-id=IpPermissions.UserIdGroupPairs.UserId",
				"ip-permission.ipv6-cidr=IpPermissions.Ipv6Ranges.CidrIpv6", "ip-permission.prefix-list-id=IpPermissions.PrefixListIds.PrefixListId",
				"egress.ip-permission.cidr=IpPermissionsEgress.IpRanges.CidrIp", "egress.ip-permission.from-port=IpPermissionsEgress.FromPort", "egress.ip-permission.to-port=IpPermissionsEgress.ToPort",
				"egress.ip-permission.protocol=IpPermissionsEgress.IpProtocol", "egress.ip-permission.group-id=IpPermissionsEgress.UserIdGroupPairs.GroupId", "egress.ip-permission.user-id=IpPermissionsEgress.UserIdGroupPairs.UserId",
				"egress.ip-permission.ipv6-cidr=IpPermissionsEgress.Ipv6Ranges.CidrIpv6", "egress.ip-permission.prefix-list-id=IpPermissionsEgress.PrefixListIds.PrefixListId")},
		{"security-group-rule", "sgr-", "SecurityGroupRuleId", "SecurityGroupRuleIds", "SecurityGroupRules", notFound("InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '%s' does not exist"),
			named("GroupId", "SecurityGroupRuleId")},
		{"route-table", "rtb-", "RouteTableId", "RouteTableIds", "RouteTables", notFound("InvalidRouteTableID.NotFound", "The routeTable ID '%s' does not exist"),
			named("RouteTableId", "VpcId", "OwnerId", "association.main=Associations.Main", "association.subnet-id=Associations.SubnetId", "association.route-table-association-id=Associations.RouteTableAssociationId", "association.gateway-id=Associations.GatewayId", "route.destination-cidr-block=Routes.DestinationCidrBlock", "route.gateway-id=Routes.GatewayId", "route.nat-gateway-id=Routes.NatGatewayId", "route.state=Routes.State", "route.origin=Routes.Origin",
				"association.route-table-id=Associations.RouteTableId", "route.instance-id=Routes.InstanceId", "route.destination-ipv6-cidr-block=Routes.DestinationIpv6CidrBlock", "route.destination-prefix-list-id=Routes.DestinationPrefixListId",
				"route.egress-only-internet-gateway-id=Routes.EgressOnlyInternetGatewayId", "route.transit-gateway-id=Routes.TransitGatewayId", "route.vpc-peering-connection-id=Routes.VpcPeeringConnectionId")},
		{"internet-gateway", "igw-", "InternetGatewayId", "InternetGatewayIds", "InternetGateways", notFound("InvalidInternetGatewayID.NotFound", "The internetGateway ID '%s' does not exist"),
			named("InternetGatewayId", "OwnerId", "attachment.vpc-id=Attachments.VpcId", "attachment.state=Attachments.State")},
		{"natgateway", "nat-", "NatGatewayId", "NatGatewayIds", "NatGateways", notFound("NatGatewayNotFound", "The Nat Gateway %s was not found"),
			named("NatGatewayId", "VpcId", "SubnetId", "State")},
		{"elastic-ip", "eipalloc-", "AllocationId", "AllocationIds", "Addresses", notFound("InvalidAllocationID.NotFound", "The allocation ID '%s' does not exist"),
			named("AllocationId", "AssociationId", "PublicIp", "InstanceId", "Domain")},
		{"vpc-endpoint", "vpce-", "VpcEndpointId", "VpcEndpointIds", "VpcEndpoints", notFound("InvalidVpcEndpointId.NotFound", "The Vpc Endpoint Id '%s' does not exist"),
			named("VpcEndpointId", "VpcId", "ServiceName", "vpc-endpoint-state=State", "vpc-endpoint-type=VpcEndpointType")},
		{"key-pair", "key-", "KeyPairId", "KeyPairIds", "KeyPairs", notFound("InvalidKeyPair.NotFound", "The key pair ID '%s' does not exist"),
			named("KeyPairId", "KeyName", "fingerprint=KeyFingerprint")},
		{"vpn-gateway", "vgw-", "VpnGatewayId", "VpnGatewayIds", "VpnGateways", notFound("InvalidVpnGatewayID.NotFound", "The vpnGateway ID '%s' does not exist"),
			named("VpnGatewayId", "State", "Type", "attachment.vpc-id=VpcAttachments.VpcId", "attachment.state=VpcAttachments.State", "amazon-side-asn=AmazonSideAsn")},
	} {
		out[k.name] = k
	}
	return out
}

func keptKey(region, kind, id string) string { return region + "/" + kind + "/" + id }

// keep adds a resource with the tags of the request that makes it; the same
// identifier again is the same resource.
func (s *Service) keep(ctx context.Context, region, name string, data, extra, in object) (object, error) {
	k := kinds()[name]
	id := data.Text(k.id)
	// Its tags come first: what is there is found by them.
	tags := tagsFor(in, name)
	if err := s.keepTags(ctx, region, id, tags); err != nil {
		return nil, err
	}
	err := s.kept.Create(ctx, keptKey(region, name, id), kept{data, extra, s.Now().UTC()})
	if problem.CodeOf(err) == problem.Conflict {
		d, err := s.keptResource(ctx, region, name, id)
		return d.Data, err
	}
	if err != nil {
		return nil, err
	}
	return data.With(object{"Tags": tagList(tags)}), nil
}

// tokenID is the identifier of what a request makes: the same for the same token.
func tokenID(c *wire.Call, in object, prefix string) string {
	if token := in.Text("ClientToken"); token != "" {
		return derivedID(prefix, c.Region, token)
	}
	return madeID(c, prefix)
}

// keptResource finds a resource. Errors: the kind's own.
func (s *Service) keptResource(ctx context.Context, region, name, id string) (kept, error) {
	d, err := s.kept.Get(ctx, keptKey(region, name, id))
	if problem.CodeOf(err) == problem.NotFound {
		k, ok := kinds()[name]
		if !ok {
			return d, wire.Errorf("InvalidID", "The ID '%s' is not valid", id)
		}
		if id == "" {
			return d, missingParameter(k.id)
		}
		return d, k.missing(id)
	}
	return d, err
}

// changeKept updates a resource.
func (s *Service) changeKept(ctx context.Context, region, name, id string, change func(*kept) error) (kept, error) {
	if _, err := s.keptResource(ctx, region, name, id); err != nil {
		return kept{}, err
	}
	return s.kept.Update(ctx, keptKey(region, name, id), change)
}

// remove deletes a resource and its tags.
func (s *Service) remove(ctx context.Context, region, name, id string) error {
	if _, err := s.keptResource(ctx, region, name, id); err != nil {
		return err
	}
	for _, err := range []error{s.kept.Delete(ctx, keptKey(region, name, id), nil), s.tags.Delete(ctx, region+"/"+id, nil)} {
		if err != nil && problem.CodeOf(err) != problem.NotFound {
			return err
		}
	}
	return nil
}

// all are a region's resources of a kind with their tags, by identifier.
func (s *Service) all(ctx context.Context, region, name string) ([]object, error) {
	tags, err := s.allTags(ctx, region)
	if err != nil {
		return nil, err
	}
	k := kinds()[name]
	var out []object
	for e, err := range s.kept.All(ctx, keptKey(region, name, "")) {
		if err != nil {
			return nil, err
		}
		out = append(out, e.Doc.Data.With(object{"Tags": tagList(tags[e.Doc.Data.Text(k.id)])}))
	}
	return out, nil
}

// describe is the operation that describes resources of a kind. fill completes what
// is described; nil: nothing is to be completed.
func (s *Service) describe(name string, fill func(ctx context.Context, region string, all []object) error) wire.ObjectFunc {
	k := kinds()[name]
	k.filters = documented("Describe"+k.members, k.filters)
	return func(ctx context.Context, c *wire.Call, in object) (object, error) {
		all, err := s.all(ctx, c.Region, name)
		if err == nil && fill != nil {
			err = fill(ctx, c.Region, all)
		}
		if err != nil {
			return nil, err
		}
		if all, err = choose(in, k, all); err != nil {
			return nil, err
		}
		if in.Has("Filter") { // NAT gateways have a name of their own for it
			in = in.With(object{"Filters": in["Filter"]})
		}
		if all, err = filters(in, k.filters, all); err != nil {
			return nil, err
		}
		slices.SortFunc(all, func(a, b object) int { return cmp.Compare(a.Text(k.id), b.Text(k.id)) })
		return answer(in, k.members, all, by(k.id))
	}
}

// choose leaves the resources that a request names; each has to be there.
func choose(in object, k kind, all []object) ([]object, error) {
	ids := in.Texts(k.ids)
	if len(ids) == 0 {
		return all, nil
	}
	var out []object
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		at := slices.IndexFunc(all, func(o object) bool { return o.Text(k.id) == id })
		if at < 0 {
			if !strings.HasPrefix(id, k.prefix) {
				return nil, wire.Errorf(strings.TrimSuffix(wire.CodeOf(k.missing(id)), ".NotFound")+".Malformed", "Invalid id: \"%s\" (expecting \"%s...\")", id, k.prefix)
			}
			return nil, k.missing(id)
		}
		out = append(out, all[at])
	}
	return out, nil
}
