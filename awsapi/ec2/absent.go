package ec2

import (
	"context"

	"showrunner/awsapi/wire"
)

// absent is a kind of resource that there never is here, and the operation that
// describes it.
type absent struct {
	operation, member string
	ids               string // the input's member that names some
	code              string // of the error for one that is named
}

var absentKinds = []absent{
	{"DescribeNetworkInterfaces", "NetworkInterfaces", "NetworkInterfaceIds", "InvalidNetworkInterfaceID.NotFound"},
	{"DescribeVolumes", "Volumes", "VolumeIds", "InvalidVolume.NotFound"},
	{"DescribeVolumeStatus", "VolumeStatuses", "VolumeIds", "InvalidVolume.NotFound"},
	{"DescribeVolumesModifications", "VolumesModifications", "VolumeIds", "InvalidVolume.NotFound"},
	{"DescribeSnapshots", "Snapshots", "SnapshotIds", "InvalidSnapshot.NotFound"},
	{"DescribeSpotInstanceRequests", "SpotInstanceRequests", "SpotInstanceRequestIds", "InvalidSpotInstanceRequestID.NotFound"},
	{"DescribeSpotPriceHistory", "SpotPriceHistory", "", ""},
	{"DescribeReservedInstances", "ReservedInstances", "ReservedInstancesIds", "InvalidReservedInstancesId"},
	{"DescribeHosts", "Hosts", "HostIds", "InvalidHostID.NotFound"},
	{"DescribeEgressOnlyInternetGateways", "EgressOnlyInternetGateways", "EgressOnlyInternetGatewayIds", "InvalidEgressOnlyInternetGatewayId.NotFound"},
	{"DescribeCustomerGateways", "CustomerGateways", "CustomerGatewayIds", "InvalidCustomerGatewayID.NotFound"},
	{"DescribeVpnConnections", "VpnConnections", "VpnConnectionIds", "InvalidVpnConnectionID.NotFound"},
	{"DescribeTransitGateways", "TransitGateways", "TransitGatewayIds", "InvalidTransitGatewayID.NotFound"},
	{"DescribeVpcPeeringConnections", "VpcPeeringConnections", "VpcPeeringConnectionIds", "InvalidVpcPeeringConnectionID.NotFound"},
	{"DescribeCapacityReservations", "CapacityReservations", "CapacityReservationIds", "InvalidCapacityReservationId.NotFound"},
	{"DescribeExportTasks", "ExportTasks", "ExportTaskIds", "InvalidExportTaskID.NotFound"},
	{"DescribeFlowLogs", "FlowLogs", "FlowLogIds", "InvalidFlowLogId.NotFound"},
	{"DescribePlacementGroups", "PlacementGroups", "GroupNames", "InvalidPlacementGroup.Unknown"},
	{"DescribePrefixLists", "PrefixLists", "PrefixListIds", "InvalidPrefixListId.NotFound"},
	{"DescribeManagedPrefixLists", "PrefixLists", "PrefixListIds", "InvalidPrefixListID.NotFound"},
	{"DescribeStaleSecurityGroups", "StaleSecurityGroupSet", "", ""},
}

// describe answers with an empty list, and with an error where one is named.
func (a absent) describe(_ context.Context, _ *wire.Call, in object) (object, error) {
	if a.ids != "" {
		for _, id := range in.Texts(a.ids) {
			return nil, wire.Errorf(a.code, "The ID '%s' does not exist", id)
		}
	}
	return object{a.member: []any{}}, nil
}

// fixed is the operation whose answer is always the same.
func fixed(answer object) wire.ObjectFunc {
	return func(context.Context, *wire.Call, object) (object, error) { return answer, nil }
}

// cannot is the operation that is refused with its reason.
func cannot(why string) wire.ObjectFunc {
	return func(context.Context, *wire.Call, object) (object, error) {
		return nil, wire.Errorf("UnsupportedOperation", "%s", why)
	}
}

// more adds the operations that tell of what is there once and for all, and of what is not.
func (s *Service) more(o map[string]wire.Handler) {
	for _, a := range absentKinds {
		o[a.operation] = s.handle(a.describe)
	}
	for name, f := range map[string]wire.ObjectFunc{
		"DescribeNetworkAcls":                    s.describeACLs,
		"DescribeDhcpOptions":                    s.describeDHCP,
		"DescribeInstanceTypeOfferings":          s.describeOfferings,
		"DescribeInstanceCreditSpecifications":   s.describeCredits,
		"DescribeIamInstanceProfileAssociations": s.describeProfiles,
		"DescribeVpcEndpointServices":            s.describeEndpointServices,
		"GetLaunchTemplateData":                  s.instanceAsTemplate,
		"GetPasswordData":                        s.password,
		"GetEbsEncryptionByDefault":              fixed(object{"EbsEncryptionByDefault": false}),
		"GetSerialConsoleAccessStatus":           fixed(object{"SerialConsoleAccessEnabled": false}),
	} {
		o[name] = s.handle(f)
	}
	for name, f := range map[string]wire.ObjectFunc{
		"CreateImage":                   cannot("An instance has the files of its image and no disk of its own: register an image of an artifact instead (register-image)."),
		"ModifyInstanceMetadataOptions": cannot("Instances have no metadata service here."),
		"MonitorInstances":              s.monitor(true),
		"UnmonitorInstances":            s.monitor(false),
	} {
		o[name] = s.change(f)
	}
}
