package ec2

import (
	"context"

	"showrunner/awsapi/wire"
)

var instanceFilters = documented("DescribeInstances", named("Architecture", "InstanceId", "InstanceType", "ImageId", "KeyName", "SubnetId", "VpcId", "availability-zone=Placement.AvailabilityZone", "instance-state-name=State.Name",
	"instance-state-code=State.Code", "private-ip-address=PrivateIpAddress", "ip-address=PublicIpAddress", "dns-name=PublicDnsName", "private-dns-name=PrivateDnsName", "client-token=ClientToken",
	"instance.group-id=SecurityGroups.GroupId", "instance.group-name=SecurityGroups.GroupName", "group-id=SecurityGroups.GroupId", "group-name=SecurityGroups.GroupName", "reservation-id=ReservationId",
	"root-device-type=RootDeviceType", "root-device-name=RootDeviceName", "launch-time=LaunchTime", "monitoring-state=Monitoring.State", "tenancy=Placement.Tenancy", "hypervisor=Hypervisor", "virtualization-type=VirtualizationType",
	"state-reason-code=StateReason.Code", "reason=StateTransitionReason", "iam-instance-profile.arn=IamInstanceProfile.Arn", "owner-id=OwnerId", "platform-details=PlatformDetails", "launch-index=AmiLaunchIndex",
	"network-interface.subnet-id=SubnetId", "network-interface.vpc-id=VpcId", "platform=Platform", "instance-lifecycle=InstanceLifecycle", "availability-zone-id=Placement.AvailabilityZoneId", "source-dest-check=SourceDestCheck",
	"network-interface.group-id=SecurityGroups.GroupId", "network-interface.group-name=SecurityGroups.GroupName", "network-interface.availability-zone=Placement.AvailabilityZone", "network-interface.owner-id=OwnerId",
	"network-interface.addresses.private-ip-address=PrivateIpAddress", "network-interface.private-dns-name=PrivateDnsName", "placement-group-name=Placement.GroupName"))

func (s *Service) describeInstances(ctx context.Context, c *wire.Call, in object) (object, error) {
	found, err := s.chosen(ctx, c.Region, in)
	if err != nil {
		return nil, err
	}
	for _, o := range found {
		o["OwnerId"] = c.Account
	}
	if found, err = filters(in, instanceFilters, found); err != nil {
		return nil, err
	}
	out, err := answer(in, "Reservations", found, by("InstanceId"))
	if err != nil {
		return nil, err
	}
	reservations := []any{}
	for _, o := range out.Objects("Reservations") {
		r := object{"ReservationId": o.Text("ReservationId"), "OwnerId": c.Account, "Groups": []any{}, "Instances": []any{o}}
		for _, t := range o.Objects("Tags") {
			if t.Text("Key") == "aws:autoscaling:groupName" {
				r["RequesterId"] = "autoscaling.amazonaws.com"
			}
		}
		delete(o, "ReservationId")
		delete(o, "OwnerId")
		reservations = append(reservations, r)
	}
	out["Reservations"] = reservations
	return out, nil
}

// chosen are the instances that a request names, or all.
func (s *Service) chosen(ctx context.Context, region string, in object) ([]object, error) {
	ids := in.Texts("InstanceIds")
	if len(ids) == 0 {
		return s.observe(ctx, region)
	}
	if in.Has("MaxResults") {
		return nil, conflict("The parameter instancesSet cannot be used with the parameter maxResults")
	}
	return s.named(ctx, region, ids)
}

func (s *Service) describeStatus(ctx context.Context, c *wire.Call, in object) (object, error) {
	found, err := s.chosen(ctx, c.Region, in)
	if err != nil {
		return nil, err
	}
	health, err := s.health(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	var all []object
	for _, i := range found {
		state := i.Inner("State").Text("Name")
		if state != "running" && !in.Is("IncludeAllInstances") {
			continue
		}
		status := "not-applicable"
		detail := []any{}
		if state == "running" {
			status = health[i.Text("InstanceId")]
			result := map[string]string{"ok": "passed", "impaired": "failed", "initializing": "initializing"}[status]
			detail = append(detail, object{"Name": "reachability", "Status": result})
		}
		summary := func() object { return object{"Status": status, "Details": detail}.With(nil) }
		all = append(all, object{"InstanceId": i.Text("InstanceId"), "AvailabilityZone": i.Inner("Placement").Text("AvailabilityZone"), "InstanceState": i.Inner("State"),
			"InstanceStatus": summary(), "SystemStatus": summary(), "Events": []any{}})
	}
	all, err = filters(in, documented("DescribeInstanceStatus", named("AvailabilityZone", "instance-state-name=InstanceState.Name", "instance-state-code=InstanceState.Code", "instance-status.status=InstanceStatus.Status",
		"system-status.status=SystemStatus.Status", "instance-status.reachability=InstanceStatus.Details.Status", "system-status.reachability=SystemStatus.Details.Status")), all)
	if err != nil {
		return nil, err
	}
	return answer(in, "InstanceStatuses", all, by("InstanceId"))
}

// health is what the checks of a region's instances say.
func (s *Service) health(ctx context.Context, region string) (map[string]string, error) {
	groups, err := s.Groups.List(ctx, region, "")
	out := map[string]string{}
	for n := range groups {
		g := &groups[n]
		for _, i := range g.Instances {
			id := i.ID
			if own, ok := instanceOf(*g); ok {
				id = own
			}
			switch {
			case i.Healthy:
				out[id] = "ok"
			case i.ServingSince.IsZero():
				out[id] = "initializing"
			default:
				out[id] = "impaired"
			}
		}
	}
	return out, err
}
