package ec2

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
)

// describeACLs describes the network access control list that each VPC begins with: it
// lets everything through, as no packet is filtered here. There are no others.
func (s *Service) describeACLs(ctx context.Context, c *wire.Call, in object) (object, error) {
	vpcs, err := s.all(ctx, c.Region, "vpc")
	if err != nil {
		return nil, err
	}
	subnets, err := s.all(ctx, c.Region, "subnet")
	if err != nil {
		return nil, err
	}
	tags, err := s.allTags(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	var all []object
	for _, v := range vpcs {
		id := derivedID("acl-", v.Text("VpcId"))
		associations, entries := []any{}, []any{}
		for _, n := range subnets {
			if n.Text("VpcId") == v.Text("VpcId") {
				associations = append(associations, object{"NetworkAclAssociationId": derivedID("aclassoc-", n.Text("SubnetId")), "NetworkAclId": id, "SubnetId": n.Text("SubnetId")})
			}
		}
		for _, out := range []bool{true, false} {
			entries = append(entries, object{"CidrBlock": "0.0.0.0/0", "Egress": out, "Protocol": "-1", "RuleAction": "allow", "RuleNumber": 100},
				object{"CidrBlock": "0.0.0.0/0", "Egress": out, "Protocol": "-1", "RuleAction": "deny", "RuleNumber": 32767})
		}
		all = append(all, object{"NetworkAclId": id, "VpcId": v.Text("VpcId"), "IsDefault": true, "OwnerId": s.Account, "Associations": associations, "Entries": entries, "Tags": tagList(tags[id])})
	}
	k := kind{prefix: "acl-", id: "NetworkAclId", ids: "NetworkAclIds", missing: notFound("InvalidNetworkAclID.NotFound", "The networkAcl ID '%s' does not exist")}
	return chosenOf(in, k, "NetworkAcls", all, named("association.association-id=Associations.NetworkAclAssociationId", "association.network-acl-id=Associations.NetworkAclId", "association.subnet-id=Associations.SubnetId",
		"default=IsDefault", "entry.cidr=Entries.CidrBlock", "entry.egress=Entries.Egress", "entry.protocol=Entries.Protocol", "entry.rule-action=Entries.RuleAction", "entry.rule-number=Entries.RuleNumber", "NetworkAclId", "OwnerId", "VpcId"))
}

// chosenOf is the answer with those of a list that a request names and filters.
func chosenOf(in object, k kind, member string, all []object, names map[string]string) (object, error) {
	all, err := choose(in, k, all)
	if err == nil {
		all, err = filters(in, names, all)
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b object) int { return cmp.Compare(a.Text(k.id), b.Text(k.id)) })
	return answer(in, member, all, by(k.id))
}

// dhcpOptions is the one set of options that every VPC has.
func dhcpOptions(region string) string { return derivedID("dopt-", region, "default") }

func (s *Service) describeDHCP(_ context.Context, c *wire.Call, in object) (object, error) {
	domain := c.Region + ".compute.internal"
	if c.Region == "us-east-1" {
		domain = "ec2.internal"
	}
	configuration := func(key, value string) object {
		return object{"Key": key, "Values": []any{object{"Value": value}}}
	}
	all := []object{{"DhcpOptionsId": dhcpOptions(c.Region), "OwnerId": s.Account, "Tags": []any{},
		"DhcpConfigurations": []any{configuration("domain-name", domain), configuration("domain-name-servers", "AmazonProvidedDNS")}}}
	k := kind{prefix: "dopt-", id: "DhcpOptionsId", ids: "DhcpOptionsIds", missing: notFound("InvalidDhcpOptionID.NotFound", "The dhcpOption ID '%s' does not exist")}
	return chosenOf(in, k, "DhcpOptions", all, named("DhcpOptionsId", "OwnerId", "key=DhcpConfigurations.Key", "value=DhcpConfigurations.Values.Value"))
}

// describeOfferings says where there are which instance types: all of them everywhere.
func (s *Service) describeOfferings(ctx context.Context, c *wire.Call, in object) (object, error) {
	kind, places := cmp.Or(in.Text("LocationType"), "region"), []string{c.Region}
	if kind != "region" {
		zones, _, err := s.zones(ctx, c.Region)
		if err != nil {
			return nil, err
		}
		if places = zones; kind == "availability-zone-id" {
			places = nil
			for _, z := range zones {
				places = append(places, zoneID(c.Region, z))
			}
		}
	}
	var all []object
	for _, t := range instanceTypes() {
		for _, p := range places {
			all = append(all, object{"InstanceType": t.name, "LocationType": kind, "Location": p})
		}
	}
	all, err := filters(in, named("InstanceType", "Location"), all)
	if err != nil {
		return nil, err
	}
	key := func(o object) string { return o.Text("InstanceType") + "\x00" + o.Text("Location") }
	slices.SortFunc(all, func(a, b object) int { return cmp.Compare(key(a), key(b)) })
	return answer(in, "InstanceTypeOfferings", all, key)
}

