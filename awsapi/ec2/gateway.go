package ec2

import (
	"context"
	"slices"

	"showrunner/awsapi/wire"
)

func (s *Service) createRouteTable(ctx context.Context, c *wire.Call, in object) (object, error) {
	vpc, err := s.keptResource(ctx, c.Region, "vpc", in.Text("VpcId"))
	if err != nil {
		return nil, err
	}
	data, err := s.keep(ctx, c.Region, "route-table", object{"RouteTableId": tokenID(c, in, "rtb-"), "VpcId": in.Text("VpcId"), "OwnerId": c.Account, "PropagatingVgws": []any{}, "Associations": []any{},
		"Routes": []any{localRoute(vpc.Data.Text("CidrBlock"))}}, nil, in)
	return object{"RouteTable": data}, err
}

func (s *Service) deleteRouteTable(ctx context.Context, c *wire.Call, in object) (object, error) {
	id := in.Text("RouteTableId")
	d, err := s.keptResource(ctx, c.Region, "route-table", id)
	if err == nil && len(d.Data.Objects("Associations")) > 0 {
		err = wire.Errorf("DependencyViolation", "The routeTable '%s' has dependencies and cannot be deleted.", id)
	}
	if err != nil {
		return nil, err
	}
	return object{}, s.remove(ctx, c.Region, "route-table", id)
}

// destination is where a route leads, and the member that says so.
func destination(o object) (member, value string) {
	for _, m := range []string{"DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId"} {
		if v := o.Text(m); v != "" {
			return m, v
		}
	}
	return "DestinationCidrBlock", ""
}

func (s *Service) createRoute(ctx context.Context, c *wire.Call, in object) (object, error) {
	member, value := destination(in)
	route := object{member: value, "Origin": "CreateRoute", "State": "active"}.With(in.Only("GatewayId", "NatGatewayId", "InstanceId", "NetworkInterfaceId", "EgressOnlyInternetGatewayId", "TransitGatewayId", "VpcPeeringConnectionId"))
	if len(route) < 4 {
		return nil, missingParameter("gatewayId, natGatewayId, instanceId or networkInterfaceId")
	}
	_, err := s.changeKept(ctx, c.Region, "route-table", in.Text("RouteTableId"), func(d *kept) error {
		for _, r := range d.Data.Objects("Routes") {
			if m, v := destination(r); m == member && v == value {
				return wire.Errorf("RouteAlreadyExists", "The route identified by %s already exists.", value)
			}
		}
		d.Data["Routes"] = append(wire.List(d.Data.Objects("Routes")), route)
		return nil
	})
	return object{"Return": err == nil}, err
}

func (s *Service) deleteRoute(ctx context.Context, c *wire.Call, in object) (object, error) {
	member, value := destination(in)
	_, err := s.changeKept(ctx, c.Region, "route-table", in.Text("RouteTableId"), func(d *kept) error {
		routes := d.Data.Objects("Routes")
		at := slices.IndexFunc(routes, func(r object) bool { m, v := destination(r); return m == member && v == value })
		if at < 0 {
			return wire.Errorf("InvalidRoute.NotFound", "no route with destination-cidr-block %s in route table %s", value, in.Text("RouteTableId"))
		}
		d.Data["Routes"] = wire.List(slices.Delete(routes, at, at+1))
		return nil
	})
	return object{}, err
}

func (s *Service) associateRouteTable(ctx context.Context, c *wire.Call, in object) (object, error) {
	table, subnet := in.Text("RouteTableId"), in.Text("SubnetId")
	if subnet != "" {
		if _, err := s.keptResource(ctx, c.Region, "subnet", subnet); err != nil {
			return nil, err
		}
	}
	id := madeID(c, "rtbassoc-")
	_, err := s.changeKept(ctx, c.Region, "route-table", table, func(d *kept) error {
		for _, a := range d.Data.Objects("Associations") {
			if subnet != "" && a.Text("SubnetId") == subnet {
				id = a.Text("RouteTableAssociationId")
				return nil
			}
		}
		association := object{"Main": false, "RouteTableAssociationId": id, "RouteTableId": table, "AssociationState": object{"State": "associated"}}.With(in.Only("SubnetId", "GatewayId"))
		d.Data["Associations"] = append(wire.List(d.Data.Objects("Associations")), association)
		return nil
	})
	return object{"AssociationId": id, "AssociationState": object{"State": "associated"}}, err
}

func (s *Service) disassociateRouteTable(ctx context.Context, c *wire.Call, in object) (object, error) {
	id := in.Text("AssociationId")
	all, err := s.all(ctx, c.Region, "route-table")
	if err != nil {
		return nil, err
	}
	for _, t := range all {
		if !slices.Contains(reach(t, "Associations.RouteTableAssociationId"), id) {
			continue
		}
		_, err := s.changeKept(ctx, c.Region, "route-table", t.Text("RouteTableId"), func(d *kept) error {
			d.Data["Associations"] = wire.List(slices.DeleteFunc(d.Data.Objects("Associations"), func(a object) bool { return a.Text("RouteTableAssociationId") == id }))
			return nil
		})
		return object{}, err
	}
	return nil, wire.Errorf("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", id)
}

