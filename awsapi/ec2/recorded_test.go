package ec2_test

import (
	"slices"
	"strings"
	"testing"

	"showrunner/awsapi/awstest"
	"showrunner/store/record/recordtest"
)

type object = map[string]any

// differences are recorded answers that are not AWS's here, by test and answer, each
// with why.
var differences = map[string]string{
	"test_describe_availability_zones_filter_with_zone_names/availability_zones": "the models have no GroupLongName, and zones have identifiers of their own",
	"test_describe_availability_zones_filter_with_zone_ids/availability_zones":   "as above",
	"test_describe_availability_zones_filters/availability_zones":                "as above",
	"test_get_security_groups_for_vpc/create_security_group":                     "the models have no SecurityGroupArn",
	"test_vcp_peering_difference_regions/*":                                      "peering is not served",
	"test_ec2_flow_logs_s3/*":                                                    "flow logs are not served: no packet is filtered, and none logged",
	"test_ec2_flow_logs_s3_validation/*":                                         "as above",
	"test_vpc_endpoint_dns_names/*":                                              "an endpoint has no interfaces and no names: services are reached at this endpoint",
}

// recordedCalls make the calls of the recorded tests that are served.
func recordedCalls(w *world) map[string]func() object {
	call := func(operation string, in object) object { return w.Inside("ec2", operation, in) }
	filter := func(name, value string) []any { return []any{object{"Name": name, "Values": []any{value}}} }
	vpc := func(cidr string) string {
		return call("CreateVpc", object{"CidrBlock": cidr})["Vpc"].(object)["VpcId"].(string)
	}
	return map[string]func() object{
		"test_create_route_table_association": func() object {
			id := vpc("10.0.0.0/16")
			subnet := call("CreateSubnet", object{"VpcId": id, "CidrBlock": "10.0.0.0/24"})["Subnet"].(object)["SubnetId"]
			table := call("CreateRouteTable", object{"VpcId": id})["RouteTable"].(object)["RouteTableId"]
			association := call("AssociateRouteTable", object{"RouteTableId": table, "SubnetId": subnet})["AssociationId"]
			tables := call("DescribeRouteTables", object{"Filters": filter("association.subnet-id", subnet.(string))})["RouteTables"]
			return object{"vpc_id": id, "subnet_id": subnet, "route_table_id": table, "association_id": association, "route_tables": tables}
		},
		"test_describe_vpn_gateways_filter_by_vpc": func() object {
			id := vpc("10.0.0.0/16")
			gateway := call("CreateVpnGateway", object{"Type": "ipsec.1"})
			name := gateway["VpnGateway"].(object)["VpnGatewayId"].(string)
			call("AttachVpnGateway", object{"VpcId": id, "VpnGatewayId": name})
			attached := call("DescribeVpnGateways", object{"Filters": filter("attachment.vpc-id", id)})["VpnGateways"].([]any)
			return object{"vpc-id": id, "gateway": gateway, "attached-gateway": attached[0]}
		},
		"test_raise_create_volume_without_size": func() object {
			return object{"request-missing-size": call("CreateVolume", object{"AvailabilityZone": "us-west-2a"})}
		},
		"test_get_security_groups_for_vpc": func() object {
			tags := []any{object{"ResourceType": "vpc", "Tags": []any{object{"Key": "test-key", "Value": "test-value"}}}}
			made := call("CreateVpc", object{"CidrBlock": "10.0.0.0/16", "TagSpecifications": tags})
			id := made["Vpc"].(object)["VpcId"]
			before := call("GetSecurityGroupsForVpc", object{"VpcId": id})
			group := call("CreateSecurityGroup", object{"VpcId": id, "GroupName": "my-group", "Description": "Description for my-group"})
			after := call("GetSecurityGroupsForVpc", object{"VpcId": id})
			slices.SortFunc(after["SecurityGroupForVpcs"].([]any), func(a, b any) int { // AWS's order is the groups' age
				return strings.Compare(a.(object)["GroupName"].(string), b.(object)["GroupName"].(string))
			})
			return object{"create_vpc_response": made, "get_security_groups_for_vpc": before, "create_security_group": group, "get_security_groups_for_vpc_after_addition": after}
		},
		"test_describe_availability_zones_filter_with_zone_names": func() object {
			return object{"availability_zones": call("DescribeAvailabilityZones", object{"ZoneNames": []any{"us-west-2a"}})}
		},
		"test_describe_availability_zones_filter_with_zone_ids": func() object {
			return object{"availability_zones": call("DescribeAvailabilityZones", object{"ZoneIds": []any{"usw2-az1"}})}
		},
		"test_describe_availability_zones_filters": func() object {
			return object{"availability_zones": call("DescribeAvailabilityZones", object{"Filters": filter("zone-name", "us-west-2a")})}
		},
	}
}

// TestRecordedAnswers compares what is answered here with what AWS answered.
func TestRecordedAnswers(t *testing.T) {
	t.Parallel()
	awstest.Recorded{File: "testdata/recorded.json", Region: awstest.Region, Different: differences, Share: "12 of 16"}.Compare(t, func(test string) func() awstest.Answers {
		return recordedCalls(open(t, &recordtest.Records{}, nil))[test]
	})
}