// describeCredits tells of instances whose types save up processor time at AWS; here
// they have all of it.
func (s *Service) describeCredits(ctx context.Context, c *wire.Call, in object) (object, error) {
	all, err := s.chosen(ctx, c.Region, in)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, i := range all {
		if strings.HasPrefix(i.Text("InstanceType"), "t") {
			out = append(out, object{"InstanceId": i.Text("InstanceId"), "CpuCredits": "unlimited"})
		}
	}
	return object{"InstanceCreditSpecifications": out}, nil
}

// describeProfiles tells of the instances that were launched with an instance profile.
func (s *Service) describeProfiles(ctx context.Context, c *wire.Call, in object) (object, error) {
	instances, err := s.observe(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	var all []object
	for _, i := range instances {
		if profile := i.Inner("IamInstanceProfile"); profile != nil {
			all = append(all, object{"AssociationId": derivedID("iip-assoc-", i.Text("InstanceId")), "InstanceId": i.Text("InstanceId"), "IamInstanceProfile": profile, "State": "associated"})
		}
	}
	k := kind{prefix: "iip-assoc-", id: "AssociationId", ids: "AssociationIds", missing: notFound("NoSuchAssociation", "The association ID '%s' does not exist")}
	return chosenOf(in, k, "IamInstanceProfileAssociations", all, named("InstanceId", "State"))
}

// describeEndpointServices names the services that an endpoint of a VPC may be made
// for: those that are served here.
func (s *Service) describeEndpointServices(ctx context.Context, c *wire.Call, in object) (object, error) {
	zones, _, err := s.zones(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	var details, names []any
	want := in.Texts("ServiceNames")
	for _, name := range []string{"autoscaling", "cloudformation", "codebuild", "codepipeline", "ec2", "ecs", "elasticloadbalancing", "kinesis-streams", "lambda", "logs", "monitoring", "s3", "secretsmanager", "ssm", "sts"} {
		full := "com.amazonaws." + c.Region + "." + name
		if len(want) > 0 && !slices.Contains(want, full) {
			continue
		}
		kind := "Interface"
		if name == "s3" {
			kind = "Gateway"
		}
		names = append(names, full)
		details = append(details, object{"ServiceName": full, "ServiceId": derivedID("vpce-svc-", full), "ServiceType": []any{object{"ServiceType": kind}}, "AvailabilityZones": wire.List(zones), "Owner": "amazon",
			"BaseEndpointDnsNames": []any{name + "." + c.Region + ".vpce.amazonaws.com"}, "AcceptanceRequired": false, "ManagesVpcEndpoints": false, "VpcEndpointPolicySupported": true, "Tags": []any{}})
	}
	if len(names) < len(want) {
		return nil, wire.Errorf("InvalidServiceName", "The Vpc Endpoint Service '%s' does not exist", want[0])
	}
	return object{"ServiceNames": names, "ServiceDetails": details}, nil
}

// instanceAsTemplate is the data of a launch template that makes instances like one.
func (s *Service) instanceAsTemplate(ctx context.Context, c *wire.Call, in object) (object, error) {
	i, err := s.instance(ctx, c.Region, in.Text("InstanceId"))
	if err != nil {
		return nil, err
	}
	data := i.Only("ImageId", "InstanceType", "KeyName", "EbsOptimized").With(object{"Placement": object{"AvailabilityZone": i.Inner("Placement").Text("AvailabilityZone"), "Tenancy": "default"}, "Monitoring": object{"Enabled": false}, "DisableApiTermination": false})
	var groups []any
	for _, g := range i.Objects("SecurityGroups") {
		groups = append(groups, g.Text("GroupId"))
	}
	if len(groups) > 0 {
		data["SecurityGroupIds"] = groups
	}
	if tags := i.Objects("Tags"); len(tags) > 0 {
		data["TagSpecifications"] = []any{object{"ResourceType": "instance", "Tags": wire.List(tags)}}
	}
	return object{"LaunchTemplateData": data}, nil
}

// password answers as AWS does of an instance that is not Windows.
func (s *Service) password(ctx context.Context, c *wire.Call, in object) (object, error) {
	i, err := s.instance(ctx, c.Region, in.Text("InstanceId"))
	if err != nil {
		return nil, err
	}
	return object{"InstanceId": i.Text("InstanceId"), "PasswordData": "", "Timestamp": s.Now().UTC()}, nil
}

// monitor sets how an instance is said to be monitored: each is measured every minute.
func (s *Service) monitor(on bool) wire.ObjectFunc {
	return func(ctx context.Context, c *wire.Call, in object) (object, error) {
		all, err := s.alone(ctx, c, in, "monitored in another way")
		if err != nil {
			return nil, err
		}
		out, data := []any{}, object{"Monitoring": object{"Enabled": on}}
		for _, i := range all {
			id := i.Text("InstanceId")
			if _, err := s.machines.Update(ctx, c.Region+"/"+id, func(m *machine) error { m.Data = m.Data.With(data); return nil }); err != nil {
				return nil, err
			}
			out = append(out, object{"InstanceId": id, "Monitoring": object{"State": monitored(data)}})
		}
		return object{"InstanceMonitorings": out}, nil
	}
}