func (s *Service) createInternetGateway(ctx context.Context, c *wire.Call, in object) (object, error) {
	data, err := s.keep(ctx, c.Region, "internet-gateway", object{"InternetGatewayId": madeID(c, "igw-"), "OwnerId": c.Account, "Attachments": []any{}}, nil, in)
	return object{"InternetGateway": data}, err
}

// attach adds a VPC to what a gateway is attached to.
func (s *Service) attach(ctx context.Context, region, name, id, member, vpc, state string) error {
	if _, err := s.keptResource(ctx, region, "vpc", vpc); err != nil {
		return err
	}
	_, err := s.changeKept(ctx, region, name, id, func(d *kept) error {
		if len(d.Data.Objects(member)) > 0 {
			return wire.Errorf("Resource.AlreadyAssociated", "resource %s is already attached to network %s", id, d.Data.Objects(member)[0].Text("VpcId"))
		}
		d.Data[member] = []any{object{"State": state, "VpcId": vpc}}
		return nil
	})
	return err
}

func (s *Service) detach(ctx context.Context, region, name, id, member, vpc string) error {
	_, err := s.changeKept(ctx, region, name, id, func(d *kept) error {
		left := slices.DeleteFunc(d.Data.Objects(member), func(a object) bool { return a.Text("VpcId") == vpc })
		if len(left) == len(d.Data.Objects(member)) {
			return wire.Errorf("Gateway.NotAttached", "resource %s is not attached to network %s", id, vpc)
		}
		d.Data[member] = wire.List(left)
		return nil
	})
	return err
}

func (s *Service) attachInternetGateway(ctx context.Context, c *wire.Call, in object) (object, error) {
	return object{}, s.attach(ctx, c.Region, "internet-gateway", in.Text("InternetGatewayId"), "Attachments", in.Text("VpcId"), "available")
}

func (s *Service) detachInternetGateway(ctx context.Context, c *wire.Call, in object) (object, error) {
	return object{}, s.detach(ctx, c.Region, "internet-gateway", in.Text("InternetGatewayId"), "Attachments", in.Text("VpcId"))
}

// removeDetached removes a gateway that is attached to nothing.
func (s *Service) removeDetached(ctx context.Context, region, name, id, member string) error {
	d, err := s.keptResource(ctx, region, name, id)
	if err == nil && len(d.Data.Objects(member)) > 0 {
		err = wire.Errorf("DependencyViolation", "The %s '%s' has dependencies and cannot be deleted.", name, id)
	}
	if err != nil {
		return err
	}
	return s.remove(ctx, region, name, id)
}

func (s *Service) deleteInternetGateway(ctx context.Context, c *wire.Call, in object) (object, error) {
	return object{}, s.removeDetached(ctx, c.Region, "internet-gateway", in.Text("InternetGatewayId"), "Attachments")
}

func (s *Service) createVPNGateway(ctx context.Context, c *wire.Call, in object) (object, error) {
	data, err := s.keep(ctx, c.Region, "vpn-gateway", object{"VpnGatewayId": madeID(c, "vgw-"), "State": "available", "Type": in.Text("Type"), "AmazonSideAsn": in.Number("AmazonSideAsn", 64512), "VpcAttachments": []any{}}, nil, in)
	delete(data, "Tags")
	return object{"VpnGateway": data}, err
}

func (s *Service) attachVPNGateway(ctx context.Context, c *wire.Call, in object) (object, error) {
	err := s.attach(ctx, c.Region, "vpn-gateway", in.Text("VpnGatewayId"), "VpcAttachments", in.Text("VpcId"), "attached")
	return object{"VpcAttachment": object{"State": "attaching", "VpcId": in.Text("VpcId")}}, err
}

func (s *Service) detachVPNGateway(ctx context.Context, c *wire.Call, in object) (object, error) {
	return object{}, s.detach(ctx, c.Region, "vpn-gateway", in.Text("VpnGatewayId"), "VpcAttachments", in.Text("VpcId"))
}

func (s *Service) deleteVPNGateway(ctx context.Context, c *wire.Call, in object) (object, error) {
	return object{}, s.removeDetached(ctx, c.Region, "vpn-gateway", in.Text("VpnGatewayId"), "VpcAttachments")
}

func (s *Service) createNAT(ctx context.Context, c *wire.Call, in object) (object, error) {
	subnet, err := s.keptResource(ctx, c.Region, "subnet", in.Text("SubnetId"))
	if err != nil {
		return nil, err
	}
	address := object{"IsPrimary": true, "Status": "succeeded", "PrivateIp": "10.0.0.1"}
	if id := in.Text("AllocationId"); id != "" {
		d, err := s.keptResource(ctx, c.Region, "elastic-ip", id)
		if err != nil {
			return nil, err
		}
		address = address.With(object{"AllocationId": id, "PublicIp": d.Data.Text("PublicIp")})
	}
	kind := in.Text("ConnectivityType")
	if kind == "" {
		kind = "public"
	}
	data, err := s.keep(ctx, c.Region, "natgateway", object{"NatGatewayId": tokenID(c, in, "nat-"), "SubnetId": in.Text("SubnetId"), "VpcId": subnet.Data.Text("VpcId"), "State": "available",
		"ConnectivityType": kind, "CreateTime": s.Now().UTC(), "NatGatewayAddresses": []any{address}}, nil, in)
	return object{"NatGateway": data, "ClientToken": in.Text("ClientToken")}.With(nil), err
}

func (s *Service) deleteNAT(ctx context.Context, c *wire.Call, in object) (object, error) {
	id := in.Text("NatGatewayId")
	return object{"NatGatewayId": id}, s.remove(ctx, c.Region, "natgateway", id)
}

// allocateAddress keeps an address of the block that documents use: nothing answers there.
func (s *Service) allocateAddress(ctx context.Context, c *wire.Call, in object) (object, error) {
	all, err := s.all(ctx, c.Region, "elastic-ip")
	if err != nil {
		return nil, err
	}
	address := ""
	for _, free := range documentAddresses() {
		if !slices.ContainsFunc(all, func(o object) bool { return o.Text("PublicIp") == free }) {
			address = free
			break
		}
	}
	if address == "" {
		return nil, wire.Errorf("AddressLimitExceeded", "The maximum number of addresses has been reached.")
	}
	data, err := s.keep(ctx, c.Region, "elastic-ip", object{"AllocationId": madeID(c, "eipalloc-"), "PublicIp": address, "Domain": "vpc", "PublicIpv4Pool": "amazon", "NetworkBorderGroup": c.Region}, nil, in)
	delete(data, "Tags")
	return data, err
}

func (s *Service) releaseAddress(ctx context.Context, c *wire.Call, in object) (object, error) {
	return object{}, s.remove(ctx, c.Region, "elastic-ip", in.Text("AllocationId"))
}

func (s *Service) describeAddresses(ctx context.Context, c *wire.Call, in object) (object, error) {
	out, err := s.describe("elastic-ip", nil)(ctx, c, in)
	if want := in.Texts("PublicIps"); err == nil && len(want) > 0 {
		out["Addresses"] = wire.List(slices.DeleteFunc(out.Objects("Addresses"), func(o object) bool { return !slices.Contains(want, o.Text("PublicIp")) }))
	}
	return out, err
}

func (s *Service) createEndpoint(ctx context.Context, c *wire.Call, in object) (object, error) {
	if _, err := s.keptResource(ctx, c.Region, "vpc", in.Text("VpcId")); err != nil {
		return nil, err
	}
	kind := in.Text("VpcEndpointType")
	if kind == "" {
		kind = "Gateway"
	}
	data, err := s.keep(ctx, c.Region, "vpc-endpoint", object{"VpcEndpointId": tokenID(c, in, "vpce-"), "VpcEndpointType": kind, "State": "available", "OwnerId": c.Account, "RequesterManaged": false,
		"RouteTableIds": []any{}, "SubnetIds": []any{}, "Groups": []any{}, "NetworkInterfaceIds": []any{}, "DnsEntries": []any{}, "CreationTimestamp": s.Now().UTC(), "PrivateDnsEnabled": in.Is("PrivateDnsEnabled")}.
		With(in.Only("VpcId", "ServiceName", "PolicyDocument", "RouteTableIds", "SubnetIds", "IpAddressType")), nil, in)
	return object{"VpcEndpoint": data, "ClientToken": in.Text("ClientToken")}.With(nil), err
}

func (s *Service) deleteEndpoints(ctx context.Context, c *wire.Call, in object) (object, error) {
	failed := []any{}
	for _, id := range in.Texts("VpcEndpointIds") {
		if err := s.remove(ctx, c.Region, "vpc-endpoint", id); err != nil {
			code := wire.CodeOf(err)
			if code == "InternalFailure" {
				return nil, err
			}
			failed = append(failed, object{"ResourceId": id, "Error": object{"Code": code, "Message": "The Vpc Endpoint Id '" + id + "' does not exist"}})
		}
	}
	return object{"Unsuccessful": failed}, nil
}

func (s *Service) createVolume(_ context.Context, _ *wire.Call, in object) (object, error) {
	if !in.Has("Size") && !in.Has("SnapshotId") {
		return nil, missingParameter("size/snapshot")
	}
	return nil, wire.Errorf("UnsupportedOperation", "There are no volumes here: an instance has the files of its image.")
}
